package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// pointer is a parsed JSON pointer (RFC 6901): the unescaped tokens.
type pointer []string

// parsePointer reads a JSON pointer.
func parsePointer(text string) (pointer, error) {
	if text == "" {
		return pointer{}, nil
	}
	if text[0] != '/' {
		return nil, fmt.Errorf("%.60q is no JSON pointer: it begins with /, such as /temperature (RFC 6901)", text)
	}
	tokens := strings.Split(text[1:], "/")
	for i, t := range tokens {
		for j := 0; j < len(t); j++ {
			if t[j] == '~' && (j+1 == len(t) || t[j+1] != '0' && t[j+1] != '1') {
				return nil, fmt.Errorf("%.60q is no JSON pointer: a ~ is written ~0, and a / inside a name ~1 (RFC 6901 section 3)", text)
			}
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// escapeToken spells a member name as a part of a JSON pointer.
func escapeToken(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// value is the raw text of one JSON value.
type value []byte

// kind is the first byte of a value: { [ " t f n, a digit or a minus.
func (v value) kind() byte { return v[0] }

// number returns v as a number: JSON's numbers, and true and false as 1 and 0.
func (v value) number() (float64, bool) {
	switch v.kind() {
	case 't':
		return 1, true
	case 'f':
		return 0, true
	case '{', '[', '"', 'n':
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return f, err == nil && f >= -MaxAbs && f <= MaxAbs
}

// text returns the text of a string value.
func (v value) text() (string, bool) {
	if v.kind() != '"' {
		return "", false
	}
	body := v[1 : len(v)-1]
	if bytes.IndexByte(body, '\\') < 0 && utf8.Valid(body) {
		return string(body), true
	}
	var s string
	err := json.Unmarshal(v, &s)
	return s, err == nil
}

// members calls each with the name ("0", "1"… in an array) and value of the members of v, an object or array in text that
// json.Valid has passed, in order, until each returns false.
func (v value) members(each func(name string, member value) bool) {
	object := v.kind() == '{'
	i := space(v, 1)
	for n := 0; v[i] != '}' && v[i] != ']'; n++ {
		name := strconv.Itoa(n)
		if object {
			end := skip(v, i)
			name, _ = v[i:end].text()
			i = space(v, space(v, end)+1) // past the colon
		}
		end := skip(v, i)
		if !each(name, v[i:end:end]) {
			return
		}
		if i = space(v, end); v[i] == ',' {
			i = space(v, i+1)
		}
	}
}

// find follows p from v. Of members with one name the last counts, as for most readers.
func (v value) find(p pointer) (value, bool) {
	for _, token := range p {
		if v.kind() != '{' && v.kind() != '[' {
			return nil, false
		}
		var found value
		v.members(func(name string, member value) bool {
			if name == token {
				found = member
			}
			return true
		})
		if found == nil {
			return nil, false
		}
		v = found
	}
	return v, true
}

// space returns the index of the first byte from i on that is not white space.
func space(v value, i int) int {
	for i < len(v) && (v[i] == ' ' || v[i] == '\t' || v[i] == '\n' || v[i] == '\r') {
		i++
	}
	return i
}

// skip returns the index after the value that begins at i. It does not recurse: depth costs no stack.
func skip(v value, i int) int {
	depth := 0
	for ; i < len(v); i++ {
		switch v[i] {
		case '"':
			for i++; v[i] != '"'; i++ {
				if v[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of what holds the number or word before it
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}
