package external

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/prometheus/client_golang/prometheus"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// rig is a source on a real journal, running.
type rig struct {
	t    testing.TB
	s    *Source
	j    *journal.Journal
	m    *metrics.Set
	stop func()
}

func testLog() *slog.Logger {
	out := io.Discard
	if os.Getenv("PLUMBLINE_TEST_LOG") != "" {
		out = os.Stderr
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func testOptions(tb testing.TB, addr string) Options {
	tb.Helper()
	j, err := journal.Open(journal.Options{Dir: filepath.Join(tb.TempDir(), "journal")})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = j.Close() })
	return Options{
		Name: "site-a", Address: addr, ClientID: "me", Prefix: "site-a/", Filters: []string{"#"}, SessionExpiry: time.Hour, ReceiveMaximum: 20,
		MaxPacketBytes: 64 << 10, Keepalive: 2 * time.Second, ConnectTimeout: 5 * time.Second, ReconnectMin: 10 * time.Millisecond, ReconnectMax: 100 * time.Millisecond,
		StateFile: filepath.Join(tb.TempDir(), "external", "site-a.json"), Journal: j, Metrics: metrics.New(), Log: testLog(),
	}
}

// start runs a source until the test ends or stop is called.
func start(tb testing.TB, o Options) *rig {
	tb.Helper()
	s, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	r := &rig{t: tb, s: s, m: o.Metrics}
	r.j, _ = o.Journal.(*journal.Journal)
	r.stop = sync.OnceFunc(func() { cancel(); <-done; _ = s.Close() })
	tb.Cleanup(r.stop)
	return r
}

func (r *rig) connected() *rig {
	r.t.Helper()
	eventually.Must(r.t, "the source to connect", func() bool { return r.s.Status().Connected })
	return r
}

// entries waits until the journal holds n entries and returns all of them as "topic payload".
func entries(t *testing.T, j *journal.Journal, n int) (out []string) {
	t.Helper()
	eventually.Must(t, fmt.Sprintf("%d messages in the journal", n), func() bool { return j.Head().Offset >= uint64(n) })
	for after := uint64(0); after < j.Head().Offset; {
		got, err := j.Read(after, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range got {
			out = append(out, e.Topic+" "+string(e.Payload))
			after = e.Offset
		}
	}
	return out
}

// count reads a counter by name and labels.
func (r *rig) count(c *prometheus.CounterVec, labels ...string) float64 {
	r.t.Helper()
	return counter(r.t, c.WithLabelValues(labels...))
}

// TestSubscriptions: a kept session keeps its messages; a change of filters changes it; a lost one is told.
func TestSubscriptions(t *testing.T) {
	broker := brokertest.New(t, brokertest.Lines)
	o := testOptions(t, broker.Addr)
	j := o.Journal.(*journal.Journal)
	other := testOptions(t, broker.Addr)
	other.ClientID, other.Filters = "other", []string{"nothing"}
	pub := start(t, other).connected().s
	say := func(name, text string) {
		t.Helper()
		if err := pub.Publish(t.Context(), "site-a/"+name, []byte(text), 1); err != nil {
			t.Fatal(err)
		}
	}
	o.Filters = []string{"a/#", "b"}
	r := start(t, o).connected()
	say("a/x", "1")
	say("c", "2")
	say("b", "3")
	entries(t, j, 2)
	r.stop()
	say("a/x", "4") // waits at the broker
	o.Filters, o.Metrics = []string{"a/#", "c"}, metrics.New()
	r = start(t, o).connected()
	say("b", "5")
	say("c", "6")
	got := fmt.Sprint(entries(t, j, 4))
	if want := "[site-a/a/x 1 site-a/b 3 site-a/a/x 4 site-a/c 6]"; got != want {
		t.Errorf("journal %s, want %s", got, want)
	}
	if n := r.count(o.Metrics.External.SessionsLost, "site-a"); n != 0 {
		t.Errorf("%g sessions lost", n)
	}
	r.stop()
	broker.Forget()
	o.Metrics = metrics.New()
	r = start(t, o).connected()
	if n := r.count(o.Metrics.External.SessionsLost, "site-a"); n != 1 {
		t.Errorf("%g sessions lost, want 1", n)
	}
	say("c", "7")
	if got := entries(t, j, 5)[4]; got != "site-a/c 7" {
		t.Errorf("after a lost session: %s", got)
	}
}

// balky refuses to store while told so, as a journal on a full disk does.
type balky struct {
	*journal.Journal
	full     atomic.Bool
	refusals atomic.Int64
}

// AppendAll implements Journal.
func (b *balky) AppendAll(ctx context.Context, ms []journal.Message) ([]journal.Result, error) {
	if b.full.Load() {
		b.refusals.Add(1)
		return nil, fmt.Errorf("disk full: %w", journal.ErrDegraded)
	}
	return b.Journal.AppendAll(ctx, ms)
}

// TestN101ExternalJournalRefuses: while the journal cannot write nothing is acknowledged and the connection stays; afterwards
// everything comes, in order and once.
func TestN101ExternalJournalRefuses(t *testing.T) {
	broker := brokertest.New(t, brokertest.Lines)
	o := testOptions(t, broker.Addr)
	j := &balky{Journal: o.Journal.(*journal.Journal)}
	o.Journal, o.Keepalive = j, time.Second
	r := start(t, o).connected()
	p := brokertest.NewPublisher(t, broker.Addr, 500, false, "x")
	p.Await(100)
	j.full.Store(true)
	eventually.Must(t, "the journal to refuse", func() bool { return j.refusals.Load() > 2 })
	held := j.Head().Offset
	p.Await(p.Count() + 1500) // three seconds, more than the keepalive allows for silence
	if now := j.Head().Offset; now != held {
		t.Errorf("%d messages were stored meanwhile", now-held)
	}
	if wait := gauge(t, o.Metrics, "bridge_external_wait_seconds"); wait < 1 {
		t.Errorf("bridge_external_wait_seconds is %g", wait)
	}
	j.full.Store(false)
	counts, _ := p.Finish()
	for i, e := range entries(t, j.Journal, counts["x"]) {
		if want := fmt.Sprintf("site-a/x %d", i+1); e != want {
			t.Fatalf("entry %d is %q, want %q", i+1, e, want)
		}
	}
	if n, s := r.count(o.Metrics.External.Connects, "site-a"), r.count(o.Metrics.External.Stalls, "site-a"); n != 1 || s != 1 {
		t.Errorf("%g connections, %g stalls, want 1 and 1", n, s)
	}
}

// TestRetained: retained messages of the broker become last values, with their flag, once; a later clearing clears.
func TestRetained(t *testing.T) {
	broker := brokertest.New(t, brokertest.Lines)
	o := testOptions(t, broker.Addr)
	j := o.Journal.(*journal.Journal)
	brokertest.Retain(t, broker.Addr, "r", "old")
	r := start(t, o).connected()
	entries(t, j, 1)
	if kept := j.Retained(); len(kept) != 1 || kept[0].Topic != "site-a/r" || string(kept[0].Payload) != "old" {
		t.Errorf("retained %+v", kept)
	}
	r.stop()
	o.Metrics = metrics.New()
	start(t, o).connected() // the session is there, so is the subscription: no second copy
	brokertest.Retain(t, broker.Addr, "r", "new")
	if got := fmt.Sprint(entries(t, j, 2)); got != "[site-a/r old site-a/r new]" {
		t.Errorf("journal %s", got)
	}
	brokertest.Retain(t, broker.Addr, "r", "")
	eventually.Must(t, "the retained message to be cleared", func() bool { return len(j.Retained()) == 0 })
}

// TestPublish: commands go to the broker that the prefix says, and every way to fail has its error.
func TestPublish(t *testing.T) {
	broker := brokertest.New(t, brokertest.Lines+"max_packet_size 2000\n")
	o := testOptions(t, broker.Addr)
	r := start(t, o).connected()
	away := testOptions(t, brokertest.FreePort(t))
	away.Name, away.Prefix = "away", "site-a/far/"
	far := start(t, away).s
	all := Sources{r.s, far}
	ctx := t.Context()
	for qos := range byte(2) {
		if err := all.Publish(ctx, "site-a/cmd", []byte{'0' + qos}, qos); err != nil {
			t.Errorf("QoS %d: %v", qos, err)
		}
	}
	if got := fmt.Sprint(entries(t, r.j, 2)); got != "[site-a/cmd 0 site-a/cmd 1]" {
		t.Errorf("journal %s", got)
	}
	var group sync.WaitGroup
	for i := range 300 { // more than wait at a time
		group.Go(func() {
			if err := all.Publish(ctx, "site-a/many", fmt.Append(nil, i), 1); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	entries(t, r.j, 302)
	for name, tc := range map[string]struct {
		topic string
		size  int
		qos   byte
		want  error
	}{
		"nobody's topic":  {"site-b/x", 1, 1, ErrNoRoute},
		"wildcard":        {"site-a/+", 1, 1, ErrRefused},
		"the broker's":    {"site-a/$SYS/x", 1, 1, ErrRefused},
		"empty":           {"site-a/", 1, 1, ErrRefused},
		"QoS 2":           {"site-a/x", 1, 2, ErrRefused},
		"too large":       {"site-a/x", 3000, 1, ErrRefused},
		"broker not here": {"site-a/far/x", 1, 1, ErrNotConnected},
	} {
		if err := all.Publish(ctx, tc.topic, make([]byte, tc.size), tc.qos); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	broker.Restart()
	eventually.Must(t, "publishing to work again", func() bool { return all.Publish(ctx, "site-a/back", nil, 1) == nil })
	r.stop()
	if err := all.Publish(ctx, "site-a/x", nil, 1); !errors.Is(err, ErrNotConnected) {
		t.Errorf("after Close: %v", err)
	}
}

// halfWritten is a connection that takes half of what is written, and on which nothing comes.
type halfWritten struct{ net.Conn }

// Write implements io.Writer.
func (h halfWritten) Write(p []byte) (int, error) { return len(p) / 2, os.ErrDeadlineExceeded }

// SetWriteDeadline implements net.Conn.
func (h halfWritten) SetWriteDeadline(time.Time) error { return nil }

// TestHalfWritten: a connection on which half a command went out takes no other one.
func TestHalfWritten(t *testing.T) {
	for qos := range byte(2) {
		conn, other := net.Pipe()
		defer func() { _ = other.Close() }()
		up := newUplink(newLink(t.Context(), halfWritten{conn}, 1000, time.Hour), &packets.Connack{Properties: &packets.Properties{}})
		done := make(chan struct{})
		go func() { defer close(done); up.run() }()
		if err := up.publish(t.Context(), &packets.Publish{Topic: "x", QoS: qos, Properties: &packets.Properties{}}); !isUnknown(err) {
			t.Errorf("QoS %d: %v", qos, err)
		}
		eventually.Must(t, "the connection to be left", func() bool {
			select {
			case <-done:
				return true
			default:
				return false
			}
		})
	}
}

// TestBackOff: pauses double up to the longest, each between a half and the whole.
func TestBackOff(t *testing.T) {
	o := testOptions(t, brokertest.FreePort(t))
	pauses := make(chan time.Duration)
	o.After = func(d time.Duration) <-chan time.Time {
		pauses <- d
		c := make(chan time.Time, 1)
		c <- time.Time{}
		return c
	}
	jitter := []float64{0, 0.5, 0, 0.999, 0.5, 0}
	o.Jitter = func() float64 { j := jitter[0]; jitter = append(jitter[1:], j); return j }
	start(t, o)
	var got []time.Duration
	for range 6 {
		got = append(got, (<-pauses).Round(time.Millisecond))
	}
	go func() {
		for range pauses {
		}
	}()
	ms := time.Millisecond
	if want := []time.Duration{5 * ms, 15 * ms, 20 * ms, 80 * ms, 75 * ms, 50 * ms}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("pauses %v, want %v", got, want)
	}
}

// TestTakenOver: two bridges with one client id cut each other ever more slowly, and each says why it might be.
func TestTakenOver(t *testing.T) {
	broker := brokertest.New(t, brokertest.Lines)
	o := testOptions(t, broker.Addr)
	o.Jitter = func() float64 { return 1 }
	now := time.Now() // every connection is a short one
	o.Now = func() time.Time { return now }
	pauses := make(chan time.Duration, 100)
	again := make(chan time.Time)
	o.After = func(d time.Duration) <-chan time.Time { pauses <- d; return again }
	first := start(t, o).connected()
	for _, ms := range []int{10, 20, 40, 80, 100, 100} {
		second := testOptions(t, broker.Addr)
		second.After = func(time.Duration) <-chan time.Time { return nil } // never again
		start(t, second).connected()
		if got := <-pauses; got.Milliseconds() != int64(ms) {
			t.Errorf("pause %s, want %dms", got, ms)
		}
		if err := first.s.Status().Error; !containsAll(err, "client id", `"me"`) {
			t.Errorf("error %q", err)
		}
		again <- time.Time{}
		first.connected()
	}
}
