package viewer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/harness/mqttwire"
)

// broker is a real broker as a process of its own.
type broker struct {
	mqtt    string // host:port
	viewers string // ws://…
}

// freePort returns an address of this machine that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", devicetest.FreePort(t))
}

// run starts a program and ends it with the test.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Fatalf("%s is not installed; 'make deps-test' installs it", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, 5*time.Second
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out.String())
		}
	})
}

func listens(t *testing.T, address string) {
	t.Helper()
	until(t, address+" to listen", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// mosquitto starts Mosquitto; settings are lines of its configuration.
func mosquitto(t *testing.T, settings string) broker {
	t.Helper()
	in, out := freePort(t), freePort(t)
	port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }
	config := fmt.Sprintf("user root\nlistener %s 127.0.0.1\nlistener %s 127.0.0.1\nprotocol websockets\n%s\n", port(in), port(out), settings)
	run(t, "mosquitto", "-c", write(t, "mosquitto.conf", config))
	listens(t, in)
	listens(t, out)
	return broker{in, "ws://" + out + "/mqtt"}
}

func openMosquitto(t *testing.T) broker { t.Helper(); return mosquitto(t, "allow_anonymous true") }

// nats starts nats-server, which speaks MQTT 3.1.1 only. It sends again what was
// on its way when a connection was lost only after ack_wait, and so out of order.
func nats(t *testing.T) broker {
	t.Helper()
	in, out := freePort(t), freePort(t)
	config := fmt.Sprintf("listen: %q\nserver_name: n\njetstream {store_dir: %q}\nmqtt {listen: %q, ack_wait: \"2s\"}\nwebsocket {listen: %q, no_tls: true}\n",
		freePort(t), t.TempDir(), in, out)
	run(t, "nats-server", "-c", write(t, "nats.conf", config))
	listens(t, in)
	listens(t, out)
	return broker{in, "ws://" + out + "/mqtt"}
}

// publisher is a client of MQTT 3.1.1 over TCP that waits for each PUBACK.
type publisher struct {
	t    *testing.T
	conn net.Conn
	last uint16
}

func (b broker) publisher(t *testing.T) *publisher {
	t.Helper()
	hello, err := mqttwire.Connection{Version: mqttwire.V311, ClientID: "publisher", Clean: true, KeepAlive: 60}.Packet()
	must(t, err)
	p := &publisher{t: t}
	until(t, "the broker to take a publisher", func() bool { // nats-server drops the first now and then
		if p.conn, err = net.Dial("tcp", b.mqtt); err != nil {
			return false
		}
		_ = p.conn.SetDeadline(time.Now().Add(patience))
		answer := make([]byte, 4)
		_, err := p.conn.Write(hello)
		if err == nil {
			_, err = io.ReadFull(p.conn, answer)
		}
		if err != nil || !bytes.Equal(answer, []byte{mqttwire.TypeConnack << 4, 2, 0, 0}) {
			_ = p.conn.Close()
			return false
		}
		return true
	})
	t.Cleanup(func() { _ = p.conn.Close() })
	return p
}

func (p *publisher) exchange(say, want []byte) {
	p.t.Helper()
	_, err := p.conn.Write(say)
	must(p.t, err)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.conn, got); err != nil || !bytes.Equal(got, want) {
		p.t.Fatalf("the broker answered % x, %v, want % x", got, err, want)
	}
}

// publish sends messages "topic payload" on QoS 1.
func (p *publisher) publish(retain byte, messages ...string) {
	p.t.Helper()
	for _, m := range messages {
		topic, payload, _ := strings.Cut(m, " ")
		p.last++
		p.exchange(publishPacket(2|retain, topic, p.last, payload), mqttwire.AppendPuback(nil, p.last))
	}
}

// publishPacket is a PUBLISH of MQTT 3.1.1; id 0 leaves the identifier out.
func publishPacket(flags byte, topic string, id uint16, payload string) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(topic))), topic...)
	if id != 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	return mqttwire.Append(nil, mqttwire.TypePublish, flags, append(body, payload...))
}

// hashPasswords makes a file of Mosquitto out of lines with plain passwords.
func hashPasswords(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("mosquitto_passwd", "-U", path).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
}
