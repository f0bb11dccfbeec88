package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"plumbline/devices"
)

// Fixed is a binary protocol of frames of one length whose values stand at fixed
// places: what most small sensors send. It is made from a description instead of
// in Go. Check must say nil before it is used.
type Fixed struct {
	Label    string   // Name in reports
	Sync     []byte   // what every frame begins with; for Stuffing it may be empty
	Size     int      // bytes of a frame, Sync, Tail and check included, stuffing not
	Tail     []byte   // what every frame ends with; optional
	Stuffing Stuffing // "" = frames follow each other and are found by Sync
	Sum      Sum      // zero = none: then only Sync, Size and Tail are checked
	SumAt    int      // where the check stands; 0 = before Tail
	SumFrom  int      // first byte that it covers
	SumTo    int      // byte behind the last that it covers; 0 = SumAt
	Little   *bool    // least significant byte of the check first; nil = as its standard says
	Fields   []Field
}

// Field is one value of a Fixed frame: (raw · Scale) + Offset.
type Field struct {
	Name   string
	Unit   string  // UCUM symbol; optional
	At     int     // first byte, from 0
	Type   string  // a key of FieldTypes, or "text"
	Length int     // bytes of a text
	Bit    *int    // one bit of an unsigned number, 0 the least significant; nil = the whole number
	Scale  float64 // 0 = 1
	Offset float64
}

// FieldTypes are the numbers a field may hold, by name, with their bytes.
var fieldTypes = map[string]struct {
	size int
	read func(p []byte) float64
}{
	"u8":    {1, func(p []byte) float64 { return float64(p[0]) }},
	"i8":    {1, func(p []byte) float64 { return float64(int8(p[0])) }},
	"u16be": {2, func(p []byte) float64 { return float64(binary.BigEndian.Uint16(p)) }},
	"u16le": {2, func(p []byte) float64 { return float64(binary.LittleEndian.Uint16(p)) }},
	"i16be": {2, func(p []byte) float64 { return float64(int16(binary.BigEndian.Uint16(p))) }},
	"i16le": {2, func(p []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(p))) }},
	"u24be": {3, func(p []byte) float64 { return float64(uint32(p[0])<<16 | uint32(p[1])<<8 | uint32(p[2])) }},
	"u24le": {3, func(p []byte) float64 { return float64(uint32(p[2])<<16 | uint32(p[1])<<8 | uint32(p[0])) }},
	"u32be": {4, func(p []byte) float64 { return float64(binary.BigEndian.Uint32(p)) }},
	"u32le": {4, func(p []byte) float64 { return float64(binary.LittleEndian.Uint32(p)) }},
	"i32be": {4, func(p []byte) float64 { return float64(int32(binary.BigEndian.Uint32(p))) }},
	"i32le": {4, func(p []byte) float64 { return float64(int32(binary.LittleEndian.Uint32(p))) }},
	"f32be": {4, func(p []byte) float64 { return float64(math.Float32frombits(binary.BigEndian.Uint32(p))) }},
	"f32le": {4, func(p []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(p))) }},
	"f64be": {8, func(p []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(p)) }},
	"f64le": {8, func(p []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(p)) }},
}

// FieldTypes returns the names of all types of a Field.
func FieldTypes() []string {
	names := []string{"text"}
	for name := range fieldTypes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// maxFixed bounds a fixed frame in bytes.
const maxFixed = 1024

// ErrFixed is what Check's errors wrap.
var ErrFixed = errors.New("codec: fixed frame")

// Check says what is wrong with the description: which key, why, what would be
// right. The key is "" when it concerns the frame as a whole.
func (c Fixed) Check() (key string, err error) {
	wrong := func(key, format string, args ...any) (string, error) {
		return key, fmt.Errorf("%w: %s", ErrFixed, fmt.Sprintf(format, args...))
	}
	at, from, to := c.sum()
	switch {
	case c.Label == "":
		return wrong("name", "must be given")
	case c.Size < 1 || c.Size > maxFixed:
		return wrong("size", "%d bytes are not between 1 and %d", c.Size, maxFixed)
	case c.Stuffing != "" && c.Stuffing != COBS && c.Stuffing != SLIP:
		return wrong("stuffing", "%q is neither %q nor %q", c.Stuffing, COBS, SLIP)
	case c.Stuffing == "" && len(c.Sync) == 0:
		return wrong("sync", "must be given: the bytes that every frame begins with; else nothing tells where one is")
	case c.Stuffing == "" && c.Sum.Size() == 0 && len(c.Sync)+len(c.Tail) < 2:
		return wrong("check", "must be given, or a sync and tail of two bytes at least: one byte alone is found in any noise")
	case len(c.Sync)+len(c.Tail)+c.Sum.Size() > c.Size:
		return wrong("size", "%d bytes cannot hold sync, check and tail", c.Size)
	case c.Sum.Size() > 0 && (at < 0 || at+c.Sum.Size() > c.Size):
		return wrong("check", "byte %d: the check does not fit into %d bytes", at, c.Size)
	case c.Sum.Size() > 0 && (from < 0 || from >= to || to > c.Size || from < at+c.Sum.Size() && to > at):
		return wrong("check", "covers bytes %d up to %d of %d, which must be some and not the check itself", from, to, c.Size)
	case len(c.Fields) == 0:
		return wrong("fields", "holds no field")
	case len(c.Fields) > maxValues:
		return wrong("fields", "holds more than %d fields", maxValues)
	}
	seen := map[string]bool{}
	for i, f := range c.Fields {
		if reason := f.check(c.Size); reason != "" {
			return wrong("fields", "field %d, %q: %s", i+1, f.Name, reason)
		}
		if seen[f.Name] {
			return wrong("fields", "field %d: there is a field %q already", i+1, f.Name)
		}
		seen[f.Name] = true
	}
	return "", nil
}

// check says what is wrong with a field, "" if nothing.
func (f Field) check(size int) string {
	t, known := fieldTypes[f.Type]
	length := t.size
	if f.Type == "text" {
		known, length = true, f.Length
	}
	switch {
	case f.Name == "" || len(f.Name) > maxName:
		return fmt.Sprintf("needs a name of at most %d bytes", maxName)
	case !known:
		return fmt.Sprintf("type %q is unknown; choose one of %s", f.Type, strings.Join(FieldTypes(), ", "))
	case length < 1 || f.At < 0 || f.At > size || length > size-f.At:
		return fmt.Sprintf("bytes %d up to %d are not all in the frame of %d", f.At, f.At+length, size)
	case f.Length != 0 && f.Type != "text":
		return "only a text has a length"
	case f.Bit != nil && (f.Type[0] != 'u' || *f.Bit < 0 || *f.Bit >= 8*length):
		return fmt.Sprintf("there is no bit %d in %s", *f.Bit, f.Type)
	case math.IsNaN(f.Scale+f.Offset) || math.IsInf(f.Scale+f.Offset, 0):
		return "scale and offset must be finite"
	}
	return ""
}

// sum returns where the check stands and what it covers.
func (c Fixed) sum() (at, from, to int) {
	at, from, to = c.SumAt, c.SumFrom, c.SumTo
	if at == 0 {
		at = c.Size - len(c.Tail) - c.Sum.Size()
	}
	if to == 0 {
		to = at
	}
	return at, from, to
}

var _ Codec = Fixed{}

// Name implements Codec.
func (c Fixed) Name() string { return c.Label }

// NewFramer implements Codec.
func (c Fixed) NewFramer() Framer {
	switch c.Stuffing {
	case COBS:
		return &ended{end: 0}
	case SLIP:
		return &ended{end: slipEnd}
	}
	return &Packets{Sync: c.Sync, Size: c.Size, Check: func(p []byte) string { return faultOf(c.verify(p)) }}
}

// verify checks a frame without its stuffing.
func (c Fixed) verify(p []byte) error {
	switch {
	case len(p) != c.Size:
		return damaged("%d bytes, a frame has %d", len(p), c.Size)
	case !bytes.HasPrefix(p, c.Sync):
		return damaged("begins with % X, not with % X", p[:len(c.Sync)], c.Sync)
	case !bytes.HasSuffix(p, c.Tail):
		return damaged("ends with % X, not with % X", p[len(p)-len(c.Tail):], c.Tail)
	}
	sum := c.Sum
	if c.Little != nil {
		sum.little = *c.Little
	}
	at, from, to := c.sum()
	if fault := sum.compare(p[from:to], p[at:]); sum.size > 0 && fault != "" {
		return damaged("%s", fault)
	}
	return nil
}

// Decode implements Codec.
func (c Fixed) Decode(frame []byte) ([]devices.Value, error) {
	if c.Stuffing != "" {
		unstuff := uncobs
		if c.Stuffing == SLIP {
			unstuff = unslip
		}
		body, fault := unstuff(frame)
		if fault != "" {
			return nil, damaged("%s: %s", c.Stuffing, fault)
		}
		frame = body
	}
	if err := c.verify(frame); err != nil {
		return nil, err
	}
	values := make([]devices.Value, 0, len(c.Fields))
	for _, f := range c.Fields {
		if v, ok := f.value(frame[f.At:]); ok {
			values = append(values, v)
		}
	}
	return values, nil
}

// value reads a field; a float that is no number is left out.
func (f Field) value(p []byte) (devices.Value, bool) {
	v := devices.Value{Name: f.Name, Unit: f.Unit}
	if f.Type == "text" {
		v.Text, v.IsText = textOf(bytes.TrimRight(p[:f.Length], "\x00 ")), true
		return v, utf8.ValidString(v.Text)
	}
	raw := fieldTypes[f.Type].read(p)
	if f.Bit != nil {
		raw = float64(uint64(raw) >> *f.Bit & 1)
	}
	scale := f.Scale
	if scale == 0 {
		scale = 1
	}
	v.Number = raw*scale + f.Offset
	return v, !math.IsNaN(v.Number) && !math.IsInf(v.Number, 0)
}

// Append appends a frame that holds what raw numbers say by field name, before
// scale and offset, as a device would send them; others are 0. It is what twins
// of such devices send. Only integer fields are written.
func (c Fixed) Append(dst []byte, raw map[string]uint32) []byte {
	p := make([]byte, c.Size)
	for _, f := range c.Fields {
		size := fieldTypes[f.Type].size
		for i := range size {
			shift := 8 * i
			if strings.HasSuffix(f.Type, "be") {
				shift = 8 * (size - 1 - i)
			}
			if f.Type[0] != 'f' && f.Bit == nil {
				p[f.At+i] = byte(uint64(raw[f.Name]) >> shift)
			}
		}
	}
	copy(p, c.Sync)
	copy(p[c.Size-len(c.Tail):], c.Tail)
	sum := c.Sum
	if c.Little != nil {
		sum.little = *c.Little
	}
	at, from, to := c.sum()
	copy(p[at:], sum.Append(nil, p[from:to]))
	switch c.Stuffing {
	case "":
		return append(dst, p...)
	default:
		return Stuffed{Stuffing: c.Stuffing}.Append(dst, p)
	}
}
