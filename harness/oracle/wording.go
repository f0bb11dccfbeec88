package oracle

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"plumbline/reports"
)

// count writes a number as the report does: 342 000.
func count(n int64) string { return reports.Grouped(n) }

// figure writes a value with three significant digits; from 1 000 on as a whole
// number with its thousands apart.
func figure(v float64) string {
	switch {
	case math.IsNaN(v):
		return "not established"
	case math.IsInf(v, 1):
		return "∞ (never arrived)"
	case v == 0:
		return "0"
	case v < 0:
		return "−" + figure(-v)
	case v >= 999.5:
		return count(int64(math.Round(v)))
	case v < 1e-3:
		return strings.Replace(power(v), ".0·", "·", 1)
	}
	return trimZeros(strconv.FormatFloat(v, 'f', 2-int(math.Floor(math.Log10(v))), 64))
}

// resolved writes a value down to the last digit of an uncertainty, so that a
// guarded limit does not look like the limit itself.
func resolved(v, uncertainty float64) string {
	_, fraction, _ := strings.Cut(twoDigits(uncertainty), ".")
	whole, rest, _ := strings.Cut(strconv.FormatFloat(v, 'f', len(fraction), 64), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || v < 0 {
		return figure(v)
	}
	return trimZeros(count(n) + "." + rest)
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// twoDigits writes an uncertainty with two significant digits.
func twoDigits(v float64) string {
	if v <= 0 {
		return "0"
	}
	digits := 1 - int(math.Floor(math.Log10(v)))
	return strconv.FormatFloat(v, 'f', min(max(digits, 0), 6), 64)
}

// withUnit joins a figure and its unit; infinite and missing ones have none,
// and "1" is the unit of a ratio, which is not written.
func withUnit(v float64, unit string) string {
	if math.IsNaN(v) || math.IsInf(v, 0) || unit == "" || unit == "1" {
		return figure(v)
	}
	return figure(v) + " " + unit
}

// percentile names a quantile: median, 99th percentile, 99.9th percentile.
func percentile(q float64) string {
	if q == 0.5 {
		return "median"
	}
	p := trimZeros(strconv.FormatFloat(q*100, 'f', 4, 64))
	ending := "th"
	if !strings.Contains(p, ".") && (len(p) == 1 || p[len(p)-2] != '1') {
		switch p[len(p)-1] {
		case '1':
			ending = "st"
		case '2':
			ending = "nd"
		case '3':
			ending = "rd"
		}
	}
	return p + ending + " percentile"
}

// percent writes a probability in percent: 95 %.
func percent(p float64) string {
	return trimZeros(strconv.FormatFloat(p*100, 'f', 4, 64)) + " %"
}

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹"

// power writes a small probability as a power of ten: 1.0·10⁻⁵.
func power(v float64) string {
	if v <= 0 || v >= 0.1 {
		return trimZeros(strconv.FormatFloat(v, 'f', 3, 64))
	}
	text := strconv.FormatFloat(v, 'e', 1, 64) // 1.0e-05
	mantissa, exponent, _ := strings.Cut(text, "e-")
	var b strings.Builder
	b.WriteString(mantissa + "·10⁻")
	for _, digit := range strings.TrimLeft(exponent, "0") {
		b.WriteString(string([]rune(superscripts)[digit-'0']))
	}
	return b.String()
}

// head begins every sentence: LAT-03 (profile ci 1.0).
func head(id, profile string) string {
	if profile == "" {
		return id
	}
	return fmt.Sprintf("%s (profile %s)", id, profile)
}

// noun picks the singular or the plural of "loss/losses".
func noun(forms string, n int64) string {
	singular, plural, both := strings.Cut(forms, "/")
	if n == 1 || !both {
		return singular
	}
	return plural
}

func toMillis(d time.Duration) float64 { return millis(int64(d)) }
