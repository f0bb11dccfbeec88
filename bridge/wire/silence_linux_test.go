package wire

import (
	"io"
	"net"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
)

// TestAdvanceIsNoSilence: a ping that stands behind much that the viewer has yet to take cannot be answered; as long as the viewer
// takes of it, it is not silent. One that takes nothing, or has the ping, is.
func TestAdvanceIsNoSilence(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	far, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	s := quiet(nil)
	s.writing = true // nobody writes but this test
	s.nc.take(near)
	total, still := 0, 0
	var last line
	eventually.Must(t, "the buffers of both ends to be full", func() bool {
		n, err := s.nc.try(make([]byte, 16<<10))
		if err != nil {
			t.Fatal(err)
		}
		total += n
		if now := s.nc.line(); n > 0 || now != last {
			last, still = now, 0
		}
		still++
		return still > 5
	})
	beat := func() {
		s.mu.Lock()
		s.times.beat = 1
		s.mu.Unlock()
		s.ring()
		s.nc.seen.Store(0)
		s.nc.asked.Store(1)
	}
	beat()
	if s.times.ahead.waiting == 0 {
		t.Fatalf("%+v of %d bytes written", s.times.ahead, total)
	}
	if silent, _ := s.silentAt(16 * time.Second); !silent {
		t.Error("not silent, and took nothing")
	}
	before := s.times.ahead.arrived
	some, err := io.CopyN(io.Discard, far, int64(total/2))
	if err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "what was taken to be acknowledged", func() bool { return s.nc.line().arrived > before })
	if silent, next := s.silentAt(16 * time.Second); silent || next != 21*time.Second {
		t.Errorf("took %d bytes: silent %v, asked again at %s", some, silent, next)
	}
	if _, err := io.CopyN(io.Discard, far, int64(total)-some); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "everything to be acknowledged", func() bool { return s.nc.line().waiting == 0 })
	beat()
	if silent, _ := s.silentAt(16 * time.Second); !silent {
		t.Error("not silent, and has had the ping for long")
	}
}
