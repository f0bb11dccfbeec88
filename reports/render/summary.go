package render

import (
	"fmt"
	"math"
	"strings"

	"plumbline/reports"
)

// lead is the one sentence under the verdict.
func lead(run *reports.Run) string {
	name := firstOf(strings.TrimSpace(run.SUT.Name+" "+run.SUT.Version), "The system under test")
	c := deciding(run)
	if run.Partial != "" && run.Overall == reports.Inconclusive {
		return "The run is not whole, so it makes no statement about " + name + " as a whole."
	}
	switch run.Overall {
	case reports.Pass:
		return praise(run, name)
	case reports.Fail:
		return fmt.Sprintf("%s does not meet %d of %d requirements%s.", name, c.By[reports.Fail], c.Total, scope(run)) + worth(run, " They are all informative: none is required.")
	case reports.Error:
		return "The test equipment failed. This run makes no statement about " + name + "."
	case reports.Inconclusive:
		return fmt.Sprintf("No statement about %s as a whole: %d of %d requirements%s are undecided.", name,
			c.By[reports.Inconclusive]+c.By[reports.NotRun], c.Total, scope(run))
	case reports.ConditionalPass:
		return "Every figure is inside its limit, but conformity is not demonstrated for all. " + name + " is not certified."
	case reports.ConditionalFail:
		return "At least one figure is outside its limit, though non-conformity is not demonstrated. " + name + " is not certified."
	default:
		return name + " was not judged completely."
	}
}

// praise says what a PASS is about, and what it is not.
func praise(run *reports.Run, name string) string {
	text := name + " met everything required of it that was judged in this run."
	switch unasked := worth(run, " It is all informative: nothing of it is required."); {
	case run.Certified():
		text = name + " meets everything required of it, demonstrated at the stated confidence."
	case unasked != "" && run.Deselected == nil:
		text = name + " met everything that profile " + run.Profile.Name + " asks." + unasked
	case unasked != "":
		text = name + " met everything that was selected. Nothing is said about the rest." + unasked
	case run.Deselected != nil:
		text = name + " met everything required of it that was selected. Nothing is said about the rest."
	}
	if n := informative(run); n > 0 {
		text += fmt.Sprintf(" Of the informative requirements, which decide nothing, %d did not pass.", n)
	}
	return text
}

// scope is said behind "requirements" when some were left out.
func scope(run *reports.Run) string {
	if run.Deselected != nil {
		return " that were selected"
	}
	return ""
}

// worth is text where all that the run asks for, and so decides, is informative, else "".
func worth(run *reports.Run, text string) string {
	if !run.Informative() {
		return ""
	}
	return text
}

// deciding counts the requirements that decide.
func deciding(run *reports.Run) reports.Counts {
	c := reports.Counts{By: map[reports.Verdict]int{}}
	for _, j := range run.Judgements() {
		if j.Decides {
			c.Total++
			c.By[j.Verdict]++
		}
	}
	return c
}

// informative counts the requirements that decide nothing and did not pass.
func informative(run *reports.Run) int {
	all, counted := run.Count(), deciding(run)
	passed := func(c reports.Counts) int { return c.By[reports.Pass] + c.By[reports.NotApplicable] }
	return (all.Total - counted.Total) - (passed(all) - passed(counted))
}

// managerSummary says in a few sentences what was done and what came out.
func managerSummary(run *reports.Run) []string {
	if run.Count().Total == 0 {
		return []string{"No requirement was selected, so nothing was judged."}
	}
	out := []string{fmt.Sprintf("Judged under profile %s with %s, in %s, by %d requirements: %s.",
		strings.TrimSpace(run.Profile.Name+" "+run.Profile.Version), devicePhrase(run), span(run.Finished.Sub(run.Started)), run.Count().Total, tally(run.Count()))}
	if s := deselectionSentence(run); s != "" {
		out = append(out, s)
	}
	if s := latencySentence(run); s != "" {
		out = append(out, s)
	}
	if s := integritySentence(run); s != "" {
		out = append(out, s)
	}
	return out
}

// deselectionSentence names what was left out; "" when nothing was.
func deselectionSentence(run *reports.Run) string {
	d := run.Deselected
	if d == nil {
		return ""
	}
	text := fmt.Sprintf("The label filter %q left out %d scenarios", d.Filter, len(d.Scenarios))
	if len(d.Requirements) == 0 {
		return text + "; the requirements that they judge too were judged by the others only."
	}
	ids := make([]string, len(d.Requirements))
	for i, req := range d.Requirements {
		ids[i] = req.ID
	}
	return fmt.Sprintf("%s and with them %d requirements, about which nothing is said: %s.", text, len(ids), strings.Join(ids, ", "))
}

// tally lists only the verdicts that occur.
func tally(c reports.Counts) string {
	order := []reports.Verdict{reports.Pass, reports.Fail, reports.Error, reports.Inconclusive, reports.ConditionalFail,
		reports.ConditionalPass, reports.NotRun, reports.NotApplicable}
	var parts []string
	for _, v := range order {
		if n := c.By[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func devicePhrase(run *reports.Run) string {
	words := map[reports.Mode]string{reports.ModeSim: "simulated", reports.ModeReplay: "replayed", reports.ModeReal: "real"}
	counts := map[reports.Mode]int{}
	for _, d := range run.Devices {
		counts[d.Mode]++
	}
	var parts []string
	for _, m := range []reports.Mode{reports.ModeReal, reports.ModeReplay, reports.ModeSim} {
		if counts[m] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[m], words[m]))
		}
	}
	switch len(parts) {
	case 0:
		return "no devices"
	case 1:
		return parts[0] + " devices"
	default:
		return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1] + " devices"
	}
}

// leading is the distribution that speaks for the run: the first that the page
// shows, which is one with limits before one under a fault.
func leading(run *reports.Run) (reports.Distribution, bool) {
	if len(run.Latencies) == 0 {
		return reports.Distribution{}, false
	}
	best := byWeight(run.Latencies)[0]
	return best, best.N > 0
}

func percentileOf(d reports.Distribution, q float64) float64 {
	for _, p := range d.Percentiles {
		if math.Abs(p.Q-q) < 1e-9 {
			return float64(p.Value)
		}
	}
	return math.NaN()
}

func latencySentence(run *reports.Run) string {
	d, ok := leading(run)
	if p50, p99 := percentileOf(d, 0.5), percentileOf(d, 0.99); ok && !math.IsNaN(p50) && !math.IsNaN(p99) {
		return fmt.Sprintf("From the instant a value was due at the sensor to its arrival at a viewer: half of %s messages took at most %s, 99 of 100 at most %s (%s).",
			grouped(d.N), quantity(p50, "ms"), quantity(p99, "ms"), d.Name)
	}
	return ""
}

func integritySentence(run *reports.Run) string {
	if len(run.Integrity) == 0 {
		return ""
	}
	var t reports.Integrity
	for _, row := range run.Integrity {
		t = addIntegrity(t, row)
	}
	if t.Lost+t.Duplicated+t.Reordered+t.Corrupted+t.Phantom == 0 {
		return fmt.Sprintf("Of %s deliveries owed to viewers, none was lost, duplicated, reordered or corrupted.", grouped(t.Expected))
	}
	return fmt.Sprintf("Of %s deliveries owed to viewers, %s were lost, %s duplicated, %s reordered, %s corrupted and %s were phantoms.",
		grouped(t.Expected), grouped(t.Lost), grouped(t.Duplicated), grouped(t.Reordered), grouped(t.Corrupted), grouped(t.Phantom))
}

// facts are the figures at the head of the page.
func facts(run *reports.Run) []fact {
	c, counted := run.Count(), deciding(run)
	applicable := c.Total - c.By[reports.NotApplicable]
	out := []fact{{Label: "Requirements passed", Value: fmt.Sprintf("%d of %d", c.By[reports.Pass], applicable),
		Note: leftOut(run, c), Bad: counted.By[reports.Fail]+c.By[reports.Error] > 0}}
	if d, ok := leading(run); ok {
		for _, q := range []float64{0.5, 0.99, 0.999} {
			if v := percentileOf(d, q); !math.IsNaN(v) {
				out = append(out, fact{Label: "Latency " + quantileName(q), Value: quantity(v, "ms"), Note: limitNote(d, q), Bad: overLimit(d, q, v)})
			}
		}
	}
	if len(run.Integrity) > 0 {
		var t reports.Integrity
		for _, row := range run.Integrity {
			t = addIntegrity(t, row)
		}
		out = append(out, fact{Label: "Lost", Value: grouped(t.Lost), Note: "of " + grouped(t.Expected) + " deliveries", Bad: t.Lost > 0})
		wrong := t.Duplicated + t.Reordered + t.Corrupted + t.Phantom
		out = append(out, fact{Label: "Irregular", Value: grouped(wrong), Note: "twice, reordered, corrupt", Bad: wrong > 0})
	}
	return out
}

// leftOut says which requirements the count above it leaves out.
func leftOut(run *reports.Run, c reports.Counts) string {
	if c.Total == 0 {
		return "nothing was judged"
	}
	var parts []string
	if n := c.By[reports.NotApplicable]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d not applicable", n))
	}
	if run.Deselected != nil {
		parts = append(parts, fmt.Sprintf("%d deselected", len(run.Deselected.Requirements)))
	}
	if len(parts) == 0 {
		return "none left out"
	}
	return strings.Join(parts, ", ")
}

func limitNote(d reports.Distribution, q float64) string {
	for _, l := range d.Limits {
		if math.Abs(l.Q-q) < 1e-9 {
			return "limit " + quantity(l.Value, "ms")
		}
	}
	if len(d.Limits) == 0 {
		return "no limit in " + d.Scenario
	}
	return "no limit"
}

func overLimit(d reports.Distribution, q, v float64) bool {
	for _, l := range d.Limits {
		if math.Abs(l.Q-q) < 1e-9 && v > l.Value {
			return true
		}
	}
	return false
}

// measured prints a figure of the rig; 0 there means that nobody measured it.
func measured(v reports.Float, unit string) string {
	if v == 0 {
		return "—"
	}
	return quantity(float64(v), unit)
}

// rigSentence says how far the figures can be trusted.
func rigSentence(r reports.RigHealth) string {
	var parts []string
	if r.Offered > 0 {
		parts = append(parts, fmt.Sprintf("The generator wrote %s of %s planned messages (%s %%), 99 of 100 of them at most %s late.",
			grouped(r.Achieved), grouped(r.Offered), number(100*float64(r.Achieved)/float64(r.Offered)), quantity(float64(r.SlipP99), "ms")))
	}
	if u := float64(r.Uncertainty); u > 0 {
		parts = append(parts, fmt.Sprintf("Systematic uncertainty of every latency: U = %s (k = 2).", quantity(u, "ms")))
	}
	if len(parts) == 0 {
		return "The rig was not measured in this run."
	}
	return strings.Join(parts, " ")
}
