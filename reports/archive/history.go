package archive

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plumbline/reports"
)

// HistoryFormat names the form of a History in JSON.
const HistoryFormat = "plumbline.history/v1"

// ErrNothing says that a store holds no run that was asked for.
var ErrNothing = errors.New("no run to tell a history of")

// Choice narrows a history. Its zero value is all of a store.
type Choice struct {
	System  string // only this system under test
	Profile string // only this profile
	Since   string // id of the first run that counts, or its date (RFC 3339, or 2026-11-26): how a new level is accepted
}

// History is how the systems of a store fared.
type History struct {
	Format  string   `json:"format"`
	Lines   []Line   `json:"lines"`
	Aside   []Aside  `json:"aside"`
	Notes   []string `json:"notes"`
	Outcome Outcome  `json:"outcome"` // the worst of all lines
}

// Line is one system under one profile.
type Line struct {
	System   string    `json:"system"`
	Profile  string    `json:"profile"`
	Runs     []Summary `json:"runs"` // all of them, in the order in which they were started
	Compared int       `json:"compared"`
	Left     []string  `json:"left"` // why others are in no series
	Series   []Series  `json:"series"`
	Strips   []Strip   `json:"strips"`
	Outcome  Outcome   `json:"outcome"` // of what is not informative
	Why      string    `json:"why"`
}

// Summary is a run in a line.
type Summary struct {
	ID        string          `json:"id"`
	Path      string          `json:"path"`
	Started   time.Time       `json:"started"`
	Version   string          `json:"version"`
	Verdict   reports.Verdict `json:"verdict"`
	Certified bool            `json:"certified"`
	Partial   string          `json:"partial,omitempty"`
	Selected  bool            `json:"selected,omitempty"` // something was deselected
	Compared  bool            `json:"compared"`           // it is in the series
}

// History tells how the systems of the store fared. An error that wraps ErrNothing
// says that there is no such run.
func (s *Store) History(choice Choice) (*History, error) {
	h := &History{Format: HistoryFormat, Lines: []Line{}, Aside: append([]Aside{}, s.Aside...), Notes: append([]string{}, s.Notes...)}
	runs, err := s.since(choice.Since)
	if err != nil {
		return nil, err
	}
	type key struct{ system, profile string }
	var order []key
	by := map[key][]Record{}
	for _, r := range runs {
		k := key{r.System, r.Profile.Name}
		if choice.System != "" && k.system != choice.System || choice.Profile != "" && k.profile != choice.Profile {
			continue
		}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], r)
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("archive: %w in %q%s", ErrNothing, s.Root, choice.text())
	}
	slices.SortFunc(order, func(a, b key) int {
		if c := strings.Compare(a.system, b.system); c != 0 {
			return c
		}
		return strings.Compare(a.profile, b.profile)
	})
	var all []Outcome
	for _, k := range order {
		line := newLine(by[k])
		h.Lines = append(h.Lines, line)
		all = append(all, line.Outcome)
	}
	h.Outcome = worst(all...)
	return h, nil
}

func (c Choice) text() string {
	var b strings.Builder
	for _, part := range []struct{ name, value string }{{"system", c.System}, {"profile", c.Profile}, {"since", c.Since}} {
		if part.value != "" {
			fmt.Fprintf(&b, ", %s %q", part.name, part.value)
		}
	}
	return b.String()
}

// since leaves out the runs before a run or a date.
func (s *Store) since(text string) ([]Record, error) {
	if text == "" {
		return s.Runs, nil
	}
	if i := slices.IndexFunc(s.Runs, func(r Record) bool { return r.ID == text }); i >= 0 {
		return s.Runs[i:], nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			i, _ := slices.BinarySearchFunc(s.Runs, at, func(r Record, at time.Time) int { return r.Started.Compare(at) })
			return s.Runs[i:], nil
		}
	}
	return nil, fmt.Errorf("archive: %w: %q is neither the id of a run in the store nor a date such as 2026-11-26", ErrNothing, text)
}

// newLine gathers the series of one system under one profile. Only what was made
// under the conditions of the newest whole run is put into one series with it; where
// no run is whole, under those of the newest selection that ran to its end.
func newLine(runs []Record) Line {
	newest := &runs[len(runs)-1]
	for i := range runs {
		if runs[i].Partial == "" && (runs[i].Whole() || !newest.Whole()) {
			newest = &runs[i]
		}
	}
	line := Line{System: newest.System, Profile: newest.Profile.Name, Left: []string{}}
	var compared []Record
	left := map[string]int{}
	for i := range runs {
		r := &runs[i]
		why := unlike(r, newest)
		if why == "" {
			compared = append(compared, *r)
		} else {
			left[why]++
		}
		line.Runs = append(line.Runs, Summary{ID: r.ID, Path: r.Path, Started: r.Started, Version: r.Version, Verdict: r.Overall,
			Certified: r.Certified, Partial: r.Partial, Selected: r.Selected, Compared: why == ""})
	}
	line.Compared = len(compared)
	for why, n := range left {
		line.Left = append(line.Left, fmt.Sprintf("%d %s", n, why))
	}
	slices.Sort(line.Left)
	line.Series, line.Strips = seriesOf(compared), stripsOf(compared)
	line.Outcome, line.Why = line.sum()
	return line
}

// unlike says why the figures of a run are not put together with those of another.
func unlike(r, newest *Record) string {
	switch {
	case r.Partial != "":
		return "partial"
	case r.Selected && newest.Whole():
		return "of a selection"
	case r.Profile.Digest != newest.Profile.Digest:
		return "by another text of the profile"
	case r.Bench != newest.Bench:
		return "with other devices"
	}
	return ""
}

// sum is what all series and strips come to.
func (l *Line) sum() (Outcome, string) {
	type part struct {
		name, why string
		outcome   Outcome
		few       bool // it is told by too few runs, as all of the line may be
	}
	var parts []part
	for _, s := range l.Strips {
		if !s.Informative {
			parts = append(parts, part{name: s.Requirement, why: s.Why, outcome: s.Outcome})
		}
	}
	for i := range l.Series {
		if s := &l.Series[i]; !s.Informative {
			parts = append(parts, part{s.Requirement + " " + s.Label(), s.Why, s.Outcome, len(s.Points) < MinRuns})
		}
	}
	var all []Outcome
	for _, p := range parts {
		all = append(all, p.outcome)
	}
	o, n, first := worst(all...), 0, ""
	for _, p := range parts {
		if p.outcome != o {
			continue
		}
		if n++; first == "" && !p.few {
			first = p.name + ": " + p.why
		}
	}
	switch {
	case len(parts) == 0:
		return Undecided, "no figure and no verdict"
	case o == Undecided && l.Compared < MinRuns && first == "":
		return o, fmt.Sprintf("%s, of which a trend needs %d", plural(l.Compared, "run"), MinRuns)
	case o == None:
		return None, fmt.Sprintf("nothing changed in %d runs", l.Compared)
	case n > 1 && first != "":
		return o, fmt.Sprintf("%s; and %d more", first, n-1)
	case first == "":
		return o, fmt.Sprintf("%s with fewer than %d runs", plural(n, "figure"), MinRuns)
	}
	return o, first
}

// seriesOf gathers each figure over the runs.
func seriesOf(runs []Record) []Series {
	type key struct{ requirement, scenario, unit string }
	index := map[key]int{}
	out := []Series{}
	for i := range runs {
		for _, j := range runs[i].Judged {
			for _, f := range j.Figures {
				k := key{j.ID, f.Scenario, f.Unit}
				at, known := index[k]
				if !known {
					at = len(out)
					index[k] = at
					out = append(out, Series{Requirement: j.ID, Scenario: f.Scenario, Unit: f.Unit})
				}
				s := &out[at]
				s.Title, s.Quantile, s.Limit, s.Informative = j.Title, f.Quantile, reports.Float(f.Limit), j.Class == reports.Optional
				s.Uncertainty = max(s.Uncertainty, f.Guard)
				s.Points = append(s.Points, Point{Run: runs[i].ID, Started: runs[i].Started, Value: reports.Float(f.Value)})
			}
		}
	}
	bench := newBench(runs)
	for i := range out {
		s := &out[i]
		s.judge(bench.changed)
	}
	slices.SortStableFunc(out, func(a, b Series) int { return strings.Compare(a.Requirement, b.Requirement) })
	return out
}

// stripsOf gathers the verdicts on each requirement.
func stripsOf(runs []Record) []Strip {
	index := map[string]int{}
	out := []Strip{}
	for i := range runs {
		for _, j := range runs[i].Judged {
			at, known := index[j.ID]
			if !known {
				at = len(out)
				index[j.ID] = at
				out = append(out, Strip{Requirement: j.ID})
			}
			s := &out[at]
			s.Title, s.Informative = j.Title, j.Class == reports.Optional
			s.Verdicts = append(s.Verdicts, Ruling{Run: runs[i].ID, Started: runs[i].Started, Verdict: j.Verdict})
		}
	}
	for i := range out {
		out[i].judge()
	}
	slices.SortStableFunc(out, func(a, b Strip) int { return strings.Compare(a.Requirement, b.Requirement) })
	return out
}
