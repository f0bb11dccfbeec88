package profile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Quantity is a number with its unit, as it is written: "25 ms".
type Quantity struct {
	Number float64
	Unit   string
}

// ParseQuantity reads "<number> <unit>"; the blank may be left out. A number
// without a unit is refused: nobody should have to guess it.
func ParseQuantity(text string) (Quantity, error) {
	text = strings.TrimSpace(text)
	split := strings.IndexFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && !strings.ContainsRune("+-.eE", r)
	})
	if split < 0 {
		return Quantity{}, fmt.Errorf("%q has no unit; write for example \"25 ms\" or \"0 messages\"", text)
	}
	number, err := strconv.ParseFloat(strings.TrimSpace(text[:split]), 64)
	if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
		return Quantity{}, fmt.Errorf("%q does not start with a number; write for example \"25 ms\"", text)
	}
	return Quantity{Number: number, Unit: strings.TrimSpace(text[split:])}, nil
}

// String returns the quantity as it is written in a profile.
func (q Quantity) String() string {
	return strconv.FormatFloat(q.Number, 'g', -1, 64) + " " + q.Unit
}

// timeUnits in nanoseconds.
var timeUnits = map[string]float64{
	"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "min": 60e9, "m": 60e9, "h": 3600e9,
}

// Duration returns a quantity of time; any other unit is an error.
func (q Quantity) Duration() (time.Duration, error) {
	factor, known := timeUnits[q.Unit]
	if !known {
		return 0, fmt.Errorf("%q is not a time; write for example \"250 ms\" or \"2 s\"", q)
	}
	ns := q.Number * factor
	if math.Abs(ns) > float64(math.MaxInt64/2) {
		return 0, fmt.Errorf("%q is too long", q)
	}
	return time.Duration(math.Round(ns)), nil
}

// Rate returns messages per second; the unit is "/s" or "/min".
func (q Quantity) Rate() (float64, error) {
	switch strings.ReplaceAll(q.Unit, " ", "") {
	case "/s", "msg/s", "messages/s":
		return q.Number, nil
	case "/min", "msg/min", "messages/min":
		return q.Number / 60, nil
	default:
		return 0, fmt.Errorf("%q is not a rate; write for example \"500 /s\"", q)
	}
}

// Count returns a whole number of things; the unit must be one of units.
func (q Quantity) Count(units ...string) (int64, error) {
	for _, unit := range units {
		if q.Unit != unit {
			continue
		}
		if q.Number < 0 || q.Number != math.Trunc(q.Number) || q.Number > 1e15 {
			return 0, fmt.Errorf("%q is not a whole number of %s", q, unit)
		}
		return int64(q.Number), nil
	}
	return 0, fmt.Errorf("%q is not a number of %s", q, strings.Join(units, " or "))
}

// Share returns a fraction from 0 to 1; the unit is "%".
func (q Quantity) Share() (float64, error) {
	if q.Unit != "%" {
		return 0, fmt.Errorf("%q is not a share; write for example \"99.9 %%\"", q)
	}
	if q.Number < 0 || q.Number > 100 {
		return 0, fmt.Errorf("%q is not between 0 %% and 100 %%", q)
	}
	return math.Round(q.Number*1e10) / 1e12, nil // 99.9/100 is not 0.999 in binary
}
