package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"plumbline/devices"
)

// LineJSON is one JSON object a line, as most hobby and many industrial
// firmwares print it. With CRC set each line must end with an asterisk and four
// hexadecimal digits, the CRC-16/CCITT-FALSE of the object's bytes:
//
//	{"id":"node1","seq":7,"t0":21.500}*B1F2
//
// Without CRC a line is good when it is one whole JSON object: a flipped digit
// then goes unseen, so a sensor on a long cable should send the CRC. A CRC that
// is there is checked even if CRC is false.
//
// Numbers, texts and booleans (1 and 0) become values named by their path
// ("bme.temp", "axis.0"); null is left out.
type LineJSON struct {
	CRC   bool              // refuse lines without CRC
	Units map[string]string // UCUM symbols by value name; optional
}

var _ Codec = LineJSON{}

// Name implements Codec: "linejson", or "linejson+crc" when a CRC is asked for.
func (c LineJSON) Name() string {
	if c.CRC {
		return "linejson+crc"
	}
	return "linejson"
}

// NewFramer implements Codec.
func (LineJSON) NewFramer() Framer { return &Lines{} }

// Decode implements Codec.
func (c LineJSON) Decode(frame []byte) ([]devices.Value, error) {
	body := bytes.TrimSpace(frame)
	if len(body) == 0 || body[0] != '{' {
		return nil, unchecked("not a JSON object")
	}
	body, err := c.checked(body)
	if err != nil {
		return nil, err
	}
	return decodeObject(body, c.Units)
}

// checked verifies and cuts off the CRC.
func (c LineJSON) checked(body []byte) ([]byte, error) {
	const tail = 5 // *HHHH
	if n := len(body) - tail; n > 0 && body[n] == '*' {
		want, err := strconv.ParseUint(string(body[n+1:]), 16, 16)
		if err != nil {
			return nil, damaged("CRC %q is not hexadecimal", body[n+1:])
		}
		if got := CRC16(body[:n]); uint64(got) != want {
			return nil, damaged("CRC %04X, computed %04X", want, got)
		}
		return body[:n], nil
	}
	if c.CRC {
		return nil, unchecked("no CRC")
	}
	return body, nil
}

// AppendLineJSON appends a line of LineJSON with its CRC and line end: id, seq
// and one member per value. It is what twins of such firmwares send.
func AppendLineJSON(dst []byte, id string, seq uint64, values []devices.Value) []byte {
	start := len(dst)
	dst = append(dst, `{"id":`...)
	dst = appendText(dst, id)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	for _, v := range values {
		dst = append(dst, ',')
		dst = appendText(dst, v.Name)
		dst = append(dst, ':')
		switch {
		case v.IsText:
			dst = appendText(dst, v.Text)
		case math.IsNaN(v.Number) || math.IsInf(v.Number, 0):
			dst = append(dst, "null"...) // JSON has no such numbers
		default:
			dst = strconv.AppendFloat(dst, v.Number, 'g', -1, 64)
		}
	}
	dst = append(dst, '}')
	return append(fmt.Appendf(dst, "*%04X", CRC16(dst[start:])), '\r', '\n')
}

// appendText appends s as a JSON string; encoding/json cannot fail on a string.
func appendText(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s)
	return append(dst, quoted...)
}

// Bounds of a decoded object: a hostile payload must not cost more than its size.
const (
	maxDepth  = 8
	maxValues = 512
	maxName   = 256 // bytes of a value's path, which each value carries
)

// decodeObject reads exactly one JSON object and flattens it.
func decodeObject(body []byte, units map[string]string) ([]devices.Value, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, damaged("not a JSON object")
	}
	f := flattener{dec: dec, units: units}
	if err := f.members("", 1); err != nil {
		return nil, asReject(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, damaged("bytes after the JSON object")
	}
	return f.values, nil
}

// asReject turns an error of the JSON decoder into a Reject.
func asReject(err error) *Reject {
	var r *Reject
	if errors.As(err, &r) {
		return r
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("the JSON object is cut")
	}
	return damaged("JSON: %v", err)
}
