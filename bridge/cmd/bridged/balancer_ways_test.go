package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// The other ways of viewers through a balancer: polls, commands over HTTP, and WebSockets over HTTP/2.

// polled is the answer to a poll.
type polled struct {
	event
	Reason string `json:"reason"`
}

func (p polled) cursor() string { return fmt.Sprintf("%s:%d", p.Epoch, p.To) }

// ask sends a request and returns the answer with its body.
func (f *fleet) ask(c *http.Client, method, path, body string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(f.t.Context(), eventually.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "https://"+f.front+path, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return resp, raw, err
}

// poll asks for commands after a cursor, "" for none.
func (f *fleet) poll(c *http.Client, version int, since, wait string) (p polled, err error) {
	q := url.Values{"filter": {"command/#"}, "wait": {wait}}
	if since != "" {
		q.Set("since", since)
	}
	resp, raw, err := f.ask(c, http.MethodGet, "/poll?"+q.Encode(), "")
	if err != nil {
		return p, err
	}
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != version {
		return p, fmt.Errorf("%s over %s, %s; want 200 over HTTP/%d", resp.Status, resp.Proto, raw, version)
	}
	return p, json.Unmarshal(raw, &p)
}

// polls: a poll waits while nothing comes, at the bridge that its cursor is of, is answered when something does, and the next one goes on
// where it ended. What comes is a command, sent meanwhile by the same viewer over HTTP; what a bridge refuses it says itself. The
// balancer has to bring one address to one bridge.
func (f *fleet) polls(version int) {
	f.t.Helper()
	c := f.client("127.0.6.1")
	at, err := f.poll(c, version, "", "0s")
	for i := 0; i < 3 && err == nil; i++ {
		topic, answer, failed := fmt.Sprintf("command/%d", i), make(chan polled, 1), make(chan error, 1)
		go func() {
			p, err := f.poll(c, version, at.cursor(), "30s")
			for err == nil && p.Recovered && len(p.Readings) == 0 { // its time was over
				p, err = f.poll(c, version, p.cursor(), "30s")
			}
			answer <- p
			failed <- err
		}()
		eventually.Must(f.t, "the poll to wait", func() bool {
			return slices.ContainsFunc(f.nodes, func(p *child) bool { return strings.Contains(metrics(f.t, p), `bridge_http_streams{kind="poll"} 1`) })
		})
		f.answers(c, "200 pubok", `{"topic":"`+topic+`","payload":"on","qos":1}`)
		select {
		case got := <-answer:
			if err = <-failed; err == nil && (!got.Recovered || len(got.Readings) != 1 || got.Readings[0].Topic != topic || got.From < at.To) {
				f.t.Fatalf("poll %d, behind %s: %+v, want %s and nothing else", i, at.cursor(), got, topic)
			}
			at = got
		case <-time.After(eventually.Patience):
			f.t.Fatalf("poll %d got no answer", i)
		}
	}
	if err == nil {
		at, err = f.poll(c, version, at.cursor(), "50ms")
	}
	if err != nil || !at.Recovered || len(at.Readings) > 0 {
		f.t.Errorf("a poll while nothing comes: %+v, %v", at, err)
	}
	f.answers(c, "403 forbidden", `{"topic":"plant/1","payload":"on"}`)
	f.answers(c, "413 body", `{"topic":"command/1","payload":"`+strings.Repeat("x", 100<<10)+`"}`)
}

// answers: a command over HTTP is answered so, by the bridge.
func (f *fleet) answers(c *http.Client, want, body string) {
	f.t.Helper()
	status, word, _ := strings.Cut(want, " ")
	resp, raw, err := f.ask(c, http.MethodPost, "/publish", body)
	if err != nil || !strings.HasPrefix(resp.Status, status) || !strings.Contains(string(raw), `"`+word+`"`) {
		f.t.Fatalf("%.60s: %v, %.200s, %v; want %s", body, resp, raw, err, want)
	}
}

// carried is a WebSocket over a stream of HTTP/2.
type carried struct {
	t   *testing.T
	out io.Writer
	in  io.Reader
}

// carry opens a WebSocket over HTTP/2 as RFC 8441 has it, for which a client asks only where the server's settings allow it.
func (f *fleet) carry(ctx context.Context) (*carried, error) {
	f.t.Helper()
	tr := &http2.Transport{TLSClientConfig: f.tls()} //nolint:staticcheck // SA1019: the transport of net/http takes no field :protocol
	f.t.Cleanup(tr.CloseIdleConnections)             //nolint:staticcheck // the same
	in, out := io.Pipe()
	f.t.Cleanup(func() { _ = out.Close() })
	req, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+f.front+"/ws", in)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header = http.Header{":protocol": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Protocol": {"plumbline.v1.json"}}
	resp, err := tr.RoundTrip(req) //nolint:staticcheck // the same
	if err != nil {
		return nil, err
	}
	f.t.Cleanup(func() { _ = resp.Body.Close() })
	if got := resp.Header.Get("Sec-Websocket-Protocol"); resp.StatusCode != http.StatusOK || got != "plumbline.v1.json" {
		return nil, fmt.Errorf("%s, subprotocol %q", resp.Status, got)
	}
	return &carried{f.t, out, resp.Body}, nil
}

// say sends a text message, masked with zeros.
func (c *carried) say(text string) {
	c.t.Helper()
	head := []byte{0x81, 0x80 | byte(len(text))}
	if len(text) > 125 {
		head = binary.BigEndian.AppendUint16([]byte{0x81, 0xFE}, uint16(len(text)))
	}
	if _, err := c.out.Write(append(append(head, 0, 0, 0, 0), text...)); err != nil {
		c.t.Fatal(err)
	}
}

// want reads messages up to one that holds a text.
func (c *carried) want(text string) {
	c.t.Helper()
	for {
		var head [2]byte
		_, err := io.ReadFull(c.in, head[:])
		size := uint64(head[1])
		if long := map[uint64]int{126: 2, 127: 8}[size]; err == nil && long > 0 {
			var raw [8]byte
			_, err = io.ReadFull(c.in, raw[8-long:])
			size = binary.BigEndian.Uint64(raw[:])
		}
		body := make([]byte, size)
		if err == nil {
			_, err = io.ReadFull(c.in, body)
		}
		switch {
		case err != nil || head[0] == 0x88:
			c.t.Fatalf("waiting for %s: %x %s, %v", text, head, body, err)
		case bytes.Contains(body, []byte(text)):
			return
		}
	}
}

// carries: a WebSocket over HTTP/2 works as any other where the balancer offers it; where it does not, a client learns that from the settings
// of its connection, before it has asked for anything, and opens one over HTTP/1.1 as it always did.
func (f *fleet) carries(offered bool) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), eventually.Patience)
	defer cancel()
	ws, err := f.carry(ctx)
	if !offered {
		if err == nil || !strings.Contains(err.Error(), "extended connect not supported") {
			f.t.Errorf("a WebSocket over HTTP/2: %v, want that the balancer does not offer it", err)
		}
		_ = f.reaches("127.0.5.1")
		return
	}
	if err != nil {
		f.t.Fatalf("a WebSocket over HTTP/2: %v", err)
	}
	ws.say(`{"type":"hello","token":"` + f.token + `"}`)
	ws.want(`"welcome"`)
	ws.say(`{"type":"sub","id":1,"filter":"carried"}`)
	ws.want(`"subok"`)
	for _, payload := range []string{"one", strings.Repeat("0123456789abcdef", 1<<12)} {
		for _, p := range f.nodes { // one of them has the viewer
			brokertest.Retain(f.t, p.addrs.MQTT, "carried", payload)
		}
		ws.want(`"payload":"` + payload + `"`)
	}
}
