//go:build unix

package wire

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"plumbline/bridge/devca"
	"plumbline/bridge/internal/eventually"
)

// sealedPair returns the bridge's end of a TLS connection, made as the bridge's listener makes it, and the viewer's.
func sealedPair(tb testing.TB) (c *viewerConn, viewer *tls.Conn) {
	tb.Helper()
	cert, err := devca.Ensure(tb.TempDir(), time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	tcp, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l := tls.NewListener(Corked(tcp), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	defer func() { _ = l.Close() }()
	shaken := make(chan error, 1)
	far, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", tcp.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	viewer = tls.Client(far, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	tb.Cleanup(func() { _ = far.Close() })
	go func() { shaken <- viewer.HandshakeContext(tb.Context()) }()
	near, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = near.Close() })
	if err := errors.Join(near.(*tls.Conn).HandshakeContext(tb.Context()), <-shaken); err != nil {
		tb.Fatal(err)
	}
	c = &viewerConn{clock: newClock(), writeTimeout: time.Minute}
	if c.take(near); c.quick == nil || c.cork == nil {
		tb.Fatal("a connection from the corked listener cannot be tried")
	}
	return c, viewer
}

// numbered is a turn whose every eight bytes say where they stand in the stream.
func numbered(at *uint64, size int) []byte {
	var p []byte
	for len(p) < size {
		p = binary.BigEndian.AppendUint64(p, *at)
		*at++
	}
	return p
}

// TestSealedTurnsKeepTheirOrder: turns of all sizes that a socket takes whole, in part and not at all arrive as one stream, with
// records that the reader's side writes in between; and nothing is held once the viewer has read.
func TestSealedTurnsKeepTheirOrder(t *testing.T) {
	c, viewer := sealedPair(t)
	var at uint64
	fill := func(stage string) {
		for tries := 0; ; tries++ {
			p := numbered(&at, 8<<(tries%14))
			n, whole, err := c.try(p)
			if err != nil || n != len(p) {
				t.Fatalf("%s: try returned %d of %d: %v", stage, n, len(p), err)
			}
			if !whole {
				return
			}
			if at > 16<<20 {
				t.Fatalf("%s: a viewer that does not read took %d bytes", stage, 8*at)
			}
		}
	}
	arrived := make(chan error, 1)
	read := func(from, to uint64) {
		for want := from; want < to; want++ {
			var word [8]byte
			if _, err := io.ReadFull(viewer, word[:]); err != nil {
				arrived <- err
				return
			}
			if got := binary.BigEndian.Uint64(word[:]); got != want {
				arrived <- errors.New("the stream is out of order")
				return
			}
		}
		arrived <- nil
	}
	for round, from := 0, uint64(0); round < 3; round++ {
		fill("full")
		if _, err := c.Conn.Write(numbered(&at, 64)); err != nil { // as TLS does for a new key
			t.Fatal(err)
		}
		end := at + 4
		go read(from, end)
		if err := c.send(numbered(&at, 32)); err != nil {
			t.Fatal(err)
		}
		if err := <-arrived; err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if c.cork.take(1) != nil || len(c.cork.held) > 0 {
			t.Fatalf("round %d: %d bytes are held still", round, len(c.cork.held))
		}
		from = end
	}
}

// TestHeldIsBounded: a viewer that reads nothing and has the reader's side answer again and again makes nobody wait, and no queue grow.
func TestHeldIsBounded(t *testing.T) {
	c, _ := sealedPair(t)
	for range 64 << 20 >> 10 {
		switch _, err := c.Conn.Write(make([]byte, 1<<10)); {
		case err == nil:
		case errors.Is(err, errHeld) && len(c.cork.held) > mostHeld-2<<10 && len(c.cork.held) <= mostHeld:
			return
		default:
			t.Fatalf("with %d bytes held: %v, want %v at %d", len(c.cork.held), err, errHeld, mostHeld)
		}
	}
	t.Fatal("a viewer that does not read took 64 MiB")
}

// TestReadersSideHoldsUpNobody: what the reader's side has to say to a viewer that reads nothing does not make a shared writer wait.
func TestReadersSideHoldsUpNobody(t *testing.T) {
	c, viewer := sealedPair(t)
	still := 0
	eventually.Must(t, "the socket to be full", func() bool {
		n, err := c.quick.Write(make([]byte, 64<<10)) // nothing is held
		if err != nil {
			t.Fatal(err)
		}
		if still++; n > 0 {
			still = 0
		}
		return still > 20
	})
	if _, err := viewer.NetConn().Write(append([]byte{0x17, 3, 3, 0, 32}, make([]byte, 32)...)); err != nil { // a record that nobody sealed
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Conn.Read(make([]byte, 1)) // answers with an alert
		_, _, _ = c.try([]byte("a frame"))
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the alert, or a shared writer after it, waits for the viewer")
	}
}

// TestLastWordsOfTLS: the closing alert goes out behind what is held, and the stream ends in order.
func TestLastWordsOfTLS(t *testing.T) {
	c, viewer := sealedPair(t)
	var at uint64
	c.cork.hold(nil) // as after a turn that the socket did not take
	if _, err := c.Conn.Write(numbered(&at, 64)); err != nil {
		t.Fatal(err)
	}
	if !c.endWrites() {
		t.Error("endWrites says that the alert did not go out")
	}
	c.cut()
	got, err := io.ReadAll(viewer) // nil: the alert was read, the end is not torn
	if err != nil || uint64(len(got)) != 8*at {
		t.Errorf("%d of %d bytes arrived, %v", len(got), 8*at, err)
	}
}

// TestLargeReadingIsNotSealedAtOnce: what is larger than a turn goes by parts, as without TLS, and not into memory once more.
func TestLargeReadingIsNotSealedAtOnce(t *testing.T) {
	c, viewer := sealedPair(t)
	p := bytes.Repeat([]byte("x"), sendBytes+1)
	if n, whole, err := c.try(p); n != 0 || whole || err != nil {
		t.Fatalf("try took %d (%v), %v", n, whole, err)
	}
	sent := make(chan error, 1)
	go func() { sent <- c.send(p) }()
	got := make([]byte, len(p))
	if _, err := io.ReadFull(viewer, got); err != nil || !bytes.Equal(got, p) {
		t.Fatalf("it did not arrive: %v", err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// BenchmarkTurn is one turn to one viewer under TLS: tried by a shared writer, and by a goroutine of its own that waits, which is what
// every turn once cost. Processor time is that of both ends.
func BenchmarkTurn(b *testing.B) {
	for _, size := range []int{300, 16 << 10} {
		took := map[string]time.Duration{}
		for _, way := range []string{"own", "shared"} {
			b.Run(fmt.Sprintf("%dB/%s", size, way), func(b *testing.B) {
				c, viewer := sealedPair(b)
				go func() { _, _ = io.Copy(io.Discard, viewer) }()
				p, done, before := make([]byte, size), make(chan error), processor(b)
				for b.Loop() {
					var err error
					if way == "own" {
						go func() { done <- c.send(p) }()
						err = <-done
					} else if _, whole, e := c.try(p); !whole {
						err = errors.Join(e, c.send(nil))
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				took[way] = (processor(b) - before) / time.Duration(b.N)
				b.ReportMetric(float64(took[way].Nanoseconds()), "cpu-ns/op")
				if way == "shared" && took["own"] > 0 {
					b.ReportMetric(float64(took["own"])/float64(took["shared"]), "own:shared")
				}
			})
		}
	}
}

// processor is what this process has used.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
