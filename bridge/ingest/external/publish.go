package external

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"plumbline/bridge/topic"
)

// The errors of Publish that callers branch on.
var (
	// ErrNoRoute: no external broker has the topic's prefix.
	ErrNoRoute = errors.New("external: no broker has a prefix of this topic")
	// ErrNotConnected: nothing was sent.
	ErrNotConnected = errors.New("external: not connected")
	// ErrUnknownOutcome: the message was sent and the connection broke, or the context ended, before the broker answered. It
	// is not sent again: a command that is carried out twice may do harm.
	ErrUnknownOutcome = errors.New("external: sent, but not answered")
	// ErrRefused: the broker answered with a reason code that says no, or can never take the message.
	ErrRefused = errors.New("external: refused")
)

// upstreamSuffix makes the client id of the upstream connection. Packet identifiers and limits of the two directions must not
// touch each other.
const upstreamSuffix = "-pub"

// upstream holds the connection for publishing: none until the first message, kept then, made anew by the first message after
// it broke.
type upstream struct {
	ctx   context.Context // ends with close
	stop  context.CancelFunc
	turn  chan struct{} // one token: who holds it may look at and replace link
	links sync.WaitGroup

	link    *uplink   // nil = none
	failed  error     // of the last attempt
	retryAt time.Time // no attempt before
}

func (u *upstream) init() {
	u.ctx, u.stop = context.WithCancel(context.Background())
	u.turn = make(chan struct{}, 1)
	u.turn <- struct{}{}
}

func (u *upstream) close() {
	u.stop()
	u.links.Wait()
}

// uplink is one connection for publishing.
type uplink struct {
	l      *link
	window chan struct{} // tokens: what the broker's Receive Maximum leaves [MQTT-3.3.4-9]
	most   int           // the broker's Maximum Packet Size
	qos    byte          // the broker's Maximum QoS
	ended  chan struct{} // closed when the connection is no more

	mu      sync.Mutex
	next    uint16
	pending map[uint16]chan *packets.Puback // each with room for one
}

// Publish sends a message to the broker and, with QoS 1, waits for its answer. name is the bridge's topic, with the prefix of
// this source; qos is 0 or 1. It blocks until ctx ends at the longest. Errors wrap ErrNoRoute, ErrNotConnected, ErrRefused or
// ErrUnknownOutcome.
func (s *Source) Publish(ctx context.Context, name string, payload []byte, qos byte) error {
	err := s.publishUp(ctx, name, payload, qos)
	result := "sent"
	switch {
	case errors.Is(err, ErrUnknownOutcome):
		result = "unknown"
	case errors.Is(err, ErrNotConnected):
		result = "not-connected"
	case err != nil:
		result = "refused"
	}
	s.gauges.published(result)
	return err
}

func (s *Source) publishUp(ctx context.Context, name string, payload []byte, qos byte) error {
	rest, ours := strings.CutPrefix(name, s.opts.Prefix)
	if !ours {
		return fmt.Errorf("%w: broker %s has prefix %q", ErrNoRoute, s.opts.Name, s.opts.Prefix)
	}
	if err := topic.ValidName(rest); err != nil || topic.Reserved(rest) {
		return fmt.Errorf("%w: not a topic that may be published to: %w", ErrRefused, err)
	}
	if qos > 1 {
		return fmt.Errorf("%w: QoS %d, want 0 or 1", ErrRefused, qos)
	}
	up, err := s.uplink(ctx)
	if err != nil {
		return err
	}
	return up.publish(ctx, &packets.Publish{Topic: rest, Payload: payload, QoS: qos, Properties: &packets.Properties{}})
}

// uplink returns the present connection, or makes one.
func (s *Source) uplink(ctx context.Context) (*uplink, error) {
	u := &s.up
	select {
	case <-u.turn:
		defer func() { u.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrNotConnected, ctx.Err())
	}
	if err := u.ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotConnected, errStopped)
	}
	if u.link != nil {
		select {
		case <-u.link.ended:
			u.link = nil
		default:
			return u.link, nil
		}
	}
	if s.opts.Now().Before(u.retryAt) {
		return nil, fmt.Errorf("%w: %w", ErrNotConnected, u.failed)
	}
	l, ack, err := s.dial(u.ctx, handshake{clientID: s.opts.ClientID + upstreamSuffix, cleanStart: true})
	if err != nil {
		u.failed, u.retryAt = err, s.opts.Now().Add(s.opts.ReconnectMin)
		s.log.Warn("cannot publish to the external broker", "error", err)
		return nil, fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	u.link = newUplink(l, ack)
	u.links.Go(u.link.run)
	return u.link, nil
}

func newUplink(l *link, ack *packets.Connack) *uplink {
	up := &uplink{l: l, most: math.MaxInt, qos: 2, ended: make(chan struct{}), pending: map[uint16]chan *packets.Puback{}}
	window := uint16(math.MaxUint16)
	if n := ack.Properties.ReceiveMaximum; n != nil && *n > 0 {
		window = *n
	}
	if n := ack.Properties.MaximumPacketSize; n != nil {
		up.most = int(*n)
	}
	if n := ack.Properties.MaximumQOS; n != nil {
		up.qos = *n
	}
	up.window = make(chan struct{}, min(window, maxUpstream))
	return up
}

// maxUpstream bounds the commands that wait for the broker's answer.
const maxUpstream = 256

// run reads the answers until the connection ends.
func (up *uplink) run() {
	defer close(up.ended)
	defer up.l.close()
	for {
		p, err := up.l.read()
		if err != nil {
			if code, is := breach(err); is {
				up.l.leave(code, err.Error())
			} else if up.l.ctx.Err() != nil {
				up.l.leave(packets.DisconnectNormalDisconnection, "")
			}
			return
		}
		switch c := p.Content.(type) {
		case *packets.Puback:
			up.answer(c)
		case *packets.Disconnect:
			return
		}
	}
}

func (up *uplink) answer(c *packets.Puback) {
	up.mu.Lock()
	waiting, known := up.pending[c.PacketID]
	delete(up.pending, c.PacketID)
	up.mu.Unlock()
	if known {
		waiting <- c
		<-up.window
	}
}

// publish sends p and waits for the answer.
func (up *uplink) publish(ctx context.Context, p *packets.Publish) error {
	const overhead = 16 // fixed header, lengths, identifier, empty properties
	if len(p.Topic)+len(p.Payload)+overhead > up.most {
		return fmt.Errorf("%w: the broker takes packets of up to %d bytes", ErrRefused, up.most)
	}
	if p.QoS > up.qos {
		return fmt.Errorf("%w: the broker takes QoS %d only [MQTT-3.2.2-11]", ErrRefused, up.qos)
	}
	if p.QoS == 0 {
		if err := up.l.send(p); err != nil {
			up.l.close() // perhaps half a packet went out
			return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
		return nil
	}
	select {
	case up.window <- struct{}{}:
	case <-up.ended:
		return fmt.Errorf("%w: the connection broke", ErrNotConnected)
	case <-ctx.Done():
		return fmt.Errorf("%w: too many commands wait for the broker: %w", ErrNotConnected, ctx.Err())
	}
	answer := up.register(p)
	if err := up.l.send(p); err != nil {
		up.l.close()
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	select {
	case a := <-answer:
		if a.ReasonCode >= 0x80 {
			return fmt.Errorf("%w with 0x%02X: %s%s", ErrRefused, a.ReasonCode, a.Reason(), quoted(a.Properties.ReasonString))
		}
		return nil
	case <-up.ended:
		return fmt.Errorf("%w: the connection broke", ErrUnknownOutcome)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err()) // its token comes back with the answer
	}
}

// register gives p a free identifier. There is one: fewer are in use than the window has tokens.
func (up *uplink) register(p *packets.Publish) <-chan *packets.Puback {
	answer := make(chan *packets.Puback, 1)
	up.mu.Lock()
	defer up.mu.Unlock()
	for {
		if up.next++; up.next != 0 && up.pending[up.next] == nil {
			break
		}
	}
	p.PacketID = up.next
	up.pending[p.PacketID] = answer
	return answer
}

// Sources are the external brokers of a bridge.
type Sources []*Source

// For returns the source whose prefix is the longest that the topic has, nil when none has one.
func (ss Sources) For(name string) *Source {
	var best *Source
	for _, s := range ss {
		if strings.HasPrefix(name, s.opts.Prefix) && (best == nil || len(s.opts.Prefix) > len(best.opts.Prefix)) {
			best = s
		}
	}
	return best
}

// Publish sends a message to the broker that the topic belongs to; see [Source.Publish].
func (ss Sources) Publish(ctx context.Context, name string, payload []byte, qos byte) error {
	if s := ss.For(name); s != nil {
		return s.Publish(ctx, name, payload, qos)
	}
	return ErrNoRoute
}

// Status returns how each source stands, and whether at least one is connected.
func (ss Sources) Status() (all []Status, connected bool) {
	for _, s := range ss {
		st := s.Status()
		all = append(all, st)
		connected = connected || st.Connected
	}
	return all, connected
}
