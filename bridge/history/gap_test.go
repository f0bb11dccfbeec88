package history_test

import (
	"context"
	"fmt"
	"testing"

	"plumbline/bridge/history"
	"plumbline/bridge/internal/eventually"
)

// endless is a store with more series than anybody looks at.
type endless struct{ history.Store }

func (e endless) Latest(ctx context.Context, q history.ListQuery) (history.PointPage, error) {
	page, err := e.Store.Latest(ctx, history.ListQuery{Filter: q.Filter, Limit: q.Limit})
	page.More = true
	return page, err
}

// evicted fills a store to 10, lets the journal's retention pass it by, and runs a sink on the store as wrap has it, which gives up
// soon when it looks for the begin of the gap. It returns the gap.
func evicted(t *testing.T, wrap func(history.Store) history.Store) history.Gap {
	t.Helper()
	b := newBench(t)
	b.opts.SegmentBytes, b.opts.RetainBytes, b.opts.TailBytes = 4096, 8192, 1
	b.start()
	b.publish(10)
	b.caughtUp()
	b.halt()
	b.publish(2000)
	eventually.Must(t, "retention", func() bool { return b.j.First() > 1000 })
	b.wrap = wrap
	b.opening = func() { history.ShortenLook(b.sink) }
	b.run()
	b.caughtUp()
	b.end()
	gaps := b.gaps()
	if len(gaps) == 0 || gaps[0].From != 10 {
		t.Fatalf("gaps %+v, want one after 10", gaps)
	}
	return gaps[0]
}

// The search for the begin of a gap does not keep the store from being filled.
func TestGapBeginIsNotLookedForWithoutEnd(t *testing.T) {
	if g := evicted(t, func(s history.Store) history.Store { return endless{s} }); g.Begin.IsZero() {
		t.Errorf("%+v, want the youngest so far for its begin", g)
	}
}

// sluggish is a store that does not tell its latest values in time, the first times.
type sluggish struct {
	history.Store
	times int
}

func (s *sluggish) Latest(ctx context.Context, q history.ListQuery) (history.PointPage, error) {
	if s.times != 0 {
		s.times--
		<-ctx.Done()
		return history.PointPage{}, ctx.Err()
	}
	return s.Store.Latest(ctx, q)
}

// A gap without a begin is part of the answer to every question about an earlier time, for ever: a store that is slow once does not
// make one, and one that never answers does not keep itself from being filled.
func TestGapBeginOfASlowStore(t *testing.T) {
	for times, known := range map[int]bool{1: true, 3: true, -1: false} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			if g := evicted(t, func(s history.Store) history.Store { return &sluggish{s, times} }); g.Begin.IsZero() == known {
				t.Errorf("%+v, want the begin known: %v", g, known)
			}
		})
	}
}
