package sidebyside

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plumbline/harness"
	"plumbline/harness/capacity"
	"plumbline/harness/fault"
	"plumbline/harness/sut"
)

// killLead is the time before the kill: it falls on any phase of whatever the system does at intervals.
const killLead = 500 * time.Millisecond

// killDrain is how long what is missing is waited for after the last was published. That is after viewers were waited for until they
// were back and had fresh data. Of who loses something it is waited for in vain; what comes later counts as lost.
const killDrain = 5 * time.Second

// comeback is how long viewers are waited for.
const comeback = 30 * time.Second

// killed kills the system under load, starts it again and counts what was lost.
func (p *part) killed(ctx context.Context) error {
	b, err := p.open(ctx, "killed", p.load.Rate, p.load.Few, killDrain)
	if err != nil {
		return err
	}
	if !b.SUT.Kills() {
		return b.Close()
	}
	lead := killLead + time.Duration(p.rnd.Int64N(int64(killLead)))
	var died int64
	err = b.Around(ctx, "killed", lead, killLead, func(ctx context.Context) error {
		died = b.Clock.Now()
		if err := death(ctx, b, p.load.Dead); err != nil {
			return err
		}
		if err := b.Settled(ctx, comeback); err != nil && !errors.Is(err, harness.ErrAway) {
			return err
		}
		return b.Fresh(ctx, capacity.Drain)
	})
	r, h, err := finish(ctx, b, err)
	if err != nil {
		return err
	}
	d, _ := h.Delivery(of(r, "killed"))
	f := &p.figures
	f.Owed, f.Lost, f.Doubtful, f.Doubled = d.Owed, d.Lost, d.Unconfirmed, d.Duplicated+d.Repeated
	f.Back = lastBack(h.Resumptions(of(r, "killed")), p.load.Few, died)
	if f.Owed == 0 {
		return fmt.Errorf("sidebyside: nothing was published around the kill of %q", r.SUT.Name)
	}
	return nil
}

// death kills the bridge, leaves it dead for a while and starts it again.
func death(ctx context.Context, b *harness.Bench, dead time.Duration) error {
	return fault.Apply(ctx, b.Recorder, kill{b.SUT}, dead)
}

// kill is SIGKILL of the bridge and its start.
type kill struct{ system *sut.SUT }

var _ fault.Fault = kill{}

// Name implements fault.Fault.
func (kill) Name() string { return "SIGKILL of the bridge" }

// Inject implements fault.Fault.
func (k kill) Inject(context.Context) error { return k.system.Kill() }

// Revert implements fault.Fault.
func (k kill) Revert(ctx context.Context) error { return k.system.Start(ctx) }
