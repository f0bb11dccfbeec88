// Package ws judges a WebSocket server from outside by RFC 6455 and RFC 7692,
// as far as viewers depend on it: opening handshake, framing, control frames,
// text, the closing handshake, compression and limits.
//
// It speaks raw bytes over TCP or TLS with its own small client. An
// application may end a session for its own reasons, so a frame that is sound
// may be answered with any close code but those that say "protocol" (1002,
// 1007), and a frame that is not may end in a close frame of any code or in
// the end of the connection, but never in a session that goes on.
package ws

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/harness/conform"
)

// Target is the server.
type Target struct {
	URL  string      // ws:// or wss://, with the path
	TLS  *tls.Config // for wss; nil means the roots of the system
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Options say what the application behind the server wants of its clients. The
// zero value suits a server that lets everybody in and takes any text.
type Options struct {
	// Header is added to every handshake: Origin, Authorization, Cookie. No report
	// shows a value of any field but Origin, a parameter of the URL, a subprotocol
	// that is not the first, or what Hello returns.
	Header      http.Header
	Subprotocol string // offered in every handshake, several with commas; "" offers none
	// Hello returns what to send first, once a connection: a Frame of text or binary.
	Hello func() ([]Frame, error)
	// Ready says of a message that the application has taken the hello. nil
	// means that nothing is waited for.
	Ready func(message []byte) bool
	// Message makes of any text a message that the application takes without
	// ending the session. nil means the text itself. The text stands in it unchanged.
	Message    func(text []byte) []byte
	Binary     bool          // Message is sent as binary, and text is not for this server
	Echo       bool          // the application sends every message back, which is then checked
	MaxMessage int           // the longest message the application takes, in bytes; 0 means unknown
	Handshake  time.Duration // within which a handshake that does not get on must end; 0 means 10 s
	Patience   time.Duration // for answers that ought to come at once; 0 means DefaultPatience
	Parallel   int           // cases at once; 0 means 8
	Only       []string      // ids of the cases to run, nil for all; what holds for every frame is judged always
	Progress   func(conform.Case)
}

// DefaultPatience is much more than an answer takes: that none came must be the
// server's doing, not that of a machine which stood still for a moment.
const DefaultPatience = 4 * time.Second

// suite is one run.
type suite struct {
	o        Options
	end      conform.Endpoint
	url      *url.URL
	patience time.Duration
	seen     conform.Observed

	mu    sync.Mutex
	turns int
}

// Run judges the server and returns after at most a minute, or when ctx ends.
// Its errors are conform.ErrUsage and conform.ErrUnreachable, the latter also
// when a correct handshake with its hello is not taken.
func Run(ctx context.Context, target Target, o Options) (conform.Report, error) {
	began := time.Now()
	end, u, err := conform.Resolve(target.URL, "ws", "wss", "80", "443", target.TLS)
	if err != nil {
		return conform.Report{}, err
	}
	end.Dial = target.Dial
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Handshake <= 0 {
		o.Handshake = 10 * time.Second
	}
	if o.Message == nil {
		o.Message = func(text []byte) []byte { return text }
	}
	for name, values := range o.Header {
		if strings.ContainsAny(name+strings.Join(values, ""), "\r\n") {
			return conform.Report{}, fmt.Errorf("ws: header %q: %w: it holds a line break", name, conform.ErrUsage)
		}
	}
	s := &suite{o: o, end: end, url: u, patience: o.Patience}
	shown := s.shown()
	checks, err := conform.Choose(s.checks(), o.Only)
	if err != nil {
		return conform.Report{}, fmt.Errorf("ws: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 58*time.Second)
	defer cancel()
	settings := conform.Settings{End: end, Patience: o.Patience, Limit: o.Handshake + 10*time.Second, Parallel: o.Parallel, Progress: o.Progress, Secrets: s.secrets()}
	first := settings
	first.Progress = nil
	if c := conform.Execute(ctx, []conform.Check{{Run: func(t *conform.Trial) { s.open(t) }}}, first)[0]; c.Verdict != conform.Pass {
		return conform.Report{}, fmt.Errorf("ws: %s: %w: %s", shown, conform.ErrUnreachable, c.Detail)
	}
	cases := conform.Execute(ctx, checks, settings)
	cases = append(cases, s.seen.Cases(standing)...)
	return conform.Report{Suite: "ws", Target: shown, Took: time.Since(began), Cases: cases}, nil
}

// secrets returns what of the handshake may be a token, in the form it has there.
func (s *suite) secrets() (out []string) {
	for name, values := range s.o.Header {
		for _, v := range values {
			if strings.EqualFold(name, "Origin") {
				continue
			}
			out = append(out, v)
			out = append(out, strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ';' })...)
		}
	}
	for part := range strings.SplitSeq(s.url.RawQuery, "&") {
		_, value, _ := strings.Cut(part, "=")
		decoded, _ := url.QueryUnescape(value)
		out = append(out, value, decoded)
	}
	for i, offered := range strings.Split(s.o.Subprotocol, ",") {
		if i > 0 {
			out = append(out, strings.TrimSpace(offered))
		}
	}
	// A short word stands in many places, and the parts of others in the whole.
	out = slices.DeleteFunc(out, func(secret string) bool { return len(secret) < leastSecret })
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

// leastSecret is how long a word must be to be one.
const leastSecret = 8

// shown is the address as a report may show it.
func (s *suite) shown() string {
	u := *s.url
	if u.RawQuery != "" {
		u.RawQuery = "***"
	}
	return u.Redacted()
}

// Rules returns what the suite judges, in its order.
func Rules() []conform.Rule { return conform.Rules((&suite{}).checks(), standing) }

func (s *suite) checks() []conform.Check {
	var all []conform.Check
	for _, part := range [][]conform.Check{
		s.answerChecks(), s.requestChecks(), s.versionChecks(), s.slowChecks(), s.frameChecks(), s.lengthChecks(),
		s.fragmentChecks(), s.pingChecks(), s.controlChecks(), s.closeChecks(), s.closeCodeChecks(), s.textChecks(),
		s.offerChecks(), s.compressedChecks(), s.limitChecks(),
	} {
		all = append(all, part...)
	}
	return all
}

func must(id, section, text string, run func(*conform.Trial)) conform.Check {
	return conform.Check{Rule: conform.Rule{ID: "WS-" + id, Section: section, Level: conform.Must, Text: text}, Run: run}
}

func should(id, section, text string, run func(*conform.Trial)) conform.Check {
	c := must(id, section, text, run)
	c.Level = conform.Should
	return c
}
