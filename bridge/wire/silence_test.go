package wire

import (
	"io"
	"net"
	"testing"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/internal/eventually"
)

// quiet is a session on the connection that last said something at its start and has had a ping, with heartbeats of 10 s.
func quiet(conn net.Conn) *session {
	srv := &Server{opts: Options{Heartbeat: 10 * time.Second, MaxSubscriptions: 1}, clock: newClock(), snapshots: make(chan struct{}, 1)}
	s := &session{srv: srv, nc: &viewerConn{Conn: conn, clock: srv.clock, writeTimeout: time.Minute}, last: make(chan struct{})}
	s.nc.asked.Store(1)
	return s
}

// silentAt reports what the session is taken for at the time at which it is looked at, and when it is looked at next.
func (s *session) silentAt(at time.Duration) (silent bool, next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times.silent = at
	silent = s.isSilent(at)
	return silent, s.times.silent
}

// TestSilenceIsNotOurs: a process that was frozen itself gives the viewer time for the ping that it could not be sent.
func TestSilenceIsNotOurs(t *testing.T) {
	s := quiet(nil)
	s.times.silent = 15 * time.Second
	if s.isSilent(14*time.Second) || s.times.silent != 15*time.Second {
		t.Error("silent before its time")
	}
	if !s.isSilent(15*time.Second + time.Millisecond) {
		t.Error("not silent after 15 s without a byte")
	}
	s.times.silent = 15 * time.Second
	if s.isSilent(60*time.Second) || s.times.silent != 65*time.Second {
		t.Errorf("blamed for our own absence, or asked at %s", s.times.silent)
	}
	s.nc.seen.Store(int64(50 * time.Second))
	s.nc.asked.Store(int64(60*time.Second - 1))
	s.times.silent = 64 * time.Second
	if s.isSilent(64*time.Second) || s.times.silent != 65*time.Second {
		t.Errorf("heard 14 s ago, asked at %s", s.times.silent)
	}
}

// TestWaitingWriteIsNoSilence: while a viewer takes what one write gives it, however slowly, it is not cut for silence; that it
// took it is a sign of life.
func TestWaitingWriteIsNoSilence(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	s := quiet(near)
	sent := make(chan error, 1)
	go func() { sent <- s.nc.send(make([]byte, 100)) }()
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	begun := s.srv.clock.now()
	if silent, next := s.silentAt(16 * time.Second); silent || next != 21*time.Second {
		t.Errorf("with a write under way: silent %v, asked again at %s", silent, next)
	}
	eventually.Must(t, "the write to have waited", func() bool { return s.srv.clock.now() > begun+2*waited })
	if _, err := io.ReadFull(far, make([]byte, 99)); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	took := time.Duration(s.nc.seen.Load())
	s.nc.asked.Store(int64(took) + 1)
	if silent, next := s.silentAt(15 * time.Second); silent || took < waited || next != took+15*time.Second {
		t.Errorf("it took the write at %s: silent %v, asked again at %s", took, silent, next)
	}
	if silent, _ := s.silentAt(took + 15*time.Second); !silent {
		t.Error("not silent one and a half heartbeats after the write")
	}
}

// TestUnsentPingIsNoSilence: who has not been asked since he last said something need not have answered, and who was asked late
// has half a heartbeat.
func TestUnsentPingIsNoSilence(t *testing.T) {
	s := quiet(nil)
	s.nc.seen.Store(int64(time.Second)) // after the ping
	if silent, next := s.silentAt(16 * time.Second); silent || next != 21*time.Second {
		t.Errorf("without a ping since: silent %v, asked again at %s", silent, next)
	}
	s.nc.asked.Store(int64(14 * time.Second))
	if silent, next := s.silentAt(16 * time.Second); silent || next != 19*time.Second {
		t.Errorf("2 s after a late ping: silent %v, asked again at %s", silent, next)
	}
	if silent, _ := s.silentAt(19 * time.Second); !silent {
		t.Error("not silent half a heartbeat after a late ping")
	}
	s.nc.pinged() // one more does not count anew
	if at := time.Duration(s.nc.asked.Load()); at != 14*time.Second {
		t.Errorf("asked at %s, want the first time since it was heard", at)
	}
}

// TestHandledMessageIsNoSilence: while the bridge has a viewer's message in hand it does not hear the viewer, who need not be
// silent.
func TestHandledMessageIsNoSilence(t *testing.T) {
	s := quiet(&lateClose{})
	s.live, s.ident = true, auth.Identity{Grants: auth.Viewing("#")}
	s.srv.snapshots <- struct{}{} // somebody's
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.handle([]byte(`{"type":"sub","id":1,"filter":"a","snapshot":true}`))
	}()
	eventually.Must(t, "the session to wait for a snapshot", func() bool { return s.nc.held.Load() > 0 })
	if silent, next := s.silentAt(16 * time.Second); silent || next != 21*time.Second {
		t.Errorf("with a message in hand: silent %v, asked again at %s", silent, next)
	}
	before := s.srv.clock.now()
	close(s.last)
	<-done
	if heard := time.Duration(s.nc.seen.Load()); heard < before || s.nc.held.Load() != 0 {
		t.Errorf("heard at %s, before the message was done at %s; %d held", heard, before, s.nc.held.Load())
	}
}
