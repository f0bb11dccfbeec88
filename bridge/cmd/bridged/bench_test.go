package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"plumbline/bridge/client"
	"plumbline/bridge/internal/eventually"
)

// bench is a load on a bridged that comes and goes: publishers with QoS 1, and viewers by the Go client.
type bench struct {
	t       *testing.T
	p       *child
	each    int // messages of one publisher
	viewers []*benchViewer
	pubs    sync.WaitGroup
	watches sync.WaitGroup
	stop    context.CancelFunc

	mu    sync.Mutex
	acked map[string]int // messages acknowledged, by topic
	fails []string
}

// benchViewer is one viewer. Its client proves the chain; the order and number of each topic's messages are counted here.
type benchViewer struct {
	b    *bench
	name string
	sub  *client.Subscription

	mu     sync.Mutex
	seen   map[string]int
	gaps   []client.Gap
	events []client.Event
}

const (
	benchPublishers = 3
	benchViewers    = 5
)

// load begins the publishers and viewers.
func load(p *child, each int) *bench {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	b := &bench{t: p.t, p: p, each: each, stop: cancel, acked: map[string]int{}}
	for i := range benchViewers {
		b.viewers = append(b.viewers, b.viewer(ctx, fmt.Sprintf("viewer %d", i)))
	}
	for i := range benchPublishers {
		b.pubs.Go(func() { b.publish(ctx, fmt.Sprintf("plant/%d", i)) })
	}
	p.t.Cleanup(func() { cancel(); b.pubs.Wait(); b.watches.Wait() })
	return b
}

// viewer connects with a token that bridged token made, and waits until it is subscribed.
func (b *bench) viewer(ctx context.Context, name string) *benchViewer {
	b.t.Helper()
	ca, err := os.ReadFile(filepath.Join(b.p.data, "tls", "ca.pem"))
	if err != nil {
		b.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	code, token, errs := invoke(b.t, "", "token", "--set", "data="+b.p.data, "--sub", "bench", "--grants", "plant/#")
	if code != exitOK {
		b.t.Fatalf("token: exit %d, %s", code, errs)
	}
	v := &benchViewer{b: b, name: name, seen: map[string]int{}}
	limit, cancel := context.WithTimeout(ctx, eventually.Patience)
	defer cancel()
	c, err := client.Dial(limit, client.Options{
		URL: "wss://" + b.p.addrs.Viewers + "/ws", TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MinBackoff: 10 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
		Token:   func(context.Context) (string, error) { return strings.TrimSpace(token), nil },
		OnEvent: func(e client.Event) { v.mu.Lock(); v.events = append(v.events, e); v.mu.Unlock() },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if v.sub, err = c.Subscribe("plant/+", client.SubscribeOptions{}); err != nil {
		b.t.Fatal(err)
	}
	if u, err := v.sub.Next(limit); err != nil || u.Kind != client.KindStart {
		b.t.Fatalf("subscribe: %+v, %v", u, err)
	}
	b.watches.Go(func() {
		defer func() { _ = c.Close() }()
		for u, err := range v.sub.All(ctx) {
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					b.fail("%s: %v", name, err)
				}
				return
			}
			v.take(u)
		}
	})
	return v
}

func (v *benchViewer) take(u client.Update) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if u.Kind == client.KindGap {
		v.gaps = append(v.gaps, u.Gap)
	}
	for _, r := range u.Readings {
		if n, err := strconv.Atoi(string(r.Payload)); err != nil || n != v.seen[r.Topic] {
			v.b.fail("%s: %s is %q, want %d: lost, twice or out of order", v.name, r.Topic, r.Payload, v.seen[r.Topic])
			v.seen[r.Topic] = n
		}
		v.seen[r.Topic]++
	}
}

// of returns the viewer's events of a kind.
func (v *benchViewer) of(kind client.EventKind) (out []client.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

func (b *bench) fail(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails = append(b.fails, fmt.Sprintf(format, args...))
}

// publish sends its messages one by one with QoS 1. One that is not acknowledged is sent again, over as many connections as it
// takes, with the number by which the bridge knows it.
func (b *bench) publish(ctx context.Context, topic string) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var c *benchPublisher
	for n := 0; n < b.each; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c == nil {
			c = b.connect(ctx, topic)
			continue
		}
		_, err := c.Publish(c.life, &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(strconv.Itoa(n)),
			Properties: &paho.PublishProperties{User: paho.UserProperties{{Key: "plumbline-seq", Value: strconv.Itoa(n + 1)}}}})
		if err != nil {
			c.end()
			c = nil
			continue
		}
		n++
		b.mu.Lock()
		b.acked[topic] = n
		b.mu.Unlock()
	}
}

// benchPublisher is one connection of a publisher. Its life ends with the connection: paho itself would wait for an
// acknowledgement that cannot come.
type benchPublisher struct {
	*paho.Client
	life context.Context
	end  context.CancelFunc
}

// connect returns nil while there is no bridge.
func (b *bench) connect(ctx context.Context, id string) *benchPublisher {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", b.p.addrs.MQTT)
	if err != nil {
		return nil
	}
	c := &benchPublisher{}
	c.life, c.end = context.WithTimeout(ctx, 4*eventually.Patience)
	context.AfterFunc(c.life, func() { _ = conn.Close() })
	c.Client = paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: eventually.Patience,
		OnClientError: func(error) { c.end() }, OnServerDisconnect: func(*paho.Disconnect) { c.end() }})
	if _, err := c.Connect(c.life, &paho.Connect{ClientID: id, CleanStart: true, KeepAlive: 30}); err != nil {
		c.end()
		return nil
	}
	return c
}

// progress waits until a part of all messages is acknowledged.
func (b *bench) progress(part float64) {
	b.t.Helper()
	want := int(part * float64(b.each*benchPublishers))
	eventually.Must(b.t, fmt.Sprintf("%d messages to be acknowledged", want), func() bool { return b.sum() >= want })
}

func (b *bench) sum() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.acked {
		n += a
	}
	return n
}

// whole waits until every viewer has every message, and holds that nothing was missing, twice or out of order.
func (b *bench) whole() {
	b.t.Helper()
	b.progress(1)
	for _, v := range b.viewers {
		eventually.Must(b.t, v.name+" to have everything", func() bool {
			v.mu.Lock()
			defer v.mu.Unlock()
			n := 0
			for _, seen := range v.seen {
				n += seen
			}
			return n >= b.each*benchPublishers
		})
	}
	for _, v := range b.viewers {
		v.mu.Lock()
		gaps, st := v.gaps, v.sub.Stats()
		v.mu.Unlock()
		if len(gaps) > 0 || st.Broken > 0 || st.Resumes == 0 || st.Delivered != uint64(b.each*benchPublishers) {
			b.t.Errorf("%s: gaps %+v, stats %+v", v.name, gaps, st)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range b.fails {
		if i < 10 {
			b.t.Error(f)
		}
	}
}
