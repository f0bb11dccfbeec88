package generator

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
)

// The load of BenchmarkLateness.
const (
	latenessRounds = 4 // of each kind, in turn
	latenessLength = 4 * time.Second
	latenessRate   = 1000
	judgedMessages = 200_000 // of the recording that is judged meanwhile
	recordedRate   = 20_000  // records a second that others record meanwhile
)

// BenchmarkLateness shows side by side how late publishers are (intended →
// written) with the generator within the harness and in a process of its own,
// while the harness records for others and judges. One iteration takes half a
// minute.
func BenchmarkLateness(b *testing.B) {
	b.Setenv(modeVariable, "right")
	judged := recording(b)
	for b.Loop() {
		late := map[bool][]float64{}
		for range latenessRounds {
			for _, own := range []bool{false, true} {
				late[own] = append(late[own], lateness(b, own, judged)...)
			}
		}
		for _, q := range []struct {
			name string
			at   float64
		}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}} {
			within, own := quantile(late[false], q.at), quantile(late[true], q.at)
			b.ReportMetric(within, "within-"+q.name+"-µs")
			b.ReportMetric(own, "own-"+q.name+"-µs")
			b.ReportMetric(within/own, "ratio-"+q.name)
		}
	}
}

func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[max(int(math.Ceil(q*float64(len(values))))-1, 0)]
}

// lateness drives a fleet once and returns how late each of its messages was, in
// microseconds.
func lateness(b *testing.B, own bool, judged string) []float64 {
	b.Helper()
	ctx := b.Context()
	s := newScene(b, startBroker(b, ""))
	s.cfg.Fleet = &Fleet{Devices: 50, Rate: latenessRate, QoS: 1, Root: "t"}
	var opts Options
	if own {
		opts.Command = []string{"/proc/self/exe"}
	}
	g, err := Start(opts)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	restore := load.Quiet(1 << 30) // as a bench does
	defer restore()
	if _, err := g.Open(ctx, s.cfg); err != nil {
		b.Fatal(err)
	}
	if err := g.Connect(ctx); err != nil {
		b.Fatal(err)
	}
	busy, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { judge(b, busy, judged) })
	group.Go(func() { recordOthers(busy, s.recorder) })
	err = g.Run(ctx, latenessLength)
	stop()
	group.Wait()
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Close(); err != nil {
		b.Fatal(err)
	}
	var late []float64
	for _, r := range s.log(b).Records {
		if r.Kind == record.Sent && r.Due > 0 {
			late = append(late, float64(r.At-r.Due)/1e3)
		}
	}
	if len(late) < latenessRate {
		b.Fatalf("%d messages were sent", len(late))
	}
	return late
}

// recording makes one to be judged.
func recording(b *testing.B) string {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "judged")
	r, err := record.NewRecorder(dir, record.NewClock())
	if err != nil {
		b.Fatal(err)
	}
	publisher, viewer := r.Node(record.Node{Name: "p", Role: "publisher"}), r.Node(record.Node{Name: "v", Role: "viewer", Filters: []string{"#"}})
	stream := r.Stream(record.Stream{Device: "d", Topic: "t", QoS: 1, Period: time.Millisecond})
	r.Event(record.Event{At: 1, Kind: record.Connected, Subject: "v"})
	r.Event(record.Event{At: 1, Kind: record.Subscribed, Subject: "v"})
	for i := range uint64(judgedMessages) {
		at := int64(i+1) * 1000
		r.Add(record.Record{Kind: record.Sent, Node: publisher, Stream: stream, Seq: i + 1, Due: at, At: at + 10, End: at + 20, Aux: 1})
		r.Add(record.Record{Kind: record.Received, Node: viewer, Stream: stream, Seq: i + 1, At: at + 500})
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// judge reads and judges the recording over and over until ctx ends.
func judge(b *testing.B, ctx context.Context, dir string) { //nolint:revive // testing comes first here
	b.Helper()
	for ctx.Err() == nil {
		log, err := record.Load(dir)
		if err != nil {
			b.Error(err)
			return
		}
		h, err := oracle.Index(log)
		if err != nil {
			b.Error(err)
			return
		}
		if d, _ := h.Delivery(oracle.Options{Requirement: "DEL-01", BrokerInside: true}); d.Owed == 0 {
			b.Error(fmt.Errorf("nothing was judged: %+v", d))
			return
		}
	}
}

// recordOthers records what viewers would until ctx ends.
func recordOthers(ctx context.Context, r *record.Recorder) {
	node := r.Node(record.Node{Name: "busy", Role: "viewer"})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for range recordedRate / 1000 {
				r.Add(record.Record{Kind: record.Received, Node: node, Stream: record.NoStream, At: r.Clock().Now()})
			}
		}
	}
}
