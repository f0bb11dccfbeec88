package mqttdev

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"plumbline/devices"
)

// Bounds of what a device of a fleet waits for.
const (
	fleetPatience = 30 * time.Second // for an answer of the broker
	fleetRetry    = 500 * time.Millisecond
)

// fleetDevice is one device; all of it belongs to its goroutine.
type fleetDevice struct {
	fleet  *Fleet
	group  *Group
	number int
	seed   uint64
	conn   net.Conn
	sent   uint32 // messages published
	since  int    // messages on this connection
	unsure bool   // the next message may have come already
	packet uint16
}

// Status texts of a device of a fleet.
const (
	fleetOnline  = "online"
	fleetOffline = "offline"
)

// fleetStatus is what a device of a marked run says of itself.
func fleetStatus(what, run string) string {
	if run == "" {
		return what
	}
	return what + " " + run
}

func (d *fleetDevice) name() string { return fmt.Sprintf("%s-%05d", d.fleet.cfg.Prefix, d.number) }

func (d *fleetDevice) topic(what string) string {
	return fmt.Sprintf("%s/%05d/%s", d.fleet.cfg.Prefix, d.number, what)
}

// run is the device's life.
func (d *fleetDevice) run(ctx context.Context, begin <-chan struct{}) {
	up := d.connect(ctx)
	if up {
		d.fleet.arrived.Add(1)
	}
	d.fleet.ready.Done()
	if !up {
		return
	}
	defer d.leave(false)
	select {
	case <-begin:
	case <-ctx.Done():
		return
	}
	for n := uint64(1); ; n++ {
		due := d.fleet.start.Add(devices.Schedule{Period: d.group.Period, Phase: d.phase(), Dither: d.group.Period / 10}.Instant(n, d.seed))
		if !wait(ctx, time.Until(due)) || !d.say(ctx) {
			return
		}
	}
}

// phase spreads the devices over the period.
func (d *fleetDevice) phase() time.Duration {
	return d.group.Period/10 + time.Duration(devices.Mix(d.seed, 0)>>11)%d.group.Period
}

// say publishes the next message, over another connection where this one breaks.
// It is false when ctx has ended meanwhile.
func (d *fleetDevice) say(ctx context.Context) bool {
	f := d.fleet
	payload := d.payload()
	for {
		if d.unsure {
			f.again.Add(1)
		}
		err := d.publish(d.topic("data"), payload, d.group.QoS, d.group.Retain)
		if err == nil {
			break
		}
		f.broken.Add(1)
		d.unsure = true
		d.drop()
		if !d.connect(ctx) {
			return false
		}
	}
	d.unsure = false
	d.sent++
	d.since++
	f.published.Add(1)
	f.bytes.Add(uint64(len(payload)))
	if d.group.Reconnect == 0 || d.since < d.group.Reconnect {
		return true
	}
	d.leave(d.group.Abrupt)
	f.reconnects.Add(1)
	return d.connect(ctx)
}

// payload says who speaks and how often it has spoken, and fills up to the size.
func (d *fleetDevice) payload() []byte {
	size := d.group.Least
	if d.group.Most > size {
		size += int(devices.Mix(d.seed, uint64(d.sent)+1<<32) % uint64(d.group.Most-size+1))
	}
	p := make([]byte, 0, max(size, 40))
	p = append(p, `{"device":`...)
	p = strconv.AppendInt(p, int64(d.number), 10)
	p = append(p, `,"n":`...)
	p = strconv.AppendUint(p, uint64(d.sent)+1, 10)
	if run := d.fleet.cfg.Run; run != "" {
		p = append(append(append(p, `,"run":"`...), run...), '"')
	}
	const tail = `,"fill":""}`
	if fill := size - len(p) - len(tail); fill >= 0 {
		p = append(p, tail[:len(tail)-2]...)
		p = append(append(p, strings.Repeat("x", fill)...), '"')
	}
	return append(p, '}')
}

// connect makes the connection and says, with a will, that the device is online.
// It goes on until that is done or ctx ends.
func (d *fleetDevice) connect(ctx context.Context) bool {
	for {
		select {
		case d.fleet.dialing <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		err := d.dial(ctx)
		<-d.fleet.dialing
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		d.fleet.refused.Add(1)
		d.fleet.mu.Lock()
		d.fleet.refusal = err
		d.fleet.mu.Unlock()
		if !wait(ctx, fleetRetry) {
			return false
		}
	}
}

func (d *fleetDevice) dial(ctx context.Context) error {
	f := d.fleet
	host := f.cfg.Broker.Host
	if f.cfg.Broker.Port() == "" {
		host = net.JoinHostPort(f.cfg.Broker.Hostname(), "1883")
	}
	conn, err := (&net.Dialer{Timeout: fleetPatience, KeepAlive: -1}).DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	cfg := linkConfig{clientID: d.name(), username: f.cfg.Username, password: f.cfg.Password}
	if d.group.Will {
		cfg.will = &message{topic: d.topic("status"), payload: []byte(fleetStatus(fleetOffline, f.cfg.Run)), qos: 1, retain: true}
	}
	hello := connectPacket(cfg)
	d.conn, d.since = conn, 0
	if err := d.ask(patient(hello), typeConnack, 0); err != nil {
		d.conn = nil
		return errors.Join(err, conn.Close())
	}
	f.connects.Add(1)
	f.connected.Add(1)
	if d.group.Will {
		if err := d.publish(d.topic("status"), []byte(fleetStatus(fleetOnline, f.cfg.Run)), 1, true); err != nil {
			d.drop()
			return err
		}
	}
	return nil
}

// patient takes the keep-alive out of a CONNECT: ten thousand devices that say
// nothing for a while are no reason to part [MQTT-3.1.2-24].
func patient(hello []byte) []byte {
	at := 1
	for hello[at]&0x80 != 0 {
		at++
	}
	at += 1 + len("\x00\x04MQTT\x04\x02")
	hello[at], hello[at+1] = 0, 0
	return hello
}

// publish sends a message and waits, with QoS 1, for its acknowledgement.
func (d *fleetDevice) publish(topic string, payload []byte, qos byte, retain bool) error {
	if d.packet++; d.packet == 0 {
		d.packet = 1
	}
	p := publishPacket(d.packet, message{topic: topic, payload: payload, qos: qos, retain: retain})
	if qos == 0 {
		_ = d.conn.SetWriteDeadline(time.Now().Add(fleetPatience))
		_, err := d.conn.Write(p)
		return err
	}
	return d.ask(p, typePuback, d.packet)
}

// ask sends a packet and reads its answer, which has four bytes for all that a
// device of a fleet asks.
func (d *fleetDevice) ask(packet []byte, kind byte, id uint16) error {
	_ = d.conn.SetDeadline(time.Now().Add(fleetPatience))
	if _, err := d.conn.Write(packet); err != nil {
		return err
	}
	var answer [4]byte
	if _, err := io.ReadFull(d.conn, answer[:]); err != nil {
		return err
	}
	switch {
	case answer[0]>>4 != kind || answer[1] != 2:
		return fmt.Errorf("%w: % X in answer to a packet of type %d", errMalformed, answer, packet[0]>>4)
	case kind == typeConnack && answer[3] != 0:
		return fmt.Errorf("the broker refuses the connection: %s", refusal(answer[3]))
	case kind == typePuback && binary.BigEndian.Uint16(answer[2:]) != id:
		return fmt.Errorf("%w: PUBACK of another message", errMalformed)
	}
	return nil
}

// leave ends the connection and waits until the broker has seen it: with
// DISCONNECT, or without, so that it publishes the will.
func (d *fleetDevice) leave(abrupt bool) {
	if d.conn == nil {
		return
	}
	_ = d.conn.SetDeadline(time.Now().Add(fleetPatience))
	if !abrupt {
		_, _ = d.conn.Write([]byte{typeDisconnect << 4, 0})
	} else if d.group.Will {
		d.fleet.leftWill.Add(1)
	}
	// Only the sending side is shut: with the whole closed, what the broker has
	// not read yet could be lost to a reset.
	if tcp, is := d.conn.(*net.TCPConn); is {
		_ = tcp.CloseWrite()
	}
	var rest [64]byte
	for {
		if _, err := d.conn.Read(rest[:]); err != nil {
			break
		}
	}
	d.drop()
}

// drop closes the connection, if there is one.
func (d *fleetDevice) drop() {
	if d.conn == nil {
		return
	}
	_ = d.conn.Close()
	d.conn = nil
	d.fleet.connected.Add(-1)
}
