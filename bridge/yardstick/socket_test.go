//go:build linux

package yardstick

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// target is a WebSocket endpoint that delivers MQTT messages.
type target struct {
	Kind    string // "plumbline" or "mqtt"
	Address string
	Path    string
	Token   string `json:",omitempty"`
	TLS     bool
	Filter  string
}

// socket is one viewer's connection.
type socket struct {
	net.Conn
	r *bufio.Reader
}

const dialLimit = 20 * time.Second

// dial connects and makes the WebSocket handshake.
func (t target) dial() (*socket, error) {
	c, err := net.DialTimeout("tcp", t.Address, dialLimit)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(dialLimit)); err != nil {
		return nil, err
	}
	if t.TLS {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // the peer is our own child process
	}
	name := "mqtt"
	if t.Kind == "plumbline" {
		name = "plumbline.v1.json"
	}
	_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n", t.Path, t.Address, name)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: c, r: bufio.NewReaderSize(c, 512)}
	for first := true; ; first = false {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("handshake with %s: %w", t.Address, err)
		}
		if first && !strings.Contains(line, " 101 ") {
			return nil, fmt.Errorf("handshake with %s: %s", t.Address, strings.TrimSpace(line))
		}
		if strings.TrimSpace(line) == "" {
			return s, nil
		}
	}
}

// open dials, says who it is, and subscribes unless the filter is empty. It returns when the server has confirmed.
func (t target) open() (*socket, error) {
	s, err := t.dial()
	if err != nil {
		return nil, err
	}
	ask := [][2]string{{mqttConnect(""), "\x20"}, {mqttSubscribe(t.Filter), "\x90"}}
	opcode := byte(2)
	if t.Kind == "plumbline" {
		ask = [][2]string{
			{`{"type":"hello","token":"` + t.Token + `"}`, `{"type":"welcome"`},
			{`{"type":"sub","id":1,"filter":"` + t.Filter + `"}`, `{"type":"subok"`},
		}
		opcode = 1
	}
	if t.Filter == "" {
		ask = ask[:1]
	}
	for _, a := range ask {
		if err := s.send(opcode, []byte(a[0])); err != nil {
			return nil, err
		}
		got, err := s.message()
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(got, []byte(a[1])) {
			return nil, fmt.Errorf("%s answered %.120q", t.Address, got)
		}
	}
	return s, s.SetDeadline(time.Time{})
}

// send writes one masked frame (RFC 6455 section 5.3; a mask of zeros is a mask).
func (s *socket) send(opcode byte, p []byte) error {
	f := []byte{0x80 | opcode}
	if len(p) < 126 {
		f = append(f, 0x80|byte(len(p)))
	} else {
		f = append(f, 0x80|126)
		f = binary.BigEndian.AppendUint16(f, uint16(len(p)))
	}
	f = append(f, 0, 0, 0, 0)
	_, err := s.Write(append(f, p...))
	return err
}

// header reads a frame's header and returns its opcode and length.
func (s *socket) header() (opcode byte, length int64, err error) {
	var h [8]byte
	if _, err = io.ReadFull(s.r, h[:2]); err != nil {
		return 0, 0, err
	}
	opcode, length = h[0]&0xf, int64(h[1]&0x7f)
	switch length {
	case 126:
		_, err = io.ReadFull(s.r, h[:2])
		length = int64(binary.BigEndian.Uint16(h[:2]))
	case 127:
		_, err = io.ReadFull(s.r, h[:8])
		length = int64(binary.BigEndian.Uint64(h[:8]))
	}
	return opcode, length, err
}

// message reads one unfragmented data message, answering pings on the way.
func (s *socket) message() ([]byte, error) {
	for {
		opcode, length, err := s.header()
		if err != nil {
			return nil, err
		}
		p := make([]byte, length)
		if _, err := io.ReadFull(s.r, p); err != nil {
			return nil, err
		}
		switch opcode {
		case 8:
			return nil, fmt.Errorf("closed by the server: %.100q", p)
		case 9:
			if err := s.send(10, p); err != nil {
				return nil, err
			}
		case 1, 2:
			return p, nil
		}
	}
}

// pump reads frames until the connection ends and gives their payload to sink, after a call of arrived for each piece.
func (s *socket) pump(arrived func(), sink *scanner) error {
	s.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(s.buffered()), s.Conn), 64<<10)
	for {
		opcode, left, err := s.header()
		if err != nil {
			return err
		}
		arrived()
		if opcode >= 8 {
			p := make([]byte, left)
			if _, err := io.ReadFull(s.r, p); err != nil {
				return err
			}
			if opcode == 8 {
				return fmt.Errorf("closed by the server: %.100q", p)
			}
			if opcode == 9 {
				err = s.send(10, p)
			}
			if err != nil {
				return err
			}
			continue
		}
		for left > 0 {
			p, err := s.r.Peek(int(min(left, int64(max(1, s.r.Buffered())))))
			if len(p) == 0 {
				return err
			}
			sink.write(p)
			left -= int64(len(p))
			_, _ = s.r.Discard(len(p)) // it was peeked
		}
	}
}

func (s *socket) buffered() []byte {
	p, _ := s.r.Peek(s.r.Buffered()) // cannot fail: they are there
	return bytes.Clone(p)
}

// mqttConnect is a CONNECT of MQTT 3.1.1 with a clean session and no keep-alive.
func mqttConnect(id string) string {
	body := "\x00\x04MQTT\x04\x02\x00\x00" + mqttString(id)
	return "\x10" + mqttLength(len(body)) + body
}

// mqttSubscribe asks for one filter with QoS 0.
func mqttSubscribe(filter string) string {
	body := "\x00\x01" + mqttString(filter) + "\x00"
	return "\x82" + mqttLength(len(body)) + body
}

func mqttString(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

func mqttLength(n int) string {
	var out []byte
	for {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			out = append(out, b|0x80)
			continue
		}
		return string(append(out, b))
	}
}
