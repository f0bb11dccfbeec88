package viewer

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/harness/record"
)

// hostile is a TCP server that does what it likes with every connection. It
// counts what it got rid of.
type hostile struct {
	net.Listener
	sent atomic.Int64
}

func newHostile(t *testing.T, serve func(s *hostile, c net.Conn, request *http.Request)) *hostile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &hostile{Listener: l}
	conns, over := make(chan net.Conn, 1000), make(chan struct{})
	go func() {
		defer close(over)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
			go func() {
				defer c.Close()
				request, err := http.ReadRequest(bufio.NewReader(c))
				if err == nil {
					serve(s, c, request)
				}
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-over
		close(conns)
		for c := range conns {
			_ = c.Close()
		}
	})
	return s
}

func (s *hostile) write(c net.Conn, text string) bool {
	n, err := io.WriteString(c, text)
	s.sent.Add(int64(n))
	return err == nil
}

// flood writes a text until the client has had enough.
func (s *hostile) flood(c net.Conn, text string) {
	block := strings.Repeat(text, 1+(64<<10)/len(text))
	for s.write(c, block) {
	}
}

func upgrade(s *hostile, c net.Conn, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	s.write(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
}

const (
	okStream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
	okJSON   = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
)

const overdue = "a second is over"

// within opens a viewer that tries once, and checks that its error says what is
// wrong and that the server could not get rid of more than the bound. A server
// that never answers has a second.
func within(t *testing.T, s *hostile, protocol string, want string) {
	t.Helper()
	ctx, again := t.Context(), Backoff{Off: true}
	if want == overdue {
		again = Backoff{Initial: 10 * time.Millisecond, Max: 50 * time.Millisecond}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Second, errors.New(overdue))
		defer cancel()
	}
	scheme := "ws"
	if protocol == SSE || protocol == Poll {
		scheme = "http"
	}
	r := newRecording(t)
	v, err := Open(ctx, Config{
		Name: "v", Protocol: protocol, URL: scheme + "://" + s.Addr().String(), Filters: []string{"#"}, Recorder: r.Recorder,
		Place: TokenPlace{In: InNone}, Message: Pointers{Topic: "/t", Payload: "/p"}, Interval: time.Millisecond,
		Reconnect: again,
	})
	if err == nil {
		until(t, "the session to be cut for what the server sends", func() bool { return v.Counters().Disconnects > 0 })
		must(t, v.Close())
		text := fmt.Sprint(events(r.log(), record.Disconnected))
		if !strings.Contains(text, want) {
			t.Errorf("%s: the disconnection says %s, want %q", protocol, text, want)
		}
	} else if !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", protocol, err, want)
	}
	if err != nil && len(err.Error()) > 2000 {
		t.Errorf("%s: the error has %d bytes", protocol, len(err.Error()))
	}
	if sent, most := s.sent.Load(), int64(64<<20); sent > most { // 16 MiB and what lies in buffers
		t.Errorf("%s: the server got rid of %d bytes", protocol, sent)
	}
}

func TestHostileServers(t *testing.T) {
	for _, c := range []struct {
		name, protocol, want string
		serve                func(s *hostile, c net.Conn, r *http.Request)
	}{
		{"garbage", JSON, "malformed HTTP", func(s *hostile, c net.Conn, _ *http.Request) { s.write(c, "\x00\x01\x02 garbage\r\n\r\n") }},
		{"garbage", SSE, "malformed HTTP", func(s *hostile, c net.Conn, _ *http.Request) { s.write(c, "\x00\x01\x02 garbage\r\n\r\n") }},
		{"closes at once", JSON, "EOF", func(*hostile, net.Conn, *http.Request) {}},
		{"closes at once", Poll, "EOF", func(*hostile, net.Conn, *http.Request) {}},
		{"never answers", JSON, overdue, func(_ *hostile, c net.Conn, _ *http.Request) { _, _ = io.Copy(io.Discard, c) }},
		{"never answers", SSE, overdue, func(_ *hostile, c net.Conn, _ *http.Request) { _, _ = io.Copy(io.Discard, c) }},
		{"never answers", Poll, overdue, func(_ *hostile, c net.Conn, _ *http.Request) { _, _ = io.Copy(io.Discard, c) }},
		{"endless header", SSE, "headers exceeded", func(s *hostile, c net.Conn, _ *http.Request) {
			s.write(c, "HTTP/1.1 200 OK\r\n")
			s.flood(c, "X: y\r\n")
		}},
		{"endless header", JSON, "header of more than", func(s *hostile, c net.Conn, _ *http.Request) {
			s.write(c, "HTTP/1.1 101 Switching Protocols\r\n")
			s.flood(c, "X: y\r\n")
		}},
		{"header line without end", MQTT, "header of more than", func(s *hostile, c net.Conn, _ *http.Request) { s.flood(c, "HTTP/1.1 101 ") }},
		{"frame of 100 MB", JSON, "read limit exceeded", func(s *hostile, c net.Conn, r *http.Request) {
			upgrade(s, c, r)
			s.write(c, "\x81\x7f\x00\x00\x00\x00\x06\x40\x00\x00")
			s.flood(c, "[")
		}},
		{"fragments without end", JSON, "read limit exceeded", func(s *hostile, c net.Conn, r *http.Request) {
			upgrade(s, c, r)
			s.write(c, "\x01\x01[")
			s.flood(c, "\x00\x7e\x0f\xff"+strings.Repeat("[", 0xfff))
		}},
		{"masked frame", JSON, "MASK", func(s *hostile, c net.Conn, r *http.Request) {
			upgrade(s, c, r)
			s.write(c, "\x81\x81\x01\x02\x03\x04x")
		}},
		{"policy", JSON, "close code 1008: no", func(s *hostile, c net.Conn, r *http.Request) {
			upgrade(s, c, r)
			s.write(c, "\x88\x04\x03\xf0no")
		}},
		{"line without end", SSE, "without bounds", func(s *hostile, c net.Conn, _ *http.Request) { s.write(c, okStream); s.flood(c, "data: x") }},
		{"event without end", SSE, "without bounds", func(s *hostile, c net.Conn, _ *http.Request) {
			s.write(c, okStream)
			s.flood(c, "data: "+strings.Repeat("x", 1000)+"\n")
		}},
		{"another type", SSE, `the type "application/json"`, func(s *hostile, c net.Conn, _ *http.Request) { s.write(c, okJSON+"{}") }},
		{"answer without end", Poll, "more than 16777216 bytes", func(s *hostile, c net.Conn, _ *http.Request) { s.write(c, okJSON); s.flood(c, " ") }},
		{"no JSON", Poll, `no JSON text: "<html>"`, func(s *hostile, c net.Conn, _ *http.Request) { s.write(c, okJSON+"<html>") }},
		{"compressed", Poll, `Content-Encoding "gzip"`, func(s *hostile, c net.Conn, _ *http.Request) {
			s.write(c, strings.Replace(okJSON, "Connection", "Content-Encoding: gzip\r\nConnection", 1)+"\x1f\x8b")
		}},
		{"compressed", SSE, `Content-Encoding "gzip"`, func(s *hostile, c net.Conn, _ *http.Request) {
			s.write(c, strings.Replace(okStream, "Connection", "Content-Encoding: gzip\r\nConnection", 1)+"\x1f\x8b")
		}},
		{"nothing has changed", Poll, "status 304", func(s *hostile, c net.Conn, _ *http.Request) { s.write(c, "HTTP/1.1 304 Not Modified\r\n\r\n") }},
	} {
		t.Run(c.protocol+" "+c.name, func(t *testing.T) {
			t.Parallel()
			within(t, newHostile(t, c.serve), c.protocol, c.want)
		})
	}
}

// TestRedirectsAreRefused: at once, with where it would have gone.
func TestRedirectsAreRefused(t *testing.T) {
	for _, protocol := range []string{JSON, SSE, Poll} {
		s := httptest.NewServer(http.RedirectHandler("https://elsewhere.test/?t=s3cret", http.StatusFound))
		defer s.Close()
		url := s.URL
		if protocol == JSON {
			url = "ws" + strings.TrimPrefix(url, "http")
		}
		_, err := Open(limit(t), Config{
			Name: "v", Protocol: protocol, URL: url, Filters: []string{"#"}, Recorder: newRecording(t).Recorder,
			Token: func(context.Context) (string, error) { return "s3cret", nil },
		})
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Status != http.StatusFound || !strings.Contains(err.Error(), "redirects to") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

// TestBadCertificate: at once, with what is wrong with it.
func TestBadCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for _, protocol := range []string{Plumbline, JSON, SSE, Poll} {
		scheme := "wss"
		if protocol == SSE || protocol == Poll {
			scheme = "https"
		}
		for url, want := range map[string]string{s.URL: "certificate", plain.URL: "HTTP"} {
			_, address, _ := strings.Cut(url, "://")
			_, err := Open(limit(t), Config{
				Name: "v", Protocol: protocol, URL: scheme + "://" + address, Filters: []string{"#"}, Recorder: newRecording(t).Recorder,
			})
			if err != nil && want == "HTTP" && strings.Contains(err.Error(), "TLS handshake") { // as crypto/tls puts it
				want = "TLS handshake"
			}
			if err == nil || !strings.Contains(err.Error(), want) || !hopeless(err) {
				t.Errorf("%s to %s: %v, want %q at once", protocol, url, err, want)
			}
		}
	}
}

// TestFloodIsRead: a server that never stops is recorded until the viewer is
// closed, and closing takes no longer than it may.
func TestFloodIsRead(t *testing.T) {
	for protocol, serve := range map[string]func(s *hostile, c net.Conn, r *http.Request){
		JSON: func(s *hostile, c net.Conn, r *http.Request) {
			upgrade(s, c, r)
			s.flood(c, "\x81\x11"+`{"t":"a","p":"b"}`)
		},
		SSE: func(s *hostile, c net.Conn, _ *http.Request) {
			s.write(c, okStream)
			s.flood(c, "data: {\"t\":\"a\",\"p\":\"b\"}\n\n")
		},
	} {
		t.Run(protocol, func(t *testing.T) {
			s, scheme := newHostile(t, serve), "ws"
			if protocol == SSE {
				scheme = "http"
			}
			v := open(t, Config{
				Name: "v", Protocol: protocol, URL: scheme + "://" + s.Addr().String(), Filters: []string{"#"}, Recorder: newRecording(t).Recorder,
				Message: Pointers{Topic: "/t", Payload: "/p"},
			})
			must(t, v.WaitReceived(limit(t), 10_000))
			closed := make(chan error, 1)
			go func() { closed <- v.Close() }()
			select {
			case err := <-closed:
				must(t, err)
			case <-limit(t).Done():
				t.Fatal("Close hangs")
			}
		})
	}
}
