// Package strictjson checks JSON text that comes from outside for the things encoding/json lets pass and that have been
// used to smuggle meaning past a check: duplicate member names, names in another case, trailing data, deep nesting, and text that
// is no Unicode, which it would change.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Errors that Check returns (wrapped with the place).
var (
	// ErrDuplicate: an object has two members of one name. RFC 8725 section 2.4, RFC 8259 section 4.
	ErrDuplicate = errors.New("duplicate member name")
	// ErrDepth: objects and arrays are nested deeper than allowed.
	ErrDepth = errors.New("nested too deep")
	// ErrType: the value is no object, or a member is not of the wanted type.
	ErrType = errors.New("wrong type")
	// ErrTrailing: something follows the first JSON value.
	ErrTrailing = errors.New("data after the value")
	// ErrText: a string holds what is not UTF-8, or an escaped half of a surrogate pair. RFC 8259 sections 8.1 and 8.2.
	ErrText = errors.New("not Unicode")
)

// Check reads data as exactly one JSON value and reports the first fault: a syntax error, a duplicate member name in any
// object, nesting deeper than maxDepth, text that is no Unicode, or data after the value. It keeps no state and is safe for concurrent use.
func Check(data []byte, maxDepth int) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := value(dec, maxDepth); err != nil {
		return fmt.Errorf("strictjson: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("strictjson: %w", ErrTrailing)
	}
	if !utf8.Valid(data) || loneSurrogate(data) {
		return fmt.Errorf("strictjson: %w", ErrText)
	}
	return nil
}

// loneSurrogate reports whether valid JSON has an escape of a high surrogate without one of a low one after it, or the reverse.
// A backslash is only in strings, so that nothing else has to be told apart.
func loneSurrogate(data []byte) bool {
	for {
		at := bytes.IndexByte(data, '\\')
		if at < 0 {
			return false
		}
		first := unit(data[at:])
		data = data[at+2:]
		if !utf16.IsSurrogate(first) {
			continue
		}
		data = data[4:]
		if utf16.DecodeRune(first, unit(data)) == utf8.RuneError {
			return true
		}
		data = data[6:]
	}
}

// unit returns the UTF-16 code unit of the escape that text begins with, 0 when it begins with none.
func unit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	n, _ := strconv.ParseUint(string(text[2:6]), 16, 16) // digits, in valid JSON
	return rune(n)
}

// Decode checks data as Check does and then reads the members of the one object in it to the pointers given by their names.
// Only members named exactly so are read, the others are ignored: encoding/json would take a name in another case too, the
// last one given, so that who looked at the text before saw another value. Absent members leave their pointers' values alone.
func Decode(data []byte, maxDepth int, members map[string]any) error {
	if err := Check(data, maxDepth); err != nil {
		return err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		return fmt.Errorf("strictjson: %w: want an object", ErrType)
	}
	for name, to := range members {
		raw, ok := object[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return fmt.Errorf("strictjson: %w: member %q", ErrType, name)
		}
	}
	return nil
}

// value consumes one value from dec.
func value(dec *json.Decoder, depth int) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth <= 0 {
		return ErrDepth
	}
	var seen map[string]bool
	if open == '{' {
		seen = make(map[string]bool, 8)
	}
	for dec.More() {
		if seen != nil {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			name, _ := key.(string)
			if seen[name] {
				return fmt.Errorf("%w %.40q", ErrDuplicate, name)
			}
			seen[name] = true
		}
		if err := value(dec, depth-1); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing delimiter
	return err
}
