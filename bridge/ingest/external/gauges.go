package external

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/prometheus/client_golang/prometheus"

	"plumbline/bridge/metrics"
)

// gauges are the metrics of one source: those of metrics.Set with the broker's name filled in.
type gauges struct {
	name                                        string
	set                                         *metrics.External
	up                                          prometheus.Gauge
	connects, sessionsLost, stalls, badSequence prometheus.Counter
	since                                       *atomic.Int64 // Unix nanoseconds since when one message waits for the journal; 0 = none
}

func newGauges(s *Source) gauges {
	name, set := s.opts.Name, s.opts.Metrics.External
	g := gauges{
		name: name, set: set, up: set.Connected.WithLabelValues(name), connects: set.Connects.WithLabelValues(name),
		sessionsLost: set.SessionsLost.WithLabelValues(name), stalls: set.Stalls.WithLabelValues(name),
		badSequence: set.BadSequence.WithLabelValues(name), since: new(atomic.Int64),
	}
	s.opts.Metrics.WatchBroker("bridge_external_wait_seconds", "How long the message that is being stored has waited for the journal, 0 when none is.", name, func() float64 {
		began := g.since.Load()
		if began == 0 {
			return 0
		}
		return max(0, s.opts.Now().Sub(time.Unix(0, began)).Seconds())
	})
	return g
}

func (g gauges) connected(is bool) {
	if is {
		g.up.Set(1)
	} else {
		g.up.Set(0)
	}
}

// failed counts an attempt or a connection that ended, by what explain found.
func (g gauges) failed(err error) {
	label := "lost"
	var f failure
	if errors.As(err, &f) {
		label = f.label
	}
	g.set.Failures.WithLabelValues(g.name, label).Inc()
}

// storing notes since when a message is being stored; the zero time for none.
func (g gauges) storing(since time.Time) {
	if since.IsZero() {
		g.since.Store(0)
		return
	}
	g.since.Store(since.UnixNano())
}

var (
	qosLabels  = [...]string{"0", "1", "2", "3"}
	boolLabels = map[bool]string{false: "0", true: "1"}
)

func (g gauges) received(p *packets.Publish) {
	g.set.Received.WithLabelValues(g.name, qosLabels[p.QoS&3], boolLabels[p.Retain], boolLabels[p.Duplicate]).Inc()
}

func (g gauges) duplicates(by string) prometheus.Counter {
	return g.set.Duplicates.WithLabelValues(g.name, by)
}

func (g gauges) refused(why string) prometheus.Counter {
	return g.set.Refused.WithLabelValues(g.name, why)
}

func (g gauges) published(result string) { g.set.Published.WithLabelValues(g.name, result).Inc() }
