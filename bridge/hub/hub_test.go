package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/bridge/journal"
)

// bench is a journal with a running hub.
type bench struct {
	t *testing.T
	j *journal.Journal
	h *Hub
}

func newBench(t *testing.T, jo journal.Options, ho Options) *bench {
	t.Helper()
	if jo.Dir == "" {
		jo.Dir = t.TempDir()
	}
	if jo.Sync == "" {
		jo.Sync = journal.SyncMemory
	}
	j, err := journal.Open(jo)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, j: j, h: New(j, ho)}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("close the journal: %v", err)
		}
	})
	return b
}

// run starts the hub and stops it before the journal is closed.
func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.h.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
}

func (b *bench) publish(topic, payload string) uint64 {
	b.t.Helper()
	offset, _, err := b.j.Append(context.Background(), journal.Message{Topic: topic, Payload: []byte(payload)})
	if err != nil {
		b.t.Fatal(err)
	}
	return offset
}

// viewer pulls one subscription, waiting on Notify, and keeps all it got.
type viewer struct {
	t      *testing.T
	s      *Subscription
	answer Subscribed
	bell   chan struct{}
	cursor uint64
	got    []string // "offset topic payload"
	gaps   []Gap
	empty  int
}

func (b *bench) subscribe(o SubscribeOptions) *viewer {
	b.t.Helper()
	v := &viewer{t: b.t, bell: make(chan struct{}, 1)}
	o.Notify = func() {
		select {
		case v.bell <- struct{}{}:
		default:
		}
	}
	var err error
	if v.s, v.answer, err = b.h.Subscribe(o); err != nil {
		b.t.Fatal(err)
	}
	v.cursor = v.answer.Cursor.Offset
	b.t.Cleanup(v.s.Close)
	return v
}

// frame is a batch as a client sees it.
type frame struct {
	Epoch    string    `json:"epoch"`
	From     uint64    `json:"from"`
	To       uint64    `json:"to"`
	Readings []reading `json:"readings"`
}

// pull takes once what is ready and checks the chain.
func (v *viewer) pull(maxBytes int) (more bool) {
	batches, gap, more := v.s.Pull(maxBytes)
	if gap != nil {
		if len(batches) > 0 || gap.From != v.cursor || gap.To <= gap.From || gap.Count != gap.To-gap.From || gap.Reason != ReasonEvicted {
			v.t.Errorf("gap %+v with %d batches at cursor %d", gap, len(batches), v.cursor)
		}
		v.gaps = append(v.gaps, *gap)
		v.cursor = gap.To
	}
	for _, b := range batches {
		var f frame
		if err := json.Unmarshal(append([]byte("{"), b.Body...), &f); err != nil {
			v.t.Errorf("body %s: %v", b.Body, err)
			return false
		}
		if f.From != v.cursor || f.From != b.From || f.To != b.To || f.To <= f.From || len(f.Readings) != b.Count || f.Epoch != v.answer.Cursor.Epoch {
			v.t.Errorf("batch %d..%d (%d readings) after cursor %d: %.200s", b.From, b.To, b.Count, v.cursor, b.Body)
		}
		if b.Count == 0 {
			v.empty++
		}
		last := f.From
		for _, r := range f.Readings {
			if r.O <= last || r.O > f.To {
				v.t.Errorf("reading %d in batch %d..%d after %d", r.O, f.From, f.To, last)
			}
			last = r.O
			v.got = append(v.got, fmt.Sprint(r.O, " ", r.Topic, " ", *r.Payload))
		}
		v.cursor = f.To
	}
	if v.s.Cursor() != v.cursor {
		v.t.Errorf("Cursor() is %d, pulled up to %d", v.s.Cursor(), v.cursor)
	}
	return more
}

// until pulls until the cursor reaches offset.
func (v *viewer) until(offset uint64) {
	v.t.Helper()
	deadline := time.After(time.Minute)
	for v.cursor < offset {
		for v.pull(1 << 20) {
		}
		if v.cursor >= offset {
			return
		}
		select {
		case <-v.bell:
		case <-deadline:
			v.t.Fatalf("still waiting for offset %d, at %d", offset, v.cursor)
		}
	}
}

func (v *viewer) want(want ...string) {
	v.t.Helper()
	if !slices.Equal(v.got, want) {
		v.t.Fatalf("got %q\nwant %q", v.got, want)
	}
}

func TestLive(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{})
	b.run()
	b.publish("a/x", "before")
	all, some := b.subscribe(SubscribeOptions{Filter: "#"}), b.subscribe(SubscribeOptions{Filter: "a/+"})
	if all.answer.Recovered || all.answer.Reason != ReasonNoCursor {
		t.Fatalf("answer %+v", all.answer)
	}
	start := all.answer.Cursor.Offset
	b.publish("a/x", "1")
	b.publish("b/y", "2")
	last := b.publish("a/z", "3")
	all.until(last)
	some.until(last)
	want := []string{"2 a/x 1", "3 b/y 2", "4 a/z 3"}
	if start == 0 {
		want = append([]string{"1 a/x before"}, want...)
	}
	all.want(want...)
	if n := len(some.got); n < 2 || some.got[n-1] != "4 a/z 3" || some.got[n-2] != "2 a/x 1" {
		t.Fatalf("a/+ got %q", some.got)
	}
	if all.s.Lag() != 0 {
		t.Fatalf("lag %d", all.s.Lag())
	}
	s := b.h.Stats()
	if s.Groups != 2 || s.Subscriptions != 2 || s.Batches == 0 || s.Position != last || s.RingBytes == 0 {
		t.Fatalf("stats %+v", s)
	}
	all.s.Close()
	all.s.Close()
	some.s.Close()
	if s := b.h.Stats(); s.Groups != 0 || s.Subscriptions != 0 || s.RingBytes != 0 {
		t.Fatalf("stats after close %+v", s)
	}
	if batches, gap, more := all.s.Pull(1); batches != nil || gap != nil || more {
		t.Fatal("a closed subscription gives something")
	}
}

func TestSubscribeAnswers(t *testing.T) {
	b := newBench(t, journal.Options{Sync: journal.SyncOS, SegmentBytes: 4096, RetainBytes: 8192, TailBytes: 1}, Options{})
	b.run()
	var last uint64
	for range 400 {
		last = b.publish("a", strings.Repeat("x", 200))
	}
	waitFor(t, "retention", func() bool { return b.j.Stats().DiskBytes <= 8192 })
	epoch := b.j.Epoch()
	for _, c := range []struct {
		name      string
		since     *journal.Cursor
		reason    string
		recovered bool
	}{
		{"none", nil, ReasonNoCursor, false},
		{"present", &journal.Cursor{Epoch: epoch, Offset: last}, "", true},
		{"a little behind", &journal.Cursor{Epoch: epoch, Offset: last - 3}, "", true},
		{"the oldest", &journal.Cursor{Epoch: epoch, Offset: b.j.First() - 1}, "", true},
		{"evicted", &journal.Cursor{Epoch: epoch, Offset: 2}, ReasonEvicted, false},
		{"ahead", &journal.Cursor{Epoch: epoch, Offset: last + 1}, ReasonAhead, false},
		{"far ahead", &journal.Cursor{Epoch: epoch, Offset: 1<<64 - 1}, ReasonAhead, false},
		{"other epoch", &journal.Cursor{Epoch: "0123456789abcdef", Offset: last}, ReasonEpoch, false},
		{"offset without epoch", &journal.Cursor{Offset: last}, ReasonEpoch, false},
		{"epoch without offset", &journal.Cursor{Epoch: epoch}, ReasonEvicted, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := b.subscribe(SubscribeOptions{Filter: "a", Since: c.since})
			if v.answer.Reason != c.reason || v.answer.Recovered != c.recovered || v.answer.Cursor.Epoch != epoch {
				t.Fatalf("answer %+v", v.answer)
			}
			if c.recovered {
				v.until(last)
				if want := int(last - c.since.Offset); len(v.got) != want || v.answer.Cursor != *c.since {
					t.Fatalf("%d readings after %d, want %d", len(v.got), c.since.Offset, want)
				}
			}
			v.s.Close()
		})
	}
	if _, _, err := b.h.Subscribe(SubscribeOptions{Filter: "a/#/b"}); err == nil {
		t.Error("invalid filter accepted")
	}
	if _, _, err := b.h.Subscribe(SubscribeOptions{Filter: "a", Access: Access{Allow: func(string) bool { return true }}}); err == nil {
		t.Error("access list without a key accepted")
	}
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	deadline := time.After(time.Minute)
	for !f() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("still waiting for %s", what)
		}
	}
}

func TestSnapshotThenLive(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{})
	b.run()
	b.publish("a/x", "old")
	b.publish("a/x", "new")
	b.publish("b", "other")
	b.publish("a/secret", "hidden")
	access := Access{Key: "no-secrets", Allow: func(name string) bool { return name != "a/secret" }}
	v := b.subscribe(SubscribeOptions{Filter: "a/#", Snapshot: true, Access: access})
	if n := len(v.answer.Snapshot); n != 1 || string(v.answer.Snapshot[0].Payload) != "new" || v.answer.Cursor.Offset != 4 {
		t.Fatalf("snapshot %+v", v.answer)
	}
	b.publish("a/secret", "hidden")
	v.until(b.publish("a/x", "newer"))
	v.want("6 a/x newer")
	again := b.subscribe(SubscribeOptions{Filter: "a/#", Snapshot: true, Since: &journal.Cursor{Epoch: b.j.Epoch(), Offset: 1}})
	if again.answer.Snapshot != nil || !again.answer.Recovered {
		t.Fatalf("a recovered viewer got a snapshot: %+v", again.answer)
	}
	again.until(6)
	again.want("2 a/x new", "4 a/secret hidden", "5 a/secret hidden", "6 a/x newer")
}

// The access list is asked for every delivery, live and from the journal.
func TestAccessIsReChecked(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{})
	b.run()
	var open atomic.Bool
	access := Access{Key: "k", Allow: func(string) bool { return open.Load() }}
	v := b.subscribe(SubscribeOptions{Filter: "a", Access: access})
	b.publish("a", "denied")
	waitFor(t, "the first entry to be fanned out", func() bool { return b.h.Stats().Position == 1 })
	open.Store(true)
	v.until(b.publish("a", "allowed"))
	v.want("2 a allowed")
	open.Store(false)
	late := b.subscribe(SubscribeOptions{Filter: "a", Access: access, Since: &journal.Cursor{Epoch: b.j.Epoch()}})
	late.until(2)
	late.want()
	if n := b.h.Stats().Denied; n < 3 {
		t.Fatalf("%d denied readings counted, want 3", n)
	}
}

func TestQuietGroupMovesOn(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{Progress: time.Millisecond})
	b.run()
	v := b.subscribe(SubscribeOptions{Filter: "never"})
	v.until(b.publish("a", "1"))
	v.want()
	if v.empty == 0 {
		t.Fatal("no empty batch")
	}
}

func TestPullRespectsItsSize(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{BatchBytes: 300})
	v := b.subscribe(SubscribeOptions{Filter: "#"})
	var last uint64
	for range 50 {
		last = b.publish("a", strings.Repeat("x", 100))
	}
	b.run()
	waitFor(t, "fan-out", func() bool { return b.h.Stats().Position == last })
	batches, _, more := v.s.Pull(1)
	if len(batches) != 1 || !more {
		t.Fatalf("Pull(1): %d batches, more %v", len(batches), more)
	}
	size := 0
	batches, _, _ = v.s.Pull(1000)
	for _, one := range batches {
		size += len(one.Body)
	}
	if size > 1000 || size < 500 {
		t.Fatalf("Pull(1000): %d batches of %d bytes", len(batches), size)
	}
}

func TestRunEnds(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.h.Run(ctx); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if err := b.h.Run(ctx); err == nil {
		t.Fatal("a hub ran twice")
	}
	if _, _, err := b.h.Subscribe(SubscribeOptions{Filter: "#"}); !errors.Is(err, ErrClosed) {
		t.Fatalf("Subscribe after the end: %v", err)
	}
}
