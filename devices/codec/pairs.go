package codec

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"plumbline/devices"
)

// Pairs is a line protocol of names and values, "temp=21.5 hum=40" or
// "T:21.5,H:40%": pairs apart by blanks, commas, semicolons or ampersands, the
// name before the first "=" or, when the pair has none, ":". Behind a number a
// unit may stand, "21.5C"; it becomes the value's unit as it is unless Units
// says otherwise. A text before the first pair is the tag of the line. A line
// without any pair is Unchecked, one in which a pair stands next to something
// that is none is damaged. A check is as in Table.
type Pairs struct {
	Label string            // Name in reports; "" = "keyvalue"
	Units map[string]string // UCUM symbols by name
	Check Sum               // zero = none
}

var _ Codec = Pairs{}

// Name implements Codec.
func (c Pairs) Name() string {
	if c.Label != "" {
		return c.Label
	}
	return "keyvalue"
}

// NewFramer implements Codec.
func (Pairs) NewFramer() Framer { return &Lines{} }

// Decode implements Codec.
func (c Pairs) Decode(frame []byte) ([]devices.Value, error) {
	if !utf8.Valid(frame) || bytes.ContainsRune(frame, 0) {
		return nil, damaged("not text")
	}
	line, err := cutTextCheck(frame, c.Check)
	if err != nil {
		return nil, err
	}
	words := strings.FieldsFunc(string(line), func(r rune) bool { return strings.ContainsRune(" \t\r,;&", r) })
	var values []devices.Value
	pairs := 0
	for i, word := range words {
		name, text, found := strings.Cut(word, "=")
		if !found {
			name, text, found = strings.Cut(word, ":")
		}
		switch {
		case len(values) >= maxValues:
			return nil, damaged("more than %d pairs", maxValues)
		case found && (name == "" || len(name) > maxName):
			return nil, damaged("a pair without a name, or with one longer than %d bytes", maxName)
		case found:
			pairs++
			if text != "" {
				values = append(values, c.value(name, text))
			}
		case i > 0:
			return nil, c.noPair(pairs, word)
		default:
			values = append(values, devices.Value{Name: "tag", Text: word, IsText: true})
		}
	}
	if pairs == 0 {
		return nil, unchecked("no pair of name and value")
	}
	return values, nil
}

// noPair rejects a line: prose when no pair has come before, else a damaged one.
func (Pairs) noPair(pairs int, word string) *Reject {
	if pairs == 0 {
		return unchecked("no pair of name and value")
	}
	return damaged("%q is no pair of name and value", clip(word))
}

// clip shortens a text for a message.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

func (c Pairs) value(name, text string) devices.Value {
	digits := len(text) - len(strings.TrimLeft(text, "+-.0123456789eE"))
	for ; digits > 0; digits-- { // "1e" and "5E3V" end in what may belong to the unit
		if n, ok := scientific(text[:digits]); ok && isUnit(text[digits:]) {
			unit, known := c.Units[name]
			if !known {
				unit = text[digits:]
			}
			return devices.Value{Name: name, Unit: unit, Number: n}
		}
	}
	return devices.Value{Name: name, Unit: c.Units[name], Text: text, IsText: true}
}

// Append appends a line of the values as a firmware prints them; blanks and
// delimiters in texts become underscores.
func (c Pairs) Append(dst []byte, values []devices.Value) []byte {
	start := len(dst)
	clean := strings.NewReplacer(" ", "_", ",", "_", ";", "_", "&", "_", "\t", "_", "\r", "_", "\n", "_", "=", "_")
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, clean.Replace(v.Name)+"="+clean.Replace(plain(v))...)
	}
	return appendTextCheck(dst, start, c.Check)
}

// isUnit tells a unit behind a number from the rest of a date or an address.
func isUnit(s string) bool {
	return len(s) <= 12 && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !strings.ContainsRune("%°/²³", r) })
}
