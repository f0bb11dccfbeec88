package hub

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"plumbline/bridge/journal"
)

// BenchmarkFanOut publishes readings of 128 bytes to viewers that pull in this
// process, each in a goroutine of its own as a connection would. ns/op and
// allocs/op are for one delivery of one reading to one viewer.
func BenchmarkFanOut(b *testing.B) {
	for _, viewers := range []int{10, 50} {
		b.Run(fmt.Sprint(viewers), func(b *testing.B) { benchmarkFanOut(b, viewers) })
	}
}

func benchmarkFanOut(b *testing.B, viewers int) {
	b.Helper()
	j, err := journal.Open(journal.Options{Dir: b.TempDir(), TailBytes: 8 << 20})
	if err != nil {
		b.Fatal(err)
	}
	h := New(j, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.Run(ctx) })
	messages := uint64(b.N/viewers + 1)
	var bytesOut, frames atomic.Int64
	var done sync.WaitGroup
	for range viewers {
		bell := make(chan struct{}, 1)
		s, _, err := h.Subscribe(SubscribeOptions{Filter: "plant/#", Notify: func() {
			select {
			case bell <- struct{}{}:
			default:
			}
		}})
		if err != nil {
			b.Fatal(err)
		}
		done.Go(func() {
			var batches []Batch
			for s.Cursor() < messages {
				<-bell
				for more := true; more; {
					if batches, _, more = s.PullInto(batches[:0], 64<<10); len(batches) == 0 {
						break
					}
					for i := range batches {
						bytesOut.Add(int64(len(batches[i].Body)))
					}
					frames.Add(int64(len(batches)))
				}
			}
		})
	}
	payload := bytes.Repeat([]byte(`{"seq":12,"v":1}`), 8)
	b.ReportAllocs()
	b.ResetTimer()
	for range messages {
		if _, _, err := j.Append(ctx, journal.Message{Topic: "plant/line1/machine7/temperature", Payload: payload, QoS: 1}); err != nil {
			b.Fatal(err)
		}
	}
	done.Wait()
	b.StopTimer()
	b.ReportMetric(float64(frames.Load())/float64(messages), "frames/message")
	cancel()
	wg.Wait()
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRound is the loop's own cost for one reading: read, match, encode.
func BenchmarkRound(b *testing.B) {
	j, err := journal.Open(journal.Options{Dir: b.TempDir(), Sync: journal.SyncMemory})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	h := New(j, Options{})
	if _, _, err := h.Subscribe(SubscribeOptions{Filter: "#"}); err != nil {
		b.Fatal(err)
	}
	payload := bytes.Repeat([]byte(`{"seq":12,"v":1}`), 8)
	for range roundEntries {
		if _, _, err := j.Append(context.Background(), journal.Message{Topic: "plant/line1/temp", Payload: payload}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += roundEntries {
		h.position = 0
		if _, err := h.round(allFrames); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCatchUp is the cost of one entry for a viewer that reads it from the
// journal's memory, alone.
func BenchmarkCatchUp(b *testing.B) {
	j, err := journal.Open(journal.Options{Dir: b.TempDir(), Sync: journal.SyncMemory})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	const entries = 50_000
	payload := bytes.Repeat([]byte(`{"seq":12,"v":1}`), 8)
	for range entries {
		if _, _, err := j.Append(context.Background(), journal.Message{Topic: "plant/line1/temp", Payload: payload}); err != nil {
			b.Fatal(err)
		}
	}
	h := New(j, Options{})
	b.ReportAllocs()
	for n := 0; n < b.N; n += entries {
		s, _, err := h.Subscribe(SubscribeOptions{Filter: "#", Since: &journal.Cursor{Epoch: j.Epoch()}})
		if err != nil {
			b.Fatal(err)
		}
		var batches []Batch
		for more := true; more; {
			batches, _, more = s.PullInto(batches[:0], 64<<10)
		}
		s.Close()
	}
}
