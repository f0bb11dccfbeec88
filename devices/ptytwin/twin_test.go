package ptytwin_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.bug.st/serial"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/ptytwin"
	"plumbline/devices/simulated"
)

// newTwin makes a twin that the test closes; systems without ptys are skipped.
func newTwin(t *testing.T, opts ptytwin.Options) *ptytwin.Twin {
	t.Helper()
	twin, err := ptytwin.NewPair(t.Context(), opts)
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := twin.Close(); err != nil {
			t.Errorf("close twin: %v", err)
		}
	})
	return twin
}

// openPort opens the twin's path as a program would.
func openPort(t *testing.T, twin *ptytwin.Twin, mode serial.Mode) serial.Port {
	t.Helper()
	port, err := serial.Open(twin.Path(), &mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	if err := port.SetReadTimeout(20 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	return port
}

// readUntil reads until done says so, and returns all bytes.
func readUntil(t *testing.T, port serial.Port, what string, done func(all []byte) bool) []byte {
	t.Helper()
	var all []byte
	buf := make([]byte, 4096)
	devicetest.Eventually(t, what, func() bool {
		n, err := port.Read(buf)
		if err != nil {
			t.Fatalf("read after %d bytes, waiting for %s: %v", len(all), what, err)
		}
		all = append(all, buf[:n]...)
		return done(all)
	})
	return all
}

// TestLinkNeverReplacesAFile: a link given by mistake must not cost a file.
func TestLinkNeverReplacesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	twin, err := ptytwin.NewPair(t.Context(), ptytwin.Options{Link: path})
	if err == nil {
		_ = twin.Close()
	}
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if kept, readErr := os.ReadFile(path); readErr != nil || string(kept) != "keep" || err == nil || !strings.Contains(err.Error(), "not a symbolic link") {
		t.Errorf("the file is %q, %v; the twin says %v", kept, readErr, err)
	}
}

func write(t *testing.T, twin *ptytwin.Twin, p string) {
	t.Helper()
	if _, err := twin.Write([]byte(p)); err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, twin *ptytwin.Twin) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	if err := twin.Flush(ctx); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

func TestAllBytesPassBothWays(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	port := openPort(t, twin, serial.Mode{BaudRate: 115200})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	write(t, twin, string(all))
	got := readUntil(t, port, "256 bytes from the twin", func(b []byte) bool { return len(b) >= 256 })
	if !bytes.Equal(got, all) {
		t.Errorf("the host read % x", got)
	}
	if _, err := port.Write(all); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "256 bytes at the twin", func() bool { return len(twin.Received()) >= 256 })
	if !bytes.Equal(twin.Received(), all) {
		t.Errorf("the twin received % x", twin.Received())
	}
}

func TestRawPortDoesNotEcho(t *testing.T) {
	for _, c := range []struct {
		name   string
		cooked bool
	}{{"raw", false}, {"cooked, as the kernel makes it", true}} {
		t.Run(c.name, func(t *testing.T) {
			twin := newTwin(t, ptytwin.Options{Unpaced: true, Cooked: c.cooked})
			write(t, twin, "early\n") // nobody has opened the port
			if c.cooked {
				devicetest.Eventually(t, "the echo of a cooked port", func() bool { return len(twin.Received()) > 0 })
				return
			}
			port := openPort(t, twin, serial.Mode{BaudRate: 9600})
			readUntil(t, port, "the early line", func(b []byte) bool { return string(b) == "early\n" })
			if got := twin.Received(); len(got) > 0 {
				t.Errorf("a raw port sent %q back", got)
			}
		})
	}
}

// TestPaceFollowsThePort: the wire time is a lower bound that no load moves.
func TestPaceFollowsThePort(t *testing.T) {
	for _, c := range []struct {
		name string
		mode serial.Mode
		bits int
	}{
		{"19200 8N1", serial.Mode{BaudRate: 19200}, 10},
		{"38400 8E2", serial.Mode{BaudRate: 38400, Parity: serial.EvenParity, StopBits: serial.TwoStopBits}, 12},
		{"31250 8N1, an odd rate", serial.Mode{BaudRate: 31250}, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			twin := newTwin(t, ptytwin.Options{})
			port := openPort(t, twin, c.mode)
			text := strings.Repeat(strings.Repeat("x", 49)+"\n", 8)
			ideal := time.Duration(len(text)*c.bits) * time.Second / time.Duration(c.mode.BaudRate)
			start := time.Now()
			write(t, twin, text)
			readUntil(t, port, "all lines", func(b []byte) bool { return len(b) >= len(text) })
			if took := time.Since(start); took < ideal {
				t.Errorf("%d bytes came in %v; the wire needs %v", len(text), took, ideal)
			}
		})
	}
}

func TestNoiseIsCountedExactly(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	port := openPort(t, twin, serial.Mode{BaudRate: 115200})
	const lines, seed = 400, 7
	twin.Noise(0.25, seed)
	go func() {
		for range lines {
			_, _ = twin.Write(codec.AppendNMEA(nil, "GPGGA,171926.00,4404.14063,N,12118.85478,W,1,12,0.91,1147.2,M,-21.3,M,,"))
		}
	}()
	got := readUntil(t, port, "400 line ends", func(b []byte) bool { return bytes.Count(b, []byte("\n")) >= lines })
	var good, bad uint64
	for line := range bytes.Lines(got) {
		if _, err := (codec.NMEA0183{}).Decode(line); err == nil {
			good++
		} else {
			bad++
		}
	}
	devicetest.Eventually(t, "all lines to be counted", func() bool { s := twin.Stats(); return s.Lines+s.Noisy == lines })
	s := twin.Stats()
	if s.Noisy != bad || s.Lines != good || bad == 0 || good == 0 {
		t.Errorf("seed %d: the twin says %d intact and %d noisy, the host read %d good and %d bad", seed, s.Lines, s.Noisy, good, bad)
	}
	twin.Noise(0, 0)
	write(t, twin, "quiet\n")
	readUntil(t, port, "the line after the noise", func(b []byte) bool { return string(b) == "quiet\n" })
}

func TestNoiseIsRepeatable(t *testing.T) {
	run := func() string {
		twin := newTwin(t, ptytwin.Options{Unpaced: true})
		port := openPort(t, twin, serial.Mode{BaudRate: 115200})
		twin.Noise(0.5, 99)
		write(t, twin, strings.Repeat("the quick brown fox\n", 20))
		return string(readUntil(t, port, "20 lines", func(b []byte) bool { return bytes.Count(b, []byte("\n")) >= 20 }))
	}
	if a, b := run(), run(); a != b {
		t.Errorf("seed 99 gave\n%s\nand then\n%s", a, b)
	}
}

func TestUnplugAndReplug(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{})
	port := openPort(t, twin, serial.Mode{BaudRate: 9600})
	write(t, twin, strings.Repeat("0123456789", 10_000)+"\n"+"after\n") // 100 s at 9600
	readUntil(t, port, "the head of a long line", func(b []byte) bool { return len(b) > 10 })
	path := twin.Path()
	if err := twin.Unplug(); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the host to see the unplug", func() bool {
		_, err := port.Read(make([]byte, 64))
		return err != nil
	})
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the path of an unplugged port: %v, want that it is gone", err)
	}
	if err := twin.Unplug(); err == nil {
		t.Error("a second unplug is no error")
	}
	flush(t, twin)
	if s := twin.Stats(); s.Cut != 1 || s.Lost != 1 || s.Lines != 0 || s.Unplugs != 1 {
		t.Errorf("%+v, want the first line cut and the second lost", s)
	}
	if err := twin.Replug(); err != nil {
		t.Fatal(err)
	}
	if err := twin.Replug(); err == nil {
		t.Error("a second replug is no error")
	}
	again := openPort(t, twin, serial.Mode{BaudRate: 115200})
	write(t, twin, "back\n")
	readUntil(t, again, "the line after the replug", func(b []byte) bool { return string(b) == "back\n" })
}

// TestNothingThatWasSpokenWithoutAPortComesLater: a UART sends whether a cable is
// there or not, and keeps nothing of it.
func TestNothingThatWasSpokenWithoutAPortComesLater(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{})
	port := openPort(t, twin, serial.Mode{BaudRate: 300})
	write(t, twin, strings.Repeat("0123456789", 1000)+"\nwaits\n") // six minutes
	readUntil(t, port, "the head of the first line", func(b []byte) bool { return len(b) > 0 })
	if err := twin.Unplug(); err != nil {
		t.Fatal(err)
	}
	const stale = 20
	write(t, twin, strings.Repeat(strings.Repeat("s", 99)+"\n", stale)) // 2 s at 9600 baud
	if err := twin.Replug(); err != nil {
		t.Fatal(err)
	}
	again := openPort(t, twin, serial.Mode{BaudRate: 115200})
	write(t, twin, "back\n")
	if got := readUntil(t, again, "the line after the replug", func(b []byte) bool { return bytes.ContainsRune(b, '\n') }); string(got) != "back\n" {
		t.Errorf("the host read %q first", got)
	}
	devicetest.Eventually(t, "all lines to be counted", func() bool { s := twin.Stats(); return s.Lines+s.Cut+s.Lost == stale+3 })
	if s := twin.Stats(); s.Cut != 1 || s.Lost != stale+1 || s.Lines != 1 {
		t.Errorf("%+v, want one line cut, %d lost and one sent", s, stale+1)
	}
}

func TestOverrunIsDeliberateAndCounted(t *testing.T) {
	const fifo = 100
	twin := newTwin(t, ptytwin.Options{FIFO: fifo})
	port := openPort(t, twin, serial.Mode{BaudRate: 921600})
	line, lines := strings.Repeat("y", 39)+"\n", uint64(0)
	devicetest.Eventually(t, "the host, where nobody reads, to be full", func() bool { // which shows when the kernel's worker has moved what was written
		write(t, twin, line)
		lines++
		return twin.Stats().Overrun > 0
	})
	devicetest.Eventually(t, "all lines to be settled", func() bool { s := twin.Stats(); return s.Lines+s.Overrun == lines })
	s := twin.Stats()
	if all := lines * uint64(len(line)); s.Bytes+s.OverrunBytes != all {
		t.Errorf("%+v: bytes and overrun must make %d", s, all)
	}
	if s.Bytes < fifo {
		t.Errorf("only %d bytes reached a FIFO of %d", s.Bytes, fifo)
	}
	got := readUntil(t, port, "what fitted", func(b []byte) bool { return uint64(len(b)) >= s.Bytes })
	if uint64(len(got)) != s.Bytes {
		t.Errorf("the host read %d bytes, the twin counted %d", len(got), s.Bytes)
	}
}

func TestStallHoldsBack(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	port := openPort(t, twin, serial.Mode{BaudRate: 115200})
	const stall = 80 * time.Millisecond
	start := time.Now()
	twin.Stall(stall)
	write(t, twin, "late\n")
	readUntil(t, port, "the line after the stall", func(b []byte) bool { return string(b) == "late\n" })
	if took := time.Since(start); took < stall {
		t.Errorf("the line came after %v, stalled for %v", took, stall)
	}
	if s := twin.Stats(); s.Stalls != 1 {
		t.Errorf("%d stalls counted, want 1", s.Stalls)
	}
}

func TestBacklogAndClose(t *testing.T) {
	link := filepath.Join(t.TempDir(), "ttyX")
	twin := newTwin(t, ptytwin.Options{Queue: 64, Link: link})
	if _, err := twin.Write(make([]byte, 65)); !errors.Is(err, ptytwin.ErrBacklog) {
		t.Errorf("write past the queue: %v, want ErrBacklog", err)
	}
	if twin.Path() != link {
		t.Errorf("path %q, want the link %q", twin.Path(), link)
	}
	for range 2 {
		if err := twin.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if _, err := twin.Write([]byte("x")); !errors.Is(err, ptytwin.ErrClosed) {
		t.Errorf("write after Close: %v, want ErrClosed", err)
	}
	if err := twin.Replug(); !errors.Is(err, ptytwin.ErrClosed) {
		t.Errorf("replug after Close: %v, want ErrClosed", err)
	}
	if err := twin.Flush(t.Context()); !errors.Is(err, ptytwin.ErrClosed) {
		t.Errorf("flush after Close: %v, want ErrClosed", err)
	}
	if _, err := os.Lstat(link); !os.IsNotExist(err) {
		t.Errorf("the link after Close: %v, want that it is gone", err)
	}
}

// TestFlushSeesWhatIsOnItsWay: the kernel hands bytes to the reader's end a moment
// after they were written, and counts them there only.
func TestFlushSeesWhatIsOnItsWay(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	for round := range 100 {
		if _, err := twin.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		err := twin.Flush(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("round %d: nobody has read, and Flush said %v", round, err)
		}
		if err := errors.Join(twin.Unplug(), twin.Replug()); err != nil { // what lay there is gone
			t.Fatal(err)
		}
	}
}

func TestFlushEndsWithItsContext(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{})
	twin.Stall(time.Hour)
	write(t, twin, "never\n")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := twin.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flush of a stalled twin: %v, want the context's end", err)
	}
}

func TestLinkInMissingFolder(t *testing.T) {
	twin, err := ptytwin.NewPair(t.Context(), ptytwin.Options{Link: filepath.Join(t.TempDir(), "no", "such", "tty")})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if err == nil {
		_ = twin.Close()
		t.Fatal("a link in a folder that does not exist was made")
	}
}

func TestPlaySendsTheSchedule(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	port := openPort(t, twin, serial.Mode{BaudRate: 115200})
	src, err := simulated.New(simulated.Temperature, "t1", 3, simulated.Options{Period: 5 * time.Millisecond, Phase: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- twin.Play(ctx, src, 3, nil, func(s devices.Sample) []byte {
			return codec.AppendLineJSON(nil, "t1", s.Seq, s.Values)
		})
	}()
	got := readUntil(t, port, "10 lines", func(b []byte) bool { return bytes.Count(b, []byte("\n")) >= 10 })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("play: %v", err)
	}
	first, _, _ := bytes.Cut(got, []byte("\r\n"))
	values, err := codec.LineJSON{CRC: true}.Decode(first)
	if err != nil || len(values) < 3 || values[1].Number != 1 {
		t.Errorf("first line %q: %+v, %v", first, values, err)
	}
}

func TestOnReceiveMayAnswer(t *testing.T) {
	var twin *ptytwin.Twin
	ready := make(chan struct{})
	twin = newTwin(t, ptytwin.Options{Unpaced: true, OnReceive: func(p []byte) {
		<-ready
		_, _ = twin.Write(append([]byte("got "), p...))
	}})
	close(ready)
	port := openPort(t, twin, serial.Mode{BaudRate: 9600})
	if _, err := port.Write([]byte("ping\n")); err != nil {
		t.Fatal(err)
	}
	readUntil(t, port, "the answer", func(b []byte) bool { return string(b) == "got ping\n" })
}
