package serialline

import (
	"errors"
	"io"
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

func (w *wired) Read([]byte) (int, error)     { return 0, io.EOF }
func (w *wired) Close() error                 { return nil }
func (w *wired) SetMode(m *serial.Mode) error { w.baud = m.BaudRate; return w.fault }
func (w *wired) SetDTR(on bool) error         { return w.note("DTR", on) }
func (w *wired) SetRTS(on bool) error         { return w.note("RTS", on) }
func (w *wired) Break(time.Duration) error    { return w.note("break", true) }
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
