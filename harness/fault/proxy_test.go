package fault_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plumbline/harness/fault"
)

// relay starts an echo server and a proxy before it.
func relay(t *testing.T) *fault.Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go echo(listener)
	p, err := fault.NewProxy(listener.Addr().String(), fault.ProxyOptions{})
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// hears checks that an answer comes.
func hears(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	if got, err := ask(conn, line); err != nil || got != line {
		t.Fatalf("%q came back as %q, %v", line, got, err)
	}
}

func TestProxyRelaysWhole(t *testing.T) {
	p := relay(t)
	conn := dial(t, p.Addr())
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	data = bytes.ReplaceAll(data, []byte("\n"), []byte(" "))
	go func() {
		_, _ = conn.Write(append(data, '\n'))
		_ = conn.CloseWrite()
	}()
	back, err := io.ReadAll(conn)
	must(t, err)
	if !bytes.Equal(back, append(data, '\n')) {
		t.Fatalf("%d bytes came back as %d", len(data)+1, len(back))
	}
}

func TestCut(t *testing.T) {
	for _, rst := range []bool{true, false} {
		p := relay(t)
		conn := dial(t, p.Addr())
		hears(t, conn, "before")
		f := p.CutFault(rst)
		must(t, f.Inject(t.Context()))
		_, err := conn.Read(make([]byte, 1))
		if rst && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a cut by RST gave %v", err)
		}
		if !rst && !errors.Is(err, io.EOF) {
			t.Errorf("a cut by FIN gave %v", err)
		}
		if refused, err := net.Dial("tcp", p.Addr()); err == nil {
			_ = refused.SetDeadline(time.Now().Add(patience))
			if got, err := ask(refused, "during"); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a new connection gave %q, %v", got, err)
			}
			_ = refused.Close()
		}
		must(t, f.Revert(t.Context()))
		must(t, f.Revert(t.Context()))
		hears(t, dial(t, p.Addr()), "after")
	}
}

func TestBlackHole(t *testing.T) {
	for _, dir := range []fault.Direction{fault.Both, fault.Upstream, fault.Downstream} {
		t.Run(dir.String(), func(t *testing.T) {
			p := relay(t)
			conn := dial(t, p.Addr())
			hears(t, conn, "before")
			f := p.BlackHoleFault(dir)
			must(t, f.Inject(t.Context()))
			must(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
			if got, err := ask(conn, "during"); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the black hole let through %q, %v", got, err)
			}
			must(t, f.Revert(t.Context()))
			// What was under way arrives; nothing was closed.
			must(t, conn.SetReadDeadline(time.Now().Add(patience)))
			buf := make([]byte, len("during\n"))
			if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "during\n" {
				t.Fatalf("afterwards %q, %v", buf, err)
			}
			hears(t, conn, "after")
		})
	}
}

func TestBlackHoleHidesTheEndOfThePeer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	p, err := fault.NewProxy(listener.Addr().String(), fault.ProxyOptions{})
	must(t, err)
	defer p.Close()
	conn := dial(t, p.Addr())
	server, err := listener.Accept()
	must(t, err)
	f := p.BlackHoleFault(fault.Both)
	must(t, f.Inject(t.Context()))
	must(t, server.Close())
	must(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the end got through: %v", err)
	}
	must(t, f.Revert(t.Context()))
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("afterwards %v", err)
	}
}

func TestNewConnectionInABlackHoleHearsNothing(t *testing.T) {
	p := relay(t)
	f := p.BlackHoleFault(fault.Both)
	must(t, f.Inject(t.Context()))
	conn := dial(t, p.Addr())
	must(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if got, err := ask(conn, "hello"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %q, %v", got, err)
	}
	must(t, f.Revert(t.Context()))
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, len("hello\n"))
	if _, err := io.ReadFull(conn, buf); err != nil {
		t.Fatal(err)
	}
}

func TestLatencyComposes(t *testing.T) {
	p := relay(t)
	conn := dial(t, p.Addr())
	hears(t, conn, "before")
	const delay = 50 * time.Millisecond
	f := p.LatencyFault(fault.Both, delay, 0, 1)
	must(t, f.Inject(t.Context()))
	began := time.Now()
	hears(t, conn, "one")
	if took := time.Since(began); took < 2*delay {
		t.Fatalf("a round trip took %v, want at least %v", took, 2*delay)
	}
	// Four hundred lines in a row: were delays taken one after the other, this would
	// take four hundred times as long.
	began = time.Now()
	var want, got strings.Builder
	var writer sync.WaitGroup
	writer.Go(func() {
		apart := time.NewTicker(time.Millisecond)
		defer apart.Stop()
		for range 400 {
			_, _ = conn.Write([]byte("line\n"))
			<-apart.C
		}
	})
	for range 400 {
		want.WriteString("line\n")
	}
	buf := make([]byte, want.Len())
	_, err := io.ReadFull(conn, buf)
	must(t, err)
	writer.Wait()
	got.Write(buf)
	took := time.Since(began)
	if got.String() != want.String() {
		t.Fatalf("order was lost: %q", got.String())
	}
	if took < 2*delay || took >= 400*delay {
		t.Fatalf("four hundred lines took %v: delays do not run side by side", took)
	}
	must(t, f.Revert(t.Context()))
	hears(t, conn, "after")
}

func TestThrottle(t *testing.T) {
	p := relay(t)
	conn := dial(t, p.Addr())
	f := p.ThrottleFault(fault.Upstream, 100_000)
	must(t, f.Inject(t.Context()))
	began := time.Now()
	hears(t, conn, strings.Repeat("x", 20_000))
	if took := time.Since(began); took < 190*time.Millisecond {
		t.Fatalf("20 kB at 100 kB/s took %v", took)
	}
	must(t, f.Revert(t.Context()))
	began = time.Now()
	hears(t, conn, strings.Repeat("x", 20_000))
	if took := time.Since(began); took > 10*time.Second {
		t.Fatalf("without the throttle it took %v", took)
	}
}

// A throttle acts on what the proxy had begun to read when it came, trickles,
// and lets go at once of what it held when it ends.
func TestThrottleTricklesAndLetsGo(t *testing.T) {
	p := relay(t)
	conn := dial(t, p.Addr())
	hears(t, conn, "the reader waits for more now")
	f := p.ThrottleFault(fault.Downstream, 100)
	must(t, f.Inject(t.Context()))
	text := strings.Repeat("x", 20_000) + "\n"
	write(t, conn, text)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	back := make([]byte, len(text))
	if _, err := io.ReadFull(conn, back[:10]); err != nil {
		t.Fatalf("at 100 B/s the first ten of %d bytes: %v", len(text), err)
	}
	must(t, f.Revert(t.Context()))
	if n, err := io.ReadFull(conn, back[10:]); err != nil || string(back) != text {
		t.Fatalf("after the throttle %d of %d bytes came, %v", 10+n, len(text), err)
	}
}

func TestProxyToNothing(t *testing.T) {
	if _, err := fault.NewProxy("no-port", fault.ProxyOptions{}); err == nil {
		t.Error("a target without port was accepted")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	p, err := fault.NewProxy(address, fault.ProxyOptions{})
	must(t, err)
	// The reset may come before the client's connect has returned.
	conn, err := net.Dial("tcp", p.Addr())
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("a refused connection gave %v", err)
	}
	must(t, p.Close())
	must(t, p.Close())
	if n := p.Connections(); n != 0 {
		t.Errorf("%d connections after Close", n)
	}
}

func TestCloseEndsHeldConnections(t *testing.T) {
	p := relay(t)
	conn := dial(t, p.Addr())
	hears(t, conn, "before")
	must(t, p.BlackHoleFault(fault.Both).Inject(t.Context()))
	_, _ = conn.Write([]byte("held\n"))
	must(t, p.Close())
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after Close: %v", err)
	}
}

func TestFaultsWithoutEffectAreRefused(t *testing.T) {
	p := relay(t)
	for _, f := range []fault.Fault{
		p.ThrottleFault(fault.Both, 0),
		p.ThrottleFault(fault.Both, -1),
		p.LatencyFault(fault.Both, 0, 0, 1),
		p.LatencyFault(fault.Both, -time.Second, time.Second, 1),
		p.LatencyFault(fault.Both, time.Second, -time.Second, 1),
	} {
		if err := f.Inject(t.Context()); err == nil {
			t.Errorf("%q was injected; a fault that does nothing proves nothing", f.Name())
		}
		must(t, f.Revert(t.Context()))
	}
	hears(t, dial(t, p.Addr()), "still here")
	if got := fault.Direction(9).String(); got != "direction 9" {
		t.Errorf("an unknown direction is called %q", got)
	}
}
