package conform

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// Bounds of the evidence of one case.
const (
	MaxBytesShown = 512
	maxExchanges  = 60
)

// Hex is bytes that print and encode as hexadecimal digits.
type Hex []byte

// String returns the digits.
func (h Hex) String() string { return hex.EncodeToString(h) }

// MarshalText returns the digits.
func (h Hex) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// IsZero says whether there are none.
func (h Hex) IsZero() bool { return len(h) == 0 }

// UnmarshalText reads digits.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// Trial is one case while it runs. The first verdict that is given stays; what
// a trial does after that has no effect, so that a case reads as a procedure.
// One without a verdict at its end has passed. Its methods may be called by
// any goroutine.
type Trial struct {
	ctx      context.Context
	cancel   context.CancelFunc
	began    time.Time
	patience time.Duration
	end      Endpoint
	secrets  []string

	mu      sync.Mutex // guards what follows
	verdict Verdict
	detail  string
	steps   []Exchange
	left    int // steps that found no room
	conns   []*Conn
}

// Context ends with the time of the case.
func (t *Trial) Context() context.Context { return t.ctx }

// Patience is how long the suite waits for what ought to come at once.
func (t *Trial) Patience() time.Duration { return t.patience }

// Left is how much of the time of the case is left.
func (t *Trial) Left() time.Duration {
	end, _ := t.ctx.Deadline() // which every case has
	return time.Until(end)
}

// Decided reports whether a verdict was given or time is up: a loop ends here.
func (t *Trial) Decided() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.verdict != NotRun || t.ctx.Err() != nil
}

// Failf says that the endpoint broke the rule, and by what.
func (t *Trial) Failf(format string, args ...any) { t.decide(Fail, format, args...) }

// Skipf says that the rule does not apply, and why.
func (t *Trial) Skipf(format string, args ...any) { t.decide(NotApplicable, format, args...) }

// Unsuref says that nothing is shown, and why.
func (t *Trial) Unsuref(format string, args ...any) { t.decide(Inconclusive, format, args...) }

// Passf says that the rule is kept, and by what.
func (t *Trial) Passf(format string, args ...any) { t.decide(Pass, format, args...) }

func (t *Trial) decide(v Verdict, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.verdict == NotRun && t.ctx.Err() == nil {
		t.verdict, t.detail = v, fmt.Sprintf(format, args...)
	}
}

// Sayf is what the case says for itself unless a verdict brings other words.
func (t *Trial) Sayf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.verdict == NotRun {
		t.detail = fmt.Sprintf(format, args...)
	}
}

// Notef puts an observation into the transcript.
func (t *Trial) Notef(format string, args ...any) {
	t.add(Exchange{From: "note", Note: fmt.Sprintf(format, args...)})
}

// Evidence returns the transcript so far.
func (t *Trial) Evidence() []Exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Exchange(nil), t.steps...)
}

func (t *Trial) add(x Exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.steps) >= maxExchanges {
		// What comes last is what decided: keep the end of the transcript too.
		half := maxExchanges / 2
		copy(t.steps[half:], t.steps[half+1:])
		t.steps = t.steps[:maxExchanges-1]
		t.left++
	}
	x.At = time.Since(t.began)
	t.steps = append(t.steps, x)
}

// Pause waits, for what the protocol measures in time. It reports false when
// the time of the case was over first.
func (t *Trial) Pause(d time.Duration) bool {
	if t.Decided() {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.ctx.Done():
		return false
	}
}

// result closes what is open and returns the case.
func (t *Trial) result(parent context.Context, rule Rule) Case {
	timedOut := t.ctx.Err() != nil
	t.cancel()
	t.mu.Lock()
	conns := t.conns
	t.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case parent.Err() != nil && t.verdict == NotRun:
		t.detail = "interrupted before it came to a verdict"
	case timedOut && t.verdict == NotRun:
		t.verdict, t.detail = Inconclusive, "the time of the case was over before it came to a verdict"
	case t.verdict == NotRun:
		t.verdict = Pass
	}
	if t.left > 0 {
		t.steps[maxExchanges/2].Note += fmt.Sprintf(" (%d steps before this one are left out)", t.left)
	}
	detail := string(conceal([]byte(t.detail), t.secrets))
	return Case{Rule: rule, Verdict: t.verdict, Detail: detail, Evidence: t.steps, began: t.began, ended: time.Now()}
}
