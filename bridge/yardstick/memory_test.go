//go:build linux

package yardstick

import (
	"bufio"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// holding is the task of a process that opens viewers and keeps them: idle ones read what comes, stalled ones never read again.
type holding struct {
	Target  target
	Viewers int
	Stalled bool
}

// holdRole opens the viewers, says how many, and keeps them until it is told to end. A stalled viewer that is cut comes back and stalls anew.
func holdRole(in *bufio.Reader) error {
	var task holding
	if err := listen(in, &task); err != nil {
		return err
	}
	h := &holder{task: task, ended: make(chan struct{})}
	places := make(chan struct{}, 16) // handshakes at a time
	var opening sync.WaitGroup
	for range task.Viewers {
		places <- struct{}{}
		opening.Go(func() {
			h.hold()
			<-places
		})
	}
	opening.Wait()
	if err := say(h.open.Load()); err != nil {
		return err
	}
	var over string
	if err := listen(in, &over); err != nil {
		return err
	}
	close(h.ended)
	return say(h.cut.Load())
}

type holder struct {
	task      holding
	open, cut atomic.Int64
	ended     chan struct{}
}

func (h *holder) hold() {
	s, err := h.task.Target.open()
	if err != nil {
		return // counted by its absence
	}
	h.open.Add(1)
	go h.keep(s)
}

// keep holds one viewer until the process ends.
func (h *holder) keep(s *socket) {
	if !h.task.Stalled {
		s.r.Reset(s.Conn)
		for {
			if _, err := s.message(); err != nil {
				return
			}
		}
	}
	for {
		if !h.stall(s) {
			return
		}
		h.cut.Add(1)
		again, err := h.task.Target.open()
		if err != nil {
			return
		}
		s = again
	}
}

// stall reads nothing and reports, by trying to write, when the server has cut the connection.
func (h *holder) stall(s *socket) bool {
	defer func() { _ = s.Close() }()
	try := time.NewTicker(500 * time.Millisecond)
	defer try.Stop()
	for {
		select {
		case <-h.ended:
			return false
		case <-try.C:
			if s.send(10, nil) != nil { // an unsolicited pong is allowed (RFC 6455 section 5.5.3)
				return true
			}
		}
	}
}

// steady waits until the server's memory has stopped to move and returns it.
func steady(b *testing.B, s server) int64 {
	b.Helper()
	poll := time.NewTicker(5 * time.Second)
	defer poll.Stop()
	last := s.rss(b)
	for range 24 {
		<-poll.C
		now := s.rss(b)
		if now <= last && now > last*99/100 {
			return now
		}
		last = now
	}
	return last
}

// BenchmarkIdleViewers measures the resident memory of one idle viewer: 19,000 at once on one process, with a session and no subscription.
func BenchmarkIdleViewers(b *testing.B) {
	const viewers = 19_000
	for _, secure := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "tls"}[secure], func(b *testing.B) {
			s := startBridged(b, fmt.Sprintf("viewers.plaintext=%v", !secure))
			before := s.rss(b)
			s.viewer.TLS, s.viewer.Filter = secure, ""
			c := startRole(b, "hold", holding{Target: s.viewer, Viewers: viewers})
			var open int64
			c.hear(b, &open)
			if open != viewers {
				b.Fatalf("%d of %d viewers connected", open, viewers)
			}
			after := steady(b, s)
			b.ReportMetric(float64(after-before)/float64(viewers)/1024, "KiB/viewer")
			b.ReportMetric(0, "ns/op")
			b.Logf("RSS %d MiB before, %d MiB with %d viewers", before>>20, after>>20, viewers)
		})
	}
}

// BenchmarkStalledViewers measures what 1,000 viewers that do not read cost the process and 50 viewers that do: 4 KiB payloads, the same
// window with and without them, in turn.
func BenchmarkStalledViewers(b *testing.B) {
	const stalled, healthy, rounds = 1000, 50, 3
	s := startBridged(b)
	l := load{Rate: 100, Seconds: 8, PayloadBytes: 4096, Topics: 100}
	var without, with []float64
	var most int64
	window(b, s, l, healthy) // warm up
	before := s.rss(b)
	for range rounds {
		without = append(without, window(b, s, l, healthy).P99.Seconds()*1e3)
		c := startRole(b, "hold", holding{Target: s.viewer, Viewers: stalled, Stalled: true})
		var open, cut int64
		c.hear(b, &open)
		stop := make(chan struct{})
		peak := make(chan int64)
		go func() { peak <- highest(b, s, stop) }()
		m := window(b, s, l, healthy)
		close(stop)
		most = max(most, <-peak)
		c.tell(b, "over")
		c.hear(b, &cut)
		c.stop()
		with = append(with, m.P99.Seconds()*1e3)
		b.Logf("%d stalled, of which %d were cut and came back; healthy viewers: lost %d, twice %d, out of order %d, p99 %v (without: %.2f ms)",
			open, cut, m.Lost, m.Twice, m.Disordered, m.P99, without[len(without)-1])
	}
	after := steady(b, s)
	b.Logf("RSS %d MiB before, at most %d MiB with %d stalled viewers, %d MiB after", before>>20, most>>20, stalled, after>>20)
	b.ReportMetric(float64(most-before)/stalled/1024, "KiB/stalled")
	b.ReportMetric(median(with)/median(without), "p99-ratio")
	b.ReportMetric(0, "ns/op")
}

// highest polls the server's memory until stop and returns the most that it saw.
func highest(b *testing.B, s server, stop <-chan struct{}) (most int64) {
	b.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		most = max(most, s.rss(b))
		select {
		case <-stop:
			return most
		case <-poll.C:
		}
	}
}
