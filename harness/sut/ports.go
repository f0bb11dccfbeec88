package sut

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports are taken from below the range that Linux and the other systems use
// for outgoing connections, so that nobody is given a port of a system that is
// down for a moment.
const (
	firstPort = 20000
	lastPort  = 32000
)

// ports hands out one free port a name and remembers it.
type ports struct {
	mu    sync.Mutex
	named map[string]int
	taken map[int]bool
}

func newPorts() *ports { return &ports{named: map[string]int{}, taken: map[int]bool{}} }

// port returns the port of that name; the first call finds one that is free now.
func (p *ports) port(name string) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n, ok := p.named[name]; ok {
		return n, nil
	}
	for range 200 {
		n := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // spreads the choice, hides nothing
		if p.taken[n] || !free(n) {
			continue
		}
		p.named[name], p.taken[n] = n, true
		return n, nil
	}
	return 0, fmt.Errorf("sut: no free port between %d and %d for %q: %w", firstPort, lastPort, name, ErrUnavailable)
}

// forget gives up all ports after one turned out to be in use.
func (p *ports) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.named)
}

func free(port int) bool {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
