package stats

// DecideDR2 applies the decision rule DR-2.
func DecideDR2(in Input) Decision { return Decision{} }

// Zero is the outcome of the zero-event rule.
type Zero struct {
	N, Events  int64
	Confidence float64
	Upper      float64 // bound on the probability of an event per trial
}

// ZeroEvent bounds the probability of an event seen events times in n trials.
func ZeroEvent(n, events int64, confidence float64) Zero { return Zero{} }
