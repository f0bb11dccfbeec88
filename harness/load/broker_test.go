package load

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/devices/devicetest"
	"plumbline/harness/record"
)

// published is one PUBLISH as the broker got it.
type published struct {
	client  string
	topic   string
	payload string
	qos     byte
	dup     bool
	seq     uint64 // plumbline-seq, 0 when there is none
}

// tap records every PUBLISH that reaches a broker, and lets in those who know
// the password when there is one.
type tap struct {
	mqtt.HookBase
	password string
	refuse   string // a PUBLISH to this topic ends the connection
	mu       sync.Mutex
	got      []published
}

// ID implements mqtt.Hook.
func (h *tap) ID() string { return "tap" }

// Provides implements mqtt.Hook.
func (h *tap) Provides(b byte) bool {
	return b == mqtt.OnPublish || b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}

// OnConnectAuthenticate implements mqtt.Hook.
func (h *tap) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	return h.password == "" || string(pk.Connect.Password) == h.password
}

// OnACLCheck implements mqtt.Hook.
func (h *tap) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// OnPublish implements mqtt.Hook.
func (h *tap) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	p := published{client: cl.ID, topic: pk.TopicName, payload: string(pk.Payload), qos: pk.FixedHeader.Qos, dup: pk.FixedHeader.Dup}
	for _, u := range pk.Properties.User {
		if u.Key == SeqProperty {
			p.seq, _ = strconv.ParseUint(u.Val, 10, 64)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, p)
	if h.refuse != "" && pk.TopicName == h.refuse {
		cl.Stop(errors.New("not that topic"))
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

func (h *tap) all() []published {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]published(nil), h.got...)
}

// patient waits for clients to go and does not ask the server to send them
// away. That locks up in mochi 2.7.9 when one is just going: GetByListener
// takes the read lock of the clients twice, with a writer between. Here all
// publishers are closed before their broker.
type patient struct{ *listeners.TCP }

// Close implements listeners.Listener.
func (l patient) Close(listeners.CloseFn) { l.TCP.Close(func(string) {}) }

// startBroker starts a real broker on a free port.
func startBroker(t *testing.T, secure *tls.Config, password string) (*url.URL, *tap) {
	t.Helper()
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	h := &tap{password: password}
	if err := server.AddHook(h, nil); err != nil {
		t.Fatal(err)
	}
	listener := patient{listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0", TLSConfig: secure})}
	if err := server.AddListener(listener); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { devicetest.CloseSoon(t, "the broker", server.Close) })
	scheme := "mqtt"
	if secure != nil {
		scheme = "mqtts"
	}
	return &url.URL{Scheme: scheme, Host: listener.Address()}, h
}

// proxy stands between a publisher and its broker. It can hold back what the
// broker answers and cut the connections.
type proxy struct {
	listener net.Listener
	target   string
	group    sync.WaitGroup

	mu    sync.Mutex
	mute  bool // answers of the broker are dropped
	stall bool // what the publisher writes is not read
	deaf  bool // new connections are refused
	conns []net.Conn
	freed *sync.Cond
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target}
	p.freed = sync.NewCond(&p.mu)
	p.group.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.set(func() { p.stall = false })
		p.cut()
		p.group.Wait()
	})
	return p
}

func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.freed.Broadcast()
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		p.mu.Lock()
		refuse := p.deaf || err != nil
		if !refuse {
			p.conns = append(p.conns, in, out)
		}
		p.mu.Unlock()
		if refuse {
			in.Close()
			if out != nil {
				out.Close()
			}
			continue
		}
		p.group.Go(func() { p.copy(out, in, false) })
		p.group.Go(func() { p.copy(in, out, true) })
	}
}

func (p *proxy) copy(to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		p.mu.Lock()
		for p.stall && !answers {
			p.freed.Wait()
		}
		p.mu.Unlock()
		n, err := from.Read(buf)
		p.mu.Lock()
		drop := answers && p.mute
		p.mu.Unlock()
		if n > 0 && !drop {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends all connections that exist.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *proxy) url() *url.URL { return &url.URL{Scheme: "mqtt", Host: p.listener.Addr().String()} }

// newRecorder starts a recording that ends with the test.
func newRecorder(t *testing.T) *record.Recorder {
	t.Helper()
	rec, err := record.NewRecorder(t.TempDir(), record.NewClock())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
	})
	return rec
}

// until waits for a condition and says what it waited for in vain.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("waited a minute in vain: %s", what)
		}
		<-tick.C
	}
}

func kinds(log *record.Log, kind record.Kind) (list []record.Record) {
	for _, r := range log.Records {
		if r.Kind == kind {
			list = append(list, r)
		}
	}
	return list
}

func logOf(t *testing.T, rec *record.Recorder) *record.Log {
	t.Helper()
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := rec.Log()
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
