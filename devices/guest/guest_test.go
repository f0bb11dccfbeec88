//go:build linux

package guest_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/guest"
	"plumbline/devices/ptytwin"
	"plumbline/devices/usbip"
)

// agent serves on loopback what would be in a guest, and returns how to dial it.
func agent(t *testing.T, attach func(slot int) error) guest.Dialer {
	t.Helper()
	door, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- guest.Serve(ctx, door, guest.System{Kernel: "test", Attach: func(_ context.Context, slot int, _ uintptr) error { return attach(slot) }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp4", door.Addr().String())
	}
}

func TestSensorReadsAPortThroughTheAgent(t *testing.T) {
	var mu sync.Mutex
	var heard strings.Builder
	twin, err := ptytwin.NewPair(t.Context(), ptytwin.Options{OnReceive: func(p []byte) {
		mu.Lock()
		defer mu.Unlock()
		heard.Write(p)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer twin.Close()
	dial := agent(t, nil)
	teller, err := guest.Tell(t.Context(), dial, twin.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer teller.Close()
	if _, err := teller.Write([]byte("led on\n")); err == nil || !strings.Contains(err.Error(), "nobody has") {
		t.Errorf("told a port that nobody has open: %v", err)
	}
	states := make(chan string, 16)
	s, err := guest.Open(t.Context(), dial, guest.Config{ID: "s", Port: guest.Port{Select: twin.Path(), Baud: 115200}, Codec: codec.LineJSON{},
		OnState: func(path, _ string) { states <- path }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	next := func() string {
		t.Helper()
		select {
		case path := <-states:
			return path
		case <-time.After(devicetest.Patience):
			t.Fatal("the port did not change")
			return ""
		}
	}
	if path := next(); path != twin.Path() {
		t.Errorf("opened %q, want %q", path, twin.Path())
	}
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	expect := func(n string) {
		t.Helper()
		if _, err := twin.Write([]byte(`{"n":` + n + "}\n")); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(ctx); err != nil || string(got.Raw) != `{"n":`+n+`}` {
			t.Fatalf("read %q, %v", got.Raw, err)
		}
	}
	expect("1")
	if _, err := s.Write([]byte("led on\n")); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the device to hear", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return heard.String() == "led on\n"
	})
	if _, err := teller.Write([]byte("led off\n")); err != nil { // from another connection
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the device to hear both", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return heard.String() == "led on\nled off\n"
	})
	on := true
	if _, err := s.Control(guest.Control{DTR: &on}); err == nil || !strings.Contains(err.Error(), "no modem lines") {
		t.Errorf("DTR of a pty: %v, want that it has no modem lines", err)
	}
	if r, err := s.Control(guest.Control{Baud: 9600}); err != nil || r.Stats.Bytes == 0 {
		t.Errorf("report %+v, %v", r, err)
	}
	if err := twin.Unplug(); err != nil {
		t.Fatal(err)
	}
	if path := next(); path != "" {
		t.Errorf("after the unplug: %q", path)
	}
	if err := twin.Replug(); err != nil {
		t.Fatal(err)
	}
	if path := next(); path != twin.Path() {
		t.Errorf("after the replug: %q", path)
	}
	expect("2")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	devicetest.Eventually(t, "the agent to forget the port", func() bool {
		_, err := teller.Write([]byte("led on\n"))
		return err != nil && strings.Contains(err.Error(), "nobody has")
	})
	if err := errors.Join(teller.Close(), teller.Close()); err != nil {
		t.Error(err)
	}
	if _, err := teller.Write([]byte("x")); err == nil {
		t.Error("a closed teller writes")
	}
	if _, err := s.Read(ctx); !errors.Is(err, devices.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
}

func TestRefusalsReachTheHost(t *testing.T) {
	dial := agent(t, func(int) error { return errors.New("the hub has no such socket") })
	if s, err := guest.Ask(t.Context(), dial); err != nil || s.Kernel != "test" {
		t.Errorf("status %+v, %v", s, err)
	}
	_, err := guest.Open(t.Context(), dial, guest.Config{ID: "s", Port: guest.Port{Select: "usb:0403:6001:NONE"}, Codec: codec.LineJSON{}})
	if err == nil || !strings.Contains(err.Error(), "no such device is plugged in") {
		t.Errorf("a device that is not there: %v", err)
	}
	a, err := usbip.New(usbip.Options{Model: usbip.FTDI, Serial: "SN"})
	if err != nil {
		t.Fatal(err)
	}
	if err := guest.Plug(t.Context(), dial, 99, a); err == nil || !strings.Contains(err.Error(), "no such socket") {
		t.Errorf("plug: %v, want the agent's refusal", err)
	}
	if a.Plugged() {
		t.Error("it is plugged in")
	}
}

// TestAnAgentThatTalksNonsense: no stream may hang or crash the host.
func TestAnAgentThatTalksNonsense(t *testing.T) {
	for name, says := range map[string]string{
		"nothing":       "",
		"no record":     "x",
		"length":        "p\xFF\xFF\xFF\xFF",
		"cut":           "p\x00\x00\x00\x09/dev",
		"wrong first":   "d\x00\x00\x00\x01x",
		"a long line":   "{" + strings.Repeat("x", 1<<17),
		"line not JSON": "{x\n",
	} {
		t.Run(name, func(t *testing.T) {
			dial := func(context.Context) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					defer theirs.Close()
					buf := make([]byte, 4096)
					if _, err := theirs.Read(buf); err == nil { // the request
						_, _ = theirs.Write([]byte(says))
					}
				}()
				return ours, nil
			}
			if s, err := guest.Open(t.Context(), dial, guest.Config{ID: "s", Port: guest.Port{Select: "/dev/x"}, Codec: codec.LineJSON{}}); err == nil {
				t.Error("it was taken for an open port")
				s.Close()
			}
		})
	}
}
