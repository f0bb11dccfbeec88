package fault

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	chunkBytes = 32 << 10
	// queueChunks bounds what one way of one connection keeps in memory while
	// it is delayed; beyond, the sender feels it.
	queueChunks = 256
)

// lane is one direction of a Proxy: how its data is treated now.
type lane struct {
	mu      sync.Mutex
	gate    chan struct{} // closed: data may pass
	held    bool
	delay   time.Duration
	jitter  func(*rand.Rand) time.Duration // beyond delay; nil for none
	seed    uint64
	rate    int           // bytes per second, 0 for no limit
	edited  uint64        // counts changes of delay, jitter and seed
	rules   []*rule       // replaced as a whole
	cut     *cutRule      // nil for none
	changed chan struct{} // closed and replaced when rules, cut or rate change
}

func newLane() *lane {
	l := &lane{gate: make(chan struct{}), changed: make(chan struct{})}
	close(l.gate)
	return l
}

func (l *lane) rulesNow() ([]*rule, *cutRule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rules, l.cut
}

// change alters rules, cut or rate and wakes the writers, so that what a rule
// held does not wait for the next data, nor what a throttle held for its turn.
func (l *lane) change(edit func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	edit()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *lane) addRule(r *rule) {
	l.change(func() { l.rules = append(slices.Clone(l.rules), r) })
}

func (l *lane) removeRule(r *rule) {
	l.change(func() { l.rules = slices.DeleteFunc(slices.Clone(l.rules), func(x *rule) bool { return x == r }) })
}

func (l *lane) cutBy(r *cutRule) { l.change(func() { l.cut = r }) }

func (l *lane) changes() <-chan struct{} {
	_, changed := l.pacing()
	return changed
}

// pacing returns the limit in bytes per second, 0 for none, and what is closed
// when it may have changed.
func (l *lane) pacing() (rate int, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate, l.changed
}

// hold closes the gate or opens it.
func (l *lane) hold(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case on && !l.held:
		l.gate = make(chan struct{})
	case !on && l.held:
		close(l.gate)
	}
	l.held = on
}

func (l *lane) slow(delay time.Duration, jitter func(*rand.Rand) time.Duration, seed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay, l.jitter, l.seed = delay, jitter, seed
	l.edited++
}

func (l *lane) throttle(rate int) { l.change(func() { l.rate = max(0, rate) }) }

// pass waits at the gate; false means that done was closed meanwhile.
func (l *lane) pass(done <-chan struct{}) bool {
	for {
		l.mu.Lock()
		gate, held := l.gate, l.held
		l.mu.Unlock()
		if !held {
			return true
		}
		select {
		case <-gate:
		case <-done:
			return false
		}
	}
}

// chunk is data on its way, or the end of it.
type chunk struct {
	data []byte
	due  time.Time
	end  error // io.EOF: the sender closed in good order
}

// carry moves data one way until it ends. One goroutine reads and says when
// each chunk is due, another waits for that moment: so delays do not add up.
func (l *lane) carry(k *link, s *stage, from, to net.Conn) {
	queue := make(chan chunk, queueChunks)
	var writer sync.WaitGroup
	writer.Go(func() {
		l.write(k, s, to, queue)
		for range queue { // lets the reader end
		}
	})
	l.read(k, s.way, from, queue)
	close(queue)
	writer.Wait()
}

// write sends on what is queued until the queue or the connection ends.
func (l *lane) write(k *link, s *stage, to net.Conn, queue <-chan chunk) {
	out := &outlet{lane: l, link: k, to: to}
	changed := l.changes()
	for {
		select {
		case c, open := <-queue:
			if !open || !l.release(k, s, out, c) {
				return
			}
		case <-changed:
			changed = l.changes()
			if !l.pass(k.done) || !k.dropping.Load() && !out.send(s.pass(nil), time.Now()) {
				return
			}
		case <-k.done:
			return
		}
	}
}

// read turns what comes from the sender into chunks.
func (l *lane) read(k *link, way int, from net.Conn, queue chan<- chunk) {
	p := pace{link: k.number, way: way}
	buf := make([]byte, chunkBytes)
	for {
		n, err := from.Read(buf[:l.size()])
		c := chunk{data: bytes.Clone(buf[:n]), due: p.due(l, time.Now())}
		if err != nil {
			c.end = err
		}
		select {
		case queue <- c:
		case <-k.done:
			return
		}
		if err != nil {
			return
		}
	}
}

// size is how much is read at once: small pieces under a throttle, so that the
// sender feels it soon.
func (l *lane) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate > 0 {
		return trickle(l.rate)
	}
	return chunkBytes
}

// trickle is the largest piece under a throttle: 20 ms of the line, so that data
// does not come in bursts.
func trickle(rate int) int { return min(chunkBytes, max(1, rate/50)) }

// release passes a chunk on when it is due and the gate is open. It reports
// whether more may follow.
func (l *lane) release(k *link, s *stage, out *outlet, c chunk) bool {
	if !wait(k, c.due) {
		return false
	}
	if k.dropping.Load() {
		return c.end == nil
	}
	// The end of a connection does not get through a black hole either.
	if !l.pass(k.done) {
		return false
	}
	if !out.send(s.pass(c.data), c.due) {
		return k.dropping.Load()
	}
	switch {
	case c.end == nil:
		return true
	case errors.Is(c.end, io.EOF):
		if out.send(s.end(), c.due) {
			closeWrite(out.to) // half-close, RFC 9293 section 3.6
		}
	default:
		k.lost()
	}
	return false
}

// wait returns at that time; false means that the link is over.
func wait(k *link, due time.Time) bool {
	left := time.Until(due)
	if left <= 0 {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-k.done:
		return false
	}
}

// pace says when the chunks of one way of one link are due.
type pace struct {
	link   uint64
	way    int
	edited uint64
	rnd    *rand.Rand
	last   time.Time // due time of the chunk before: order is kept
}

func (p *pace) due(l *lane, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := now
	if l.delay > 0 || l.jitter != nil {
		if p.rnd == nil || p.edited != l.edited {
			p.rnd, p.edited = source(l.seed, p.link, p.way), l.edited
		}
		at = at.Add(l.delay)
		if l.jitter != nil {
			at = at.Add(l.jitter(p.rnd))
		}
	}
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	return at
}
