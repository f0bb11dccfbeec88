// Package metrics holds the bridge's counters. One Set belongs to one Bridge and has its own registry, so that two bridges
// in one process never add into each other. No label carries a topic, a client or a subject: those are unbounded and private.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Set is every metric of one bridge. Make it with New; all fields are then usable concurrently.
type Set struct {
	// Registry holds the metrics below, the Go runtime's and the process's.
	Registry *prometheus.Registry

	Received      *prometheus.CounterVec // publishes accepted from MQTT, by qos, retain, dup
	Duplicates    prometheus.Counter     // publishes with a producer sequence already stored
	Refused       *prometheus.CounterVec // publishes refused, by reason
	Wills         *prometheus.CounterVec // wills, by result
	MQTTClients   prometheus.Gauge       // MQTT connections
	MQTTRejected  *prometheus.CounterVec // MQTT connections refused, by reason
	MQTTSessions  prometheus.Gauge       // sessions that outlive their connection
	MQTTSent      prometheus.Counter     // publishes written to MQTT subscribers
	MQTTLost      *prometheus.CounterVec // what MQTT subscribers will not get, by reason
	StaleFiles    *prometheus.GaugeVec   // 1 while a followed file cannot be used and the last good one is in force, by key
	Ingest        prometheus.Histogram   // seconds from publish hook to journal answer
	Fanout        prometheus.Histogram   // seconds per round of the fan-out
	Connections   *prometheus.GaugeVec   // viewer connections, by state
	Subscriptions prometheus.Gauge       // viewer subscriptions
	Delivered     prometheus.Counter     // readings written to viewers
	Conflated     prometheus.Counter     // messages that newer ones of their topics stood for
	Frames        prometheus.Counter     // data frames written to viewers
	Bytes         prometheus.Counter     // bytes written to viewers
	Gaps          *prometheus.CounterVec // messages declared missing to viewers, by reason
	Resumes       *prometheus.CounterVec // subscriptions with a cursor, by verdict
	Writes        prometheus.Histogram   // seconds per write to a viewer
	Closed        *prometheus.CounterVec // viewer connections ended, by code
	Handshakes    *prometheus.CounterVec // handshakes refused before upgrade, by reason
	Commands      *prometheus.CounterVec // messages from viewers to devices, by result
	HTTPStreams   *prometheus.GaugeVec   // viewers' HTTP requests under way, by kind
	Auth          *prometheus.CounterVec // token checks, by result and reason
	Denied        *prometheus.CounterVec // requests outside the access list, by action
	CertNotAfter  prometheus.Gauge       // unix seconds when the viewers' certificate expires
	Drain         prometheus.Gauge       // 0 serving, 1 draining
	External      *External              // of external brokers

	history                             // of sinks and of the history API
	KeyFetchFailures prometheus.Counter // key sets that could not be read
	CertFailures     prometheus.Counter // new certificates that were not taken
}

// New makes a Set with a registry of its own.
func New() *Set {
	s := &Set{Registry: prometheus.NewRegistry()}
	s.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.ingest()
	s.viewers()
	s.newHistory()
	s.external()
	return s
}

func (s *Set) ingest() {
	s.Received = s.counterVec("bridge_mqtt_received_total", "Publishes stored, by QoS, retain flag and DUP flag.", "qos", "retain", "dup")
	s.Duplicates = s.counter("bridge_mqtt_duplicates_total", "Publishes acknowledged but not stored again: their producer sequence was stored already.")
	s.Refused = s.counterVec("bridge_mqtt_refused_total", "Publishes refused, by reason.", "reason")
	s.Wills = s.counterVec("bridge_mqtt_wills_total", "Wills, by result (sent, delayed, denied, draining, cancelled, failed, elsewhere).", "result")
	s.MQTTClients = s.gauge("bridge_mqtt_connections", "MQTT connections open now.")
	s.MQTTRejected = s.counterVec("bridge_mqtt_rejected_total", "MQTT connections refused, by reason.", "reason")
	s.MQTTSessions = s.gauge("bridge_mqtt_sessions", "MQTT sessions that outlive their connection.")
	s.MQTTSent = s.counter("bridge_mqtt_subscriber_sent_total", "Publishes written to MQTT subscribers (not viewers).")
	s.MQTTLost = s.counterVec("bridge_mqtt_subscriber_lost_total", "What MQTT subscribers will not get, by reason (retention and epoch count once per hole, expired and size per message).", "reason")
	s.StaleFiles = s.gaugeVec("bridge_stale_file", "1 while a followed file cannot be used and the last good one is in force, by configuration key.", "key")
	s.Ingest = s.histogram("bridge_ingest_seconds", "Time of one message between its arrival and the journal's answer.", prometheus.ExponentialBuckets(2e-6, 2, 20))
}

func (s *Set) viewers() {
	s.Fanout = s.histogram("bridge_fanout_seconds", "Time of one round of the fan-out: new entries read, encoded and laid ready for all subscriptions.", prometheus.ExponentialBuckets(4e-6, 2, 20))
	s.Connections = s.gaugeVec("bridge_ws_connections", "Viewer connections, by state (handshake, live).", "state")
	s.Subscriptions = s.gauge("bridge_ws_subscriptions", "Subscriptions of all viewers.")
	s.Delivered = s.counter("bridge_ws_delivered_total", "Readings written to viewers.")
	s.Conflated = s.counter("bridge_ws_conflated_total", "Messages that viewers in the modes latest and sample were told are replaced by newer ones.")
	s.Frames = s.counter("bridge_ws_frames_total", "Data frames written to viewers.")
	s.Bytes = s.counter("bridge_ws_bytes_total", "Bytes written to viewers, frame headers included, TLS not.")
	s.Gaps = s.counterVec("bridge_ws_gap_total", "Messages declared missing to viewers, by reason.", "reason")
	s.Resumes = s.counterVec("bridge_ws_resume_total", "Subscriptions with a cursor, by verdict (recovered, epoch, evicted, ahead, no-cursor).", "verdict")
	s.Writes = s.histogram("bridge_ws_write_seconds", "Time of one coalesced write to a viewer.", prometheus.ExponentialBuckets(4e-6, 2, 20))
	s.Closed = s.counterVec("bridge_ws_closed_total", "Viewer connections ended, by close code (0 = connection lost, peer = a private code of the viewer's own).", "code")
	s.Handshakes = s.counterVec("bridge_ws_refused_total", "Handshakes refused before the upgrade, by reason.", "reason")
	s.Commands = s.counterVec("bridge_commands_total", "Commands of viewers, by result (ok, forbidden, topic, qos, rate, refused).", "result")
	s.HTTPStreams = s.gaugeVec("bridge_http_streams", "Requests of viewers under way over plain HTTP, by kind (sse, poll, publish).", "kind")
	s.Auth = s.counterVec("bridge_auth_total", "Token checks, by result and reason.", "result", "reason")
	s.Denied = s.counterVec("bridge_acl_denied_total", "Requests outside the access list, by action (live, snapshot, history, publish, subscribe, deliver, will).", "action")
	s.KeyFetchFailures = s.counter("bridge_auth_key_fetch_failures_total", "Fetches of the token keys that failed; the last good keys stay in force.")
	s.CertFailures = s.counter("bridge_tls_reload_failures_total", "New certificates that were not taken; the old ones stay in force.")
	s.CertNotAfter = s.gauge("bridge_tls_not_after_seconds", "Unix time at which the viewers' certificate expires, 0 without TLS.")
	s.Drain = s.gauge("bridge_drain_state", "0 serving, 1 draining.")
}

// Watch registers a gauge whose value is read at scrape time.
func (s *Set) Watch(name, help string, read func() float64) {
	s.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// WatchTotal registers a counter whose value is read at scrape time.
func (s *Set) WatchTotal(name, help string, read func() float64) {
	s.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

func (s *Set) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	s.Registry.MustRegister(c)
	return c
}

func (s *Set) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	s.Registry.MustRegister(c)
	return c
}

func (s *Set) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	s.Registry.MustRegister(g)
	return g
}

func (s *Set) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	s.Registry.MustRegister(g)
	return g
}

func (s *Set) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	s.Registry.MustRegister(h)
	return h
}
