package serialline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/devicetest"
	"plumbline/devices/ptytwin"
	"plumbline/devices/remoteport"
	"plumbline/devices/serialline"
)

// ser2net starts the real server in front of a port and returns its address.
// accepter is the protocol, for example "telnet(rfc2217),tcp".
func ser2net(t *testing.T, accepter, port string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("ser2net is tried on Linux")
	}
	binary, err := exec.LookPath("ser2net")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/ser2net"); err != nil {
			t.Fatal("ser2net is not installed: make deps-test")
		}
	}
	number := devicetest.FreePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", number)
	dir := t.TempDir()
	config := filepath.Join(dir, "ser2net.yaml")
	text := fmt.Sprintf("connection: &twin\n  accepter: %s,127.0.0.1,%d\n  connector: serialdev(nouucplock),%s,9600n81,local\n  options:\n    kickolduser: true\n", accepter, number, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "-n", "-d", "-c", config, "-P", filepath.Join(dir, "pid"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was killed
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("ser2net said:\n%s", text)
		}
	})
	devicetest.Eventually(t, "ser2net to listen", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return address
}

// TestRemotePortReadsATwin is a sensor on another machine: its speed is changed
// from here, and it is read and written.
func TestRemotePortReadsATwin(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{})
	address := ser2net(t, "telnet(rfc2217),tcp", twin.Path())
	l := open(t, serialline.Config{ID: "far", Port: "rfc2217://" + address, Baud: 38400, StopBits: 2})
	speed := func(want int) {
		t.Helper()
		devicetest.Eventually(t, fmt.Sprintf("the twin to see %d baud", want), func() bool { _, baud := twin.Framing(); return baud == want })
	}
	speed(38400)
	if bits, _ := twin.Framing(); bits != 11 {
		t.Errorf("the twin sees %d bits a character, want 11 of 8N2", bits)
	}
	for i := range 20 {
		send(t, twin, heading(i))
	}
	for i := range 20 {
		if s := read(t, l); !strings.HasPrefix(string(s.Raw), fmt.Sprintf("$GPHDT,%d.0", i)) {
			t.Fatalf("line %d is %q", i, s.Raw)
		}
	}
	if err := l.SetBaud(115200); err != nil {
		t.Fatal(err)
	}
	speed(115200)
	send(t, twin, heading(99))
	read(t, l)
	command := "rate \xff\xff 5\r\n" // an escaped byte twice
	if _, err := l.Write([]byte(command)); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the command to arrive as it was", func() bool { return strings.HasSuffix(string(twin.Received()), command) })
	if n := l.Counters(); n.Good != 21 || n.Damaged != 0 {
		t.Errorf("%+v, want 21 good", n)
	}
	if err := l.Break(time.Millisecond); err != nil {
		t.Errorf("break: %v", err)
	}
}

func TestRemotePortOverTCP(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{})
	address := ser2net(t, "tcp", twin.Path())
	on := true
	l := open(t, serialline.Config{ID: "far", Port: "tcp://" + address, DTR: &on})
	// The server takes the connection before it has opened and emptied its port.
	devicetest.Eventually(t, "lines through the server", func() bool {
		send(t, twin, heading(1))
		return l.Counters().Good >= 2
	})
	if !l.Stats().NoModem {
		t.Error("a raw connection has no DTR; the driver did not notice")
	}
	if err := l.SetBaud(4800); !errors.Is(err, remoteport.ErrNoControl) {
		t.Errorf("speed over tcp: %v", err)
	}
}

// TestRemotePortComesBack: the connection breaks, as when the server's machine
// starts anew; the line waits for it.
func TestRemotePortComesBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conns := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(conns)
				return
			}
			conns <- c
		}
	}()
	line := open(t, serialline.Config{ID: "far", Port: "tcp://" + l.Addr().String(), KeepBacklog: true, RetryEvery: time.Millisecond})
	for round := range 3 {
		c := <-conns
		if _, err := io.WriteString(c, heading(round)+"$GPHDT,9"); err != nil {
			t.Fatal(err)
		}
		if s := read(t, line); !strings.HasPrefix(string(s.Raw), fmt.Sprintf("$GPHDT,%d.0", round)) {
			t.Errorf("round %d: %q", round, s.Raw)
		}
		_ = c.Close()
		devicetest.Eventually(t, "the line to see the end", func() bool { return line.Stats().Unplugs == uint64(round+1) })
	}
	devicetest.Eventually(t, "cut lines to be kept apart", func() bool { return line.Counters().Partial == 3 })
	go func() {
		for c := range conns {
			_ = c.Close()
		}
	}()
	if err := line.Close(); err != nil {
		t.Error(err)
	}
	if _, err := line.Read(t.Context()); !errors.Is(err, devices.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
}

func TestRemotePortErrors(t *testing.T) {
	for port, want := range map[string]string{
		"tcp://127.0.0.1:1": "refused", "rfc2217://127.0.0.1": "wrong address", "rfc2217://user:secret@127.0.0.1:7": "takes no user",
	} {
		_, err := serialline.Open(t.Context(), serialline.Config{Port: port, Codec: nmea})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", port, err, want)
		}
	}
}
