package serialline

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"go.bug.st/serial"

	"plumbline/devices/codec"
)

// wired is a port that has modem lines and takes all settings.
type wired struct {
	serial.Port

	done  []string
	baud  int
	fault error
}

func (w *wired) Read([]byte) (int, error)           { return 0, io.EOF }
func (w *wired) Close() error                       { return nil }
func (w *wired) SetReadTimeout(time.Duration) error { return nil }
func (w *wired) SetMode(m *serial.Mode) error       { w.baud = m.BaudRate; return w.fault }
func (w *wired) SetDTR(on bool) error               { return w.note("DTR", on) }
func (w *wired) SetRTS(on bool) error               { return w.note("RTS", on) }
func (w *wired) Break(time.Duration) error          { return w.note("break", true) }
func (w *wired) note(what string, on bool) error {
	if on {
		what += "+"
	}
	w.done = append(w.done, what)
	return w.fault
}

func (w *wired) GetModemStatusBits() (*serial.ModemStatusBits, error) {
	return &serial.ModemStatusBits{CTS: true, RI: true}, w.fault
}

func TestModemLinesAreSetAndRead(t *testing.T) {
	cfg, err := Config{ID: "board", Port: "x", Codec: codec.NMEA0183{}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l, _ := newLine(cfg, Stats{})
	w := &wired{}
	l.setPort(w)
	if err := errors.Join(l.SetDTR(true), l.SetDTR(false), l.SetRTS(true), l.Break(time.Millisecond), l.SetBaud(57600)); err != nil {
		t.Error(err)
	}
	if m, err := l.Modem(); err != nil || m != (Modem{CTS: true, RI: true}) {
		t.Errorf("modem lines are %+v, %v", m, err)
	}
	if want := []string{"DTR+", "DTR", "RTS+", "break+"}; len(w.done) != len(want) || w.done[0] != want[0] || w.done[1] != want[1] || w.baud != 57600 {
		t.Errorf("the port was told %v and %d baud, want %v", w.done, w.baud, want)
	}
	w.fault = errors.New("hardware")
	if _, err := l.Modem(); !errors.Is(err, w.fault) || errors.Is(err, ErrNoModem) {
		t.Errorf("a fault of the port is %v", err)
	}
	if err := l.SetBaud(9600); !errors.Is(err, w.fault) || l.current().Baud != 57600 {
		t.Errorf("a speed that was refused: %v, and %d is kept", err, l.current().Baud)
	}
}

// TestModemLinesAreReadings: what the device puts on the lines comes with each
// sample, and a port without such lines adds nothing.
func TestModemLinesAreReadings(t *testing.T) {
	cfg, err := Config{ID: "board", Port: "x", Codec: codec.LineJSON{}, ModemReadings: true}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l, _ := newLine(cfg, Stats{})
	w := &wired{}
	l.setPort(w)
	say := func() map[string]float64 {
		t.Helper()
		l.framer.Push(0, []byte("{\"t\":1}\n"), l.accept)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := l.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, v := range s.Values {
			out[v.Name] = v.Number
		}
		return out
	}
	plain := len(say()) - 4
	if got := say(); plain < 1 || got["modem_cts"] != 1 || got["modem_dsr"] != 0 || got["modem_ri"] != 1 {
		t.Errorf("a sample says %v", got)
	}
	l.ctl.Lock() // as while a break is sent
	if got := say(); got["modem_cts"] != 1 {
		t.Errorf("while the port is in use a sample says %v", got)
	}
	l.ctl.Unlock()
	w.fault = errNoTTY
	if got := say(); len(got) != plain || !l.Stats().NoModem {
		t.Errorf("without modem lines a sample says %v, and NoModem is %v", got, l.Stats().NoModem)
	}
}

func TestABreakAtOpening(t *testing.T) {
	w := &wired{}
	var stats Stats
	if err := prepare(w, Config{Break: time.Millisecond, KeepBacklog: true}, &stats); err != nil || len(w.done) != 1 || w.done[0] != "break+" {
		t.Errorf("the port was told %v, %v", w.done, err)
	}
	w.fault = errNoTTY
	if err := prepare(w, Config{Break: time.Millisecond, KeepBacklog: true}, &stats); err != nil || !stats.NoModem {
		t.Errorf("a port that knows no break: %v", err)
	}
	for want, c := range map[string]Config{
		"break of 1m0s": {Break: time.Minute}, "baud 10": {Baud: 10}, "data bits 9": {DataBits: 9}, `parity "yes"`: {Parity: "yes"}, "stop bits 3": {StopBits: 3},
		"RS-485 delay": {RS485: &RS485{BeforeSend: time.Second}},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	if err := (Config{}).Check(); err != nil {
		t.Error(err)
	}
}
