package render

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"plumbline/reports"
)

// OpenMetrics writes the run in the text form of OpenMetrics 1.0, with the end of
// the run as the time of every sample, so that a database of metrics can take up
// runs one after the other: verdicts as statesets, figures with bounds and limits,
// quantiles of latency as summaries, the account of messages by scenario, and how
// good the rig was. Every sample is labelled with system and profile; the run
// itself is in plumbline_run_info. What was not established has no sample.
func OpenMetrics(w io.Writer, run *reports.Run) error {
	run = sanitize(run)
	m := &metrics{at: instant(run.Finished), common: []string{"sut", run.SUT.Name, "profile", run.Profile.Name}, seen: map[string]bool{}, next: map[string]int{}}
	m.run(run)
	m.requirements(run)
	m.figures(run)
	m.latencies(run)
	m.hops(run)
	m.account(run)
	m.rig(run.Rig)
	m.b.WriteString("# EOF\n")
	_, err := io.WriteString(w, m.b.String())
	return wrap("openmetrics", err)
}

// metrics is the text as far as it is written.
type metrics struct {
	b      strings.Builder
	at     string   // time of every sample
	common []string // labels of every sample
	family string
	seen   map[string]bool // series that were written: none may come twice
	next   map[string]int  // for a series that came again: the "n" that was not tried yet
}

// begin opens a family. A unit is the end of its name.
func (m *metrics) begin(name, kind, unit, help string) {
	m.family = name
	fmt.Fprintf(&m.b, "# TYPE %s %s\n", name, kind)
	if unit != "" {
		fmt.Fprintf(&m.b, "# UNIT %s %s\n", name, unit)
	}
	fmt.Fprintf(&m.b, "# HELP %s %s\n", name, escapeMetric(help))
}

// add writes a sample of the family: labels are names and values in turn. One
// that is not established is left out. Two rows of a run that have the same
// labels, which no sound run has, are told apart by the label "n".
func (m *metrics) add(suffix string, value float64, labels ...string) {
	if math.IsNaN(value) {
		return
	}
	plain := m.family + suffix + labelText(append(slices.Clone(m.common), labels...))
	series := plain
	for n := max(m.next[plain], 2); m.seen[series]; n++ {
		series = m.family + suffix + labelText(append(slices.Clone(m.common), append(slices.Clone(labels), "n", strconv.Itoa(n))...))
		m.next[plain] = n + 1
	}
	m.seen[series] = true
	fmt.Fprintf(&m.b, "%s %s %s\n", series, metricValue(value), m.at)
}

// states writes a stateset: every verdict, with 1 at the one that holds.
func (m *metrics) states(v reports.Verdict, labels ...string) {
	for state := reports.NotRun; state <= reports.NotApplicable; state++ {
		m.add("", truth(state == v), append(slices.Clone(labels), m.family, state.String())...)
	}
}

func (m *metrics) run(run *reports.Run) {
	m.begin("plumbline_run", "info", "", "The run that these figures are of.")
	m.add("_info", 1, "run", run.ID, "sut_version", run.SUT.Version, "profile_version", run.Profile.Version, "profile_sha256", run.Profile.Digest,
		"seed", strconv.FormatUint(run.Seed, 10), "tool", run.Tool.Name, "tool_version", run.Tool.Version, "tool_commit", run.Tool.Commit,
		"certifying", strconv.FormatBool(run.Certifying), "partial", strconv.FormatBool(run.Partial != ""), "deselected", strconv.FormatBool(run.Deselected != nil))
	m.begin("plumbline_verdict", "stateset", "", "The overall verdict.")
	m.states(run.Judge())
	m.begin("plumbline_certified", "gauge", "", "1 when the run may be shown as a certificate.")
	m.add("", truth(run.Certified()))
	m.begin("plumbline_started_seconds", "gauge", "seconds", "When the run began, in seconds since 1970.")
	m.add("", float64(run.Started.UnixMilli())/1e3)
	m.begin("plumbline_duration_seconds", "gauge", "seconds", "How long the run took.")
	m.add("", run.Finished.Sub(run.Started).Seconds())
	m.begin("plumbline_devices", "gauge", "", "Devices that took part, by what they really were.")
	modes := map[string]int{}
	for _, d := range run.Devices {
		modes[string(d.Mode)]++
	}
	for _, mode := range slices.Sorted(maps.Keys(modes)) {
		m.add("", float64(modes[mode]), "mode", mode)
	}
}

func (m *metrics) requirements(run *reports.Run) {
	count := run.Count()
	m.begin("plumbline_requirements", "gauge", "", "Requirements by verdict.")
	for v := reports.NotRun; v <= reports.NotApplicable; v++ {
		m.add("", float64(count.By[v]), "verdict", v.String())
	}
	m.begin("plumbline_findings", "gauge", "", "Violations and remarks of all results.")
	m.add("", float64(count.Findings))
	m.begin("plumbline_requirement_verdict", "stateset", "", "The verdict about each requirement.")
	for _, j := range run.Judgements() {
		m.states(j.Verdict, "requirement", j.Requirement.ID, "class", string(j.Requirement.Class))
	}
}

// inSeconds says what fraction of a second a unit of reports is; 0 for one that
// is no time.
func inSeconds(unit string) float64 {
	return map[string]float64{"s": 1, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}[unit]
}

// figures writes what is behind the verdicts: times in seconds, as the format
// wants them, and all else in its own unit.
func (m *metrics) figures(run *reports.Run) {
	each := func(f func(r *reports.Result, scale float64, labels []string)) {
		for _, j := range run.Judgements() {
			for _, r := range j.Standing {
				if r.Measurement != nil {
					f(r, inSeconds(r.Measurement.Unit), []string{"requirement", r.Requirement, "scenario", r.Scenario, "measurand", r.Measurement.Name})
				}
			}
		}
	}
	figures := func(r *reports.Result, scale float64, labels []string) {
		for _, f := range []struct {
			name  string
			value reports.Float
		}{{"estimate", r.Measurement.Estimate}, {"lower", r.Measurement.Lower}, {"upper", r.Measurement.Upper}, {"limit", r.Measurement.Limit}} {
			m.add("", float64(f.value)*scale, append(slices.Clone(labels), "figure", f.name)...)
		}
	}
	m.begin("plumbline_figure_seconds", "gauge", "seconds", "Estimate, one-sided bounds and limit behind a verdict about a time.")
	each(func(r *reports.Result, scale float64, labels []string) {
		if scale > 0 {
			figures(r, scale, labels)
		}
	})
	m.begin("plumbline_figure", "gauge", "", "Estimate, one-sided bounds and limit behind a verdict about anything else, in the unit of the label.")
	each(func(r *reports.Result, scale float64, labels []string) {
		if scale == 0 {
			figures(r, 1, append(labels, "unit", r.Measurement.Unit))
		}
	})
	m.begin("plumbline_figure_samples", "gauge", "", "Samples behind a verdict: all, effective ones, violations.")
	each(func(r *reports.Result, _ float64, labels []string) {
		m.add("", float64(r.Measurement.N), append(slices.Clone(labels), "kind", "n")...)
		m.add("", float64(r.Measurement.NEff), append(slices.Clone(labels), "kind", "n_eff")...)
		m.add("", float64(r.Measurement.Events), append(slices.Clone(labels), "kind", "events")...)
	})
}

func (m *metrics) latencies(run *reports.Run) {
	nth := map[string]int{}
	labels := make([][]string, len(run.Latencies))
	for i, d := range run.Latencies {
		nth[d.Scenario]++
		labels[i] = []string{"scenario", d.Scenario, "distribution", strconv.Itoa(nth[d.Scenario])}
	}
	m.begin("plumbline_latency_seconds", "summary", "seconds", "Latency from the intended instant to the viewer. What never came is infinitely late; the sum is of what came.")
	for i, d := range run.Latencies {
		for _, p := range d.Percentiles {
			if v := float64(p.Value); v >= 0 && p.Q >= 0 && p.Q <= 1 { // the format knows no other
				m.add("", v/1e3, append(slices.Clone(labels[i]), "quantile", quantileLabel(p.Q))...)
			}
		}
		m.add("_count", float64(d.N), labels[i]...)
		if sum := float64(d.Mean) * float64(d.N-d.Lost) / 1e3; sum >= 0 {
			m.add("_sum", sum, labels[i]...)
		}
	}
	m.begin("plumbline_latency_lost", "gauge", "", "Messages among them that never came.")
	for i, d := range run.Latencies {
		m.add("", float64(d.Lost), labels[i]...)
	}
	m.begin("plumbline_latency_limit_seconds", "gauge", "seconds", "Limits of quantiles of latency.")
	for i, d := range run.Latencies {
		for _, l := range d.Limits {
			m.add("", l.Value/1e3, append(slices.Clone(labels[i]), "requirement", l.Requirement, "quantile", quantileLabel(l.Q))...)
		}
	}
}

func (m *metrics) hops(run *reports.Run) {
	m.begin("plumbline_hop_seconds", "gauge", "seconds", "Latency of one leg of the way. From broker to viewer it may be negative: the witness is itself served by the broker.")
	for _, h := range run.Hops {
		labels := []string{"scenario", h.Scenario, "hop", h.Name, "from", h.From, "to", h.To}
		m.add("", float64(h.P50)/1e3, append(slices.Clone(labels), "quantile", "0.5")...)
		m.add("", float64(h.P99)/1e3, append(slices.Clone(labels), "quantile", "0.99")...)
	}
}

// account writes the sums over all devices of a scenario and mode.
func (m *metrics) account(run *reports.Run) {
	type key struct{ scenario, mode string }
	sums, order := map[key]reports.Integrity{}, []key(nil)
	for _, row := range run.Integrity {
		k := key{row.Scenario, string(row.Mode)}
		if _, known := sums[k]; !known {
			order = append(order, k)
		}
		sums[k] = addIntegrity(sums[k], row)
	}
	m.begin("plumbline_messages", "gauge", "", "Messages of the devices, by what became of them on the way to the broker.")
	for _, k := range order {
		t := sums[k]
		m.counts(k.scenario, k.mode, []string{"sent", "acked", "blocked", "witnessed"}, t.Sent, t.Acked, t.Blocked, t.Witnessed)
	}
	m.begin("plumbline_deliveries", "gauge", "", "Deliveries to viewers: owed, made, and all that must not happen.")
	for _, k := range order {
		t := sums[k]
		m.counts(k.scenario, k.mode, []string{"expected", "delivered", "lost", "duplicated", "reordered", "corrupted", "phantom"},
			t.Expected, t.Delivered, t.Lost, t.Duplicated, t.Reordered, t.Corrupted, t.Phantom)
	}
}

func (m *metrics) counts(scenario, mode string, states []string, values ...int64) {
	for i, state := range states {
		m.add("", float64(values[i]), "scenario", scenario, "mode", mode, "state", state)
	}
}

// rig writes how good the test equipment was. 0 there means that nobody measured it.
func (m *metrics) rig(r reports.RigHealth) {
	times := func(name, help string, quantiles []string, values ...reports.Float) {
		m.begin(name, "gauge", "seconds", help)
		for i, v := range values {
			if v != 0 {
				m.add("", float64(v)/1e3, "quantile", quantiles[i])
			}
		}
	}
	times("plumbline_rig_slip_seconds", "Lateness of the generator behind its schedule.", []string{"0.5", "0.99", "1.0"}, r.SlipP50, r.SlipP99, r.SlipMax)
	times("plumbline_rig_hiccup_seconds", "Lateness of a thread that wakes every millisecond.", []string{"0.99", "1.0"}, r.HiccupP99, r.HiccupMax)
	times("plumbline_rig_floor_seconds", "Noise floor: latency through a bridge that does nothing.", []string{"0.5", "0.99", "0.999"}, r.FloorP50, r.FloorP99, r.FloorP999)
	times("plumbline_rig_gc_pause_seconds", "The longest pause of the garbage collector.", []string{"1.0"}, r.GCPauseMax)
	m.begin("plumbline_rig_uncertainty_seconds", "gauge", "seconds", "Expanded uncertainty of a latency, k = 2.")
	if r.Uncertainty != 0 {
		m.add("", float64(r.Uncertainty)/1e3)
	}
	m.begin("plumbline_rig_messages", "gauge", "", "Messages that the schedule asked for and that were written.")
	m.add("", float64(r.Offered), "state", "offered")
	m.add("", float64(r.Achieved), "state", "achieved")
}

// labelText writes labels, names and values in turn, as the format wants them.
func labelText(labels []string) string {
	var b strings.Builder
	for i := 0; i+1 < len(labels); i += 2 {
		fmt.Fprintf(&b, `,%s="%s"`, labels[i], escapeMetric(labels[i+1]))
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

// metricEscapes are those of OpenMetrics 1.0, section ABNF.
var metricEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func escapeMetric(s string) string { return metricEscapes.Replace(s) }

func metricValue(v float64) string {
	if math.IsInf(v, 0) {
		return map[bool]string{true: "+Inf", false: "-Inf"}[v > 0]
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// quantileLabel prints a quantile in the canonical form of numbers in labels,
// which always has a point or an exponent.
func quantileLabel(q float64) string {
	text := strconv.FormatFloat(q, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// instant prints a time in seconds since 1970, to the millisecond.
func instant(t time.Time) string {
	ms := t.UnixMilli()
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	return fmt.Sprintf("%s%d.%03d", sign, ms/1000, ms%1000)
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
