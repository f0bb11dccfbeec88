package hdr

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"math"
	"strings"
)

// The V2 encoding of HdrHistogram. Numbers are big endian.
//
//	compressed  i32 0x1c849314, i32 length, zlib stream of
//	histogram   i32 0x1c849313, i32 length of the counts, i32 0 (normalising
//	            offset), i32 significant digits, i64 lowest, i64 highest,
//	            f64 1 (ratio of conversion), counts
//	counts      a number per slot: a count, or minus the length of a run of empty
//	            slots; zigzag, LEB128 of at most nine bytes
const (
	cookie           = 0x1c849313
	compressedCookie = 0x1c849314
	headerSize       = 40
	compressedHeader = 8
	longestNumber    = 9
)

// ErrDamaged says that a text is no histogram of the make of this package.
var ErrDamaged = errors.New("hdr: not a histogram")

// Encode returns the compressed V2 encoding in base64, as it stands in a log. It
// begins with "HISTFAAA".
func (h *Histogram) Encode() string {
	counts := h.encodeCounts()
	be := binary.BigEndian
	body := be.AppendUint32(nil, cookie)
	body = be.AppendUint32(body, uint32(len(counts)))
	body = be.AppendUint32(body, 0)
	body = be.AppendUint32(body, Digits)
	body = be.AppendUint64(body, uint64(Lowest))
	body = be.AppendUint64(body, uint64(Highest))
	body = be.AppendUint64(body, math.Float64bits(1))
	stream := stored(append(body, counts...))
	out := be.AppendUint32(nil, compressedCookie)
	out = be.AppendUint32(out, uint32(len(stream)))
	return base64.StdEncoding.EncodeToString(append(out, stream...))
}

// encodeCounts writes the slots up to the last that counts anything.
func (h *Histogram) encodeCounts() (out []byte) {
	empty := int64(0)
	for _, count := range h.counts {
		if count == 0 {
			empty++
			continue
		}
		switch { // a single empty slot is a count of 0, not a run
		case empty == 1:
			out = appendNumber(out, 0)
		case empty > 1:
			out = appendNumber(out, -empty)
		}
		out, empty = appendNumber(out, count), 0
	}
	return out
}

// appendNumber writes v in the zigzag LEB128 of the format: its ninth byte, if
// there is one, holds eight bits.
func appendNumber(dst []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for range longestNumber - 1 {
		if u < 0x80 {
			return append(dst, byte(u))
		}
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// number reads what appendNumber wrote; size is 0 when b ends within it.
func number(b []byte) (v int64, size int) {
	var u uint64
	for i := range min(len(b), longestNumber) {
		last := i == longestNumber-1
		if last {
			u |= uint64(b[i]) << (7 * i)
		} else {
			u |= uint64(b[i]&0x7f) << (7 * i)
		}
		if last || b[i] < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

// stored wraps p in a zlib stream (RFC 1950) of stored blocks (RFC 1951 section
// 3.2.4). A compressor would give other bytes with another version of Go, and a
// run recomputed with that would seem to be another.
func stored(p []byte) []byte {
	out := []byte{0x78, 0x01}
	for rest, final := p, false; !final; {
		n := min(len(rest), math.MaxUint16)
		final = n == len(rest)
		var last byte
		if final {
			last = 1
		}
		out = append(out, last)
		out = binary.LittleEndian.AppendUint16(out, uint16(n))
		out = binary.LittleEndian.AppendUint16(out, ^uint16(n))
		out, rest = append(out, rest[:n]...), rest[n:]
	}
	return binary.BigEndian.AppendUint32(out, adler32.Checksum(p))
}

// Decode reads what Encode wrote, compressed by whichever zlib. A histogram of
// another make, a count below zero or too large, and everything that is cut short
// or goes on behind its end are ErrDamaged. It takes bounded memory whatever the
// text says.
func Decode(text string) (*Histogram, error) {
	if strings.ContainsAny(text, "\r\n") { // the decoder skips them, a log would break
		return nil, fmt.Errorf("%w: line ends within", ErrDamaged)
	}
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	body, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	be := binary.BigEndian
	switch {
	case len(body) < headerSize, be.Uint32(body) != cookie, be.Uint32(body[4:]) != uint32(len(body)-headerSize):
		return nil, fmt.Errorf("%w: no V2 encoding", ErrDamaged)
	case be.Uint32(body[8:]) != 0, be.Uint32(body[12:]) != Digits, be.Uint64(body[16:]) != uint64(Lowest), be.Uint64(body[24:]) != uint64(Highest):
		return nil, fmt.Errorf("%w of nanoseconds up to an hour with %d digits", ErrDamaged, Digits)
	}
	return decodeCounts(body[headerSize:])
}

// unpack returns the contents of the zlib stream.
func unpack(packed []byte) ([]byte, error) {
	be := binary.BigEndian
	if len(packed) < compressedHeader || be.Uint32(packed) != compressedCookie || be.Uint32(packed[4:]) != uint32(len(packed)-compressedHeader) {
		return nil, fmt.Errorf("%w: no compressed V2 encoding", ErrDamaged)
	}
	in, err := zlib.NewReader(bytes.NewReader(packed[compressedHeader:]))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	limit := int64(headerSize + maxSlots*longestNumber)
	body, err := io.ReadAll(io.LimitReader(in, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrDamaged, limit)
	}
	return body, nil
}

func decodeCounts(b []byte) (*Histogram, error) {
	h := &Histogram{}
	for len(b) > 0 {
		v, size := number(b)
		if b = b[size:]; size == 0 {
			return nil, fmt.Errorf("%w: cut short", ErrDamaged)
		}
		slots := int64(1)
		if v < 0 {
			slots = -v
		}
		if slots < 1 || slots > int64(maxSlots-len(h.counts)) || h.n > math.MaxInt64-max(v, 0) {
			return nil, fmt.Errorf("%w: counts beyond %s or beyond number", ErrDamaged, Highest)
		}
		h.counts = append(h.counts, make([]int64, slots)...)
		if v > 0 {
			h.counts[len(h.counts)-1] = v
			h.n += v
		}
	}
	return h, nil
}
