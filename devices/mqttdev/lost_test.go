package mqttdev

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"plumbline/devices/devicetest"
)

// TestALostConnectionEndsTheWaitForAnAnswer: a broker that takes a message and goes
// before it answers is noticed by its going, not by how long the answer takes.
func TestALostConnectionEndsTheWaitForAnAnswer(t *testing.T) {
	for version, connack := range map[string]string{"5": "\x20\x03\x00\x00\x00", "3.1.1": "\x20\x02\x00\x00"} {
		t.Run("MQTT "+version, func(t *testing.T) {
			broker := listen(t, func(c net.Conn) {
				in := bufio.NewReader(c)
				if _, _, err := readPacket(in); err != nil {
					return
				}
				_, _ = c.Write([]byte(connack))
				_, _, _ = readPacket(in) // the message: now it goes
			})
			up := make(chan struct{}, 1)
			l, err := newLink(linkConfig{broker: broker, version: version, clientID: "lost", retry: connectLimit, failed: func(error) {}, up: func(bool) {
				select {
				case up <- struct{}{}:
				default: // it comes again
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
			defer cancel()
			select {
			case <-up:
			case <-ctx.Done():
				t.Fatal("no connection")
			}
			err = l.publish(ctx, message{topic: "a", payload: []byte("1"), qos: 1})
			if !errors.Is(err, errDown) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "deadline") {
				t.Errorf("error is %v, want that the connection is down, by no deadline", err)
			}
		})
	}
}

// listen serves connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) *url.URL {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed by the test
			}
			all.Go(func() {
				defer func() { _ = c.Close() }()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return &url.URL{Scheme: "mqtt", Host: l.Addr().String()}
}
