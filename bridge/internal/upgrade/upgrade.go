// Package upgrade looks over WebSocket handshakes (RFC 6455 section 4.2.1) before gorilla/websocket does, which would take more, or
// answer with another status.
package upgrade

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/websocket"
)

// maxHeaders bounds the header fields of a handshake.
const maxHeaders = 64

// Refuse says why a handshake is not taken, as an HTTP status and a short stable word; the status is 0 when it is. speaks reports
// whether a subprotocol is spoken. Where it comes from is for others to look at. It makes the lines of Sec-WebSocket-Protocol one
// line, which they mean together (RFC 9110 section 5.3): gorilla looks at the first only.
func Refuse(r *http.Request, speaks func(subprotocol string) bool) (status int, reason string) {
	const protocols = "Sec-Websocket-Protocol"
	if lines := r.Header[protocols]; len(lines) > 1 {
		r.Header[protocols] = []string{strings.Join(lines, ", ")}
	}
	switch {
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, "method"
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return http.StatusBadRequest, "http-version"
	case countHeaders(r.Header) > maxHeaders:
		return http.StatusRequestHeaderFieldsTooLarge, "headers"
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return http.StatusBadRequest, "body"
	case !websocket.IsWebSocketUpgrade(r):
		return http.StatusUpgradeRequired, "upgrade"
	case !slices.Equal(r.Header["Sec-Websocket-Version"], []string{"13"}):
		return http.StatusUpgradeRequired, "version"
	case !goodKey(r.Header["Sec-Websocket-Key"]):
		return http.StatusBadRequest, "key"
	case !slices.ContainsFunc(websocket.Subprotocols(r), speaks):
		return http.StatusBadRequest, "subprotocol"
	}
	return 0, ""
}

// Answer answers a handshake that is refused, and ends its connection.
func Answer(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	switch status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet) // RFC 9110 section 15.5.6
	case http.StatusUpgradeRequired:
		h.Set("Sec-WebSocket-Version", "13") // RFC 6455 section 4.2.2
		h.Set("Upgrade", "websocket")        // RFC 9110 section 15.5.22
	}
	h.Set("Connection", "close")
	http.Error(w, text, status)
}

func countHeaders(h http.Header) (n int) {
	for _, v := range h {
		n += len(v)
	}
	return n
}

func goodKey(keys []string) bool {
	if len(keys) != 1 {
		return false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(keys[0])
	return err == nil && len(raw) == 16
}
