package render

import (
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"plumbline/reports"
)

// number prints v with three significant digits (whole numbers above 1000
// grouped): "—" when not established, "∞" when infinite.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "—"
	case math.IsInf(v, 1):
		return "∞"
	case math.IsInf(v, -1):
		return "−∞"
	case v == 0:
		return "0"
	case v < 0:
		return "−" + number(-v)
	case v >= 1e15: // beyond what a float counts singly, and then beyond int64
		return scientific(v)
	case v >= 999.5:
		return grouped(int64(math.Round(v)))
	case v < 1e-3:
		return scientific(v)
	}
	digits := 2 - int(math.Floor(math.Log10(v)))
	text := strconv.FormatFloat(v, 'f', max(digits, 0), 64)
	if strings.ContainsRune(text, '.') {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// scientific prints a very small or very large positive v as "1.2·10⁻⁵".
func scientific(v float64) string {
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', 1, 64), "e")
	power, _ := strconv.Atoi(exponent)
	return strings.TrimSuffix(mantissa, ".0") + "·10" + superscript(power)
}

func superscript(n int) string {
	return strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴",
		"5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").Replace(strconv.Itoa(n))
}

// grouped is how verdict sentences write a count.
func grouped(n int64) string { return reports.Grouped(n) }

// quantity joins a figure and its unit. There is none behind "—" or "∞", and
// "1" is the unit of a ratio, which is not printed.
func quantity(v float64, unit string) string {
	text := number(v)
	if unit == "" || unit == "1" || math.IsNaN(v) || math.IsInf(v, 0) {
		return text
	}
	return text + " " + unit
}

// bounds prints the confidence bounds of a measurement: both, the one that
// exists, or that there is none.
func bounds(m *reports.Measurement) string {
	lower, upper := float64(m.Lower), float64(m.Upper)
	switch {
	case math.IsNaN(lower) && math.IsNaN(upper):
		return "too few samples for a bound"
	case math.IsNaN(lower):
		return "at most " + quantity(upper, m.Unit)
	case math.IsNaN(upper):
		return "at least " + quantity(lower, m.Unit)
	default:
		return number(lower) + " to " + quantity(upper, m.Unit)
	}
}

// quantileName prints 0.999 as "p99.9".
func quantileName(q float64) string {
	return "p" + strconv.FormatFloat(math.Round(q*1e8)/1e6, 'f', -1, 64)
}

// span prints a duration as people say it: "850 ms", "42 s", "3 min 20 s".
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return number(float64(d)/1e3) + " µs"
	case d < time.Second:
		return number(float64(d)/1e6) + " ms"
	case d < time.Minute:
		return number(d.Seconds()) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min " + strconv.Itoa(int(d.Seconds())%60) + " s"
	default:
		return strconv.Itoa(int(d.Hours())) + " h " + strconv.Itoa(int(d.Minutes())%60) + " min"
	}
}

// bytesText prints a size in binary units.
func bytesText(n int64) string {
	switch {
	case n < 1<<10:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1<<20:
		return number(float64(n)/(1<<10)) + " KiB"
	default:
		return number(float64(n)/(1<<20)) + " MiB"
	}
}

// date prints an instant for people, in UTC to the second.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// modes lists the device modes of the run with their counts, for example
// "sim 20, replay 1". The report never mixes them silently.
func modes(run *reports.Run) string {
	counts := map[reports.Mode]int{}
	for _, d := range run.Devices {
		counts[d.Mode]++
	}
	if len(counts) == 0 {
		return "none"
	}
	names := make([]string, 0, len(counts))
	for m, n := range counts {
		names = append(names, string(m)+" "+strconv.Itoa(n))
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// verdictText adds the reason to INCONCLUSIVE: "INCONCLUSIVE(RIG)".
func verdictText(v reports.Verdict, reason reports.Reason) string {
	if reason == "" {
		return v.String()
	}
	return v.String() + "(" + string(reason) + ")"
}

// standing says in one clause what the overall verdict is worth.
func standing(run *reports.Run) string {
	switch {
	case run.Partial != "":
		return "partial run: " + run.Partial
	case run.Deselected != nil:
		return "a selection made by the label filter " + strconv.Quote(run.Deselected.Filter) + "; it certifies nothing"
	case run.Certified():
		return "certifying run: everything the system declares was judged"
	case run.Uncertified != "":
		return "certifying run that passed, without a certificate: " + run.Uncertified
	case run.Certifying:
		return "certifying run, not certified"
	case run.Informative():
		return "all of it informative: it shows these results and certifies nothing"
	default:
		return "not a certifying run: it shows these results and certifies nothing"
	}
}
