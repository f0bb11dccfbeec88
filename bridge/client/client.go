package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"
)

// Client keeps a connection to a bridge. All methods may be called concurrently.
type Client struct {
	o      Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   chan struct{} // closed when all goroutines have ended

	eventMu sync.Mutex // one event at a time

	mu       sync.Mutex
	subs     map[int64]*Subscription
	lastID   int64
	session  *session      // nil while there is no connection
	welcomed chan struct{} // closed at the first welcome
	last     error         // why the last attempt failed
	err      error         // why the client ended

	// The fields below belong to run.
	failures int    // attempts in a row that did not heal
	refused  string // the token that the bridge refused, "" after a welcome
}

// Dial connects and returns once the bridge has said welcome. While that fails for reasons that may pass it is tried again until
// ctx ends; the error then says why the last attempt failed, and nothing of the client runs any more. ctx does not bound the
// Client that Dial returns: Close ends it.
func Dial(ctx context.Context, o Options) (*Client, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, done: make(chan struct{}), welcomed: make(chan struct{}), subs: map[int64]*Subscription{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	select {
	case <-c.welcomed:
		return c, nil
	case <-c.done:
		select {
		case <-c.welcomed: // and ended since: its Err says why, however the two raced
			return c, nil
		default:
			return nil, c.Err()
		}
	case <-ctx.Done():
	}
	_ = c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	return nil, fmt.Errorf("client: no welcome: %w", errors.Join(ctx.Err(), c.last))
}

// Close ends the connection in order, within some two seconds, and returns when all goroutines have ended. It is idempotent.
func (c *Client) Close() error {
	c.cancel()
	<-c.done
	return nil
}

// Done is closed when the client has ended: by Close, or because connecting unchanged would be refused again.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns nil while the client runs, then why it ended: ErrClosed, a *CloseError, a *HandshakeError, or that a message was
// larger than Options.MaxMessageBytes.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// SubscribeOptions says what a Subscription gets.
type SubscribeOptions struct {
	Mode     Mode          // "" = ModeAll
	Every    time.Duration // of ModeLatest, 0 = the bridge's; needed with ModeSample. At least, and in whole, milliseconds
	Snapshot bool          // the last value of every topic first, unless Since is recovered
	Since    Cursor        // where an earlier subscription ended; zero = from now on
}

// Mode says what to give of a topic that changes often.
type Mode string

// The modes (PROTOCOL.md section 2.2). ModeLatest and ModeSample differ in their bounds for SubscribeOptions.Every only.
const (
	ModeAll    Mode = "all"    // every message, in order
	ModeLatest Mode = "latest" // of each topic the newest message, at most once in Every
	ModeSample Mode = "sample" // the same, for times of up to an hour
)

// check returns what is wrong with the options.
func (o SubscribeOptions) check() error {
	switch {
	case o.Every != 0 && o.Mode != ModeLatest && o.Mode != ModeSample:
		return fmt.Errorf("the mode %q has no Every", o.Mode)
	case o.Every == 0 && o.Mode == ModeSample, o.Every < 0, o.Every%time.Millisecond != 0:
		return fmt.Errorf("bad Every %s: want whole milliseconds", o.Every)
	case !o.Since.IsZero() && o.Since.Valid() != nil:
		return fmt.Errorf("bad Since: %w", o.Since.Valid())
	}
	return nil
}

// conflates reports whether messages are left out and counted.
func (o SubscribeOptions) conflates() bool { return o.Mode == ModeLatest || o.Mode == ModeSample }

// Subscribe asks for the messages that match an MQTT topic filter. It does not wait for the bridge: a refusal comes out of Next.
// The filter is the bridge's to judge; a Since that is no place is refused here, with an error that wraps ErrCursor.
func (c *Client) Subscribe(filter string, o SubscribeOptions) (*Subscription, error) {
	if filter == "" || len(filter) > 65535 || !utf8.ValidString(filter) { // MQTT 5 section 4.7.3
		return nil, errors.New("client: subscribe: the filter is empty, longer than 65,535 bytes or not UTF-8")
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("client: subscribe %q: %w", filter, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	c.lastID++
	s := &Subscription{c: c, id: c.lastID, filter: filter, opts: o, queue: make(chan Update, queueLen), gone: make(chan struct{}), at: o.Since}
	c.subs[s.id] = s
	c.poke()
	return s, nil
}

// poke lets the session compare what the bridge knows with c.subs. The caller holds mu.
func (c *Client) poke() {
	if c.session == nil {
		return
	}
	select {
	case c.session.poke <- struct{}{}:
	default:
	}
}

// drop forgets a subscription.
func (c *Client) drop(s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.subs, s.id)
	c.poke()
}

func (c *Client) event(e Event) {
	c.eventMu.Lock()
	defer c.eventMu.Unlock()
	c.o.OnEvent(e)
}

// run connects again and again until Close, or until that would be in vain.
func (c *Client) run() {
	defer close(c.done)
	for {
		began := c.o.Clock.Now()
		s := newSession(c)
		err := s.run()
		if c.ctx.Err() != nil {
			c.end(ErrClosed)
			return
		}
		wait, goOn := c.judge(s, err, c.o.Clock.Now().Sub(began))
		if !goOn {
			c.end(err)
			return
		}
		c.event(Event{Kind: EventDisconnected, Err: err, Wait: wait})
		if !c.rest(c.ctx, wait) {
			c.end(ErrClosed)
			return
		}
	}
}

// judge decides what follows a session that ended with err after it lasted so long.
func (c *Client) judge(s *session, err error, lasted time.Duration) (wait time.Duration, goOn bool) {
	c.mu.Lock()
	c.last = err
	c.mu.Unlock()
	to := advise(err)
	switch {
	case to == stop:
		return 0, false
	case to == retoken && c.refused != "": // two in a row: the source has no good one
		return 0, false
	case to == retoken:
		c.refused = s.currentToken()
	}
	if s.welcome && (to != grow || lasted > c.o.MaxBackoff) {
		c.failures = 0
	}
	c.failures++
	retry := retryOf(err)
	if retry < 0 {
		retry = s.retry
	}
	switch {
	case to == atOnce && c.failures == 1:
		return 0, true
	case retry >= 0 && c.failures == 1: // the bridge has spread it
		return retry, true
	}
	return max(retry, 0) + c.backoff(c.failures), true
}

// backoff returns the wait before the n-th attempt in a row.
func (c *Client) backoff(n int) time.Duration {
	ceiling := c.o.MaxBackoff
	if shift := n - 1; shift < 32 && c.o.MinBackoff < ceiling>>shift {
		ceiling = c.o.MinBackoff << shift
	}
	return time.Duration(c.o.Rand() * float64(ceiling))
}

// rest waits and reports whether ctx still holds.
func (c *Client) rest(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	fired, stop := c.o.Clock.After(d)
	defer stop()
	select {
	case <-fired:
		return true
	case <-ctx.Done():
		return false
	}
}

// end tells everybody that it is over.
func (c *Client) end(err error) {
	c.mu.Lock()
	c.err = err
	subs := c.subs
	c.subs = map[int64]*Subscription{}
	c.mu.Unlock()
	for _, s := range subs {
		s.end(err)
	}
	if !errors.Is(err, ErrClosed) {
		c.event(Event{Kind: EventEnded, Err: err})
	}
	c.cancel()
}
