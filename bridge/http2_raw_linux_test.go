package bridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// h2 is a client of HTTP/2 that says what it likes, frame by frame. What it says is sent by flush.
type h2 struct {
	t    *testing.T
	conn *tls.Conn
	*http2.Framer
	out    bytes.Buffer
	enc    *hpack.Encoder
	fields bytes.Buffer
	id     uint32 // of the latest stream; begins at −1, the first is 1

	mu    sync.Mutex
	heard heard
}

// heard is what the server said so far.
type heard struct {
	settings map[http2.SettingID]uint32
	window   uint32                   // of the connection, above what every one begins with
	status   map[uint32]string        // by stream
	reset    map[uint32]http2.ErrCode // by stream
	ended    map[http2.ErrCode]bool   // GOAWAY
	closed   bool                     // the server ended the connection
}

// narrow lets little be under way to a client that reads nothing: within one machine it would be megabytes.
func narrow(_, _ string, raw syscall.RawConn) (err error) {
	failed := raw.Control(func(fd uintptr) {
		err = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1460), unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096))
	})
	return errors.Join(failed, err)
}

// h2 connects, begins with those settings and, unless it is deaf, reads all that comes.
func (r *running) h2(t *testing.T, deaf bool, settings ...http2.Setting) *h2 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := net.Dialer{}
	if deaf {
		dialer.Control = narrow
	}
	raw, err := dialer.DialContext(ctx, "tcp", r.b.Addresses().Viewers)
	if err != nil {
		t.Fatal(err)
	}
	conf := r.tls()
	conf.NextProtos = []string{"h2"}
	h := &h2{t: t, conn: tls.Client(raw, conf), id: ^uint32(0), heard: heard{settings: map[http2.SettingID]uint32{}, status: map[uint32]string{}, reset: map[uint32]http2.ErrCode{}, ended: map[http2.ErrCode]bool{}}}
	h.Framer, h.enc = http2.NewFramer(&h.out, h.conn), hpack.NewEncoder(&h.fields)
	h.AllowIllegalWrites, h.ReadMetaHeaders = true, hpack.NewDecoder(4096, nil)
	_ = raw.SetDeadline(time.Now().Add(2 * patience)) // for what waits for no condition
	if err := h.conn.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	h.out.WriteString(http2.ClientPreface)
	h.say(h.WriteSettings(settings...))
	if err := h.flush(); err != nil {
		t.Fatal(err)
	}
	var listening sync.WaitGroup
	if !deaf {
		listening.Go(h.listen)
	}
	t.Cleanup(func() {
		_ = raw.Close()
		listening.Wait()
	})
	if !deaf {
		h.wait("its settings", func(s heard) bool { return len(s.settings) > 0 })
		h.say(h.WriteSettingsAck())
		if err := h.flush(); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// listen takes what the server says until it ends the connection.
func (h *h2) listen() {
	for {
		f, err := h.ReadFrame()
		h.mu.Lock()
		s := &h.heard
		var stream http2.StreamError
		switch f := f.(type) {
		case *http2.SettingsFrame:
			for i := range f.NumSettings() {
				s.settings[f.Setting(i).ID] = f.Setting(i).Val
			}
		case *http2.MetaHeadersFrame:
			s.status[f.StreamID] = f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			s.reset[f.StreamID] = f.ErrCode
		case *http2.GoAwayFrame:
			s.ended[f.ErrCode] = true
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				s.window += f.Increment
			}
		}
		if err != nil && !errors.As(err, &stream) {
			s.closed = true
		}
		over := s.closed
		h.mu.Unlock()
		if over {
			return
		}
	}
}

// wait waits for something that the server says.
func (h *h2) wait(what string, ok func(heard) bool) {
	h.t.Helper()
	eventually.Must(h.t, what, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return ok(h.heard)
	})
}

// say fails the test when a frame could not be made.
func (h *h2) say(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// flush sends what was said. An error is the end of the connection.
func (h *h2) flush() error {
	_, err := h.conn.Write(h.out.Bytes())
	h.out.Reset()
	return err
}

// block encodes the header of a GET, with further fields given as name and value in turn.
func (h *h2) block(path string, more ...string) []byte {
	h.t.Helper()
	h.fields.Reset()
	fields := append([]string{":method", http.MethodGet, ":scheme", "https", ":authority", "localhost", ":path", path}, more...)
	for i := 0; i+1 < len(fields); i += 2 {
		h.say(h.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return h.fields.Bytes()
}

// ask says a whole request without a body.
func (h *h2) ask(path string, more ...string) {
	h.t.Helper()
	h.open(http2.HeadersFrameParam{EndStream: true, EndHeaders: true, BlockFragment: h.block(path, more...)})
}

// open begins the next stream.
func (h *h2) open(p http2.HeadersFrameParam) {
	h.t.Helper()
	h.id += 2
	p.StreamID = h.id
	h.say(h.WriteHeaders(p))
}

// flood sends what was said again and again until the server takes no more, at most so many bytes; 0 is no limit. It
// returns how many went, and whether the server ended that.
func (h *h2) flood(most int64) (sent int64, ended bool) {
	block := bytes.Clone(h.out.Bytes())
	h.out.Reset()
	for most == 0 || sent < most {
		n, err := h.conn.Write(block)
		if sent += int64(n); err != nil {
			return sent, !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
	return sent, false
}

// atWork counts the requests that are being handled.
type atWork struct {
	next http.Handler
	slow chan struct{} // polls go on until it is closed, as a handler does that has not noticed yet; nil: they do not

	mu             sync.Mutex
	now, most, all int
}

func (w *atWork) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.now++
	w.all++
	w.most = max(w.most, w.now)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.now--
	}()
	if w.slow != nil && r.URL.Path == "/poll" {
		<-w.slow
		return
	}
	w.next.ServeHTTP(rw, r)
}

func (w *atWork) counts() (now, most, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.most, w.all
}

// runH2 runs a bridge over HTTP/2 whose requests are counted. With quick it cuts who reads or says nothing after a second or so.
func runH2(t *testing.T, quick bool, slow chan struct{}) (*running, *atWork) {
	t.Helper()
	c := testConfig(t.TempDir())
	overHTTP2(&c)
	c.Viewers.RequestRate = 0 // the rate is not what is tried here
	if quick {
		c.Viewers.Heartbeat, c.Viewers.WriteTimeout = config.Duration(time.Second), config.Duration(2*time.Second) // somebody else must make it
	}
	b, err := New(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	b.viewers.ReadTimeout, b.viewers.WriteTimeout = 4*time.Second, 4*time.Second // of an ordinary request
	w := &atWork{next: b.viewers.Handler, slow: slow}
	b.viewers.Handler = w
	return runMade(t, c, b), w
}

// served checks that somebody else is.
func (r *running) served(t *testing.T) {
	t.Helper()
	resp := r.follower(nil).get("/api/v1/me", nil)
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("another client is answered with %s over %s", resp.Status, resp.Proto)
	}
}

// held returns what heap and stacks have grown by since base, once nothing is left of what was needed in passing.
func held(base int64) int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc+m.StackInuse) - base
}
