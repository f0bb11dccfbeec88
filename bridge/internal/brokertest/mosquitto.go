// Package brokertest is for tests: a real Mosquitto on a loopback port that can be stopped and started again, and a publisher
// that loses nothing.
package brokertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"plumbline/bridge/internal/eventually"
)

// Mosquitto is a broker with its own folder, port and state, which survive a Stop.
type Mosquitto struct {
	tb     testing.TB
	binary string
	conf   string
	cmd    *exec.Cmd

	// Addr is host:port of the listener.
	Addr string
	// Dir holds its files.
	Dir string
}

// Lines are the settings of a broker that keeps everything for those who are away, and forgets nothing when it is stopped.
const Lines = "allow_anonymous true\npersistence true\nautosave_interval 1\nmax_queued_messages 0\n"

// New starts a Mosquitto with these lines in its configuration, after the listener's. It is stopped when the test ends. The
// test fails, with what to do, when Mosquitto is not installed.
func New(tb testing.TB, lines string) *Mosquitto {
	tb.Helper()
	binary, err := exec.LookPath("mosquitto")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			tb.Fatal("mosquitto is not installed: make deps-test installs it")
		}
	}
	m := &Mosquitto{tb: tb, binary: binary, Addr: FreePort(tb), Dir: tb.TempDir()}
	_, port, _ := net.SplitHostPort(m.Addr)
	m.conf = filepath.Join(m.Dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\npersistence_location %s/\nuser root\n%s", port, m.Dir, lines)
	if err := os.WriteFile(m.conf, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	m.Start()
	tb.Cleanup(func() { m.Stop(syscall.SIGKILL) })
	return m
}

// FreePort returns a loopback address that nobody listens on, below the ports that systems give to outgoing connections: one
// of those could take the port of a broker while it is restarted. Other packages' tests, which run at the same time, take theirs
// elsewhere: devicetest below, sut above.
func FreePort(tb testing.TB) string {
	tb.Helper()
	const first, most, tries = 15_000, 19_999, 100
	var last error
	for range tries {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(most-first+1))) //nolint:noctx,gosec // nobody waits here, and anybody may guess it
		if last = err; err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
	tb.Fatal(last)
	return ""
}

// Start starts the broker and waits until it listens.
func (m *Mosquitto) Start() {
	m.tb.Helper()
	m.cmd = exec.Command(m.binary, "-c", m.conf) //nolint:noctx // it ends by Stop
	DieWithTest(m.cmd)
	if os.Getenv("PLUMBLINE_TEST_LOG") != "" {
		m.cmd.Stderr = os.Stderr
	}
	if err := m.cmd.Start(); err != nil {
		m.tb.Fatal(err)
	}
	eventually.Must(m.tb, "mosquitto to listen on "+m.Addr, func() bool {
		c, err := net.Dial("tcp", m.Addr) //nolint:noctx // eventually gives up
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// Stop ends the broker by the signal and waits. SIGTERM lets it save its state first. A second call does nothing.
func (m *Mosquitto) Stop(sig syscall.Signal) {
	m.tb.Helper()
	if m.cmd == nil {
		return
	}
	if err := m.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.tb.Fatal(err)
	}
	_ = m.cmd.Wait() // its exit code is that of the signal
	m.cmd = nil
}

// Restart is Stop with SIGTERM and Start.
func (m *Mosquitto) Restart() {
	m.tb.Helper()
	m.Stop(syscall.SIGTERM)
	m.Start()
}

// Forget is Restart without the state: sessions and retained messages are gone.
func (m *Mosquitto) Forget() {
	m.tb.Helper()
	m.Stop(syscall.SIGTERM)
	if err := os.Remove(filepath.Join(m.Dir, "mosquitto.db")); err != nil {
		m.tb.Fatal(err)
	}
	m.Start()
}

// Retain publishes one retained message; an empty one clears the topic. It returns after the broker's acknowledgement.
func Retain(tb testing.TB, addr, topic, payload string) {
	tb.Helper()
	conn, err := net.Dial("tcp", addr) //nolint:noctx // on loopback, to a broker that listens
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "retainer", CleanStart: true, Properties: &packets.Properties{}}
	p := packets.Publish{Topic: topic, Payload: []byte(payload), QoS: 1, Retain: true, PacketID: 1, Properties: &packets.Properties{}}
	for _, out := range []packets.Packet{&c, &p} {
		if _, err := out.WriteTo(conn); err != nil {
			tb.Fatal(err)
		}
		if _, err := packets.ReadPacket(conn); err != nil {
			tb.Fatal(err)
		}
	}
}
