package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// node is a bridge's part in a cluster, without the bridge.
type node struct {
	*Relay
	tb      testing.TB
	dir     string
	opts    Options
	stop    context.CancelFunc
	ended   chan struct{}
	renewed atomic.Int64
	revoked Revocations // nil = none are shared
	roster  *roster     // nil = it has no devices
}

func testLog() *slog.Logger {
	if os.Getenv("PLUMBLINE_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

func options(s *redistest.Server, name string) Options {
	return Options{Node: name, Cluster: "test", URL: s.URL(), Lease: 3 * time.Second, StreamBytes: 1 << 20, Log: testLog(), SettleWait: 30 * time.Second}
}

// newNode starts a node with a journal of its own.
func newNode(tb testing.TB, o Options) *node {
	tb.Helper()
	n := &node{tb: tb, dir: tb.TempDir(), opts: o}
	n.start()
	tb.Cleanup(n.end)
	return n
}

// start joins and runs, with what an earlier run left.
func (n *node) start() {
	n.tb.Helper()
	if err := n.tryStart(); err != nil {
		n.tb.Fatal(err)
	}
}

func (n *node) tryStart() error {
	o := n.opts
	o.Renewed = func() { n.renewed.Add(1) }
	r, err := New(o)
	if err != nil {
		return err
	}
	if _, err := r.Join(context.Background(), journal.Options{Dir: n.dir}); err != nil {
		return errors.Join(err, r.Close())
	}
	if n.revoked != nil {
		if err := r.Share(context.Background(), n.revoked); err != nil {
			return errors.Join(err, r.Close(), r.journal.Close())
		}
	}
	if n.roster != nil {
		r.Serve(n.roster)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.Relay, n.stop, n.ended = r, cancel, make(chan struct{})
	go func() {
		_ = r.Run(ctx)
		close(n.ended)
	}()
	return nil
}

// end stops the node in order.
func (n *node) end() {
	if n.stop == nil {
		return
	}
	n.stop()
	n.stop = nil
	<-n.ended
	if err := errors.Join(n.Close(), n.journal.Close()); err != nil {
		n.tb.Error(err)
	}
}

// die ends it as a crash does: it says goodbye to nobody and keeps its lease.
func (n *node) die() {
	_ = n.Close()
	n.lease.drop()
	n.end()
}

// entries returns what the journal holds, as "topic payload".
func (n *node) entries() (all []string) {
	after := n.journal.First() - 1
	for {
		es, err := n.journal.Read(after, 1000, 1<<20)
		if err != nil {
			n.tb.Fatal(err)
		}
		if len(es) == 0 {
			return all
		}
		for _, e := range es {
			if e.Offset != after+1 {
				n.tb.Fatalf("entry %d follows %d", e.Offset, after)
			}
			after = e.Offset
			all = append(all, e.Topic+" "+string(e.Payload))
		}
	}
}

// publisher appends numbered messages, one after the other, again when they are refused, as one with QoS 1 does.
type publisher struct {
	tb    testing.TB
	topic string
	log   func() *Log
	sent  atomic.Int64
	again atomic.Int64 // refused, and sent again
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

func publish(tb testing.TB, topic string, log func() *Log) *publisher {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &publisher{tb: tb, topic: topic, log: log, stop: cancel}
	p.wg.Go(func() {
		for i := 1; ctx.Err() == nil; i++ {
			m := journal.Message{Topic: topic, Payload: fmt.Appendf(nil, "%d", i), QoS: 1}
			for {
				_, _, err := p.log().Append(context.Background(), m)
				if err == nil {
					break
				}
				if !errors.Is(err, journal.ErrDegraded) {
					tb.Errorf("append: %v", err)
					return
				}
				p.again.Add(1)
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
					return
				}
			}
			p.sent.Store(int64(i))
		}
	})
	tb.Cleanup(p.finish)
	return p
}

func (p *publisher) finish() {
	p.stop()
	p.wg.Wait()
}

// await waits until n more were acknowledged.
func (p *publisher) await(n int64) {
	p.tb.Helper()
	to := p.sent.Load() + n
	eventually.Must(p.tb, fmt.Sprintf("%d acknowledgements of %s", to, p.topic), func() bool { return p.sent.Load() >= to })
}

// same waits until the nodes stand at one place and fails when their journals differ, or when a publisher's messages are not
// there once each, in order.
func same(tb testing.TB, nodes []*node, ps ...*publisher) {
	tb.Helper()
	for _, p := range ps {
		p.finish()
	}
	eventually.Must(tb, "the nodes to stand at one place", func() bool {
		for _, n := range nodes {
			if n.journal.Head() != nodes[0].journal.Head() || n.Stats().Lag != 0 {
				return false
			}
		}
		return true
	})
	for _, n := range nodes {
		if s := n.Stats(); s.Missing > 0 || s.Renewed > 0 {
			tb.Logf("node %s: %+v", n.opts.Node, s)
		}
	}
	first := nodes[0].entries()
	for _, n := range nodes[1:] {
		if got := n.entries(); !slices.Equal(got, first) {
			tb.Errorf("node %s has other %d entries than the %d of node %s", n.opts.Node, len(got), len(first), nodes[0].opts.Node)
		}
	}
	for _, p := range ps {
		want := 1
		for _, e := range first {
			if text, ok := strings.CutPrefix(e, p.topic+" "); ok {
				if text != fmt.Sprint(want) {
					tb.Fatalf("of %s came %s, want %d", p.topic, text, want)
				}
				want++
			}
		}
		if got := int64(want - 1); got != p.sent.Load() {
			tb.Errorf("of %s the journals have %d, acknowledged were %d", p.topic, got, p.sent.Load())
		}
	}
}
