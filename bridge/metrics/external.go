package metrics

import "github.com/prometheus/client_golang/prometheus"

// External is the metrics of the external brokers; the label broker is the name from the configuration.
type External struct {
	Connected    *prometheus.GaugeVec   // 1 while subscribed
	Connects     *prometheus.CounterVec // connections made; reconnects are what is beyond the first
	Failures     *prometheus.CounterVec // attempts that failed and connections that broke, by reason
	SessionsLost *prometheus.CounterVec // sessions that the broker no longer had
	Received     *prometheus.CounterVec // messages stored, by qos, retain, dup
	Duplicates   *prometheus.CounterVec // messages known already, by what told
	Refused      *prometheus.CounterVec // messages that can never be stored, by reason
	BadSequence  *prometheus.CounterVec // messages whose sequence is no number
	Stalls       *prometheus.CounterVec // times that the journal could not take a message
	Published    *prometheus.CounterVec // messages published to the broker, by result
}

func (s *Set) external() {
	s.External = &External{
		Connected:    s.gaugeVec("bridge_external_connected", "1 while the session with the external broker is subscribed.", "broker"),
		Connects:     s.counterVec("bridge_external_connects_total", "Connections to the external broker that came to stand; all beyond the first are reconnects.", "broker"),
		Failures:     s.counterVec("bridge_external_failures_total", "Attempts that failed and connections that broke, by reason (network, tls, connect, refused, lost).", "broker", "reason"),
		SessionsLost: s.counterVec("bridge_external_sessions_lost_total", "Reconnects at which the broker no longer had the session: messages may be missing.", "broker"),
		Received:     s.counterVec("bridge_external_received_total", "Messages of the external broker stored, by QoS, retain flag and DUP flag.", "broker", "qos", "retain", "dup"),
		Duplicates:   s.counterVec("bridge_external_duplicates_total", "Messages acknowledged but not stored again, by what they were known by (packet-id, sequence).", "broker", "by"),
		Refused:      s.counterVec("bridge_external_refused_total", "Messages refused because they can never be stored, by reason (topic).", "broker", "reason"),
		BadSequence:  s.counterVec("bridge_external_bad_sequence_total", "Messages stored although their producer sequence is no decimal number from 1.", "broker"),
		Stalls:       s.counterVec("bridge_external_stalls_total", "Times that delivery waited because the journal could not write.", "broker"),
		Published:    s.counterVec("bridge_external_published_total", "Messages published to the external broker, by result (sent, refused, not-connected, unknown).", "broker", "result"),
	}
}

// WatchBroker registers a gauge of one external broker whose value is read at scrape time.
func (s *Set) WatchBroker(name, help, broker string, read func() float64) {
	s.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"broker": broker}}, read))
}
