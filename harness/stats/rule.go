package stats

import (
	"fmt"
	"math"
	"time"

	"plumbline/reports"
)

// Series are samples with the instants they belong to.
type Series struct {
	Due   []int64   // intended instants in ns, any order
	Value []float64 // +Inf for what never came
}

// Gate is a validity gate that does not hold; any gate keeps a run from being
// judged.
type Gate struct {
	Reason reports.Reason
	Detail string // what was seen
	Cure   string // what would help
}

// Rule holds the constants of DR-2. The zero value is the rule as published.
type Rule struct {
	PassConfidence float64       // 0 means 0.95
	FailConfidence float64       // 0 means 0.99
	MinBlock       time.Duration // least length of a time block; 0 means 1 s
	MaxBlock       time.Duration // 0 means as long as dependence asks for; else it is cut here
	MinBlocks      int           // 0 means 30
	MinSamples     int64         // least n_eff for anything but FAIL
	// Ordinal says that the samples are events apart, which come one after the
	// other: blocks are equal numbers of neighbours then, MinBlocks of them, and no
	// stretches of time, which an event that takes long would leave empty.
	Ordinal bool
}

// Input is one decision to take.
type Input struct {
	Series
	Limit    float64
	Quantile float64
	Guard    float64 // g: expanded systematic uncertainty U, k=2
	Bias     float64 // b: rig bias at the quantile
	Rule     Rule
	Gates    []Gate // broken validity gates
	RunFails bool   // a single run of the campaign is FAIL
	Steady   bool   // test for stationarity, judge the worst third when it fails
}

// Decision is the outcome with everything needed to check it by hand.
type Decision struct {
	Verdict  reports.Verdict
	Reason   reports.Reason
	Detail   string // why it is inconclusive
	Cure     string
	N, NEff  int64
	Lost     int64 // infinite values
	Estimate float64
	Lower    float64 // one-sided bounds at PassConfidence; NaN when there is none
	Upper    float64
	XPass    int64 // X_P: values above Limit−Guard
	XFail    int64 // X_F: values above Limit+Guard+Bias
	Allowed  int64 // c
	Reject   int64 // r
	Dependence
	Stationarity Stationarity
	WorstThird   int   // 1…3 when the verdict was taken on a third only, else 0
	NeedMore     int64 // further messages that would decide; 0 decided, -1 unknown
}

// RuleText states the decision rules with the constants that this version
// applies, in one line. Two versions that decide differently differ in it.
func RuleText() string {
	r := Rule{}.withDefaults()
	return fmt.Sprintf("DR-2: pass at %v, fail at %v; VIF = max over {guarded limit, sample quantile}, blocks ≥ max(%s, %d τ), ≥ %d blocks, doubled at +%v %%; events apart: as many blocks of neighbours; "+
		"drift: %d blocks, α %v, %v %% of the limit; zero events at %v",
		r.PassConfidence, r.FailConfidence, r.MinBlock, tauBlocks, r.MinBlocks, math.Round(100*(lengthenAt-1)),
		driftBlocks, driftAlpha, 100*driftShare, ZeroConfidence)
}

// ZeroConfidence is that of the bound on what never happened.
const ZeroConfidence = 0.99
