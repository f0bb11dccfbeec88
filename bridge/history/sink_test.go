package history_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"plumbline/bridge/history"
	"plumbline/bridge/history/sqlite"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// bench is a journal and a store on disk with a sink between them.
type bench struct {
	t    *testing.T
	dir  string
	opts journal.Options
	j    *journal.Journal
	m    *metrics.Set
	sink *history.Sink
	stop context.CancelFunc
	done chan error
	wrap func(history.Store) history.Store // what the sink sees of the store

	opening func() // called before the store is opened; nil does nothing
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	return &bench{t: t, dir: dir, opts: journal.Options{Dir: filepath.Join(dir, "journal")}, wrap: func(s history.Store) history.Store { return s }}
}

func (b *bench) openStore(ctx context.Context) (history.Store, error) {
	if b.opening != nil {
		b.opening()
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(b.dir, "history.db")})
	if err != nil {
		return nil, err
	}
	return b.wrap(s), nil
}

// start opens the journal and runs a sink; both end with the test or with end.
func (b *bench) start() {
	b.t.Helper()
	b.openJournal()
	b.run()
}

func (b *bench) openJournal() {
	b.t.Helper()
	var err error
	if b.j, err = journal.Open(b.opts); err != nil {
		b.t.Fatal(err)
	}
	j := b.j
	b.t.Cleanup(func() { _ = j.Close() })
}

func (b *bench) run() {
	b.t.Helper()
	b.m = metrics.New()
	b.sink = history.NewSink(history.SinkOptions{Journal: b.j, Open: b.openStore, Name: "sqlite", Flush: time.Millisecond, Batch: 50, Metrics: b.m})
	history.Hasten(b.sink)
	ctx, cancel := context.WithCancel(context.Background())
	b.stop, b.done = cancel, make(chan error, 1)
	done := b.done
	go func() { done <- b.sink.Run(ctx) }()
	b.t.Cleanup(b.halt)
}

// halt ends the sink and waits.
func (b *bench) halt() {
	b.stop()
	if b.done == nil {
		return
	}
	select {
	case err := <-b.done:
		if err != nil {
			b.t.Errorf("Run: %v", err)
		}
	case <-time.After(eventually.Patience):
		b.t.Error("the sink does not end")
	}
	b.done = nil
}

// end stops the sink and closes the journal.
func (b *bench) end() {
	b.t.Helper()
	b.halt()
	if err := b.j.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// publish appends n readings, each its own offset.
func (b *bench) publish(n int) {
	b.t.Helper()
	for range n {
		if _, _, err := b.j.Append(b.t.Context(), journal.Message{Topic: "plant/1", Payload: fmt.Append(nil, b.j.Head().Offset+1)}); err != nil {
			b.t.Fatal(err)
		}
	}
}

func count(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func (b *bench) caughtUp() {
	b.t.Helper()
	eventually.Must(b.t, "the sink to catch up", func() bool {
		n, _ := b.sink.Lag()
		return n == 0
	})
}

// stored returns the offsets of what is stored, and fails on one that is there twice or has another message's number.
func (b *bench) stored() (offsets map[string]map[uint64]bool, n int) {
	b.t.Helper()
	s, err := sqlite.Open(b.t.Context(), sqlite.Options{Path: filepath.Join(b.dir, "history.db")})
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	offsets = map[string]map[uint64]bool{}
	page, err := s.Range(b.t.Context(), history.RangeQuery{Series: history.Series{Topic: "plant/1", Field: "value"}, From: time.Unix(0, 0), To: time.Now().Add(time.Hour), Limit: 1_000_000})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, p := range page.Points {
		if offsets[p.Epoch] == nil {
			offsets[p.Epoch] = map[uint64]bool{}
		}
		if offsets[p.Epoch][p.Offset] || uint64(p.Value) != p.Offset {
			b.t.Errorf("offset %d of epoch %s is stored twice, or with another's number %v", p.Offset, p.Epoch, p.Value)
		}
		offsets[p.Epoch][p.Offset] = true
	}
	hour := history.Floor(time.Now(), time.Hour)
	a, err := s.Aggregate(b.t.Context(), history.AggregateQuery{Series: history.Series{Topic: "plant/1", Field: "value"}, From: hour.Add(-24 * time.Hour), To: hour.Add(24 * time.Hour), Step: time.Hour})
	if err != nil {
		b.t.Fatal(err)
	}
	rolled := int64(0)
	for _, x := range a.Buckets {
		rolled += x.Count
	}
	if int(rolled) != len(page.Points) {
		b.t.Errorf("the rollups count %d points, %d are stored", rolled, len(page.Points))
	}
	return offsets, len(page.Points)
}

func (b *bench) gaps() []history.Gap {
	b.t.Helper()
	s, err := sqlite.Open(b.t.Context(), sqlite.Options{Path: filepath.Join(b.dir, "history.db")})
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	gaps, err := s.Gaps(b.t.Context(), time.Unix(0, 0), time.Now().Add(time.Hour), 100)
	if err != nil {
		b.t.Fatal(err)
	}
	return gaps
}

func TestSinkStoresOnceAcrossRestarts(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.start()
		eventually.Must(t, "the store to be open", func() bool { return b.sink.Store() != nil })
		b.publish(120)
		b.end() // the last words hold what was not stored yet
	}
	if offsets, n := b.stored(); n != 360 || len(offsets) != 1 {
		t.Errorf("%d points in %d epochs, want 360 in one", n, len(offsets))
	}
	if gaps := b.gaps(); len(gaps) != 0 {
		t.Errorf("gaps %v", gaps)
	}
}

// faulty is a store that fails when told to.
type faulty struct {
	history.Store
	down *atomic.Bool // Write and Cursor fail
	lost *atomic.Bool // the next Write is done and its answer lost
}

var errDown = errors.New("the database is down")

func (f faulty) Cursor(ctx context.Context) (journal.Cursor, error) {
	if f.down.Load() {
		return journal.Cursor{}, errDown
	}
	return f.Store.Cursor(ctx)
}

func (f faulty) Write(ctx context.Context, b *history.Batch) (history.Written, error) {
	if f.down.Load() {
		return history.Written{}, errDown
	}
	w, err := f.Store.Write(ctx, b)
	if err == nil && f.lost.Swap(false) {
		return history.Written{}, errDown
	}
	return w, err
}

func (b *bench) faults() (down, lost *atomic.Bool) {
	down, lost = new(atomic.Bool), new(atomic.Bool)
	b.wrap = func(s history.Store) history.Store { return faulty{s, down, lost} }
	return down, lost
}

func TestSinkWaitsForTheStore(t *testing.T) {
	b := newBench(t)
	down, lost := b.faults()
	b.start()
	b.publish(100)
	b.caughtUp()
	down.Store(true)
	b.publish(500) // nothing of this waits for the store
	eventually.Must(t, "errors to be counted", func() bool { return count(t, b.m.SinkErrors.WithLabelValues("sqlite", "write")) > 2 })
	if n, age := b.sink.Lag(); n != 500 || age <= 0 {
		t.Errorf("lag %d entries, %s, want 500", n, age)
	}
	down.Store(false)
	b.caughtUp()
	lost.Store(true)
	b.publish(100)
	b.caughtUp()
	if got := count(t, b.m.SinkPoints.WithLabelValues("sqlite")); got != 700 {
		t.Errorf("%v points counted, want 700", got)
	}
	b.end()
	if _, n := b.stored(); n != 700 {
		t.Errorf("%d points stored, want 700", n)
	}
}

// What retention took while the store was down is a gap with its count, and the rest is stored.
func TestSinkDeclaresWhatRetentionTook(t *testing.T) {
	b := newBench(t)
	b.opts.SegmentBytes, b.opts.RetainBytes, b.opts.TailBytes = 4096, 8192, 1
	down, _ := b.faults()
	b.start()
	b.publish(10)
	b.caughtUp()
	down.Store(true)
	b.publish(2000)
	eventually.Must(t, "retention", func() bool { return b.j.First() > 1000 })
	down.Store(false)
	b.caughtUp()
	b.end()
	_, n := b.stored()
	missing := uint64(0)
	for _, g := range b.gaps() {
		if g.Reason != history.GapEvicted || g.Count != g.To-g.From || g.Begin.IsZero() || g.End.Before(g.Begin) {
			t.Errorf("gap %+v", g)
		}
		missing += g.Count
	}
	if missing == 0 || uint64(n)+missing != 2010 {
		t.Errorf("%d points stored and %d declared missing of 2010", n, missing)
	}
	if got := count(t, b.m.SinkGaps.WithLabelValues("sqlite", history.GapEvicted)); got == 0 {
		t.Error("no gap is counted")
	}
}

// What retention took while no sink ran begins where the store ends: what is older is whole.
func TestGapBeginsWhereTheStoreEnds(t *testing.T) {
	b := newBench(t)
	b.opts.SegmentBytes, b.opts.RetainBytes, b.opts.TailBytes = 4096, 8192, 1
	b.start()
	b.publish(10)
	b.caughtUp()
	last, err := b.j.Read(9, 1, 0)
	if err != nil || len(last) != 1 {
		t.Fatal(last, err)
	}
	b.halt()
	b.publish(2000)
	eventually.Must(t, "retention", func() bool { return b.j.First() > 1000 })
	b.run()
	b.caughtUp()
	b.end()
	gaps := b.gaps()
	if len(gaps) == 0 || gaps[0].From != 10 || !gaps[0].Begin.Equal(last[0].Time) {
		t.Errorf("gaps %+v, want one after 10 that begins at %s", gaps, last[0].Time)
	}
}

// What the disk does not give at the moment holds up what comes after it, and nothing before it.
func TestSinkStoresUpToWhatCannotBeRead(t *testing.T) {
	b := newBench(t)
	b.opts.SegmentBytes, b.opts.TailBytes = 4096, 1
	b.openJournal()
	b.publish(400)
	files, err := filepath.Glob(filepath.Join(b.opts.Dir, "*.seg"))
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	hidden := filepath.Join(b.dir, "hidden")
	if err := os.Rename(files[2], hidden); err != nil {
		t.Fatal(err)
	}
	// A folder gives no bytes. It stands there by a link, so that the file comes back in one step: a name that is
	// missing between two steps would be a lost segment, which is a gap.
	if err := os.Symlink(b.dir, files[2]); err != nil {
		t.Fatal(err)
	}
	var base uint64 // of the first entry that cannot be read
	if _, err := fmt.Sscanf(filepath.Base(files[2]), "%d", &base); err != nil {
		t.Fatal(err)
	}
	b.run()
	eventually.Must(t, "all that can be read to be stored", func() bool {
		n, _ := b.sink.Lag()
		return n == 400-(base-1)
	})
	if err := os.Rename(hidden, files[2]); err != nil {
		t.Fatal(err)
	}
	b.caughtUp()
	b.end()
	if _, n := b.stored(); n != 400 || len(b.gaps()) != 0 {
		t.Errorf("%d points and gaps %v, want all 400 and none", n, b.gaps())
	}
}

// A renewed epoch is declared, and what the journal still holds is stored once.
func TestSinkFollowsAnEpoch(t *testing.T) {
	b := newBench(t)
	b.start()
	b.publish(60)
	b.caughtUp()
	b.end()
	if err := os.Remove(filepath.Join(b.opts.Dir, "state.json")); err != nil {
		t.Fatal(err)
	}
	b.openJournal()
	b.publish(40)
	b.run()
	b.caughtUp()
	b.end()
	offsets, n := b.stored()
	if n != 100 || len(offsets) != 2 {
		t.Errorf("%d points in %d epochs, want 100 in 2", n, len(offsets))
	}
	gaps := b.gaps()
	if len(gaps) != 1 || gaps[0].Reason != history.GapEpoch || gaps[0].From != 60 || gaps[0].Begin.IsZero() {
		t.Errorf("gaps %+v, want one of reason epoch after 60", gaps)
	}
}

// Somebody else wrote to the store: the sink goes on from where the store is.
func TestSinkYieldsToAnotherWriter(t *testing.T) {
	b := newBench(t)
	b.start()
	b.publish(10)
	b.caughtUp()
	other, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(b.dir, "history.db")})
	if err != nil {
		t.Fatal(err)
	}
	at := journal.Cursor{Epoch: b.j.Epoch(), Offset: 10}
	if _, err := other.Write(t.Context(), &history.Batch{From: at, To: journal.Cursor{Epoch: at.Epoch, Offset: 12}}); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	b.publish(10)
	b.caughtUp()
	b.end()
	if offsets, n := b.stored(); n != 18 || offsets[at.Epoch][11] || !offsets[at.Epoch][13] {
		t.Errorf("%d points stored, want 18, without 11 and 12", n)
	}
}

// A store that cannot be opened keeps nothing from running or ending.
func TestSinkWithoutStore(t *testing.T) {
	b := newBench(t)
	if err := os.Mkdir(filepath.Join(b.dir, "history.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.publish(50)
	eventually.Must(t, "errors to be counted", func() bool { return count(t, b.m.SinkErrors.WithLabelValues("sqlite", "open")) > 1 })
	if n, _ := b.sink.Lag(); n != 50 || b.sink.Store() != nil {
		t.Errorf("lag %d, store %v", n, b.sink.Store())
	}
	if err := os.Remove(filepath.Join(b.dir, "history.db")); err != nil {
		t.Fatal(err)
	}
	b.caughtUp()
	b.end()
	if _, n := b.stored(); n != 50 {
		t.Errorf("%d points, want 50", n)
	}
}

// A drain that begins while the store is being opened, which a busy server can take seconds for, stores what the journal holds all the same.
func TestDrainWaitsForTheStoreToOpen(t *testing.T) {
	b := newBench(t)
	b.openJournal()
	b.publish(50)
	began, goes := make(chan struct{}), make(chan struct{})
	b.opening = func() {
		close(began)
		<-goes
	}
	b.run()
	<-began
	b.stop()
	close(goes)
	b.end()
	if _, n := b.stored(); n != 50 {
		t.Errorf("%d points, want 50", n)
	}
}
