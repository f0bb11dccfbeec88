package wire

import (
	"encoding/binary"
	"encoding/json"
)

// CloseCode is the code of a WebSocket close frame (RFC 6455 section 7.4; 4000 to 4999 are private). What a client does next
// follows from the hundreds: 40xx do not reconnect unchanged, 41xx reconnect after a wait, 42xx reconnect at once.
type CloseCode uint16

// The codes that the bridge sends by itself; a viewer's own code is answered with the same.
const (
	CloseGoingAway    CloseCode = 1001 // the process ends at once
	CloseProtocol     CloseCode = 1002 // RFC 6455 was broken
	CloseUnsupported  CloseCode = 1003 // a message of the other kind than the subprotocol's
	CloseUTF8         CloseCode = 1007 // text that is not UTF-8, or no DEFLATE stream where one was announced
	CloseTooBig       CloseCode = 1009 // a message above limits.max_frame_bytes
	CloseInternal     CloseCode = 1011
	CloseDrain        CloseCode = 1012 // the bridge restarts: come back after retry_ms
	CloseOverload     CloseCode = 1013 // too many sessions of this subject, or no keys yet to check tokens with: come back after retry_ms
	CloseNoAuth       CloseCode = 4001 // a command before hello
	CloseBadToken     CloseCode = 4002
	CloseForbidden    CloseCode = 4003 // a refresh with another subject
	CloseMisuse       CloseCode = 4005 // malformed JSON, unknown type, wrong fields
	CloseLimit        CloseCode = 4006 // more unsent answers than a session may hold
	CloseRevoked      CloseCode = 4007
	CloseSlow         CloseCode = 4100 // the viewer does not read
	CloseRate         CloseCode = 4101 // too many frames
	CloseAdmission    CloseCode = 4102 // this subject's sessions had to be closed for its own fault too often
	CloseLate         CloseCode = 4103 // no hello in time: in a crowd that comes back at once it may have been on its way
	CloseTokenExpired CloseCode = 4200
)

// refuses reports whether the code says that the viewer did or wanted what it may not, which is an event of the audit.
func (c CloseCode) refuses() bool {
	switch c {
	case CloseGoingAway, CloseInternal, CloseDrain, CloseSlow:
		return false
	}
	return true
}

// privateCodes is where the codes begin that RFC 6455 does not define (section 7.4.2).
const privateCodes CloseCode = 3000

// noCloseCode is what gorilla reports for a close frame without a body (RFC 6455 section 7.1.5).
const noCloseCode CloseCode = 1005

// maxReason is the room for a reason in a control frame: 125 bytes less the code (RFC 6455 sections 5.5 and 5.5.1).
const maxReason = 123

// closeBody returns the payload of a close frame: the code and {"reason":…,"retry_ms":…} in at most 123 bytes.
func closeBody(code CloseCode, reason string, retryMS int64) []byte {
	if code == noCloseCode {
		return nil
	}
	type body struct {
		Reason  string `json:"reason"`
		RetryMS int64  `json:"retry_ms,omitempty"`
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(code))
	text, err := json.Marshal(body{reason, retryMS})
	for err == nil && len(text) > maxReason {
		reason = cutText(reason, len(reason)-(len(text)-maxReason))
		text, err = json.Marshal(body{reason, retryMS})
	}
	if err != nil {
		return out
	}
	return append(out, text...)
}

// cutText shortens s to at most n bytes without cutting a character.
func cutText(s string, n int) string {
	if n < 0 {
		return ""
	}
	for n > 0 && n < len(s) && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:min(n, len(s))]
}
