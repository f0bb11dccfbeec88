package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"plumbline/harness/mqttwire"
	"plumbline/harness/record"
)

// attach makes conn the one to write to, first sending again what was not
// acknowledged, in the order it was first sent [MQTT-4.4.0-1] [MQTT-4.6.0-1].
// When the broker has forgotten the session the same messages are published
// anew, without DUP; their plumbline-seq stays, so that a bridge that knows it
// sees through the repetition.
func (p *Publisher) attach(conn net.Conn, window int, present bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.window = conn, window
	p.queue, p.queued = nil, 0
	// What was acknowledged behind one that was not is done, and its packet
	// identifier may be another's by now.
	p.order = slices.DeleteFunc(p.order, func(m *pending) bool { return m.acked || p.hopeless(m) })
	p.present, p.loose = present, false
	p.held = slices.Clone(p.order)
	for _, m := range p.held {
		m.at = 0 // none of it is on its way here
	}
	p.single = p.cfg.Tries > 0 && len(p.held) > 0
	p.release()
	p.rec.Event(record.Event{
		Kind: record.Connected, Subject: p.cfg.Name,
		Fields: map[string]string{"session_present": strconv.FormatBool(present), "resend": strconv.Itoa(len(p.order)), "address": conn.RemoteAddr().String()},
	})
	p.settle()
}

// release sends what is held back: one message of QoS 1, and what is before it,
// where that is alone until it is acknowledged; else all. The caller holds mu.
func (p *Publisher) release() {
	for len(p.held) > 0 {
		m := p.held[0]
		p.held = p.held[1:]
		if p.again(m) && p.single && m.QoS > 0 {
			return
		}
	}
	p.single = false
}

// again sends a message on a connection that it was not sent on, and reports
// whether it did; the caller holds mu.
func (p *Publisher) again(m *pending) bool {
	m.dup = p.present && m.attempt > 0
	m.attempt++
	encoded, err := p.frame(m)
	if err != nil {
		p.cfg.Log.Error("encode again", "publisher", p.cfg.Name, "error", err)
		return false
	}
	m.frame = encoded
	p.loose = p.loose || m.QoS == 0
	if m.attempt > 1 {
		p.counts.Resent++
	}
	p.push(m)
	return true
}

// suspect holds the end of a connection against the one message that may have been
// its cause: the only one that was on its way, nothing of QoS 0 beside it, which
// nobody acknowledges. Where there were several, all of them but one are innocent;
// after the next connection they go one at a time, so that the one stands out. The
// caller holds mu.
func (p *Publisher) suspect() {
	var alone *pending
	for _, m := range p.order {
		switch {
		case m.acked || m.at == 0:
		case alone != nil:
			return
		default:
			alone = m
		}
	}
	if alone != nil && !p.loose {
		alone.ended++
	}
}

// hopeless gives a message up over which the connection ended often enough, and
// reports whether it did; the caller holds mu.
func (p *Publisher) hopeless(m *pending) bool {
	if p.cfg.Tries <= 0 || m.ended < p.cfg.Tries {
		return false
	}
	delete(p.inflight, m.id)
	if !m.written { // a broker that ends the connection within it
		p.counts.Sent--
		p.block(&m.Message)
	}
	p.refused(m, p.rec.Clock().Now(), "tries", strconv.Itoa(p.cfg.Tries))
	return true
}

// refused counts and writes down a message that the broker does not take, and how that showed; the caller holds mu.
func (p *Publisher) refused(m *pending, at int64, how, value string) {
	p.counts.Refused++
	p.rec.Event(record.Event{
		At: at, Kind: record.Refused, Subject: p.cfg.Name,
		Fields: map[string]string{how: value, "topic": m.Topic, "seq": strconv.FormatUint(m.Seq, 10)},
	})
}

// detach forgets the connection and, with NoResend, what was on its way.
func (p *Publisher) detach(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn = nil
	p.suspect()
	p.dropQueue()
	if p.cfg.NoResend {
		p.order = nil
		clear(p.inflight)
	}
	p.counts.Reconnects++
	p.settle()
	reason := "closed"
	if !p.leaving && err != nil {
		reason = err.Error()
	}
	p.rec.Event(record.Event{Kind: record.Disconnected, Subject: p.cfg.Name, Fields: map[string]string{"error": reason}})
}

// dropQueue gives up what was not written or is held back: QoS 1 messages stay in order and
// are sent again, QoS 0 messages are gone and recorded as blocked.
func (p *Publisher) dropQueue() {
	for _, m := range append(p.queue, p.held...) {
		if m.attempt > 1 {
			continue
		}
		if m.QoS == 0 || p.cfg.NoResend {
			p.counts.Sent--
			p.block(&m.Message)
		}
	}
	p.queue, p.queued, p.held = nil, 0, nil
}

// abandon records as blocked what was accepted and is never going to be
// written, so that no message that came due is missing from the evidence.
func (p *Publisher) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.order {
		if !m.written && !m.acked {
			p.counts.Sent--
			p.block(&m.Message)
		}
	}
}

// serve reads acknowledgements, pings and writes what Send could not, until
// the connection fails or Close.
func (p *Publisher) serve(conn net.Conn) error {
	ctx, cancel := context.WithCancel(p.ctx)
	var group sync.WaitGroup
	group.Go(func() { p.writeQueue(ctx, conn) })
	group.Go(func() { p.ping(ctx, conn) })
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the reader
	err := p.read(conn)
	cancel()
	group.Wait()
	stop()
	return errors.Join(err, ignoreClosed(conn.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// read handles what the broker sends until the connection ends.
func (p *Publisher) read(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, 4096)
	for {
		// Twice the keep alive without a byte: the peer is gone, though the
		// connection looks open.
		if err := conn.SetReadDeadline(time.Now().Add(2 * time.Duration(keepAlive) * time.Second)); err != nil {
			return err
		}
		packet, err := mqttwire.Read(in, packetLimit)
		if err != nil {
			return err
		}
		at := p.rec.Clock().Now()
		switch packet.Type {
		case mqttwire.TypePuback:
			id, code, err := packet.Puback(p.version)
			if err != nil {
				return fmt.Errorf("load: %w", err)
			}
			p.acknowledge(id, code, at)
		case mqttwire.TypeDisconnect:
			told, err := packet.Disconnect()
			if err != nil {
				return fmt.Errorf("load: %w", err)
			}
			return fmt.Errorf("load: broker said DISCONNECT, reason 0x%02x %s", told.Code, told.Reason)
		}
	}
}

// acknowledge settles one QoS 1 message. A refused one is settled too, but not
// recorded as acknowledged: the broker did not take it.
func (p *Publisher) acknowledge(id uint16, code byte, at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.inflight[id]
	if m == nil {
		return
	}
	delete(p.inflight, id)
	m.acked, p.loose = true, false // a broker takes messages in their order
	// Acknowledgements come in order as a rule: the first is ours.
	for len(p.order) > 0 && p.order[0].acked {
		p.order[0] = nil
		p.order = p.order[1:]
	}
	if code >= 0x80 {
		p.refused(m, at, "code", fmt.Sprintf("0x%02x", code))
	} else {
		p.counts.Acked++
		p.rec.Add(record.Record{
			Kind: record.Acked, Node: p.node, Stream: m.Stream, Seq: m.Seq, Due: m.Due, At: at,
			Digest: m.Digest, Bytes: uint32(len(m.Payload)), Aux: m.attempt,
		})
	}
	if p.single {
		p.release()
	}
	p.settle()
}

// ping keeps the connection alive [MQTT-3.1.2-20].
func (p *Publisher) ping(ctx context.Context, conn net.Conn) {
	tick := time.NewTicker(time.Duration(keepAlive) * time.Second / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		if p.conn == conn {
			// Through the queue: it must not fall between the halves of a message.
			p.push(&pending{frame: []byte{mqttwire.TypePingreq << 4, 0}, attempt: controlAttempt})
		}
		p.mu.Unlock()
	}
}

// controlAttempt marks a queued frame that is no message.
const controlAttempt = ^uint32(0)

// goodbye sends DISCONNECT so that the broker forgets the session, if the
// connection takes it at once. Cancelling closes the connection next.
func (p *Publisher) goodbye(conn net.Conn) {
	p.mu.Lock()
	idle := len(p.queue) == 0 && !p.draining
	p.mu.Unlock()
	if idle && conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) == nil {
		// A failure changes nothing.
		_, _ = conn.Write(mqttwire.Goodbye(p.version, true))
	}
}
