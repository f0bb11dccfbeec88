package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/wire"
)

const patience = eventually.Patience

// running is a bridge under test, with real listeners on free loopback ports.
type running struct {
	t    testing.TB
	b    *Bridge
	cfg  Config
	stop context.CancelFunc
	done chan error
}

func testConfig(dir string) Config {
	c := config.Default()
	c.Data = dir
	c.Node = "test"
	c.MQTT.Listen, c.Viewers.Listen, c.Ops.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.Viewers.Origins = []string{"https://good.example"}
	c.Viewers.Heartbeat = config.Duration(time.Minute)                                                               // who does not read for one and a half of them is cut: no test but those of silence
	c.Viewers.WriteTimeout, c.Viewers.AuthTimeout = config.Duration(30*time.Second), config.Duration(30*time.Second) // nor is who is late
	c.Drain.Spread = config.Duration(100 * time.Millisecond)
	return c
}

// run starts a bridge; it is drained when the test ends unless that was done before.
func run(tb testing.TB, change func(*Config)) *running {
	tb.Helper()
	c := testConfig(tb.TempDir())
	if change != nil {
		change(&c)
	}
	return runConfig(tb, c)
}

func runConfig(tb testing.TB, c Config) *running {
	tb.Helper()
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("PLUMBLINE_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return runLogged(tb, c, log)
}

func runLogged(tb testing.TB, c Config, log *slog.Logger) *running {
	tb.Helper()
	b, err := New(Options{Config: c, Log: log, SettleWait: 30 * time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	return start(tb, b, c)
}

// runMade runs a bridge that New made.
func start(tb testing.TB, b *Bridge, c Config) *running {
	tb.Helper()
	return runMade(tb, c, b)
}

// runMade runs a bridge that was made already.
func runMade(tb testing.TB, c Config, b *Bridge) *running {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: tb, b: b, cfg: c, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- b.Run(ctx) }()
	select {
	case <-b.Ready():
	case err := <-r.done:
		tb.Fatalf("Run: %v", err)
	case <-time.After(patience):
		tb.Fatal("not ready in time")
	}
	tb.Cleanup(r.drain)
	return r
}

// drain ends the bridge as SIGTERM does and waits. A second call does nothing.
func (r *running) drain() {
	r.t.Helper()
	r.stop()
	if r.done == nil {
		return
	}
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		r.t.Fatal("the bridge did not end in time")
	}
	r.done = nil
}

// token signs a token with the bridge's own secret.
func (r *running) token(change map[string]any) string {
	r.t.Helper()
	secret, err := os.ReadFile(filepath.Join(r.cfg.Data, "jwt.key"))
	if err != nil {
		r.t.Fatal(err)
	}
	c := jwt.MapClaims{"sub": "anna", "iss": "plumbline", "aud": "bridge", "exp": time.Now().Add(time.Hour).Unix(), "grants": []string{"#"}}
	for k, v := range change {
		c[k] = v
	}
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(strings.TrimSpace(string(secret))))
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *running) tls() *tls.Config {
	r.t.Helper()
	pem, err := os.ReadFile(filepath.Join(r.cfg.Data, "tls", "ca.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12, ServerName: "127.0.0.1"}
}

func (r *running) url() string {
	scheme := "wss://"
	if r.cfg.Viewers.Plaintext {
		scheme = "ws://"
	}
	return scheme + r.b.Addresses().Viewers + "/ws"
}

// viewer is a client of the protocol.
type viewer struct {
	t     testing.TB
	ws    *websocket.Conn
	early []message // batches that came before an answer
}

func (r *running) dial() *viewer {
	r.t.Helper()
	if r.cfg.Viewers.Plaintext {
		return r.dialURL(r.url(), nil)
	}
	return r.dialURL(r.url(), r.tls())
}

func (r *running) dialURL(u string, conf *tls.Config) *viewer {
	r.t.Helper()
	d := websocket.Dialer{TLSClientConfig: conf, Subprotocols: []string{wire.Subprotocol}, HandshakeTimeout: patience}
	ws, resp, err := d.Dial(u, nil)
	if err != nil {
		r.t.Fatalf("dial: %v (%v)", err, resp)
	}
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != wire.Subprotocol {
		r.t.Errorf("subprotocol %q", got)
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return &viewer{t: r.t, ws: ws}
}

// open dials and says hello.
func (r *running) open(change map[string]any) *viewer {
	r.t.Helper()
	v := r.dial()
	v.send(map[string]any{"type": "hello", "token": r.token(change), "client": "test"})
	v.want("welcome")
	return v
}

func (v *viewer) send(msg any) {
	v.t.Helper()
	if err := v.ws.WriteJSON(msg); err != nil {
		v.t.Fatalf("send: %v", err)
	}
}

func (v *viewer) sendText(text string) {
	v.t.Helper()
	if err := v.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		v.t.Fatalf("send: %v", err)
	}
}

// message is any message of the server.
type message struct {
	Type      string            `json:"type"`
	ID        json.RawMessage   `json:"id"`
	Epoch     string            `json:"epoch"`
	Head      uint64            `json:"head"`
	Offset    uint64            `json:"offset"`
	From      uint64            `json:"from"`
	To        uint64            `json:"to"`
	Count     uint64            `json:"count"`
	Recovered bool              `json:"recovered"`
	Reason    string            `json:"reason"`
	Detail    string            `json:"detail"`
	Duplicate bool              `json:"duplicate"`
	Part      int               `json:"part"`
	Parts     int               `json:"parts"`
	RetryMS   int64             `json:"retry_ms"`
	Expires   time.Time         `json:"expires"`
	Cursors   map[string]uint64 `json:"cursors"`
	Delivered map[string]uint64 `json:"delivered"`
	Readings  []reading         `json:"readings"`
}

type reading struct {
	O       uint64 `json:"o"`
	T       int64  `json:"t"`
	Topic   string `json:"topic"`
	QoS     int    `json:"qos"`
	Payload string `json:"payload"`
	Base64  string `json:"base64"`
	Retain  bool   `json:"retain"`
}

// next reads one message.
func (v *viewer) next() (message, error) {
	var m message
	_, raw, err := v.ws.ReadMessage()
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	return m, err
}

// want reads until a message of the type; other types are passed over, save errors.
func (v *viewer) want(kind string) message {
	v.t.Helper()
	for {
		m, err := v.next()
		if err != nil {
			v.t.Fatalf("waiting for %s: %v", kind, err)
		}
		if m.Type == kind {
			return m
		}
		if m.Type == "suberr" {
			v.t.Fatalf("waiting for %s: suberr %s", kind, m.Reason)
		}
	}
}

// wantClose reads until the connection ends and checks code and reason.
func (v *viewer) wantClose(code int, reason string) {
	v.t.Helper()
	for {
		_, err := v.next()
		if err == nil {
			continue
		}
		var ce *websocket.CloseError
		if !errors.As(err, &ce) || ce.Code != code || !strings.Contains(ce.Text, reason) {
			v.t.Errorf("end %v, want %d %s", err, code, reason)
		}
		return
	}
}

// sub subscribes and returns the answer.
func (v *viewer) sub(id int, filter string, more map[string]any) message {
	v.t.Helper()
	msg := map[string]any{"type": "sub", "id": id, "filter": filter}
	for k, x := range more {
		msg[k] = x
	}
	v.send(msg)
	return v.want("subok")
}

// batch returns the next one.
func (v *viewer) batch() message {
	v.t.Helper()
	if len(v.early) > 0 {
		m := v.early[0]
		v.early = v.early[1:]
		return m
	}
	return v.want("batch")
}

// collect reads batches of one subscription until n readings, checking the chain from cursor, and returns the new cursor.
func (v *viewer) collect(n int, cursor uint64) (out []reading, at uint64) {
	v.t.Helper()
	for len(out) < n {
		m := v.batch()
		if m.From != cursor || m.To < m.From {
			v.t.Fatalf("batch (%d,%d] after cursor %d: the chain is broken", m.From, m.To, cursor)
		}
		cursor = m.To
		out = append(out, m.Readings...)
	}
	return out, cursor
}

// publisher is a paho MQTT 5 client.
func (r *running) publisher(id string) *paho.Client {
	r.t.Helper()
	conn, err := net.DialTimeout("tcp", r.b.Addresses().MQTT, patience)
	if err != nil {
		r.t.Fatal(err)
	}
	c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: patience})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Connect(ctx, &paho.Connect{ClientID: id, CleanStart: true, KeepAlive: 30}); err != nil {
		r.t.Fatalf("mqtt connect: %v", err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return c
}

func (r *running) publish(c *paho.Client, topic, payload string) {
	r.t.Helper()
	if err := send(c, topic, payload); err != nil {
		r.t.Fatalf("publish: %v", err)
	}
}

// send publishes with QoS 1 and waits for the acknowledgement.
func send(c *paho.Client, topic, payload string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := c.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(payload)})
	return err
}

// beside runs do while the test reads on: a viewer that does not read is cut. The function that it returns waits for its end, and so
// does the test's.
func beside(tb testing.TB, do func() error) (wait func()) {
	tb.Helper()
	failed := make(chan error, 1)
	go func() { failed <- do() }()
	wait = sync.OnceFunc(func() {
		if err := <-failed; err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(wait)
	return wait
}

// handshake sends an upgrade request with the headers and returns the answer.
func (r *running) handshake(u string, h http.Header) *http.Response {
	r.t.Helper()
	parsed, err := url.Parse(u)
	if err != nil {
		r.t.Fatal(err)
	}
	req := &http.Request{Method: http.MethodGet, URL: parsed, Header: h, Host: parsed.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	conn, err := tls.Dial("tcp", parsed.Host, r.tls())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return roundTrip(r.t, conn, req)
}
