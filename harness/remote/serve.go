package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// write is the goroutine that writes: the greeting, then the queue. A side that
// takes nothing more is gone as a rule, and what it sent before is still to be
// read: the reader ends the link then, and the writer only when it does not.
func (l *Link) write() {
	err := l.writeQueue()
	if err == nil {
		return
	}
	late := time.NewTimer(l.cfg.Patience)
	defer late.Stop()
	for {
		select {
		case <-l.queue: // nobody takes it
		case <-late.C:
			l.fail(fmt.Errorf("remote: write: %w", err))
		case <-l.ctx.Done():
			return
		}
	}
}

// writeQueue writes until the link ends or the stream takes no more.
func (l *Link) writeQueue() error {
	out := bufio.NewWriterSize(l.out, 64<<10)
	text := appendGreeting(nil)
	for {
		if _, err := out.Write(text); err != nil {
			return err
		}
		if len(l.queue) == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		select {
		case f := <-l.queue:
			text = appendFrame(text[:0], f)
		case <-l.ctx.Done():
			return nil
		}
	}
}

// read is the goroutine that reads, until the link ends.
func (l *Link) read(in io.Reader) {
	for {
		f, err := readFrame(in, l.cfg.MaxFrame)
		if errors.Is(err, io.EOF) {
			err = ErrClosed
		}
		if err == nil {
			err = l.take(f)
		}
		if err != nil {
			l.fail(err)
			return
		}
	}
}

// take handles one frame of the other side.
func (l *Link) take(f frame) error {
	switch f.kind {
	case kindCall:
		return l.serve(f)
	case kindCast:
		name, body, err := unnamed(f.body)
		switch {
		case err != nil:
			return err
		case l.cfg.Cast == nil:
			return fmt.Errorf("%w: cast %q to a side that takes none", ErrProtocol, name)
		}
		return l.cfg.Cast(name, body)
	case kindCancel:
		l.mu.Lock()
		defer l.mu.Unlock()
		if cancel := l.serving[f.number]; cancel != nil { // else it is answered already
			cancel()
		}
		return nil
	default:
		l.mu.Lock()
		defer l.mu.Unlock()
		answered := l.calls[f.number]
		if answered == nil {
			return fmt.Errorf("%w: an answer to call %d, which nobody waits for", ErrProtocol, f.number)
		}
		delete(l.calls, f.number)
		answered <- f
		return nil
	}
}

// serve starts the handler of a call.
func (l *Link) serve(f frame) error {
	verb, argument, err := unnamed(f.body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(l.ctx)
	l.mu.Lock()
	_, twice := l.serving[f.number]
	full := len(l.serving) >= maxServed
	if !twice && !full {
		l.serving[f.number] = cancel
	}
	l.mu.Unlock()
	if twice || full {
		cancel()
		return fmt.Errorf("%w: call %d %q; at most %d may be at work, and none twice", ErrProtocol, f.number, verb, maxServed)
	}
	l.served.Go(func() {
		defer cancel()
		answer := l.answer(ctx, f.number, verb, argument)
		l.mu.Lock()
		delete(l.serving, f.number)
		l.mu.Unlock()
		_ = l.send(l.ctx, answer) // a link that has ended says so to the caller itself
	})
	return nil
}

// answer lets the handler work and makes a frame of what it says.
func (l *Link) answer(ctx context.Context, number uint32, verb string, argument []byte) frame {
	var answer any
	err := fmt.Errorf("remote: call %q to a side that serves none", verb)
	if l.cfg.Handle != nil {
		answer, err = l.cfg.Handle(ctx, verb, argument)
	}
	var body []byte
	if err == nil {
		body, err = json.Marshal(answer)
	}
	if err == nil && len(body) > l.cfg.MaxFrame {
		err = fmt.Errorf("remote: the answer to %q has %d bytes, a frame takes %d", verb, len(body), l.cfg.MaxFrame)
	}
	if err == nil {
		return frame{kindResult, number, body}
	}
	failure, ok := errors.AsType[*Error](err)
	switch {
	case ok:
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		failure = &Error{Code: CodeCancelled}
	default:
		failure = &Error{}
	}
	text := err.Error()
	body, err = json.Marshal(&Error{Code: failure.Code, Text: text[:min(len(text), maxText)]})
	if err != nil {
		body = []byte(`{"text":"a failure that has no words"}`)
	}
	return frame{kindFailure, number, body}
}

// maxText bounds the words of a failure.
const maxText = 16 << 10
