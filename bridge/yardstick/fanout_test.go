//go:build linux

package yardstick

import (
	"fmt"
	"testing"
	"time"
)

// measured is one window of one server.
type measured struct {
	seen
	sent
	perDelivery time.Duration // processor time of the server
}

// window runs one load through one server.
func window(b *testing.B, s server, l load, viewers int) measured {
	b.Helper()
	l.Address = s.mqtt
	eyes := startRole(b, "view", viewing{s.viewer, viewers, l.messages()})
	defer eyes.stop()
	var open string
	eyes.hear(b, &open)
	before := s.cpu(b)
	var m measured
	mouth := startRole(b, "publish", l)
	defer mouth.stop()
	mouth.hear(b, &m.sent)
	eyes.tell(b, "over")
	eyes.hear(b, &m.seen)
	m.perDelivery = (s.cpu(b) - before) / time.Duration(max(1, m.Delivered))
	return m
}

// BenchmarkFanOut measures bridged beside its peers: the three in turn, several times over, 128 B payloads, QoS 0, plain WebSocket.
// CPU is that of the whole server per delivery. Latency runs from the intended instant to the read in the viewer; what never came counts
// as an hour.
func BenchmarkFanOut(b *testing.B) {
	const rounds, seconds = 6, 5
	for _, c := range []struct{ rate, viewers int }{{1000, 10}, {2000, 50}, {5000, 50}} {
		b.Run(fmt.Sprintf("%dx%d", c.rate, c.viewers), func(b *testing.B) {
			servers := []server{startBridged(b), startNATS(b), startMosquitto(b)}
			l := load{Rate: c.rate, Seconds: seconds, PayloadBytes: 128, Topics: 100}
			figures := map[string][]measured{}
			for range rounds {
				for _, s := range servers {
					figures[s.name] = append(figures[s.name], window(b, s, l, c.viewers))
				}
			}
			for _, s := range servers {
				show(b, s.name, figures[s.name])
			}
			b.ReportMetric(0, "ns/op") // the time of one call says nothing here
		})
	}
}

func show(b *testing.B, name string, all []measured) {
	b.Helper()
	of := func(get func(measured) float64) float64 {
		var v []float64
		for _, m := range all {
			v = append(v, get(m))
		}
		return median(v)
	}
	cpu := of(func(m measured) float64 { return float64(m.perDelivery.Nanoseconds()) / 1e3 })
	p99 := of(func(m measured) float64 { return m.P99.Seconds() * 1e3 })
	b.ReportMetric(cpu, name+"-µs/delivery")
	b.ReportMetric(p99, name+"-p99-ms")
	for _, m := range all {
		b.Logf("%-12s %5.2f µs/delivery  p50 %v  p90 %v  p99 %v  p99.9 %v  most %v  delivered %d lost %d twice %d out of order %d  publisher late p99 %v most %v",
			name, float64(m.perDelivery.Nanoseconds())/1e3, m.P50.Round(time.Microsecond), m.P90.Round(time.Microsecond), m.P99.Round(time.Microsecond),
			m.P999.Round(time.Microsecond), m.Most.Round(time.Microsecond), m.Delivered, m.Lost, m.Twice, m.Disordered, m.LateP99.Round(time.Microsecond), m.LateMost.Round(time.Microsecond))
	}
}
