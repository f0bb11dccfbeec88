package viewer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// ProbeSpec says what one connection attempt does. Only URL is required. A ws://
// URL to a port that serves TLS is a probe as well.
type ProbeSpec struct {
	URL          string // ws:// or wss://
	TLS          *tls.Config
	Method       string      // "" means GET
	Subprotocols []string    // nil offers plumbline.v1.json; empty, not nil, offers nothing
	Origins      []string    // one header line each
	Header       http.Header // set over the handshake headers; an empty list removes one
	Query        string      // raw query put behind the path
	Raw          []byte      // sent instead of the handshake, as it stands
	Steps        []Step      // after the handshake
	Wait         time.Duration
	MaxBytes     int                     // of answers that are kept, or of each message when none is; 0 means 1 MiB
	Forget       bool                    // keep no message: Until alone sees them, and no step may Expect one
	Until        func(frame []byte) bool // ends the probe when it returns true
	NoPong       bool                    // leave pings without an answer
	Dial         func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Step is one thing done after the handshake; the fields that are set act in
// the order of their declaration.
type Step struct {
	Expect string        // wait until a frame holds this text
	Pause  time.Duration // wait for so long
	Text   []byte        // send as one masked text frame
	Binary []byte        // send as one masked binary frame
	Frame  []byte        // send as it stands; see Frame for building one
}

// ProbeResult is what came back.
type ProbeResult struct {
	HTTPStatus  int // 0 when no HTTP answer came
	Header      http.Header
	Body        string // of an answer other than 101, bounded
	Subprotocol string
	TLSVersion  uint16
	CloseCode   int // 0 when no close frame came, 1005 when it held no code
	CloseReason string
	Frames      [][]byte // text and binary messages
	Answer      []byte   // what came back to Raw
	EOF         bool     // the peer closed the connection
	Err         error    // of dialling, TLS or protocol; nil when merely the time was over
	Elapsed     time.Duration
}

// Probe makes one connection, does what spec says and returns what came back.
// It ends when the peer closes, when Until says so, or when spec.Wait (0 means
// 5 s) is over after the steps were done, and keeps at most spec.MaxBytes: a peer that sends more is an error.
// Connecting and the handshake may take 10 s, or spec.Wait when that is longer.
func Probe(ctx context.Context, spec ProbeSpec) ProbeResult {
	began := time.Now()
	p := &probe{spec: spec, changed: make(chan struct{})}
	if p.spec.Wait <= 0 {
		p.spec.Wait = 5 * time.Second
	}
	if p.spec.MaxBytes <= 0 {
		p.spec.MaxBytes = 1 << 20
	}
	p.run(ctx)
	p.out.Elapsed = time.Since(began)
	return p.out
}

// probe is one running Probe.
type probe struct {
	spec   ProbeSpec
	target *url.URL
	conn   net.Conn
	in     *bufio.Reader
	write  sync.Mutex

	mu      sync.Mutex // guards what follows while the reader runs
	out     ProbeResult
	budget  int
	changed chan struct{} // closed and renewed at every frame
}

func (p *probe) run(ctx context.Context) {
	p.budget = p.spec.MaxBytes
	if p.out.Err = p.connect(ctx); p.out.Err != nil {
		return
	}
	defer func() { _ = p.conn.Close() }()
	unwatch := context.AfterFunc(ctx, func() { _ = p.conn.Close() })
	defer unwatch()
	_ = p.conn.SetDeadline(time.Now().Add(p.spec.Wait))
	if p.spec.Raw != nil {
		p.raw()
		return
	}
	_ = p.conn.SetDeadline(time.Now().Add(max(p.spec.Wait, connectLimit)))
	upgraded, err := p.handshake()
	if err != nil {
		p.ended(err)
	}
	if !upgraded || err != nil {
		return
	}
	_ = p.conn.SetDeadline(time.Now().Add(p.spec.Wait))
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.ended(p.frames())
	}()
	p.steps(read)
	// The time limit counts from the last step on.
	_ = p.conn.SetDeadline(time.Now().Add(p.spec.Wait))
	<-read
}

func (p *probe) connect(ctx context.Context) error {
	var err error
	if p.target, err = url.Parse(p.spec.URL); err != nil {
		return fmt.Errorf("viewer: probe: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, max(p.spec.Wait, connectLimit))
	defer cancel()
	dial := p.spec.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	port := p.target.Port()
	switch {
	case port != "":
	case p.target.Scheme == "wss":
		port = "443"
	default:
		port = "80"
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(p.target.Hostname(), port))
	if err != nil {
		return fmt.Errorf("viewer: probe: %w", err)
	}
	if p.target.Scheme == "wss" {
		config := p.spec.TLS.Clone()
		if config == nil {
			config = &tls.Config{}
		}
		if config.ServerName == "" {
			config.ServerName = p.target.Hostname()
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return fmt.Errorf("viewer: probe: TLS: %w", err)
		}
		p.out.TLSVersion = secure.ConnectionState().Version
		conn = secure
	}
	p.conn, p.in = conn, bufio.NewReaderSize(conn, 16<<10)
	return nil
}

// raw sends bytes of the caller's own and keeps what comes back.
func (p *probe) raw() {
	if _, err := p.conn.Write(p.spec.Raw); err != nil {
		p.ended(err)
		return
	}
	answer := make([]byte, 0, 4096)
	var err error
	for err == nil && len(answer) < p.spec.MaxBytes {
		var n int
		if len(answer) == cap(answer) {
			answer = append(answer, 0)[:len(answer)]
		}
		n, err = p.in.Read(answer[len(answer):min(cap(answer), p.spec.MaxBytes)])
		answer = answer[:len(answer)+n]
	}
	p.out.Answer = answer
	if response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil); err == nil {
		p.out.HTTPStatus, p.out.Header = response.StatusCode, response.Header
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		_ = response.Body.Close()
		p.out.Body = string(body)
	}
	p.ended(err)
}

// steps does what the caller asked for; it stops when the reader has ended.
func (p *probe) steps(read <-chan struct{}) {
	for _, step := range p.spec.Steps {
		if step.Expect != "" && !p.await(step.Expect, read) {
			return
		}
		if step.Pause > 0 {
			timer := time.NewTimer(step.Pause)
			_ = p.conn.SetDeadline(time.Now().Add(step.Pause + p.spec.Wait))
			select {
			case <-timer.C:
			case <-read:
				timer.Stop()
				return
			}
		}
		var data []byte
		if step.Text != nil {
			data = append(data, Frame(OpText, step.Text)...)
		}
		if step.Binary != nil {
			data = append(data, Frame(OpBinary, step.Binary)...)
		}
		if p.send(append(data, step.Frame...)) != nil {
			return // the reader tells why
		}
	}
}

func (p *probe) send(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	p.write.Lock()
	defer p.write.Unlock()
	_, err := p.conn.Write(data)
	return err
}

// await waits until a frame holds text; the connection's deadline bounds it.
func (p *probe) await(text string, read <-chan struct{}) bool {
	for seen := 0; ; {
		p.mu.Lock()
		frames, changed := p.out.Frames, p.changed
		p.mu.Unlock()
		for ; seen < len(frames); seen++ {
			if bytes.Contains(frames[seen], []byte(text)) {
				return true
			}
		}
		select {
		case <-changed:
		case <-read:
			return false
		}
	}
}

// errEnough ends the reading when Until said so or the close frame came.
var errEnough = errors.New("enough")

// ended keeps why the reading ended.
func (p *probe) ended(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var timeout net.Error
	switch {
	case err == nil, errors.Is(err, errEnough):
	case errors.As(err, &timeout) && timeout.Timeout(): // the caller's time is over
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
		p.out.EOF = true
	case p.out.Err == nil:
		p.out.Err = fmt.Errorf("viewer: probe: %w", err)
	}
}
