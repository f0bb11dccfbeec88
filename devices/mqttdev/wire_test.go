package mqttdev

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/devices/devicetest"
)

// TestPackets: what this package says is spelt as MQTT 3.1.1 wants it.
func TestPackets(t *testing.T) {
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"CONNECT":              {connectPacket(linkConfig{clientID: "c"}), "\x10\x0d\x00\x04MQTT\x04\x02\x00\x14\x00\x01c"},
		"CONNECT with all":     {connectPacket(linkConfig{clientID: "c", keep: true, username: "u", password: []byte("p"), will: &message{"t", []byte("w"), 1, true}}), "\x10\x19\x00\x04MQTT\x04\xec\x00\x14\x00\x01c\x00\x01t\x00\x01w\x00\x01u\x00\x01p"},
		"CONNECT with a name":  {connectPacket(linkConfig{clientID: "c", username: "u"}), "\x10\x10\x00\x04MQTT\x04\x82\x00\x14\x00\x01c\x00\x01u"},
		"no password alone":    {connectPacket(linkConfig{clientID: "c", password: []byte("p")}), "\x10\x0d\x00\x04MQTT\x04\x02\x00\x14\x00\x01c"},
		"SUBSCRIBE":            {subscribePacket(7, "a/#", 1), "\x82\x08\x00\x07\x00\x03a/#\x01"},
		"PUBLISH with QoS 1":   {publishPacket(9, message{"a", []byte("p"), 1, true}), "\x33\x06\x00\x01a\x00\x09p"},
		"PUBLISH with QoS 0":   {publishPacket(0, message{"a", []byte("p"), 0, false}), "\x30\x04\x00\x01ap"},
		"PUBACK":               {pubackPacket(9), "\x40\x02\x00\x09"},
		"length in two digits": {publishPacket(0, message{"a", bytes.Repeat([]byte("x"), 197), 0, false}), "\x30\xc8\x01\x00\x01a" + strings.Repeat("x", 197)},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s is %q, want %q", name, c.got, c.want)
		}
	}
}

func TestMalformedPackets(t *testing.T) {
	for name, text := range map[string]string{
		"PUBLISH with QoS 2":           "\x34\x06\x00\x01a\x00\x09p",
		"PUBLISH without topic":        "\x30\x01\x00",
		"topic longer than the packet": "\x30\x04\x00\x09ap",
		"topic that is not UTF-8":      "\x30\x04\x00\x01\xffp",
		"PUBLISH without identifier":   "\x32\x04\x00\x01a\x00",
		"PUBACK of one byte":           "\x40\x01\x00",
		"SUBACK for two filters":       "\x90\x04\x00\x01\x00\x00",
		"length of five bytes":         "\x30\xff\xff\xff\xff\x01",
		"more than is read":            "\x30\x81\x80\x80\x08",
	} {
		first, body, err := readPacket(bufio.NewReader(strings.NewReader(text)))
		if err == nil {
			if first>>4 == typePublish {
				_, _, err = readPublish(first, body)
			} else {
				_, err = readAnswer(first, body)
			}
		}
		if !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readAnswer(typeSuback<<4, []byte{0, 1, 0x80}); err == nil || errors.Is(err, errMalformed) {
		t.Errorf("a subscription that was refused gives %v", err)
	}
}

// FuzzReadPacket: nothing that a broker sends panics or is taken for longer than
// it is.
func FuzzReadPacket(f *testing.F) {
	for _, seed := range []string{"\x20\x02\x00\x00", "\x32\x06\x00\x01a\x00\x09p", "\x90\x03\x00\x01\x01", "\x30\xff\xff\xff\x7f"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bytes.NewReader(text)
		first, body, err := readPacket(bufio.NewReader(in))
		if err != nil {
			return
		}
		if len(body) > len(text) {
			t.Fatalf("%d bytes of %d", len(body), len(text))
		}
		if m, _, err := readPublish(first, body); err == nil && len(m.topic)+len(m.payload) > len(body) {
			t.Fatalf("%+v", m)
		}
		_, _ = readAnswer(first, body)
	})
}

// listener calls heard with the text of every record that is logged.
type listener struct {
	slog.Handler
	heard func(text string)
}

func (l listener) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool { l.heard(a.Value.String()); return true })
	return nil
}

// TestBrokersThatBreakTheRules: each is given up with a word that says why, and
// tried again; nothing of it hangs or grows.
func TestBrokersThatBreakTheRules(t *testing.T) {
	subscribed := func(c net.Conn, answer func(id []byte) []byte) {
		_, _ = io.WriteString(c, "\x20\x02\x00\x00")
		in := bufio.NewReader(c)
		for {
			first, body, err := readPacket(in)
			if err != nil {
				return
			}
			if first>>4 == typeSubscribe {
				_, _ = c.Write(answer(body[:2]))
			}
		}
	}
	for _, c := range []struct {
		name, want string
		serve      func(c net.Conn)
	}{
		{"closes at once", "read CONNACK: ", func(net.Conn) {}},
		{"garbage", "answers CONNECT with a packet of type", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"+strings.Repeat("x", 200))
		}},
		{"announces 200 MB", "at most", func(c net.Conn) { _, _ = io.WriteString(c, "\x20\xff\xff\xff\x7f") }},
		{"refuses", "not authorised", func(c net.Conn) { _, _ = io.WriteString(c, "\x20\x02\x00\x05") }},
		{"refuses the subscription", "refuses the subscription", func(c net.Conn) {
			subscribed(c, func(id []byte) []byte { return []byte{typeSuback << 4, 3, id[0], id[1], 0x80} })
		}},
		{"answers for two filters", "lost: malformed packet", func(c net.Conn) {
			subscribed(c, func(id []byte) []byte { return []byte{typeSuback << 4, 4, id[0], id[1], 0, 0} })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			over := make(chan struct{})
			go func() {
				defer close(over)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						if _, _, err := readPacket(bufio.NewReader(conn)); err == nil {
							c.serve(conn)
						}
					}()
				}
			}()
			defer func() { _ = l.Close(); <-over }()
			ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
			defer cancel()
			var mu sync.Mutex
			times := 0
			log := slog.New(listener{slog.Default().Handler(), func(text string) {
				mu.Lock()
				defer mu.Unlock()
				if strings.Contains(text, c.want) {
					if times++; times == 2 { // it was tried again
						cancel()
					}
				}
			}})
			_, err = Open(ctx, Config{Broker: &url.URL{Scheme: "mqtt", Host: l.Addr().String()}, Version: "3.1.1", Filter: "s/#", Retry: time.Millisecond, Log: log})
			mu.Lock()
			defer mu.Unlock()
			if err == nil || times < 2 {
				t.Errorf("%v after %d words of %q", err, times, c.want)
			}
		})
	}
}

// TestLostLinkEndsWaits: who waits for an acknowledgement on a connection that
// breaks is told at once.
func TestLostLinkEndsWaits(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conns := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(conns)
				return
			}
			if _, _, err := readPacket(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, "\x20\x02\x00\x00")
			}
			conns <- conn
		}
	}()
	up := make(chan struct{}, 10)
	o := newOlder(linkConfig{
		broker: &url.URL{Scheme: "mqtt", Host: l.Addr().String()}, clientID: "c", retry: time.Hour,
		up: func(bool) { up <- struct{}{} }, down: func() {}, failed: func(error) {},
	})
	<-up
	first := <-conns
	waited := make(chan error, 1)
	go func() { waited <- o.publish(context.Background(), message{topic: "t", qos: 1}) }()
	devicetest.Eventually(t, "the message to be on its way", func() bool { o.mu.Lock(); defer o.mu.Unlock(); return len(o.waits) == 1 })
	_ = first.Close()
	if err := <-waited; !errors.Is(err, errDown) {
		t.Errorf("a lost connection gives %v", err)
	}
	if err := o.subscribe(context.Background(), "t", 0); !errors.Is(err, errDown) {
		t.Errorf("without a connection there is %v", err)
	}
	o.close()
	o.close()
}
