package viewer

import (
	"fmt"
	"strconv"
	"strings"
)

// pointer is a JSON pointer (RFC 6901) taken apart: the names of members and the
// indices of elements on the way to a value. The empty pointer is the whole text.
type pointer []string

// parsePointer reads the string form of RFC 6901 section 5.
func parsePointer(text string) (pointer, error) {
	if text == "" {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return nil, fmt.Errorf("JSON pointer %q does not begin with a slash (RFC 6901 section 3); write %q", text, "/"+text)
	}
	tokens := strings.Split(rest, "/")
	for i, token := range tokens {
		for j := range token {
			if token[j] == '~' && (j+1 == len(token) || (token[j+1] != '0' && token[j+1] != '1')) {
				return nil, fmt.Errorf("JSON pointer %q holds a ~ that is followed by neither 0 nor 1 (RFC 6901 section 3); write ~0 for ~ and ~1 for /", text)
			}
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// find returns the text of the value that p points at within value, which must
// be one valid JSON text. Of members with one name the last counts, as in
// JavaScript. Scratch is used and may be grown.
func (p pointer) find(value []byte, scratch *[]byte) ([]byte, bool) {
	for _, token := range p {
		found := false
		scan := scanner{buf: value}
		switch scan.peek() {
		case '{':
			value, found = scan.member(token, scratch)
		case '[':
			value, found = scan.element(token)
		}
		if !found {
			return nil, false
		}
	}
	return value, true
}

// member returns the value of the member name of the object that the scanner
// stands at.
func (s *scanner) member(name string, scratch *[]byte) (value []byte, found bool) {
	s.take('{')
	for first := true; s.more(&first, '}'); {
		here := string(s.text(scratch)) == name
		s.take(':')
		s.peek()
		start := s.pos
		s.skip(0)
		if here {
			value, found = s.buf[start:s.pos], true
		}
	}
	return value, found && !s.bad
}

// element returns the element of the array that the scanner stands at whose
// index token is: a number without leading zeros (RFC 6901 section 4).
func (s *scanner) element(token string) (value []byte, found bool) {
	index, err := strconv.ParseUint(token, 10, 32)
	if err != nil || (len(token) > 1 && token[0] == '0') || token[0] == '+' {
		return nil, false
	}
	s.take('[')
	first := true
	for n := uint64(0); s.more(&first, ']'); n++ {
		s.peek()
		start := s.pos
		s.skip(0)
		if n == index {
			return s.buf[start:s.pos], !s.bad
		}
	}
	return nil, false
}

// valid reports whether text is one JSON text that nests at most depthLimit
// levels deep.
func valid(text []byte) bool {
	scan := scanner{buf: text}
	scan.skip(0)
	return scan.end() == nil
}
