package calibrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"plumbline/harness/stats"
)

const (
	// ChartLeast is how many calibrations a chart takes to have limits.
	ChartLeast = 10
	// chartMost is how many of the latest ones form them.
	chartMost = 1000
	// chartSigmas is the distance of the limits from the mean.
	chartSigmas = 3
	// wildSigmas is the distance from the median of what forms no limits.
	wildSigmas = 6
	// leastSigma is the smallest standard deviation that is believed: the wake-up
	// of a thread alone is no more certain.
	leastSigma = 10 * time.Microsecond
	// maxHistory bounds the file of a history, in bytes.
	maxHistory = 64 << 20
)

// History is the calibrations of one rig, the oldest first.
type History []*Record

// ReadHistory reads the calibrations that AppendHistory wrote. A file that does
// not exist is an empty history; one with a damaged line is an error.
func ReadHistory(path string) (History, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("calibrate: history: %w", err)
	}
	if info.Size() > maxHistory {
		return nil, fmt.Errorf("calibrate: history %q has %d bytes, at most %d are read; begin another one", path, info.Size(), maxHistory)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("calibrate: history: %w", err)
	}
	var all History
	number := 0
	for line := range bytes.Lines(text) {
		number++
		r, err := decode(line)
		if err != nil {
			return nil, fmt.Errorf("calibrate: history %q, line %d: %w; take the line out", path, number, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// AppendHistory adds a calibration to the end of the file, which it makes if
// need be.
func AppendHistory(path string, r *Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("calibrate: history: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644) //nolint:gosec // G302: it is for others to read
	if err != nil {
		return fmt.Errorf("calibrate: history: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("calibrate: history: %w", err)
	}
	return nil
}

// Check holds a new calibration against the chart, mean ± 3 standard deviations
// of the p50 and of the p99 at each delay, and marks it when it is out of
// control. known is how many earlier calibrations of this rig the chart rests
// on, at the delay that has the fewest of them; below ChartLeast nothing is out
// of control. A calibration that was out of control, was made at another rate or
// on another rig forms no limits.
func (h History) Check(r *Record) (known int) {
	known = math.MaxInt
	var outside []string
	for _, l := range r.Levels {
		past := h.at(r, l.Delay)
		known = min(known, len(past))
		if len(past) < ChartLeast {
			continue
		}
		for _, figure := range []struct {
			name string
			of   func(Level) time.Duration
		}{{"p50", func(l Level) time.Duration { return l.P50 }}, {"p99", func(l Level) time.Duration { return l.P99 }}} {
			low, high := limits(past, figure.of)
			if got := figure.of(l); got < low || got > high {
				outside = append(outside, fmt.Sprintf("at a delay of %v the %s of what the rig adds is %v, the chart of %d calibrations allows %v to %v",
					l.Delay, figure.name, micros(got), len(past), micros(low), micros(high)))
			}
		}
	}
	r.Outside = strings.Join(outside, "; ")
	return known
}

// at returns what was measured before at a delay, under the conditions of r and
// in control.
func (h History) at(r *Record, delay time.Duration) (past []Level) {
	for _, before := range h {
		if before.Rig != r.Rig || before.Rate != r.Rate || before.Outside != "" {
			continue
		}
		if i := slices.IndexFunc(before.Levels, func(l Level) bool { return l.Delay == delay }); i >= 0 {
			past = append(past, before.Levels[i])
		}
	}
	return past[max(0, len(past)-chartMost):]
}

// limits returns those of a figure; none is below zero. Wild values are left out
// first: one calibration of a machine that did something else would widen them
// until nothing is outside.
func limits(past []Level, of func(Level) time.Duration) (low, high time.Duration) {
	values := tame(past, of)
	mean := 0.0
	for _, v := range values {
		mean += v / float64(len(values))
	}
	squares := 0.0
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	sigma := max(math.Sqrt(squares/float64(len(values)-1)), float64(leastSigma))
	return time.Duration(max(mean-chartSigmas*sigma, 0)), time.Duration(mean + chartSigmas*sigma)
}

// tame returns the figures that are within wildSigmas of the median, the
// deviation taken from the median of the distances (1.4826 of it is one standard
// deviation of normal values). More than half of them are.
func tame(past []Level, of func(Level) time.Duration) []float64 {
	values := make([]float64, len(past))
	for i, l := range past {
		values[i] = float64(of(l))
	}
	middle := median(values)
	distances := make([]float64, len(values))
	for i, v := range values {
		distances[i] = math.Abs(v - middle)
	}
	most := wildSigmas * max(1.4826*median(distances), float64(leastSigma))
	return slices.DeleteFunc(values, func(v float64) bool { return math.Abs(v-middle) > most })
}

func median(values []float64) float64 {
	return stats.Quantile(slices.Sorted(slices.Values(values)), 0.5)
}

func micros(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
