package viewer

import (
	"net"
	"runtime"
	"testing"
)

// A viewer connects from the address that it is told to.
func TestLocalAddress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 on loopback")
	}
	s, r := newServer(t), newRecording(t)
	cfg := s.config(r)
	cfg.Local = "127.0.0.9"
	v, err := Open(limit(t), cfg)
	must(t, err)
	defer v.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if host, _, err := net.SplitHostPort(s.conns[0].RemoteAddr().String()); err != nil || host != cfg.Local {
		t.Errorf("it came from %s, %v", host, err)
	}
}
