package load

import (
	"context"
	"net"

	"plumbline/harness/record"
)

// Send writes a message now, or records that it was blocked: the connection is
// lost, the QoS 1 window is full, or the connection takes no more bytes. It
// never waits and reports whether the message is on its way. Stamps are taken
// round the write.
func (p *Publisher) Send(m Message) bool {
	if m.Digest == 0 {
		m.Digest = p.rec.Digest(m.Payload)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Offered++
	if p.conn == nil || p.queued > maxPending || len(p.held) >= maxHeld || (m.QoS > 0 && len(p.order) >= p.window) {
		p.block(&m)
		return false
	}
	out := &pending{Message: m, attempt: 1}
	if p.cfg.Sequence {
		p.lastSeq++
		out.seq = p.lastSeq
	}
	if m.QoS > 0 {
		out.id = p.freeID()
		p.inflight[out.id] = out
		p.order = append(p.order, out)
	}
	encoded, err := p.frame(out)
	if err != nil {
		// Only a topic longer than MQTT allows comes here.
		p.cfg.Log.Error("encode", "publisher", p.cfg.Name, "topic", m.Topic, "error", err)
		p.forget(out)
		p.block(&m)
		return false
	}
	if p.single { // behind what is sent one at a time
		out.attempt = 0
		p.held = append(p.held, out)
		p.counts.Sent++
		return true
	}
	out.frame = encoded
	p.loose = p.loose || out.QoS == 0
	p.counts.Sent++
	p.write(out)
	return true
}

// maxHeld bounds what is held back while messages are sent one at a time.
const maxHeld = 1 << 16

// block records a message that was not written.
func (p *Publisher) block(m *Message) {
	p.counts.Blocked++
	p.rec.Add(record.Record{
		Kind: record.Blocked, Node: p.node, Stream: m.Stream, Seq: m.Seq, Due: m.Due,
		At: p.rec.Clock().Now(), Digest: m.Digest, Bytes: uint32(len(m.Payload)),
	})
}

// forget takes the newest message back.
func (p *Publisher) forget(m *pending) {
	if m.QoS > 0 {
		delete(p.inflight, m.id)
		p.order = p.order[:len(p.order)-1]
	}
}

// freeID returns the next packet identifier that is not in use
// [MQTT-2.2.1-3]. The window is at most 65,535 and not full, so there is one.
func (p *Publisher) freeID() uint16 {
	for {
		p.lastID++
		if p.lastID != 0 && p.inflight[p.lastID] == nil {
			return p.lastID
		}
	}
}

// write tries to hand a message to the kernel at once; what it does not take
// goes to the writer goroutine, behind what waits there already. The caller
// holds mu.
func (p *Publisher) write(m *pending) {
	if len(p.queue) > 0 || p.draining {
		p.push(m)
		return
	}
	m.at = p.rec.Clock().Now()
	n, direct, err := tryWrite(p.conn, m.frame)
	end := p.rec.Clock().Now()
	m.frame = m.frame[n:]
	switch {
	case err != nil:
		// The reader sees the broken connection too and takes it from there.
		if n <= 0 {
			m.at = 0
		}
		p.push(m)
	case !direct:
		m.at = 0
		p.push(m)
	case len(m.frame) > 0:
		p.push(m)
	default:
		p.written(m, end)
	}
}

// push queues a frame for the writer goroutine; the caller holds mu.
func (p *Publisher) push(m *pending) {
	p.queue = append(p.queue, m)
	p.queued += len(m.frame)
	select {
	case p.wake <- struct{}{}:
	default: // awake already
	}
}

// written records a message whose last byte the kernel has taken.
func (p *Publisher) written(m *pending, end int64) {
	m.frame = nil
	if m.attempt == controlAttempt {
		return
	}
	m.written = true
	flags := uint8(0)
	if m.Retain {
		flags |= record.FlagRetained
	}
	if m.dup {
		flags |= record.FlagDup
	}
	if m.Foreign {
		flags |= record.FlagForeign
	}
	p.rec.Add(record.Record{
		Kind: record.Sent, Flags: flags, Node: p.node, Stream: m.Stream, Seq: m.Seq, Due: m.Due, At: m.at, End: end,
		Digest: m.Digest, Bytes: uint32(len(m.Payload)), Aux: m.attempt,
	})
}

// writeQueue is the writer goroutine of one connection: it waits where Send
// must not.
func (p *Publisher) writeQueue(ctx context.Context, conn net.Conn) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		for p.writeNext(conn) {
		}
	}
}

// writeNext writes the first frame of the queue; false when there is none or
// the connection failed.
func (p *Publisher) writeNext(conn net.Conn) bool {
	p.mu.Lock()
	if len(p.queue) == 0 || p.conn != conn {
		p.draining = false
		p.mu.Unlock()
		return false
	}
	p.draining = true
	m := p.queue[0]
	left := m.frame
	at := p.rec.Clock().Now()
	p.mu.Unlock()

	_, err := conn.Write(left)
	end := p.rec.Clock().Now()

	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.draining = false
		_ = conn.Close() // the reader sees it and ends the connection
		return false
	}
	if m.at == 0 {
		m.at = at
	}
	p.queue = p.queue[1:]
	p.queued -= len(left)
	p.draining = len(p.queue) > 0
	p.written(m, end)
	p.settle()
	return true
}
