// Package octets counts what the connections of a client carry, in both
// directions and at each layer where it passes: what TLS protects, what TLS makes
// of it, what goes over TCP, and how many segments of TCP that took. Nothing is
// estimated: bytes are counted at the socket, records by the headers that they
// have on the wire, segments by the kernel. What TLS 1.3 says to itself once it
// encrypts (the end of a handshake, tickets, new keys) looks like data from outside
// and counts as that: a window that is to tell of data holds no handshake.
package octets

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// SegmentHeader is what IPv4 and TCP put before the data of each segment, in bytes:
// 20 and 20 (RFC 791, RFC 9293) and 12 for the time stamps (RFC 7323), which
// Linux sends by default. Ethernet's part is not among it.
const SegmentHeader = 52

// Way is what went in one direction.
type Way struct {
	TCP      int64 `json:"tcp_bytes"`       // handed to or taken from TCP
	Records  int64 `json:"tls_records"`     // 0 without TLS
	Plain    int64 `json:"plain_bytes"`     // what records of application data hold; TCP without TLS
	Segments int64 `json:"tcp_segments"`    // acknowledgements among them; 0 where the system does not tell
	Other    int64 `json:"tls_other_bytes"` // of records that are no application data, such as the first of a handshake; 0 without TLS
}

// Counts are totals of all connections.
type Counts struct {
	Connections int64 `json:"connections"` // that were made
	Up          Way   `json:"up"`          // from the client to the server
	Down        Way   `json:"down"`
	Told        bool  `json:"segments_told"` // the system told the segments of every connection
}

// Minus returns what was counted since an earlier moment.
func (c Counts) Minus(before Counts) Counts {
	return Counts{c.Connections - before.Connections, c.Up.minus(before.Up), c.Down.minus(before.Down), c.Told && before.Told}
}

// Plus returns the sum of what was counted at two places.
func (c Counts) Plus(other Counts) Counts {
	zero := Way{}
	return Counts{c.Connections + other.Connections, c.Up.minus(zero.minus(other.Up)), c.Down.minus(zero.minus(other.Down)), c.Told && other.Told}
}

func (w Way) minus(other Way) Way {
	return Way{w.TCP - other.TCP, w.Records - other.Records, w.Plain - other.Plain, w.Segments - other.Segments, w.Other - other.Other}
}

// Meter counts the connections that it makes. Its methods may be called by any goroutine.
type Meter struct {
	secure bool

	mu     sync.Mutex
	opened int64
	ended  Counts // of connections that are closed
	open   map[*counted]struct{}
}

// New returns a meter of connections whose client speaks TLS 1.3 over them, or no
// TLS at all. Segments are as long as on Ethernet (a MSS of 1460 bytes less
// options) where the system lets a client choose it, also within one machine.
func New(secure bool) *Meter {
	return &Meter{secure: secure, ended: Counts{Told: true}, open: map[*counted]struct{}{}}
}

// Config returns a copy of the client's settings that allows TLS 1.3 only, whose
// records New can read.
func Config(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	return c
}

// DialContext connects and counts. It is what net.Dialer's method is.
func (m *Meter) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Control: shorten}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &counted{Conn: conn, meter: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened++
	m.open[c] = struct{}{}
	return c, nil
}

// Counts returns what was counted so far.
func (m *Meter) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := m.ended
	for c := range m.open {
		sum = sum.Plus(c.counts())
	}
	sum.Connections = m.opened
	return sum
}

// retire adds a connection to those that are closed.
func (m *Meter) retire(c *counted) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, open := m.open[c]; open {
		m.ended = m.ended.Plus(c.counts())
		delete(m.open, c)
	}
}

// counted is one connection.
type counted struct {
	net.Conn
	meter    *Meter
	up, down stream
}

// Read implements net.Conn.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.down.take(p[:n], c.meter.secure)
	return n, err
}

// Write implements net.Conn.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.up.take(p[:n], c.meter.secure)
	return n, err
}

// Close counts what the kernel knows of the connection before it forgets it.
func (c *counted) Close() error {
	c.meter.retire(c)
	return c.Conn.Close()
}

func (c *counted) counts() Counts {
	out := Counts{Up: c.up.way(), Down: c.down.way()}
	out.Up.Segments, out.Down.Segments, out.Told = segments(c.Conn)
	return out
}

// What a record of TLS 1.3 has beside the data: a header (RFC 8446 section 5.1),
// and within, the true type and the tag of the cipher (section 5.2), which has 16
// bytes in all suites that Go speaks.
const (
	recordHeader    = 5
	recordInside    = 1 + 16
	applicationData = 23
)

// stream follows the records of one direction. Its goroutine is the one that reads or
// writes; the totals may be read by others.
type stream struct {
	tcp, records, plain, other atomic.Int64

	head [recordHeader]byte
	have int   // bytes of head
	rest int64 // of the record that are still to come
}

func (s *stream) way() Way {
	return Way{TCP: s.tcp.Load(), Records: s.records.Load(), Plain: s.plain.Load(), Other: s.other.Load()}
}

func (s *stream) take(p []byte, secure bool) {
	s.tcp.Add(int64(len(p)))
	if !secure {
		s.plain.Add(int64(len(p)))
		return
	}
	for len(p) > 0 {
		if s.rest > 0 {
			n := min(s.rest, int64(len(p)))
			s.rest -= n
			p = p[n:]
			continue
		}
		n := copy(s.head[s.have:], p)
		p = p[n:]
		if s.have += n; s.have == recordHeader {
			s.begin()
		}
	}
}

// begin counts the record whose header is complete.
func (s *stream) begin() {
	length := int64(s.head[3])<<8 | int64(s.head[4])
	s.have, s.rest = 0, length
	s.records.Add(1)
	if s.head[0] == applicationData && length >= recordInside {
		s.plain.Add(length - recordInside)
	} else {
		s.other.Add(recordHeader + length)
	}
}
