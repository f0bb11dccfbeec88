package storetest

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// Server is a database server that a test may end as a crash does, and start again.
type Server interface {
	Kill()
	Start()
}

const (
	outages     = 5
	outageTopic = "plant/1"
	occasional  = 10 // each so many messages is an event
)

// Outage runs a sink between a journal that takes messages all the time and the store, and kills the server in the middle of a
// batch, again and again. Meanwhile the journal goes on and the sink lags; in the end each message is stored once.
func Outage(t *testing.T, server Server, open func(ctx context.Context) (history.Store, error)) {
	t.Helper()
	j, err := journal.Open(journal.Options{Dir: filepath.Join(t.TempDir(), "journal")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	writes := make(chan struct{}, 1)
	sink := history.NewSink(history.SinkOptions{Journal: j, Name: "outage", Flush: time.Millisecond, Batch: 2000, Open: func(ctx context.Context) (history.Store, error) {
		s, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return announcing{s, writes}, nil
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = sink.Run(ctx) }) // it never fails
	defer running.Wait()
	defer cancel()
	pctx, stop := context.WithCancel(ctx)
	var published uint64
	var publisher sync.WaitGroup
	publisher.Go(func() { published = publish(pctx, t, j) })
	for range outages {
		kill(t, server, j, sink, writes)
	}
	stop()
	publisher.Wait()
	eventually.Must(t, "the sink to store everything", func() bool { return lag(sink) == 0 })
	cancel()
	running.Wait()
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	once(t, s, published)
}

// announcing says when a batch is on its way.
type announcing struct {
	history.Store
	writes chan<- struct{}
}

func (a announcing) Write(ctx context.Context, b *history.Batch) (history.Written, error) {
	select {
	case a.writes <- struct{}{}:
	default:
	}
	return a.Store.Write(ctx, b)
}

// publish appends messages until ctx ends, each its own offset, and returns how many.
func publish(ctx context.Context, t *testing.T, j *journal.Journal) (n uint64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return n
		case <-tick.C:
		}
		for range 3 {
			m := journal.Message{Topic: outageTopic, Payload: fmt.Append(nil, n+1)}
			if (n+1)%occasional == 0 {
				m.Payload = fmt.Append(nil, "event ", n+1)
			}
			if _, _, err := j.Append(context.WithoutCancel(ctx), m); err != nil {
				t.Errorf("append: %v", err)
				return n
			}
			n++
		}
	}
}

func lag(s *history.Sink) uint64 {
	n, _ := s.Lag()
	return n
}

// kill is one outage.
func kill(t *testing.T, server Server, j *journal.Journal, sink *history.Sink, writes <-chan struct{}) {
	t.Helper()
	select {
	case <-writes:
	default:
	}
	select {
	case <-writes:
	case <-time.After(eventually.Patience):
		t.Fatal("the sink does not write")
	}
	server.Kill()
	head := j.Head().Offset
	eventually.Must(t, "the journal to go on and the sink to lag while the server is away", func() bool {
		return j.Head().Offset > head+500 && lag(sink) > 500
	})
	server.Start()
	head = j.Head().Offset
	eventually.Must(t, "the sink to go on after the server came back", func() bool { return j.Head().Offset-lag(sink) > head })
}

// once checks that the store holds the messages 1 to n, each once, and nothing else.
func once(t *testing.T, s history.Store, n uint64) {
	t.Helper()
	from, to := time.Now().Add(-time.Hour).Truncate(time.Hour), time.Now().Add(2*time.Hour).Truncate(time.Hour)
	series := history.Series{Topic: outageTopic, Field: "value"}
	seen := map[uint64]int{}
	page, err := s.Range(t.Context(), history.RangeQuery{Series: series, From: from, To: to, Limit: int(n) + 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range page.Points {
		if seen[p.Offset]++; uint64(p.Value) != p.Offset {
			t.Errorf("offset %d is stored with the number %v of another", p.Offset, p.Value)
		}
	}
	events, err := s.Events(t.Context(), history.EventQuery{Filter: outageTopic, From: from, To: to, Limit: int(n) + 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Events {
		if seen[e.Offset]++; string(e.Payload) != fmt.Sprint("event ", e.Offset) {
			t.Errorf("offset %d is stored with the payload %q of another", e.Offset, e.Payload)
		}
	}
	for offset := range n {
		if seen[offset+1] != 1 {
			t.Errorf("message %d is stored %d times", offset+1, seen[offset+1])
		}
	}
	a, err := s.Aggregate(t.Context(), history.AggregateQuery{Series: series, From: from, To: to, Step: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	counted := int64(0)
	for _, b := range a.Buckets {
		counted += b.Count
	}
	if uint64(len(seen)) != n || counted != int64(len(page.Points)) || page.Cursor.Offset != n {
		t.Errorf("%d messages are stored of %d, statistics count %d of %d numbers, the cursor is %v", len(seen), n, counted, len(page.Points), page.Cursor)
	}
	t.Logf("%d messages through %d outages, each stored once", n, outages)
}
