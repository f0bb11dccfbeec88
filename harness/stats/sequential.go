package stats

import "math"

// Sequential is Wald's sequential probability ratio test of how likely an event
// is: P0 would be good, P1 bad. It looks after every trial and needs far fewer
// of them than a fixed number when the answer is clear. Verdicts are never taken
// from it: it only ends early what has become clear, in profiles that certify
// nothing (metrology 2.5).
type Sequential struct {
	P0, P1 float64 // 0 < P0 < P1 < 1
	Alpha  float64 // risk of calling P0 bad; 0 means 0.01
	Beta   float64 // risk of calling P1 good; 0 means 0.01
}

// Clarity is what a sequential test knows so far.
type Clarity int

// What a sequential test can know.
const (
	Open Clarity = iota // go on
	Good
	Bad
)

func (s Sequential) withDefaults() Sequential {
	if s.Alpha == 0 {
		s.Alpha = 0.01
	}
	if s.Beta == 0 {
		s.Beta = 0.01
	}
	return s
}

// bounds returns the log-likelihood ratios at which the test ends.
func (s Sequential) bounds() (good, bad float64) {
	return math.Log(s.Beta / (1 - s.Alpha)), math.Log((1 - s.Beta) / s.Alpha)
}

// steps returns by how much a trial without and with an event moves the
// log-likelihood ratio.
func (s Sequential) steps() (without, with float64) {
	return math.Log1p(-s.P1) - math.Log1p(-s.P0), math.Log(s.P1 / s.P0)
}

// Decide returns what events in n trials show; Open for a test that is none
// (probabilities out of order or range) and for no trials.
func (s Sequential) Decide(n, events int64) Clarity {
	s = s.withDefaults()
	if !(s.P0 > 0 && s.P0 < s.P1 && s.P1 < 1) || n <= 0 || events < 0 || events > n {
		return Open
	}
	without, with := s.steps()
	ratio := float64(n-events)*without + float64(events)*with
	switch good, bad := s.bounds(); {
	case ratio <= good:
		return Good
	case ratio >= bad:
		return Bad
	default:
		return Open
	}
}

// CleanToGood returns after how many trials without any event the test calls
// it good.
func (s Sequential) CleanToGood() int64 {
	s = s.withDefaults()
	good, _ := s.bounds()
	without, _ := s.steps()
	return int64(math.Ceil(good / without))
}

// Mean returns how many trials the test takes on average when the probability
// is P0 and when it is P1, in Wald's approximation, which leaves out by how much
// the last trial overshoots.
func (s Sequential) Mean() (ifGood, ifBad float64) {
	s = s.withDefaults()
	good, bad := s.bounds()
	without, with := s.steps()
	ifGood = (s.Alpha*bad + (1-s.Alpha)*good) / (s.P0*with + (1-s.P0)*without)
	ifBad = ((1-s.Beta)*bad + s.Beta*good) / (s.P1*with + (1-s.P1)*without)
	return ifGood, ifBad
}

// Foresee returns what the exceedances of a limit among dependent samples show
// about the q-quantile so far: good when half of the allowed share is exceeded,
// bad when all of it is. Samples and exceedances are deflated by vif as DR-2
// does.
func Foresee(n, exceedances int64, q, vif float64) Clarity {
	s := Sequential{P0: (1 - q) / 2, P1: 1 - q}
	return s.Decide(int64(float64(n)/vif), int64(float64(exceedances)/vif))
}
