package external

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// writeTimeout bounds one write to a broker that does not read.
const writeTimeout = 10 * time.Second

// bufferBytes is the read buffer of a connection, and of the acknowledgements that go out together.
const bufferBytes = 16 << 10

// link is one connection to a broker. One goroutine reads; any may write.
type link struct {
	ctx   context.Context // of the connection: when it ends, read returns
	conn  net.Conn
	r     *bufio.Reader
	limit int // largest packet taken, bytes after the fixed header

	mu sync.Mutex // guards w
	w  *bufio.Writer

	silence time.Duration // the broker is dead when nothing came for so long; set before the first read
	pinging sync.WaitGroup
	stop    context.CancelFunc // ends pinging and the watch over ctx
}

// newLink wraps an open connection. The caller ends it with close.
func newLink(ctx context.Context, conn net.Conn, limit int, silence time.Duration) *link {
	ctx, stop := context.WithCancel(ctx)
	l := &link{ctx: ctx, stop: stop, conn: conn, limit: limit, silence: silence}
	l.r = bufio.NewReaderSize(incoming{l}, bufferBytes)
	l.w = bufio.NewWriterSize(outgoing{conn}, bufferBytes)
	context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	return l
}

// incoming reads from the connection. What waits to be written goes out first: nobody waits for an answer to something that
// lies in our buffer, and acknowledgements of packets that came together leave together.
type incoming struct{ l *link }

// Read implements io.Reader.
func (in incoming) Read(p []byte) (int, error) {
	if err := in.l.flush(); err != nil {
		return 0, err
	}
	if err := in.l.conn.SetReadDeadline(time.Now().Add(in.l.silence)); err != nil {
		return 0, err
	}
	if err := in.l.ctx.Err(); err != nil { // ended before the deadline was set, which undid that of AfterFunc
		return 0, context.Cause(in.l.ctx)
	}
	n, err := in.l.conn.Read(p)
	if err != nil && in.l.ctx.Err() != nil {
		err = context.Cause(in.l.ctx)
	}
	return n, err
}

// outgoing writes to the connection with a deadline.
type outgoing struct{ conn net.Conn }

// Write implements io.Writer.
func (out outgoing) Write(p []byte) (int, error) {
	if err := out.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return out.conn.Write(p)
}

func (l *link) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Flush()
}

// send writes p at once.
func (l *link) send(p packets.Packet) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := p.WriteTo(l.w); err != nil {
		return err
	}
	return l.w.Flush()
}

// acknowledge queues a PUBACK; it leaves before the next wait for input at the latest.
func (l *link) acknowledge(id uint16, code byte, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if code == packets.PubackSuccess {
		_, err := l.w.Write([]byte{packets.PUBACK << 4, 2, byte(id >> 8), byte(id)}) // MQTT 5.0 section 3.4.2.1: no code means success
		return err
	}
	ack := packets.Puback{PacketID: id, ReasonCode: code, Properties: &packets.Properties{ReasonString: reason}}
	_, err := ack.WriteTo(l.w)
	return err
}

// keepAlive sends a PINGREQ twice in every interval, on its own goroutine until close, so that storing may take its time.
func (l *link) keepAlive(interval time.Duration) {
	if interval <= 0 {
		return
	}
	l.pinging.Go(func() {
		tick := time.NewTicker(interval / 2)
		defer tick.Stop()
		for {
			select {
			case <-l.ctx.Done():
				return
			case <-tick.C:
				if err := l.send(&packets.Pingreq{}); err != nil {
					_ = l.conn.Close() // the reader finds out
					return
				}
			}
		}
	})
}

// leave takes leave: what is queued goes out, then DISCONNECT. The session stays with the broker for its expiry interval.
func (l *link) leave(code byte, reason string) {
	d := packets.Disconnect{ReasonCode: code, Properties: &packets.Properties{ReasonString: reason}}
	_ = l.send(&d) // the connection ends either way
}

// close ends the connection and its goroutines. It is idempotent.
func (l *link) close() {
	l.stop()
	_ = l.conn.Close()
	l.pinging.Wait()
}

// protocolError is a breach of MQTT by the broker; code is what DISCONNECT tells it.
type protocolError struct {
	code byte
	what string
}

// Error implements error.
func (e protocolError) Error() string { return e.what }

func malformed(format string, args ...any) error {
	return protocolError{packets.DisconnectMalformedPacket, fmt.Sprintf(format, args...)}
}

// read returns the next packet. The codec's own reader is not used: it believes any announced length.
func (l *link) read() (*packets.ControlPacket, error) {
	first, err := l.r.ReadByte()
	if err != nil {
		return nil, err
	}
	size, err := l.length()
	if err != nil {
		return nil, err
	}
	if size > l.limit {
		return nil, protocolError{packets.DisconnectPacketTooLarge, fmt.Sprintf("the broker sent a packet of %d bytes, maxPacketBytes is %d [MQTT-3.1.2-24]", size, l.limit)}
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(l.r, body); err != nil {
		return nil, err
	}
	return decode(first, body)
}

// complete reports whether a whole packet lies in the buffer, so that read will not wait.
func (l *link) complete() bool {
	have := l.r.Buffered()
	header, _ := l.r.Peek(min(have, 5))
	size := 0
	for i := 1; i < len(header); i++ {
		size |= int(header[i]&0x7f) << (7 * (i - 1))
		if header[i] < 0x80 {
			return have >= 1+i+size
		}
	}
	return false
}

// length reads a remaining length (MQTT 5.0 section 1.5.5).
func (l *link) length() (int, error) {
	size := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := l.r.ReadByte()
		if err != nil {
			return 0, err
		}
		size |= int(b&0x7f) << shift
		if b < 0x80 {
			return size, nil
		}
	}
	return 0, malformed("the answer is not MQTT: a packet length of more than four bytes")
}

// decode reads the body of a packet. The codec is kept from panicking on lengths that its integers cannot hold.
func decode(first byte, body []byte) (p *packets.ControlPacket, err error) {
	defer func() {
		if recover() != nil {
			p, err = nil, malformed("a malformed packet of type %d", first>>4)
		}
	}()
	p = packets.NewControlPacket(first >> 4)
	if p == nil {
		return nil, malformed("the answer is not MQTT: a packet of type 0")
	}
	switch c := p.Content.(type) {
	case *packets.Publish:
		c.QoS, c.Duplicate, c.Retain = first>>1&3, first&8 != 0, first&1 != 0
		if c.QoS == 3 {
			return nil, malformed("a PUBLISH with QoS 3 [MQTT-3.3.1-4]")
		}
	case *packets.Disconnect:
		if len(body) == 0 { // MQTT 5.0 section 3.14.2.1, which the codec takes for a short packet
			return p, nil
		}
	case *packets.Connack:
		if len(body) == 2 && body[1] != 0 { // the answer of 3.1.1
			c.ReasonCode = packets.ConnackUnsupportedProtocolVersion
			return p, nil
		}
	}
	if err := p.Content.Unpack(bytes.NewBuffer(body)); err != nil {
		return nil, malformed("a malformed %s: %v", p.PacketType(), err)
	}
	return p, nil
}

// breach returns the code that DISCONNECT should carry for err, and whether there is one.
func breach(err error) (code byte, is bool) {
	var e protocolError
	if errors.As(err, &e) {
		return e.code, true
	}
	return 0, false
}
