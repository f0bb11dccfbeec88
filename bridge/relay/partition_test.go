package relay

import (
	"errors"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/pathtest"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// TestPartition: nothing passes between one node and Redis, in either direction, and no connection ends. The other goes on; the one
// that is cut off refuses, and has everything soon after the path is there again, in the same epoch.
func TestPartition(t *testing.T) {
	redis := redistest.New(t)
	way, addr := pathtest.New(t, redis.Addr)
	far := options(redis, "b")
	far.URL = "redis://" + addr + "/0"
	a, b := newNode(t, options(redis, "a")), newNode(t, far)
	epoch := a.journal.Epoch()
	at, cutOff := publish(t, "x", a.Log), publish(t, "y", b.Log)
	at.await(50)
	cutOff.await(50)
	way.Swallow(true)
	b.alarmed()
	if _, _, err := b.Log().Append(t.Context(), journal.Message{Topic: "z"}); !errors.Is(err, journal.ErrDegraded) {
		t.Errorf("the one that is cut off does not refuse: %v", err)
	}
	at.await(100)
	eventually.Must(t, "the other to miss it", func() bool { return a.Stats().Nodes == 1 })
	way.Swallow(false)
	began := time.Now()
	cutOff.await(2)
	t.Logf("stored again %s after the path was back", time.Since(began).Round(10*time.Millisecond))
	at.await(50)
	same(t, []*node{a, b}, at, cutOff)
	for _, n := range []*node{a, b} {
		if s := n.Stats(); n.journal.Epoch() != epoch || n.renewed.Load() > 0 || s.Missing > 0 || s.Forked > 0 {
			t.Errorf("node %s: epoch %s, was %s; %+v", n.opts.Node, n.journal.Epoch(), epoch, s)
		}
	}
}
