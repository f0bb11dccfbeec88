package remoteport

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"plumbline/devices/devicetest"
)

// TestAFloodIsBounded: of what a server sends without end no more is taken than the
// buffer holds and was read; then it has to wait, and Close does not.
func TestAFloodIsBounded(t *testing.T) {
	ours, theirs := net.Pipe() // which holds nothing itself
	port := newTelnetPort(ours)
	port.mu.Lock()
	port.open = true // as after the greeting: nothing is dropped any more
	port.mu.Unlock()
	var given atomic.Int64
	var server sync.WaitGroup
	server.Go(func() {
		for {
			n, err := theirs.Write(bytes.Repeat([]byte("x"), 1000))
			given.Add(int64(n))
			if err != nil {
				return // closed
			}
		}
	})
	held := func() int {
		port.mu.Lock()
		defer port.mu.Unlock()
		return len(port.data)
	}
	full := func() bool { return held() >= bufferLimit }
	devicetest.Eventually(t, "the buffer to be full", full)
	const wanted = 1 << 20
	if _, err := io.ReadFull(port, make([]byte, wanted)); err != nil {
		t.Errorf("read of the flood: %v", err)
	}
	devicetest.Eventually(t, "the buffer to be full again", full)
	const slack = 4096 // one read of the connection
	if n := held(); n > bufferLimit+slack {
		t.Errorf("%d bytes are kept for a late reader, the bound is %d", n, bufferLimit)
	}
	if err := port.Close(); err != nil {
		t.Error(err)
	}
	server.Wait()
	if n, most := given.Load(), int64(wanted+bufferLimit+slack); n < wanted || n > most {
		t.Errorf("the server got rid of %d bytes, when %d were read and %d may be kept", n, wanted, bufferLimit)
	}
	if _, err := port.Write([]byte("x")); err == nil {
		t.Error("a closed port took bytes")
	}
}
