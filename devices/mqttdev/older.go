package mqttdev

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// older speaks MQTT 3.1.1, for brokers that know nothing newer and because most
// sensors of the field do. It is written here: the library of that version
// neither waits for its goroutines nor says why an attempt to connect failed.
type older struct {
	cfg    linkConfig
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	write sync.Mutex // one packet at a time

	mu    sync.Mutex // guards what follows
	conn  net.Conn   // nil while there is none
	waits map[uint16]chan error
	last  uint16 // packet identifier
}

func newOlder(cfg linkConfig) *older {
	o := &older{cfg: cfg, done: make(chan struct{}), waits: map[uint16]chan error{}}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	go o.run()
	return o
}

// run serves one connection after another until the end.
func (o *older) run() {
	defer close(o.done)
	for wait := time.Duration(0); o.pause(wait); wait = o.cfg.retry {
		conn, in, present, err := o.connect()
		if err != nil {
			if o.ctx.Err() == nil {
				o.cfg.failed(err)
			}
			continue
		}
		o.mu.Lock()
		o.conn = conn
		o.mu.Unlock()
		o.cfg.up(present)
		err = o.serve(conn, in)
		o.detach()
		if o.ctx.Err() == nil {
			o.cfg.down()
			o.cfg.failed(fmt.Errorf("the connection was lost: %w", err))
		}
	}
}

func (o *older) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-o.ctx.Done():
		return false
	case <-timer.C:
		return o.ctx.Err() == nil
	}
}

// connect dials, says CONNECT and waits for its answer.
func (o *older) connect() (net.Conn, *bufio.Reader, bool, error) {
	ctx, cancel := context.WithTimeout(o.ctx, connectLimit)
	defer cancel()
	conn, err := o.dial(ctx)
	if err != nil {
		return nil, nil, false, err
	}
	unwatch := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	in := bufio.NewReader(conn)
	present, err := o.greet(conn, in)
	if !unwatch() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, nil, false, errors.Join(err, conn.Close())
	}
	return conn, in, present, nil
}

func (o *older) dial(ctx context.Context) (net.Conn, error) {
	port, secure := "1883", false
	switch o.cfg.broker.Scheme {
	case "mqtts", "ssl", "tls":
		port, secure = "8883", true
	}
	if own := o.cfg.broker.Port(); own != "" {
		port = own
	}
	target := net.JoinHostPort(o.cfg.broker.Hostname(), port)
	if !secure {
		return (&net.Dialer{}).DialContext(ctx, "tcp", target)
	}
	return (&tls.Dialer{Config: o.cfg.tls}).DialContext(ctx, "tcp", target)
}

func (o *older) greet(conn net.Conn, in *bufio.Reader) (present bool, err error) {
	if _, err := conn.Write(connectPacket(o.cfg)); err != nil {
		return false, fmt.Errorf("send CONNECT: %w", err)
	}
	kind, body, err := readPacket(in)
	if err != nil {
		return false, fmt.Errorf("read CONNACK: %w", err)
	}
	if kind>>4 != typeConnack || len(body) != 2 {
		return false, fmt.Errorf("the broker answers CONNECT with a packet of type %d and %d bytes", kind>>4, len(body))
	}
	if body[1] != 0 {
		return false, fmt.Errorf("the broker refuses the connection: %s", refusal(body[1]))
	}
	return body[0]&1 == 1, nil
}

// serve reads until the connection ends, says why it did, and keeps it alive till
// then [MQTT-3.1.2-23].
func (o *older) serve(conn net.Conn, in *bufio.Reader) (err error) {
	over := make(chan struct{})
	var pinger sync.WaitGroup
	pinger.Go(func() {
		tick := time.NewTicker(keepAlive / 2)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				_ = o.send(conn, []byte{typePingreq << 4, 0}) // the reader notices as well
			}
		}
	})
	unwatch := context.AfterFunc(o.ctx, func() { _ = conn.Close() })
	for err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(keepAlive * 3 / 2))
		var kind byte
		var body []byte
		if kind, body, err = readPacket(in); err == nil {
			err = o.handle(conn, kind, body)
		}
	}
	close(over)
	unwatch()
	_ = conn.Close()
	pinger.Wait()
	return err
}

func (o *older) handle(conn net.Conn, kind byte, body []byte) error {
	switch kind >> 4 {
	case typePublish:
		m, id, err := readPublish(kind, body)
		if err != nil {
			return err
		}
		if o.cfg.receive != nil {
			o.cfg.receive(m)
		}
		if m.qos == 1 {
			return o.send(conn, pubackPacket(id))
		}
	case typePuback, typeSuback:
		id, err := readAnswer(kind, body)
		if errors.Is(err, errMalformed) {
			return err
		}
		o.mu.Lock()
		if wait := o.waits[id]; wait != nil {
			wait <- err
			delete(o.waits, id)
		}
		o.mu.Unlock()
	}
	return nil
}

// detach tells those who wait that nothing will come.
func (o *older) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn = nil
	for id, wait := range o.waits {
		wait <- errDown
		delete(o.waits, id)
	}
}

func (o *older) send(conn net.Conn, packet []byte) error {
	o.write.Lock()
	defer o.write.Unlock()
	_ = conn.SetWriteDeadline(time.Now().Add(connectLimit))
	_, err := conn.Write(packet)
	if err != nil {
		_ = conn.Close() // half a packet may be out
	}
	return err
}

// ask sends a packet that make spells with the identifier it gets, and waits for
// the answer.
func (o *older) ask(ctx context.Context, spell func(id uint16) []byte) error {
	o.mu.Lock()
	conn := o.conn
	if conn == nil {
		o.mu.Unlock()
		return errDown
	}
	for o.last++; o.last == 0 || o.waits[o.last] != nil; o.last++ {
	}
	id, wait := o.last, make(chan error, 1)
	o.waits[id] = wait
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.waits[id] == wait {
			delete(o.waits, id)
		}
	}()
	if err := o.send(conn, spell(id)); err != nil {
		return fmt.Errorf("%w: %w", errDown, err)
	}
	select {
	case err := <-wait:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (o *older) subscribe(ctx context.Context, filter string, qos byte) error {
	return o.ask(ctx, func(id uint16) []byte { return subscribePacket(id, filter, qos) })
}

func (o *older) publish(ctx context.Context, m message) error {
	if m.qos > 0 {
		return o.ask(ctx, func(id uint16) []byte { return publishPacket(id, m) })
	}
	o.mu.Lock()
	conn := o.conn
	o.mu.Unlock()
	if conn == nil {
		return errDown
	}
	if err := o.send(conn, publishPacket(0, m)); err != nil {
		return fmt.Errorf("%w: %w", errDown, err)
	}
	return nil
}

// close ends the connection. A DISCONNECT would take the will back
// [MQTT-3.14.4-3]: who has one goes without.
func (o *older) close() {
	o.mu.Lock()
	conn := o.conn
	o.mu.Unlock()
	if conn != nil && o.cfg.will == nil {
		_ = o.send(conn, []byte{typeDisconnect << 4, 0}) // who is gone needs no goodbye
	}
	o.cancel()
	<-o.done
}
