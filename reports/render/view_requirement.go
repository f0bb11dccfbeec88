package render

import (
	"html/template"
	"sort"
	"strings"

	"plumbline/reports"
)

type requirementView struct {
	reports.Judgement
	Anchor   string
	Headline string
	Gauge    template.HTML
	Share    string // of the limit that the estimate takes, for sorting; "" where there is none
	Rank     int    // of the verdict, the gravest last
	Plots    []chart
	Modes    string
	Results  []resultView
}

type resultView struct {
	*reports.Result
	Shown      []reports.Finding
	More       int
	Superseded bool
	Folded     bool // figures and procedure wait behind a click: it passed
}

func viewRequirement(anchor string, j reports.Judgement, run *reports.Run) requirementView {
	r := requirementView{Judgement: j, Anchor: anchor, Rank: rankOf(j.Verdict)}
	if j.Deciding != nil {
		r.Headline = j.Deciding.Headline
		r.Gauge = plotGauge(j.Deciding.Measurement)
		r.Share = limitShare(j.Deciding.Measurement)
		r.Plots, r.Modes = requirementPlots(anchor, j, run)
	}
	add := func(res *reports.Result, superseded bool) {
		rv := resultView{Result: res, Shown: res.Findings, Superseded: superseded, Folded: superseded || res.Verdict == reports.Pass}
		if len(rv.Shown) > maxFindings {
			rv.Shown, rv.More = rv.Shown[:maxFindings], len(rv.Shown)-maxFindings
		}
		r.Results = append(r.Results, rv)
	}
	for _, res := range j.Standing {
		add(res, false)
	}
	for _, res := range j.Superseded {
		add(res, true)
	}
	return r
}

// rankOf orders verdicts for the table: pass, not applicable, and then as they keep
// a run from passing.
func rankOf(v reports.Verdict) int {
	for rank, known := range []reports.Verdict{reports.Pass, reports.NotApplicable, reports.NotRun, reports.ConditionalPass,
		reports.ConditionalFail, reports.Inconclusive, reports.Fail} {
		if v == known {
			return rank
		}
	}
	return 7
}

// limitShare is how much of the limit the estimate takes.
func limitShare(m *reports.Measurement) string {
	if m == nil || !(float64(m.Limit) > 0) {
		return ""
	}
	share := float64(m.Estimate) / float64(m.Limit)
	if !(share >= 0 && share < 1e12) {
		return ""
	}
	return Px(100 * share)
}

// requirementPlots draws the distribution that the deciding result judged, with no
// limit but its own, and the figure of every run or event that it holds.
func requirementPlots(anchor string, j reports.Judgement, run *reports.Run) (plots []chart, modes string) {
	for _, d := range run.Latencies {
		var own []reports.Limit
		for _, l := range d.Limits {
			if l.Requirement == j.Requirement.ID {
				own = append(own, l)
			}
		}
		if d.Scenario != j.Deciding.Scenario || len(own) == 0 {
			continue
		}
		d.Limits = own
		plots, modes = append(plots, plotDistribution("q"+anchor, d)), modesText(modesOf(d))
		break
	}
	if rug, ok := plotRug("g"+anchor, "Each figure of "+j.Requirement.ID, j.Deciding.Measurement); ok {
		plots = append(plots, rug)
	}
	return plots, modes
}

// FaultList joins the seeded faults for print.
func (r requirementView) FaultList() string { return strings.Join(r.Requirement.Faults, ", ") }

// family is the requirements of one subject.
type family struct {
	Code, Name string
	Members    []requirementView
}

// familyNames are the subjects of the catalogue; another one keeps its letters.
var familyNames = map[string]string{
	"LAT": "Latency", "DEL": "Delivery", "ORD": "Order", "INT": "Content", "STA": "State", "REC": "Recovery", "SEC": "Security",
	"RES": "Resources", "PRO": "Protocols", "RIG": "The rig itself", "HIL": "Hardware in the loop", "CAP": "Claims", "APP": "Approaches",
	"SCA": "Several bridges", "HW": "Hardware",
}

func familyName(code string) string {
	if name := familyNames[code]; name != "" {
		return name
	}
	return code
}

// familiesOf groups requirements in the order in which their families appear.
func familiesOf(all []requirementView) (out []family) {
	index := map[string]int{}
	for _, r := range all {
		code := r.Requirement.Family()
		i, known := index[code]
		if !known {
			i = len(out)
			index[code] = i
			out = append(out, family{Code: code, Name: familyName(code)})
		}
		out[i].Members = append(out[i].Members, r)
	}
	return out
}

// choice is one filter of the table of requirements.
type choice struct {
	Name, Label, All string
	Options          []option
}

type option struct {
	Value, Label string
	Count        int
}

// choicesOf offers what occurs: a filter that could show nothing is none.
func choicesOf(all []requirementView) []choice {
	verdicts := choice{Name: "verdict", Label: "Verdict", All: "every verdict"}
	classes := choice{Name: "class", Label: "Class", All: "every class"}
	families := choice{Name: "family", Label: "Subject", All: "every subject"}
	ordered := append([]requirementView(nil), all...)
	sort.SliceStable(ordered, func(i, j int) bool { return ordered[i].Rank > ordered[j].Rank })
	for _, r := range ordered {
		verdicts.count(r.Verdict.String(), r.Verdict.String())
	}
	for _, r := range all {
		classes.count(string(r.Requirement.Class), string(r.Requirement.Class))
		families.count(r.Requirement.Family(), familyName(r.Requirement.Family()))
	}
	return []choice{verdicts, classes, families}
}

func (c *choice) count(value, label string) {
	for i := range c.Options {
		if c.Options[i].Value == value {
			c.Options[i].Count++
			return
		}
	}
	c.Options = append(c.Options, option{value, label, 1})
}
