package oracle

import (
	"math"
	"time"

	"plumbline/reports"
)

// Budget returns the budget of OneHostUncertainty, line by line (metrology 2.6):
// publisher and viewer share one clock on one host. clocks is what the clocks of
// agents on other hosts and of pages add, for the latter with the steps in which
// they show the time; it is a bound and no deviation, so it stands beside the
// sum of squares. applied is by what limits were guarded, source why.
func Budget(applied, clocks time.Duration, source string) *reports.Uncertainty {
	u := &reports.Uncertainty{Applied: reports.Float(toMillis(applied + clocks)), Source: source}
	squares := 0.0
	add := func(name, distribution string, standard time.Duration) {
		ms := toMillis(standard)
		squares += ms * ms
		u.Components = append(u.Components, reports.Component{Name: name, Distribution: distribution, Standard: reports.Float(ms)})
	}
	add("reading of the clock", "rectangular ±20 ns", rectangular(20*time.Nanosecond))
	add("stamp after the event: wake-up, between the levels of calibration", "rectangular ±40 µs", rectangular(40*time.Microsecond))
	add("delay of the reference bridge", "normal", 10*time.Microsecond)
	add("reproducibility of the reference bridge", "type A, control chart", 20*time.Microsecond)
	u.Combined = reports.Float(math.Sqrt(squares))
	u.Expanded = 2*u.Combined + reports.Float(toMillis(clocks))
	if clocks > 0 {
		u.Components = append(u.Components, reports.Component{
			Name: "clocks of agents on other hosts and of pages", Distribution: "bound, added to U as it is", Standard: reports.Float(toMillis(clocks)),
		})
	}
	return u
}

// rectangular is the standard uncertainty of what lies anywhere within ±half.
func rectangular(half time.Duration) time.Duration {
	return time.Duration(math.Round(float64(half) / math.Sqrt(3)))
}
