package relay

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// put stores the value round of each topic v/FROM … v/TO, every other retained, each by a producer of its own.
func (n *node) put(from, to, round int) {
	n.tb.Helper()
	for i := from; i <= to; i++ {
		m := journal.Message{Topic: fmt.Sprintf("v/%d", i), Payload: fmt.Append(nil, round), Retain: i%2 == 0, Producer: fmt.Sprintf("p%d", i), ProducerSeq: uint64(round)}
		if _, _, err := n.Log().Append(n.tb.Context(), m); err != nil {
			n.tb.Fatal(err)
		}
	}
}

// values returns the last and the retained values, and the producers, as text.
func (n *node) values() (all []string) {
	v := n.journal.Values()
	for _, e := range v.Entries {
		all = append(all, fmt.Sprintf("%s %s %t", e.Topic, e.Payload, e.Retain))
	}
	for _, e := range v.Producers {
		all = append(all, fmt.Sprintf("%s %d", e.Producer, e.ProducerSeq))
	}
	slices.Sort(all)
	return all
}

// agreed waits until the nodes stand at one place and fails when their last values are not those of the first one.
func agreed(tb testing.TB, nodes ...*node) {
	tb.Helper()
	eventually.Must(tb, "the nodes to stand at one place", func() bool {
		for _, n := range nodes {
			if n.journal.Head() != nodes[0].journal.Head() || n.Stats().Lag != 0 {
				return false
			}
		}
		return true
	})
	want := nodes[0].values()
	for _, n := range nodes[1:] {
		if got := n.values(); !slices.Equal(got, want) {
			tb.Errorf("node %s has %d last values and producers that differ from the %d of node %s:\n%v\n%v", n.opts.Node, len(got), len(want), nodes[0].opts.Node, got, want)
		}
	}
}

// TestAllStartAnewWithAnEmptyRedis: Redis is emptied, and all nodes are started again, of which some were behind at their end. The log
// gets a new epoch, and one table of last values: that of the furthest.
func TestAllStartAnewWithAnEmptyRedis(t *testing.T) {
	redis := redistest.New(t)
	a, b, c := newNode(t, options(redis, "a")), newNode(t, options(redis, "b")), newNode(t, options(redis, "c"))
	a.put(1, 8, 1)
	agreed(t, a, b, c)
	epoch := a.journal.Epoch()
	b.end()
	a.put(1, 3, 2)
	a.put(9, 10, 1)
	agreed(t, a, c)
	c.end()
	a.put(4, 5, 2)
	want := a.values()
	a.end()
	redis.Client.FlushAll(t.Context())
	var starts sync.WaitGroup
	start := func(n *node) {
		starts.Go(func() {
			if err := n.tryStart(); err != nil {
				t.Errorf("node %s: %v", n.opts.Node, err)
			}
		})
	}
	start(a)
	settling := keysOf("test").settle(redisRun(t, redis))
	eventually.Must(t, "the furthest to say where it stands", func() bool { return redis.Client.HExists(t.Context(), settling, "a").Val() })
	start(b)
	start(c)
	if starts.Wait(); t.Failed() {
		return
	}
	agreed(t, a, b, c)
	if got := a.values(); !slices.Equal(got, want) {
		t.Errorf("the last values are %v, were %v", got, want)
	}
	if a.journal.Epoch() == epoch {
		t.Error("the epoch goes on")
	}
	b.put(1, 1, 3)
	agreed(t, a, b, c)
}

// redisRun names the process of a server.
func redisRun(t *testing.T, s *redistest.Server) string {
	t.Helper()
	run := parseInfo(s.Info("server"))["run_id"]
	if run == "" {
		t.Fatal("the server does not say its run_id")
	}
	return run
}

// renew gives the log another epoch, with the last values of from, as a node does that cannot prove what is missing.
func (n *node) renew(from seed) {
	n.tb.Helper()
	s, err := n.dial(n.tb.Context())
	if err != nil {
		n.tb.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	was, err := s.state(n.tb.Context(), n.keys)
	if err != nil {
		n.tb.Fatal(err)
	}
	if err := n.pronounce(n.tb.Context(), s, was, verdict{pos: was.pos + 1, seed: from}); err != nil {
		n.tb.Fatal(err)
	}
}

// deaf makes a node take nothing more until the log is settled anew, as if that were still on its way.
func (n *node) deaf() {
	n.tb.Helper()
	n.put(99, 99, 1) // it is in the log, and will not be settled by its start
	n.applying.Lock()
	defer n.applying.Unlock()
	n.limit = n.journal.Head().Offset
}

// TestRenewedTogether: the log gets another epoch while one of the nodes is behind. Both go on with the last values of the one that was
// not, also after a restart, and viewers begin anew when they are there.
func TestRenewedTogether(t *testing.T) {
	redis := redistest.New(t)
	a, b := newNode(t, options(redis, "a")), newNode(t, options(redis, "b"))
	a.put(1, 8, 1)
	agreed(t, a, b)
	epoch := a.journal.Epoch()
	b.deaf()
	a.put(1, 3, 2)
	a.put(9, 10, 2)
	want := a.values()
	var shown [][]string // in the new epoch, from its first moment on
	defer b.journal.Watch(func() {
		if b.journal.Epoch() != epoch {
			shown = append(shown, b.values())
		}
	})()
	a.renew(a.own())
	eventually.Must(t, "the new epoch", func() bool { return a.journal.Epoch() != epoch && b.renewed.Load() == 1 })
	agreed(t, a, b)
	b.applying.Lock()
	for _, got := range append(shown, b.values()) {
		if !slices.Equal(got, want) {
			t.Errorf("in the new epoch the last values are %v, want %v", got, want)
		}
	}
	b.applying.Unlock()
	eventually.Must(t, "the one that was behind to store again", func() bool {
		_, _, err := b.Log().Append(t.Context(), journal.Message{Topic: "v/4", Payload: []byte("3"), QoS: 1})
		return err == nil
	})
	agreed(t, a, b)
	want = b.values()
	b.die()
	b.start()
	agreed(t, a, b)
	if got := b.values(); !slices.Equal(got, want) {
		t.Errorf("after a restart the last values are %v, were %v", got, want)
	}
}

// TestSeedIsGone: the log gets an epoch with the last values of a node that is never heard of again. Another one takes its part.
func TestSeedIsGone(t *testing.T) {
	redis := redistest.New(t)
	patient := func(name string) Options {
		o := options(redis, name)
		o.SeedWait = time.Second
		return o
	}
	a, b := newNode(t, patient("a")), newNode(t, patient("b"))
	a.put(1, 4, 1)
	agreed(t, a, b)
	b.deaf()
	a.put(5, 8, 1)
	epoch := a.journal.Epoch()
	a.renew(seed(strings.Repeat("s", processBytes) + "gone"))
	eventually.Must(t, "a new epoch at both", func() bool {
		return a.journal.Epoch() != epoch && a.journal.Epoch() == b.journal.Epoch() && a.renewed.Load() > 0 && b.renewed.Load() > 0
	})
	agreed(t, a, b)
}

// TestAheadOfTheNewEpoch: a node that was cut off has stored further than where the others, who settled without it, began a new epoch.
// It gets back into the log though nobody stores anything there.
func TestAheadOfTheNewEpoch(t *testing.T) {
	redis := redistest.New(t)
	ob := options(redis, "b")
	ob.SettleWait = time.Second
	a := joined(t, options(redis, "a"))
	sa := presented(t, a)
	b := newNode(t, ob)
	b.deaf()
	eventually.Must(t, "the one to have what the other has", func() bool {
		_, err := a.fromStream(t.Context(), a.journal.Head().Offset)
		return err == nil && a.journal.Head() == b.journal.Head()
	})
	for range 5 {
		store(t, a, sa, "only a saw it")
	}
	redis.Kill()
	redis.Start() // empty; b knows of a, which does not speak
	eventually.Must(t, "the new epoch", func() bool { return b.renewed.Load() > 0 })
	s, err := a.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := a.present(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "both to be in one epoch", func() bool { return a.journal.Epoch() == b.journal.Epoch() })
	if a.Stats().Forked != 1 {
		t.Errorf("found %d times", a.Stats().Forked)
	}
}
