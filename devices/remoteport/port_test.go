package remoteport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.bug.st/serial"

	"plumbline/devices/devicetest"
	"plumbline/devices/remoteport"
)

// serve accepts one connection and hands it to act; the address is returned.
func serve(t *testing.T, act func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed by the test
			}
			done.Go(func() {
				defer conn.Close()
				act(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		done.Wait()
	})
	return l.Addr().String()
}

var mode = &serial.Mode{BaudRate: 9600, DataBits: 8}

func TestAddresses(t *testing.T) {
	for _, good := range []string{"rfc2217://127.0.0.1:7000", "tcp://[::1]:23", "rfc2217://lab-3.example:7000"} {
		if err := remoteport.Check(good); err != nil || !remoteport.Is(good) {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"rfc2217://host", "tcp://:23", "tcp://host:23/path", "tcp://host:23?x=1", "tcp://host:23#x", "tcp://u:secret@host:23", "tcp://a b:1", "rfc2217://u:secret@%zz:1", "/dev/ttyS0", "http://h:1"} {
		err := remoteport.Check(bad)
		if !errors.Is(err, remoteport.ErrAddress) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestTCPCarriesTheBytes(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	port, err := remoteport.Dial(t.Context(), "tcp://"+serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) }), mode)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	if _, err := port.Write(all); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 256)
	if _, err := io.ReadFull(port, got); err != nil || !bytes.Equal(got, all) {
		t.Errorf("%v, %x", err, got)
	}
	if err := port.SetReadTimeout(0); err != nil {
		t.Fatal(err)
	}
	if n, err := port.Read(got); n != 0 || err != nil {
		t.Errorf("a read that does not wait: %d, %v", n, err)
	}
	_, modem := port.GetModemStatusBits()
	for what, err := range map[string]error{"mode": port.SetMode(mode), "DTR": port.SetDTR(true), "RTS": port.SetRTS(true), "break": port.Break(time.Millisecond), "modem": modem} {
		if !errors.Is(err, remoteport.ErrNoControl) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// server2217 is a server that takes everything, and says what it was told.
type server2217 struct {
	mu   sync.Mutex
	told bytes.Buffer
}

func (s *server2217) serve(c net.Conn) {
	_, _ = c.Write([]byte{255, 253, 44})                      // DO COM-PORT-OPTION
	_, _ = c.Write([]byte{255, 250, 44, 107, 0xB0, 255, 240}) // DCD, DSR and CTS
	buf := make([]byte, 1)
	var sub []byte
	for state := 0; ; {
		if _, err := c.Read(buf); err != nil {
			return
		}
		switch b := buf[0]; {
		case state == 0 && b == 255:
			state = 1
		case state == 1 && b == 250:
			state, sub = 2, nil
		case state == 2 && b == 255:
			state = 3
		case state == 2:
			sub = append(sub, b)
		case state == 3 && b == 255:
			sub, state = append(sub, b), 2
		case state == 3 && b == 240:
			state = 0
			s.mu.Lock()
			s.told.Write(sub)
			s.mu.Unlock()
			reply := append([]byte{255, 250, 44, sub[1] + 100}, sub[2:]...)
			_, _ = c.Write(append(reply, 255, 240))
		default:
			state = 0
		}
	}
}

func TestSettingsAndModemLines(t *testing.T) {
	var s server2217
	port, err := remoteport.Dial(t.Context(), "rfc2217://"+serve(t, s.serve), &serial.Mode{BaudRate: 57600, DataBits: 7, Parity: serial.EvenParity, StopBits: serial.TwoStopBits})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(port.SetDTR(true), port.SetDTR(false), port.SetRTS(true), port.SetRTS(false), port.Break(time.Millisecond), port.ResetOutputBuffer(), port.Drain()); err != nil {
		t.Error(err)
	}
	var bits *serial.ModemStatusBits
	devicetest.Eventually(t, "the modem state", func() bool {
		var err error
		bits, err = port.GetModemStatusBits()
		return err == nil
	})
	if *bits != (serial.ModemStatusBits{DCD: true, DSR: true, CTS: true}) {
		t.Errorf("modem lines are %+v", *bits)
	}
	if err := port.Close(); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	want := "\x2c\x01\x00\x00\xe1\x00" + "\x2c\x02\x07" + "\x2c\x03\x03" + "\x2c\x04\x02" + "\x2c\x05\x01" + "\x2c\x0b\xff" + "\x2c\x0c\x01"
	if !strings.HasPrefix(s.told.String(), want) {
		t.Errorf("the server was told %x, want %x first", s.told.String(), want)
	}
	for _, more := range []string{"\x2c\x05\x08\x2c\x05\x09\x2c\x05\x0b\x2c\x05\x0c\x2c\x05\x05\x2c\x05\x06\x2c\x0c\x02"} {
		if !strings.HasSuffix(s.told.String(), more) {
			t.Errorf("the server was told %x, want %x last", s.told.String(), more)
		}
	}
}

func TestServersThatDoNotSpeakIt(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(net.Conn)
		want string
	}{
		"refuses":         {func(c net.Conn) { _, _ = c.Write([]byte{255, 254, 44}); _, _ = io.Copy(io.Discard, c) }, "DONT COM-PORT-OPTION"},
		"refuses binary":  {func(c net.Conn) { _, _ = c.Write([]byte{255, 254, 0}); _, _ = io.Copy(io.Discard, c) }, "binary"},
		"hangs up":        {func(c net.Conn) {}, "does not speak"},
		"wrong speed":     {speedOf([]byte{0, 0, 1, 0}), "sets 256 when asked for 9600"},
		"speed of 1 byte": {speedOf([]byte{9}), "has 1 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			port, err := remoteport.Dial(t.Context(), "rfc2217://"+serve(t, c.act), mode)
			if err == nil {
				_ = port.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

// speedOf agrees and answers to every speed with the same bytes.
func speedOf(value []byte) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Write([]byte{255, 253, 44})
		buf := make([]byte, 64)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if bytes.Contains(buf[:n], []byte{250, 44, 1}) {
				_, _ = c.Write(append(append([]byte{255, 250, 44, 101}, value...), 255, 240))
			}
		}
	}
}

func TestASilentServerEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := remoteport.Dial(ctx, "rfc2217://"+serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), mode)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
}
