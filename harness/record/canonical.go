package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Many a bridge reads a payload as JSON and writes it anew: white space, the
// order of members and the spelling of numbers are its own then, and mean the
// same (RFC 8259 sections 2, 4 and 6). The two functions here find a message
// again that was re-written so, and none that says anything else: no number is
// ever rounded.

// jsonLimit bounds what is taken apart; longer payloads are compared as they stand.
const jsonLimit = 1 << 20

// Restore returns the own payload that text, a JSON value, says the same as: to
// the last byte what Encode made, by its checksum. The result is appended to
// dst. ok is false for everything else, a changed payload included; dst is
// returned then as it was. With more, members that Encode never wrote may stand
// beside its own: a bridge may put its own into the same object.
func Restore(dst, text []byte, more bool) (payload []byte, ok bool) {
	var own struct {
		Run *string                    `json:"run"`
		Dev *string                    `json:"dev"`
		Seq json.Number                `json:"seq"`
		V   map[string]json.RawMessage `json:"v"`
		CRC *string                    `json:"crc"`
	}
	if len(text) > jsonLimit || !bytes.Contains(text, []byte(`"crc"`)) {
		return dst, false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if !more {
		decoder.DisallowUnknownFields()
	}
	if decoder.Decode(&own) != nil || len(bytes.TrimSpace(text[decoder.InputOffset():])) > 0 {
		return dst, false
	}
	if own.Run == nil || own.Dev == nil || own.V == nil || own.CRC == nil {
		return dst, false
	}
	seq, err := strconv.ParseFloat(own.Seq.String(), 64)
	if err != nil || seq < 1 || seq > 1<<53 || seq != math.Trunc(seq) {
		return dst, false
	}
	start := len(dst)
	out := appendHead(dst, *own.Run, *own.Dev, uint64(seq))
	for i, name := range slices.Sorted(maps.Keys(own.V)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendJSONString(out, name), ':')
		if out, ok = restoreValue(out, own.V[name]); !ok {
			return dst, false
		}
	}
	out = appendCRC(append(out, '}'), start)
	if _, err := Parse(out[start:]); err != nil || !bytes.HasSuffix(out, []byte(`"`+strings.ToLower(*own.CRC)+`"}`)) {
		return dst, false
	}
	return out, true
}

// restoreValue writes one value the way appendValue does.
func restoreValue(dst []byte, text json.RawMessage) ([]byte, bool) {
	switch {
	case len(text) == 0:
		return dst, false
	case text[0] == '"':
		var s string
		if json.Unmarshal(text, &s) != nil {
			return dst, false
		}
		return appendJSONString(dst, s), true
	case text[0] == 'n':
		return append(dst, text...), true
	default:
		n, err := strconv.ParseFloat(string(text), 64)
		return appendNumber(dst, n), err == nil
	}
}

// Canonical returns a text that two payloads have in common when they say the
// same: of a JSON text, one without white space, with the members
// of objects in ascending order and numbers as exact decimals; of a JSON string
// the text in it; of everything else, and of more than 1 MiB, the payload itself.
func Canonical(payload []byte) []byte {
	if len(payload) > jsonLimit || len(payload) == 0 {
		return payload
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return payload
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return payload
	}
	if text, ok := value.(string); ok {
		return []byte(text)
	}
	return appendCanonical(make([]byte, 0, len(payload)), value)
}

func appendCanonical(dst []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case json.Number:
		return appendDecimal(dst, v.String())
	case string:
		return appendJSONString(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, element := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendCanonical(dst, element)
		}
		return append(dst, ']')
	case map[string]any:
		dst = append(dst, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, name), ':')
			dst = appendCanonical(dst, v[name])
		}
		return append(dst, '}')
	}
	return dst
}

// appendDecimal writes a number of RFC 8259 as its sign, its digits without
// zeros at either end, and its exponent: 1200, 1.2e3 and 0.0012E6 are all
// "12e2". An exponent that is itself beyond reason is left as it stands.
func appendDecimal(dst []byte, text string) []byte {
	mantissa, power, _ := strings.Cut(strings.ToLower(text), "e")
	negative := strings.HasPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	exponent := int64(0)
	if power != "" {
		var err error
		if exponent, err = strconv.ParseInt(power, 10, 32); err != nil {
			return append(dst, text...)
		}
	}
	exponent -= int64(len(fraction))
	digits := strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return append(dst, '0')
	}
	exponent += int64(len(digits) - len(short))
	if negative {
		dst = append(dst, '-')
	}
	dst = append(dst, short...)
	if exponent != 0 {
		dst = strconv.AppendInt(append(dst, 'e'), exponent, 10)
	}
	return dst
}
