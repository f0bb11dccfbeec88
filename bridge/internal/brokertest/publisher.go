package brokertest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"plumbline/bridge/internal/eventually"
)

// Publisher is an MQTT 5 client that publishes with QoS 1, keeps what is not acknowledged and sends it again, with DUP and in
// order, after each reconnect. Message i goes to topic i mod topics with that topic's own number from 1 as payload.
type Publisher struct {
	tb     testing.TB
	addr   string
	topics []string
	seq    bool
	cancel context.CancelFunc
	ended  chan struct{}

	mu     sync.Mutex
	queue  []*packets.Publish // not acknowledged, oldest first
	sent   int                // how many of queue went out on this connection
	next   uint16
	counts map[string]int  // published per topic
	resent map[string]bool // "topic number" of what was sent more than once
	wake   chan struct{}
	paused bool
}

// NewPublisher starts a publisher of rate messages a second over these topics. With seq each message carries its number as
// plumbline-seq. Stop ends it.
func NewPublisher(tb testing.TB, addr string, rate int, seq bool, topics ...string) *Publisher {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Publisher{tb: tb, addr: addr, topics: topics, seq: seq, cancel: cancel, ended: make(chan struct{}), counts: map[string]int{}, resent: map[string]bool{}, wake: make(chan struct{}, 1)}
	var parts sync.WaitGroup
	parts.Go(func() { p.produce(ctx, rate) })
	parts.Go(func() { p.connect(ctx) })
	go func() { parts.Wait(); close(p.ended) }()
	tb.Cleanup(func() { cancel(); <-p.ended })
	return p
}

// produce adds messages at an even rate, whatever became of those before.
func (p *Publisher) produce(ctx context.Context, rate int) {
	began := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for made := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := int(time.Since(began).Seconds() * float64(rate))
		p.mu.Lock()
		for ; made < due && !p.paused; made++ {
			p.add(p.topics[made%len(p.topics)])
		}
		p.mu.Unlock()
		p.poke()
	}
}

func (p *Publisher) add(topic string) {
	p.counts[topic]++
	n := strconv.Itoa(p.counts[topic])
	if p.next++; p.next == 0 {
		p.next = 1
	}
	m := &packets.Publish{Topic: topic, Payload: []byte(n), QoS: 1, PacketID: p.next, Properties: &packets.Properties{}}
	if p.seq {
		m.Properties.User = []packets.User{{Key: "plumbline-seq", Value: n}}
	}
	p.queue = append(p.queue, m)
}

func (p *Publisher) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// connect keeps a connection.
func (p *Publisher) connect(ctx context.Context) {
	for ctx.Err() == nil {
		p.connection(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// connection is one of them, until it breaks.
func (p *Publisher) connection(ctx context.Context) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	expiry := uint32(3600)
	c := packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "publisher", KeepAlive: 60, Properties: &packets.Properties{SessionExpiryInterval: &expiry}}
	if _, err := c.WriteTo(conn); err != nil {
		return
	}
	first, err := packets.ReadPacket(conn)
	if err != nil {
		return
	}
	ack, ok := first.Content.(*packets.Connack)
	if !ok || ack.ReasonCode != 0 {
		p.tb.Errorf("publisher: answer to CONNECT: %s", first)
		return
	}
	window := 1000
	if n := ack.Properties.ReceiveMaximum; n != nil {
		window = int(*n)
	}
	p.mu.Lock()
	for _, m := range p.queue[:p.sent] {
		m.Duplicate = true
		p.resent[m.Topic+" "+string(m.Payload)] = true
	}
	p.sent = 0
	p.mu.Unlock()
	answers := make(chan uint16, 1000)
	go readAcks(conn, answers)
	p.pump(conn, window, answers)
}

func readAcks(conn net.Conn, answers chan<- uint16) {
	defer close(answers)
	for {
		pk, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		if a, ok := pk.Content.(*packets.Puback); ok {
			answers <- a.PacketID
		}
	}
}

// pump sends what the window allows and takes what is acknowledged out of the queue.
func (p *Publisher) pump(conn net.Conn, window int, answers <-chan uint16) {
	for {
		p.mu.Lock()
		send := append([]*packets.Publish(nil), p.queue[p.sent:min(len(p.queue), window)]...)
		p.mu.Unlock()
		for _, m := range send {
			p.mu.Lock()
			p.sent++ // before it is written: perhaps it arrives although the write fails
			p.mu.Unlock()
			if _, err := m.WriteTo(conn); err != nil {
				_ = conn.Close()
				for range answers { // so that its goroutine ends
				}
				return
			}
		}
		select {
		case <-p.wake:
		case id, open := <-answers:
			if !open {
				return
			}
			p.acked(id)
		}
	}
}

// acked removes a message. A broker acknowledges in order [MQTT-4.6.0-2].
func (p *Publisher) acked(id uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent == 0 || p.queue[0].PacketID != id {
		p.tb.Errorf("publisher: PUBACK %d out of order", id)
		return
	}
	p.queue = p.queue[1:]
	p.sent--
}

// Count returns how many messages there are so far.
func (p *Publisher) Count() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.counts {
		n += c
	}
	return n
}

// Finish makes no more messages and waits until the broker has all. It returns how many went to each topic, and which
// messages, as "topic number", were sent more than once.
func (p *Publisher) Finish() (counts map[string]int, resent map[string]bool) {
	p.tb.Helper()
	p.mu.Lock()
	p.paused = true
	p.mu.Unlock()
	eventually.Must(p.tb, "the broker to acknowledge everything", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.queue) == 0
	})
	p.cancel()
	<-p.ended
	return p.counts, p.resent
}

// Await waits until n messages were made.
func (p *Publisher) Await(n int) {
	p.tb.Helper()
	eventually.Must(p.tb, fmt.Sprintf("%d messages to be published", n), func() bool { return p.Count() >= n })
}
