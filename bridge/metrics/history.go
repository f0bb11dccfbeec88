package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// history is the metrics of sinks and of the history API, a part of Set.
type history struct {
	SinkPoints   *prometheus.CounterVec   // numbers stored, by sink
	SinkEvents   *prometheus.CounterVec   // payloads without a number stored, by sink
	SinkLeft     *prometheus.CounterVec   // what was not stored, by sink and reason
	SinkGaps     *prometheus.CounterVec   // gaps recorded, by sink and reason
	SinkErrors   *prometheus.CounterVec   // failed calls of the store, by sink and action
	SinkWrites   *prometheus.HistogramVec // seconds per stored batch, by sink
	HistoryAsked *prometheus.CounterVec   // requests to the history API, by route and status
	HistoryTime  *prometheus.HistogramVec // seconds per request to the history API, by route
}

func (s *Set) newHistory() {
	s.SinkPoints = s.counterVec("bridge_sink_points_total", "Numbers stored in history.", "sink")
	s.SinkEvents = s.counterVec("bridge_sink_events_total", "Payloads or members that are no numbers, stored in history.", "sink")
	s.SinkLeft = s.counterVec("bridge_sink_left_total", "What was not stored, by reason (field = too many or deep or without a name that can be shown, series = limit of series, time = the stated time was not believed and the bridge's stored).", "sink", "reason")
	s.SinkGaps = s.counterVec("bridge_sink_gaps_total", "Gaps recorded in history, by reason (evicted, epoch).", "sink", "reason")
	s.SinkErrors = s.counterVec("bridge_sink_errors_total", "Calls of the history store that failed, by action.", "sink", "action")
	s.SinkWrites = s.histogramVec("bridge_sink_write_seconds", "Time to store one batch.", prometheus.ExponentialBuckets(1e-3, 2, 16), "sink")
	s.HistoryAsked = s.counterVec("bridge_history_requests_total", "Requests to the history API, by route and status.", "route", "status")
	s.HistoryTime = s.histogramVec("bridge_history_request_seconds", "Time of requests to the history API, by route.", prometheus.ExponentialBuckets(1e-3, 2, 14), "route")
}

// WatchSink registers the lag of a sink, read at scrape time: entries of the journal that are not stored, and the age of the oldest.
func (s *Set) WatchSink(sink string, lag func() (offsets uint64, age time.Duration)) {
	label := prometheus.Labels{"sink": sink}
	s.Registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bridge_sink_lag_offsets", Help: "Entries of the journal that are not stored in history yet.", ConstLabels: label}, func() float64 {
			n, _ := lag()
			return float64(n)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bridge_sink_lag_seconds", Help: "Age of the oldest entry of the journal that is not stored in history yet.", ConstLabels: label}, func() float64 {
			_, age := lag()
			return age.Seconds()
		}))
}

func (s *Set) histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	s.Registry.MustRegister(h)
	return h
}
