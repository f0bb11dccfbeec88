package dashboard_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/bridge/devca"
)

// line is what bytes between browser and bridge go through. Told to, it swallows what goes over the connections that stand, as a cable
// pulled out far away or a router that has forgotten them does: nobody is told, and new ones work.
type line struct {
	listener net.Listener
	to       string
	tasks    sync.WaitGroup

	delay atomic.Int64 // of what goes either way, in ns

	mu    sync.Mutex // guards what follows
	pairs map[*pair]bool
	over  bool
}

// pair is one connection through a line.
type pair struct {
	near, far net.Conn
	dead      atomic.Bool
}

// throughLine returns s as it is reached through a line, and that line.
func throughLine(tb testing.TB, s *server) (*server, *line) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l := &line{listener: listener, to: strings.TrimPrefix(s.URL, "https://"), pairs: map[*pair]bool{}}
	l.tasks.Go(l.serve)
	tb.Cleanup(l.close)
	return s.at("https://" + listener.Addr().String()), l
}

// at is the same bridge under another address.
func (s *server) at(address string) *server {
	elsewhere := *s
	elsewhere.URL = address
	return &elsewhere
}

func (l *line) serve() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		far, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = near.Close() // the bridge is away, as the browser will see
			continue
		}
		p := &pair{near: near, far: far}
		l.mu.Lock()
		l.pairs[p] = true
		if l.over {
			p.end()
		}
		l.mu.Unlock()
		l.tasks.Go(func() { l.carry(p, far, near) })
		l.tasks.Go(func() { l.carry(p, near, far) })
	}
}

func (l *line) carry(p *pair, to io.Writer, from io.Reader) {
	type piece struct {
		data []byte
		due  time.Time
	}
	queue := make(chan piece, 256)
	l.tasks.Go(func() {
		defer close(queue)
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				queue <- piece{bytes.Clone(buf[:n]), time.Now().Add(time.Duration(l.delay.Load()))}
			}
			if err != nil {
				return // how it ended is nobody's business
			}
		}
	})
	for next := range queue {
		timer := time.NewTimer(time.Until(next.due))
		<-timer.C
		if _, err := (livingOnly{p, to}).Write(next.data); err != nil {
			p.end() // then reading ends, too
		}
	}
	if p.dead.Load() {
		return // neither end learns of it
	}
	p.end()
	l.mu.Lock()
	delete(l.pairs, p)
	l.mu.Unlock()
}

// livingOnly swallows what a dead connection would carry.
type livingOnly struct {
	pair *pair
	to   io.Writer
}

func (w livingOnly) Write(b []byte) (int, error) {
	if w.pair.dead.Load() {
		return len(b), nil
	}
	return w.to.Write(b)
}

func (p *pair) end() {
	_ = p.near.Close()
	_ = p.far.Close()
}

// slow delays from now on what goes either way, over connections that stand and over new ones; 0 delays nothing.
func (l *line) slow(by time.Duration) { l.delay.Store(int64(by)) }

// swallow makes a dead one of each connection that stands.
func (l *line) swallow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.dead.Store(true)
	}
}

// bury ends the dead: a browser waits for ever for an answer over one that it kept.
func (l *line) bury() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		if p.dead.Load() {
			p.end()
			delete(l.pairs, p)
		}
	}
}

func (l *line) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	l.over = true
	for p := range l.pairs {
		p.end()
	}
	l.mu.Unlock()
	l.tasks.Wait()
}

// proxy is one that lets no WebSocket through, as they stand in companies and hotels: it does not pass on what asks for one. Told to, it
// also collects the whole of an answer before it hands on more than its head: of a stream of events nothing ever comes.
type proxy struct{ collects atomic.Bool }

// throughProxy returns s as it is reached through a proxy, and that proxy.
func throughProxy(tb testing.TB, s *server) (*server, *proxy) {
	tb.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(authority(), devca.ServerFile), filepath.Join(authority(), devca.ServerKeyFile))
	if err != nil {
		tb.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(authority(), devca.CAFile))
	if err != nil {
		tb.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(root)
	target, err := url.Parse(s.URL)
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{}
	pass := &httputil.ReverseProxy{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}},
		ErrorLog:  log.New(io.Discard, "", 0), // of tabs that have left
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.Out.Header.Del("Connection")
			r.Out.Header.Del("Upgrade")
		},
	}
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sse" || !p.collects.Load() {
			pass.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	site.Config.ErrorLog = pass.ErrorLog
	site.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	site.StartTLS()
	tb.Cleanup(func() { site.CloseClientConnections(); site.Close() })
	return s.at(site.URL), p
}
