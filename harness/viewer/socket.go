package viewer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/local"
)

// readBuffer holds what is read ahead of a frame. More is read past it, straight into the
// message; a crowd of viewers has one each.
const readBuffer = 4 << 10

// frameLimit bounds a message of a server in memory, whatever it announces.
const frameLimit = 16 << 20

// socket is the WebSocket under the protocols that use one (RFC 6455).
type socket struct {
	conn    *websocket.Conn
	clock   interface{ Now() int64 }
	silence time.Duration // how long the peer may say nothing, 0 for ever; owned by the reading goroutine
	said    *said
	write   sync.Mutex
	buf     []byte // of the last message
}

// dialSocket makes the WebSocket handshake (RFC 6455 section 4.1) and offers
// subprotocol, "" for none. The server must choose it.
func (v *Viewer) dialSocket(ctx context.Context, token, subprotocol string) (*socket, error) {
	request, err := v.opening(token, subprotocol)
	if err != nil {
		return nil, err
	}
	var under *measured
	dialer := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := v.dialTCP(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			under = &measured{Conn: conn, left: handshakeLimit}
			return under, nil
		},
		TLSClientConfig:  v.cfg.TLS.Clone(),
		HandshakeTimeout: connectLimit,
		Subprotocols:     request.offers,
		ReadBufferSize:   readBuffer,
		WriteBufferSize:  1 << 10,
	}
	if v.cfg.Compress {
		v.squeeze(&dialer)
	}
	v.said.requests.Add(1)
	conn, response, err := dialer.DialContext(ctx, request.url.String(), request.header)
	if response != nil {
		defer func() { _ = response.Body.Close() }()
	}
	if err != nil {
		if response == nil || !errors.Is(err, websocket.ErrBadHandshake) {
			return nil, err
		}
		return nil, v.refusedBy(response)
	}
	under.left = -1
	if err := agreed(request.offers, subprotocol, conn.Subprotocol(), response.Header); err != nil {
		_ = conn.Close()
		return nil, err
	}
	s := &socket{conn: conn, clock: v.clock, said: &v.said, silence: connectLimit, buf: make([]byte, 0, 32<<10)}
	conn.SetReadLimit(frameLimit)
	conn.SetPingHandler(func(data string) error {
		s.touch()
		err := conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil // after our goodbye the server may still end its sentence
		}
		return err
	})
	conn.SetPongHandler(func(string) error { s.touch(); return nil })
	return s, nil
}

// handshakeLimit bounds what a server may say before the WebSocket is open:
// certificates and the header of its answer.
const handshakeLimit = 512 << 10

// measured is a connection that gives so many bytes and then an error. The
// library reads the answer to a handshake whatever its size.
type measured struct {
	net.Conn
	left int // below 0 for any number; owned by the goroutine that reads
}

func (m *measured) Read(p []byte) (int, error) {
	if m.left < 0 {
		return m.Conn.Read(p)
	}
	if m.left == 0 {
		return 0, &unusable{fmt.Sprintf("server answered the handshake with a header of more than %d bytes", handshakeLimit)}
	}
	n, err := m.Conn.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}

// dialTCP makes the connection under all protocols.
func (v *Viewer) dialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	if v.cfg.Dial != nil {
		return v.cfg.Dial(ctx, network, addr)
	}
	return local.Dialer(v.cfg.Local).DialContext(ctx, network, addr)
}

// agreed reports what is wrong with the server's side of the handshake.
func agreed(offers []string, subprotocol, chosen string, header http.Header) error {
	switch {
	case subprotocol != "" && chosen != subprotocol:
		return &unusable{fmt.Sprintf("server chose subprotocol %.100q, not %q", chosen, subprotocol)}
	case chosen != "" && !slices.Contains(offers, chosen):
		return &unusable{fmt.Sprintf("server chose subprotocol %.100q, which was not offered", chosen)}
	}
	// RFC 6455 section 4.1: what was not offered must not be agreed to, and the
	// library would begin to decompress.
	if extensions := header.Values("Sec-WebSocket-Extensions"); len(extensions) > 0 {
		return &unusable{fmt.Sprintf("server chose the extension %.100q, and none was offered", extensions[0])}
	}
	return nil
}

// refusedBy returns the error for an HTTP answer that is a no.
func (v *Viewer) refusedBy(response *http.Response) *RefusedError {
	refused := &RefusedError{Status: response.StatusCode, Reason: v.tokens.excerpt(response.Status, 200)}
	if to := response.Header.Get("Location"); refused.Status/100 == 3 && to != "" {
		refused.Reason += fmt.Sprintf("; it redirects to %q, which is not followed: name the final address in viewer.url", v.tokens.excerpt(to, 200))
	}
	refused.Retry = retryIn(response.Header.Get("Retry-After"), time.Now())
	return refused
}

// retryIn reads how long a server asks to wait: seconds, or until a date (RFC 9110
// section 10.2.3); 0 for neither.
func retryIn(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(min(max(seconds, 0), maxRetrySeconds)) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxRetrySeconds*time.Second)
	}
	return 0
}

// maxRetrySeconds keeps a wait that a server asks for from overflowing.
const maxRetrySeconds = 1 << 20

// millis reads a time of a server, which may be any number.
func millis(n int64) time.Duration {
	return time.Duration(min(max(n, 0), maxRetrySeconds*1000)) * time.Millisecond
}

// read returns the next message, its opcode and when its last byte had been
// read (t4): nothing is decoded before. data is good until the next call.
func (s *socket) read() (at int64, opcode int, data []byte, err error) {
	s.touch()
	opcode, r, err := s.conn.NextReader()
	if err != nil {
		return 0, 0, nil, err
	}
	if s.buf, err = s.readAll(s.buf[:0], r); err != nil {
		return 0, 0, nil, err
	}
	return s.clock.Now(), opcode, s.buf, nil
}

// readAll reads to the end of r into buf, which grows as needed. Each piece is
// a sign of life: a frame may take longer than silence is allowed to.
func (s *socket) readAll(buf []byte, r io.Reader) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
		s.touch()
	}
}

// touch moves the deadline on: data is what shows that the peer lives.
func (s *socket) touch() {
	if s.silence > 0 {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.silence))
	}
}

// send writes one message; opcode is websocket.TextMessage or BinaryMessage.
func (s *socket) send(opcode int, data []byte) error {
	s.write.Lock()
	defer s.write.Unlock()
	s.said.messages.Add(1)
	s.said.bytes.Add(uint64(len(data)))
	_ = s.conn.SetWriteDeadline(time.Now().Add(connectLimit))
	return s.conn.WriteMessage(opcode, data)
}

// sendJSON writes one text message.
func (s *socket) sendJSON(message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return s.send(websocket.TextMessage, data)
}

// goodbye sends the close frame of section 7.1.1.
func (s *socket) goodbye() error {
	body := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	return s.conn.WriteControl(websocket.CloseMessage, body, time.Now().Add(time.Second))
}

// close drops the connection without a word. It is idempotent.
func (s *socket) close() { _ = s.conn.Close() }

// ending takes the close code and its reason out of a read error. The reason
// may be JSON with a reason and a time to wait.
func (s *socket) ending(err error) (e ending) {
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code == websocket.CloseAbnormalClosure {
		return ending{}
	}
	var body struct {
		Reason  string `json:"reason"`
		RetryMS int64  `json:"retry_ms"`
	}
	if json.Unmarshal([]byte(closed.Text), &body) != nil || body.Reason == "" {
		return ending{code: closed.Code, reason: closed.Text}
	}
	return ending{code: closed.Code, reason: body.Reason, retry: millis(body.RetryMS)}
}
