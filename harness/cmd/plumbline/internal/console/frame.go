package console

import (
	"fmt"
	"math"
	"strings"
	"time"

	"plumbline/reports"
	"plumbline/reports/events"
)

// Windows below this get one line, and below that none.
const (
	roomyWidth, roomyHeight   = 40, 8
	narrowWidth, narrowHeight = 20, 3
)

// barCells is how wide the bar of a family is.
const barCells = 5

// view is what a frame is drawn from.
type view struct {
	state         *events.State
	width, height int // 0 means unlimited
	now           time.Time
	leaving       bool // the user interrupted the run
}

// frame lays out the block. It never has as many rows as the window.
func frame(v view) []row {
	width, height := v.width, v.height
	if width <= 0 {
		width = math.MaxInt
	}
	if height <= 0 {
		height = math.MaxInt
	}
	switch {
	case v.state.Began.IsZero() || width < narrowWidth || height < narrowHeight:
		return nil
	case width < roomyWidth || height < roomyHeight:
		return []row{v.status()}
	}
	// Each part with its rank: those of the highest go first when there is no room.
	parts := []struct {
		rank int
		rows []row
	}{
		{0, []row{v.head()}}, {3, v.families(width)}, {1, v.scenario()}, {2, v.latency()}, {6, v.traffic()}, {4, v.faults()}, {5, v.notable()},
	}
	total := 0
	for _, p := range parts {
		total += len(p.rows)
	}
	for rank := 6; rank > 0 && total > height-2; rank-- {
		for i := range parts {
			if parts[i].rank == rank {
				total -= len(parts[i].rows)
				parts[i].rows = nil
			}
		}
	}
	var out []row
	for _, p := range parts {
		out = append(out, p.rows...)
	}
	return out
}

// status is the whole block of a small window.
func (v view) status() row {
	r := row{{"", fmt.Sprintf("%d/%d", v.state.Done, v.state.Total)}}
	if sc := v.state.Scenario; sc != nil {
		r = append(r, piece{bold, " " + Clean(sc.ID)})
		if f := sc.Figures; f != nil && f.N > 0 {
			r = append(r, piece{verdictOf(f, 0.99, f.P99), " p99 " + millis(f.P99)})
		}
	}
	if left := v.left(); left != "" {
		r = append(r, piece{dim, " " + left})
	}
	return r
}

// head says which run this is and how far it is.
func (v view) head() row {
	s := v.state
	r := row{{bold, fmt.Sprintf("%d of %s", s.Done, plural(s.Total, "scenario"))}}
	if s.Run != nil {
		r = append(r, piece{"", "  " + fit(Clean(s.Run.SUT), 30) + ", " + fit(Clean(s.Run.Profile), 20)})
	}
	r = append(r, piece{dim, "  " + whole(v.now.Sub(s.Began))})
	switch {
	case v.leaving:
		r = append(r, piece{yellow, "  interrupted: ending what runs, then writing the reports"})
	case s.Verdict != nil:
		r = append(r, piece{"", "  writing and sealing the reports"})
	default:
		if left := v.left(); left != "" {
			r = append(r, piece{"", "  " + left + " left"})
		}
	}
	return r
}

// left is the estimate of the time left in words, "" for none.
func (v view) left() string {
	if v.state.Left == nil {
		return ""
	}
	left := time.Duration(*v.state.Left*float64(time.Second)) - max(v.now.Sub(v.state.At), 0)
	switch {
	case left < 10*time.Second:
		return "a few seconds"
	case left < time.Minute:
		return fmt.Sprintf("about %d s", 5*int(math.Round(left.Seconds()/5)))
	case left < time.Hour:
		return fmt.Sprintf("about %d min", int(math.Round(left.Minutes())))
	default:
		return fmt.Sprintf("about %.1f h", left.Hours())
	}
}

// families shows each family with a bar, as many to a row as fit.
func (v view) families(width int) []row {
	var rows []row
	var r row
	for _, f := range v.state.Families {
		one := row{{"", fit(Clean(f.Name), 8) + " "}, {paintOf(f), bar(f.Decided, f.Total)}, {dim, fmt.Sprintf(" %d/%d", f.Decided, f.Total)}}
		if len(r) > 0 && r.columns()+2+one.columns() > width-1 {
			rows, r = append(rows, r), nil
		} else if len(r) > 0 {
			r = append(r, piece{"", "  "})
		}
		r = append(r, one...)
	}
	if len(r) > 0 {
		rows = append(rows, r)
	}
	return rows
}

func paintOf(f events.Family) string {
	switch f.Worst {
	case reports.Pass:
		return green
	case reports.Fail, reports.Error:
		return red
	case reports.NotRun, reports.NotApplicable:
		return dim
	default:
		return yellow
	}
}

func bar(part, of int) string {
	full := 0
	if of > 0 {
		full = min(max(part*barCells/of, 0), barCells)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", barCells-full)
}

func (v view) scenario() []row {
	sc := v.state.Scenario
	if sc == nil {
		return nil
	}
	r := row{{bold, Clean(sc.ID)}}
	if sc.Attempt > 1 {
		r = append(r, piece{yellow, fmt.Sprintf(" attempt %d", sc.Attempt)})
	}
	r = append(r, piece{dim, "  " + whole(v.now.Sub(sc.Began)) + "  "}, piece{"", First(sc.Step)})
	return []row{r}
}

// latency shows the figures against their limits.
func (v view) latency() []row {
	sc := v.state.Scenario
	if sc == nil || sc.Figures == nil {
		return nil
	}
	f := sc.Figures
	if f.N == 0 {
		return []row{{{dim, fmt.Sprintf("  latency: nothing arrived in the last %.0f s", f.Window)}}}
	}
	r := row{{"", "  latency"}}
	for _, q := range []struct {
		name  string
		q     float64
		value reports.Float
	}{{"p50", 0.5, f.P50}, {"p99", 0.99, f.P99}} {
		r = append(r, piece{dim, "  " + q.name + " "}, piece{verdictOf(f, q.q, q.value), millis(q.value)})
		if limit, given := limitOf(f, q.q); given {
			r = append(r, piece{dim, " of " + millis(reports.Float(limit.Value)) + " (" + Clean(limit.Requirement) + ")"})
		}
	}
	return []row{append(r, piece{dim, fmt.Sprintf("  %s in %.0f s", plural(int(f.N), "sample"), f.Window)})}
}

func limitOf(f *events.Figures, q float64) (reports.Limit, bool) {
	for _, l := range f.Limits {
		if l.Q == q {
			return l, true
		}
	}
	return reports.Limit{}, false
}

// verdictOf is the colour of a figure: it is no verdict, the judge has all samples.
func verdictOf(f *events.Figures, q float64, value reports.Float) string {
	limit, given := limitOf(f, q)
	switch {
	case !given:
		return ""
	case float64(value) > limit.Value:
		return red
	default:
		return green
	}
}

func (v view) traffic() []row {
	sc := v.state.Scenario
	if sc == nil || sc.Figures == nil {
		return nil
	}
	f := sc.Figures
	r := row{{dim, fmt.Sprintf("  %.0f/s sent, %.0f/s received  %s", f.SentRate, f.ReceivedRate, plural(f.Devices, "device"))}}
	if f.Viewers > 0 {
		code := dim
		if f.Connected < f.Viewers {
			code = yellow
		}
		r = append(r, piece{code, fmt.Sprintf("  %d of %s connected", f.Connected, plural(f.Viewers, "viewer"))})
	}
	if v.state.Struck > 0 {
		r = append(r, piece{dim, "  " + plural(v.state.Struck, "fault") + " so far"})
	}
	return []row{r}
}

// stays is how long a fault that is over is shown: many are too short to be seen.
const stays = 3 * time.Second

// most bounds what is shown of faults and results each.
const most = 3

func (v view) faults() []row {
	sc := v.state.Scenario
	if sc == nil {
		return nil
	}
	var rows []row
	for i, f := range sc.Faults {
		if i == most {
			return append(rows, row{{yellow, fmt.Sprintf("  and %s more", plural(len(sc.Faults)-most, "fault"))}})
		}
		rows = append(rows, row{{yellow, "  fault: " + Clean(f.Name)}, {dim, "  " + span1(v.now.Sub(f.Since))}})
	}
	if p := sc.Past; p != nil && len(rows) == 0 && v.now.Sub(p.Ended) < stays {
		r := row{{dim, fmt.Sprintf("  fault over: %s  %s", Clean(p.Name), span1(p.Ended.Sub(p.Since)))}}
		if p.Error != "" {
			r = append(r, piece{red, "  " + First(p.Error)})
		}
		rows = append(rows, r)
	}
	return rows
}

func (v view) notable() []row {
	var rows []row
	all := v.state.Notable
	for _, n := range all[max(len(all)-most, 0):] {
		code := yellow
		if n.Verdict == reports.Fail || n.Verdict == reports.Error {
			code = red
		}
		rows = append(rows, row{{code, n.Verdict.String()}, {"", " " + Clean(n.Requirement) + " "}, {dim, First(n.Text)}})
	}
	return rows
}

// millis writes a latency with three digits.
func millis(v reports.Float) string {
	switch ms := float64(v); {
	case math.IsNaN(ms):
		return "–"
	case ms >= 10_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return fmt.Sprintf("%.2f ms", ms)
	}
}

// span1 is span for what may lie in the future of a clock that stands still.
func span1(d time.Duration) string { return span(max(d, 0)) }

// whole is span in whole seconds.
func whole(d time.Duration) string {
	if d = max(d, 0); d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return span(d)
}
