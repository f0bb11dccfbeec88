package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

func TestTwoNodesHaveOneLog(t *testing.T) {
	redis := redistest.New(t)
	a, b := newNode(t, options(redis, "a")), newNode(t, options(redis, "b"))
	p := []*publisher{publish(t, "x/a", a.Log), publish(t, "x/b", b.Log), publish(t, "y/a", a.Log)}
	for _, one := range p {
		one.await(200)
	}
	same(t, []*node{a, b}, p...)
	if a.journal.Epoch() != b.journal.Epoch() {
		t.Error("two epochs")
	}
	for _, n := range []*node{a, b} {
		eventually.Must(t, "the nodes to know each other", func() bool { return n.Stats().Nodes == 2 }) // beats may take seconds on a busy machine
		if s := n.Stats(); len(s.Rejected) > 0 || s.Missing > 0 {
			t.Errorf("node %s: %+v", n.opts.Node, s)
		}
		for _, text := range n.Alarms() {
			if !strings.Contains(text, "clock") { // likewise
				t.Errorf("node %s: %s", n.opts.Node, text)
			}
		}
	}
}

// TestProducerNumbersCountOnAllNodes: a publisher that resends to another node after the first one has died has its effect once.
func TestProducerNumbersCountOnAllNodes(t *testing.T) {
	redis := redistest.New(t)
	a, b := newNode(t, options(redis, "a")), newNode(t, options(redis, "b"))
	m := journal.Message{Topic: "t", Payload: []byte("1"), Producer: "p", ProducerSeq: 4}
	offset, dup, err := a.Log().Append(context.Background(), m)
	if err != nil || dup {
		t.Fatal(dup, err)
	}
	again, dup, err := b.Log().Append(context.Background(), m)
	if err != nil || !dup || again != offset {
		t.Errorf("at the other node: %d, duplicate %t, %v; want %d", again, dup, err, offset)
	}
	same(t, []*node{a, b})
}

func TestNewcomerGetsTheLastValues(t *testing.T) {
	redis := redistest.New(t)
	a := newNode(t, options(redis, "a"))
	for i := range 1500 { // more than one part
		m := journal.Message{Topic: fmt.Sprintf("v/%d", i), Payload: []byte("x"), Retain: i%2 == 0}
		if _, _, err := a.Log().Append(context.Background(), m); err != nil {
			t.Fatal(err)
		}
	}
	b := newNode(t, options(redis, "b"))
	p := publish(t, "t", b.Log)
	p.await(50)
	p.finish()
	eventually.Must(t, "the nodes to stand at one place", func() bool { return a.journal.Head() == b.journal.Head() })
	all := func(string) bool { return true }
	_, want := a.journal.Snapshot(all)
	_, got := b.journal.Snapshot(all)
	if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != 1501 {
		t.Errorf("the newcomer has %d last values, want %d", len(got), len(want))
	}
	if got, want := len(b.journal.Retained()), len(a.journal.Retained()); got != want || got != 750 {
		t.Errorf("the newcomer has %d retained messages, want %d", got, want)
	}
}

// TestNodeComesBack: what was stored while a node was away it reads from the stream, and what is not there any more from another node.
func TestNodeComesBack(t *testing.T) {
	for _, kept := range []int64{1 << 20, 1 << 10} {
		t.Run(fmt.Sprintf("stream of %d bytes", kept), func(t *testing.T) {
			redis := redistest.New(t)
			o := options(redis, "a")
			o.StreamBytes = kept
			a, b := newNode(t, o), newNode(t, options(redis, "b"))
			p := publish(t, "t", a.Log)
			p.await(50)
			b.die()
			p.await(300)
			b.start()
			p.await(50)
			same(t, []*node{a, b}, p)
			if s := b.Stats(); kept < 1<<20 && s.FromPeers == 0 || s.Missing > 0 {
				t.Errorf("after its return: %+v", s)
			}
			if b.renewed.Load() > 0 {
				t.Error("its viewers had to begin anew")
			}
		})
	}
}

// TestN95RedisComesBack: what was acknowledged is there once and in order on all nodes, the epoch goes on, no viewer is disturbed.
func TestN95RedisComesBack(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings []string
		fail     func(s *redistest.Server, nodes []*node)
	}{
		{"killed, empty", nil, func(s *redistest.Server, _ []*node) { s.Kill(); s.Start() }},
		{"killed, saved to the last write", []string{"--appendonly", "yes", "--appendfsync", "always"}, func(s *redistest.Server, _ []*node) { s.Kill(); s.Start() }},
		{"killed, saved some time ago", []string{"--dbfilename", "dump.rdb"}, func(s *redistest.Server, _ []*node) {
			if err := s.Client.Save(context.Background()).Err(); err != nil {
				t.Fatal(err)
			}
		}},
		{"emptied", nil, func(s *redistest.Server, _ []*node) { s.Client.FlushAll(context.Background()) }},
		{"stopped for a while", nil, func(s *redistest.Server, nodes []*node) {
			s.Signal(syscall.SIGSTOP)
			for _, n := range nodes {
				n.alarmed()
			}
			s.Signal(syscall.SIGCONT)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			redis := redistest.New(t, c.settings...)
			a, b := newNode(t, options(redis, "a")), newNode(t, options(redis, "b"))
			epoch := a.journal.Epoch()
			p := []*publisher{publish(t, "x", a.Log), publish(t, "y", b.Log)}
			for range 2 {
				for _, one := range p {
					one.await(100)
				}
				c.fail(redis, []*node{a, b})
				if strings.Contains(c.name, "some time ago") {
					p[0].await(50)
					redis.Kill()
					redis.Start()
				}
			}
			for _, one := range p {
				one.await(100)
			}
			same(t, []*node{a, b}, p...)
			for _, n := range []*node{a, b} {
				if n.journal.Epoch() != epoch || n.renewed.Load() > 0 || n.Stats().Missing > 0 {
					t.Errorf("node %s: epoch %s, was %s; %d renewals; %+v", n.opts.Node, n.journal.Epoch(), epoch, n.renewed.Load(), n.Stats())
				}
			}
		})
	}
}

// TestNobodyKnowsWhatWasLost: a node and Redis die together, so nobody can say whether the dead one had given out more. The log
// gets a new epoch, and viewers are told.
func TestNobodyKnowsWhatWasLost(t *testing.T) {
	redis := redistest.New(t)
	patient := func(name string) Options {
		o := options(redis, name)
		o.SettleWait = settleWait
		return o
	}
	a, b, c := newNode(t, patient("a")), newNode(t, patient("b")), newNode(t, patient("c"))
	eventually.Must(t, "the nodes to know each other", func() bool { return a.Stats().Nodes == 3 && b.Stats().Nodes == 3 })
	epoch := a.journal.Epoch()
	p := publish(t, "t", a.Log)
	p.await(50)
	redis.Kill()
	c.die()
	redis.Start()
	p.await(50)
	p.finish()
	same(t, []*node{a, b})
	eventually.Must(t, "viewers to be told", func() bool { return a.renewed.Load() > 0 && b.renewed.Load() > 0 })
	if a.journal.Epoch() == epoch || a.renewed.Load() < 1 || b.renewed.Load() < 1 {
		t.Errorf("epoch %s, was %s; renewed %d and %d times", a.journal.Epoch(), epoch, a.renewed.Load(), b.renewed.Load())
	}
	c.start()
	eventually.Must(t, "the dead one to join", func() bool { return c.journal.Head() == a.journal.Head() })
}

// TestN95LostByPubSub: connections of Pub/Sub are cut again and again; nothing is lost.
func TestN95LostByPubSub(t *testing.T) {
	redis := redistest.New(t)
	a, b := newNode(t, options(redis, "a")), newNode(t, options(redis, "b"))
	p := publish(t, "t", a.Log)
	for range 5 {
		p.await(40)
		if err := redis.Client.Do(context.Background(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
	}
	p.await(40)
	same(t, []*node{a, b}, p)
}

// TestN94ForgedBatches: what is not signed, cut short, replayed, of another epoch or in the place of something else is rejected and counted.
func TestN94ForgedBatches(t *testing.T) {
	redis := redistest.New(t)
	ctx := context.Background()
	a := newNode(t, options(redis, "a"))
	b := newNode(t, options(redis, "b"))
	channel := a.keys.live(b.opts.Node)
	eventually.Must(t, "the one to hear the other", func() bool { return redis.Client.PubSubNumSub(ctx, channel).Val()[channel] == 1 })
	p := publish(t, "t", a.Log)
	p.await(20)
	p.finish()
	good, err := redis.Client.XRange(ctx, a.keys.log(), "-", "+").Result()
	if err != nil || len(good) < 2 {
		t.Fatal(len(good), err)
	}
	text := good[len(good)-1].Values["b"].(string)
	before := a.entries()
	head := a.journal.Head()
	e := []journal.Entry{{Message: journal.Message{Topic: "t", Payload: []byte("forged")}}}
	own := func(b batch, key []byte) string { b.entries = e; return string(appendBatch(nil, &b, key)) }
	stranger := strings.Repeat("s", processBytes)
	for _, c := range []struct{ name, reason, text string }{
		{"noise", "malformed", "noise"},
		{"cut short", "signature", text[:len(text)-1]},
		{"another secret", "signature", own(batch{process: stranger, number: 1, from: head.Offset, to: head.Offset + 1, epoch: head.Epoch, name: a.line.Load().name()}, []byte("other"))},
		{"another epoch", "epoch", own(batch{process: stranger, number: 1, from: head.Offset, to: head.Offset + 1, epoch: otherEpoch}, a.key)},
		{"in the place of another", "overlap", own(batch{process: stranger, number: 1, from: head.Offset - 1, to: head.Offset, epoch: head.Epoch, name: a.line.Load().name()}, a.key)},
		{"wrong interval", "malformed", own(batch{process: stranger, number: 1, from: head.Offset, to: head.Offset + 5, epoch: head.Epoch, name: a.line.Load().name()}, a.key)},
	} {
		n := a.Stats().Rejected[c.reason]
		if err := redis.Client.Publish(ctx, channel, c.text).Err(); err != nil {
			t.Fatal(err)
		}
		eventually.Must(t, c.name+" to be counted as "+c.reason, func() bool { return a.Stats().Rejected[c.reason] > n })
	}
	if err := redis.Client.Publish(ctx, channel, text).Err(); err != nil { // replayed
		t.Fatal(err)
	}
	p = publish(t, "after", a.Log)
	p.await(1)
	p.finish()
	if got := a.entries(); !slices.Equal(got[:len(before)], before) || got[len(before)] != "after 1" {
		t.Errorf("the journal has %v behind what was there", got[len(before):])
	}
}

const otherEpoch = "00112233445566ff"

// TestStandIsOfItsPlace: what a node says while the log is settled counts for that node and that Redis process only, however well it is signed.
func TestStandIsOfItsPlace(t *testing.T) {
	redis := redistest.New(t)
	ctx := context.Background()
	r, err := New(options(redis, "a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	s, err := r.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if all, err := r.stands(ctx, s); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	key, text := r.keys.settle(s.run), []byte(`{"member":true,"epoch":"e","name":"n","pos":900}`)
	said := func(run, node string) string { return signText(r.key, append([]byte(standPrefix(run, node)), text...)) }
	own := redis.Client.HGet(ctx, key, "a").Val()
	for _, c := range []struct{ name, signed string }{
		{"of an earlier Redis process", said("an earlier process", "b")},
		{"of another node", own},
		{"of no kind", signText(r.key, text)}, // as a beat is
	} {
		n := r.Stats().Rejected["signature"]
		redis.Client.HSet(ctx, key, "b", c.signed)
		if all, err := r.stands(ctx, s); err == nil || !strings.Contains(err.Error(), `node "b"`) || r.Stats().Rejected["signature"] != n+1 {
			t.Errorf("a stand %s: %v, %v, %d rejected", c.name, all, err, r.Stats().Rejected["signature"]-n)
		}
	}
	redis.Client.HSet(ctx, key, "b", said(s.run, "b"))
	if all, err := r.stands(ctx, s); err != nil || all["b"].Pos != 900 {
		t.Errorf("the node's own stand: %v, %v", all, err)
	}
}
