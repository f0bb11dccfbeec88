package bridge

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/config"
	"plumbline/bridge/devca"
)

// TestMQTTListeners: every listener of the configuration answers a CONNECT, and the address file says where each is.
func TestMQTTListeners(t *testing.T) {
	certs := t.TempDir()
	if _, err := devca.Ensure(certs, time.Now()); err != nil {
		t.Fatal(err)
	}
	r := run(t, func(c *Config) {
		c.MQTT.TLS.Listen, c.MQTT.WebSocket.Listen, c.MQTT.WebSocket.TLSListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
		c.MQTT.TLS.Cert, c.MQTT.TLS.Key = filepath.Join(certs, devca.ServerFile), filepath.Join(certs, devca.ServerKeyFile)
	})
	var a Addresses
	raw, err := os.ReadFile(filepath.Join(r.cfg.Data, AddressFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &a); err != nil || a != r.b.Addresses() {
		t.Fatalf("address file %s: %v, want %+v", raw, err, r.b.Addresses())
	}
	anyone := &tls.Config{InsecureSkipVerify: true}
	connect := []byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 1, 'x'}
	for name, open := range map[string]func() (net.Conn, error){
		"mqtt":  func() (net.Conn, error) { return net.DialTimeout("tcp", a.MQTT, patience) },
		"mqtts": func() (net.Conn, error) { return tls.Dial("tcp", a.MQTTS, anyone) },
	} {
		c, err := open()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = c.Write(connect)
		var ack [4]byte
		if _, err := io.ReadFull(c, ack[:]); err != nil || ack != [4]byte{0x20, 2, 0, 0} {
			t.Errorf("%s: %x, %v", name, ack, err)
		}
		_ = c.Close()
	}
	for _, u := range []string{"ws://" + a.MQTTWS + "/mqtt", "wss://" + a.MQTTWSS + "/mqtt"} {
		ws, _, err := (&websocket.Dialer{Subprotocols: []string{"mqtt"}, TLSClientConfig: anyone, HandshakeTimeout: patience}).Dial(u, nil)
		if err != nil {
			t.Fatalf("%s: %v", u, err)
		}
		_ = ws.WriteMessage(websocket.BinaryMessage, connect)
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		if _, ack, err := ws.ReadMessage(); err != nil || string(ack) != "\x20\x02\x00\x00" {
			t.Errorf("%s: %x, %v", u, ack, err)
		}
		_ = ws.Close()
	}
}

// TestMQTTClientCA: a file that is none of certificates is an error of the configuration, named.
func TestMQTTClientCA(t *testing.T) {
	certs := t.TempDir()
	if _, err := devca.Ensure(certs, time.Now()); err != nil {
		t.Fatal(err)
	}
	c := testConfig(t.TempDir())
	c.MQTT.TLS = config.MQTTTLS{
		Cert: filepath.Join(certs, devca.ServerFile), Key: filepath.Join(certs, devca.ServerKeyFile), ClientAuth: "require", ClientCA: filepath.Join(certs, devca.ServerKeyFile),
	}
	b, err := New(Options{Config: c})
	if err == nil {
		_ = b.Close()
		t.Fatal("taken")
	}
	for _, part := range []string{"mqtt.tls.clientCA", "PEM"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}
