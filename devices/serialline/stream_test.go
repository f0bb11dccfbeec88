package serialline_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/serialline"
)

// slow is a stream whose reads time out, as a serial port's do.
type slow struct {
	io.ReadWriteCloser
	timeouts int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.timeouts > 0 {
		s.timeouts--
		return 0, nil
	}
	return s.ReadWriteCloser.Read(p)
}

func TestStream(t *testing.T) {
	host, device := net.Pipe()
	l, err := serialline.New(&slow{ReadWriteCloser: host, timeouts: 3}, serialline.Config{ID: "tcp", Codec: codec.NMEA0183{}})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = device.Write([]byte(heading(1) + heading(2) + "$GPH"))
		_ = device.Close()
	}()
	read(t, l)
	read(t, l)
	if _, err := l.Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("read at the end: %v, want io.EOF", err)
	}
	if _, err := l.Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("read after the end: %v, want io.EOF again", err)
	}
	if n := l.Counters(); n.Good != 2 || n.Partial != 1 {
		t.Errorf("%+v, want 2 good and 1 partial", n)
	}
	if s := l.Stats(); s.Timeouts != 3 {
		t.Errorf("%d timeouts counted, want 3", s.Timeouts)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// lingering takes its time to close, as a TCP connection with data in flight.
type lingering struct {
	io.ReadWriteCloser
	release chan struct{}
	closed  atomic.Bool
}

func (l *lingering) Close() error {
	err := l.ReadWriteCloser.Close()
	<-l.release
	l.closed.Store(true)
	return err
}

func TestCloseWaitsForItsStream(t *testing.T) {
	host, _ := net.Pipe()
	stream := &lingering{ReadWriteCloser: host, release: make(chan struct{})}
	l, err := serialline.New(stream, serialline.Config{ID: "tcp", Codec: codec.NMEA0183{}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() {
		_ = l.Close()
		ended <- stream.closed.Load()
	}()
	if _, err := l.Read(t.Context()); !errors.Is(err, devices.ErrClosed) {
		t.Errorf("read: %v, want ErrClosed", err)
	}
	select {
	case <-ended:
		t.Fatal("Close returned before its stream was closed")
	case <-time.After(20 * time.Millisecond): // time enough for a Close that does not wait
	}
	close(stream.release)
	if !<-ended {
		t.Error("Close returned before its stream was closed")
	}
}

// broken fails as a connection does that was reset.
type broken struct{ io.ReadWriteCloser }

func (broken) Read([]byte) (int, error) { return 0, syscall.ECONNRESET }

func TestStreamErrorNamesTheDevice(t *testing.T) {
	host, _ := net.Pipe()
	l, err := serialline.New(broken{host}, serialline.Config{ID: "press-7", Codec: codec.NMEA0183{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = l.Read(t.Context())
	if !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(err.Error(), `serialline: read "press-7"`) {
		t.Errorf("read: %v, want the device and the cause", err)
	}
	if _, err := l.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), `serialline: write "press-7"`) {
		t.Errorf("write after the end: %v, want an error that names the device", err)
	}
}

func TestStreamConforms(t *testing.T) {
	devicetest.Conform(t, devicetest.Subject{Open: func(tb testing.TB) devices.Device {
		tb.Helper()
		host, device := net.Pipe()
		l, err := serialline.New(host, serialline.Config{ID: "pipe", Codec: codec.NMEA0183{}})
		if err != nil {
			tb.Fatal(err)
		}
		go func() {
			for i := 0; ; i++ {
				if _, err := device.Write([]byte(heading(i % 360))); err != nil {
					return // closed by the test
				}
			}
		}()
		tb.Cleanup(func() { _ = device.Close() })
		return l
	}})
}
