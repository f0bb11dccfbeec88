package polled

import "sync"

// counted guards Stats.
type counted struct {
	mu    sync.Mutex
	stats Stats
}

func (c *counted) add(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

func (c *counted) get() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}
