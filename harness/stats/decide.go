package stats

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"plumbline/reports"
)

// withDefaults fills in the published constants of DR-2.
func (r Rule) withDefaults() Rule {
	if r.PassConfidence == 0 {
		r.PassConfidence = 0.95
	}
	if r.FailConfidence == 0 {
		r.FailConfidence = 0.99
	}
	if r.MinBlock == 0 {
		r.MinBlock = time.Second
	}
	if r.MinBlocks == 0 {
		r.MinBlocks = 30
	}
	return r
}

// DecideDR2 applies the decision rule DR-2, "two counters":
//
//   - a question that was put wrongly, such as a quantile of 0: ERROR;
//   - a broken validity gate, fewer than MinBlocks blocks or too few effective
//     samples: INCONCLUSIVE with its code;
//   - X_P/VIF ≤ c: PASS, unless a single run is FAIL;
//   - X_F/VIF ≥ r: FAIL;
//   - else CONDITIONAL PASS or CONDITIONAL FAIL by the point estimate.
//
// When the VIF still rises on doubling the block and no longer blocks fit, the
// run should be longer: a verdict is then given only if it would survive one
// more such rise, else INCONCLUSIVE(N). The same guards a profile that cuts the
// blocks short with MaxBlock. A run that drifts (Input.Steady) is
// judged on its worst third; when that is too short, INCONCLUSIVE(NONSTAT).
func DecideDR2(in Input) Decision {
	in.Rule = in.Rule.withDefaults()
	if wrong := in.wrong(); wrong != "" {
		nan := math.NaN()
		return Decision{
			Verdict: reports.Error, Detail: wrong, Cure: "a mend of the harness or the profile",
			N: int64(len(in.Value)), Estimate: nan, Lower: nan, Upper: nan, NeedMore: -1,
			Dependence: Dependence{VIF: 1, Doubled: 1},
		}
	}
	in.Series = in.sorted()
	if in.Rule.Ordinal {
		in.Series, in.Rule = in.ranked(), in.Rule.ranked(len(in.Due))
	}
	d := in.decide()
	if in.Steady && len(in.Due) > 0 {
		d.Stationarity = in.drift(in.Quantile, in.Limit)
		d = in.steadied(d)
	}
	for _, gate := range in.Gates {
		d.inconclusive(gate.Reason, gate.Detail, gate.Cure)
		break
	}
	return d
}

// wrong says what no rule can be applied to, "" when nothing is. A question
// that was put wrongly must not be answered: at the quantile 0, which a
// requirement without one would have, almost every message may be late.
func (in Input) wrong() string {
	probability := func(p float64) bool { return p > 0 && p < 1 }
	switch {
	case !probability(in.Quantile):
		return fmt.Sprintf("quantile %v is not between 0 and 1", in.Quantile)
	case !(in.Limit > 0) || math.IsInf(in.Limit, 1):
		return fmt.Sprintf("limit %v is no limit", in.Limit)
	case !(in.Guard >= 0) || !(in.Bias >= 0):
		return fmt.Sprintf("guard %v and bias %v: neither is below zero", in.Guard, in.Bias)
	case !probability(in.Rule.PassConfidence) || !probability(in.Rule.FailConfidence):
		return fmt.Sprintf("confidences %v and %v are not between 0 and 1", in.Rule.PassConfidence, in.Rule.FailConfidence)
	case len(in.Due) != len(in.Value):
		return fmt.Sprintf("%d instants for %d values", len(in.Due), len(in.Value))
	case slices.ContainsFunc(in.Value, math.IsNaN):
		return "a value is not a number"
	}
	return ""
}

// ranked returns s with the position of each sample in place of its instant.
func (s Series) ranked() Series {
	positions := make([]int64, len(s.Due))
	for i := range positions {
		positions[i] = int64(i)
	}
	return Series{Due: positions, Value: s.Value}
}

// ranked returns the rule for n samples whose instants are their positions.
func (r Rule) ranked(n int) Rule {
	r.MinBlock = time.Duration(max(n/r.MinBlocks, 1))
	r.MaxBlock = r.MinBlock
	return r
}

// length words the length of a block.
func (r Rule) length(block time.Duration) string {
	if r.Ordinal {
		return fmt.Sprintf("%d samples", int64(block))
	}
	return block.Round(time.Millisecond).String()
}

// steadied replaces the verdict of a drifting run by that of its worst third.
func (in Input) steadied(d Decision) Decision {
	s := d.Stationarity
	switch {
	case !s.Tested:
		if d.Verdict != reports.Fail {
			d.inconclusive(reports.ReasonSamples, "too few blocks to test for drift", "a longer run")
		}
		return d
	case s.Stationary:
		return d
	}
	third := in
	third.Series = in.slice(s.Worst-1, 3)
	if third.Rule.Ordinal {
		third.Series, third.Rule = third.ranked(), third.Rule.ranked(len(third.Due))
	}
	worst := third.decide()
	worst.Stationarity, worst.WorstThird = s, s.Worst
	drift := fmt.Sprintf("the figure drifted by %.3g over the run", s.Drift)
	if worst.Verdict == reports.Inconclusive {
		worst.inconclusive(reports.ReasonNonstationary,
			drift+" and its worst third alone is too short: "+worst.Detail, "a longer warm-up and a longer run")
	} else {
		worst.Detail = drift + "; judged on its worst third"
	}
	return worst
}

// decide applies the rule to the series of in, without gates.
func (in Input) decide() Decision {
	values := slices.Clone(in.Value)
	sort.Float64s(values)
	d := Decision{
		N:        int64(len(values)),
		Lost:     countAbove(values, math.MaxFloat64),
		Estimate: Quantile(values, in.Quantile),
		XPass:    countAbove(values, in.Limit-in.Guard),
		XFail:    countAbove(values, in.Limit+in.Guard+in.Bias),
	}
	d.Dependence = in.measure([]float64{in.Limit - in.Guard, d.Estimate}, in.Rule)
	d.NEff = int64(float64(d.N) / d.VIF)
	d.Lower, d.Upper = deflatedBounds(values, in.Quantile, in.Rule.PassConfidence, d.VIF)
	d.Allowed = Allowed(d.NEff, in.Quantile, in.Rule.PassConfidence)
	d.Reject = Reject(d.NEff, in.Quantile, 1-in.Rule.FailConfidence)
	d.Verdict = in.verdict(d)
	in.checkSize(&d)
	if d.Verdict != reports.Pass && d.Verdict != reports.Fail {
		d.NeedMore = in.needMore(d)
	}
	return d
}

// verdict compares the two counters at the VIF of d.
func (in Input) verdict(d Decision) reports.Verdict {
	switch {
	case d.N == 0:
		return reports.Inconclusive
	case float64(d.XFail)/d.VIF >= float64(d.Reject):
		return reports.Fail
	case d.Allowed >= 0 && float64(d.XPass)/d.VIF <= float64(d.Allowed) && !in.RunFails:
		return reports.Pass
	case d.Estimate <= in.Limit:
		return reports.ConditionalPass
	default:
		return reports.ConditionalFail
	}
}

// checkSize turns a verdict that the amount of data does not carry into
// INCONCLUSIVE(N).
func (in Input) checkSize(d *Decision) {
	rule := in.Rule
	switch {
	case d.N == 0:
		d.inconclusive(reports.ReasonSamples, "nothing was measured", "a run that delivers messages")
	case !d.Enough:
		d.inconclusive(reports.ReasonSamples,
			fmt.Sprintf("%d blocks of %s, the rule needs %d", d.Blocks, rule.length(d.Block), rule.MinBlocks),
			fmt.Sprintf("a run of at least %s", rule.length(time.Duration(rule.MinBlocks+1)*d.Block)))
	case d.Lengthen && d.withVIF(in, d.onceMore()) != d.Verdict:
		d.inconclusive(reports.ReasonSamples,
			fmt.Sprintf("what was measured is alike over longer than the blocks of %s that it is taken in: the variance inflation rises from %.3g to %.3g on doubling them", rule.length(d.Block), d.VIF, d.Doubled),
			longer)
	case d.Verdict == reports.Fail:
	case d.Allowed < 0:
		d.inconclusive(reports.ReasonSamples,
			fmt.Sprintf("%s cannot show the %v-quantile, which takes %d", d.effective(), in.Quantile, SamplesFor(0, in.Quantile, rule.PassConfidence)), longer)
	case d.NEff < rule.MinSamples:
		d.inconclusive(reports.ReasonSamples,
			fmt.Sprintf("%s, the requirement asks for %d", d.effective(), rule.MinSamples), longer)
	}
}

// longer mends too few effective samples.
const longer = "a longer run, or a quieter machine: where it stands still for a moment, many are late together and count as few"

// effective says how many effective samples there are, and of how many they come.
func (d Decision) effective() string {
	if d.NEff == d.N {
		return fmt.Sprintf("%d effective samples", d.NEff)
	}
	return fmt.Sprintf("%d effective samples (%d were taken, and those close together are alike)", d.NEff, d.N)
}

// withVIF returns the verdict that d would have at another VIF.
func (d Decision) withVIF(in Input, vif float64) reports.Verdict {
	d.VIF = vif
	d.NEff = int64(float64(d.N) / vif)
	d.Allowed = Allowed(d.NEff, in.Quantile, in.Rule.PassConfidence)
	d.Reject = Reject(d.NEff, in.Quantile, 1-in.Rule.FailConfidence)
	return in.verdict(d)
}

func (d *Decision) inconclusive(reason reports.Reason, detail, cure string) {
	d.Verdict, d.Reason, d.Detail, d.Cure = reports.Inconclusive, reason, detail, cure
}

// needMost bounds the search for the deciding number of messages.
const needMost = int64(1) << 30

// needMore estimates how many further messages of the same kind would decide:
// the least n at which the shares of exceedances seen so far pass or fail. It
// is −1 when they lie between the two counters for good.
func (in Input) needMore(d Decision) int64 {
	if d.N == 0 {
		return -1
	}
	pass := float64(d.XPass) / float64(d.N)
	fail := float64(d.XFail) / float64(d.N)
	decides := func(n int64) bool {
		nEff := int64(float64(n) / d.VIF)
		if nEff < in.Rule.MinSamples {
			return false
		}
		c := Allowed(nEff, in.Quantile, in.Rule.PassConfidence)
		if c >= 0 && pass*float64(n)/d.VIF <= float64(c) {
			return true
		}
		return fail*float64(n)/d.VIF >= float64(Reject(nEff, in.Quantile, 1-in.Rule.FailConfidence))
	}
	low, high := d.N, d.N
	for !decides(high) {
		if high > needMost {
			return -1
		}
		low, high = high, high*2
	}
	// Near the counters the condition is not quite monotone in n; the first
	// crossing of the bisection is as good an estimate as any.
	need := firstIndex(low, high, decides) - d.N
	switch {
	case need > 0:
		return need
	case !d.Enough:
		perBlock := float64(d.N) / math.Max(float64(d.Blocks), 1)
		return int64(perBlock * float64(in.Rule.MinBlocks-d.Blocks+1))
	default: // the counters would decide, the block length does not: double the run
		return d.N
	}
}
