package conform

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxReceived bounds what a case takes from one connection.
const MaxReceived = 16 << 20

// ErrFlood is returned when a connection brought more than MaxReceived.
var ErrFlood = errors.New("the endpoint sent more than a case can take")

// Endpoint is where connections go.
type Endpoint struct {
	Address string      // host:port
	TLS     *tls.Config // nil means plaintext
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// Resolve reads the endpoint out of a URL whose scheme is plain or secure.
func Resolve(raw, plain, secure, plainPort, securePort string, config *tls.Config) (Endpoint, *url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Endpoint{}, nil, fmt.Errorf("conform: URL: %w: it cannot be read", ErrUsage) // it may hold a password
	}
	port := plainPort
	switch u.Scheme {
	case plain:
		config = nil
	case secure:
		port = securePort
		config = config.Clone()
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if config.ServerName == "" {
			config.ServerName = u.Hostname()
		}
	default:
		return Endpoint{}, nil, fmt.Errorf("conform: URL %q: %w: the scheme must be %s or %s", u.Redacted(), ErrUsage, plain, secure)
	}
	if u.Hostname() == "" {
		return Endpoint{}, nil, fmt.Errorf("conform: URL %q: %w: it names no host", u.Redacted(), ErrUsage)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return Endpoint{Address: net.JoinHostPort(u.Hostname(), port), TLS: config}, u, nil
}

// Open connects, within patience.
func (e Endpoint) Open(ctx context.Context, patience time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dial := e.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	raw, err := dial(ctx, "tcp", e.Address)
	if err != nil {
		return nil, err
	}
	if e.TLS == nil {
		return raw, nil
	}
	secured := tls.Client(raw, e.TLS)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return secured, nil
}

// Conn is one connection of a case. Every byte passes its transcript. After
// its end, or when it never came about, its methods do nothing and say io.EOF.
// One goroutine at a time may read and one may send.
type Conn struct {
	t      *Trial
	n      int
	raw    net.Conn // nil when it never came about
	buf    []byte
	got    int
	ended  error
	closer sync.Once
	chunk  [16 << 10]byte
}

// Dial opens a connection. When that fails the case is inconclusive.
func (t *Trial) Dial() *Conn { return t.DialTo(t.end) }

// DialTo is Dial to another endpoint than that of the execution.
func (t *Trial) DialTo(end Endpoint) *Conn {
	c := &Conn{t: t}
	if t.Decided() {
		return c
	}
	raw, err := end.Open(t.ctx, 2*t.patience)
	if err != nil {
		t.Unsuref("no connection: %v", err)
		return c
	}
	t.mu.Lock()
	t.conns = append(t.conns, c)
	c.n = len(t.conns)
	t.mu.Unlock()
	c.raw = raw
	context.AfterFunc(t.ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	return c
}

// Send writes all parts at once. What cannot be written is for the reading
// side to explain: it reports only whether everything went out.
func (c *Conn) Send(parts ...[]byte) bool {
	all := slices.Concat(parts...)
	return c.write(all, Exchange{Bytes: all})
}

// SendSecret is Send for what holds credentials in a form in which they cannot
// be found: the transcript shows its length only.
func (c *Conn) SendSecret(parts ...[]byte) bool {
	return c.write(slices.Concat(parts...), Exchange{Note: "not shown: it may hold credentials"})
}

// SendPieces sends a whole in segments that end at these offsets, and the rest. The
// transcript shows pieces of the whole in which credentials are concealed.
func (c *Conn) SendPieces(whole []byte, pause time.Duration, ends ...int) {
	shown := conceal(slices.Clone(whole), c.t.secrets)
	from := 0
	for _, end := range append(ends, len(whole)) {
		c.write(whole[from:end], Exchange{Bytes: shown[from:end]})
		if from = end; end < len(whole) {
			c.t.Pause(pause)
		}
	}
}

func (c *Conn) write(all []byte, shown Exchange) bool {
	if c.raw == nil || c.t.ctx.Err() != nil {
		return false
	}
	c.log("client", shown.Bytes, shown.Note, len(all))
	_ = c.raw.SetWriteDeadline(time.Now().Add(c.t.patience))
	if c.t.ctx.Err() != nil {
		return false
	}
	_, err := c.raw.Write(all)
	if err != nil {
		c.log("note", nil, "the write failed", 0)
	}
	return err == nil
}

// Buffered returns what was received and not yet discarded.
func (c *Conn) Buffered() []byte { return c.buf }

// Discard drops the first n of the buffered bytes.
func (c *Conn) Discard(n int) { c.buf = c.buf[n:] }

// More reads at least one more byte. Its error is os.ErrDeadlineExceeded when
// nothing came until then, ErrFlood, or io.EOF when the connection has ended,
// orderly or not.
func (c *Conn) More(until time.Time) error {
	if c.raw == nil {
		return io.EOF
	}
	if c.ended != nil {
		return c.ended
	}
	if c.t.ctx.Err() != nil {
		return os.ErrDeadlineExceeded
	}
	_ = c.raw.SetReadDeadline(until)
	if c.t.ctx.Err() != nil {
		return os.ErrDeadlineExceeded
	}
	n, err := c.raw.Read(c.chunk[:])
	if n > 0 {
		c.log("server", c.chunk[:n], "", n)
		c.got += n
		c.buf = append(c.buf, c.chunk[:n]...)
		if c.got > MaxReceived {
			c.ended = ErrFlood
			return ErrFlood
		}
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	how := "the server closed the connection"
	if !errors.Is(err, io.EOF) {
		how = fmt.Sprintf("the connection broke: %v", err)
	}
	c.log("note", nil, how, 0)
	c.ended = io.EOF
	return c.ended
}

// Ended reports whether the end was seen.
func (c *Conn) Ended() bool { return c.raw == nil || c.ended != nil }

// Close ends the connection in an orderly way; more calls do nothing.
func (c *Conn) Close() {
	c.closer.Do(func() {
		if c.raw != nil {
			_ = c.raw.Close()
		}
	})
}

// Abort ends the connection with a reset, as a crash of the client would.
func (c *Conn) Abort() {
	c.closer.Do(func() {
		if c.raw == nil {
			return
		}
		inner := c.raw
		if secured, ok := inner.(*tls.Conn); ok {
			inner = secured.NetConn()
		}
		if tcp, ok := inner.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = inner.Close()
		c.log("note", nil, "the client reset the connection", 0)
	})
}

func (c *Conn) log(from string, b []byte, note string, length int) {
	shown := b
	if len(shown) > 2*MaxBytesShown {
		shown = shown[:2*MaxBytesShown]
	}
	shown = conceal(slices.Clone(shown), c.t.secrets)
	c.t.add(Exchange{Conn: c.n, From: from, Bytes: shown[:min(len(shown), MaxBytesShown)], Length: length, Note: note})
}

// leastPart is how much of a secret at an edge gives it away.
const leastPart = 6

// conceal overwrites secrets, and parts of them at the edges, where a segment may
// have been cut.
func conceal(b []byte, secrets []string) []byte {
	star := func(b []byte) {
		for i := range b {
			b[i] = '*'
		}
	}
	for _, s := range secrets {
		if s == "" {
			continue
		}
		for at := bytes.Index(b, []byte(s)); at >= 0; at = bytes.Index(b, []byte(s)) {
			star(b[at : at+len(s)])
			if strings.Trim(s, "*") == "" {
				break
			}
		}
		for n := min(len(s)-1, len(b)); n >= leastPart; n-- {
			if string(b[len(b)-n:]) == s[:n] {
				star(b[len(b)-n:])
			}
			if string(b[:n]) == s[len(s)-n:] {
				star(b[:n])
			}
		}
	}
	return b
}
