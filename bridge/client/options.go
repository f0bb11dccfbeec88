package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"
)

// Defaults for Options.
const (
	DefaultMinBackoff      = 250 * time.Millisecond
	DefaultMaxBackoff      = 30 * time.Second
	DefaultTimeout         = 10 * time.Second
	DefaultMaxMessageBytes = 32 << 20
)

// Options configures a Client. URL and Token are required; the zero value of the rest is useful.
type Options struct {
	// URL is the bridge's endpoint, such as wss://bridge.example:8443/ws. It holds no token.
	URL string
	// Token returns a good token. It is asked before every connection and when the bridge says that the token will expire; it
	// may block until its ctx ends, and may return the same token as long as that is good. A failure is reported as an Event
	// and tried again after a growing wait.
	Token func(ctx context.Context) (string, error)
	// Name tells the bridge's operator who this is.
	Name string
	// TLS configures wss; nil = the system's authorities.
	TLS *tls.Config
	// NetDial opens the TCP connection; nil = net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// The wait before the n-th attempt in a row is a random part of MinBackoff × 2^(n-1), at most of MaxBackoff (full jitter). It
	// begins anew only after a welcome, and not even then when the bridge ended that session for overload within MaxBackoff.
	MinBackoff, MaxBackoff time.Duration // 0 = DefaultMinBackoff, DefaultMaxBackoff
	// Timeout bounds opening a connection up to the welcome, and each write. 0 = DefaultTimeout.
	Timeout time.Duration
	// MaxMessageBytes bounds one message of the bridge; it must hold the largest reading as JSON. 0 = DefaultMaxMessageBytes.
	MaxMessageBytes int64

	// OnEvent is told what happens to the connection, on the client's own goroutines, one call at a time. It must not block and
	// must not close the Client. nil = nobody is told.
	OnEvent func(Event)

	Clock Clock          // nil = the system's
	Rand  func() float64 // a number in [0,1) for the jitter; nil = math/rand/v2. Safe for concurrent use
}

// Clock is where the Client takes time from.
type Clock interface {
	// Now returns the present. Only differences count.
	Now() time.Time
	// After returns a channel that gets the time once d has passed, and a function that releases what waits for it.
	After(d time.Duration) (fired <-chan time.Time, stop func())
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// filled checks the options and fills in the defaults.
func (o Options) filled() (Options, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "wss" && u.Scheme != "ws":
		return o, errors.New("client: Options.URL: want ws://HOST:PORT/PATH or wss://HOST:PORT/PATH")
	case u.User != nil || u.Fragment != "":
		return o, errors.New("client: Options.URL: it must hold neither user nor fragment: the token comes from Options.Token")
	case o.Token == nil:
		return o, errors.New("client: Options.Token is nil: give a function that returns a token")
	}
	if o.MinBackoff <= 0 {
		o.MinBackoff = DefaultMinBackoff
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = DefaultMaxBackoff
	}
	if o.MaxBackoff < o.MinBackoff {
		return o, fmt.Errorf("client: Options.MaxBackoff %s is less than MinBackoff %s", o.MaxBackoff, o.MinBackoff)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = DefaultMaxMessageBytes
	}
	if o.NetDial == nil {
		o.NetDial = (&net.Dialer{}).DialContext
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return o, nil
}
