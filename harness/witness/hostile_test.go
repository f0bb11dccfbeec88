package witness_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/harness/mqttwire"
	"plumbline/harness/record"
	"plumbline/harness/witness"
)

const (
	connack = "\x20\x03\x00\x00\x00"
	suback  = "\x90\x04\x00\x01\x00\x00"
)

// strange starts a broker that has read CONNECT and then does what it likes.
func strange(t *testing.T, serve func(session int64, c net.Conn, in *bufio.Reader)) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	over := make(chan struct{})
	var sessions atomic.Int64
	go func() {
		defer close(over)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				if _, err := mqttwire.Read(in, 1<<20); err == nil {
					serve(sessions.Add(1), c, in)
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-over })
	return &url.URL{Scheme: "mqtt", Host: l.Addr().String()}
}

// flood sends a PUBLISH of so many bytes again and again.
func flood(c net.Conn, size int) {
	packet, err := mqttwire.AppendMessage(nil, mqttwire.V5, mqttwire.Message{Topic: []byte("a"), Payload: make([]byte, size)})
	for err == nil {
		_, err = c.Write(packet)
	}
}

// TestFloodEndsTheWitness: a broker that sends more than there can be is left,
// for good and with a word.
func TestFloodEndsTheWitness(t *testing.T) {
	u := strange(t, func(_ int64, c net.Conn, in *bufio.Reader) {
		_, _ = io.WriteString(c, connack)
		if _, err := mqttwire.Read(in, 1<<20); err == nil {
			_, _ = io.WriteString(c, suback)
			flood(c, 100)
		}
	})
	r := recorder(t)
	w, err := witness.Open(limit(t), witness.Config{Broker: u, Recorder: r, Plausible: func() uint64 { return 25_000 }})
	must(t, err)
	if err := w.WaitCount(limit(t), 1<<40); !errors.Is(err, witness.ErrFlood) {
		t.Errorf("a wait gave %v", err)
	}
	if err := w.Err(); !errors.Is(err, witness.ErrFlood) {
		t.Errorf("the witness ended with %v", err)
	}
	must(t, w.Close())
	if n := len(logOf(t, r).Records); n != 30_000 {
		t.Errorf("%d messages were recorded", n)
	}
}

// TestMessagesBeforeTheAnswerAreBounded: in number and in bytes.
func TestMessagesBeforeTheAnswerAreBounded(t *testing.T) {
	for _, size := range []int{0, 1 << 20} {
		var sent atomic.Int64
		ctx, cut := context.WithCancel(limit(t))
		u := strange(t, func(_ int64, c net.Conn, in *bufio.Reader) {
			_, _ = io.WriteString(c, connack)
			_, _ = mqttwire.Read(in, 1<<20)
			packet, err := mqttwire.AppendMessage(nil, mqttwire.V5, mqttwire.Message{Topic: []byte("a"), Payload: make([]byte, size)})
			for err == nil {
				var n int
				n, err = c.Write(packet)
				sent.Add(int64(n))
			}
			cut()
		})
		_, err := witness.Open(ctx, witness.Config{Broker: u, Recorder: recorder(t), Backoff: time.Hour})
		if err == nil || !strings.Contains(err.Error(), "and no answer to SUBSCRIBE") {
			t.Errorf("messages of %d bytes: %v", size, err)
		}
		if n := sent.Load(); n > 64<<20 { // 16 MiB and what lies in buffers
			t.Errorf("the broker got rid of %d bytes", n)
		}
	}
}

// TestBrokerThatIsNotReady: one that says so is asked again, one that will never
// let the witness in ends it.
func TestBrokerThatIsNotReady(t *testing.T) {
	u := strange(t, func(session int64, c net.Conn, in *bufio.Reader) {
		switch session {
		case 1:
			_, _ = io.WriteString(c, "\x20\x03\x00\x88\x00") // server unavailable
			return
		case 2:
			_, _ = io.WriteString(c, connack)
			if _, err := mqttwire.Read(in, 1<<20); err == nil {
				_, _ = io.WriteString(c, suback)
			}
		default:
			_, _ = io.WriteString(c, "\x20\x03\x00\x87\x00") // not authorised
		}
	})
	r := recorder(t)
	w, err := witness.Open(limit(t), witness.Config{Broker: u, Recorder: r, Backoff: time.Millisecond})
	must(t, err)
	err = w.WaitCount(limit(t), 1)
	var refused *witness.RefusedError
	if !errors.As(err, &refused) || refused.Code != 0x87 || !errors.As(w.Err(), &refused) {
		t.Errorf("a wait gave %v, the witness %v", err, w.Err())
	}
	must(t, w.Close())
	seen := 0
	for _, e := range logOf(t, r).Events {
		if e.Kind == record.Refused {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("%d refusals were recorded", seen)
	}
}

// TestTheBrokersKeepAliveCounts: a broker that wants to hear more often than it
// was offered to is heard (MQTT 5 section 3.2.2.3.14), and what MQTT cannot tell
// is refused.
func TestTheBrokersKeepAliveCounts(t *testing.T) {
	pinged := make(chan struct{})
	var once sync.Once
	u := strange(t, func(_ int64, c net.Conn, in *bufio.Reader) {
		_, _ = io.WriteString(c, "\x20\x06\x00\x00\x03\x13\x00\x01") // Server Keep Alive 1
		if _, err := mqttwire.Read(in, 1<<20); err != nil {
			return
		}
		_, _ = io.WriteString(c, suback)
		if p, err := mqttwire.Read(in, 1<<20); err == nil && p.Type == mqttwire.TypePingreq {
			once.Do(func() { close(pinged) })
		}
	})
	w, err := witness.Open(limit(t), witness.Config{Broker: u, Recorder: recorder(t), KeepAlive: time.Hour})
	must(t, err)
	select {
	case <-pinged:
	case <-limit(t).Done():
		t.Error("the broker wanted to hear each second and was not spoken to")
	}
	must(t, w.Close())
	for _, wrong := range []time.Duration{-time.Second, 1500 * time.Millisecond, 65536 * time.Second} {
		if _, err := witness.Open(limit(t), witness.Config{Broker: u, Recorder: recorder(t), KeepAlive: wrong}); err == nil || !strings.Contains(err.Error(), "whole seconds") {
			t.Errorf("a keep alive of %s: %v", wrong, err)
		}
	}
}

// TestSessionsThatEndAtOnceAreFew: a broker that lets the witness in and ends
// each session at once does not fill its recording.
func TestSessionsThatEndAtOnceAreFew(t *testing.T) {
	third := make(chan struct{})
	u := strange(t, func(session int64, c net.Conn, in *bufio.Reader) {
		_, _ = io.WriteString(c, connack)
		if _, err := mqttwire.Read(in, 1<<20); err == nil {
			_, _ = io.WriteString(c, suback)
		}
		if session == 3 {
			close(third)
		}
	})
	const between = 300 * time.Millisecond
	began := time.Now()
	w, err := witness.Open(limit(t), witness.Config{Broker: u, Recorder: recorder(t), Backoff: between})
	must(t, err)
	select {
	case <-third:
	case <-limit(t).Done():
		t.Fatal("it did not come back")
	}
	if took := time.Since(began); took < between {
		t.Errorf("three sessions within %s", took)
	}
	must(t, w.Close())
}
