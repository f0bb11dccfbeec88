package serialline_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
)

var nmea = codec.NMEA0183{}

func TestSpeedsReachTheDevice(t *testing.T) {
	for _, baud := range []int{50, 300, 12345, 31250, 115200, 250000, 921600, 4_000_000} {
		t.Run(fmt.Sprint(baud), func(t *testing.T) {
			twin := newTwin(t, ptytwin.Options{Unpaced: true})
			l := open(t, serialline.Config{Port: twin.Path(), Baud: baud, StopBits: 2, Parity: serialline.EvenParity})
			if bits, got := twin.Framing(); got != baud || bits != 12 {
				t.Errorf("the device sees %d baud and %d bits, want %d and 12", got, bits, baud)
			}
			send(t, twin, heading(1))
			read(t, l)
		})
	}
}

func TestSpeedChangesAndLasts(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	l := open(t, serialline.Config{Port: twin.Path(), Baud: 9600, RetryEvery: time.Millisecond})
	if err := l.SetBaud(57600); err != nil {
		t.Fatal(err)
	}
	if _, got := twin.Framing(); got != 57600 {
		t.Errorf("the device sees %d baud", got)
	}
	if err := l.SetBaud(5_000_000); err == nil || !strings.Contains(err.Error(), "must be 50 to 4000000") {
		t.Errorf("5 Mbaud: %v", err)
	}
	if err := twin.Unplug(); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the unplug", func() bool { return l.Stats().Unplugs == 1 })
	if err := l.SetBaud(38400); err != nil { // while it is away
		t.Fatal(err)
	}
	replug(t, twin)
	devicetest.Eventually(t, "the speed after the replug", func() bool { _, got := twin.Framing(); return got == 38400 })
}

func TestModemLinesOfAPty(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{})
	l := open(t, serialline.Config{ID: "gps", Port: twin.Path(), RetryEvery: time.Hour})
	_, reading := l.Modem()
	for what, err := range map[string]error{"SetDTR": l.SetDTR(true), "SetRTS": l.SetRTS(false), "Modem": reading} {
		if !errors.Is(err, serialline.ErrNoModem) || !strings.Contains(err.Error(), `"gps"`) {
			t.Errorf("%s: %v, want ErrNoModem and the device", what, err)
		}
	}
	if err := l.Break(time.Millisecond); err != nil {
		t.Errorf("break: %v", err)
	}
	for _, d := range []time.Duration{0, -1, time.Minute} {
		if err := l.Break(d); err == nil {
			t.Errorf("a break of %v was taken", d)
		}
	}
	if err := twin.Unplug(); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the unplug", func() bool { return l.Stats().Unplugs == 1 })
	for what, err := range map[string]error{"SetDTR": l.SetDTR(true), "Break": l.Break(time.Millisecond)} {
		if !errors.Is(err, devices.ErrUnplugged) {
			t.Errorf("%s while unplugged: %v", what, err)
		}
	}
}

func TestRS485IsToleratedWhereThereIsNone(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	l := open(t, serialline.Config{Port: twin.Path(), RS485: &serialline.RS485{BeforeSend: time.Millisecond}})
	if !l.Stats().NoRS485 {
		t.Error("a pty has no RS-485; the driver did not notice")
	}
	send(t, twin, heading(1))
	read(t, l)
	_, err := serialline.Open(t.Context(), serialline.Config{Port: twin.Path(), Codec: nmea, RS485: &serialline.RS485{AfterSend: time.Second}})
	if err == nil || !strings.Contains(err.Error(), "RS-485 delay 1s") {
		t.Errorf("a delay of 1 s: %v", err)
	}
}

// TestEchoAtOpening: until the port is raw the kernel sends what comes in back
// to the device, which takes it for a command. The prelude ends that command.
func TestEchoAtOpening(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true, Cooked: true})
	send(t, twin, heading(1)+"$GPHDT,2")
	devicetest.Eventually(t, "the echo", func() bool { return bytes.Contains(twin.Received(), []byte("$GPHDT,2")) })
	l := open(t, serialline.Config{Port: twin.Path(), Prelude: []byte("\r\n")})
	devicetest.Eventually(t, "the prelude behind the echo", func() bool { return bytes.HasSuffix(twin.Received(), []byte("\r\n")) })
	echoed := len(twin.Received())
	send(t, twin, heading(3))
	if s := read(t, l); !strings.HasPrefix(string(s.Raw), "$GPHDT,3.0") {
		t.Errorf("read %q, want what came after the opening", s.Raw)
	}
	if got := twin.Received(); len(got) != echoed {
		t.Errorf("the open port still echoes: %q", got[echoed:])
	}
	if s := l.Stats(); s.Stale == 0 {
		t.Error("what lay in the port before the opening was not dropped")
	}
}

// TestAWriteThatNobodyReadsEnds: a device that does not listen holds up who writes to
// it for a while, not for ever, and hears nothing later of what it did not take.
func TestAWriteThatNobodyReadsEnds(t *testing.T) {
	held, release := make(chan struct{}, 1), make(chan struct{})
	hung := true // owned by the twin's goroutine
	twin := newTwin(t, ptytwin.Options{OnReceive: func([]byte) {
		select {
		case held <- struct{}{}:
		default:
		}
		if hung {
			<-release
			hung = false
		}
	}})
	listen := sync.OnceFunc(func() { close(release) })
	t.Cleanup(listen)
	l := open(t, serialline.Config{Port: twin.Path(), Baud: serialline.MaxBaud})
	if _, err := l.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	<-held
	var err error
	for err == nil { // until the kernel takes no more
		_, err = l.Write(make([]byte, 8<<10))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "of 8192 bytes were taken") {
		t.Errorf("a write that nobody reads: %v", err)
	}
	listen()
	if _, err := l.Write([]byte("again")); err != nil {
		t.Errorf("once the device listens: %v", err)
	}
	devicetest.Eventually(t, "the device to hear what came then", func() bool { return bytes.HasSuffix(twin.Received(), []byte("again")) })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestCloseEndsAWriteThatNobodyReads: a device that does not listen must not
// hold the program.
func TestCloseEndsAWriteThatNobodyReads(t *testing.T) {
	held := make(chan struct{}, 1) // the device may hear before the test waits
	release := make(chan struct{})
	twin := newTwin(t, ptytwin.Options{OnReceive: func([]byte) {
		select {
		case held <- struct{}{}:
		default:
		}
		<-release
	}})
	t.Cleanup(func() { close(release) })
	l := open(t, serialline.Config{Port: twin.Path()})
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := l.Write(make([]byte, 64<<10)); err != nil {
				ended <- err
				return
			}
		}
	}()
	<-held
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the write went through")
	}
}
