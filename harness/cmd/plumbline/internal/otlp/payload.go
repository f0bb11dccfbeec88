package otlp

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"plumbline/reports"
	"plumbline/reports/events"
)

// The JSON form of an ExportMetricsServiceRequest (opentelemetry-proto 1.x,
// collector/metrics/v1 and metrics/v1, in the mapping of the OTLP specification:
// lower camel case, 64-bit integers as strings, enumerations as numbers).
type request struct {
	ResourceMetrics []resourceMetrics `json:"resourceMetrics"`
}

type resourceMetrics struct {
	Resource     resource       `json:"resource"`
	ScopeMetrics []scopeMetrics `json:"scopeMetrics"`
}

type resource struct {
	Attributes []attribute `json:"attributes"`
}

type scopeMetrics struct {
	Scope   scope    `json:"scope"`
	Metrics []metric `json:"metrics"`
}

type scope struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

type metric struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Unit        string `json:"unit"`
	Gauge       *gauge `json:"gauge,omitempty"`
	Sum         *sum   `json:"sum,omitempty"`
}

type gauge struct {
	DataPoints []dataPoint `json:"dataPoints"`
}

type sum struct {
	DataPoints  []dataPoint `json:"dataPoints"`
	Temporality int         `json:"aggregationTemporality"`
	Monotonic   bool        `json:"isMonotonic"`
}

// cumulative is AGGREGATION_TEMPORALITY_CUMULATIVE.
const cumulative = 2

type dataPoint struct {
	Attributes []attribute `json:"attributes,omitempty"`
	Start      string      `json:"startTimeUnixNano,omitempty"`
	Time       string      `json:"timeUnixNano"`
	Double     *float64    `json:"asDouble,omitempty"`
	Int        *string     `json:"asInt,omitempty"`
}

type attribute struct {
	Key   string `json:"key"`
	Value value  `json:"value"`
}

type value struct {
	String string `json:"stringValue"`
}

func attributes(pairs ...string) []attribute {
	var out []attribute
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, attribute{pairs[i], value{pairs[i+1]}})
	}
	return out
}

// builder makes the metrics of one instant.
type builder struct {
	at      time.Time
	metrics []metric
}

func nano(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// points returns the data points of the metric of that name, which may be new.
func (b *builder) points(name, unit, description string, counts bool) *[]dataPoint {
	for i := range b.metrics {
		if m := &b.metrics[i]; m.Name == name {
			if m.Sum != nil {
				return &m.Sum.DataPoints
			}
			return &m.Gauge.DataPoints
		}
	}
	m := metric{Name: name, Unit: unit, Description: description}
	if counts {
		m.Sum = &sum{Temporality: cumulative, Monotonic: true}
	} else {
		m.Gauge = &gauge{}
	}
	b.metrics = append(b.metrics, m)
	return b.points(name, unit, description, counts)
}

// gauge adds a number of the instant. What is not known is left out.
func (b *builder) gauge(name, unit, description string, v float64, pairs ...string) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	p := b.points(name, unit, description, false)
	*p = append(*p, dataPoint{Attributes: attributes(pairs...), Time: nano(b.at), Double: &v})
}

// count adds a number of things since an instant.
func (b *builder) count(name, unit, description string, since time.Time, n uint64, pairs ...string) {
	text := strconv.FormatUint(n, 10)
	p := b.points(name, unit, description, true)
	*p = append(*p, dataPoint{Attributes: attributes(pairs...), Start: nano(since), Time: nano(b.at), Int: &text})
}

// encode returns the request for a run as it stands.
func encode(s *events.State, version string) ([]byte, error) {
	b := &builder{at: s.At}
	b.gauge("plumbline.scenarios", "{scenario}", "scenarios of the run", float64(s.Done), "state", "done")
	b.gauge("plumbline.scenarios", "{scenario}", "scenarios of the run", float64(max(s.Total-s.Done, 0)), "state", "left")
	b.gauge("plumbline.run.time", "s", "time of the run so far", max(s.At.Sub(s.Began), 0).Seconds())
	if s.Left != nil {
		b.gauge("plumbline.run.left", "s", "time that the run will take yet, as an estimate", *s.Left)
	}
	b.count("plumbline.faults", "{fault}", "faults that struck", s.Began, uint64(max(s.Struck, 0)))
	for v := reports.NotRun; v <= reports.NotApplicable; v++ {
		if n := s.Verdicts[v.String()]; n > 0 {
			b.gauge("plumbline.requirements", "{requirement}", "requirements judged so far", float64(n), "verdict", v.String())
		}
	}
	if s.Verdict != nil && s.Exit != nil {
		b.gauge("plumbline.run.exit", "1", "exit code of the run that is over", float64(*s.Exit), "verdict", s.Verdict.String())
	}
	b.scenario(s.Scenario)
	return json.Marshal(request{[]resourceMetrics{{
		Resource:     resource{attributes(identity(s.Run, version)...)},
		ScopeMetrics: []scopeMetrics{{Scope: scope{Name: "plumbline", Version: version}, Metrics: b.metrics}},
	}}})
}

// identity names the run by attributes of the semantic conventions where there are
// some.
func identity(run *events.Run, version string) []string {
	pairs := []string{"service.name", "plumbline"}
	if version != "" {
		pairs = append(pairs, "service.version", version)
	}
	if run != nil {
		pairs = append(pairs, "service.instance.id", run.ID, "plumbline.sut", events.Cut(run.SUT), "plumbline.profile", events.Cut(run.Profile))
	}
	return pairs
}

// scenario adds the figures of the one at work. Latencies are seconds, as the
// semantic conventions want durations.
func (b *builder) scenario(sc *events.Scenario) {
	if sc == nil || sc.Figures == nil {
		return
	}
	f, id := sc.Figures, sc.ID
	const about = "time from the intended instant of a message to its arrival at a viewer, of what arrived within the last seconds"
	b.gauge("plumbline.latency", "s", about, float64(f.P50)/1e3, "scenario", id, "quantile", "0.5")
	b.gauge("plumbline.latency", "s", about, float64(f.P99)/1e3, "scenario", id, "quantile", "0.99")
	for _, l := range f.Limits {
		b.gauge("plumbline.latency.limit", "s", "limit of a requirement on a quantile of latency", l.Value/1e3,
			"scenario", id, "requirement", l.Requirement, "quantile", strconv.FormatFloat(l.Q, 'g', -1, 64))
	}
	for _, c := range []struct {
		way string
		n   uint64
	}{{"sent", f.Sent}, {"acknowledged", f.Acked}, {"received", f.Received}} {
		b.count("plumbline.messages", "{message}", "messages since the bench was opened", f.Began, c.n, "scenario", id, "way", c.way)
	}
	b.gauge("plumbline.viewers", "{viewer}", "viewers of the scenario", float64(f.Connected), "scenario", id, "state", "connected")
	b.gauge("plumbline.viewers", "{viewer}", "viewers of the scenario", float64(max(f.Viewers-f.Connected, 0)), "scenario", id, "state", "away")
	b.gauge("plumbline.devices", "{device}", "devices of the scenario", float64(f.Devices), "scenario", id)
	b.gauge("plumbline.faults.active", "{fault}", "faults that are on", float64(len(sc.Faults)), "scenario", id)
}
