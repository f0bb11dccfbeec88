package relay

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

const (
	benchBatch   = 300 // messages of some 200 bytes: a full batch
	benchBatches = 40  // of a round
	benchDoors   = 2   // who store at each node: while one batch is on its way the next waits
)

// BenchmarkLog holds what one log carries, with full batches, against what one bridge takes in at all: by turns, a round of batches into the
// journal of a bridge that is alone, and as many through Redis into the journals of all nodes. Each node has to take in every message
// whatever the log is cut into, so cutting it helps only where Redis needs more of its one processor for a message than a node does.
func BenchmarkLog(b *testing.B) {
	for _, n := range []int{1, 2, 3} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) { benchmarkLog(b, n) })
	}
}

func benchmarkLog(b *testing.B, n int) {
	b.Helper()
	server := redistest.New(b)
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = newNode(b, options(server, strconv.Itoa(i)))
	}
	alone, err := journal.Open(journal.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = alone.Close() }()
	ms := make([]journal.Message, benchBatch)
	for i := range ms {
		ms[i] = journal.Message{Topic: fmt.Sprintf("plant/line1/machine%d/temperature", i), Payload: bytes.Repeat([]byte(`{"seq":12,"v":1}`), 8), QoS: 1}
	}
	var one, all, atRedis spent
	for b.Loop() {
		one.add(processTime, func() {
			for range benchBatches {
				if _, err := alone.AppendAll(b.Context(), ms); err != nil {
					b.Fatal(err)
				}
			}
		})
		all.add(processTime, func() {
			atRedis.add(func() time.Duration { return redisTime(b, server) }, func() { throughTheLog(b, nodes, ms) })
		})
	}
	count := float64(b.N * benchBatches * benchBatch)
	us := func(d time.Duration, by float64) float64 { return float64(d.Nanoseconds()) / 1e3 / by }
	b.ReportMetric(count/all.wall.Seconds(), "log-msgs/s")
	b.ReportMetric(count/one.wall.Seconds(), "alone-msgs/s")
	b.ReportMetric(us(one.cpu, count), "alone-cpu-µs/msg")
	b.ReportMetric(us(all.cpu, count*float64(n)), "node-cpu-µs/msg")
	b.ReportMetric(us(atRedis.cpu, count), "redis-cpu-µs/msg")
	b.ReportMetric(float64(atRedis.cpu)/float64(all.cpu)*float64(n), "redis/node")
}

// throughTheLog stores a round at all nodes, and returns when each of them has it.
func throughTheLog(b *testing.B, nodes []*node, ms []journal.Message) {
	b.Helper()
	var doors sync.WaitGroup
	work := make(chan struct{}, benchBatches)
	for range benchBatches {
		work <- struct{}{}
	}
	close(work)
	for _, n := range nodes {
		for range benchDoors {
			doors.Go(func() {
				for range work {
					if _, err := n.store(b.Context(), ms, ""); err != nil {
						b.Error(err)
					}
				}
			})
		}
	}
	doors.Wait()
	eventually.Must(b, "the nodes to stand at one place", func() bool {
		for _, n := range nodes {
			if n.journal.Head() != nodes[0].journal.Head() || n.Stats().Lag != 0 {
				return false
			}
		}
		return true
	})
}

// spent is the time that rounds took, and that of processors.
type spent struct{ wall, cpu time.Duration }

func (s *spent) add(cpu func() time.Duration, round func()) {
	before, began := cpu(), time.Now()
	round()
	s.wall += time.Since(began)
	s.cpu += cpu() - before
}

// processTime is what this process has had of processors.
func processTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // of ourselves it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// redisTime is what the server has had.
func redisTime(b *testing.B, s *redistest.Server) time.Duration {
	b.Helper()
	info := parseInfo(s.Info("cpu"))
	user, err := strconv.ParseFloat(info["used_cpu_user"], 64)
	sys, serr := strconv.ParseFloat(info["used_cpu_sys"], 64)
	if err != nil || serr != nil {
		b.Fatal(err, serr)
	}
	return time.Duration((user + sys) * float64(time.Second))
}
