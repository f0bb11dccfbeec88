package client

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxWhole is the largest offset or count of the protocol: what JavaScript holds exactly (PROTOCOL.md section 2).
const maxWhole = 1 << 53

// ErrCursor is wrapped by errors about a cursor that names no place: without epoch, without offset, or beyond 2^53.
var ErrCursor = errors.New("not a cursor")

// Cursor is a place in the bridge's journal: "I have everything up to here". The zero Cursor is none. An offset means nothing
// without its epoch, so a Cursor that has one without the other is refused and never sent.
type Cursor struct {
	Epoch  string // names one journal without a break
	Offset uint64
}

// IsZero reports whether c is no cursor.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// Valid returns nil when c can be resumed from, else an error that wraps ErrCursor.
func (c Cursor) Valid() error {
	switch {
	case c.Epoch == "":
		return fmt.Errorf("client: %w: it has no epoch", ErrCursor)
	case c.Offset > maxWhole:
		return fmt.Errorf("client: %w: the offset %d is beyond 2^53", ErrCursor, c.Offset)
	}
	return nil
}

// String returns the text form: epoch, colon, offset; "" for the zero Cursor.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	return c.Epoch + ":" + strconv.FormatUint(c.Offset, 10)
}

// MarshalText implements encoding.TextMarshaler with the form of String, so that a Cursor can be stored beside what it covers.
func (c Cursor) MarshalText() ([]byte, error) {
	if c.IsZero() {
		return nil, nil
	}
	if err := c.Valid(); err != nil {
		return nil, err
	}
	return []byte(c.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. Errors wrap ErrCursor.
func (c *Cursor) UnmarshalText(text []byte) error {
	got, err := ParseCursor(string(text))
	if err != nil {
		return err
	}
	*c = got
	return nil
}

// ParseCursor reads what String wrote. Errors wrap ErrCursor.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return Cursor{}, fmt.Errorf("client: %w: %.80q has no offset, want EPOCH:OFFSET", ErrCursor, text)
	}
	digits := text[at+1:]
	offset, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || digits != strconv.FormatUint(offset, 10) {
		return Cursor{}, fmt.Errorf("client: %w: %.80q: the offset is not a whole number, want EPOCH:OFFSET", ErrCursor, text)
	}
	c := Cursor{Epoch: text[:at], Offset: offset}
	if err := c.Valid(); err != nil {
		return Cursor{}, err
	}
	return c, nil
}
