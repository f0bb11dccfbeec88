package ws

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 wants it
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"plumbline/harness/conform"
)

// key is a correct Sec-WebSocket-Key: 16 bytes in base64.
const key = "cGx1bWJsaW5lIGtleSE5MQ=="

// maxHead bounds the head of an answer.
const maxHead = 64 << 10

type field struct{ name, value string }

// request is a handshake that a case may spoil.
type request struct {
	method, path, proto string
	fields              []field
}

// request returns the correct one (section 4.1).
func (s *suite) request() *request {
	path := s.url.RequestURI()
	r := &request{method: "GET", path: path, proto: "HTTP/1.1"}
	r.add("Host", s.url.Host)
	r.add("Upgrade", "websocket")
	r.add("Connection", "Upgrade")
	r.add("Sec-WebSocket-Key", key)
	r.add("Sec-WebSocket-Version", "13")
	if s.o.Subprotocol != "" {
		r.add("Sec-WebSocket-Protocol", s.o.Subprotocol)
	}
	for name, values := range s.o.Header {
		for _, v := range values {
			r.add(name, v)
		}
	}
	return r
}

func (r *request) add(name, value string) { r.fields = append(r.fields, field{name, value}) }

// set gives a field these values and no other.
func (r *request) set(name string, values ...string) {
	var kept []field
	for _, f := range r.fields {
		if !strings.EqualFold(f.name, name) {
			kept = append(kept, f)
		}
	}
	r.fields = kept
	for _, v := range values {
		r.add(name, v)
	}
}

func (r *request) bytes() []byte {
	var b strings.Builder
	b.WriteString(r.method + " " + r.path + " " + r.proto + "\r\n")
	for _, f := range r.fields {
		b.WriteString(f.name + ": " + f.value + "\r\n")
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// answer is the server's half of the handshake. Status is 0 when none came.
type answer struct {
	status int
	header http.Header
	ended  bool // without an answer
	broken error
}

// refusal says what a server answered to what it should refuse, in words.
func (a answer) String() string {
	switch {
	case a.broken != nil:
		return "no HTTP: " + a.broken.Error()
	case a.status != 0:
		return "status " + http.StatusText(a.status)
	case a.ended:
		return "the end of the connection"
	default:
		return "nothing"
	}
}

// tokens returns the elements of a list-valued field, trimmed.
func (a answer) tokens(name string) []string {
	var out []string
	for _, v := range a.header.Values(name) {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func (a answer) has(name, token string) bool {
	for _, t := range a.tokens(name) {
		if strings.EqualFold(t, token) {
			return true
		}
	}
	return false
}

// accept is what the server must answer to a key (section 4.2.2 step 5.4).
func accept(k string) string {
	sum := sha1.Sum([]byte(k + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// read takes the head of the answer from the connection.
func read(c *conform.Conn, until time.Time) answer {
	for {
		if i := bytes.Index(c.Buffered(), []byte("\r\n\r\n")); i >= 0 {
			head := c.Buffered()[:i+4]
			response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodGet})
			if err != nil {
				return answer{broken: err}
			}
			_ = response.Body.Close()
			c.Discard(i + 4)
			return answer{status: response.StatusCode, header: response.Header}
		}
		if len(c.Buffered()) > maxHead {
			return answer{broken: errors.New("the head of the answer does not end")}
		}
		if err := c.More(until); err != nil {
			return answer{ended: c.Ended()}
		}
	}
}

// ask sends a request on a new connection and reads the answer. A server that
// has too much to do at the moment (429, 503) is asked again.
func (s *suite) ask(t *conform.Trial, r *request) (*conform.Conn, answer) {
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		c := t.Dial()
		if t.Decided() {
			return c, answer{ended: true}
		}
		c.Send(r.bytes())
		a := read(c, time.Now().Add(s.patience))
		busy := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable
		if !busy || wait > 2*time.Second || !t.Pause(wait) {
			if busy {
				t.Unsuref("the server has too much to do: status %d again and again", a.status)
			}
			return c, a
		}
		c.Close()
	}
}
