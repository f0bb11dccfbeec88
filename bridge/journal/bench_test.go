package journal

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
)

// benchMessage is a reading of 128 bytes.
var benchPayload = bytes.Repeat([]byte(`{"seq":12,"v":1}`), 8)

func benchmarkAppend(b *testing.B, policy SyncPolicy, parallel bool) {
	b.Helper()
	j, err := Open(Options{Dir: b.TempDir(), Sync: policy})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	m := Message{Topic: "plant/line1/machine7/temperature", Payload: benchPayload, QoS: 1}
	b.SetBytes(int64(len(benchPayload)))
	b.ReportAllocs()
	b.ResetTimer()
	if !parallel {
		for range b.N {
			if _, _, err := j.Append(context.Background(), m); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := j.Append(context.Background(), m); err != nil {
				b.Error(err)
				return
			}
		}
	})
	s := j.Stats()
	b.ReportMetric(float64(s.Appended)/float64(s.Batches), "messages/batch")
}

func BenchmarkAppendMemory(b *testing.B)            { benchmarkAppend(b, SyncMemory, false) }
func BenchmarkAppendOS(b *testing.B)                { benchmarkAppend(b, SyncOS, false) }
func BenchmarkAppendOSParallel64(b *testing.B)      { benchmarkAppend(b, SyncOS, true) }
func BenchmarkAppendDurableParallel64(b *testing.B) { benchmarkAppend(b, SyncDurable, true) }

func benchmarkRead(b *testing.B, tail int64) {
	b.Helper()
	j, err := Open(Options{Dir: b.TempDir(), Sync: SyncMemory, TailBytes: tail})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	for range 20_000 {
		if _, _, err := j.Append(context.Background(), Message{Topic: "plant/line1/temp", Payload: benchPayload}); err != nil {
			b.Fatal(err)
		}
	}
	var entries []Entry
	var after atomic.Uint64
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += len(entries) {
		if entries, err = j.ReadInto(entries[:0], after.Load()%15_000, 100, 1<<20); err != nil || len(entries) == 0 {
			b.Fatal(err)
		}
		after.Add(uint64(len(entries)))
	}
}

// One op is one entry, read a hundred at a time.
func BenchmarkReadHot(b *testing.B)  { benchmarkRead(b, 64<<20) }
func BenchmarkReadDisk(b *testing.B) { benchmarkRead(b, 1) }
