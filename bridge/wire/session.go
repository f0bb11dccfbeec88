package wire

import (
	"compress/flate"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
	"plumbline/bridge/gate"
	"plumbline/bridge/hub"
)

// maxControl bounds the answers that wait to be written to one viewer, in bytes; only those to one refresh may be more.
const maxControl = 256 << 10

// helloBytes bounds the messages of a viewer that nobody has vouched for yet: a token and a name need no more.
const helloBytes = 16 << 10

// session is one viewer connection. Its reader goroutine runs as long as the session; a writer goroutine runs while there is
// something to write. Nobody calls the hub while holding mu: the hub calls wake, which takes it.
type session struct {
	srv    *Server
	ws     *websocket.Conn // used by the reader only
	nc     *viewerConn
	id     string
	remote string
	shown  gate.Credential // what the handshake brought

	dialect dialect // used by the reader, and by the writer once hello is answered
	deflate bool    // frames may be compressed

	limit   int64     // of a message, in bytes; grows with hello; used by the reader only
	kind    int       // what the reader found
	message io.Reader // the same
	err     error     // the same

	own    chan struct{}  // holds a token while a snapshot of this session is under way; nil until its first; used by the reader
	dirty  atomic.Bool    // something may be there to write
	writer sync.WaitGroup // the writer goroutine; only finish waits for it
	last   chan struct{}  // closed when nothing more will be written: the close frame is out, or writing has failed

	mu       sync.Mutex
	live     bool // hello was accepted
	ident    auth.Identity
	counted  bool // has a place of its subject
	subs     []*sub
	first    int    // the subscription that is asked first; moves on so that none starves; owned by the writer
	control  []byte // encoded frames to write before anything else
	beat     bool   // a heartbeat is due
	writing  bool   // a writer goroutine runs
	closing  bool
	flush    time.Time // until then what the subscriptions hold is written before the close frame
	closeMsg []byte
	code     CloseCode // why the session ends; 0 = connection lost
	byPeer   bool      // the viewer closed it
	finished bool

	told idSet // topics that the viewer knows by number; owned by the writer

	times times
	alarm alarm // guarded by clock.mu
}

// sub is one subscription of a session.
type sub struct {
	id     int64
	filter string
	every  time.Duration
	prefix []byte
	ready  atomic.Bool // Pull may have something

	// Guarded by session.mu; stream is changed by the writer only, which may read it without.
	stream *hub.Subscription
	reauth *access // the writer must subscribe anew with it
	gone   bool    // ended: stream is closed

	release func() // gives back the place of its snapshot, if it has one; may be called again

	// Owned by the writer once the subscription is in session.subs.
	snapshot  *snapshot
	cursor    uint64
	delivered uint64
	missing   uint64
	conflated uint64
}

func newSession(srv *Server, ws *websocket.Conn, nc *viewerConn, remote string, shown gate.Credential) *session {
	var raw [12]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	s := &session{srv: srv, ws: ws, nc: nc, id: hex.EncodeToString(raw[:]), remote: remote, shown: shown,
		limit: min(srv.opts.MaxFrameBytes, helloBytes), last: make(chan struct{}), deflate: nc.deflate}
	if ws.Subprotocol() == SubprotocolCBOR {
		s.dialect = dialect{binary: true, format: hub.CBOR}
	}
	nc.guard = newGuard(time.Now, nc.deflate)
	nc.alive()
	_ = nc.Conn.SetWriteDeadline(time.Time{}) // the handshake's: send sets its own, try has none
	nc.upgraded.Store(true)
	ws.SetReadLimit(s.limit)
	ws.SetPingHandler(func(data string) error {
		s.push(appendFrame(nil, framePong, []byte(data))) // RFC 6455 section 5.5.3
		return nil
	})
	ws.SetPongHandler(func(string) error { return nil })
	ws.SetCloseHandler(func(int, string) error { return nil }) // shut answers
	return s
}

// reader returns what reads until the connection ends and then tidies up. It returns when the session's goroutines have ended.
//
// Its goroutine lives as long as the session, and keeps the largest stack that it ever needed. So it only waits for the next
// message: whatever is done with one, on a goroutine of its own, would cost each idle viewer several KiB. A function without
// arguments saves the frame that the go statement puts before others: what waits here fits the smallest stack by a few words.
func (s *session) reader() func() {
	return func() {
		for more := true; more; more = s.came() {
			s.kind, s.message, s.err = s.ws.NextReader()
		}
	}
}

// came handles the message that the reader found, on another goroutine, and waits for it. When the connection has ended it ends
// the session and returns false.
func (s *session) came() (more bool) {
	if s.err == nil {
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.err = s.receive(s.kind, s.message)
			s.message = nil
		}()
		<-done
	}
	if s.err == nil {
		return true
	}
	s.conclude(s.err)
	s.finish()
	s.srv.forget(s)
	return false
}

// receive reads and handles one message. Its error is the connection's.
func (s *session) receive(kind int, r io.Reader) error {
	if s.isClosing() {
		return nil // data after our close frame counts for nothing (RFC 6455 section 1.4)
	}
	if (kind == websocket.BinaryMessage) != s.dialect.binary {
		s.shut(CloseUnsupported, "text for JSON, binary for CBOR", 0)
		return nil
	}
	text, err := readMessage(r, s.limit, !s.dialect.binary)
	if errors.Is(err, errUTF8) || errors.Is(err, errInflate) {
		s.shut(CloseUTF8, err.Error(), 0)
		return nil
	}
	if err == nil {
		s.handle(text)
	}
	return err
}

// The errors that close with 1007.
var (
	errUTF8    = errors.New("not UTF-8")
	errInflate = errors.New("not a DEFLATE stream")
)

// readMessage reads one message of at most limit bytes, counted as they are after decompression, which gorilla does not count.
// Text fails at the first byte that cannot be UTF-8 (RFC 6455 section 8.1), which gorilla does not check.
func readMessage(r io.Reader, limit int64, text bool) ([]byte, error) {
	buf := make([]byte, 0, 512)
	valid := 0
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for text && valid < len(buf) {
			c, size := utf8.DecodeRune(buf[valid:])
			if c == utf8.RuneError && size == 1 {
				if utf8.FullRune(buf[valid:]) {
					return nil, errUTF8
				}
				break // the rest of the character is still to come
			}
			valid += size
		}
		var corrupt flate.CorruptInputError
		switch {
		case int64(len(buf)) > limit:
			return nil, websocket.ErrReadLimit
		case errors.Is(err, io.EOF) && text && valid < len(buf):
			return nil, errUTF8
		case errors.Is(err, io.EOF):
			return buf, nil
		case errors.As(err, &corrupt), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errInflate
		case err != nil:
			return nil, err
		}
	}
}

// conclude starts the closing handshake that belongs to the reader's error.
func (s *session) conclude(err error) {
	var peer *websocket.CloseError
	switch {
	case errors.As(err, &peer) && peer.Code != websocket.CloseAbnormalClosure: // that is how gorilla reports an end without close frame
		s.answerClose(CloseCode(peer.Code))
		return
	case errors.Is(err, errRate):
		s.shut(CloseRate, "too many frames", 1000)
	case errors.Is(err, errLength), errors.Is(err, errCloseLen), errors.Is(err, errRSV):
		s.shut(CloseProtocol, "protocol", 0)
	case errors.Is(err, websocket.ErrReadLimit):
		s.shut(CloseTooBig, "message too big", 0)
	case s.nc.heldCode != 0: // gorilla found the fault and held the close frame back
		s.shut(CloseProtocol, "protocol", 0)
	default: // lost, or our own closing has taken its time
		s.nc.cut()
		return
	}
	s.awaitLast()
	s.nc.linger()
}

// awaitLast returns when the close frame is out or cannot get out any more.
func (s *session) awaitLast() {
	limit := time.NewTimer(2 * closeWait)
	defer limit.Stop()
	select {
	case <-s.last:
	case <-limit.C:
	}
}

// answerClose ends a session that the peer closed, with the peer's own code (RFC 6455 section 5.5.1).
func (s *session) answerClose(code CloseCode) {
	s.mu.Lock()
	s.flush = time.Time{} // who closes wants no more
	if !s.closing {
		s.closing, s.code, s.byPeer = true, code, true
		var body []byte
		if code != noCloseCode {
			body = []byte{byte(code >> 8), byte(code)}
		}
		s.closeMsg = appendFrame(nil, frameClose, body)
	}
	s.mu.Unlock()
	s.nc.beginClose()
	s.wake()
	s.awaitLast()
}

// shut begins the closing handshake. The first call decides the code. It never blocks.
func (s *session) shut(code CloseCode, reason string, retryMS int64) {
	s.mu.Lock()
	if s.closing || s.finished {
		s.mu.Unlock()
		return
	}
	s.closing, s.code = true, code
	if code == CloseDrain || code == CloseGoingAway {
		s.flush = time.Now().Add(closeWait / 2) // the rest of closeWait is for the close frame and its answer
	}
	s.closeMsg = appendFrame(nil, frameClose, closeBody(code, reason, retryMS))
	who := s.ident
	s.mu.Unlock()
	if code.refuses() {
		audit.Refused(s.srv.log, audit.Event{
			Action: "session", Reason: reason, Subject: who.Subject, Tenant: who.Tenant, Session: s.id, Remote: s.remote, Detail: "code " + strconv.Itoa(int(code)),
		})
	} else {
		s.srv.log.Info("closing session", "session", s.id, "remote", s.remote, "code", int(code), "reason", reason)
	}
	s.nc.beginClose()
	s.wake()
}

// drain tells the viewer, once it has its welcome, and closes it after wait.
func (s *session) drain(retryMS int64, wait time.Duration) {
	s.mu.Lock()
	s.times.drain, s.times.retryMS = s.after(wait), retryMS
	s.tellDrain()
	s.wind()
	s.mu.Unlock()
	s.wake()
}

// tellDrain queues the notice for a session that is open while the bridge drains. Who has no room for it learns it by the close
// frame. The caller holds mu.
func (s *session) tellDrain() {
	if s.live && s.times.drain != 0 {
		s.queue(s.frame(drainingMsg{"draining", s.times.retryMS}))
	}
}

// finish releases everything. Only run calls it.
func (s *session) finish() {
	s.mu.Lock()
	s.finished = true
	s.wind()
	subs := s.subs
	s.subs = nil
	code, state := strconv.Itoa(int(s.code)), s.state()
	if s.byPeer && s.code >= privateCodes {
		code = "peer"
	}
	fault, subject := s.live && !s.byPeer && s.code.ownFault(), s.ident.Account()
	s.mu.Unlock()
	if s.counted {
		s.srv.releaseSubject(subject)
	}
	if fault {
		s.srv.faults.note(subject, time.Now())
	}
	s.nc.part()
	s.writer.Wait()
	for _, b := range subs {
		b.stream.Close()
		b.release()
	}
	s.srv.m.Subscriptions.Sub(float64(len(subs)))
	s.srv.m.Connections.WithLabelValues(state).Dec()
	s.srv.m.Closed.WithLabelValues(code).Inc()
}

func (s *session) identity() (auth.Identity, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ident, s.live
}

// state names the session's state for metrics. The caller holds mu.
func (s *session) state() string {
	if s.live {
		return "live"
	}
	return "handshake"
}

func (s *session) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// push queues frames that go out before any data. A viewer that makes answers faster than it reads them is closed.
func (s *session) push(frames []byte) {
	s.mu.Lock()
	full := !s.queue(frames)
	s.mu.Unlock()
	s.answered(full)
}

// answered has what was queued written, or closes who leaves no room for it.
func (s *session) answered(full bool) {
	if full {
		s.shut(CloseLimit, "too many answers unread", 0)
		return
	}
	s.wake()
}

// queue adds frames to those that go out first, if there is room. The caller holds mu.
func (s *session) queue(frames []byte) bool {
	if len(s.control)+len(frames) > maxControl {
		return false
	}
	s.control = append(s.control, frames...)
	return true
}

func (s *session) pushMessage(msg any) { s.push(s.frame(msg)) }

// frame returns the frame of a message.
func (s *session) frame(msg any) []byte {
	return appendFrame(nil, s.dialect.frame(), s.dialect.encode(msg))
}

// isTimeout reports whether reading or writing took longer than its deadline.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
