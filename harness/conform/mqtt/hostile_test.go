package mqtt_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"plumbline/harness/conform"
	"plumbline/harness/conform/mqtt"
	"plumbline/harness/conform/targets"
	"plumbline/harness/mqttwire"
)

// hostile is a broker that gives every connection to serve.
func hostile(t *testing.T, serve func(net.Conn)) mqtt.Target {
	t.Helper()
	return mqtt.Target{URL: "mqtt://" + targets.Listen(t, serve)}
}

// TestHostile: whatever a server does, the suite ends soon, with an error that
// says what it was.
func TestHostile(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]struct {
		serve func(net.Conn)
		says  string
	}{
		"closes at once":   {func(net.Conn) {}, "no CONNACK"},
		"says nothing":     {targets.Drain, "no CONNACK"},
		"speaks HTTP":      {func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); targets.Drain(c) }, "no CONNACK"},
		"endless length":   {func(c net.Conn) { targets.Flood(c, []byte{0xff}) }, "malformed"},
		"giant packet":     {func(c net.Conn) { targets.Flood(c, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}) }, "4194304 is the most"},
		"floods messages":  {func(c net.Conn) { targets.Flood(c, []byte{0x30, 5, 0, 1, 'a', 0, 'x'}) }, "no CONNACK"},
		"refuses everyone": {func(c net.Conn) { _, _ = c.Write([]byte{0x20, 3, 0, 0x87, 0}); targets.Drain(c) }, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			patience := time.Minute // those that answer do so before it is over, however busy the machine
			switch server.says {
			case "no CONNACK":
				patience = 200 * time.Millisecond
			case "refused": // its next word is waited for
				patience = 3 * time.Second
			}
			_, err := mqtt.Run(t.Context(), hostile(t, server.serve), mqtt.Options{Patience: patience})
			if !errors.Is(err, conform.ErrUnreachable) || !strings.Contains(err.Error(), server.says) {
				t.Errorf("%v; it should say %q", err, server.says)
			}
		})
	}
}

// TestTurnsHostile: a server that lets clients in and then floods, lies or says
// nothing more does not pass, and the suite ends.
func TestTurnsHostile(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(net.Conn){
		"floods":  func(c net.Conn) { targets.Flood(c, []byte{0x30, 7, 0, 1, 'a', 0, 'x', 'y', 'z'}) },
		"garbage": func(c net.Conn) { targets.Flood(c, []byte{0xd0, 1, 0xff, 0x90, 2, 0, 1}) },
		"silent":  targets.Drain,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := hostile(t, func(c net.Conn) {
				if n, err := c.Read(make([]byte, 1024)); err != nil || n == 0 {
					return
				}
				_, _ = c.Write([]byte{0x20, 3, 0, 0, 0})
				then(c)
			})
			r, err := mqtt.Run(t.Context(), target, mqtt.Options{Patience: 50 * time.Millisecond, Silence: 100 * time.Millisecond, Parallel: 64})
			if err != nil && !errors.Is(err, conform.ErrUnreachable) {
				t.Fatal(err)
			}
			if err == nil && r.Verdict() == conform.Pass {
				t.Error("it passes")
			}
		})
	}
}

// TestReset: a broker that resets its connections, so that DISCONNECT is lost,
// is found. The bare library broker does so now and then (D14 in TestMochi);
// behind this relay, which resets where it reads DISCONNECT, always.
func TestReset(t *testing.T) {
	t.Parallel()
	const id = "MQTT5-3.3.4-7b"
	behind, _ := targets.Mochi(t)
	target := hostile(t, func(c net.Conn) {
		up, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(behind, "mqtt://"))
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = up.Close() }()
		go func() { _, _ = io.Copy(up, c) }()
		for r := bufio.NewReader(up); ; {
			p, err := mqttwire.Read(r, 1<<20)
			if err != nil || p.Type == mqttwire.TypeDisconnect {
				_ = c.(*net.TCPConn).SetLinger(0)
				return
			}
			_, _ = c.Write(mqttwire.Append(nil, p.Type, p.Flags, p.Body))
		}
	})
	c, _ := run(t, target, mqtt.Options{Only: []string{id}}).Case(id)
	if c.Verdict != conform.Fail || !strings.Contains(c.Detail, "no DISCONNECT") {
		t.Errorf("%q %s", c.Verdict, c.Detail)
	}
}

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		target mqtt.Target
		o      mqtt.Options
	}{
		"scheme":       {mqtt.Target{URL: "tcp://127.0.0.1"}, mqtt.Options{}},
		"credentials":  {mqtt.Target{URL: "mqtt://user:secret@127.0.0.1"}, mqtt.Options{}},
		"unknown lack": {mqtt.Target{URL: "mqtt://127.0.0.1"}, mqtt.Options{Lacks: []string{"qos3"}}},
		"topics":       {mqtt.Target{URL: "mqtt://127.0.0.1"}, mqtt.Options{Topics: "a/#"}},
		"websocket":    {mqtt.Target{URL: "mqtt://127.0.0.1", WebSocket: "http://x"}, mqtt.Options{}},
	} {
		if _, err := mqtt.Run(t.Context(), c.target, c.o); !errors.Is(err, conform.ErrUsage) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := mqtt.Run(t.Context(), mqtt.Target{URL: "mqtt://127.0.0.1:1"}, mqtt.Options{}); !errors.Is(err, conform.ErrUnreachable) {
		t.Error(err)
	}
}
