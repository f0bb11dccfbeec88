package ptytwin

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
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
	port pair  // the port it goes to; set when its turn comes
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
	t.change.Broadcast()
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
	for (t.busy || len(t.queue) > 0) && !t.closed && ctx.Err() == nil {
		t.change.Wait()
	}
	t.mu.Unlock()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		t.mu.Lock()
		closed, left := t.closed, 0
		if t.pair != nil {
			t.pair.settle()
			left = t.pair.unread()
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

// transmit sends the queued lines, on a thread of its own: time.Sleep wakes up
// to 1 ms late, clock_nanosleep on a locked thread 0.1 ms.
func (t *Twin) transmit() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var wire wire
	for {
		l, stall, ok := t.next()
		if !ok {
			return
		}
		if stall > 0 {
			wire.pause(stall, t.isClosed)
			l.at = exact.Now()
		}
		t.send(&wire, l)
	}
}

// next waits for a line; ok is false once the twin is closed.
func (t *Twin) next() (l line, stall time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	t.change.Broadcast()
	for len(t.queue) == 0 && !t.closed {
		t.change.Wait()
	}
	if t.closed {
		return line{}, 0, false
	}
	l, t.queue = t.queue[0], t.queue[1:]
	t.queued -= len(l.text)
	t.busy, l.port = true, t.pair // never nil: Unplug empties the queue
	stall, t.stall = t.stall, 0
	return l, stall, true
}

func (t *Twin) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// outcome of one line.
type outcome struct {
	sent  int  // bytes that reached the kernel
	over  int  // bytes lost to an overrun
	gone  bool // its port was taken away
	port  pair // the port the line goes to
	noisy bool
}

// send puts one line on the wire, byte by byte at the port's pace, and counts
// what became of it.
func (t *Twin) send(w *wire, l line) {
	o := outcome{port: l.port, noisy: t.spoil(l.text)}
	bits, baud := t.framing()
	w.begin(l.at)
	for at := 0; at < len(l.text) && !o.gone; {
		n := len(l.text) - at
		if !t.opts.Unpaced {
			n = min(n, chunk(bits, baud))
			w.advance(n, bits, baud)
		}
		t.put(l.text[at:at+n], &o)
		at += n
	}
	t.settle(o)
}

// framing asks the port. Without one it says what a port has that nobody has
// opened; nothing is paced by that, as nothing is sent then.
func (t *Twin) framing() (bits, baud int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pair == nil {
		return 10, 9600
	}
	return t.pair.framing()
}

// put writes bytes that have come over the wire, or loses them: the rest of a
// line is gone with its port, even if another one is plugged in meanwhile.
func (t *Twin) put(p []byte, o *outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pair != o.port {
		o.gone = true
		return
	}
	if t.opts.Unpaced {
		t.putAll(p, o)
		return
	}
	room := len(p)
	if unread := t.pair.unread(); unread >= 0 {
		room = min(room, max(t.opts.FIFO-unread, 0))
	}
	n := 0
	if room > 0 {
		var err error
		n, err = t.pair.write(p[:room]) // what the kernel does not take is an overrun, too
		if errors.Is(err, devices.ErrUnplugged) {
			o.gone = true
			return
		}
	}
	o.sent += n
	o.over += len(p) - n
	t.stats.Bytes += uint64(n)
	t.stats.OverrunBytes += uint64(len(p) - n)
}

// putAll is put for an unpaced twin, which waits for its reader instead of
// overrunning it. The caller holds mu; it is given up while waiting.
func (t *Twin) putAll(p []byte, o *outcome) {
	for {
		n, _ := o.port.write(p) // a kernel that is full takes less
		o.sent += n
		t.stats.Bytes += uint64(n)
		if p = p[n:]; len(p) == 0 {
			return
		}
		t.mu.Unlock()
		exact.SleepUntil(exact.Now() + int64(200*time.Microsecond))
		t.mu.Lock()
		if t.pair != o.port {
			o.gone = true
			return
		}
	}
}

// settle counts the line in exactly one class.
func (t *Twin) settle(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
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
}

// spoil flips one bit of the line when the noise says so.
func (t *Twin) spoil(line []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
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

// wire keeps the time of an ideal UART: when its last byte ended.
type wire struct {
	free  int64 // nanoseconds of exact.Now(): when the line gets free
	start int64 // when the current line began
	sent  int64 // characters since start
}

// begin starts a line: when it was written, or when the line before has ended.
// If this thread was late, the bytes that are due follow at once, as a UART has
// them ready by then.
func (w *wire) begin(written int64) {
	w.start, w.sent = max(written, w.free), 0
}

// advance sleeps until n further characters would have been received.
func (w *wire) advance(n, bits, baud int) {
	w.sent += int64(n)
	w.free = w.start + w.sent*int64(bits)*int64(time.Second)/int64(baud)
	exact.SleepUntil(w.free)
}

// pause keeps the wire silent; it looks for the end every few milliseconds.
func (w *wire) pause(d time.Duration, ended func() bool) {
	end := exact.Now() + int64(d)
	for exact.Now() < end && !ended() {
		exact.SleepUntil(min(end, exact.Now()+int64(5*time.Millisecond)))
	}
}

// chunk is how many characters are written at once: what arrives within 0.7 ms,
// as a UART's FIFO hands bytes over in bunches too. One at 9600 baud, 8 at 115200.
func chunk(bits, baud int) int {
	return max(1, int(int64(baud)*700/(int64(bits)*1e6)))
}
