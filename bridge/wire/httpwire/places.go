package httpwire

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/internal/peer"
)

// places counts the requests under way and admits new ones within the limits.
type places struct {
	most, perAddress, perSubject int // the latter two: 0 = no limit

	mu    sync.Mutex
	ended bool
	all   int
	taken map[string]int // by address and by subject; their keys differ in the first byte
	gone  chan struct{}  // closed when shut and empty; nil before anybody asks
}

// take takes a place for a request of addr, or says why there is none.
func (p *places) take(addr string) *problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := addressKey(addr)
	switch {
	case p.ended:
		return &problem{http.StatusServiceUnavailable, "draining", "the bridge is about to restart: come back later"}
	case p.all >= p.most:
		return &problem{http.StatusServiceUnavailable, "limit", "the bridge serves as many HTTP viewers as it may: come back later"}
	case p.perAddress > 0 && p.taken[key] >= p.perAddress:
		return &problem{http.StatusServiceUnavailable, "address-limit", "too many requests of this address are under way: end one, or come back later"}
	}
	p.all++
	p.taken[key]++
	return nil
}

func (p *places) give(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(addressKey(addr))
	p.all--
	p.tell()
}

// takeSubject counts the request for its subject too.
func (p *places) takeSubject(id auth.Identity) *problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := subjectKey(id)
	if p.perSubject > 0 && p.taken[key] >= p.perSubject {
		return &problem{http.StatusTooManyRequests, "subject-limit", "too many requests of this subject are under way: end one, or come back later"}
	}
	p.taken[key]++
	return nil
}

func (p *places) giveSubject(id auth.Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(subjectKey(id))
}

func (p *places) drop(key string) {
	if p.taken[key]--; p.taken[key] <= 0 {
		delete(p.taken, key)
	}
}

// shut admits nobody any more.
func (p *places) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.tell()
}

// empty is closed as soon as all have left after shut.
func (p *places) empty() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone == nil {
		p.gone = make(chan struct{})
	}
	p.tell()
	return p.gone
}

func (p *places) tell() {
	if !p.ended || p.all > 0 || p.gone == nil {
		return
	}
	select {
	case <-p.gone:
	default:
		close(p.gone)
	}
}

func addressKey(addr string) string { return "a" + peer.Key(addr) }

func subjectKey(id auth.Identity) string { return "s" + id.Account() }

// retryAfter spells a wait of 1 to 5 s (RFC 9110 section 10.2.3).
func retryAfter() string { return strconv.Itoa(1 + int(randomUpTo(4*time.Second)/time.Second)) }
