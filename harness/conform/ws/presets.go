package ws

import (
	"encoding/json"
	"fmt"
)

// Plumbline returns the options for a server of the protocol plumbline.v1.json.
// token mints one for each session, best with a subject of its own.
func Plumbline(token func() (string, error)) Options {
	return Options{
		Subprotocol: "plumbline.v1.json",
		Hello: func() ([]Frame, error) {
			secret, err := token()
			if err != nil {
				return nil, err
			}
			hello, err := json.Marshal(map[string]string{"type": "hello", "token": secret, "client": "conformance"})
			return []Frame{Text(hello)}, err
		},
		Ready: func(message []byte) bool {
			var m struct {
				Type string `json:"type"`
			}
			return json.Unmarshal(message, &m) == nil && m.Type == "welcome"
		},
		Message:    func(text []byte) []byte { return fmt.Appendf(nil, `{"type":"ping","id":"conform","note":"%s"}`, text) },
		MaxMessage: 65536, // the least that the protocol's limits say
	}
}

// MQTT returns the options for a broker that speaks MQTT over WebSocket, with a
// user and a password where it wants them; "" leaves them out.
func MQTT(username, password string) Options {
	var flags byte = 0x02
	body := text("")
	if username != "" {
		flags |= 0x80
		body = append(body, text(username)...)
	}
	if password != "" && username != "" { // MQTT 3.1.1 has no password without a user
		flags |= 0x40
		body = append(body, text(password)...)
	}
	connect := packet(0x10, append(append([]byte("\x00\x04MQTT\x04"), flags, 0, 0), body...))
	return Options{
		Subprotocol: "mqtt", Binary: true,
		Hello:   func() ([]Frame, error) { return []Frame{Binary(connect)}, nil },
		Ready:   func(message []byte) bool { return len(message) >= 4 && message[0] == 0x20 && message[3] == 0 },
		Message: func(t []byte) []byte { return packet(0x30, append([]byte("\x00\x01c"), t...)) }, // PUBLISH with QoS 0
	}
}

// packet is one of MQTT.
func packet(first byte, body []byte) []byte {
	out := []byte{first}
	for n := len(body); ; {
		digit := byte(n % 128)
		if n /= 128; n > 0 {
			out = append(out, digit|0x80)
			continue
		}
		return append(append(out, digit), body...)
	}
}

func text(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }
