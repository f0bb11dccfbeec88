package usbip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Conn is the stream to the kernel.
type Conn interface {
	io.Reader
	io.Writer
	io.Closer
}

// Bounds of what the kernel's end may leave with us. The serial drivers keep some
// twenty transfers waiting and take their answers at once.
const (
	maxPending = 1024
	maxReplies = 4 << 20 // bytes
)

// link is one plugging: a goroutine takes the kernel's commands, another sends.
type link struct {
	adapter *Adapter
	conn    Conn
	woken   chan struct{} // holds one token when there may be something to send

	// Owned by adapter.mu.
	pending []command // IN transfers that wait for bytes or events
	replies []byte
}

func (l *link) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	closed := sync.OnceValue(l.conn.Close)
	stop := context.AfterFunc(ctx, func() { _ = closed() })
	var sending sync.WaitGroup
	sending.Go(func() {
		defer cancel() // or the reading would wait for a peer that takes no answers
		l.send(ctx)
	})
	err := l.receive()
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		err = nil
	}
	cancel()
	sending.Wait()
	stop()
	_ = closed() // waits for a close that is under way
	return err
}

// receive takes commands until the stream ends.
func (l *link) receive() error {
	in := bufio.NewReader(l.conn)
	for {
		c, err := readCommand(in)
		if err != nil {
			return err
		}
		if err := l.obey(c); err != nil {
			return err
		}
	}
}

// obey does what a command asks and tells the owner.
func (l *link) obey(c command) error {
	a := l.adapter
	a.mu.Lock()
	before := a.settings
	heard, err := l.handle(c)
	after := a.settings
	a.wake()
	a.mu.Unlock()
	if len(heard) > 0 && a.opts.OnReceive != nil {
		a.opts.OnReceive(heard)
	}
	if after != before && a.opts.OnChange != nil {
		a.opts.OnChange(after)
	}
	return err
}

// handle returns what the host sent to the device. The caller holds adapter.mu.
func (l *link) handle(c command) (heard []byte, err error) {
	a := l.adapter
	switch {
	case c.unlink:
		status := statusOK // it was answered already
		if i := slices.IndexFunc(l.pending, func(p command) bool { return p.seq == c.victim }); i >= 0 {
			l.pending = slices.Delete(l.pending, i, i+1)
			status = statusUnlinked
		}
		l.reply(c, status, 0, nil)
	case c.ep == 0:
		l.control(c)
	case c.in && (c.ep == a.chip.input() || c.ep == a.chip.notice()):
		if len(l.pending) >= maxPending {
			return nil, fmt.Errorf("%w: more than %d transfers wait", ErrProtocol, maxPending)
		}
		l.pending = append(l.pending, c)
	case !c.in && c.ep == a.chip.output():
		a.stats.Received += uint64(len(c.data))
		l.reply(c, statusOK, len(c.data), nil)
		heard = c.data
	default:
		l.reply(c, statusStall, 0, nil)
	}
	if len(l.replies) > maxReplies {
		return heard, fmt.Errorf("%w: %d bytes of answers are not taken", ErrProtocol, len(l.replies))
	}
	return heard, nil
}

// control answers a control transfer.
func (l *link) control(c command) {
	a := l.adapter
	var reply []byte
	var ok bool
	if c.setup.Type&0x60 == 0 {
		reply, ok = a.standard(c.setup)
	} else {
		reply, ok = a.chip.control(a, c.setup, c.data)
	}
	switch {
	case !ok:
		l.reply(c, statusStall, 0, nil)
	case c.in:
		reply = reply[:min(len(reply), c.length, int(c.setup.Length))]
		l.reply(c, statusOK, len(reply), reply)
	default:
		l.reply(c, statusOK, len(c.data), nil)
	}
}

func (l *link) reply(c command, status, moved int, data []byte) {
	l.replies = appendReply(l.replies, c, status, moved, data)
}

// send sends answers until ctx or the stream ends.
func (l *link) send(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.adapter.mu.Lock()
		wait := l.match(time.Now())
		out := l.replies
		l.replies = nil
		l.adapter.mu.Unlock()
		if len(out) > 0 {
			if _, err := l.conn.Write(out); err != nil {
				return
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-l.woken:
		case <-timer.C:
		}
	}
}

// idle is how long send waits when nothing is due; it is woken before.
const idle = time.Hour

// match answers the transfers that wait with what is there for them, and returns
// when to look again. The caller holds adapter.mu.
func (l *link) match(now time.Time) time.Duration {
	a := l.adapter
	again := idle
	done := map[uint8]bool{} // endpoints with nothing more to say
	l.pending = slices.DeleteFunc(l.pending, func(c command) bool {
		if done[c.ep] {
			return false
		}
		var data []byte
		if c.ep == a.chip.input() {
			var wait time.Duration
			if data, wait = a.chip.fill(a, c.length, now); data == nil && wait > 0 {
				again = min(again, wait)
			}
		} else {
			data = a.chip.event(a)
		}
		if data == nil {
			done[c.ep] = true
			return false
		}
		data = data[:min(len(data), c.length)]
		l.reply(c, statusOK, len(data), data)
		return true
	})
	return again
}
