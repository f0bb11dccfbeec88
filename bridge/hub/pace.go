package hub

import "time"

// pacer decides when the next round may start. Each frame that a round sends
// costs a token; tokens come at a fixed rate. While fewer frames are wanted than
// the rate gives, every reading goes out at once; beyond, readings wait for
// tokens, at most delay, and share frames meanwhile. So the cost of fan-out stays
// bounded and an idle hub has no timer at all.
type pacer struct {
	rate   float64 // tokens a second
	depth  float64 // most tokens saved and most owed
	tokens float64
	at     time.Time // when tokens was right
}

func newPacer(rate int, delay time.Duration, now time.Time) pacer {
	depth := float64(rate) * delay.Seconds()
	return pacer{rate: float64(rate), depth: depth, tokens: depth, at: now}
}

// wait returns how long the next round has to wait; zero or less for not at all.
func (p *pacer) wait(now time.Time) time.Duration {
	if passed := now.Sub(p.at); passed > 0 {
		p.tokens = min(p.depth, p.tokens+p.rate*passed.Seconds())
	}
	p.at = now
	if p.tokens >= 0 {
		return 0
	}
	return time.Duration(-p.tokens / p.rate * float64(time.Second))
}

// spend pays for the frames of a round.
func (p *pacer) spend(frames int) { p.tokens = max(-p.depth, p.tokens-float64(frames)) }
