package relay

import (
	"context"
	"errors"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// TestFoundWithoutItsName: a batch whose answer was lost, and with it the stream and every memory of whose it was, is found in the log
// by what it says, and not stored again.
func TestFoundWithoutItsName(t *testing.T) {
	redis := redistest.New(t)
	r := joined(t, options(redis, "a"))
	s := presented(t, r)
	j := &job{ctx: t.Context(), ms: []journal.Message{{Topic: "t", Payload: []byte("1"), Time: time.Now()}, {Topic: "u", Time: time.Now()}}, done: make(chan struct{})}
	r.doubt = []*job{j}
	b := r.compose(r.journal.Head())
	if there, err := r.commit(t.Context(), s, b); err != nil || !there {
		t.Fatal(there, err)
	}
	head := r.journal.Head() // and the answer never came
	r.recent = recent{}
	r.tended = time.Now()
	if err := r.pending(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	select {
	case <-j.done:
	default:
		t.Fatal("it is still in doubt")
	}
	if r.journal.Head() != head || j.err != nil || len(j.results) != 2 || j.results[1].Offset != head.Offset {
		t.Errorf("head %v, was %v; %v, %v", r.journal.Head(), head, j.results, j.err)
	}
	// Another message of the same number, as after a refusal, is not taken for it.
	r.doubt = []*job{{ctx: t.Context(), ms: []journal.Message{{Topic: "t", Payload: []byte("2"), Time: time.Now()}}, done: make(chan struct{})}}
	r.number--
	r.compose(journal.Cursor{Epoch: head.Epoch, Offset: head.Offset - 1})
	if there, err := r.stored(head.Offset); there || err != nil {
		t.Errorf("something else is taken for it: %t, %v", there, err)
	}
	r.doubt = nil
}

// TestRefusedAndLate: Redis carries out a batch after it was given up. What is stored next is stored really, behind it.
func TestRefusedAndLate(t *testing.T) {
	redis := redistest.New(t)
	r := joined(t, options(redis, "a"))
	s := presented(t, r)
	refused := &job{ctx: t.Context(), ms: []journal.Message{{Topic: "late", Time: time.Now()}}, done: make(chan struct{})}
	r.doubt = []*job{refused}
	b := r.compose(r.journal.Head())
	r.finish(nil, errFenced)
	late := appendBatch(nil, b, r.key) // it was on its way all the time
	if err := commitScript.Run(t.Context(), s, []string{r.keys.head(), r.keys.log(), r.keys.lease()},
		s.run, b.name, b.from, b.to, "", r.opts.StreamBytes, r.keys.live(r.opts.Node), late, r.client.publishing()).Err(); err != nil {
		t.Fatal(err)
	}
	next := &job{ctx: t.Context(), ms: []journal.Message{{Topic: "next", Time: time.Now()}}, done: make(chan struct{})}
	r.tended = time.Now()
	if err := r.queue.add(next); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the next one to be stored", func() bool {
		r.heal(t.Context())
		r.tended = time.Now()
		return r.pending(t.Context(), s) == nil && r.doubt == nil
	})
	got, err := r.journal.Read(b.from, 10, 1<<20)
	if err != nil || len(got) != 2 || got[0].Topic != "late" || got[1].Topic != "next" || next.err != nil || next.results[0].Offset != got[1].Offset {
		t.Errorf("the log has %v, %v; %v, %v", got, err, next.results, next.err)
	}
}

// TestLeaseOfTheDecision: what one did not see in the log under one lease is not stored under a later one: in between another may have
// stored it.
func TestLeaseOfTheDecision(t *testing.T) {
	redis := redistest.New(t)
	patient := func(name string) Options {
		o := ingesting(redis, name)
		o.Lease = time.Minute // it is given back here, never waited for
		return o
	}
	a := joined(t, patient("a"))
	sa := presented(t, a)
	b := joined(t, patient("b"))
	sb := presented(t, b)
	leased := func(r *Relay) *job {
		m := journal.Message{Topic: "t", Payload: []byte("1"), QoS: 1, Time: time.Now()} // each by its own clock
		return &job{ctx: t.Context(), ms: []journal.Message{m}, token: r.leads(), done: make(chan struct{})}
	}
	if err := a.tend(t.Context(), sa); err != nil || !a.leading() {
		t.Fatal("it does not lead", err)
	}
	a.doubt = []*job{leased(a)}
	a.compose(a.journal.Head()) // offered, and the answer was lost
	a.lease.release(t.Context(), sa, a.keys)
	if err := b.tend(t.Context(), sb); err != nil || !b.leading() {
		t.Fatal("the other does not lead", err)
	}
	b.doubt = []*job{leased(b)}
	b.tended = time.Now()
	if err := b.pending(t.Context(), sb); err != nil || b.doubt != nil {
		t.Fatal(err)
	}
	b.lease.release(t.Context(), sb, b.keys)
	forget(b)
	forget(a)
	if err := a.tend(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	a.heal(t.Context())
	if a.journal.Head() != b.journal.Head() || !a.leading() {
		t.Fatalf("at %v, the other at %v; leads: %t", a.journal.Head(), b.journal.Head(), a.leading())
	}
	j := a.doubt[0]
	a.tended = time.Now()
	if err := a.pending(t.Context(), sa); err != nil || !isFenced(j.err) || a.journal.Head() != b.journal.Head() {
		t.Errorf("stored under a later lease: %v, head %v, was %v", j.err, a.journal.Head(), b.journal.Head())
	}
}

// store puts one message into the log, on the goroutine of the test.
func store(t *testing.T, r *Relay, s *server, topic string) {
	t.Helper()
	j := &job{ctx: t.Context(), ms: []journal.Message{{Topic: topic, Time: time.Now()}}, done: make(chan struct{})}
	r.tended = time.Now()
	head := r.journal.Head()
	if err := errors.Join(r.queue.add(j), r.pending(t.Context(), s)); err != nil || r.journal.Head().Offset != head.Offset+1 {
		t.Fatalf("%s is not stored: head %v, was %v, %v", topic, r.journal.Head(), head, err)
	}
}

// forget makes r know of no other node.
func forget(r *Relay) {
	r.others.mu.Lock()
	defer r.others.mu.Unlock()
	clear(r.others.nodes)
}

// forked returns two relays that do not run, of which a has stored something that b has not heard of when Redis lost it, and b has
// stored something else in its place since.
func forked(t *testing.T, dir string, renewed func()) (a, b *Relay, again func(*Relay) *server) {
	t.Helper()
	redis := redistest.New(t)
	oa, ob := options(redis, "a"), options(redis, "b")
	oa.Renewed, ob.Renewed = renewed, renewed
	a = joinedIn(t, oa, dir)
	sa := presented(t, a)
	b = joined(t, ob)
	forget(b) // it listens to nobody
	presented(t, b)
	store(t, a, sa, "only a saw it")
	redis.Kill()
	redis.Start()
	forget(b) // it has not heard a for a while
	again = func(r *Relay) *server {
		s, err := r.dial(t.Context())
		if err == nil {
			err = r.present(t.Context(), s)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	sb := again(b)
	store(t, b, sb, "in its place")
	store(t, b, sb, "and more")
	if a.journal.Epoch() != b.journal.Epoch() || a.journal.Head().Offset+1 != b.journal.Head().Offset {
		t.Fatalf("a at %v, b at %v: no log in two versions", a.journal.Head(), b.journal.Head())
	}
	return a, b, again
}

// TestForkIsFound: a node that was cut off has other last entries than the log, which has passed its head since. It is not taken in
// without a word: the log gets a new epoch, and the viewers of both are told, for who was at one may be at the other by now.
func TestForkIsFound(t *testing.T) {
	renewals := 0
	a, b, again := forked(t, t.TempDir(), func() { renewals++ })
	was := b.journal.Head()
	again(a)
	again(b)
	if now := a.journal.Head(); now.Epoch == was.Epoch || now.Offset <= was.Offset || now != b.journal.Head() {
		t.Errorf("a at %v, b at %v, was %v", now, b.journal.Head(), was)
	}
	if a.Stats().Forked != 1 || b.Stats().Forked != 0 || renewals != 2 {
		t.Errorf("found %d and %d times, viewers told %d times", a.Stats().Forked, b.Stats().Forked, renewals)
	}
}

// followNext presents r, which does not run, once the log has another epoch.
func followNext(ctx context.Context, r *Relay, epoch string) error {
	s, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	for {
		now, err := s.state(ctx, r.keys)
		if err != nil {
			return err
		}
		if now.epoch != epoch {
			return r.present(ctx, s)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestForkIsFoundAtTheStart: the same where that node was started anew. It begins with the last values of the other.
func TestForkIsFoundAtTheStart(t *testing.T) {
	dir := t.TempDir()
	a, b, again := forked(t, dir, nil)
	o := a.opts
	if err := a.journal.Close(); err != nil {
		t.Fatal(err)
	}
	epoch := b.journal.Epoch()
	followed := make(chan error, 1)
	go func() { followed <- followNext(t.Context(), b, epoch) }()
	a = joinedIn(t, o, dir)
	j := a.journal
	if err := <-followed; err != nil {
		t.Fatal(err)
	}
	again(a)
	if j.Head() != b.journal.Head() || j.Epoch() == epoch || a.Stats().Forked != 1 {
		t.Errorf("at %v, the other at %v, epoch was %s; %+v", j.Head(), b.journal.Head(), epoch, a.Stats())
	}
	_, values := j.Snapshot(func(string) bool { return true })
	for _, v := range values {
		if v.Topic == "only a saw it" {
			t.Error("it shows what the log has not")
		}
	}
	if len(values) != 2 {
		t.Errorf("%d last values, want the other's 2", len(values))
	}
}
