// Package rates holds buckets of tokens: how often each of many may do something.
package rates

import (
	"sync"
	"time"
)

// Rates holds a bucket of tokens for each key that took one lately. Safe for concurrent use.
type Rates struct {
	rate, burst float64 // tokens a second, and at most

	mu      sync.Mutex
	buckets map[string]bucket
	swept   time.Time
	many    int // buckets at which to sweep earlier
}

// some is how many buckets there may be, beside twice those that say something, however many come and go within a minute.
const some = 1 << 16

type bucket struct {
	tokens float64
	at     time.Time
}

// New returns buckets that are refilled at a rate a second and hold burst at most. A rate of 0 or less is no limit.
func New(rate, burst int) *Rates {
	return &Rates{rate: float64(rate), burst: float64(burst), buckets: map[string]bucket{}}
}

// Take takes a token of the key's, if it has one.
func (r *Rates) Take(key string, now time.Time) bool {
	if r.rate <= 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	b, ok := r.buckets[key]
	if !ok {
		b = bucket{r.burst, now}
	}
	b.tokens = r.level(b, now)
	b.at = now
	if ok = b.tokens >= 1; ok {
		b.tokens--
	}
	r.buckets[key] = b
	return ok
}

func (r *Rates) level(b bucket, now time.Time) float64 {
	return min(r.burst, b.tokens+r.rate*max(0, now.Sub(b.at).Seconds()))
}

// sweep forgets, now and then, the buckets that are full again: they say nothing.
func (r *Rates) sweep(now time.Time) {
	if len(r.buckets) < r.many && now.Sub(r.swept) < time.Minute && now.After(r.swept) {
		return
	}
	r.swept = now
	for key, b := range r.buckets {
		if r.level(b, now) >= r.burst {
			delete(r.buckets, key)
		}
	}
	r.many = some + 2*len(r.buckets)
}
