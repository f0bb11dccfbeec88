package scenarios

import (
	"plumbline/harness/oracle"
	"plumbline/reports"
)

// ceilingConfidence is that of a PASS of LAT-04 (metrology 0, decision 6).
const ceilingConfidence = 0.99

// ceiling judges a hard ceiling: a quantile so high that its PASS takes more
// confidence than the others.
func (j *judged) ceiling(id string, l oracle.Latencies, runs []string) {
	if !j.Applies(id) {
		return
	}
	rule := j.rule(j.samples(id))
	rule.PassConfidence = ceilingConfidence
	j.latency(id, l, rule, runs...)
}

// creeping judges that latency did not drift within any run. The limit is a
// share of that of LAT-02, whose quantile is followed.
func (j *judged) creeping(id string, runs []string) {
	if !j.Applies(id) {
		return
	}
	ceiling, q := j.Limit("LAT-02").Time.Seconds()*1e3, j.Requirement("LAT-02").Quantile
	most := j.Limit(id).Share * ceiling
	figure := &reports.Measurement{
		Name: "largest drift over a run", Unit: "ms", Limit: reports.Float(most), NEff: int64(len(runs)), N: int64(len(runs)), VIF: 1,
		Confidence: 0.95, Lower: nan, Upper: nan,
		Guard: 2 * j.history.Clocks(j.options(id)).Uncertainty.Seconds() * 1e3, // both ends may be off
	}
	tested := int64(0)
	for _, run := range runs {
		o := j.options(id)
		o.Window = run
		d := j.history.Latencies(o).Series.Drift(q, ceiling)
		if !d.Tested {
			continue
		}
		tested++
		drift := d.Certain()
		figure.Runs = append(figure.Runs, reports.Float(drift))
		figure.Estimate = max(figure.Estimate, reports.Float(drift))
	}
	in := oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: tested, MinN: max(j.samples(id), int64(len(runs))), Figure: figure, Seed: j.Seed(),
		Gates: append(j.sound(id), oracle.Gates(j.health, j.Limit("LAT-02").Time, q)...),
	}
	if float64(figure.Estimate)+figure.Guard > float64(figure.Limit) && len(in.Gates) > 0 {
		figure.Estimate = nan // what the rig may have caused decides nothing
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), in))
}
