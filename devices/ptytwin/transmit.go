package ptytwin

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"plumbline/devices"
	"plumbline/devices/internal/exact"
)

// pair is one pty: the twin holds the master and, so that unread bytes can be
// counted and the port outlives its openers, the slave too.
type pair interface {
	path() string
	// framing returns the bits of one character on the wire and the bits per
	// second, as the host set them.
	framing() (bits, baud int)
	// write hands bytes to the host's kernel without ever blocking.
	write(p []byte) (int, error)
	// unread is how many bytes the host has not read yet, as far as the kernel
	// has moved them to its end; -1 when unknown.
	unread() int
	// settle waits until the kernel has moved there what it was handed. It costs
	// more than unread.
	settle()
	// read blocks for bytes from the host until close.
	read(p []byte) (int, error)
	close() error
}

// line is what waits to be sent.
type line struct {
	text []byte
	at   int64 // exact.Now() when it was written: it cannot begin earlier
}

// Write queues lines to be sent at the pace of the port. It never blocks and
// keeps no reference to p. A piece without line end counts as a line; with
// Options.Frames p is one. What is written while the device is unplugged is lost
// and counted: nothing keeps it until the port is there again.
func (t *Twin) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, ErrClosed
	}
	if t.queued+len(p) > t.opts.Queue {
		return 0, ErrBacklog
	}
	lines := t.lines(p)
	if t.pair == nil {
		t.stats.Lost += uint64(len(lines))
		return len(p), nil
	}
	t.queue = append(t.queue, lines...)
	t.queued += len(p)
	t.task.At(t.send(exact.Now()))
	return len(p), nil
}

// lines cuts what is written into what is counted.
func (t *Twin) lines(p []byte) (all []line) {
	at := exact.Now()
	if t.opts.Frames && len(p) > 0 {
		return []line{{text: bytes.Clone(p), at: at}}
	}
	for text := range bytes.Lines(p) {
		all = append(all, line{text: bytes.Clone(text), at: at})
	}
	return all
}

// Flush blocks until all that was written has been sent and taken out of the
// kernel by the host. It returns ctx's error, or ErrClosed.
func (t *Twin) Flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.change.Broadcast()
	})
	defer stop()
	t.mu.Lock()
	for (t.sending != nil || len(t.queue) > 0) && !t.closed && ctx.Err() == nil {
		t.change.Wait()
	}
	t.mu.Unlock()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		t.mu.Lock()
		p, left := t.pair, 0
		t.mu.Unlock()
		if p != nil {
			p.settle() // without mu: it may take a while, and all twins share a thread
		}
		t.mu.Lock()
		closed := t.closed
		if p != nil && p == t.pair {
			left = p.unread()
		}
		t.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case left <= 0:
			return nil
		}
		<-tick.C
	}
}

// transmit is the twin's task: it sends what has come over the wire by now, and
// returns when there will be more.
func (t *Twin) transmit(now int64) (next int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.send(now)
}

// send is transmit for who holds mu.
func (t *Twin) send(now int64) (next int64) {
	for t.pair != nil {
		if t.sending == nil && !t.begin(now) {
			return t.silent // 0 when there is nothing to say
		}
		if next = t.advance(now); next != 0 {
			return next
		}
		t.settle()
	}
	return 0
}

// begin takes the next line from the queue and puts it on the wire when it was
// written, or when the line before has ended; false when there is none or the device
// has to be silent. If the twin was late, the bytes that are due follow at once, as
// a UART has them ready by then. The caller holds mu.
func (t *Twin) begin(now int64) bool {
	if t.silent <= now {
		t.silent = 0
	}
	if len(t.queue) == 0 || t.silent > 0 {
		return false
	}
	if t.stall > 0 {
		t.silent, t.stall = now+int64(t.stall), 0
		t.free = t.silent
		return false
	}
	l := t.queue[0]
	t.queue[0] = line{} // its text is not kept by the queue
	t.queue = t.queue[1:]
	t.queued -= len(l.text)
	o := &outcome{line: l, start: max(l.at, t.free), noisy: t.spoil(l.text)}
	o.bits, o.baud = t.pair.framing()
	o.bits, o.baud = max(o.bits, 1), max(o.baud, 1) // of a port that cannot tell
	t.sending = o
	return true
}

// outcome of the line that is being sent.
type outcome struct {
	line
	bits, baud int   // of its characters
	start      int64 // when it began
	passed     int   // bytes that have come over the wire
	sent       int   // of them those that reached the kernel
	over       int   // of them those lost to an overrun
	gone       bool  // its port was taken away, or nobody listens there
	noisy      bool
	wait       time.Duration // of an unpaced twin, until it looks again whether its reader has read
}

// advance writes what has come over the wire by now and returns when there will be
// more, 0 when the line is through. The caller holds mu.
func (t *Twin) advance(now int64) (next int64) {
	o := t.sending
	if t.opts.Unpaced {
		return t.pour(now)
	}
	if n := o.due(now); n > o.passed {
		t.put(o.text[o.passed:n])
		o.passed = n
	}
	if o.gone || o.passed == len(o.text) {
		t.free = o.end(o.passed)
		return 0
	}
	return o.end(min(o.passed+chunk(o.bits, o.baud), len(o.text)))
}

// end is when an ideal UART has sent n characters of the line: computed, not
// measured, so that late wake-ups do not add up.
func (o *outcome) end(n int) int64 {
	return o.start + int64(n)*int64(o.bits)*int64(time.Second)/int64(o.baud)
}

// due is how many characters of the line an ideal UART has sent.
func (o *outcome) due(now int64) int {
	switch {
	case now >= o.end(len(o.text)):
		return len(o.text)
	case now <= o.start:
		return 0
	}
	n := int((now - o.start) * int64(o.baud) / (int64(o.bits) * int64(time.Second)))
	if o.end(n+1) <= now { // end rounds down
		n++
	}
	return n
}

// put writes bytes that have come over the wire; what the host has no room for is
// an overrun. The caller holds mu.
func (t *Twin) put(p []byte) {
	room := len(p)
	if unread := t.pair.unread(); unread >= 0 {
		room = min(room, max(t.opts.FIFO-unread, 0))
	}
	n := 0
	if room > 0 {
		var err error
		n, err = t.pair.write(p[:room]) // what the kernel does not take is an overrun, too
		if errors.Is(err, devices.ErrUnplugged) {
			t.sending.gone = true
			return
		}
	}
	t.sending.sent += n
	t.sending.over += len(p) - n
	t.stats.Bytes += uint64(n)
	t.stats.OverrunBytes += uint64(len(p) - n)
}

// Bounds of how long an unpaced twin waits before it looks again whether its reader
// has read.
const (
	shortWait = 200 * time.Microsecond
	longWait  = 5 * time.Millisecond
)

// pour is advance for an unpaced twin, which waits for its reader instead of
// overrunning it. The caller holds mu.
func (t *Twin) pour(now int64) (next int64) {
	o := t.sending
	n, err := t.pair.write(o.text[o.passed:]) // a kernel that is full takes less
	o.gone = errors.Is(err, devices.ErrUnplugged)
	o.passed += n
	o.sent += n
	t.stats.Bytes += uint64(n)
	switch {
	case o.gone || o.passed == len(o.text):
		return 0
	case n > 0:
		o.wait = shortWait
	default:
		o.wait = min(max(2*o.wait, shortWait), longWait)
	}
	return now + int64(o.wait)
}

// settle counts the line that was being sent in exactly one class. The caller holds mu.
func (t *Twin) settle() {
	o := t.sending
	switch {
	case o.gone && o.sent == 0:
		t.stats.Lost++
	case o.gone:
		t.stats.Cut++
	case o.over > 0:
		t.stats.Overrun++
	case o.noisy:
		t.stats.Noisy++
	default:
		t.stats.Lines++
	}
	t.sending = nil
	t.change.Broadcast()
}

// spoil flips one bit of the line when the noise says so. The caller holds mu.
func (t *Twin) spoil(line []byte) bool {
	if t.noise == nil || t.noise.Float64() >= t.rate {
		return false
	}
	if t.opts.Frames && len(line) > 0 {
		line[t.noise.IntN(len(line))] ^= 1 << t.noise.IntN(8)
		return true
	}
	return Flip(t.noise, line)
}

// Flip changes one bit of a line that holds printable text, as Noise does; false
// when none can be changed. Bit 5 is left alone
// (it is the case of a letter, and checksums are read in either case), bit 7
// too; CR and LF stay, and none is made.
func Flip(rng *rand.Rand, line []byte) bool {
	text := bytes.TrimRight(line, "\r\n")
	if len(text) == 0 {
		return false
	}
	for range 64 {
		i, bit := rng.IntN(len(text)), byte(1)<<rng.IntN(5)
		if b := text[i] ^ bit; b >= ' ' && b < 0x7f {
			text[i] = b
			return true
		}
	}
	return false // binary without a byte that could be changed within the rule
}

// chunk is how many characters are written at once: what arrives within 0.7 ms,
// as a UART's FIFO hands bytes over in bunches too. One at 9600 baud, 8 at 115200.
func chunk(bits, baud int) int {
	return max(1, int(int64(baud)*700/(int64(bits)*1e6)))
}
