package live_test

import (
	"fmt"
	"testing"
	"time"

	"plumbline/harness/live"
	"plumbline/harness/record"
)

// BenchmarkRecording writes what a second of 2000 messages to four viewers leaves,
// with nobody looking on and with a monitor, side by side: what looking costs is
// the difference. Figures are taken ten times as often as in a run.
func BenchmarkRecording(b *testing.B) {
	for _, watched := range []bool{false, true} {
		b.Run(fmt.Sprintf("watched=%v", watched), func(b *testing.B) {
			clock := record.NewClock()
			rec, err := record.NewRecorder(b.TempDir(), clock)
			if err != nil {
				b.Fatal(err)
			}
			monitor := live.NewMonitor(live.Every/10, func(live.Told) {})
			defer monitor.Close()
			if watched {
				monitor.Follow("bench", rec)
			}
			seq, records := uint64(0), 0
			b.ResetTimer()
			for b.Loop() {
				for range 2000 {
					seq++
					at := int64(seq) * int64(time.Second) / 2000
					rec.Add(record.Record{Kind: record.Sent, Stream: uint32(seq % 50), Seq: seq, Due: at, At: at, Aux: 1})
					rec.Add(record.Record{Kind: record.Acked, Stream: uint32(seq % 50), Seq: seq, At: at})
					rec.Add(record.Record{Kind: record.Witnessed, Node: 1, Stream: uint32(seq % 50), Seq: seq, At: at})
					for v := range 4 {
						rec.Add(record.Record{Kind: record.Received, Node: uint16(2 + v), Stream: uint32(seq % 50), Seq: seq, At: at + int64(time.Millisecond)})
					}
					records += 7
				}
			}
			if err := rec.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
			b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N), "%core") // of a core, were it in real time
		})
	}
}

// BenchmarkMeter is what the goroutine that writes spends on a second of 2000
// messages to four viewers, and on the figures of it.
func BenchmarkMeter(b *testing.B) {
	var m live.Meter
	seq := uint64(0)
	batch := make([]record.Record, 0, 1400)
	for b.Loop() {
		for range 10 {
			batch = batch[:0]
			for range 200 {
				seq++
				at := int64(seq) * int64(time.Second) / 2000
				batch = append(batch, record.Record{Kind: record.Sent, Stream: uint32(seq % 50), Seq: seq, Due: at, Aux: 1},
					record.Record{Kind: record.Acked, Seq: seq}, record.Record{Kind: record.Witnessed, Seq: seq})
				for range 4 {
					batch = append(batch, record.Record{Kind: record.Received, Stream: uint32(seq % 50), Seq: seq, At: at + int64(time.Millisecond)})
				}
			}
			m.Take(record.Written{Records: batch})
			m.Take(record.Written{})
		}
		m.Figures(int64(seq) * int64(time.Second) / 2000)
	}
	b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N), "%core")
}
