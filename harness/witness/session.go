package witness

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/harness/mqttwire"
	"plumbline/harness/record"
)

// connectLimit bounds an attempt up to the last SUBACK. It is short because a
// broker that is going down may accept a connection and never look at it.
const connectLimit = 3 * time.Second

// RefusedError tells of a broker that answered and said no.
type RefusedError struct {
	Code   byte   // MQTT 5 reason code, section 2.4
	Filter string // of the subscription that was refused, "" for the connection
}

// Error implements error.
func (e *RefusedError) Error() string {
	if e.Filter != "" {
		return fmt.Sprintf("broker refused the subscription to %q with reason code 0x%02X", e.Filter, e.Code)
	}
	return fmt.Sprintf("broker refused the connection with reason code 0x%02X", e.Code)
}

// passing reports whether the same may be let in a little later: the broker is
// not ready or has too much to do (MQTT 3.1.1 section 3.2.2.3, MQTT 5 section 2.4).
func (e *RefusedError) passing() bool {
	return e.Filter == "" && slices.Contains([]byte{0x03, 0x88, 0x89, 0x97, 0x9F}, e.Code)
}

// session is one connection to the broker. The packets are read here and not by
// a client library: a library hands them on from goroutine to goroutine before
// anybody can stamp them.
type session struct {
	version byte
	alive   time.Duration // keep alive; the broker has the last word (MQTT 5 section 3.2.2.3.14)
	conn    net.Conn
	in      *bufio.Reader
	write   sync.Mutex
	stop    func() bool
	early   []arrival // PUBLISH that came before SUBACK, which is allowed (section 3.8.4)
	waiting int       // bytes of payloads in early
}

type arrival struct {
	at int64
	m  mqttwire.Message
}

// What a broker can make a witness keep is bounded.
const (
	packetLimit = 16 << 20 // bytes of one packet
	earlyLimit  = 10_000   // messages before SUBACK, of packetLimit bytes in all

	plausibleEvery = 10_000 // messages between two looks at Config.Plausible
)

// clientID is unique, so that two witnesses do not take over each other's session.
func clientID(name string) string {
	return name + "-" + strings.ToLower(rand.Text()[:10])
}

func (w *Witness) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := w.dial(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{version: w.wanted.Version, alive: w.cfg.KeepAlive, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	s.stop = context.AfterFunc(w.ctx, func() { _ = conn.Close() })
	unwatch := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = w.enter(s)
	if !unwatch() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	w.mu.Lock()
	w.session = s
	w.counters.Connects++
	w.wakeLocked()
	w.mu.Unlock()
	w.event(record.Subscribed, nil)
	for _, a := range s.early {
		if err := w.witness(s, a.at, a.m); err != nil {
			break // serve finds the same error
		}
	}
	s.early = nil
	return s, nil
}

func (w *Witness) dial(ctx context.Context) (net.Conn, error) {
	address := w.cfg.Broker.Host
	secure := w.cfg.Broker.Scheme == "mqtts"
	if w.cfg.Broker.Port() == "" {
		port := "1883"
		if secure {
			port = "8883"
		}
		address = net.JoinHostPort(w.cfg.Broker.Hostname(), port)
	}
	dial := w.cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil || !secure {
		return conn, err
	}
	config := w.cfg.TLS.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if config.ServerName == "" {
		config.ServerName = w.cfg.Broker.Hostname()
	}
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return client, nil
}

// enter says CONNECT and SUBSCRIBE and waits for both answers. No Receive
// Maximum is announced: some brokers stall for good when it is reached.
func (w *Witness) enter(s *session) error {
	hello, err := mqttwire.Connection{
		Version: w.wanted.Version, ClientID: w.id, Clean: true, KeepAlive: uint16(w.cfg.KeepAlive / time.Second),
		Username: w.cfg.Username, Password: w.cfg.Password,
	}.Packet()
	if err == nil {
		err = s.send(hello)
	}
	if err != nil {
		return err
	}
	packet, err := w.read(s)
	if err != nil {
		return err
	}
	if packet.Type != mqttwire.TypeConnack {
		return fmt.Errorf("broker answered CONNECT with a packet of type %d", packet.Type)
	}
	switch answer, err := packet.Connack(w.wanted.Version); {
	case err != nil:
		return err
	case answer.Code != 0:
		return &RefusedError{Code: answer.Code}
	case answer.KeepAlive > 0:
		s.alive = time.Duration(answer.KeepAlive) * time.Second
	}
	w.event(record.Connected, nil)
	return w.subscribe(s)
}

// subscribe waits for SUBACK and keeps the messages that come before it.
func (w *Witness) subscribe(s *session) error {
	ask, err := w.wanted.Packet()
	if err == nil {
		err = s.send(ask)
	}
	for err == nil {
		var packet mqttwire.Packet
		if packet, err = w.read(s); err != nil {
			return err
		}
		at := w.clock.Now()
		switch packet.Type {
		case mqttwire.TypeSuback:
			return w.granted(packet)
		case mqttwire.TypePublish:
			var m mqttwire.Message
			m, err = packet.Message(w.wanted.Version, w.wanted.QoS)
			s.early, s.waiting = append(s.early, arrival{at, m}), s.waiting+len(packet.Body)
			if len(s.early) > earlyLimit || s.waiting > packetLimit {
				return fmt.Errorf("broker sent %d messages of %d bytes and no answer to SUBSCRIBE", len(s.early), s.waiting)
			}
		}
	}
	return err
}

func (w *Witness) granted(suback mqttwire.Packet) error {
	codes, _, err := suback.Answered(w.wanted)
	if err != nil {
		return err
	}
	for i, code := range codes {
		if code >= 0x80 {
			return &RefusedError{Code: code, Filter: w.cfg.Filters[i]}
		}
	}
	return nil
}

// read reads one packet; the broker must show a sign of life within 1.5 times
// the keep-alive, because we send a PINGREQ each time half of it is over.
func (w *Witness) read(s *session) (mqttwire.Packet, error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(s.alive * 3 / 2))
	return mqttwire.Read(s.in, packetLimit)
}

// serve witnesses until the connection ends.
func (w *Witness) serve(s *session) error {
	over := make(chan struct{})
	var pinger sync.WaitGroup
	defer pinger.Wait()
	defer close(over)
	pinger.Go(func() {
		tick := time.NewTicker(s.alive / 2)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if s.send([]byte{mqttwire.TypePingreq << 4, 0}) != nil {
					return // the reader notices as well
				}
			case <-over:
				return
			}
		}
	})
	for {
		packet, err := w.read(s)
		at := w.clock.Now() // bound of t1: the broker had it before
		if err != nil {
			return err
		}
		switch packet.Type {
		case mqttwire.TypePublish:
			m, err := packet.Message(w.wanted.Version, w.wanted.QoS)
			if err == nil {
				err = w.witness(s, at, m)
			}
			if err != nil {
				return err
			}
		case mqttwire.TypeDisconnect:
			told, err := packet.Disconnect()
			if err != nil {
				return err
			}
			return fmt.Errorf("broker disconnected with reason code 0x%02X: %s", told.Code, told.Reason)
		}
	}
}

// witness records a message and acknowledges it. MQTT 3.1.1 sends what is
// retained whether one likes it or not: that is no message of now.
func (w *Witness) witness(s *session, at int64, m mqttwire.Message) error {
	if !m.Retain || w.wanted.Version == mqttwire.V5 {
		if err := w.record(at, m); err != nil {
			return err
		}
	}
	if m.QoS != 1 {
		return nil
	}
	return s.send(mqttwire.AppendPuback(nil, m.ID))
}

func (w *Witness) record(at int64, m mqttwire.Message) error {
	rec := record.Record{
		Kind: record.Witnessed, Node: w.node, Stream: record.NoStream, At: at,
		Digest: w.cfg.Recorder.Digest(m.Payload), Bytes: uint32(len(m.Payload)),
	}
	if m.Retain {
		rec.Flags |= record.FlagRetained
	}
	if m.Dup {
		rec.Flags |= record.FlagDup
	}
	if w.cfg.Resolve != nil {
		var flags uint8
		rec.Stream, rec.Seq, flags = w.cfg.Resolve(string(m.Topic), m.Payload)
		rec.Flags |= flags
	} else {
		rec.Flags |= record.FlagForeign
	}
	w.cfg.Recorder.Add(rec)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counters.Witnessed++
	if w.cfg.Resolve != nil && !w.came.First(rec.Stream, rec.Seq) {
		w.counters.Again++
	}
	w.wakeLocked()
	if n := w.counters.Witnessed; w.cfg.Plausible != nil && n%plausibleEvery == 0 {
		if most := w.cfg.Plausible(); n > most {
			return fmt.Errorf("%w: %d came, %d are plausible", ErrFlood, n, most)
		}
	}
	return nil
}

func (s *session) send(packet []byte) error {
	s.write.Lock()
	defer s.write.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(connectLimit))
	_, err := s.conn.Write(packet)
	return err
}

// disconnect says goodbye, so that the broker ends the session at once. On a
// connection that is gone already there is nobody to say it to.
func (s *session) disconnect() { _ = s.send(mqttwire.Goodbye(s.version, false)) }

// close drops the connection. It is idempotent.
func (s *session) close() {
	s.stop()
	_ = s.conn.Close()
}
