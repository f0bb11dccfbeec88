package wire

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/gorilla/websocket"
)

// maxHeaders bounds the header fields of a handshake.
const maxHeaders = 64

// refusal is a handshake that is answered with an HTTP error.
type refusal struct {
	status int
	reason string // for metrics and the body
}

// checkHandshake refuses what gorilla would take or would answer with another status (RFC 6455 section 4.2.1).
func (s *Server) checkHandshake(r *http.Request) *refusal {
	switch {
	case r.Method != http.MethodGet:
		return &refusal{http.StatusMethodNotAllowed, "method"}
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1:
		return &refusal{http.StatusBadRequest, "http-version"}
	case countHeaders(r.Header) > maxHeaders:
		return &refusal{http.StatusRequestHeaderFieldsTooLarge, "headers"}
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return &refusal{http.StatusBadRequest, "body"}
	case !websocket.IsWebSocketUpgrade(r):
		return &refusal{http.StatusUpgradeRequired, "upgrade"}
	case len(r.Header["Sec-Websocket-Version"]) != 1 || r.Header.Get("Sec-Websocket-Version") != "13":
		return &refusal{http.StatusUpgradeRequired, "version"}
	case !goodKey(r.Header["Sec-Websocket-Key"]):
		return &refusal{http.StatusBadRequest, "key"}
	case chosen(r) == "":
		return &refusal{http.StatusBadRequest, "subprotocol"}
	}
	return nil
}

// chosen returns the first subprotocol that the client names and the bridge speaks, "" for none.
func chosen(r *http.Request) string {
	for _, name := range websocket.Subprotocols(r) {
		if name == Subprotocol || name == SubprotocolCBOR {
			return name
		}
	}
	return ""
}

// joinLines makes the lines of a header that is a list one line, which they mean together (RFC 9110 section 5.3): gorilla looks at
// the first only.
func joinLines(h http.Header, key string) {
	if lines := h[key]; len(lines) > 1 {
		h[key] = []string{strings.Join(lines, ", ")}
	}
}

// deflateOffered reports whether the handshake offers permessage-deflate in a way that the bridge honours (RFC 7692 section
// 7.1): without server_max_window_bits, for its window is always the whole one, and with no parameter that is unknown, repeated
// or out of range. client_max_window_bits is a hint that needs no answer.
func deflateOffered(headers []string) bool {
	for _, line := range headers {
		if strings.Contains(line, `"`) {
			return false // no value here needs quotes
		}
	}
	for offer := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, params, _ := strings.Cut(offer, ";")
		if strings.TrimSpace(name) == "permessage-deflate" && deflateParams(params) {
			return true
		}
	}
	return false
}

func deflateParams(params string) bool {
	if strings.TrimSpace(params) == "" {
		return true
	}
	seen := map[string]bool{}
	for param := range strings.SplitSeq(params, ";") {
		name, value, given := strings.Cut(strings.TrimSpace(param), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if seen[name] {
			return false
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if given {
				return false
			}
		case "client_max_window_bits":
			if bits, err := strconv.Atoi(value); given && (err != nil || bits < 8 || bits > 15 || strconv.Itoa(bits) != value) {
				return false
			}
		default:
			return false
		}
	}
	return true
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
