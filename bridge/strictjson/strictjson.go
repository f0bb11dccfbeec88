// Package strictjson checks JSON text that comes from outside for the things encoding/json lets pass and that have been
// used to smuggle meaning past a check: duplicate member names, names in another case, trailing data and deep nesting.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
)

// Check reads data as exactly one JSON value and reports the first fault: a syntax error, a duplicate member name in any
// object, nesting deeper than maxDepth, or data after the value. It keeps no state and is safe for concurrent use.
func Check(data []byte, maxDepth int) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := value(dec, maxDepth); err != nil {
		return fmt.Errorf("strictjson: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("strictjson: %w", ErrTrailing)
	}
	return nil
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
