package viewer

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 wants it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"syscall"
)

// Opcodes of RFC 6455 section 5.2.
const (
	OpContinuation = 0x0
	OpText         = 0x1
	OpBinary       = 0x2
	OpClose        = 0x8
	OpPing         = 0x9
	OpPong         = 0xA
)

// Frame returns a sound masked client frame (RFC 6455 section 5.2). A step that
// wants an unsound one changes its bytes: the first holds FIN, RSV and opcode,
// the highest bit of the second says that it is masked.
func Frame(opcode byte, payload []byte) []byte {
	out := []byte{0x80 | opcode, 0x80}
	switch n := len(payload); {
	case n < 126:
		out[1] |= byte(n)
	case n < 1<<16:
		out[1] |= 126
		out = binary.BigEndian.AppendUint16(out, uint16(n))
	default:
		out[1] |= 127
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	var mask [4]byte
	_, _ = rand.Read(mask[:]) // never fails, see crypto/rand
	out = append(out, mask[:]...)
	for i, b := range payload {
		out = append(out, b^mask[i%4])
	}
	return out
}

// UnmaskedFrame returns a frame as only servers may send it (section 5.1).
func UnmaskedFrame(opcode byte, payload []byte) []byte {
	masked := Frame(opcode, payload)
	header := len(masked) - len(payload) - 4
	out := append([]byte{}, masked[:header]...)
	out[1] &^= 0x80
	return append(out, payload...)
}

// handshake sends the request of section 4.1 with the changes that the caller
// wants and reports whether the server answered 101.
func (p *probe) handshake() (upgraded bool, err error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	if _, err := p.conn.Write(p.request(key)); err != nil {
		return false, err
	}
	limited := &io.LimitedReader{R: p.in, N: int64(p.spec.MaxBytes)}
	head := bufio.NewReaderSize(limited, 16<<10)
	response, err := http.ReadResponse(head, &http.Request{Method: http.MethodGet})
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	p.out.HTTPStatus, p.out.Header = response.StatusCode, response.Header
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
		p.out.Body = string(body)
		return false, err
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
	if got := response.Header.Get("Sec-WebSocket-Accept"); got != base64.StdEncoding.EncodeToString(sum[:]) {
		return false, fmt.Errorf("wrong Sec-WebSocket-Accept %q", got)
	}
	p.out.Subprotocol = response.Header.Get("Sec-WebSocket-Protocol")
	// What was read beyond the header belongs to the frames.
	rest, _ := head.Peek(head.Buffered())
	p.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(rest)), p.in), 16<<10)
	return true, nil
}

// request writes the head by hand: net/http would refuse or mend some of what a
// probe wants to send.
func (p *probe) request(key string) []byte {
	method := p.spec.Method
	if method == "" {
		method = http.MethodGet
	}
	header := http.Header{
		"Host": {p.target.Host}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {key},
	}
	offers := p.spec.Subprotocols
	if offers == nil {
		offers = []string{Subprotocol}
	}
	if len(offers) > 0 {
		header["Sec-Websocket-Protocol"] = offers
	}
	if len(p.spec.Origins) > 0 {
		header["Origin"] = p.spec.Origins
	}
	for name, values := range p.spec.Header {
		header[textproto.CanonicalMIMEHeaderKey(name)] = values
	}
	target := p.target.RequestURI()
	if p.spec.Query != "" {
		target += "?" + p.spec.Query
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\n", method, target)
	for name, values := range header {
		for _, value := range values {
			fmt.Fprintf(&out, "%s: %s\r\n", name, value)
		}
	}
	out.WriteString("\r\n")
	return out.Bytes()
}

// frames reads until the close frame, the end, or enough was read.
func (p *probe) frames() error {
	var message []byte
	for {
		opcode, fin, payload, err := p.frame()
		if err != nil {
			return err
		}
		if p.spec.Forget && opcode >= OpClose {
			p.budget += len(payload)
		}
		switch opcode {
		case OpClose:
			return p.closed(payload)
		case OpPing:
			if !p.spec.NoPong {
				_ = p.send(Frame(OpPong, payload)) // the reader notices a dead connection itself
			}
		case OpPong:
		case OpText, OpBinary, OpContinuation:
			if message = append(message, payload...); !fin {
				continue
			}
			if p.deliver(message) {
				return errEnough
			}
			message = nil
		default:
			return fmt.Errorf("server sent reserved opcode %#x", opcode)
		}
	}
}

// frame reads one frame of the server; lengths are checked against the budget
// before anything is allocated.
func (p *probe) frame() (opcode byte, fin bool, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(p.in, head[:]); err != nil {
		return 0, false, nil, err
	}
	length := uint64(head[1] & 0x7F)
	var wide [8]byte
	switch length {
	case 126:
		if _, err = io.ReadFull(p.in, wide[6:]); err != nil {
			return 0, false, nil, err
		}
		length = binary.BigEndian.Uint64(wide[:])
	case 127:
		if _, err = io.ReadFull(p.in, wide[:]); err != nil {
			return 0, false, nil, err
		}
		length = binary.BigEndian.Uint64(wide[:])
	}
	switch {
	case head[0]&0x70 != 0:
		return 0, false, nil, errors.New("server set a reserved bit that was not negotiated")
	case head[1]&0x80 != 0:
		return 0, false, nil, errors.New("server masked a frame") // section 5.1
	case length > uint64(p.budget):
		return 0, false, nil, fmt.Errorf("server sent more than %d bytes", p.spec.MaxBytes)
	}
	p.budget -= int(length)
	payload = make([]byte, length)
	_, err = io.ReadFull(p.in, payload)
	return head[0] & 0x0F, head[0]&0x80 != 0, payload, err
}

// deliver keeps a message and reports whether the caller has seen enough.
func (p *probe) deliver(message []byte) (enough bool) {
	if p.spec.Forget {
		p.budget = p.spec.MaxBytes
	} else {
		p.mu.Lock()
		p.out.Frames = append(p.out.Frames, message)
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
	return p.spec.Until != nil && p.spec.Until(message)
}

// closed keeps code and reason and answers, as section 5.5.1 wants.
func (p *probe) closed(payload []byte) error {
	p.mu.Lock()
	p.out.CloseCode = 1005 // "no status" of section 7.1.5
	if len(payload) >= 2 {
		p.out.CloseCode = int(binary.BigEndian.Uint16(payload))
		p.out.CloseReason = string(payload[2:])
	}
	p.mu.Unlock()
	_ = p.send(Frame(OpClose, payload[:min(2, len(payload))]))
	return errEnough
}

// isReset reports whether the peer ended the connection by RST, or before our write.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
