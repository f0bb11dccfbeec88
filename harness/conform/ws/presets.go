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

// MQTT returns the options for a broker that speaks MQTT over WebSocket and
// lets everybody in.
func MQTT() Options {
	connect := []byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")
	return Options{
		Subprotocol: "mqtt", Binary: true,
		Hello: func() ([]Frame, error) { return []Frame{Binary(connect)}, nil },
		Ready: func(message []byte) bool { return len(message) >= 4 && message[0] == 0x20 && message[3] == 0 },
		Message: func(text []byte) []byte { // PUBLISH with QoS 0
			const topic = "\x00\x01c"
			out := []byte{0x30}
			for n := len(topic) + len(text); ; {
				digit := byte(n % 128)
				if n /= 128; n > 0 {
					out = append(out, digit|0x80)
					continue
				}
				out = append(out, digit)
				break
			}
			return append(append(out, topic...), text...)
		},
	}
}
