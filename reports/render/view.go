package render

import (
	"sort"

	"plumbline/reports"
)

// view is what the page template shows: the run, arranged.
type view struct {
	Run          *reports.Run
	Counts       reports.Counts
	Class        string // style class of the overall verdict
	Lead         string // one sentence for the reader in a hurry
	Standing     string
	Summary      []string
	Facts        []fact
	Modes        string
	Duration     string
	Requirements []requirementView
	Open         []requirementView // those that keep the run from passing, worst first
	Families     []family          // the requirements once more, by the letters of their ids
	Choices      []choice          // by which the table of requirements can be filtered
	Latencies    []latencyView
	Timelines    []drawing
	Hops         []drawing
	Integrity    integrityView
	Rasters      []drawing
	Recoveries   []drawing
	Resources    []resourceView
	Comparisons  []comparisonView
	Environment  []pair
	RigSentence  string
	Gates        []gateView
	Attempts     []attemptView
}

type fact struct {
	Label, Value, Note string
	Bad                bool
}

type pair struct{ Name, Value string }

// Beyond these the page folds or cuts; summary.json always has everything.
const (
	maxOpenDevices = 25
	maxFindings    = 40
)

func newView(run *reports.Run) view {
	v := view{
		Run: run, Counts: run.Count(), Class: verdictClass(run.Overall), Lead: lead(run), Standing: standing(run),
		Summary: managerSummary(run), Facts: facts(run), Modes: modes(run),
		Duration: span(run.Finished.Sub(run.Started)), RigSentence: rigSentence(run.Rig),
		Integrity: groupIntegrity(run.Integrity), Latencies: viewLatencies(run.Latencies),
		Timelines: viewTimelines(run.Timelines), Rasters: viewRasters(run.Rasters),
		Recoveries: viewRecoveries(run), Resources: viewResources(run.Resources), Comparisons: viewComparisons(run),
	}
	judgements := run.Judgements()
	for i, j := range judgements {
		v.Requirements = append(v.Requirements, viewRequirement("r"+itoa(i+1), j, run))
	}
	v.Open, v.Families, v.Choices = openItems(v.Requirements), familiesOf(v.Requirements), choicesOf(v.Requirements)
	v.Gates, v.Attempts = viewGates(run, v.Requirements), viewAttempts(run, judgements)
	first, _ := leading(run)
	v.Hops = viewHops(run, first.Scenario)
	for name, value := range run.Environment {
		v.Environment = append(v.Environment, pair{name, value})
	}
	sort.Slice(v.Environment, func(i, j int) bool { return v.Environment[i].Name < v.Environment[j].Name })
	return v
}

// openItems picks what did not pass, worst first, in catalogue order within
// one verdict.
func openItems(all []requirementView) []requirementView {
	var out []requirementView
	for _, r := range all {
		if r.Verdict != reports.Pass && r.Verdict != reports.NotApplicable {
			out = append(out, r)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i].Verdict, out[j].Verdict
		return a != b && reports.Worst(a, b) == a
	})
	return out
}
