//go:build linux

package yardstick

import (
	"bufio"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// holding is the task of a process that opens viewers which then read nothing.
type holding struct {
	Target  target
	Viewers int
}

// holdRole opens the viewers, says how many, and keeps them until it is told to end. One that is cut comes back and stalls anew.
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

// BenchmarkStalledViewers measures what 1,000 viewers that do not read cost the process and 50 viewers that do: 4 KiB payloads, the same
// window with and without them, in turn.
func BenchmarkStalledViewers(b *testing.B) {
	const stalled, healthy, rounds = 1000, 50, 3
	s := startBridged(b, "viewers.writeTimeout=1m", "viewers.handshakeRate=0") // or they would be cut after 5 s
	l := load{Rate: 100, Seconds: 8, PayloadBytes: 4096, Topics: 100}
	filling := l
	filling.Seconds = 3
	var without, with []float64
	var most int64
	window(b, s, l, healthy) // warm up
	before := s.rss(b)
	for range rounds {
		without = append(without, window(b, s, l, healthy).P99.Seconds()*1e3)
		c := startRole(b, "hold", holding{Target: s.viewer, Viewers: stalled})
		var open, cut int64
		c.hear(b, &open)
		window(b, s, filling, 1) // until every socket is full: before that nobody is stalled
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
