package virtual

import (
	"context"
	"fmt"
	"time"
)

// maxAdvance bounds how much time of a twin is skipped at once.
const maxAdvance = 24 * time.Hour

// Advance implements devices.Fixture. While the twin is plugged in it waits.
// Unplugged, where nobody can hear it, d passes at once: the twin says into its
// line each line that falls due within d, with the instant at which it was due, and
// its clock goes on by d. At most a day passes so; a plug within ends it, and the
// rest is waited for. When ctx ends within, its error is returned and the clock
// stands where the twin came to.
func (t *Twin) Advance(ctx context.Context, d time.Duration) error {
	if d < 0 || d > maxAdvance {
		return fmt.Errorf("virtual: advance %q: %v is not between 0 and %v", t.opts.ID, d, maxAdvance)
	}
	for d > 0 && !t.port.Plugged() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("virtual: advance %q: %v are left: %w", t.opts.ID, d, err)
		}
		d -= t.skip(d)
	}
	return pass(ctx, d)
}

// skip lets the clock go on to the line that is due next, says it, and returns how
// much of d that took: all of it when none is due within. No lock is held that a
// plug needs: what lies in the line may be held by who plugs.
func (t *Twin) skip(d time.Duration) time.Duration {
	t.speaking.Lock()
	defer t.speaking.Unlock()
	t.mu.Lock()
	now := time.Now()
	passed := d
	due := !t.silent() && t.stall == 0 && t.due.Sub(now) <= d
	if due {
		passed = max(t.due.Sub(now), 0)
	}
	t.start, t.due = t.start.Add(-passed), t.due.Add(-passed)
	if !due {
		t.wake()
		t.mu.Unlock()
		return passed
	}
	line := t.line(t.due)
	t.due = t.next()
	t.mu.Unlock()
	_, _ = t.toPort.Write(line) // the port is gone: it counts what it loses
	return passed
}
