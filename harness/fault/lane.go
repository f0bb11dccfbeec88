package fault

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
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
	mu     sync.Mutex
	gate   chan struct{} // closed: data may pass
	held   bool
	delay  time.Duration
	jitter time.Duration
	seed   uint64
	rate   int    // bytes per second, 0 for no limit
	edited uint64 // counts changes of delay, jitter and seed
}

func newLane() *lane {
	l := &lane{gate: make(chan struct{})}
	close(l.gate)
	return l
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

func (l *lane) slow(delay, jitter time.Duration, seed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay, l.jitter, l.seed = max(0, delay), max(0, jitter), seed
	l.edited++
}

func (l *lane) throttle(rate int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = max(0, rate)
}

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
func (l *lane) carry(k *link, way int, from, to net.Conn) {
	queue := make(chan chunk, queueChunks)
	var writer sync.WaitGroup
	writer.Go(func() {
		for c := range queue {
			if !l.release(k, to, c) {
				break
			}
		}
		for range queue { // lets the reader end
		}
	})
	l.read(k, way, from, queue)
	close(queue)
	writer.Wait()
}

// read turns what comes from the sender into chunks.
func (l *lane) read(k *link, way int, from net.Conn, queue chan<- chunk) {
	p := pace{link: k.number, way: way}
	buf := make([]byte, chunkBytes)
	for {
		n, err := from.Read(buf[:l.size()])
		c := chunk{data: bytes.Clone(buf[:n]), due: p.due(l, time.Now(), n)}
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

// size is how much is read at once: small pieces under a throttle, so that they
// trickle instead of coming in bursts.
func (l *lane) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate > 0 {
		return min(chunkBytes, max(1, l.rate/50))
	}
	return chunkBytes
}

// release passes a chunk on when it is due and the gate is open. It reports
// whether more may follow.
func (l *lane) release(k *link, to net.Conn, c chunk) bool {
	if wait := time.Until(c.due); wait > 0 {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.done:
			timer.Stop()
			return false
		}
	}
	if k.dropping.Load() {
		return c.end == nil
	}
	// The end of a connection does not get through a black hole either.
	if !l.pass(k.done) {
		return false
	}
	if len(c.data) > 0 {
		if _, err := to.Write(c.data); err != nil {
			k.close(true)
			return false
		}
	}
	switch {
	case c.end == nil:
		return true
	case errors.Is(c.end, io.EOF):
		closeWrite(to) // half-close, RFC 9293 section 3.6
	default:
		k.close(true)
	}
	return false
}

// pace says when the chunks of one way of one link are due.
type pace struct {
	link   uint64
	way    int
	edited uint64
	rnd    *rand.Rand
	last   time.Time // due time of the chunk before: order is kept
	free   time.Time // when the throttled line is free again
}

func (p *pace) due(l *lane, now time.Time, n int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := now
	if l.delay > 0 || l.jitter > 0 {
		if p.rnd == nil || p.edited != l.edited {
			p.rnd, p.edited = jitterSource(l.seed, p.link, p.way), l.edited
		}
		at = at.Add(l.delay)
		if l.jitter > 0 {
			at = at.Add(time.Duration(p.rnd.Int64N(int64(l.jitter) + 1)))
		}
	}
	if l.rate > 0 {
		if p.free.Before(at) {
			p.free = at
		}
		p.free = p.free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
		at = p.free
	}
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	return at
}

// jitterSource gives each way of each connection draws of its own that depend
// on nothing but the seed and the order in which connections came.
func jitterSource(seed, link uint64, way int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, link<<1|uint64(way))) //nolint:gosec // a fault must be repeatable, not secret
}
