package command

import (
	"sync"
	"time"
)

// rates holds a bucket of tokens for each subject that sent something lately.
type rates struct {
	rate, burst float64 // tokens a second, and at most

	mu      sync.Mutex
	buckets map[string]bucket
	swept   time.Time
}

type bucket struct {
	tokens float64
	at     time.Time
}

// take takes a token of the subject's, if it has one.
func (r *rates) take(subject string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	b, ok := r.buckets[subject]
	if !ok {
		b = bucket{r.burst, now}
	}
	b.tokens = r.level(b, now)
	b.at = now
	if ok = b.tokens >= 1; ok {
		b.tokens--
	}
	r.buckets[subject] = b
	return ok
}

func (r *rates) level(b bucket, now time.Time) float64 {
	return min(r.burst, b.tokens+r.rate*max(0, now.Sub(b.at).Seconds()))
}

// sweep forgets, now and then, the buckets that are full again: they say nothing.
func (r *rates) sweep(now time.Time) {
	if now.Sub(r.swept) < time.Minute && now.After(r.swept) {
		return
	}
	r.swept = now
	for subject, b := range r.buckets {
		if r.level(b, now) >= r.burst {
			delete(r.buckets, subject)
		}
	}
}
