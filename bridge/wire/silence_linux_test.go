package wire

import (
	"io"
	"net"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
)

// stuffed is a quiet session whose viewer has taken nothing of what fills the buffers of both ends; fill fills them again.
func stuffed(t *testing.T) (s *session, far net.Conn, fill func() (total int64)) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	far, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	s = quiet(nil)
	s.writing = true // nobody writes but this test
	s.nc.take(near)
	return s, far, func() (total int64) {
		still := 0
		var last line
		eventually.Must(t, "the buffers of both ends to be full", func() bool {
			n, _, err := s.nc.try(make([]byte, 16<<10))
			if err != nil {
				t.Fatal(err)
			}
			total += int64(n)
			if now := s.nc.line(); n > 0 || now != last {
				last, still = now, 0
			}
			still++
			return still > 5
		})
		return total
	}
}

// pingNow lets a ping be due.
func (s *session) pingNow() {
	s.mu.Lock()
	s.times.beat = 1
	s.mu.Unlock()
	s.ring()
}

// TestAdvanceIsNoSilence: a ping that stands behind much that the viewer has yet to take cannot be answered; as long as the viewer
// takes of it, it is not silent. One that takes nothing, or has the ping, is.
func TestAdvanceIsNoSilence(t *testing.T) {
	s, far, fill := stuffed(t)
	total := fill()
	s.pingNow()
	if s.times.ahead.waiting == 0 {
		t.Fatalf("%+v of %d bytes written", s.times.ahead, total)
	}
	if silent, _ := s.silentAt(16 * time.Second); !silent {
		t.Error("not silent, and took nothing")
	}
	before := s.times.ahead.arrived
	some, err := io.CopyN(io.Discard, far, total/2)
	if err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "what was taken to be acknowledged", func() bool { return s.nc.line().arrived > before })
	if silent, next := s.silentAt(16 * time.Second); silent || next != 21*time.Second {
		t.Errorf("took %d bytes: silent %v, asked again at %s", some, silent, next)
	}
	if _, err := io.CopyN(io.Discard, far, total-some); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "everything to be acknowledged", func() bool { return s.nc.line().waiting == 0 })
	_, _ = s.silentAt(21 * time.Second) // sees at last that the ping has arrived; the half may have made room for all
	if silent, _ := s.silentAt(26 * time.Second); !silent {
		t.Error("not silent, and has had the ping for half a heartbeat")
	}
}

// TestTakenPingIsSilence: what comes behind a ping is no excuse for not answering it, however busy the line is.
func TestTakenPingIsSilence(t *testing.T) {
	s, far, fill := stuffed(t)
	for range 3 {
		total := fill()
		s.pingNow()
		if s.nc.seen.Load() != 0 {
			t.Fatal("a viewer that had the ping before and did not answer it counts as alive")
		}
		if _, err := io.CopyN(io.Discard, far, total); err != nil {
			t.Fatal(err)
		}
		eventually.Must(t, "everything to be acknowledged", func() bool { return s.nc.line().waiting == 0 })
	}
	fill()
	if silent, next := s.silentAt(16 * time.Second); !silent {
		t.Errorf("not silent, and asked again at %s", next)
	}
}
