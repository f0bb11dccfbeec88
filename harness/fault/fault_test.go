package fault_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"plumbline/harness/fault"
	"plumbline/harness/record"
)

// switched is a fault that counts what is done to it.
type switched struct {
	injected, reverted int
	fail               error
	seen               error // of the context that Revert got
}

func (*switched) Name() string { return "switch" }

func (s *switched) Inject(context.Context) error { s.injected++; return s.fail }

func (s *switched) Revert(ctx context.Context) error { s.reverted++; s.seen = ctx.Err(); return nil }

func TestApplyStampsAndReverts(t *testing.T) {
	r, f := recorder(t), &switched{}
	must(t, fault.Apply(limit(t), r, f, 20*time.Millisecond))
	events := eventsOf(t, r)
	if f.injected != 1 || f.reverted != 1 || len(events) != 2 {
		t.Fatalf("injected %d, reverted %d, events %+v", f.injected, f.reverted, events)
	}
	if events[0].Kind != record.FaultOnset || events[1].Kind != record.FaultEnd || events[0].Subject != "switch" {
		t.Fatalf("events are %+v", events)
	}
	if held := events[1].At - events[0].At; held < int64(20*time.Millisecond) {
		t.Fatalf("held for %v", time.Duration(held))
	}
}

func TestApplyRevertsInEveryCase(t *testing.T) {
	broken := errors.New("no such process")
	for _, c := range []struct {
		name string
		run  func(*record.Recorder, *switched) error
		want error
	}{
		{"context ends", func(r *record.Recorder, f *switched) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return fault.Apply(ctx, r, f, time.Hour)
		}, context.Canceled},
		{"injection fails", func(r *record.Recorder, f *switched) error {
			f.fail = broken
			return fault.During(t.Context(), r, f, func(context.Context) error { t.Error("the action ran"); return nil })
		}, broken},
		{"action fails", func(r *record.Recorder, f *switched) error {
			return fault.During(t.Context(), r, f, func(context.Context) error { return broken })
		}, broken},
		{"action panics", func(r *record.Recorder, f *switched) (err error) {
			defer func() { err, _ = recover().(error) }()
			return fault.During(t.Context(), r, f, func(context.Context) error { panic(broken) })
		}, broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, f := recorder(t), &switched{}
			if err := c.run(r, f); !errors.Is(err, c.want) {
				t.Errorf("error is %v", err)
			}
			if f.reverted != 1 || f.seen != nil {
				t.Errorf("reverted %d times with a context that says %v", f.reverted, f.seen)
			}
			if events := eventsOf(t, r); len(events) != 2 || events[1].Kind != record.FaultEnd {
				t.Errorf("events are %+v", events)
			}
		})
	}
}

func TestPlanIsSetByItsSeed(t *testing.T) {
	p := relay(t)
	faults := []fault.Fault{p.CutFault(true), p.CutFault(false)}
	text := func(seed uint64) string {
		steps, err := fault.Plan(seed, faults, 20, time.Minute, 4*time.Second)
		must(t, err)
		var lines []string
		for i, s := range steps {
			lines = append(lines, s.String())
			if end := time.Duration(i+1) * 3 * time.Second; s.At < end-3*time.Second || s.At+s.Hold > end || s.Hold <= 0 {
				t.Errorf("step %d leaves its slot: %s", i, s)
			}
		}
		return strings.Join(lines, "\n")
	}
	if first, second := text(7), text(7); first != second {
		t.Error("equal seeds gave different plans")
	}
	if text(7) == text(8) {
		t.Error("different seeds gave equal plans")
	}
	if _, err := fault.Plan(1, nil, 1, time.Second, time.Second); err == nil {
		t.Error("a plan of no faults was made")
	}
	if _, err := fault.Plan(1, faults, 1000, time.Second, time.Second); err == nil {
		t.Error("a plan without room was made")
	}
}

func TestRunLeavesTheSameLogForTheSameSeed(t *testing.T) {
	log := func() (out []string) {
		p := relay(t)
		r := recorder(t)
		steps, err := fault.Plan(3, []fault.Fault{p.CutFault(true), p.BlackHoleFault(fault.Both), p.LatencyFault(fault.Upstream, time.Millisecond, time.Millisecond, 9)}, 6, 60*time.Millisecond, 5*time.Millisecond)
		must(t, err)
		must(t, fault.Run(limit(t), r, steps))
		for _, e := range eventsOf(t, r) {
			out = append(out, string(e.Kind)+" "+e.Subject)
		}
		return out
	}
	first, second := log(), log()
	if len(first) != 12 || strings.Join(first, "\n") != strings.Join(second, "\n") {
		t.Fatalf("logs differ:\n%v\n%v", first, second)
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &switched{}
	err := fault.Run(ctx, nil, []fault.Step{{At: time.Hour, Fault: f}})
	if !errors.Is(err, context.Canceled) || f.injected != 0 {
		t.Fatalf("error is %v, injected %d times", err, f.injected)
	}
}
