package scenarios

import (
	"context"
	"errors"
	"testing"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/oracle"
)

// hoarder takes a few messages and acknowledges none.
type hoarder struct{ counts load.Counts }

func (h *hoarder) Counts(context.Context) (load.Counts, error) { return h.counts, nil }

func (h *hoarder) Send(context.Context, int) (bool, error) {
	h.counts.Sent++
	h.counts.InFlight++
	return true, nil
}

func (h *hoarder) WaitAcked(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A broker that lets the publisher wait for who does not read is no fault of the
// harness: what it did not take is for the judge.
func TestABrokerThatPushesBackIsNoFaultOfTheHarness(t *testing.T) {
	h := &hoarder{}
	if err := flood(t.Context(), h, 32<<20, 0, 20*time.Millisecond); err != nil || h.counts.Sent != bulkInFlight {
		t.Errorf("%+v, %v", h.counts, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := flood(ctx, h, 32<<20, 0, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that ended gives %v", err)
	}
}

// A rig that did not run before the one stopped reading excuses nothing after it.
func TestTheRigIsAskedForTheTimeOfTheStall(t *testing.T) {
	for name, c := range map[string]struct {
		at   int64
		from time.Duration
		want float64
	}{"before": {100 * ms, 0, 0}, "in it": {3000 * ms, 0, 500}, "not all kept": {100 * ms, time.Minute, 900}} {
		judgement(t, &stalled().Log, func(j *judged) {
			j.stood.Gaps, j.stood.From, j.health.HiccupMax = []oracle.Gap{{At: c.at, Length: 500 * time.Millisecond}}, c.from, 900
			if got := j.longestAway(400 * time.Millisecond); got != c.want {
				t.Errorf("%s: away for %v ms, want %v", name, got, c.want)
			}
			j.bounded("RES-05")
		})
	}
}
