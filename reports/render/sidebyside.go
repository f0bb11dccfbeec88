package render

import (
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"

	"plumbline/reports"
)

// SideBySide writes what systems did side by side as Markdown: a table, who is ahead of
// the first system and who behind, bars, and under which conditions.
func SideBySide(w io.Writer, c *reports.SideBySide) error {
	c = cleanValue(reflect.ValueOf(c)).Interface().(*reports.SideBySide)
	var b strings.Builder
	markdownTable(&b, besideTable(c), 1)
	b.WriteString("\n" + besideLegend(c) + "\n\n")
	for _, text := range besideSaid(c) {
		b.WriteString("- " + md(text) + "\n")
	}
	b.WriteString("\n```text\n")
	for k, m := range reports.BesideMeasures() {
		besideBars(&b, c, k, m)
	}
	b.WriteString("```\n\n")
	for _, text := range besideConditions(c) {
		b.WriteString("- " + md(text) + "\n")
	}
	fmt.Fprintf(&b, "\n%s\n", md(fmt.Sprintf("plumbline %s of %s, seed %d, %s. Results relate only to the items tested, under these conditions.",
		c.Tool.Version, c.Started.UTC().Format("2006-01-02"), c.Seed, machineOf(&reports.Run{Environment: c.Environment}))))
	_, err := io.WriteString(w, b.String())
	return wrap("side by side", err)
}

// besideTable has a row for every system.
func besideTable(c *reports.SideBySide) table {
	t := table{Head: []string{"system"}}
	for _, m := range reports.BesideMeasures() {
		t.Head = append(t.Head, m.Name+", "+m.Unit)
	}
	t.Head = append(t.Head, "lost when killed", "doubled then", "rounds")
	for _, s := range c.Systems {
		cells := []string{s.Name}
		for _, f := range s.Figures {
			cells = append(cells, besideCell(f))
		}
		cells = append(cells, besideLost(s), besideDoubled(s), fmt.Sprintf("%d of %d", s.Rounds, c.Load.Rounds))
		t.add(nowhere, cells...)
	}
	return t
}

// besideCell is a median with its interval, and how it stands beside that of the first.
func besideCell(f reports.BesideFigure) string {
	text := figure(f.Median)
	if !math.IsNaN(float64(f.Low)) && !math.IsNaN(float64(f.High)) {
		text += fmt.Sprintf(" (%s to %s)", figure(f.Low), figure(f.High))
	}
	switch f.Standing {
	case reports.AbreastLess:
		text += fmt.Sprintf(", less: × %s", figure(f.Ratio))
	case reports.AbreastMore:
		text += fmt.Sprintf(", more: × %s", figure(f.Ratio))
	case reports.AbreastAlike:
		text += ", alike"
	case reports.AbreastOpen:
		text += ", open"
	case reports.AbreastItself:
	}
	return text
}

func besideLost(s reports.Beside) string {
	if s.Kills == 0 {
		return number(math.NaN())
	}
	text := fmt.Sprintf("%d of %d", s.Lost, s.Owed)
	if s.Doubtful > 0 {
		text += fmt.Sprintf(", and perhaps %d", s.Doubtful)
	}
	return text
}

func besideDoubled(s reports.Beside) string {
	if s.Kills == 0 {
		return number(math.NaN())
	}
	return fmt.Sprint(s.Doubled)
}

func besideLegend(c *reports.SideBySide) string {
	return md(fmt.Sprintf("Median over the rounds with its 95 %% interval; of all figures less is better. Beside %s: less and more are shown (two-sided Mann-Whitney on the figures of the rounds, p < 1 %% for all comparisons of the table together by Holm, and 5 %% at least), alike is not shown to differ and 20 %% more is excluded, open is neither.", c.Systems[0].Name))
}

// besideSaid says for each measure who is ahead of the first system and who behind it.
func besideSaid(c *reports.SideBySide) (out []string) {
	first := c.Systems[0].Name
	for k, m := range reports.BesideMeasures() {
		by := map[reports.Abreast][]string{}
		for _, s := range c.Systems[1:] {
			f, text := s.Figures[k], s.Name
			if f.Standing == reports.AbreastLess || f.Standing == reports.AbreastMore {
				text += fmt.Sprintf(" (× %s, %s to %s)", figure(f.Ratio), figure(f.RatioLow), figure(f.RatioHi))
			}
			by[f.Standing] = append(by[f.Standing], text)
		}
		var parts []string
		for _, one := range []struct {
			standing reports.Abreast
			words    string
		}{
			{reports.AbreastLess, "better than " + first + ": "}, {reports.AbreastMore, "worse: "},
			{reports.AbreastAlike, "alike: "}, {reports.AbreastOpen, "undecided: "},
		} {
			if list := by[one.standing]; len(list) > 0 {
				parts = append(parts, one.words+strings.Join(list, ", "))
			}
		}
		out = append(out, fmt.Sprintf("%s: %s.", capital(m.Name), strings.Join(parts, "; ")))
	}
	return append(out, besideLosses(c)...)
}

// besideLosses says what was lost, and what failed.
func besideLosses(c *reports.SideBySide) (out []string) {
	var lossless, losing []string
	for _, s := range c.Systems {
		switch {
		case s.Kills == 0:
		case s.Lost == 0:
			lossless = append(lossless, fmt.Sprintf("%s (%s in %d kills)", s.Name, besideLost(s), s.Kills))
		default:
			losing = append(losing, fmt.Sprintf("%s (%s %% in %d kills)", s.Name, number(100*float64(s.Lost)/float64(s.Owed)), s.Kills))
		}
	}
	if len(lossless) > 0 {
		out = append(out, "Killed, nothing was lost by: "+strings.Join(lossless, ", ")+".")
	}
	if len(losing) > 0 {
		out = append(out, "Killed, messages were lost by: "+strings.Join(losing, ", ")+".")
	}
	for _, s := range c.Systems {
		if s.Failed != "" {
			out = append(out, fmt.Sprintf("%s failed in a round: %s", s.Name, cut(s.Failed, 200)))
		}
	}
	return out
}

// besideBars draws one measure.
func besideBars(b *strings.Builder, c *reports.SideBySide, k int, m reports.Measure) {
	const width = 40
	most, names := 0.0, 0
	for _, s := range c.Systems {
		names = max(names, utf8.RuneCountInString(cut(s.Name, width)))
		if v := float64(s.Figures[k].Median); v > most && !math.IsInf(v, 0) {
			most = v
		}
	}
	fmt.Fprintf(b, "%s, %s\n", m.Name, m.Unit)
	for _, s := range c.Systems {
		v := float64(s.Figures[k].Median)
		eighths := 0
		if most > 0 && v > 0 && !math.IsInf(v, 0) {
			eighths = int(math.Round(v / most * width * 8))
		}
		bar := strings.Repeat("█", eighths/8)
		if eighths%8 > 0 {
			bar += string([]rune("▏▎▍▌▋▊▉")[eighths%8-1])
		}
		name := strings.ReplaceAll(cut(s.Name, width), "`", "'")
		fmt.Fprintf(b, "  %s%s  %s %s\n", name, strings.Repeat(" ", names-utf8.RuneCountInString(name)), bar, number(v))
	}
}

// besideConditions says under what the figures stand.
func besideConditions(c *reports.SideBySide) []string {
	l := c.Load
	source := "from within the process of the viewers"
	if l.Process {
		source = "from a process of its own"
	}
	still := 0.0
	for _, p := range c.Parts {
		still = max(still, finite(float64(p.Hiccup)))
	}
	return []string{
		fmt.Sprintf("The longest for which the bench itself did not run while latency was measured is %s ms.", number(still)),
		fmt.Sprintf("%d rounds in one run, each of which takes every system once, in an order drawn for the round; a fresh start of the system for each of three parts. Systems, viewers and load (%s) share one machine and its loopback interface.", l.Rounds, source),
		fmt.Sprintf("Latency and CPU: %d devices publish %s messages a second in all over MQTT with QoS 1, in an open loop, and each of %d viewers watches all of them; %s are measured after %s. Latency runs from the intended instant to the arrival. CPU is user and system time of all processes of the system, its broker among them, for each delivery.", l.Devices, number(l.Rate), l.Viewers, l.Window, l.WarmUp),
		fmt.Sprintf("Memory and storm: %d viewers come to a system with %s messages a second, and RSS is held against that without them; then all their connections are cut at once, and the storm lasts until the last has fresh data. A viewer waits 50 to 100 ms before its first attempt.", l.Crowd, number(l.Calm)),
		fmt.Sprintf("Kill: SIGKILL of the bridge under the load of the first part with %d viewers (of broker and bridge, where they are one process), %s of death, start. A message counts as lost when the broker had it and a viewer never did; one that the broker did not acknowledge comes again.", l.Few, l.Dead),
		"Each system runs as its descriptor says: what it does beside (TLS, tokens, a journal on the disk) is in its figures. Versions: " + versionsOf(c.Systems) + ".",
	}
}

// versionsOf names the versions that are known.
func versionsOf(systems []reports.Beside) string {
	var all []string
	for _, s := range systems {
		if s.Version != "" {
			all = append(all, s.Name+" is "+s.Version)
		}
	}
	if len(all) == 0 {
		return "none is known"
	}
	return strings.Join(all, "; ")
}
