package harness

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"

	"plumbline/devices/ptytwin"
)

// Fate is what became of a line of a device at its port.
type Fate string

// The fates of a line.
const (
	Whole   Fate = "whole"   // it went out as it was said
	Damaged Fate = "damaged" // one bit was flipped on its way
	Gone    Fate = "gone"    // there was no port, or what lay before it read something else
)

// Spoken are lines of a device whose numbers follow each other and that had one
// fate. Openings count what a reader has to find its feet after: what a device
// said before the first line that was read may be missing.
type Spoken struct {
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Fate    Fate   `json:"fate"`
	Opening int    `json:"opening"`
}

// Ledger stands between a device of the bench and its port and keeps what the
// device said, line by line: the truth that screens are held against. It damages
// lines itself, so that it knows which. Its methods may be called by any goroutine.
type Ledger struct {
	to   io.Writer
	port *ptytwin.Twin

	mu      sync.Mutex // held while a line goes out and while something is done between two
	fate    Fate       // of what is said now, noise apart
	opening int
	noise   *rand.Rand // nil for none
	rate    float64
	spoken  []Spoken
	damaged uint64
}

// Write takes one line of the device, or what a loss of power left of one.
func (l *Ledger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	number, known := lineNumber(p)
	fate := l.fate
	if known && fate == Whole && l.noise != nil && l.noise.Float64() < l.rate {
		p = bytes.Clone(p)
		if ptytwin.Flip(l.noise, p) {
			fate = Damaged
			l.damaged++
		}
	}
	if known {
		l.enter(number, fate)
	}
	if fate == Gone && !l.port.Plugged() {
		return len(p), nil // else it would wait for its turn, and might find the port there again
	}
	return l.to.Write(p)
}

// enter keeps the fate of a line. The caller holds mu.
func (l *Ledger) enter(number uint64, fate Fate) {
	if n := len(l.spoken); n > 0 {
		last := &l.spoken[n-1]
		if last.Last+1 == number && last.Fate == fate && last.Opening == l.opening {
			last.Last = number
			return
		}
	}
	l.spoken = append(l.spoken, Spoken{number, number, fate, l.opening})
}

// lineNumber finds the number that a node gives its line.
func lineNumber(line []byte) (uint64, bool) {
	_, after, found := bytes.Cut(line, []byte(`"seq":`))
	digits, _, ended := bytes.Cut(after, []byte(","))
	if !found || !ended || !bytes.HasSuffix(line, []byte("\n")) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	return n, err == nil
}

// Noise damages a share of the lines from now on, by a seed; 0 ends it.
func (l *Ledger) Noise(rate float64, seed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.noise = rate, nil
	if rate > 0 {
		l.noise = rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // G404: seeded, to be the same again
	}
}

// Between waits until the reader has taken what was said out of the kernel (on a
// guest's port: until the guest's kernel has it), does something before the next
// line, and gives what is said from then on a fate. That the reader has read does
// not mean that anybody was told: whoever needs that waits for the last line there.
// It returns the error of act, or that of ctx.
func (l *Ledger) Between(ctx context.Context, fate Fate, act func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.port.Flush(ctx); err != nil {
		return err
	}
	if err := act(); err != nil {
		return err
	}
	l.fate = fate
	l.opening++
	return nil
}

// Torn sends the first half of a line, as a device does that starts anew within it.
func (l *Ledger) Torn() error {
	_, err := l.to.Write([]byte(`{"id":"torn","seq":1,"us":`))
	return err
}

// Spoken returns what was said so far, in order, and how many lines were damaged.
func (l *Ledger) Spoken() (lines []Spoken, damaged uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Spoken{}, l.spoken...), l.damaged
}

// Last returns the number of the last line that went out whole, 0 for none.
func (l *Ledger) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.spoken) - 1; i >= 0; i-- {
		if l.spoken[i].Fate == Whole {
			return l.spoken[i].Last
		}
	}
	return 0
}
