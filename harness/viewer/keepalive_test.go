package viewer

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestKeepAlive: the server is told what the settings say.
func TestKeepAlive(t *testing.T) {
	for asked, want := range map[time.Duration]byte{0: 2, time.Second: 1, 30 * time.Second: 30} {
		told := make(chan byte, 1)
		upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer c.Close()
			if _, hello, err := c.ReadMessage(); err == nil && len(hello) > 11 {
				told <- hello[11] // low byte of the keep alive (section 3.1.2.10)
			}
			binaryFrames(c, connack5)
			_, _, _ = c.ReadMessage()
			binaryFrames(c, suback5)
			_, _, _ = c.ReadMessage()
		}))
		defer server.Close()
		cfg := mqttConfig(newRecording(t), "ws"+strings.TrimPrefix(server.URL, "http"), "5")
		cfg.KeepAlive = asked
		must(t, open(t, cfg).Close())
		if got := <-told; got != want {
			t.Errorf("keep alive of %v is told as %d s", asked, got)
		}
	}
	for _, wrong := range []time.Duration{-time.Second, 1500 * time.Millisecond, 70_000 * time.Second} {
		cfg := mqttConfig(newRecording(t), "ws://127.0.0.1:1/", "5")
		cfg.KeepAlive = wrong
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "whole seconds") {
			t.Errorf("keep alive of %v: %v", wrong, err)
		}
	}
}
