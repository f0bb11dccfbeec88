package board

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/serialline"
)

// Errors of a Board.
var (
	// ErrNoAnswer says that the device did not answer as it was declared to.
	ErrNoAnswer = errors.New("board: no answer")
	// ErrUntold says that the device has told nothing of that name yet.
	ErrUntold = errors.New("board: the device has not told it")
)

// Wire is a line of a port that a host can set.
type Wire string

// The lines. A break is a pulse: the device sees its beginning and its end.
const (
	DTR   Wire = "dtr"
	RTS   Wire = "rts"
	Break Wire = "break"
)

// Action is one thing to be done: a Wire set to High, or a line written.
type Action struct {
	Wire  Wire          `json:"wire,omitempty"`
	High  bool          `json:"high,omitempty"`
	Pulse time.Duration `json:"pulse_ns,omitempty"` // of a break; 0 = DefaultPulse
	// Line is a command with its line end, and Answer the line that the device says
	// then, without; "" when it says nothing.
	Line   string `json:"line,omitempty"`
	Answer string `json:"answer,omitempty"`
}

const (
	// DefaultPulse is how long a break is held: longer than a character at 50 baud.
	DefaultPulse = 250 * time.Millisecond
	// DefaultAnswerWithin is how long an answer is waited for.
	DefaultAnswerWithin = 2 * time.Second
)

// Port is what a Board needs of a serial line.
type Port interface {
	devices.Device
	Write(p []byte) (int, error)
	SetDTR(on bool) error
	SetRTS(on bool) error
	Break(d time.Duration) error
	Modem() (serialline.Modem, error)
}

var _ Port = (*serialline.Line)(nil)

// Board is a device on a serial line to which something can be done while it is
// read. Its methods may be called by any goroutine, Read by one.
type Board struct {
	Port
	// AnswerWithin is how long an answer is waited for; 0 = DefaultAnswerWithin. It is set
	// before the first call of Do.
	AnswerWithin time.Duration
	ear          *Ear

	doing sync.Mutex // one action at a time
	mu    sync.Mutex
	last  map[string]float64 // what each reading said last; owned by mu
}

var _ devices.Device = (*Board)(nil)

// New returns the board on a line whose codec has the ear. The line is the board's
// from then on.
func New(line Port, ear *Ear) *Board { return &Board{Port: line, ear: ear, last: map[string]float64{}} }

// maxKept bounds the readings that are remembered: what a device calls them comes
// from outside.
const maxKept = 4096

// Read implements devices.Device.
func (b *Board) Read(ctx context.Context) (devices.Sample, error) {
	s, err := b.Port.Read(ctx)
	if err != nil {
		return s, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range s.Values {
		if _, known := b.last[v.Name]; !v.IsText && (known || len(b.last) < maxKept) {
			b.last[v.Name] = v.Number
		}
	}
	return s, nil
}

// Do does it and blocks until it is done: until a pulse is over, or an answer has
// come, for which it waits AnswerWithin at most. Errors wrap ErrNoAnswer,
// serialline.ErrNoModem for a port without that line, or devices.ErrUnplugged.
func (b *Board) Do(ctx context.Context, a Action) error {
	b.doing.Lock()
	defer b.doing.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	switch a.Wire {
	case DTR:
		return b.SetDTR(a.High)
	case RTS:
		return b.SetRTS(a.High)
	case Break:
		pulse := a.Pulse
		if pulse == 0 {
			pulse = DefaultPulse
		}
		return b.Break(pulse)
	case "":
		return b.say(ctx, a)
	}
	return fmt.Errorf("board: %q is no line of a port; choose %s, %s or %s", a.Wire, DTR, RTS, Break)
}

// say writes a command and waits for its answer.
func (b *Board) say(ctx context.Context, a Action) error {
	if line := strings.TrimRight(a.Line, "\r\n"); line == "" || line == a.Line || strings.ContainsAny(line, "\r\n") {
		return fmt.Errorf("board: command %q is not one line with its end", a.Line)
	}
	came, forget := b.ear.await(a.Answer) // before it can come
	defer forget()
	if _, err := b.Write([]byte(a.Line)); err != nil {
		return err
	}
	if a.Answer == "" {
		return nil
	}
	limit := cmp.Or(b.AnswerWithin, DefaultAnswerWithin)
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-came:
		return nil
	case <-limited.Done():
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: device %q does not say %q within %v after %q", ErrNoAnswer, b.Info().ID, a.Answer, limit, a.Line)
	}
}

// modemPrefix begins the names of the readings that are modem lines; see
// serialline.Config.ModemReadings.
const modemPrefix = "modem_"

// OfModem reports whether a reading is one that the port tells, not the device.
func OfModem(reading string) bool { return strings.HasPrefix(reading, modemPrefix) }

// Observe returns what a reading of the device says: that of a modem line at once,
// any other as it was told last. It does not block for long.
func (b *Board) Observe(reading string) (float64, error) {
	if name, modem := strings.CutPrefix(reading, modemPrefix); modem {
		lines, err := b.Modem()
		if err != nil {
			return 0, err
		}
		for line, on := range map[string]bool{"cts": lines.CTS, "dsr": lines.DSR, "dcd": lines.DCD, "ri": lines.RI} {
			switch {
			case line == name && on:
				return 1, nil
			case line == name:
				return 0, nil
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if v, told := b.last[reading]; told {
		return v, nil
	}
	return 0, fmt.Errorf("%w: %q of %q", ErrUntold, reading, b.Info().ID)
}
