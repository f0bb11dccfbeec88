package main

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 wants it; nothing is protected by it
	"encoding/base64"
	"fmt"
	"net"
	"regexp"
	"sync"
)

// With --mqtt viewers speak MQTT over WebSocket (MQTT 5 section 6): the relay
// takes it out of its frames and brings it to the broker of the bridge, as the
// listeners of brokers do.

var keyLine = regexp.MustCompile(`(?i)\r\nsec-websocket-key:[ \t]*([^\r\n]*)`)

// serveMQTT relays one connection of a viewer that speaks MQTT.
func (f *front) serveMQTT(client net.Conn) {
	in := bufio.NewReader(client)
	head, whole := readHead(in)
	key := keyLine.FindSubmatch(head)
	if !whole || !upgrades(head) || key == nil {
		_, _ = client.Write([]byte("HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\n\r\n")) // a stranger that is gone needs none
		return
	}
	sum := sha1.Sum(append(bytes.TrimSpace(key[1]), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...)) //nolint:gosec // as above
	_, err := fmt.Fprintf(client, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	if err != nil {
		return
	}
	f.link(&webConn{Conn: client, in: in}, hooks{fromBroker: f.flaw.toMQTT})
}

// webConn is the stream of bytes in the binary frames of a connection: packets
// may be split over frames and joined in one [MQTT-6.0.0-2].
type webConn struct {
	net.Conn
	in   *bufio.Reader
	left []byte // of the frame that was read last
	mu   sync.Mutex
}

// Read implements net.Conn.
func (w *webConn) Read(b []byte) (int, error) {
	for len(w.left) == 0 {
		f, _, err := readFrame(w.in)
		if err != nil {
			return 0, err
		}
		switch f.opcode() {
		case opBinary, opContinuation:
			w.left = f.payload
		case opPing:
			err = w.frame(frame{first: 0x80 | opPong, payload: f.payload})
		case opClose:
			_ = w.frame(frame{first: 0x80 | opClose, payload: f.payload}) // it wants to be gone
			return 0, net.ErrClosed
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(b, w.left)
	w.left = w.left[n:]
	return n, nil
}

// Write implements net.Conn: one frame for each call.
func (w *webConn) Write(b []byte) (int, error) {
	return len(b), w.frame(frame{first: 0x80 | opBinary, payload: b})
}

func (w *webConn) frame(f frame) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.Conn.Write(appendFrame(nil, f, false))
	return err
}
