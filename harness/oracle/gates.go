package oracle

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sort"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/stats"
	"plumbline/reports"
)

const (
	// slipShare is the share of the limit that the p99 of the generator's
	// lateness may reach.
	slipShare = 20
	// offeredShare is the least share of the planned messages to be written.
	offeredShare = 0.999
	// floorHard and floorFlag are the shares of the limit at which the noise
	// floor forbids a statement and at which it is remarked.
	floorHard, floorFlag = 5, 10
	// clockCost is the cost of a reading above which the vDSO is bypassed.
	clockCost = 150 // ns
)

// OneHostUncertainty is the expanded systematic uncertainty U (k=2) when
// publisher and viewer share one clock on one host: wake-up ±40 µs between the
// levels of calibration, reference delay 10 µs, reproducibility 20 µs, each as
// a standard uncertainty and added in squares.
const OneHostUncertainty = 65 * time.Microsecond

// RigHealth computes from the records how well the generator kept its
// schedule. What only the live rig knows (hiccups, noise floor, clock, garbage
// collection) is for the caller to add. Lateness is taken over streams that
// the metronome drives; a forwarded device sets its own time.
func (h *History) RigHealth(o Options) reports.RigHealth {
	s := h.choose(o)
	rig := reports.RigHealth{
		SlipP50: nan, SlipP99: nan, SlipMax: nan, HiccupP99: nan, HiccupMax: nan,
		FloorP50: nan, FloorP99: nan, FloorP999: nan, ClockRead: nan, GCPauseMax: nan,
		Uncertainty: reports.Float(millis(int64(OneHostUncertainty))),
	}
	var slip []float64
	h.each(&s, func(stream int, _ uint64, m *message) {
		if h.streams[stream].self {
			return
		}
		rig.Offered++
		if m.sent == 0 {
			return
		}
		rig.Achieved++
		if h.log.Index.Streams[stream].Period > 0 {
			slip = append(slip, millis(m.sent-m.due))
		}
	})
	if len(slip) > 0 {
		sort.Float64s(slip)
		rig.SlipP50 = reports.Float(stats.Quantile(slip, 0.5))
		rig.SlipP99 = reports.Float(stats.Quantile(slip, 0.99))
		rig.SlipMax = reports.Float(slip[len(slip)-1])
	}
	return rig
}

// Gates returns the validity gates that a recording itself does not pass: a
// partial one or a window that was never closed (INT), one without a single
// judged message, and a viewer or a device that is to be judged and took no
// part (N). The latter are a viewer to which nothing was owed, because it
// subscribed too late or its filters take nothing, and a name that nobody has.
func (h *History) Gates(o Options) (gates []stats.Gate) {
	s := h.choose(o)
	add := func(reason reports.Reason, cure, format string, args ...any) {
		gates = append(gates, stats.Gate{Reason: reason, Detail: fmt.Sprintf(format, args...), Cure: cure})
	}
	if h.log.Partial {
		add(reports.ReasonInterrupted, "a run to its end", "the recording is partial")
	}
	for _, w := range s.windows {
		if w.declared && w.to == math.MaxInt64 {
			add(reports.ReasonInterrupted, "a run to its end", "the judged window %q was never closed", w.subject)
		}
	}
	judged := false
	owed := make([]bool, len(h.viewers))
	h.each(&s, func(stream int, _ uint64, m *message) {
		judged = true
		for _, n := range s.viewers {
			owed[n] = owed[n] || h.viewers[n].owes(stream, m)
		}
	})
	if !judged {
		add(reports.ReasonSamples, "a device that sends", "no message was intended in the judged window")
		return gates
	}
	for _, name := range h.strangers(o) {
		add(reports.ReasonSamples, "a recording of it", "%q is to be judged and is not in the recording", name)
	}
	if len(s.viewers) == 0 {
		add(reports.ReasonSamples, "a viewer", "no viewer is judged")
	}
	for _, n := range s.viewers {
		if !owed[n] {
			add(reports.ReasonSamples, "a viewer that subscribes in time to what is sent",
				"viewer %q was to receive nothing in the judged window", h.viewers[n].name)
		}
	}
	return gates
}

// strangers returns the viewers and devices of o that the recording does not
// know.
func (h *History) strangers(o Options) (names []string) {
	for _, name := range o.Viewers {
		if !slices.ContainsFunc(h.viewers, func(v viewer) bool { return v.isView && v.name == name }) {
			names = append(names, name)
		}
	}
	for _, id := range o.Devices {
		if !slices.ContainsFunc(h.log.Index.Streams, func(s record.Stream) bool { return s.Device == id }) {
			names = append(names, id)
		}
	}
	return names
}

// Gates returns the validity gates of the rig that do not hold for a limit at
// a quantile: CLK, GEN and RIG, the gravest first. A noise floor or a cost of
// the clock that was not measured is a gate too.
func Gates(rig reports.RigHealth, limit time.Duration, q float64) (gates []stats.Gate) {
	limitMillis := millis(int64(limit))
	add := func(reason reports.Reason, cure, format string, args ...any) {
		gates = append(gates, stats.Gate{Reason: reason, Detail: fmt.Sprintf(format, args...), Cure: cure})
	}
	switch cost := float64(rig.ClockRead); {
	case !(cost > 0):
		add(reports.ReasonClock, "a rig that measures its clock", "the cost of the clock was not measured")
	case cost > clockCost:
		add(reports.ReasonClock, "clock source tsc or the arch timer", "a reading of clock source %q takes %s ns, the vDSO is bypassed", rig.ClockSource, figure(cost))
	case slowClock(rig.ClockSource):
		add(reports.ReasonClock, "clock source tsc or the arch timer", "clock source %q is not monotonic enough or too slow", rig.ClockSource)
	}
	if rig.Offered == 0 || float64(rig.Achieved) < offeredShare*float64(rig.Offered) {
		add(reports.ReasonGenerator, "a larger in-flight window, less load or a faster system",
			"%s of %s planned messages were written, at least 99.9 %% are needed", count(rig.Achieved), count(rig.Offered))
	}
	if slip := float64(rig.SlipP99); slip > limitMillis/slipShare {
		add(reports.ReasonGenerator, "a quieter machine or less load",
			"the generator was %s ms late at p99, the limit allows %s ms", figure(slip), figure(limitMillis/slipShare))
	}
	switch floor := floorAt(rig, q); {
	case !(floor > 0):
		add(reports.ReasonRig, "a measurement of the noise floor before the run", "the noise floor was not measured")
	case floor > limitMillis/floorHard:
		add(reports.ReasonRig, "a quieter machine or a wider limit",
			"the noise floor of the rig is %s ms, above a fifth of the limit", figure(floor))
	}
	return gates
}

// slowClock names the clock sources of Linux that are read by a system call or
// that tick coarsely. Others must prove themselves by their cost.
func slowClock(source string) bool {
	switch source {
	case "jiffies", "refined-jiffies", "hpet", "acpi_pm", "pit":
		return runtime.GOOS == "linux"
	}
	return false
}

// floorAt returns the noise floor at the quantile, from the next one measured
// above it; beyond the last, from that one.
func floorAt(rig reports.RigHealth, q float64) float64 {
	switch {
	case q <= 0.5:
		return float64(rig.FloorP50)
	case q <= 0.99:
		return float64(rig.FloorP99)
	default:
		return float64(rig.FloorP999)
	}
}

// Standstills is when the rig itself did not run. The zero value is: never.
type Standstills struct {
	Gaps []Gap         // in the order of time
	From time.Duration // Gaps holds all that are longer; 0 where none had to be left out
}

// long returns the stretches that are longer than a tenth of the limit.
func (s Standstills) long(limit time.Duration) (long []Gap) {
	for _, g := range s.Gaps {
		if g.Length > limit/10 {
			long = append(long, g)
		}
	}
	return long
}

// Untold says why it is not known when the rig did not run for longer than a tenth of
// the limit, "" when it is: then what the rig may have held up is all that took longer.
func (s Standstills) Untold(limit time.Duration) string {
	if s.From <= limit/10 {
		return ""
	}
	return fmt.Sprintf("the rig itself did not run so often that stretches up to %s were not kept, and a tenth of the limit is %s", s.From, limit/10)
}

// awayWeight is how many times over a stretch in which the rig itself did not run
// counts: what it held up has to be made up for.
const awayWeight = 2

// Excused reports whether what took longer than a limit, between two instants of
// the run clock, may have been held up by the rig: without twice the time in which
// that did not run, in stretches longer than a tenth of the limit, it would have
// kept the limit. Where such stretches were not all kept, it may.
func (s Standstills) Excused(limit, took time.Duration, from, to int64) bool {
	if took <= limit {
		return false
	}
	if s.Untold(limit) != "" {
		return true
	}
	away := int64(0)
	for _, g := range s.long(limit) {
		away += max(min(g.At+int64(g.Length), to)-max(g.At, from), 0)
	}
	return away > 0 && took-awayWeight*time.Duration(away) <= limit
}

// Still reports whether the rig itself did not run, or may not have, for longer than
// a tenth of a patience between two instants of the run clock: that something was
// waited for in vain with that patience proves nothing then.
func (s Standstills) Still(patience time.Duration, from, to int64) bool {
	return s.Untold(patience) != "" ||
		slices.ContainsFunc(s.long(patience), func(g Gap) bool { return g.At < to && g.At+int64(g.Length) > from })
}

// held returns the numbers of the samples that were under way while the rig itself
// did not run for longer than a tenth of the limit.
func (l Latencies) held(s Standstills, limit time.Duration) (held []int) {
	long := s.long(limit)
	if len(long) == 0 {
		return nil
	}
	for i, due := range l.Series.Due {
		end := due + int64(math.Min(l.Series.Value[i]*1e6, 1e15))
		// The first gap that ends after the message was due.
		k := sort.Search(len(long), func(k int) bool { return long[k].At+int64(long[k].Length) > due })
		if k < len(long) && long[k].At <= end {
			held = append(held, i)
		}
	}
	return held
}

// unheld returns all samples as they would be had those that the rig held up and
// that were late taken as long as the median.
func (l Latencies) unheld(held []int, limit time.Duration) stats.Series {
	sorted := slices.Sorted(slices.Values(l.Series.Value))
	rest := stats.Series{Due: l.Series.Due, Value: slices.Clone(l.Series.Value)}
	for _, i := range held {
		if rest.Value[i] > toMillis(limit) {
			rest.Value[i] = sorted[len(sorted)/2]
		}
	}
	return rest
}
