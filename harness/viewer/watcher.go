package viewer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Watcher is one of a crowd: it speaks plumbline.v1.json, keeps a small buffer and counts
// what comes; nothing is recorded and nothing comes back after a loss. A crowd of
// Viewers would need the machine for itself.
type Watcher struct {
	conn     *websocket.Conn
	silence  time.Duration // without a frame or a ping for so long: it ends. 0 = for ever, before the welcome
	readings atomic.Int64
	done     chan struct{}
	err      error // why it ended; read after done
}

// watcherBuffer is enough for most frames of a watcher that watches one topic.
const watcherBuffer = 1 << 10

// Watch connects, says hello and subscribes to the first filter; it returns when that is
// confirmed, at most after ctx. A server that says nothing for two of its heartbeats ends the session. Of the settings those of the connection, the token and
// the filters count; Recorder may be nil.
func Watch(ctx context.Context, cfg Config) (*Watcher, error) {
	if cfg.URL == "" || len(cfg.Filters) == 0 {
		return nil, errors.New("viewer: a watcher takes an address and a filter")
	}
	token := ""
	if cfg.Token != nil {
		var err error
		if token, err = cfg.Token(ctx); err != nil {
			return nil, fmt.Errorf("viewer: watch: token: %w", err)
		}
	}
	v := &Viewer{cfg: cfg}
	dialer := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return v.dialTCP(ctx, network, addr)
		},
		TLSClientConfig: cfg.TLS.Clone(), HandshakeTimeout: connectLimit, Subprotocols: []string{Subprotocol},
		ReadBufferSize: watcherBuffer, WriteBufferSize: watcherBuffer,
	}
	request, err := v.opening("", Subprotocol)
	if err != nil {
		return nil, fmt.Errorf("viewer: watch: %w", err)
	}
	conn, response, err := dialer.DialContext(ctx, cfg.URL, request.header)
	if response != nil {
		_ = response.Body.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("viewer: watch: %w", v.tokens.conceal(err))
	}
	conn.SetReadLimit(frameLimit)
	w := &Watcher{conn: conn, done: make(chan struct{})}
	pong := conn.PingHandler()
	conn.SetPingHandler(func(text string) error { w.heard(); return pong(text) })
	unwatch := context.AfterFunc(ctx, func() { _ = conn.Close() })
	for _, step := range []struct {
		say    any
		answer string
	}{
		{helloMessage{Type: "hello", Token: v.tokens.add(token), Client: cfg.Name}, "welcome"},
		{subMessage{Type: "sub", ID: 1, Filter: cfg.Filters[0], Mode: "all"}, "subok"},
	} {
		if err = w.ask(step.say, step.answer); err != nil {
			break
		}
	}
	if !unwatch() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("viewer: watch: %w", v.tokens.conceal(err))
	}
	go w.read()
	return w, nil
}

// ask sends a message and reads to its answer.
func (w *Watcher) ask(message any, answer string) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if err := w.conn.WriteMessage(websocket.TextMessage, text); err != nil {
		return err
	}
	for {
		kind, data, err := w.next()
		switch {
		case err != nil:
			return err
		case kind == "welcome" && answer == kind:
			return w.patient(data)
		case kind == answer:
			return nil
		}
		if kind == "suberr" {
			return fmt.Errorf("waiting for %s: the subscription was refused", answer)
		}
	}
}

// next reads one message.
func (w *Watcher) next() (kind string, data []byte, err error) {
	_, data, err = w.conn.ReadMessage()
	if err != nil {
		return "", nil, err
	}
	w.heard()
	name, err := kindOf(data)
	return string(name), data, err
}

// heard gives the server as long again.
func (w *Watcher) heard() {
	if w.silence > 0 {
		_ = w.conn.SetReadDeadline(time.Now().Add(w.silence)) // a closed connection tells of itself when it is read
	}
}

// patient takes from a welcome how long the server may be silent (PROTOCOL.md section 2.5).
func (w *Watcher) patient(welcome []byte) error {
	var m struct {
		HeartbeatMS int64 `json:"heartbeat_ms"`
	}
	if err := json.Unmarshal(welcome, &m); err != nil {
		return err
	}
	w.silence = max(2*millis(m.HeartbeatMS), time.Second)
	w.heard()
	return nil
}

// readingMark begins each reading in a batch; within a payload its quotes are escaped.
var readingMark = []byte(`{"o":`)

func (w *Watcher) read() {
	defer close(w.done)
	for {
		kind, data, err := w.next()
		if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
			err = fmt.Errorf("the server said nothing for %v, two of its heartbeats: %w", w.silence, err)
		}
		if err != nil {
			w.err = err
			return
		}
		if kind == "batch" {
			w.readings.Add(int64(bytes.Count(data, readingMark)))
		}
	}
}

// Readings is how many came so far.
func (w *Watcher) Readings() int64 { return w.readings.Load() }

// Err says why the watcher ended; nil while its session lives.
func (w *Watcher) Err() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

// Close drops the connection and waits for its goroutine. It is idempotent.
func (w *Watcher) Close() error {
	err := w.conn.SetReadDeadline(time.Unix(1, 0)) // ends the reading; the server sees the end of the connection
	_ = w.conn.Close()
	<-w.done
	return err
}
