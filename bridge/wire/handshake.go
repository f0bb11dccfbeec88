package wire

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gorilla/websocket"
)

// refusal is a handshake that is answered with an HTTP error.
type refusal struct {
	status int
	reason string // for metrics and the body
}

func spoken(subprotocol string) bool {
	return subprotocol == Subprotocol || subprotocol == SubprotocolCBOR
}

// chosen returns the first subprotocol that the client names and the bridge speaks, "" for none.
func chosen(r *http.Request) string {
	for _, name := range websocket.Subprotocols(r) {
		if spoken(name) {
			return name
		}
	}
	return ""
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
		name, params, more := strings.Cut(offer, ";")
		if trim(name) == "permessage-deflate" && (!more || deflateParams(params)) {
			return true
		}
	}
	return false
}

func deflateParams(params string) bool {
	seen := map[string]bool{}
	for param := range strings.SplitSeq(params, ";") {
		name, value, given := strings.Cut(param, "=")
		name, value = trim(name), trim(value)
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

// trim takes off what may stand around an element of a header (RFC 9110 section 5.6.3), and no other white space.
func trim(s string) string { return strings.Trim(s, " \t") }
