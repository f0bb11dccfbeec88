package wire

import (
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

	"plumbline/bridge/auth"
	"plumbline/bridge/hub"
)

// maxControl bounds the answers that wait to be written to one viewer, in bytes.
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
	header string // token of the handshake's Authorization header

	limit  int64          // of a message, in bytes; grows with hello; used by the reader only
	own    chan struct{}  // holds a token while a snapshot of this session is under way
	dirty  atomic.Bool    // something may be there to write
	writer sync.WaitGroup // the writer goroutine; only finish waits for it
	last   chan struct{}  // closed when nothing more will be written: the close frame is out, or writing has failed

	mu       sync.Mutex
	live     bool // hello was accepted
	ident    auth.Identity
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

	authTimer, beatTimer, drainTimer *time.Timer
	expiry                           []*time.Timer
}

// sub is one subscription of a session.
type sub struct {
	id     int64
	filter string
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
}

func newSession(srv *Server, ws *websocket.Conn, nc *viewerConn, remote, header string) *session {
	var raw [12]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	s := &session{srv: srv, ws: ws, nc: nc, id: hex.EncodeToString(raw[:]), remote: remote, header: header,
		limit: min(srv.opts.MaxFrameBytes, helloBytes), own: make(chan struct{}, 1), last: make(chan struct{})}
	nc.guard = newGuard(time.Now)
	_ = nc.Conn.SetReadDeadline(time.Now().Add(nc.idle))
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

// run reads until the connection ends and then tidies up. It returns when the session's goroutines have ended.
func (s *session) run() {
	o := s.srv.opts
	s.mu.Lock()
	s.authTimer = time.AfterFunc(o.AuthTimeout, func() {
		if _, live := s.identity(); !live {
			s.shut(CloseNoAuth, "no hello in time", 0)
		}
	})
	// The first heartbeat comes between a half and a whole interval, so that sessions that began together spread out.
	s.beatTimer = time.AfterFunc(o.Heartbeat/2+randomUpTo(o.Heartbeat/2), s.tick)
	s.mu.Unlock()
	err := s.read()
	s.conclude(err)
	s.finish()
}

// tick makes a heartbeat due and arranges the next one.
func (s *session) tick() {
	s.mu.Lock()
	s.beat = true
	if !s.finished {
		s.beatTimer.Reset(s.srv.opts.Heartbeat)
	}
	s.mu.Unlock()
	s.wake()
}

// later arranges f as one of the token's timers, unless the session has finished.
func (s *session) later(wait time.Duration, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		s.expiry = append(s.expiry, time.AfterFunc(max(wait, 0), f))
	}
}

// read handles messages until the connection fails or the peer closes.
func (s *session) read() error {
	for {
		kind, r, err := s.ws.NextReader()
		if err != nil {
			return err
		}
		if s.isClosing() {
			continue // data after our close frame counts for nothing (RFC 6455 section 1.4)
		}
		if kind == websocket.BinaryMessage {
			s.shut(CloseUnsupported, "text only", 0)
			continue
		}
		text, err := readText(r, s.limit)
		if errors.Is(err, errUTF8) {
			s.shut(CloseUTF8, "not UTF-8", 0)
			continue
		}
		if err != nil {
			return err
		}
		s.handle(text)
	}
}

var errUTF8 = errors.New("wire: text is not UTF-8")

// readText reads one message and fails at the first byte that cannot be UTF-8 (RFC 6455 section 8.1), which gorilla does not
// check. The reader's own limit bounds it.
func readText(r io.Reader, limit int64) ([]byte, error) {
	buf := make([]byte, 0, 512)
	valid := 0
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for valid < len(buf) {
			c, size := utf8.DecodeRune(buf[valid:])
			if c == utf8.RuneError && size == 1 {
				if utf8.FullRune(buf[valid:]) {
					return nil, errUTF8
				}
				break // the rest of the character is still to come
			}
			valid += size
		}
		switch {
		case errors.Is(err, io.EOF) && valid < len(buf):
			return nil, errUTF8
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, err
		case int64(len(buf)) > limit:
			return nil, websocket.ErrReadLimit
		}
	}
}

// conclude starts the closing handshake that belongs to the reader's error.
func (s *session) conclude(err error) {
	var peer *websocket.CloseError
	switch {
	case errors.As(err, &peer):
		s.answerClose(CloseCode(peer.Code))
		return
	case errors.Is(err, errRate):
		s.shut(CloseRate, "too many frames", 1000)
	case errors.Is(err, errLength), errors.Is(err, errCloseLen):
		s.shut(CloseProtocol, "protocol", 0)
	case errors.Is(err, websocket.ErrReadLimit):
		s.shut(CloseTooBig, "message too big", 0)
	case s.nc.heldCode != 0: // gorilla found the fault and held the close frame back
		s.shut(CloseProtocol, "protocol", 0)
	case isTimeout(err) && !s.isClosing(): // gorilla hides the error itself
		s.srv.log.Info("viewer silent, cut", "session", s.id, "remote", s.remote)
		s.nc.cut()
		return
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
	s.mu.Unlock()
	s.srv.log.Info("closing session", "session", s.id, "remote", s.remote, "code", int(code), "reason", reason)
	s.nc.beginClose()
	s.wake()
}

// drain tells the viewer and closes it after wait.
func (s *session) drain(retryMS int64, wait time.Duration) {
	s.pushMessage(drainingMsg{"draining", retryMS})
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		s.drainTimer = time.AfterFunc(wait, func() { s.shut(CloseDrain, "draining", retryMS) })
	}
}

// finish releases everything. Only run calls it.
func (s *session) finish() {
	s.mu.Lock()
	s.finished = true
	for _, t := range append(s.expiry, s.authTimer, s.beatTimer, s.drainTimer) {
		if t != nil {
			t.Stop()
		}
	}
	subs := s.subs
	s.subs = nil
	code, state := strconv.Itoa(int(s.code)), s.state()
	if s.byPeer && s.code >= privateCodes {
		code = "peer"
	}
	s.mu.Unlock()
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

func (s *session) pushMessage(msg any) { s.push(appendFrame(nil, frameText, encode(msg))) }

// isTimeout reports whether reading or writing took longer than its deadline.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
