package viewer

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/websocket"
)

// offer is what a viewer that takes compressed messages says in its handshake:
// the server may refer to earlier messages, which the library cannot follow.
const offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"

// windowSize is how far back a message may refer (RFC 7692 section 7.1.2.1).
const windowSize = 32 << 10

// deflateTail ends the blocks of a message (RFC 7692 section 7.2.2), and then
// the stream.
const deflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// squeeze lets a dialer offer compression and expand what comes compressed
// before the library sees it.
func (v *Viewer) squeeze(d *websocket.Dialer) {
	dial := d.NetDialContext
	d.NetDialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return newSqueezed(v, conn), nil
	}
	d.NetDialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if v.cfg.TLS != nil {
			config = v.cfg.TLS.Clone()
		}
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return newSqueezed(v, secure), nil
	}
}

// squeezed is a connection to a WebSocket server that may compress messages
// (RFC 7692). Whoever reads it sees them as if they had come uncompressed.
type squeezed struct {
	net.Conn
	v       *Viewer
	in      *bufio.Reader
	offered bool

	// Of the goroutine that reads.
	open   bool   // the server has answered the handshake with yes
	raw    bool   // with no: everything is handed on as it comes
	agreed bool   // to compression
	fresh  bool   // no message refers to an earlier one
	left   uint64 // of an uncompressed frame that is handed on
	out    []byte // ready to be handed on
	part   bytes.Buffer
	op     byte // of the compressed message in part, 0 for none
	window []byte
}

func newSqueezed(v *Viewer, conn net.Conn) *squeezed {
	return &squeezed{Conn: conn, v: v, in: bufio.NewReaderSize(conn, 16<<10)}
}

// Write implements net.Conn; the offer goes into the first thing that is written.
func (s *squeezed) Write(b []byte) (int, error) {
	line, rest, found := bytes.Cut(b, []byte("\r\n"))
	if s.offered || !found {
		return s.Conn.Write(b)
	}
	s.offered = true
	if _, err := s.Conn.Write(slices.Concat(line, []byte("\r\n"+offer), rest)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Read implements net.Conn.
func (s *squeezed) Read(b []byte) (int, error) {
	for len(s.out) == 0 {
		var err error
		switch {
		case s.raw:
			return s.in.Read(b)
		case s.left > 0:
			n, err := s.in.Read(b[:min(uint64(len(b)), s.left)])
			s.left -= uint64(n)
			return n, err
		case s.open:
			err = s.frame()
		default:
			err = s.answer()
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(b, s.out)
	s.out = s.out[n:]
	return n, nil
}

// answer reads the server's side of the handshake and takes the extension out
// of it. Its size is bounded below.
func (s *squeezed) answer() error {
	status, err := s.in.ReadString('\n')
	if err != nil {
		return err
	}
	s.out = append(s.out[:0], status...)
	if fields := strings.Fields(status); len(fields) < 2 || fields[1] != "101" {
		s.raw = true
		return nil
	}
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(name, "Sec-WebSocket-Extensions") {
			s.out = append(s.out, line...)
		} else if err := s.agree(strings.TrimSpace(value)); err != nil {
			return err
		}
		if strings.TrimSpace(line) == "" {
			s.open = true
			return nil
		}
	}
}

// ErrExtension says that a server answered the offer of compression with what
// was not offered (RFC 6455 section 9.1, RFC 7692 section 5.1).
var ErrExtension = errors.New("the extensions of the connection were negotiated wrongly")

// agree takes the server's word for how it compresses (RFC 7692 section 7.1).
func (s *squeezed) agree(extension string) error {
	wrong := fmt.Errorf("%w: %w", ErrExtension, &unusable{fmt.Sprintf("server chose the extension %.100q; offered was permessage-deflate", extension)})
	parts := strings.Split(extension, ";")
	if s.agreed || strings.TrimSpace(parts[0]) != "permessage-deflate" {
		return wrong
	}
	s.agreed = true
	seen := map[string]bool{}
	for _, part := range parts[1:] {
		name, value, valued := strings.Cut(strings.TrimSpace(part), "=")
		bits, err := strconv.Atoi(strings.Trim(value, `"`))
		switch {
		case seen[name]:
			return wrong
		case name == "server_no_context_takeover" && !valued:
			s.fresh = true
		case name == "client_no_context_takeover" && !valued:
		case name == "server_max_window_bits" && err == nil && bits >= 8 && bits <= 15:
		default:
			return wrong
		}
		seen[name] = true
	}
	return nil
}

// frame reads one frame, or the header of one that is handed on as it is.
func (s *squeezed) frame() error {
	var head [14]byte
	if _, err := io.ReadFull(s.in, head[:2]); err != nil {
		return err
	}
	n, size := 2, uint64(head[1]&0x7f)
	switch size {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	if _, err := io.ReadFull(s.in, head[2:n]); err != nil {
		return err
	}
	switch size {
	case 126:
		size = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		size = binary.BigEndian.Uint64(head[2:])
	}
	op, compressed := head[0]&0x0f, head[0]&0x40 != 0 && s.agreed
	begins := compressed && head[0]&0x30 == 0 && (op == websocket.TextMessage || op == websocket.BinaryMessage) && s.op == 0
	goesOn := s.op != 0 && op == 0 && head[0]&0x70 == 0
	if head[1]&0x80 != 0 || (!begins && !goesOn) { // control frames too, and what the library refuses
		s.out, s.left = append(s.out[:0], head[:n]...), size
		return nil
	}
	if begins {
		s.op = op
		s.part.Reset()
	}
	if size > frameLimit || uint64(s.part.Len())+size > frameLimit {
		return &unusable{fmt.Sprintf("server sent a compressed message of more than %d bytes", frameLimit)}
	}
	if _, err := io.CopyN(&s.part, s.in, int64(size)); err != nil {
		return err
	}
	if head[0]&0x80 == 0 {
		return nil
	}
	return s.message()
}

// message expands a message that is whole and hands it on in one frame.
func (s *squeezed) message() error {
	plain, err := s.inflate()
	s.v.mu.Lock()
	s.v.counters.Saved += uint64(max(len(plain)-s.part.Len(), 0))
	if s.v.counters.Squeezed++; err != nil {
		err = errors.Join(fmt.Errorf("compressed message that does not inflate: %w", err), s.v.tookLocked(s.part.Bytes(), err))
	}
	s.v.mu.Unlock()
	if err != nil {
		return err
	}
	head := []byte{0x80 | s.op, 127}
	s.out = append(binary.BigEndian.AppendUint64(append(s.out[:0], head...), uint64(len(plain))), plain...)
	s.op = 0
	return nil
}

// inflate expands what is in part, with the window of the messages before.
func (s *squeezed) inflate() ([]byte, error) {
	r := flate.NewReaderDict(io.MultiReader(bytes.NewReader(s.part.Bytes()), strings.NewReader(deflateTail)), s.window)
	plain, err := io.ReadAll(io.LimitReader(r, frameLimit+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > frameLimit {
		return nil, fmt.Errorf("it is more than %d bytes", frameLimit)
	}
	if !s.fresh {
		s.window = append(s.window, plain[max(0, len(plain)-windowSize):]...)
		s.window = slices.Clone(s.window[max(0, len(s.window)-windowSize):])
	}
	return plain, nil
}
