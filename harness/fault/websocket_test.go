package fault_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/fault"
	"plumbline/harness/record"
)

const (
	upgradeRequest = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	upgradeAnswer  = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)

// socketRig is a real WebSocket server behind a proxy, and a client of it. The
// library is not ours, and both of its ends want compression.
type socketRig struct {
	*fault.Proxy
	client *websocket.Conn
	server *websocket.Conn // its end of the same connection
}

// sockets connects client and server through a proxy; over TLS with an
// authority.
func sockets(t *testing.T, ca *fault.Authority) *socketRig {
	t.Helper()
	accepted := make(chan *websocket.Conn, 1)
	upgrader := websocket.Upgrader{EnableCompression: true}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			fmt.Fprint(w, "plain ", r.Header.Get("Sec-WebSocket-Extensions"))
			return
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err == nil {
			accepted <- conn
		}
	}))
	opts, scheme := fault.ProxyOptions{Protocol: fault.WebSocket}, "ws"
	dialer := websocket.Dialer{EnableCompression: true, HandshakeTimeout: patience}
	if ca == nil {
		server.Start()
	} else {
		server.StartTLS()
		shown, err := ca.Certify("127.0.0.1", fault.Flawless)
		must(t, err)
		opts.TLS = &fault.Termination{Certificate: shown, Upstream: server.Client().Transport.(*http.Transport).TLSClientConfig}
		dialer.TLSClientConfig, scheme = &tls.Config{RootCAs: ca.Pool()}, "wss"
	}
	t.Cleanup(server.Close)
	p, err := fault.NewProxy(server.Listener.Addr().String(), opts)
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	client, response, err := dialer.Dial(scheme+"://"+p.Addr()+"/ws", nil)
	must(t, err)
	if offered := response.Header.Get("Sec-WebSocket-Extensions"); offered != "" {
		t.Fatalf("%q was agreed through the proxy", offered)
	}
	s := &socketRig{Proxy: p, client: client, server: <-accepted}
	for _, c := range []*websocket.Conn{s.client, s.server} {
		t.Cleanup(func() { _ = c.Close() })
		must(t, c.SetReadDeadline(time.Now().Add(patience)))
	}
	return s
}

// says sends texts and then an end marker of the other kind, and returns what
// arrived before it.
func (s *socketRig) says(t *testing.T, from, to *websocket.Conn, texts ...string) (got []string) {
	t.Helper()
	for _, text := range texts {
		must(t, from.WriteMessage(websocket.TextMessage, []byte(text)))
	}
	must(t, from.WriteMessage(websocket.BinaryMessage, []byte("end")))
	for {
		kind, data, err := to.ReadMessage()
		must(t, err)
		if kind == websocket.BinaryMessage {
			return got
		}
		got = append(got, string(data))
	}
}

func TestFrameRules(t *testing.T) {
	for name, c := range map[string]struct {
		rule fault.FrameRule
		want string
	}{
		"drop":      {fault.FrameRule{Do: fault.Drop, When: fault.When{Nth: 2}}, "a c d"},
		"duplicate": {fault.FrameRule{Do: fault.Duplicate, When: fault.When{Nth: 2}}, "a b b c d"},
		"reorder":   {fault.FrameRule{Do: fault.Reorder, When: fault.When{Nth: 2}}, "a c b d"},
		"split":     {fault.FrameRule{Do: fault.Split, When: fault.When{Every: 2}}, "a b c d"},
	} {
		for _, way := range []fault.Direction{fault.Upstream, fault.Downstream} {
			t.Run(name+" "+way.String(), func(t *testing.T) {
				s := sockets(t, nil)
				from, to := s.client, s.server
				if way == fault.Downstream {
					from, to = to, from
				}
				c.rule.Way, c.rule.Type = way, fault.TextFrame
				f := s.FrameFault(c.rule)
				must(t, f.Inject(t.Context()))
				got := s.says(t, from, to, "a", "b", "c", "d")
				if strings.Join(got, " ") != c.want || f.Fired() == 0 {
					t.Errorf("came %q, want %q; fired %d times", got, c.want, f.Fired())
				}
				must(t, f.Revert(t.Context()))
				if got := s.says(t, from, to, "after"); len(got) != 1 {
					t.Errorf("afterwards came %q", got)
				}
			})
		}
	}
}

func TestCorruptFramesOverTLS(t *testing.T) {
	ca, err := fault.NewAuthority()
	must(t, err)
	s := sockets(t, ca)
	f := s.FrameFault(fault.FrameRule{Way: fault.Upstream, Do: fault.Corrupt, Type: fault.BinaryFrame, When: fault.When{Nth: 1}, Seed: 3})
	must(t, f.Inject(t.Context()))
	want := bytes.Repeat([]byte("measured "), 8000)
	must(t, s.client.WriteMessage(websocket.BinaryMessage, want))
	_, got, err := s.server.ReadMessage()
	must(t, err)
	differ := 0
	for i := range got {
		if got[i] != want[i] {
			differ++
		}
	}
	if len(got) != len(want) || differ != 1 {
		t.Errorf("%d of %d bytes differ", differ, len(got))
	}
	must(t, s.client.WriteMessage(websocket.BinaryMessage, want))
	if _, got, err = s.server.ReadMessage(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the second message was damaged, too: %v", err)
	}
}

func TestFrameDelay(t *testing.T) {
	s := sockets(t, nil)
	const by = 100 * time.Millisecond
	f := s.FrameFault(fault.FrameRule{Way: fault.Downstream, Do: fault.Delay, By: by, When: fault.When{Nth: 1}})
	must(t, f.Inject(t.Context()))
	began := time.Now()
	if got := s.says(t, s.server, s.client, "late", "behind"); len(got) != 2 || time.Since(began) < by {
		t.Errorf("%q came after %v", got, time.Since(began))
	}
}

func TestSplitIsSeenOnTheWire(t *testing.T) {
	r := through(t, fault.ProxyOptions{Protocol: fault.WebSocket})
	client, server := r.pair(t)
	write(t, client, upgradeRequest)
	reads(t, server, upgradeRequest)
	write(t, server, upgradeAnswer)
	reads(t, client, upgradeAnswer)
	f := r.FrameFault(fault.FrameRule{Way: fault.Downstream, Do: fault.Split, When: fault.When{Every: 1}})
	must(t, f.Inject(t.Context()))
	write(t, server, "\x81\x02ab\x82\x00")
	reads(t, client, "\x01\x01a\x80\x01b"+"\x02\x00\x80\x00")
}

func TestCloseCodeIsReplaced(t *testing.T) {
	for _, way := range []fault.Direction{fault.Upstream, fault.Downstream} {
		s := sockets(t, nil)
		from, to := s.client, s.server
		if way == fault.Downstream {
			from, to = to, from
		}
		f := s.FrameFault(fault.FrameRule{Way: way, Do: fault.CloseCode, Type: fault.CloseFrame, Code: 1011, When: fault.When{Every: 1}})
		must(t, f.Inject(t.Context()))
		must(t, from.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye")))
		_, _, err := to.ReadMessage()
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != 1011 || closed.Text != "bye" {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func TestPingSilence(t *testing.T) {
	s := sockets(t, nil)
	pongs := make(chan string, 10)
	s.client.SetPongHandler(func(data string) error { pongs <- data; return nil })
	ping := func(text string) {
		must(t, s.client.WriteControl(websocket.PingMessage, []byte(text), time.Now().Add(patience)))
		s.says(t, s.client, s.server, "data goes through") // lets the server read the ping
		s.says(t, s.server, s.client, "and back")
	}
	ping("one")
	f := s.PingSilenceFault(fault.Downstream)
	must(t, f.Inject(t.Context()))
	ping("two")
	must(t, f.Revert(t.Context()))
	ping("three")
	close(pongs)
	var got []string
	for p := range pongs {
		got = append(got, p)
	}
	if strings.Join(got, " ") != "one three" || f.Fired() != 1 {
		t.Errorf("pongs %q came, fired %d times", got, f.Fired())
	}
}

// A fault that finds nothing to act on is held on until it does, for so long at the
// most, and none begins before what it breaks is there.
func TestAStepIsHeldUntilItHasActed(t *testing.T) {
	s := sockets(t, nil)
	f := s.PingSilenceFault(fault.Both)
	gone := make(chan struct{})
	var pinging sync.WaitGroup
	ready := func(context.Context) error {
		pinging.Go(func() { // seldom: far longer than the fault is to be held
			for tick := time.NewTicker(50 * time.Millisecond); ; {
				select {
				case <-tick.C:
					_ = s.server.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience))
				case <-gone:
					tick.Stop()
					return
				}
			}
		})
		return nil
	}
	r := recorder(t)
	must(t, fault.Run(limit(t), r, []fault.Step{{Hold: time.Millisecond, Most: patience, Ready: ready, Fault: f}}))
	close(gone)
	pinging.Wait()
	events := eventsOf(t, r)
	if last := events[len(events)-1]; last.Kind != record.FaultEnd || last.Fields["fired"] == "0" {
		t.Errorf("it was over before it had done anything: %+v", last)
	}
	s.says(t, s.server, s.client, "behind the last ping") // and so is the pong behind it
	s.says(t, s.client, s.server, "behind the last pong")
	must(t, fault.Run(limit(t), nil, []fault.Step{{Hold: time.Millisecond, Most: 20 * time.Millisecond, Fault: f}}))
	if f.Fired() != 0 {
		t.Errorf("fired %d times, and nobody pinged", f.Fired())
	}
	broken := errors.New("nobody is there")
	err := fault.Run(limit(t), nil, []fault.Step{{Fault: f, Ready: func(context.Context) error { return broken }}})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), f.Name()) {
		t.Errorf("before it: %v", err)
	}
}

func TestPlainHTTPGoesThroughAWebSocketProxy(t *testing.T) {
	s := sockets(t, nil)
	for range 2 { // on one kept connection
		response, err := http.Get("http://" + s.Addr() + "/history")
		must(t, err)
		var body bytes.Buffer
		_, err = body.ReadFrom(response.Body)
		must(t, errors.Join(err, response.Body.Close()))
		if body.String() != "plain " {
			t.Errorf("came %q", body.String())
		}
	}
}

func TestSenselessFrameRulesAreRefused(t *testing.T) {
	p := through(t, fault.ProxyOptions{Protocol: fault.WebSocket})
	once := fault.When{Nth: 1}
	for _, r := range []fault.FrameRule{
		{}, {When: once}, {When: once, Do: fault.Split, Type: fault.PingFrame}, {When: once, Do: fault.CloseCode, Type: fault.CloseFrame},
		{When: once, Do: fault.CloseCode, Code: 1000}, {When: once, Do: fault.CloseCode, Type: fault.CloseFrame, Code: 5000}, {When: once, Do: fault.Delay},
	} {
		if err := p.FrameFault(r).Inject(t.Context()); err == nil {
			t.Errorf("%+v was injected", r)
		}
	}
	if err := p.PacketFault(fault.PacketRule{Do: fault.Drop, When: once}).Inject(t.Context()); err == nil {
		t.Error("a packet rule was injected into frames")
	}
}

func TestSilenceAfterAFrameThatNeverEnds(t *testing.T) {
	r := through(t, fault.ProxyOptions{Protocol: fault.WebSocket})
	client, server := r.pair(t)
	write(t, client, upgradeRequest)
	reads(t, server, upgradeRequest)
	write(t, server, upgradeAnswer, "\x82\x7e\x10\x00begin")
	reads(t, client, upgradeAnswer)
	must(t, client.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("before the end came %v", err)
	}
	must(t, server.Close())
	must(t, client.SetReadDeadline(time.Now().Add(patience)))
	reads(t, client, "\x82\x7e\x10\x00begin") // what came is not lost with the end
}
