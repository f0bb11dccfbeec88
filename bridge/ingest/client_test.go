package ingest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// wait is how long a client of a test waits: long, for a loaded machine.
const wait = 30 * time.Second

// start runs a Broker over a real journal on a free port.
func start(t *testing.T, change func(*Options)) (*Broker, *journal.Journal) {
	t.Helper()
	j, err := journal.Open(journal.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Journal: j, Listeners: []Listener{{Name: "mqtt", Socket: l}}, Metrics: metrics.New(), Log: testLog()}
	if change != nil {
		change(&o)
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close broker: %v", err)
		}
		if err := j.Close(); err != nil {
			t.Errorf("close journal: %v", err)
		}
	})
	return b, j
}

func testLog() *slog.Logger {
	if os.Getenv("PLUMBLINE_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// client writes and reads MQTT packets byte by byte, so that tests can send what no library would.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
	v byte // protocol version, 4 or 5
}

func dial(t *testing.T, b *Broker, version byte) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", b.Addr("mqtt").String(), wait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, Conn: c, r: bufio.NewReader(c), v: version}
}

func str(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func cat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func varint(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// packet frames a body.
func packet(first byte, parts ...[]byte) []byte {
	body := cat(parts...)
	return cat([]byte{first}, varint(len(body)), body)
}

// login describes a CONNECT.
type login struct {
	id, user, password string
	clean              bool
	keepalive          uint16
	props              []byte // MQTT 5
	will               *willSpec
}

type willSpec struct {
	topic, payload string
	qos            byte
	retain         bool
	props          []byte
}

func (c *client) connectPacket(l login) []byte {
	var flags byte
	if l.clean {
		flags |= 2
	}
	payload := str(l.id)
	if l.will != nil {
		flags |= 4 | l.will.qos<<3
		if l.will.retain {
			flags |= 32
		}
		if c.v == 5 {
			payload = cat(payload, varint(len(l.will.props)), l.will.props)
		}
		payload = cat(payload, str(l.will.topic), str(l.will.payload))
	}
	if l.user != "" {
		flags |= 128
		payload = cat(payload, str(l.user))
	}
	if l.password != "" {
		flags |= 64
		payload = cat(payload, str(l.password))
	}
	head := cat(str("MQTT"), []byte{c.v, flags}, binary.BigEndian.AppendUint16(nil, l.keepalive))
	if c.v == 5 {
		head = cat(head, varint(len(l.props)), l.props)
	}
	return packet(0x10, head, payload)
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// read returns the next packet.
func (c *client) read() (first byte, body []byte, err error) {
	if first, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return first, body, err
}

// want reads a packet of the given type.
func (c *client) want(kind byte) []byte {
	c.t.Helper()
	first, body, err := c.read()
	if err != nil || first>>4 != kind {
		c.t.Fatalf("read type %d, body %x, error %v; want type %d", first>>4, body, err, kind)
	}
	return body
}

// rejected returns how many connections were refused for the reason.
func rejected(t *testing.T, b *Broker, reason string) float64 {
	t.Helper()
	var m dto.Metric
	if err := b.m.MQTTRejected.WithLabelValues(reason).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// wantClosed reads until the broker has closed the connection and returns the packets before that.
func (c *client) wantClosed() (kinds []byte) {
	c.t.Helper()
	for {
		first, _, err := c.read()
		if err == nil {
			kinds = append(kinds, first>>4)
			continue
		}
		if os.IsTimeout(err) {
			c.t.Fatalf("the connection is still open after %s", wait)
		}
		return kinds
	}
}

// connect logs in and returns the CONNACK's body.
func (c *client) connect(l login) []byte {
	c.t.Helper()
	c.send(c.connectPacket(l))
	return c.want(2)
}

// ok logs in and fails the test when that is refused.
func (c *client) ok(l login) *client {
	c.t.Helper()
	if body := c.connect(l); body[1] != 0 {
		c.t.Fatalf("CONNACK %x", body)
	}
	return c
}

// publish sends a PUBLISH.
func (c *client) publish(topic, payload string, qos byte, id uint16, flags byte, props []byte) {
	c.t.Helper()
	c.send(c.publishPacket(topic, payload, qos, id, flags, props))
}

func (c *client) publishPacket(topic, payload string, qos byte, id uint16, flags byte, props []byte) []byte {
	head := str(topic)
	if qos > 0 {
		head = binary.BigEndian.AppendUint16(head, id)
	}
	if c.v == 5 {
		head = cat(head, varint(len(props)), props)
	}
	return packet(0x30|qos<<1|flags, head, []byte(payload))
}

// userProp encodes a user property.
func userProp(k, v string) []byte { return cat([]byte{0x26}, str(k), str(v)) }

// subscribe subscribes with QoS 0 and returns the reason code.
func (c *client) subscribe(filter string) byte {
	c.t.Helper()
	var props []byte
	if c.v == 5 {
		props = []byte{0}
	}
	c.send(packet(0x82, []byte{0, 99}, props, str(filter), []byte{0}))
	body := c.want(9)
	return body[len(body)-1]
}

// ackCode returns packet id, reason code and properties of a PUBACK or PUBREC of MQTT 5.
func ackCode(body []byte) (id uint16, code byte, props string) {
	id = binary.BigEndian.Uint16(body)
	if len(body) > 2 {
		code = body[2]
	}
	if len(body) > 4 {
		props = string(body[4:])
	}
	return id, code, props
}

// stored returns all entries of the journal.
func stored(t *testing.T, j *journal.Journal) (all []journal.Entry) {
	t.Helper()
	for last := uint64(0); ; last = all[len(all)-1].Offset {
		e, err := j.Read(last, 10_000, 64<<20) // of one segment at a time
		if err != nil {
			t.Fatal(err)
		}
		if len(e) == 0 {
			return all
		}
		all = append(all, e...)
	}
}

// waitStored waits until the journal holds n entries.
func waitStored(t *testing.T, j *journal.Journal, n int) []journal.Entry {
	t.Helper()
	var e []journal.Entry
	eventually.Must(t, fmt.Sprintf("%d entries in the journal", n), func() bool {
		e = stored(t, j)
		return len(e) >= n
	})
	return e
}
