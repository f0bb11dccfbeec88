package viewer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/mqttwire"
	"plumbline/harness/record"
)

// sessionExpiry is how long a server shall keep the session of a viewer that
// wants to resume (MQTT 5 section 3.1.2.11.2).
const sessionExpiry = 600 // seconds

// mqtt speaks MQTT 3.1.1 or 5 over WebSocket (MQTT 5 section 6), on QoS 1 or 0.
// The packets are read here and not by a client library: a library hands them
// on from goroutine to goroutine before anybody can stamp them.
type mqtt struct {
	*Viewer
	version byte
	alive   uint16 // keep alive in seconds
	client  string
	wanted  mqttwire.Subscription
	topics  topics

	live   bool // all filters are confirmed in this session; guarded by the viewer's lock
	before bool // there was a session that could be resumed
}

func newMQTT(v *Viewer) (*mqtt, error) {
	version, err := mqttwire.Version(v.cfg.MQTTVersion)
	if err != nil {
		return nil, err
	}
	if v.cfg.QoS > 1 {
		return nil, fmt.Errorf("QoS %d is not spoken; viewers subscribe with 0 or 1", v.cfg.QoS)
	}
	alive := DefaultKeepAlive
	switch {
	case v.cfg.KeepAlive == 0:
	case v.cfg.KeepAlive%time.Second != 0 || v.cfg.KeepAlive < 0 || v.cfg.KeepAlive/time.Second > math.MaxUint16:
		return nil, fmt.Errorf("keep alive of %v; MQTT can tell whole seconds, at most %d", v.cfg.KeepAlive, math.MaxUint16)
	default:
		alive = v.cfg.KeepAlive
	}
	return &mqtt{
		Viewer: v, version: version, topics: topics{}, alive: uint16(alive / time.Second),
		// Unique, so that two viewers do not take over each other's session.
		client: v.cfg.Name + "-" + strings.ToLower(rand.Text()[:10]),
		wanted: mqttwire.Subscription{Version: version, ID: 1, Filters: v.cfg.Filters, QoS: v.cfg.QoS},
	}, nil
}

func (m *mqtt) subscribed() bool { return m.live }

func (m *mqtt) dial(ctx context.Context, token string) (session, error) {
	socket, err := m.dialSocket(ctx, token, or(m.cfg.Subprotocol, "mqtt"))
	if err != nil {
		return nil, err
	}
	s := &mqttSession{socket: socket, m: m, done: make(chan struct{})}
	if m.cfg.Place.In == InMQTTPassword && token != "" {
		s.username, s.password = or(m.cfg.Place.Name, m.cfg.Name), token
	}
	m.mu.Lock()
	m.live = false
	m.mu.Unlock()
	return s, nil
}

// mqttSession is one connection.
type mqttSession struct {
	*socket
	m                  *mqtt
	username, password string
	pending            []byte        // of a packet that is not whole yet
	acks               []byte        // PUBACKs for what was read
	granted            byte          // highest QoS of SUBACK
	answered           bool          // CONNACK came
	resumed            bool          // the server kept the session
	keepAlive          uint16        // of the server, seconds; 0 when it did not say
	done               chan struct{} // closed with the session
	once               sync.Once
}

// enter says CONNECT, waits for CONNACK and subscribes, unless the server kept
// the subscriptions with the session.
func (s *mqttSession) enter() error {
	m := s.m
	c := mqttwire.Connection{
		Version: m.version, ClientID: m.client, Clean: !m.cfg.Resume, KeepAlive: m.alive, Username: s.username, Password: s.password,
	}
	if m.cfg.Resume {
		c.Expiry = sessionExpiry
	}
	packet, err := c.Packet()
	if err == nil {
		err = s.send(websocket.BinaryMessage, packet)
	}
	if err = errors.Join(err, s.readUntil(err, func() bool { return s.answered })); err != nil {
		return err
	}
	keepAlive := time.Duration(m.alive) * time.Second
	if s.keepAlive > 0 { // [MQTT-3.1.2-21]
		keepAlive = time.Duration(s.keepAlive) * time.Second
	}
	if s.silence = m.cfg.Silence; s.silence <= 0 {
		s.silence = 2 * keepAlive
	}
	interval := min(keepAlive, s.silence) / 3
	m.tasks.Go(func() { s.ping(interval) })
	if s.resumed {
		return nil
	}
	packet, err = m.wanted.Packet()
	if err == nil {
		s.granted = m.cfg.QoS // PUBLISH may come before SUBACK (section 3.8.4)
		err = s.send(websocket.BinaryMessage, packet)
	}
	return errors.Join(err, s.readUntil(err, m.Connected))
}

// readUntil handles frames until enough says so; it does nothing after an error.
func (s *mqttSession) readUntil(before error, enough func() bool) error {
	for before == nil && !enough() {
		if err := s.step(); err != nil {
			return err
		}
	}
	return nil
}

// ping keeps the connection busy: an answer is due for each PINGREQ, so that a
// server without data is told from one that is gone.
func (s *mqttSession) ping(interval time.Duration) {
	tick := time.NewTicker(max(interval, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
			if s.send(websocket.BinaryMessage, []byte{mqttwire.TypePingreq << 4, 0}) != nil {
				return // the reader notices a dead connection itself
			}
		}
	}
}

// step reads one frame and handles every packet that it makes whole: packets
// may be split over frames and joined in one [MQTT-6.0.0-2].
func (s *mqttSession) step() error {
	at, opcode, data, err := s.read()
	if err != nil {
		return err
	}
	m := s.m
	m.mu.Lock()
	if opcode != websocket.BinaryMessage {
		err = mqttwire.Malformed("in a text frame") // [MQTT-6.0.0-1]
	} else {
		err = s.packets(at, data)
	}
	wrong := err
	if !errors.Is(err, mqttwire.ErrMalformed) {
		wrong = nil // a refusal, well put
	}
	flood := m.tookLocked(data, wrong)
	m.mu.Unlock()
	if err == nil && len(s.acks) > 0 {
		err = s.send(websocket.BinaryMessage, s.acks)
		s.acks = s.acks[:0]
	}
	return errors.Join(flood, err)
}

// packets handles the packets that data makes whole and keeps the rest. What
// was kept before is copied no more: a packet that comes byte by byte costs no
// more than one in one piece.
func (s *mqttSession) packets(at int64, data []byte) error {
	if len(s.pending) > 0 {
		s.pending = append(s.pending, data...)
		data = s.pending
	}
	whole := 0
	for {
		p, size, err := mqttwire.Cut(data[whole:], frameLimit)
		if err == nil && whole < len(data) {
			err = s.expects(p) // before the rest of it is waited for
		}
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		if err := s.packet(at, p); err != nil {
			return err
		}
		whole += size
	}
	if whole > 0 || len(s.pending) == 0 {
		s.pending = append(s.pending[:0], data[whole:]...)
	}
	return nil
}

// expects finds a packet that may not come now, by its first byte.
func (s *mqttSession) expects(p mqttwire.Packet) error {
	switch {
	case p.Type != mqttwire.TypePublish && p.Flags != 0:
		return mqttwire.Malformed("packet of type %d with flags %#x", p.Type, p.Flags) // [MQTT-2.1.3-1]
	case !s.answered && p.Type != mqttwire.TypeConnack:
		return mqttwire.Malformed("packet of type %d before CONNACK", p.Type) // [MQTT-3.2.0-1]
	}
	return nil
}

func (s *mqttSession) packet(at int64, p mqttwire.Packet) error {
	switch p.Type {
	case mqttwire.TypePublish:
		return s.publish(at, p)
	case mqttwire.TypeConnack:
		return s.connack(at, p)
	case mqttwire.TypeSuback:
		return s.suback(at, p)
	case mqttwire.TypePingresp:
		s.m.counters.Heartbeats++
		return nil
	case mqttwire.TypeDisconnect:
		if s.m.version == mqttwire.V5 {
			return disconnectedBy(p)
		}
	}
	return mqttwire.Malformed("packet of type %d from a server", p.Type)
}

// publish records one message and acknowledges it.
func (s *mqttSession) publish(at int64, p mqttwire.Packet) error {
	m := s.m
	got, err := p.Message(m.version, s.granted)
	if err != nil {
		return err
	}
	topic, fresh := m.topicLocked(m.topics, got.Topic)
	if fresh && !m.takes(topic) {
		m.outsideLocked(at, topic, "filters", strings.Join(m.cfg.Filters, " "))
	}
	kind, r := record.Received, reading{topic: got.Topic, payload: got.Payload}
	if got.Retain { // [MQTT-3.3.1-8]: it was there before the subscription
		kind, r.flags = record.Restored, record.FlagRetained
	}
	if got.Dup {
		r.flags |= record.FlagDup
	}
	m.recordLocked(at, kind, topic, r)
	m.countLocked(kind, 1)
	if m.cfg.Said != nil {
		m.cfg.Said(topic, got.Payload, got.Properties())
	}
	if got.ID != 0 {
		s.acks = mqttwire.AppendPuback(s.acks, got.ID)
	}
	return nil
}

// takes reports whether any filter takes the topic.
func (m *mqtt) takes(topic string) bool {
	for _, filter := range m.cfg.Filters {
		if matches(filter, topic) {
			return true
		}
	}
	return false
}

// connack reads section 3.2.
func (s *mqttSession) connack(at int64, p mqttwire.Packet) error {
	m := s.m
	if s.answered {
		return mqttwire.Malformed("second CONNACK in one session")
	}
	answer, err := p.Connack(m.version)
	switch {
	case err != nil:
		return err
	case answer.Code != 0:
		return m.refuse("CONNACK", answer.Code, answer.Reason, "")
	case answer.Present && !m.cfg.Resume:
		return mqttwire.Malformed("CONNACK with a session that was to begin clean") // [MQTT-3.2.2-2]
	}
	s.answered, s.resumed, s.keepAlive = true, answer.Present, answer.KeepAlive
	m.admitLocked(s, at, "session", m.client, "protocol", "mqtt "+or(m.cfg.MQTTVersion, "5"), "present", strconv.FormatBool(s.resumed))
	if s.resumed { // with its subscriptions; what waited there comes next
		s.granted = m.cfg.QoS
		m.confirmLocked(s, at, nil)
	}
	return nil
}

// suback reads section 3.9.
func (s *mqttSession) suback(at int64, p mqttwire.Packet) error {
	m := s.m
	if m.live {
		return mqttwire.Malformed("second SUBACK in one session")
	}
	codes, granted, err := p.Answered(m.wanted)
	if err != nil {
		return err
	}
	for i, code := range codes {
		if code >= 0x80 {
			return m.refuse("SUBACK", code, mqttwire.ReasonName(code), m.cfg.Filters[i])
		}
	}
	s.granted = granted
	m.confirmLocked(s, at, codes)
	return nil
}

// confirmLocked writes down that every filter is subscribed; codes are those of
// SUBACK, none when the session was resumed with its subscriptions.
func (m *mqtt) confirmLocked(s *mqttSession, at int64, codes []byte) {
	reason := ""
	switch {
	case s.resumed:
	case !m.before:
		reason = "first session"
	case m.cfg.Resume:
		reason = "the server kept no session"
	default:
		reason = "the session was to begin clean"
	}
	for i, filter := range m.cfg.Filters {
		granted := ""
		if codes != nil {
			granted = strconv.Itoa(int(codes[i]))
		}
		m.eventAt(at, record.Subscribed, "", "filter", filter, "granted", granted, "recovered", strconv.FormatBool(s.resumed), "reason", reason)
	}
	m.live, m.before = true, true
}

// refuse writes a refusal down and returns it.
func (m *mqtt) refuse(packet string, code byte, reason, filter string) error {
	m.event(record.Refused, reason, "packet", packet, "code", fmt.Sprintf("0x%02X", code), "filter", filter)
	return &RefusedError{Packet: packet, Code: int(code), Reason: m.tokens.excerpt(reason, textLimit), Filter: filter}
}

// goodbye says DISCONNECT (section 3.14), which ends a session that was to be
// kept when the protocol can say so, and then what WebSocket wants.
func (s *mqttSession) goodbye() error {
	if err := s.send(websocket.BinaryMessage, mqttwire.Goodbye(s.m.version, s.m.cfg.Resume)); err != nil {
		return err
	}
	return s.socket.goodbye()
}

func (s *mqttSession) close() {
	s.once.Do(func() { close(s.done) })
	s.socket.close()
}

// mqttEnd is a DISCONNECT of the server (MQTT 5 section 3.14).
type mqttEnd struct {
	code   byte
	reason string
}

func (e *mqttEnd) Error() string {
	return fmt.Sprintf("DISCONNECT with reason code 0x%02X: %s", e.code, e.reason)
}

func disconnectedBy(p mqttwire.Packet) error {
	answer, err := p.Disconnect()
	if err != nil {
		return err
	}
	return &mqttEnd{code: answer.Code, reason: answer.Reason}
}

func (s *mqttSession) ending(err error) ending {
	var end *mqttEnd
	if errors.As(err, &end) {
		return ending{code: int(end.code), packet: "DISCONNECT", reason: end.reason}
	}
	return s.socket.ending(err)
}
