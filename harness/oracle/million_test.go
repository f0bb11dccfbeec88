package oracle

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/stats"
	"plumbline/reports"
)

// crowdRate is how many messages a second a crowd publishes.
const crowdRate = 10_000

// crowd is a recording of n messages of many devices with a witness and one
// viewer, and what was done to it: about one message in a thousand was lost, came
// twice, after the next of its device, damaged, or was made up.
type crowd struct {
	n, lost, doubled, late, damaged, madeUp int64
	held                                    map[uint32]record.Record // arrivals that wait for the next of their device
	add                                     func(record.Record)
}

func crowdIndex(devices int) record.Index {
	index := record.Index{Nodes: []record.Node{{Name: "publisher", Role: "publisher"}, {Name: "witness", Role: "witness"}, {Name: "v", Role: "viewer", Filters: []string{"#"}}}}
	for d := range devices {
		id := fmt.Sprintf("d%03d", d+1)
		index.Streams = append(index.Streams, record.Stream{Device: id, Topic: "bench/" + id, Period: 1})
	}
	return index
}

// publish makes the records in their order.
func (c *crowd) publish(devices int) {
	draw := rand.New(rand.NewPCG(1, 2)) // reproducible faults, not secrets
	c.held = map[uint32]record.Record{}
	for i := range int(c.n) {
		at := int64(i)*int64(time.Second)/crowdRate + 1
		m := record.Record{Stream: uint32(i % devices), Seq: uint64(i/devices) + 1, At: at, Bytes: 100}
		as := func(kind record.Kind, node uint16, after int64) record.Record {
			r := m
			r.Kind, r.Node, r.At = kind, node, at+after
			return r
		}
		sent := as(record.Sent, 0, 0)
		sent.Due, sent.End, sent.Aux = at, at+1000, 1
		c.add(sent)
		c.add(as(record.Acked, 0, ms/2))
		c.add(as(record.Witnessed, 1, ms/2))
		arrived := as(record.Received, 2, ms)
		arrived.Offset = uint64(i) + 1
		c.deliver(arrived, draw.IntN(1000))
	}
	c.lost += int64(len(c.held)) // nothing came behind which they could
}

// deliver lets a message arrive, with the fault of that number.
func (c *crowd) deliver(r record.Record, fault int) {
	switch fault {
	case 0:
		c.lost++
		return
	case 1:
		c.doubled++
		c.add(r)
	case 2:
		if _, waits := c.held[r.Stream]; !waits {
			c.held[r.Stream] = r
			return
		}
	case 3:
		c.damaged++
		c.lost++
		r.Flags = record.FlagCorrupt
		c.add(r)
		return
	case 4:
		c.madeUp++
		c.add(record.Record{Kind: record.Received, Node: 2, Stream: record.NoStream, At: r.At})
	}
	c.add(r)
	if before, waits := c.held[r.Stream]; waits {
		delete(c.held, r.Stream)
		c.late++
		c.add(before)
	}
}

// judge runs every oracle over the recording and compares with what was done.
func (c *crowd) judge(tb testing.TB, log *record.Log) {
	tb.Helper()
	h, err := Index(log)
	if err != nil {
		tb.Fatal(err)
	}
	d, _ := h.Delivery(Options{})
	want := Delivery{Messages: c.n, Owed: c.n, Delivered: c.n - c.lost, Lost: c.lost, Duplicated: c.doubled, Corrupted: c.damaged, Phantom: c.madeUp}
	if d != want {
		tb.Errorf("delivery %+v, want %+v", d, want)
	}
	if o, _ := h.Order(Options{}); o.Reordered != c.late || o.Excused+o.Stale+o.Backwards != 0 {
		tb.Errorf("order %+v, want %d late", o, c.late)
	}
	if a, _ := h.Chain(Options{}); a.SilentLost != c.lost || a.Broken != 0 {
		tb.Errorf("chain %+v, want %d lost in silence", a, c.lost)
	}
	l := h.Latencies(Options{})
	if l.Lost != c.lost || int64(len(l.Series.Value)) != c.n || l.Negative != 0 {
		tb.Errorf("%d latencies, %d lost, %d negative", len(l.Series.Value), l.Lost, l.Negative)
	}
	r := JudgeLatency(reports.Requirement{ID: "LAT-02", Quantile: 0.99}, LatencyInput{Latency: l, Limit: 400 * time.Millisecond, Rig: million, Rule: stats.Rule{MinBlocks: 2}})
	if r.Verdict != reports.Pass {
		tb.Errorf("%s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
	if got := Distribution("all", "crowd", l, nil); got.N != c.n || got.Lost != c.lost {
		tb.Errorf("%d in the distribution, %d lost", got.N, got.Lost)
	}
	sum := int64(0)
	for _, row := range h.Integrity("crowd", Options{}) {
		sum += row.Lost + row.Duplicated + row.Reordered
	}
	if sum != c.lost+c.doubled+c.late {
		tb.Errorf("devices account for %d faults, want %d", sum, c.lost+c.doubled+c.late)
	}
}

// million is a rig without fault.
var million = reports.RigHealth{Offered: 1, Achieved: 1, ClockSource: "tsc", ClockRead: 30, SlipP99: 0.01, FloorP50: 0.1, FloorP99: 0.3, FloorP999: 1}

// TestCrowd is the exactness check with fewer messages than the benchmark.
func TestCrowd(t *testing.T) {
	log := &record.Log{Index: crowdIndex(200)}
	c := &crowd{n: 50_000, add: func(r record.Record) { log.Records = append(log.Records, r) }}
	c.publish(200)
	c.judge(t, log)
}

// Bounds of a judgement of a million messages.
const (
	millionMemory = 512 << 20
	millionShare  = 0.1 // of the time that the run took
)

// BenchmarkMillion reads a recording of 10⁶ messages of 200 devices from disk and
// judges it by every oracle, exactly: as a share of the time that it took to
// record, and with the most memory that the heap ever had, recording included.
func BenchmarkMillion(b *testing.B) {
	const n, devices = 1_000_000, 200
	dir := b.TempDir()
	recorder, err := record.NewRecorder(dir, record.NewClock())
	if err != nil {
		b.Fatal(err)
	}
	for _, node := range crowdIndex(devices).Nodes {
		recorder.Node(node)
	}
	for _, stream := range crowdIndex(devices).Streams {
		recorder.Stream(stream)
	}
	c := &crowd{n: n, add: recorder.Add}
	c.publish(devices)
	if err := recorder.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		runtime.GC() // as a judgement begins: the recording before is gone
		log, err := record.Load(dir)
		if err != nil {
			b.Fatal(err)
		}
		c.judge(b, log)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	share := b.Elapsed().Seconds() / float64(b.N) / (n / crowdRate)
	b.ReportMetric(float64(m.HeapSys)/(1<<20), "MiB-heap")
	b.ReportMetric(100*share, "%-of-run")
	if m.HeapSys > millionMemory || share > millionShare {
		b.Errorf("%d MiB of heap and %.1f %% of the run's time, want less than %d and %.0f %%", m.HeapSys>>20, 100*share, int64(millionMemory)>>20, 100*millionShare)
	}
}
