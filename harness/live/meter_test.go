package live

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"plumbline/harness/record"
)

const ms = int64(time.Millisecond)

func viewers(names ...string) []record.Node {
	nodes := []record.Node{{Name: "witness", Role: "witness"}}
	for _, n := range names {
		nodes = append(nodes, record.Node{Name: n, Role: "viewer"})
	}
	return nodes
}

// near reports whether a figure is within the width of a bucket of want.
func near(got float64, want float64) bool { return math.Abs(got-want) <= want*0.035 }

func TestFiguresOfWhatArrived(t *testing.T) {
	var m Meter
	// 1000 messages, one each millisecond; message i takes i µs to two viewers.
	var sent, received []record.Record
	for i := int64(1); i <= 1000; i++ {
		sent = append(sent, record.Record{Kind: record.Sent, Stream: 3, Seq: uint64(i), Due: i * ms, Aux: 1}, record.Record{Kind: record.Acked, Stream: 3, Seq: uint64(i)})
		for range 2 {
			received = append(received, record.Record{Kind: record.Received, Node: 1, Stream: 3, Seq: uint64(i), At: i*ms + i*1000})
		}
	}
	// Half of the arrivals are written before the word that their messages were sent.
	m.Take(record.Written{Records: received[:1000]})
	m.Take(record.Written{Records: sent})
	m.Take(record.Written{Records: received[1000:]})
	m.Take(record.Written{Nodes: viewers("v1", "v2"), Streams: 4, Events: []record.Event{
		{Kind: record.Connected, Subject: "witness"}, {Kind: record.Connected, Subject: "v1"}, {Kind: record.Connected, Subject: "v2"},
		{Kind: record.Disconnected, Subject: "v1", Fields: map[string]string{"reason": "EOF"}},
	}})
	f := m.Figures(2 * int64(time.Second))
	if f.N != 2000 || !near(float64(f.P50), 0.5) || !near(float64(f.P99), 0.99) {
		t.Errorf("p50 %v ms, p99 %v ms of %d, want 0.5, 0.99 of 2000", f.P50, f.P99, f.N)
	}
	if f.Sent != 1000 || f.Acked != 1000 || f.Received != 2000 || f.SentRate != 500 || f.ReceivedRate != 1000 {
		t.Errorf("counts %+v", f)
	}
	if f.Viewers != 2 || f.Connected != 1 || f.Devices != 4 {
		t.Errorf("%d of %d viewers connected, %d devices", f.Connected, f.Viewers, f.Devices)
	}
	m.Take(record.Written{Nodes: viewers("v1", "v2"), Events: []record.Event{
		{Kind: record.Disconnected, Subject: "v2", Fields: map[string]string{"reason": record.ReasonClosed}},
	}})
	f = m.Figures(3 * int64(time.Second))
	if f.Viewers != 1 || f.Connected != 0 || f.SentRate != 0 {
		t.Errorf("after a viewer left for good %+v", f)
	}
	if f = m.Figures(20 * int64(time.Second)); f.N != 0 || !math.IsNaN(float64(f.P50)) || !math.IsNaN(float64(f.P99)) {
		t.Errorf("long after the last arrival p50 is %v ms, p99 %v ms of %d", f.P50, f.P99, f.N)
	}
}

func TestWhatIsNoLiveArrivalHasNoLatency(t *testing.T) {
	var m Meter
	m.Take(record.Written{Records: []record.Record{
		{Kind: record.Sent, Stream: 1, Seq: 1, Due: ms, Aux: 1},
		{Kind: record.Sent, Stream: 1, Seq: 1, Due: ms, Aux: 2}, // sent again: no further message
		{Kind: record.Received, Flags: record.FlagRetained, Stream: 1, Seq: 1, At: 2 * ms},
		{Kind: record.Received, Flags: record.FlagForeign, Stream: 1, Seq: 1, At: 2 * ms},
		{Kind: record.Received, Flags: record.FlagMisrouted, Stream: 1, Seq: 1, At: 2 * ms},
		{Kind: record.Received, Stream: record.NoStream, Seq: 1, At: 2 * ms},
		{Kind: record.Received, Stream: 1, At: 2 * ms},
		{Kind: record.Received, Stream: 1, Seq: 77, At: 2 * ms}, // nobody sent it
		{Kind: record.Restored, Stream: 1, Seq: 1, At: 2 * ms},
		{Kind: record.Witnessed, Stream: 1, Seq: 1, At: 2 * ms},
		{Kind: record.Blocked, Stream: 1, Seq: 2, Due: ms},
	}})
	if f := m.Figures(int64(time.Second)); f.N != 0 || f.Sent != 1 || f.Received != 6 {
		t.Errorf("figures %+v", f)
	}
}

// TestAnArrivalBeforeTheRecording: the offset of an agent's clock may be wrong by
// more than a second.
func TestAnArrivalBeforeTheRecording(t *testing.T) {
	var m Meter
	m.Take(record.Written{Records: []record.Record{
		{Kind: record.Sent, Stream: 1, Seq: 1, Due: ms, Aux: 1},
		{Kind: record.Received, Stream: 1, Seq: 1, At: -1500 * ms},
		{Kind: record.Received, Stream: 1, Seq: 1, At: math.MinInt64},
		{Kind: record.Received, Stream: 1, Seq: 1, At: 3 * ms},
	}})
	if f := m.Figures(int64(time.Second)); f.N != 1 || f.Received != 3 || !near(float64(f.P50), 2) {
		t.Errorf("figures %+v", f)
	}
}

func TestFaultsAreTold(t *testing.T) {
	var m Meter
	got := m.Take(record.Written{Events: []record.Event{
		{At: 5, Kind: record.FaultOnset, Subject: "SIGKILL bridge", Fields: map[string]string{}},
		{At: 7, Kind: record.FaultAction, Subject: "link"},
		{At: 9, Kind: record.FaultEnd, Subject: "drop", Fields: map[string]string{"error": "it stayed", "fired": "12"}},
	}})
	if len(got) != 2 || got[0].Ended || got[0].At != 5 || got[0].Fault.Name != "SIGKILL bridge" ||
		!got[1].Ended || got[1].Fault.Fired != 12 || got[1].Fault.Error != "it stayed" {
		t.Errorf("changes %+v", got)
	}
}

// TestAFloodIsSampledAndBounded sends far more than is followed: the figures stay
// about right and what is kept stays small.
func TestAFloodIsSampledAndBounded(t *testing.T) {
	var m Meter
	const rate, seconds = 100_000, 3
	seq := uint64(0)
	for s := range int64(seconds) {
		for part := range int64(10) {
			var batch []record.Record
			for i := range int64(rate / 10) {
				seq++
				at := s*int64(time.Second) + part*100*ms + i*1000
				batch = append(batch,
					record.Record{Kind: record.Sent, Stream: uint32(seq % 50), Seq: seq, Due: at, Aux: 1},
					record.Record{Kind: record.Received, Stream: uint32(seq % 50), Seq: seq, At: at + int64(1+seq%10)*ms})
			}
			m.Take(record.Written{Records: batch})
			m.Take(record.Written{})
		}
	}
	f := m.Figures(seconds * int64(time.Second))
	if f.Sent != rate*seconds || f.Received != rate*seconds {
		t.Errorf("%d sent, %d received, want %d", f.Sent, f.Received, rate*seconds)
	}
	if len(m.due) > maxKept || len(m.early) > maxKept || m.mask == 0 {
		t.Errorf("follows %d messages and %d arrivals by mask %#x", len(m.due), len(m.early), m.mask)
	}
	if !near(float64(f.P50), 5) && !near(float64(f.P50), 6) || !near(float64(f.P99), 10) || f.N < 1000 {
		t.Errorf("p50 %v ms, p99 %v ms of %d", f.P50, f.P99, f.N)
	}
}

func TestMessagesAreForgotten(t *testing.T) {
	var m Meter
	for s := range int64(200) {
		at := s * int64(time.Second)
		m.Take(record.Written{Records: []record.Record{
			{Kind: record.Sent, Stream: 1, Seq: uint64(s + 1), Due: at, Aux: 1},
			{Kind: record.Received, Stream: 1, Seq: uint64(s + 1), At: at + ms},
			{Kind: record.Received, Stream: 1, Seq: uint64(s + 1_000_000), At: at + ms}, // nobody sent it
		}})
		m.Take(record.Written{})
	}
	if n := len(m.due) + len(m.older); n > 2*keepSlots+2 {
		t.Errorf("%d messages are followed, one came a second", n)
	}
	if len(m.early) > 10 {
		t.Errorf("%d arrivals wait for a word that never comes", len(m.early))
	}
}

func TestQuantilesOfTheHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []int64
	for range 20_000 {
		v := int64(math.Exp(rng.NormFloat64()*2 + 14)) // about 1 ms, over many octaves
		all = append(all, v)
		h.add(v)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := float64(all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]) / 1e6
		if got := float64(h.quantile(q)); math.Abs(got-want) > 0.022*want { // half a bucket, and three digits
			t.Errorf("q %v: %v ms, want %v", q, got, want)
		}
	}
	for _, v := range []int64{math.MinInt64, -1, 0, 1, 31, 32, fine - 1, fine, 2*fine - 1, 2 * fine, longest, longest + 1, math.MaxInt64} {
		b := bucket(v)
		if b < 0 || b >= buckets {
			t.Fatalf("%d ns is in bucket %d of %d", v, b, buckets)
		}
		if v >= 0 && v <= longest && math.Abs(middle(b)-float64(v)) > max(float64(v)/perOctave, fine/perOctave) {
			t.Errorf("%d ns is in the bucket around %v", v, middle(b))
		}
	}
	for b := 1; b < buckets; b++ {
		if bucket(int64(middle(b))) != b || middle(b) <= middle(b-1) {
			t.Fatalf("bucket %d around %v", b, middle(b))
		}
	}
}
