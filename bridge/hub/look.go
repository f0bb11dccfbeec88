package hub

import "math"

// How much a round may take on, in groups to encode for and subscriptions to tell. What fewFrames and fewBytes bound is done by who
// has just appended, on his goroutine.
const (
	fewFrames = 64
	fewBytes  = 256 << 10 // of payloads, in all frames
	allFrames = math.MaxInt
)

// look fans out what has just been appended, on the goroutine of who did it, when that is little: it need not wake the loop, which would
// wake others. The rest is left to the loop, and all of it while the loop or another is at it.
func (h *Hub) look() {
	if !h.turn.TryLock() {
		h.wake() // who is at it may have looked before this came
		return
	}
	left := h.stepFew()
	h.turn.Unlock()
	if left {
		h.wake()
	}
}

// stepFew reports whether it left something to the loop.
func (h *Hub) stepFew() (left bool) {
	if h.journal.Head().Offset-h.position > fewFrames {
		return true
	}
	ticks := len(h.ticks.due)
	_, err := h.step(fewFrames)
	return err != nil || h.position < h.journal.Head().Offset || len(h.ticks.due) > ticks // which the loop does not know of yet
}

// few reports whether the entries of a round concern no more than most groups and subscriptions, and not with too much. Called with
// h.mu held.
func (h *Hub) few(most int) bool {
	frames, told, bytes := 0, 0, 0
	for i := range h.entries {
		e := &h.entries[i]
		for _, g := range h.routes.find(e.Topic).groups {
			if frames++; g.late == nil {
				told += g.subscribers
				bytes += g.subscribers * len(e.Payload)
			}
		}
	}
	return frames+min(told, h.stats.Subscriptions) <= most && bytes <= fewBytes // each is told once
}
