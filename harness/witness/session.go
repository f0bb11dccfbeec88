package witness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"

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

// session is one connection to the broker. The packets are read here and not by
// a client library: a library hands them on from goroutine to goroutine before
// anybody can stamp them.
type session struct {
	conn  net.Conn
	in    *bufio.Reader
	write sync.Mutex
	stop  func() bool
	early []arrival // PUBLISH that came before SUBACK, which is allowed (section 3.8.4)
}

type arrival struct {
	at int64
	p  *packets.Publish
}

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
	s := &session{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
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
		if err := w.witness(s, a.at, a.p); err != nil {
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
	connect := &packets.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: w.id, CleanStart: true,
		KeepAlive: uint16(max(w.cfg.KeepAlive/time.Second, 1)), Properties: &packets.Properties{},
		UsernameFlag: w.cfg.Username != "", Username: w.cfg.Username,
		PasswordFlag: w.cfg.Password != "", Password: []byte(w.cfg.Password),
	}
	subscribe := &packets.Subscribe{PacketID: 1, Properties: &packets.Properties{}}
	for _, filter := range w.cfg.Filters {
		subscribe.Subscriptions = append(subscribe.Subscriptions, packets.SubOptions{
			Topic: filter, QoS: w.cfg.QoS, RetainHandling: packets.RetainDoNotSend,
		})
	}
	if err := s.send(connect); err != nil {
		return err
	}
	answer, err := w.read(s)
	if err != nil {
		return err
	}
	connack, ok := answer.Content.(*packets.Connack)
	switch {
	case !ok:
		return fmt.Errorf("broker answered CONNECT with %s", answer.PacketType())
	case connack.ReasonCode != packets.ConnackSuccess:
		return &RefusedError{Code: connack.ReasonCode}
	}
	w.event(record.Connected, nil)
	if err := s.send(subscribe); err != nil {
		return err
	}
	for {
		packet, err := w.read(s)
		if err != nil {
			return err
		}
		switch content := packet.Content.(type) {
		case *packets.Suback:
			return w.granted(content)
		case *packets.Publish:
			s.early = append(s.early, arrival{w.clock.Now(), content})
		}
	}
}

func (w *Witness) granted(suback *packets.Suback) error {
	if len(suback.Reasons) != len(w.cfg.Filters) {
		return fmt.Errorf("broker answered %d of %d subscriptions", len(suback.Reasons), len(w.cfg.Filters))
	}
	for i, code := range suback.Reasons {
		if code >= 0x80 {
			return &RefusedError{Code: code, Filter: w.cfg.Filters[i]}
		}
	}
	return nil
}

// read reads one packet; the broker must show a sign of life within 1.5 times
// the keep-alive, because we send a PINGREQ each time half of it is over.
func (w *Witness) read(s *session) (*packets.ControlPacket, error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(w.cfg.KeepAlive * 3 / 2))
	return packets.ReadPacket(s.in)
}

// serve witnesses until the connection ends.
func (w *Witness) serve(s *session) error {
	over := make(chan struct{})
	var pinger sync.WaitGroup
	defer pinger.Wait()
	defer close(over)
	pinger.Go(func() {
		tick := time.NewTicker(max(w.cfg.KeepAlive/2, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if s.send(&packets.Pingreq{}) != nil {
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
		switch content := packet.Content.(type) {
		case *packets.Publish:
			if err := w.witness(s, at, content); err != nil {
				return err
			}
		case *packets.Disconnect:
			return fmt.Errorf("broker disconnected with reason code 0x%02X", content.ReasonCode)
		}
	}
}

// witness records a message and acknowledges it.
func (w *Witness) witness(s *session, at int64, p *packets.Publish) error {
	rec := record.Record{
		Kind: record.Witnessed, Node: w.node, Stream: record.NoStream, At: at,
		Digest: w.cfg.Recorder.Digest(p.Payload), Bytes: uint32(len(p.Payload)),
	}
	if p.Retain {
		rec.Flags |= record.FlagRetained
	}
	if p.Duplicate {
		rec.Flags |= record.FlagDup
	}
	if w.cfg.Resolve != nil {
		var flags uint8
		rec.Stream, rec.Seq, flags = w.cfg.Resolve(p.Topic, p.Payload)
		rec.Flags |= flags
	} else {
		rec.Flags |= record.FlagForeign
	}
	w.cfg.Recorder.Add(rec)
	w.mu.Lock()
	w.counters.Witnessed++
	w.wakeLocked()
	w.mu.Unlock()
	if p.QoS != 1 {
		return nil
	}
	return s.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
}

func (s *session) send(p interface {
	WriteTo(w io.Writer) (int64, error)
}) error {
	var buf bytes.Buffer
	if _, err := p.WriteTo(&buf); err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(connectLimit))
	_, err := s.conn.Write(buf.Bytes())
	return err
}

// disconnect says goodbye, so that the broker ends the session at once. On a
// connection that is gone already there is nobody to say it to.
func (s *session) disconnect() { _ = s.send(&packets.Disconnect{Properties: &packets.Properties{}}) }

// close drops the connection. It is idempotent.
func (s *session) close() {
	s.stop()
	_ = s.conn.Close()
}
