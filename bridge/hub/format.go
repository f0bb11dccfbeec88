package hub

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"unicode/utf8"

	"plumbline/bridge/journal"
)

// Format is how readings are written. bridge/PROTOCOL.md describes each.
type Format uint8

// The formats.
const (
	JSON    Format = iota // objects with the topic's name; the zero value
	Compact               // JSON arrays with the topic's number
	CBOR                  // the same arrays as CBOR (RFC 8949), payloads as bytes
)

const formats = 3

// Flags of a reading in the compact formats, beside the QoS in the lowest bits.
const (
	flagRetain = 4
	flagBase64 = 8 // in JSON: the payload is not UTF-8 and stands as base64
)

// shared appends the part of a reading that is the same in every batch: all of it
// as [JSON], else what follows the differences of offset and time. field is the
// topic's part of a JSON reading; name is nil when the topic has no number.
func (f Format) shared(dst []byte, e *journal.Entry, field []byte, name *Name) []byte {
	switch f {
	case Compact:
		return appendCompact(dst, e, name)
	case CBOR:
		return appendBinary(dst, e, name)
	default:
		dst = appendHead(dst, e)
		dst = append(dst, field...)
		return appendRest(dst, e)
	}
}

// appendCompact appends topic, flags and payload and closes the array.
func appendCompact(dst []byte, e *journal.Entry, name *Name) []byte {
	if name != nil {
		dst = strconv.AppendUint(dst, uint64(name.ID), 10)
	} else {
		dst = appendString(dst, e.Topic)
	}
	text := utf8.Valid(e.Payload)
	flags := uint64(e.QoS)
	if e.Retain {
		flags |= flagRetain
	}
	if !text {
		flags |= flagBase64
	}
	dst = append(dst, ',')
	dst = strconv.AppendUint(dst, flags, 10)
	dst = append(dst, ',')
	if text {
		dst = appendString(dst, e.Payload)
	} else {
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, e.Payload)
		dst = append(dst, '"')
	}
	return append(dst, ']')
}

// appendBinary appends topic, flags and payload as CBOR.
func appendBinary(dst []byte, e *journal.Entry, name *Name) []byte {
	if name != nil {
		dst = AppendCBOR(dst, CBORUint, uint64(name.ID))
	} else {
		dst = AppendCBORText(dst, e.Topic)
	}
	flags := uint64(e.QoS)
	if e.Retain {
		flags |= flagRetain
	}
	dst = AppendCBOR(dst, CBORUint, flags)
	dst = AppendCBOR(dst, CBORBytes, uint64(len(e.Payload)))
	return append(dst, e.Payload...)
}

// Major types of CBOR (RFC 8949 section 3.1), in the place of the first byte.
const (
	CBORUint  byte = 0 << 5
	CBORNeg   byte = 1 << 5
	CBORBytes byte = 2 << 5
	CBORText  byte = 3 << 5
	CBORArray byte = 4 << 5
	CBORMap   byte = 5 << 5
)

// AppendCBOR appends the head of an item with its number in the shortest form
// (RFC 8949 section 4.2.1): the whole item for numbers, the length for the others.
func AppendCBOR(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= 0xFF:
		return append(dst, major|24, byte(n))
	case n <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n <= 0xFFFFFFFF:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, major|27), n)
	}
}

// AppendCBORInt appends a number that may be below zero.
func AppendCBORInt(dst []byte, n int64) []byte {
	if n < 0 {
		return AppendCBOR(dst, CBORNeg, uint64(-(n + 1)))
	}
	return AppendCBOR(dst, CBORUint, uint64(n))
}

// AppendCBORText appends a text, which must be valid UTF-8.
func AppendCBORText(dst []byte, s string) []byte {
	return append(AppendCBOR(dst, CBORText, uint64(len(s))), s...)
}

// Readings gathers the readings of one message. The zero value is empty and
// writes [JSON]; Format may be set before the first.
type Readings struct {
	Format Format
	Count  int
	Names  []*Name // of the topics that stand by number; one may come more than once

	buf         []byte
	base        uint64 // the first offset is written less this
	offset      uint64 // of the last one
	first, time int64  // Unix µs of the first and the last one
}

// Len returns the size of what was gathered, in bytes.
func (r *Readings) Len() int { return len(r.buf) }

// reset empties r for readings after offset base and keeps its memory.
func (r *Readings) reset(base uint64) {
	clear(r.Names)
	r.Count, r.buf, r.Names, r.base = 0, r.buf[:0], r.Names[:0], base
}

// add takes one reading, whose shared part is given, behind the others.
func (r *Readings) add(e *journal.Entry, shared []byte, name *Name) {
	if r.Format == JSON {
		if r.Count > 0 {
			r.buf = append(r.buf, ',')
		}
		r.buf = append(r.buf, shared...)
		r.Count++
		return
	}
	at := e.Time.UnixMicro()
	if r.Count == 0 {
		r.first, r.time, r.offset = at, at, r.base
	}
	if r.Format == Compact {
		if r.Count > 0 {
			r.buf = append(r.buf, ',')
		}
		r.buf = append(r.buf, '[')
		r.buf = strconv.AppendUint(r.buf, e.Offset-r.offset, 10)
		r.buf = append(r.buf, ',')
		r.buf = strconv.AppendInt(r.buf, at-r.time, 10)
		r.buf = append(r.buf, ',')
	} else {
		r.buf = AppendCBOR(r.buf, CBORArray, 5)
		r.buf = AppendCBOR(r.buf, CBORUint, e.Offset-r.offset)
		r.buf = AppendCBORInt(r.buf, at-r.time)
	}
	r.buf = append(r.buf, shared...)
	r.offset, r.time = e.Offset, at
	if r.Count++; name != nil && (len(r.Names) == 0 || r.Names[len(r.Names)-1] != name) {
		r.Names = append(r.Names, name)
	}
}

// AppendTail appends the members "t", where the format and the readings need it,
// and "readings", and in JSON the end of the object.
func (r *Readings) AppendTail(dst []byte) []byte {
	switch r.Format {
	case Compact:
		if r.Count > 0 {
			dst = append(dst, `"t":`...)
			dst = strconv.AppendInt(dst, r.first, 10)
			dst = append(dst, ',')
		}
	case CBOR:
		if r.Count > 0 {
			dst = AppendCBORText(dst, "t")
			dst = AppendCBORInt(dst, r.first)
		}
		dst = AppendCBORText(dst, "readings")
		dst = AppendCBOR(dst, CBORArray, uint64(r.Count))
		return append(dst, r.buf...)
	}
	dst = append(dst, `"readings":[`...)
	dst = append(dst, r.buf...)
	return append(dst, ']', '}')
}

// Members returns how many members AppendTail writes.
func (r *Readings) Members() int {
	if r.Format != JSON && r.Count > 0 {
		return 2
	}
	return 1
}
