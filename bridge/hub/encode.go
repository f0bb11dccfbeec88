package hub

import (
	"encoding/base64"
	"slices"
	"strconv"
	"unicode/utf8"

	"plumbline/bridge/journal"
)

// AppendReading appends the JSON object of one entry to dst, as it stands in a
// batch: {"o":124,"t":1732332000123456,"topic":"a/b","qos":1,"payload":"text"}.
// t is the ingest time in Unix µs. A payload that is not valid UTF-8 goes into
// "base64" instead (RFC 4648 section 4); "retain":true is left out when false.
// The bytes are those of encoding/json without HTML escaping.
func AppendReading(dst []byte, e journal.Entry) []byte {
	dst = appendHead(dst, &e)
	dst = appendTopic(dst, e.Topic)
	return appendRest(dst, &e)
}

// appendHead appends a reading up to its topic.
func appendHead(dst []byte, e *journal.Entry) []byte {
	dst = append(dst, `{"o":`...)
	dst = strconv.AppendUint(dst, e.Offset, 10)
	dst = append(dst, `,"t":`...)
	return strconv.AppendInt(dst, e.Time.UnixMicro(), 10)
}

// appendTopic appends the part that is the same for all readings of a topic.
func appendTopic(dst []byte, topic string) []byte {
	dst = append(dst, `,"topic":`...)
	dst = appendString(dst, topic)
	return append(dst, `,"qos":`...)
}

// appendRest appends what follows the topic.
func appendRest(dst []byte, e *journal.Entry) []byte {
	dst = append(dst, '0'+e.QoS)
	if e.Retain {
		dst = append(dst, `,"retain":true`...)
	}
	if utf8.Valid(e.Payload) {
		dst = append(dst, `,"payload":`...)
		dst = appendString(dst, e.Payload)
	} else {
		dst = append(dst, `,"base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Payload)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// special marks the bytes that may not stand in a JSON string as they are
// (RFC 8259 section 7), and 0xE2, the first byte of U+2028 and U+2029, which
// JavaScript took for line ends before ES2019 and encoding/json escapes.
var special = [256]bool{
	0x00: true, 0x01: true, 0x02: true, 0x03: true, 0x04: true, 0x05: true, 0x06: true, 0x07: true,
	0x08: true, 0x09: true, 0x0a: true, 0x0b: true, 0x0c: true, 0x0d: true, 0x0e: true, 0x0f: true,
	0x10: true, 0x11: true, 0x12: true, 0x13: true, 0x14: true, 0x15: true, 0x16: true, 0x17: true,
	0x18: true, 0x19: true, 0x1a: true, 0x1b: true, 0x1c: true, 0x1d: true, 0x1e: true, 0x1f: true,
	'"': true, '\\': true, 0xe2: true,
}

const hexDigits = "0123456789abcdef"

// appendString appends s, which must be valid UTF-8, as a JSON string.
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !special[c] {
			continue
		}
		if c == 0xe2 {
			// Valid UTF-8: two more bytes follow.
			if s[i+1] != 0x80 || s[i+2]&^1 != 0xa8 {
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[s[i+2]&0xf])
			i += 2
			start = i + 1
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		start = i + 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// span is what a batch says of its interval.
type span struct {
	from, to  uint64
	conflates bool   // the subscription conflates: one of the next two is said
	conflated uint64 // entries left out for newer ones
	open      bool   // how many were is said later
}

// newBatch makes a batch of the readings, with a body of about its size.
func newBatch(epoch string, s span, r *Readings) Batch {
	const around = len(`"epoch":"","from":,"to":,"readings":[]}`) + 2*20
	b := Batch{From: s.from, To: s.to, Count: r.Count, Conflated: s.conflated, Open: s.open, Members: 2 + r.Members()}
	if len(r.Names) > 0 {
		b.Names = slices.Clone(r.Names)
	}
	size := around + len(epoch) + r.Len()
	if s.conflates || r.Format != JSON {
		size += len(`"conflated":,"t":,`) + 2*20
	}
	body := make([]byte, 0, size)
	if r.Format == CBOR {
		body = AppendCBORText(body, "from")
		body = AppendCBOR(body, CBORUint, s.from)
		body = AppendCBORText(body, "to")
		body = AppendCBOR(body, CBORUint, s.to)
	} else {
		if r.Format == JSON {
			body = append(body, `"epoch":"`...)
			body = append(body, epoch...)
			body = append(body, '"', ',')
		}
		body = append(body, `"from":`...)
		body = strconv.AppendUint(body, s.from, 10)
		body = append(body, `,"to":`...)
		body = strconv.AppendUint(body, s.to, 10)
		body = append(body, ',')
	}
	if s.conflates {
		body = s.appendCount(body, r.Format)
		b.Members++
	}
	b.Body = r.AppendTail(body)
	return b
}

// appendCount says how many were conflated, or that it is still open.
func (s *span) appendCount(body []byte, f Format) []byte {
	switch {
	case f == CBOR && s.open:
		return append(AppendCBORText(body, "open"), 0xF5) // true, RFC 8949 section 3.3
	case f == CBOR:
		return AppendCBOR(AppendCBORText(body, "conflated"), CBORUint, s.conflated)
	case s.open:
		return append(body, `"open":true,`...)
	}
	body = append(body, `"conflated":`...)
	body = strconv.AppendUint(body, s.conflated, 10)
	return append(body, ',')
}
