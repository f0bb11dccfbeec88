package harness

import (
	"fmt"
	"time"

	"plumbline/devices/serialline"
)

// LineSettings are what a serial device is told beside port and speed. The zero
// value is 8 data bits, no parity, one stop bit and nothing else touched.
type LineSettings struct {
	DataBits      int            `yaml:"dataBits,omitempty"`      // 5 to 8; 0 means 8
	Parity        string         `yaml:"parity,omitempty"`        // none, even, odd, mark or space; "" means none
	StopBits      int            `yaml:"stopBits,omitempty"`      // 1 or 2; 0 means 1
	DTR           *bool          `yaml:"dtr,omitempty"`           // set at each opening; nil leaves it alone
	RTS           *bool          `yaml:"rts,omitempty"`           // likewise
	Break         time.Duration  `yaml:"break,omitempty"`         // held at each opening, at most 5 s
	ModemReadings bool           `yaml:"modemReadings,omitempty"` // samples say modem_cts, modem_dsr, modem_dcd and modem_ri
	RS485         *RS485Settings `yaml:"rs485,omitempty"`         // the kernel switches the direction; nil leaves that to the adapter
}

// RS485Settings are the turnaround of a half-duplex line, where its driver has it
// (TIOCSRS485); elsewhere they change nothing.
type RS485Settings struct {
	RTSLow      bool          `yaml:"rtsLow,omitempty"`      // RTS is low while sending, high otherwise
	BeforeSend  time.Duration `yaml:"beforeSend,omitempty"`  // from RTS to the first bit: whole milliseconds up to 100 ms
	AfterSend   time.Duration `yaml:"afterSend,omitempty"`   // from the last bit to RTS, likewise
	HearOneself bool          `yaml:"hearOneself,omitempty"` // keep receiving while sending
}

// Configure puts the settings into the configuration of a driver.
func (s LineSettings) Configure(cfg *serialline.Config) {
	cfg.DataBits, cfg.Parity, cfg.StopBits = s.DataBits, serialline.Parity(s.Parity), s.StopBits
	cfg.DTR, cfg.RTS, cfg.Break, cfg.ModemReadings = s.DTR, s.RTS, s.Break, s.ModemReadings
	if s.RS485 != nil {
		r := serialline.RS485(*s.RS485)
		cfg.RS485 = &r
	}
}

// given says which keys are in the file.
func (s LineSettings) given() map[string]bool {
	return map[string]bool{
		"dataBits": s.DataBits != 0, "parity": s.Parity != "", "stopBits": s.StopBits != 0, "dtr": s.DTR != nil, "rts": s.RTS != nil,
		"break": s.Break != 0, "modemReadings": s.ModemReadings, "rs485": s.RS485 != nil,
	}
}

// lineKeys are the keys of a serial device, twinKeys those that its twin knows, too:
// a pseudo terminal has no modem lines.
var (
	twinKeys = []string{"dataBits", "parity", "stopBits"}
	lineKeys = append([]string{"dtr", "rts", "break", "modemReadings", "rs485"}, twinKeys...)
)

// check returns the key and what is wrong with it, "" when nothing is. Each is
// tried alone, so that the error stands at its own line.
func (s LineSettings) check(port string) (key, problem string) {
	for _, alone := range []struct {
		key string
		set LineSettings
	}{
		{"dataBits", LineSettings{DataBits: s.DataBits}}, {"parity", LineSettings{Parity: s.Parity}}, {"stopBits", LineSettings{StopBits: s.StopBits}},
		{"break", LineSettings{Break: s.Break}}, {"rs485", LineSettings{RS485: s.RS485}},
	} {
		cfg := serialline.Config{Port: port}
		alone.set.Configure(&cfg)
		if err := cfg.Check(); err != nil {
			return alone.key, fmt.Sprint(err)
		}
	}
	return "", ""
}
