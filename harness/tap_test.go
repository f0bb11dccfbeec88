package harness

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"plumbline/harness/fault"
)

// accepting listens and hands out the first connection.
func accepting(t *testing.T) (addr string, first <-chan net.Conn) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := l.Accept(); err == nil {
			conns <- conn
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), conns
}

// A viewer behind a tap reads nothing while it is stalled, though the server
// fills every buffer, and everything after that.
func TestATapHoldsBackAndLosesNothing(t *testing.T) {
	addr, first := accepting(t)
	tap := &Tap{}
	conn, err := tap.Dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	server := <-first
	defer func() { _ = server.Close() }()
	const all = 32 << 20
	taken := make(chan int, 1)
	err = fault.During(t.Context(), nil, tap.Stall(), func(context.Context) error {
		read := make(chan int, 1)
		go func() {
			n, _ := conn.Read(make([]byte, 1))
			read <- n
		}()
		// The server writes until nothing fits any more.
		_ = server.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := server.Write(make([]byte, all))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == all {
			t.Errorf("all %d bytes went into buffers, or %v", n, err)
		}
		select {
		case <-read:
			t.Error("it read while it was stalled")
		default:
		}
		go func() { // the rest, for the reader below
			_ = server.SetWriteDeadline(time.Time{})
			_, _ = server.Write(make([]byte, all-n))
			_ = server.Close()
		}()
		go func() { taken <- <-read }()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, conn)
	if n += int64(<-taken); err != nil || n != all {
		t.Errorf("read %d of %d bytes after the stall: %v", n, all, err)
	}
}

func TestClosingATappedConnectionEndsTheWait(t *testing.T) {
	addr, first := accepting(t)
	tap := &Tap{}
	conn, err := tap.Dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := <-first
	defer func() { _ = server.Close() }()
	if err := tap.Stall().Inject(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		failed <- err
	}()
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	_ = conn.Close() // a second time must not panic
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the read ended with %v", err)
	}
}

// A peer of an aborting connection sees a reset, not an end.
func TestAbortingEndsWithReset(t *testing.T) {
	addr, first := accepting(t)
	conn, err := DialAborting(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := <-first
	defer func() { _ = server.Close() }()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the peer saw %v", err)
	}
}
