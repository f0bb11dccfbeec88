package history_test

import (
	"context"
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

// The search for the begin of a gap does not keep the store from being filled.
func TestGapBeginIsNotLookedForWithoutEnd(t *testing.T) {
	b := newBench(t)
	b.opts.SegmentBytes, b.opts.RetainBytes, b.opts.TailBytes = 4096, 8192, 1
	b.start()
	b.publish(10)
	b.caughtUp()
	b.halt()
	b.publish(2000)
	eventually.Must(t, "retention", func() bool { return b.j.First() > 1000 })
	b.wrap = func(s history.Store) history.Store { return endless{s} }
	b.opening = func() { history.ShortenLook(b.sink) }
	b.run()
	b.caughtUp()
	b.end()
	if gaps := b.gaps(); len(gaps) == 0 || gaps[0].From != 10 {
		t.Errorf("gaps %+v, want one after 10", gaps)
	}
}
