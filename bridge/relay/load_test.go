package relay

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// joined returns a relay that has joined and does not run.
func joined(t *testing.T, o Options) *Relay {
	t.Helper()
	return joinedIn(t, o, t.TempDir())
}

func joinedIn(t *testing.T, o Options, dir string) *Relay {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	j, err := r.Join(t.Context(), journal.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Close(), j.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// presented returns a connection on which a relay that does not run has said where it stands.
func presented(t *testing.T, r *Relay) *server {
	t.Helper()
	heard := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(heard)
		r.listen(ctx)
	}()
	s, err := r.dial(t.Context())
	if err == nil {
		err = r.present(t.Context(), s)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		<-heard
		_ = s.Close()
	})
	return s
}

// TestBeatsGoOnUnderLoad: however much waits to be stored, a beat that is due comes before it: else the others take this node for
// gone, and its lease ends.
func TestBeatsGoOnUnderLoad(t *testing.T) {
	redis := redistest.New(t)
	r := joined(t, options(redis, "a"))
	s := presented(t, r)
	for range 4 { // each is a batch
		j := &job{ctx: t.Context(), ms: []journal.Message{{Topic: "t", Payload: make([]byte, batchBytes)}}, bytes: batchBytes, done: make(chan struct{})}
		if err := r.queue.add(j); err != nil {
			t.Fatal(err)
		}
	}
	head, beats := r.journal.Head().Offset, r.beats
	r.tended = time.Now().Add(-beatEvery)
	if err := r.pending(t.Context(), s); err != nil || r.journal.Head().Offset != head {
		t.Errorf("stored from %d to %d before a beat that was due, %v", head, r.journal.Head().Offset, err)
	}
	if err := r.tend(t.Context(), s); err != nil || r.beats != beats+1 {
		t.Errorf("%d beats, then %d, %v", beats, r.beats, err)
	}
	r.tended = time.Now().Add(time.Hour)
	if err := r.pending(t.Context(), s); err != nil || r.journal.Head().Offset != head+4 {
		t.Errorf("stored from %d to %d after the beat, %v", head, r.journal.Head().Offset, err)
	}
}

// TestLeaseGoesToWhoHasTheSources: a node without its broker does not lead, and gives the lease to one that has it. Nothing is
// acknowledged that nobody has stored.
func TestLeaseGoesToWhoHasTheSources(t *testing.T) {
	redis := redistest.New(t)
	var up [2]atomic.Int64
	sources := func(i int) func() (int, int) { return func() (int, int) { return int(up[i].Load()), 1 } }
	oa, ob := ingesting(redis, "a"), ingesting(redis, "b")
	oa.Sources, ob.Sources = sources(0), sources(1)
	a := newNode(t, oa)
	eventually.Must(t, "two beats of a node without its broker", func() bool {
		a.others.mu.Lock()
		defer a.others.mu.Unlock()
		return a.others.nodes["a"].Number >= 2
	})
	if a.leading() {
		t.Error("a node leads that gets nothing from its broker")
	}
	b := newNode(t, ob)
	up[1].Store(1)
	var most atomic.Int64
	most.Store(20)
	at := deliver(b.Relay, 0, &most)
	defer at.end()
	eventually.Must(t, "the node with the broker to acknowledge", func() bool { return at.acked.Load() == 20 })
	stored(t, b, 20)
	up[0].Store(1)
	up[1].Store(0)
	eventually.Must(t, "the lease to go over", func() bool { return a.leading() && !b.leading() })
}

// TestLeaderVouches: a message that a node waits for is taken to be stored only when the one that leads has had all its sources since
// before it came.
func TestLeaderVouches(t *testing.T) {
	came := time.Now().Add(-10 * time.Second)
	leader := func(at time.Time, whole time.Duration, leading bool) heard {
		return heard{beat: beat{Node: "l", Leading: leading, Whole: whole}, at: at}
	}
	for _, c := range []struct {
		name string
		h    heard
		want bool
	}{
		{"since before", leader(time.Now(), time.Minute, true), true},
		{"since after", leader(time.Now(), 5*time.Second, true), false},
		{"not at all", leader(time.Now(), 0, true), false},
		{"not the leader", leader(time.Now(), time.Minute, false), false},
		{"not heard of lately", leader(time.Now().Add(-freshFor), time.Minute, true), false},
	} {
		o := others{nodes: map[string]heard{"l": c.h}}
		if got := o.led("own", came); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

// TestRenewedBehindTheOthers: who renews the epoch with an old view of the log does not set it back, and nobody waits for what was
// heard of in the epoch before.
func TestRenewedBehindTheOthers(t *testing.T) {
	redis := redistest.New(t)
	r := joined(t, options(redis, "a"))
	s := presented(t, r)
	j := &job{ctx: t.Context(), ms: make([]journal.Message, 30), done: make(chan struct{})}
	for i := range j.ms {
		j.ms[i].Topic = "t"
	}
	if err := errors.Join(r.queue.add(j), r.pending(t.Context(), s)); err != nil {
		t.Fatal(err)
	}
	head := r.journal.Head()
	r.target.Store(head.Offset + 100) // heard of, and lost with the epoch
	was, err := s.state(t.Context(), r.keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.pronounce(t.Context(), s, was, verdict{pos: 5, seed: r.own()}); err != nil {
		t.Fatal(err)
	}
	again, err := r.adopt(t.Context(), s, nil)
	now := r.journal.Head()
	if err != nil || again || head.Offset < 30 || now.Epoch == head.Epoch || now.Offset != head.Offset+1 || r.target.Load() != now.Offset {
		t.Errorf("at %v, waits for %d, was at %v; %t, %v", now, r.target.Load(), head, again, err)
	}
}

// TestNodeAloneComesBackAtOnce: what its earlier run said of itself is there still, and nobody is there to begin a copy from.
func TestNodeAloneComesBackAtOnce(t *testing.T) {
	redis := redistest.New(t)
	a := newNode(t, options(redis, "a"))
	p := publish(t, "t", a.Log)
	p.await(10)
	p.finish()
	a.die()
	if err := os.RemoveAll(a.dir); err != nil {
		t.Fatal(err)
	}
	a.start()
	for _, text := range a.Alarms() {
		t.Errorf("alarm: %s", text)
	}
}

// TestGoodbye: who ends in order leaves no lease behind and nobody waits for it.
func TestGoodbye(t *testing.T) {
	redis := redistest.New(t)
	a, b := newNode(t, ingesting(redis, "a")), newNode(t, options(redis, "b"))
	eventually.Must(t, "the lease, and both to be known", func() bool { return a.leading() && b.Stats().Nodes == 2 })
	a.end()
	if n, err := redis.Client.Exists(t.Context(), a.keys.lease(), a.keys.node("a")).Result(); err != nil || n != 0 {
		t.Errorf("%d keys are left, %v", n, err)
	}
	eventually.Must(t, "the other to hear it", func() bool { return len(b.others.before("b")) == 1 })
}

// alarmed waits until a node says something of Redis.
func (n *node) alarmed() {
	n.tb.Helper()
	eventually.Must(n.tb, "an alarm of node "+n.opts.Node, func() bool { return strings.Contains(strings.Join(n.Alarms(), " "), "redis") })
}
