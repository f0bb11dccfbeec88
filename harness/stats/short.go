package stats

import "slices"

// Short is why samples are too few for a statement.
type Short struct {
	Effective int64 // n_eff; one more rise of the VIF taken off where doubling the block raised it
	Asked     int64 // that a statement takes
	Blocks    int   // of them there are, and MinBlocks are asked for
}

// Short reports whether the samples so far are too few for DecideDR2 to say
// anything but INCONCLUSIVE(N) of a system that never exceeds the limit, and by
// what; nil when they suffice.
//
// It looks at how far samples hang together and never at the counters: whoever
// goes on measuring while it is not nil repeats for want of samples and not until
// a verdict fits, so that the risks of the rule stay what they are.
func (in Input) Short() *Short {
	in.Rule = in.Rule.withDefaults()
	if len(in.Value) == 0 || in.wrong() != "" {
		return &Short{Asked: in.Rule.MinSamples}
	}
	in.Series = in.sorted()
	if in.Rule.Ordinal {
		in.Series, in.Rule = in.ranked(), in.Rule.ranked(len(in.Due))
	}
	d := in.measure([]float64{in.Limit - in.Guard, Quantile(slices.Sorted(slices.Values(in.Value)), in.Quantile)}, in.Rule)
	least := SamplesFor(0, in.Quantile, in.Rule.PassConfidence)
	s := Short{Effective: int64(float64(len(in.Value)) / d.VIF), Asked: max(in.Rule.MinSamples, least), Blocks: d.Blocks}
	if !d.Enough || s.Effective < s.Asked {
		return &s
	}
	if d.Lengthen { // the rule asks whether one more such rise would change the verdict
		if s.Effective = int64(float64(len(in.Value)) / d.onceMore()); s.Effective < least {
			s.Asked = least
			return &s
		}
	}
	return nil
}

// onceMore is the VIF after one more rise like the last, the one on doubling the
// block.
func (d Dependence) onceMore() float64 { return d.Doubled * d.Doubled / d.VIF }
