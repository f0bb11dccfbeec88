package survey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"plumbline/harness/sut"
)

// feed is a real server of a stranger: what is published comes out of every
// connection, as the test wraps it.
type feed struct {
	*httptest.Server
	mu    sync.Mutex
	subs  map[chan []byte]bool
	last  string
	shape string // with %q for the payload
}

func newFeed(t *testing.T, shape string, start func(*httptest.Server), serve func(f *feed, w http.ResponseWriter, r *http.Request)) *feed {
	t.Helper()
	f := &feed{subs: map[chan []byte]bool{}, shape: shape}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(f, w, r) }))
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(f.Server)
	t.Cleanup(func() { f.CloseClientConnections(); f.Close() })
	return f
}

// publish stands in for a broker and the bridge behind it.
func (f *feed) publish() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = fmt.Sprintf(f.shape, mark.payload)
	for c := range f.subs {
		select {
		case c <- []byte(f.last):
		default:
		}
	}
	return nil
}

func (f *feed) each(ctx context.Context, send func(text []byte) error) {
	c := make(chan []byte, 16)
	f.mu.Lock()
	f.subs[c] = true
	f.mu.Unlock()
	defer func() { f.mu.Lock(); delete(f.subs, c); f.mu.Unlock() }()
	for {
		select {
		case text := <-c:
			if send(text) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func socket(f *feed, w http.ResponseWriter, r *http.Request) {
	c, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		defer cancel()
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}()
	f.each(ctx, func(text []byte) error { return c.WriteMessage(websocket.TextMessage, text) })
}

func eventsOf(f *feed, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.(http.Flusher).Flush()
	f.each(r.Context(), func(text []byte) error {
		_, err := fmt.Fprintf(w, "data: %s\n\n", text)
		w.(http.Flusher).Flush()
		return err
	})
}

func latest(f *feed, w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "[%s]", f.last)
}

func TestLookAtViewers(t *testing.T) {
	for _, c := range []struct {
		name, scheme, shape string
		serve               func(f *feed, w http.ResponseWriter, r *http.Request)
		protocol            string
		want                Shape
	}{
		{"socket", "ws", `{"topic":"bench/init","data":%q}`, socket, "json", Shape{Topic: "/topic", Payload: "/data"}},
		{"secure socket", "wss", `{"m":[{"t":"bench/init","v":%s}]}`, socket, "json", Shape{List: "/m", Topic: "/t", Payload: "/v", Object: true}},
		{"events", "http", `{"topic":"bench/init","data":%q}`, eventsOf, "sse", Shape{Topic: "/topic", Payload: "/data"}},
		{"secure events", "https", `{"topic":"bench/init","data":%q}`, eventsOf, "sse", Shape{Topic: "/topic", Payload: "/data"}},
		{"polling", "http", `{"topic":"bench/init","data":%q}`, latest, "poll", Shape{Topic: "/topic", Payload: "/data"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := (*httptest.Server).Start
			if strings.HasSuffix(c.scheme, "s") && c.scheme != "ws" {
				start = (*httptest.Server).StartTLS
			}
			f := newFeed(t, c.shape, start, c.serve)
			_, address, _ := strings.Cut(f.URL, "://")
			o := Options{Viewer: c.scheme + "://" + address, Topic: mark.topic, Wait: 20 * time.Second}
			v := surveyViewers(t.Context(), o, mark, f.publish)
			if v.Err != nil || v.Protocol != c.protocol || !v.Seen || v.Shape != c.want || v.Status != 0 {
				t.Errorf("found %+v", v)
			}
			if secure := c.scheme == "wss" || c.scheme == "https"; (v.TLS.Version != 0) != secure || v.TLS.Trusted || (secure && !strings.Contains(v.TLS.Why, "unknown authority")) {
				t.Errorf("TLS %+v", v.TLS)
			}
			text, err := Findings{Options: o, Viewer: v}.Descriptor("x")
			if err != nil {
				t.Fatal(err)
			}
			d, err := sut.Parse(text, "x", "")
			if err != nil || d.Viewer.Message.Topic != c.want.Topic || d.Viewer.Message.List != c.want.List || d.Viewer.URL != o.Viewer {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

// TestLookIsShort: whatever is at the address, looking ends, and says what was there.
func TestLookIsShort(t *testing.T) {
	hostile := map[string]func(net.Conn){
		"closes":  func(net.Conn) {},
		"garbage": func(c net.Conn) { _, _ = io.WriteString(c, "\x00\xff garbage\r\n\r\n") },
		"floods": func(c net.Conn) {
			for block := strings.Repeat("x", 1<<16); ; {
				if _, err := io.WriteString(c, block); err != nil {
					return
				}
			}
		},
		"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	}
	for name, serve := range hostile {
		for _, scheme := range []string{"ws", "wss", "http", "https", "mqtt", "mqtts"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				t.Parallel()
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						go func() { defer c.Close(); serve(c) }()
					}
				}()
				ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errors.New("two seconds are over"))
				defer cancel()
				o := Options{Viewer: scheme + "://" + l.Addr().String(), Wait: time.Second}
				if strings.HasPrefix(scheme, "mqtt") {
					o = Options{Broker: o.Viewer}
				}
				f := Look(ctx, o)
				if f.Broker.Err == nil && f.Viewer.Err == nil {
					t.Errorf("found %+v", f)
				}
				text, err := f.Descriptor("x")
				if err != nil || !utf8.Valid(text) || bytes.ContainsRune(text, 0) {
					t.Errorf("%v\n%s", err, text)
				}
			})
		}
	}
}

// TestRefusals: what says that a token is wanted is told from other answers.
func TestRefusals(t *testing.T) {
	for status, want := range map[int]string{401: "refuses a viewer without a token", 404: "HTTP status 404 Not Found", 302: "HTTP status 302"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer s.Close()
		for _, scheme := range []string{"ws", "http"} {
			text, err := Look(t.Context(), Options{Viewer: scheme + strings.TrimPrefix(s.URL, "http"), Wait: 20 * time.Second}).Descriptor("x")
			if err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%s %d: %v\n%s", scheme, status, err, text)
			}
			if wants := strings.Contains(string(text), "capabilities: [authentication]"); wants != (status == 401) {
				t.Errorf("%s %d: capabilities in\n%s", scheme, status, text)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for _, o := range []Options{
		{Broker: "tcp://127.0.0.1"}, {Broker: "127.0.0.1:1883"}, {Viewer: "ftp://x"}, {Viewer: "ws://"}, {Broker: "mqtt://u:p@x"},
		{Topic: "a/#"}, {Viewer: "ws://a b"},
	} {
		err := o.Check()
		if err == nil || strings.Contains(err.Error(), ":p@") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if err := (Options{Broker: "mqtts://x", Viewer: "https://y/z?filter={{filter}}", Topic: "a/b"}).Check(); err != nil {
		t.Error(err)
	}
}

// TestStarterQuotes: names and addresses of any kind stay what they are.
func TestStarterQuotes(t *testing.T) {
	for _, name := range []string{"a: b", `"x"`, "#", "- x", "ünï", "{{dir}}", "yes", "x\ny"} {
		text, err := Findings{Options: Options{Hello: []string{`{"a":"{{filter}} \"q\""}`}}}.Descriptor(name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		file := filepath.Join(t.TempDir(), "x.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := sut.Load(file)
		if err != nil || d.Name != name || d.Viewer.Hello[0] != `{"a":"{{filter}} \"q\""}` {
			t.Errorf("%q: %v, %+v", name, err, d)
		}
	}
}
