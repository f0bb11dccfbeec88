package wire

import (
	"crypto/tls"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"plumbline/bridge/devca"
)

// TestEndWritesIsBounded: TLS gives its closing alert five seconds, which a peer that does not read must not take from us.
func TestEndWritesIsBounded(t *testing.T) {
	cert, err := devca.Ensure(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe() // it holds no byte: every write waits for a read
	defer func() { _ = far.Close() }()
	server := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	client := tls.Client(far, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}) // 1.2 ends without tickets to read
	shaken := make(chan error, 1)
	go func() { shaken <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	c := &viewerConn{Conn: server, clock: newClock(), writeTimeout: time.Minute}
	begin := time.Now()
	if c.endWrites() {
		t.Error("the alert went out to nobody")
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("endWrites took %s, want about %s", took, closeWait)
	}
}

// lateClose is a connection on which the closing begins just before a write's deadline is set.
type lateClose struct {
	net.Conn
	begin    func()
	deadline time.Time
}

func (l *lateClose) SetReadDeadline(time.Time) error { return nil }

func (l *lateClose) SetWriteDeadline(t time.Time) error {
	if begin := l.begin; begin != nil {
		l.begin = nil
		begin()
	}
	l.deadline = t
	return nil
}

func (l *lateClose) Write(p []byte) (int, error) { return len(p), nil }

// TestSendKeepsTheClosingDeadline: a write that begins while the closing does ends with it.
func TestSendKeepsTheClosingDeadline(t *testing.T) {
	l := &lateClose{}
	c := &viewerConn{Conn: l, clock: newClock(), writeTimeout: time.Minute}
	l.begin = c.beginClose
	if err := c.send([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(l.deadline); left > closeWait {
		t.Errorf("the write may take %s, want at most %s", left, closeWait)
	}
}

// takesAll is a connection that takes whatever it is given, and remembers the size of each write and the deadlines set for it.
type takesAll struct {
	net.Conn
	sizes     []int
	deadlines int
	begin     func() // called by the first write
}

func (w *takesAll) SetReadDeadline(time.Time) error { return nil }

func (w *takesAll) SetWriteDeadline(time.Time) error {
	w.deadlines++
	return nil
}

func (w *takesAll) Write(p []byte) (int, error) {
	if w.sizes = append(w.sizes, len(p)); w.begin != nil {
		w.begin()
		w.begin = nil
	}
	return len(p), nil
}

// TestLargeReadingHasManyTimeLimits: a viewer has the write timeout for each part of a large reading, so that one which takes it
// slowly is not cut; once the connection is about to end there is one limit for all.
func TestLargeReadingHasManyTimeLimits(t *testing.T) {
	conn := &takesAll{}
	c := &viewerConn{Conn: conn, clock: newClock(), writeTimeout: time.Minute}
	if err := c.send(make([]byte, 5*sendBytes+1)); err != nil {
		t.Fatal(err)
	}
	if len(conn.sizes) != 6 || conn.sizes[0] != sendBytes || conn.sizes[5] != 1 || conn.deadlines != 6 {
		t.Errorf("writes of %d with %d deadlines", conn.sizes, conn.deadlines)
	}
	conn = &takesAll{}
	c = &viewerConn{Conn: conn, clock: newClock(), writeTimeout: time.Minute}
	conn.begin = c.beginClose // sets one
	if err := c.send(make([]byte, 5*sendBytes)); err != nil {
		t.Fatal(err)
	}
	if len(conn.sizes) != 5 || conn.deadlines != 2 {
		t.Errorf("closing: writes of %d with %d deadlines", conn.sizes, conn.deadlines)
	}
}

// slow is a connection that needs a time for each write.
type slow struct {
	net.Conn
	needs time.Duration
	until time.Time
}

func (s *slow) SetWriteDeadline(t time.Time) error {
	s.until = t
	return nil
}

func (s *slow) Write(p []byte) (int, error) {
	if left := time.Until(s.until); left < s.needs {
		<-time.After(left)
		return 0, os.ErrDeadlineExceeded
	}
	<-time.After(s.needs)
	return len(p), nil
}

// TestLargeReadingHasALimitInAll: a viewer that takes each part of a very large reading just in time does not keep its copy for minutes.
func TestLargeReadingHasALimitInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout, each = 5 * time.Second, 4 * time.Second
		send := func(bytes int) (took time.Duration, err error) {
			c := &viewerConn{Conn: &slow{needs: each}, clock: newClock(), writeTimeout: timeout}
			begin := time.Now()
			err = c.send(make([]byte, bytes))
			return time.Since(begin), err
		}
		if took, err := send(4 * sendBytes); err != nil || took != 4*each {
			t.Errorf("four parts: %v after %s", err, took)
		}
		if took, err := send(16 << 20); !isTimeout(err) || took != sendTimeouts*timeout {
			t.Errorf("16 MiB: %v after %s, want a timeout after %s", err, took, sendTimeouts*timeout)
		}
	})
}
