package remote

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// queued is how many frames wait for the writer before a call or a cast does.
	queued = 64
	// maxServed bounds how many calls of the other side are at work at a time.
	maxServed = 256
	// leastFrame is the least bound of a body: room for a failure.
	leastFrame = 64 << 10
	// DefaultPatience is how long an answer may take after its call was cancelled,
	// when Config says nothing.
	DefaultPatience = 5 * time.Second
)

// Errors of a link that has ended. A call that it ended wraps them too.
var (
	// ErrClosed says that one of the sides ended the link between two frames.
	ErrClosed = errors.New("remote: the link is closed")
	// ErrSilent says that the other side did not end a call that was cancelled.
	ErrSilent = errors.New("remote: the other side does not answer")
)

// Config says what a side does with what comes from the other. The zero value
// refuses every call and every cast.
type Config struct {
	// Handle answers a call. Each call has a goroutine of its own; ctx ends when
	// the other side cancels it or the link ends, and Handle MUST return then. The
	// answer is sent as JSON. An *Error keeps its code.
	Handle func(ctx context.Context, verb string, argument []byte) (answer any, err error)
	// Cast takes a cast, on the goroutine that reads: nothing else is handled
	// meanwhile. An error ends the link. The body belongs to it.
	Cast     func(name string, body []byte) error
	MaxFrame int           // of a body, both ways, at least 64 KiB; 0 means DefaultMaxFrame
	Patience time.Duration // 0 means DefaultPatience
}

// CodeCancelled is the code of a failure that is only the end of a call that was
// cancelled.
const CodeCancelled = "cancelled"

// Error is a failure that the other side told.
type Error struct {
	Code string `json:"code,omitempty"` // for programs, "" for any
	Text string `json:"text"`
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Link is one side of a link. Its methods may be called from any goroutine.
type Link struct {
	cfg    Config
	in     io.ReadCloser
	out    io.WriteCloser
	queue  chan frame
	ctx    context.Context // ends with the link
	cancel context.CancelFunc
	group  sync.WaitGroup // of reader and writer
	served sync.WaitGroup // of handlers

	mu      sync.Mutex
	err     error                         // why the link ended
	last    uint32                        // number of the latest call
	calls   map[uint32]chan frame         // ours, by number
	serving map[uint32]context.CancelFunc // theirs
}

// Open greets the other side and starts the link. It blocks until the other has
// greeted too or ctx ends. From then on in and out belong to the link, also when
// it fails: both are closed.
func Open(ctx context.Context, in io.ReadCloser, out io.WriteCloser, cfg Config) (*Link, error) {
	cfg.MaxFrame, cfg.Patience = max(cmp.Or(cfg.MaxFrame, DefaultMaxFrame), leastFrame), cmp.Or(cfg.Patience, DefaultPatience)
	l := &Link{
		cfg: cfg, in: in, out: out, queue: make(chan frame, queued),
		calls: map[uint32]chan frame{}, serving: map[uint32]context.CancelFunc{},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.group.Go(l.write)
	stop := context.AfterFunc(ctx, func() { l.fail(ctx.Err()) })
	buffered := bufio.NewReaderSize(in, 64<<10)
	err := readGreeting(buffered)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		l.fail(err)
		l.group.Wait()
		return nil, err
	}
	l.group.Go(func() { l.read(buffered) })
	return l, nil
}

// Done is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.ctx.Done() }

// Err returns why the link ended, nil while it stands: ErrClosed, ErrProtocol,
// ErrSilent, or an error of the streams or of Config.Cast.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close ends the link and returns when its goroutines and handlers have ended.
// What waits to be written is not: end with a call when it matters. It is
// idempotent. A stream whose Close does not end a Read keeps it waiting until
// the other side ends too.
func (l *Link) Close() error {
	l.fail(ErrClosed)
	l.group.Wait()
	l.served.Wait()
	return nil
}

// fail ends the link; the first cause stands.
func (l *Link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	l.cancel()
	// Closing is what ends reader and writer; there is nothing to lose.
	_ = l.in.Close()
	_ = l.out.Close()
}

// Call makes the other side do something and decodes its answer into answer,
// unless that is nil. When ctx ends first the other side is told to stop; Call
// returns when it has, with what it answered all the same; a failure that is only
// the end of the call wraps the error of ctx. Other failures are *Error.
func (l *Link) Call(ctx context.Context, verb string, argument, answer any) error {
	number, answered, err := l.call(ctx, verb, argument)
	if err != nil {
		return fmt.Errorf("remote: call %q: %w", verb, err)
	}
	got, err := l.await(ctx, number, answered)
	if err != nil {
		return fmt.Errorf("remote: call %q: %w", verb, err)
	}
	if got.kind == kindFailure {
		failure := &Error{}
		if err := json.Unmarshal(got.body, failure); err != nil {
			return fmt.Errorf("remote: call %q failed in words that are none: %w", verb, ErrProtocol)
		}
		if failure.Code == CodeCancelled && ctx.Err() != nil {
			return fmt.Errorf("%w: %s", ctx.Err(), failure.Text)
		}
		return failure
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(got.body, answer); err != nil {
		return fmt.Errorf("remote: answer to %q: %w: %w", verb, ErrProtocol, err)
	}
	return nil
}

// call sends a call and returns where its answer will come.
func (l *Link) call(ctx context.Context, verb string, argument any) (uint32, chan frame, error) {
	text, err := json.Marshal(argument)
	if err != nil {
		return 0, nil, err
	}
	body, err := named(verb, text)
	if err != nil {
		return 0, nil, err
	}
	answered := make(chan frame, 1)
	l.mu.Lock()
	l.last++
	number := l.last
	l.calls[number] = answered
	l.mu.Unlock()
	if err := l.send(ctx, frame{kindCall, number, body}); err != nil {
		l.mu.Lock()
		delete(l.calls, number)
		l.mu.Unlock()
		return 0, nil, err
	}
	return number, answered, nil
}

// await waits for the answer to a call, and cancels it when ctx ends.
func (l *Link) await(ctx context.Context, number uint32, answered chan frame) (frame, error) {
	select {
	case f := <-answered:
		return f, nil
	case <-l.ctx.Done():
		return l.gone(answered)
	case <-ctx.Done():
	}
	patience := time.NewTimer(l.cfg.Patience)
	defer patience.Stop()
	limited, cancel := context.WithTimeout(l.ctx, l.cfg.Patience)
	defer cancel()
	if err := l.send(limited, frame{kind: kindCancel, number: number}); err != nil && l.ctx.Err() == nil {
		l.fail(ErrSilent)
	}
	select {
	case f := <-answered:
		return f, nil
	case <-patience.C:
		l.fail(ErrSilent)
	case <-l.ctx.Done():
	}
	return l.gone(answered)
}

// gone is the answer to a call over a link that has ended: the one that came
// before its end, if one did.
func (l *Link) gone(answered chan frame) (frame, error) {
	select {
	case f := <-answered:
		return f, nil
	default:
		return frame{}, l.Err()
	}
}

// Cast sends something that is not answered. It waits for the stream to take
// what was sent before, not for the other side.
func (l *Link) Cast(name string, body []byte) error {
	packed, err := named(name, body)
	if err == nil {
		err = l.send(context.Background(), frame{kind: kindCast, body: packed})
	}
	if err != nil {
		return fmt.Errorf("remote: cast %q: %w", name, err)
	}
	return nil
}

// send hands a frame to the writer.
func (l *Link) send(ctx context.Context, f frame) error {
	if len(f.body) > l.cfg.MaxFrame {
		return fmt.Errorf("remote: %d bytes are more than a frame takes (%d)", len(f.body), l.cfg.MaxFrame)
	}
	if err := l.Err(); err != nil {
		return err
	}
	select {
	case l.queue <- f:
		return nil
	case <-l.ctx.Done():
		return l.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
