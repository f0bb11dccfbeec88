package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"plumbline/devices"
)

// The own payload is one JSON object with its keys in this order, no spaces:
//
//	{"run":"0a1b2c3d","dev":"press-7","seq":12,"v":{"temp":21.5},"crc":"89abcdef"}
//
// run names the recording, so that a message of an earlier run is told from
// one of this run. The members of v stand in ascending order of their names and
// no number is -0, so that Restore finds a payload again that was read as JSON
// and written anew. crc is the CRC-32C (Castagnoli, RFC 3720 appendix B.4) of
// every byte before `,"crc"`, in hexadecimal. Text stays readable for people
// and for bridges that look into payloads.
const (
	payloadHead = `{"run":"`
	payloadCRC  = `,"crc":"`
	// payloadTail is the length of `,"crc":"89abcdef"}`.
	payloadTail = len(payloadCRC) + 8 + len(`"}`)
)

// RunIDLen is the length of a run id in bytes: eight hexadecimal digits.
const RunIDLen = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrForeign says that a payload was not made by Encode.
var ErrForeign = errors.New("record: payload is not ours")

// ErrDamaged says that a payload was made by Encode and changed on its way.
var ErrDamaged = errors.New("record: payload is ours and damaged")

// Payload is what Parse reads back from an own payload.
type Payload struct {
	Run string // run id
	Dev string // device id
	Seq uint64 // position in the stream, from 1
}

// Encode returns the own payload of sample seq of device dev in run run.
func Encode(run, dev string, seq uint64, values []devices.Value) []byte {
	return AppendPayload(make([]byte, 0, 96+len(dev)+24*len(values)), run, dev, seq, values)
}

// AppendPayload appends the own payload to dst, which may be reused. It does
// not allocate when dst has room and there are at most 16 values. Numbers that JSON cannot hold (NaN and the
// infinities) are written as null.
func AppendPayload(dst []byte, run, dev string, seq uint64, values []devices.Value) []byte {
	start := len(dst)
	dst = appendHead(dst, run, dev, seq)
	byName := func(a, b devices.Value) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(values, byName) {
		var few [16]devices.Value
		values = append(few[:0], values...)
		slices.SortStableFunc(values, byName)
	}
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, v.Name)
		dst = append(dst, ':')
		dst = appendValue(dst, v)
	}
	return appendCRC(append(dst, '}'), start)
}

// appendHead appends everything before the first value.
func appendHead(dst []byte, run, dev string, seq uint64) []byte {
	dst = append(dst, `{"run":`...)
	dst = appendJSONString(dst, run)
	dst = append(dst, `,"dev":`...)
	dst = appendJSONString(dst, dev)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, `,"v":{`...)
}

// appendCRC ends the payload that begins at start.
func appendCRC(dst []byte, start int) []byte {
	sum := crc32.Checksum(dst[start:], castagnoli)
	dst = append(dst, payloadCRC...)
	dst = appendHex32(dst, sum)
	return append(dst, `"}`...)
}

func appendValue(dst []byte, v devices.Value) []byte {
	if v.IsText {
		return appendJSONString(dst, v.Text)
	}
	return appendNumber(dst, v.Number)
}

func appendNumber(dst []byte, n float64) []byte {
	switch {
	case math.IsNaN(n) || math.IsInf(n, 0):
		return append(dst, "null"...)
	case n == 0: // -0 too, which JavaScript writes as 0
		return append(dst, '0')
	default:
		return strconv.AppendFloat(dst, n, 'g', -1, 64)
	}
}

const hexDigits = "0123456789abcdef"

func appendHex32(dst []byte, v uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

// appendJSONString appends s as a JSON string (RFC 8259 section 7). Bytes that
// are not UTF-8 become U+FFFD, as encoding/json does.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}

// Parse reads an own payload. ErrForeign means that Encode never made it;
// ErrDamaged means that it did and that at least one byte changed since: then
// nothing in the result is to be trusted. The check covers every byte, so a
// bridge that re-formats the JSON is found out too.
func Parse(payload []byte) (Payload, error) {
	head := bytes.HasPrefix(payload, []byte(payloadHead))
	sum, tail := parseTail(payload)
	if !head || !tail {
		if head || tail || bytes.Contains(payload, []byte(payloadCRC)) {
			return Payload{}, ErrDamaged
		}
		return Payload{}, ErrForeign
	}
	body := payload[:len(payload)-payloadTail]
	if crc32.Checksum(body, castagnoli) != sum {
		return Payload{}, ErrDamaged
	}
	p, ok := parseBody(body)
	if !ok {
		// The checksum holds, so somebody else wrote something of this shape.
		return Payload{}, ErrForeign
	}
	return p, nil
}

// parseTail reads the checksum at the end of payload.
func parseTail(payload []byte) (sum uint32, ok bool) {
	if len(payload) < payloadTail {
		return 0, false
	}
	tail := payload[len(payload)-payloadTail:]
	if !bytes.HasPrefix(tail, []byte(payloadCRC)) || !bytes.HasSuffix(tail, []byte(`"}`)) {
		return 0, false
	}
	v, err := strconv.ParseUint(string(tail[len(payloadCRC):len(payloadCRC)+8]), 16, 32)
	return uint32(v), err == nil
}

// parseBody takes run, dev and seq from the part the checksum covers.
func parseBody(body []byte) (p Payload, ok bool) {
	rest := body[len(`{"run":`):]
	if p.Run, rest, ok = cutJSONString(rest); !ok {
		return p, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"dev":`)); !ok {
		return p, false
	}
	if p.Dev, rest, ok = cutJSONString(rest); !ok {
		return p, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"seq":`)); !ok {
		return p, false
	}
	digits, _, ok := bytes.Cut(rest, []byte(`,"v":{`))
	if !ok {
		return p, false
	}
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	p.Seq = seq
	return p, err == nil && seq > 0
}

// cutJSONString reads the JSON string at the start of b as appendJSONString
// wrote it.
func cutJSONString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return "", b, false
	}
	plain := true
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			plain = false
			i++
		case '"':
			if plain {
				return string(b[1:i]), b[i+1:], true
			}
			text, err := strconv.Unquote(string(b[:i+1]))
			return text, b[i+1:], err == nil
		}
	}
	return "", b, false
}

// Digest returns the first eight bytes, big endian, of the SHA-256 of payload:
// the identity under which records carry a payload.
func Digest(payload []byte) uint64 {
	sum := sha256.Sum256(payload)
	return binary.BigEndian.Uint64(sum[:8])
}
