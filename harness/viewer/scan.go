package viewer

import (
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// errJSON marks a frame that is not JSON as RFC 8259 describes it, or not of
// the shape that the protocol describes.
var errJSON = errors.New("malformed JSON")

// scanner reads a JSON text in place, without building values. It exists
// because many viewers share a machine with the system that they watch: what
// they spend on decoding is missing there.
type scanner struct {
	buf []byte
	pos int
	bad bool
}

func (s *scanner) fail() { s.bad, s.pos = true, len(s.buf) }

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.buf) {
		switch c := s.buf[s.pos]; c {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// take consumes the byte c.
func (s *scanner) take(c byte) {
	if s.peek() != c {
		s.fail()
		return
	}
	s.pos++
}

// more walks over the members of an object or the elements of an array, whose
// opening byte was taken: it reports whether another one follows and consumes
// the comma before it or the closing byte. first must be true before the first.
func (s *scanner) more(first *bool, closing byte) bool {
	c := s.peek()
	switch {
	case c == closing:
		s.pos++
		return false
	case *first:
		*first = false
		return !s.bad && c != 0
	case c == ',':
		s.pos++
		return true
	default:
		s.fail()
		return false
	}
}

// key reads a member name and its colon. Names with escapes are returned raw:
// none of the protocol has any.
func (s *scanner) key() []byte {
	k := s.raw()
	s.take(':')
	return k
}

// raw reads a string and returns what stands between its quotes.
func (s *scanner) raw() []byte {
	s.take('"')
	start := s.pos
	for i := start; i < len(s.buf); i++ {
		switch c := s.buf[i]; {
		case c == '"':
			s.pos = i + 1
			return s.buf[start:i]
		case c == '\\':
			n := escapeLen(s.buf[i+1:])
			if n == 0 {
				s.fail()
				return nil
			}
			i += n
		case c < 0x20:
			s.fail()
			return nil
		}
	}
	s.fail()
	return nil
}

// escapeLen returns how long the escape at the start of b is, behind its
// backslash; 0 when it is none (RFC 8259 section 7).
func escapeLen(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if _, ok := hex4(b[1:]); ok {
			return 5
		}
	}
	return 0
}

// text reads a string and resolves its escapes into scratch. The result lies in
// the frame or in scratch and is good until either is used again.
func (s *scanner) text(scratch *[]byte) []byte {
	s.take('"')
	start, buf := s.pos, s.buf
	for i := start; i < len(buf); i++ {
		switch c := buf[i]; {
		case c == '"':
			s.pos = i + 1
			return buf[start:i]
		case c == '\\':
			return s.escaped(start, i, scratch)
		case c < 0x20:
			s.fail()
			return nil
		}
	}
	s.fail()
	return nil
}

// escaped goes on with text at the first backslash.
func (s *scanner) escaped(start, i int, scratch *[]byte) []byte {
	buf, out := s.buf, (*scratch)[:0]
	out = append(out, buf[start:i]...)
	from := i
	for i < len(buf) {
		c := buf[i]
		switch {
		case c == '"':
			out = append(out, buf[from:i]...)
			s.pos, *scratch = i+1, out
			return out
		case c < 0x20:
			s.fail()
			return nil
		case c != '\\':
			i++
			continue
		}
		out = append(out, buf[from:i]...)
		var n int
		if out, n = unescape(out, buf[i+1:]); n == 0 {
			s.fail()
			return nil
		}
		i += 1 + n
		from = i
	}
	s.fail()
	return nil
}

// unescape appends what the escape at the start of b (behind its backslash)
// stands for and returns how many bytes it took, 0 when it is none.
func unescape(out, b []byte) ([]byte, int) {
	if len(b) == 0 {
		return out, 0
	}
	switch b[0] {
	case '"', '\\', '/':
		return append(out, b[0]), 1
	case 'n':
		return append(out, '\n'), 1
	case 't':
		return append(out, '\t'), 1
	case 'r':
		return append(out, '\r'), 1
	case 'b':
		return append(out, '\b'), 1
	case 'f':
		return append(out, '\f'), 1
	case 'u':
	default:
		return out, 0
	}
	r, ok := hex4(b[1:])
	if !ok {
		return out, 0
	}
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(out, r), 5
	}
	if len(b) < 11 || b[5] != '\\' || b[6] != 'u' {
		return out, 0
	}
	low, ok := hex4(b[7:])
	pair := utf16.DecodeRune(r, low)
	if !ok || pair == utf8.RuneError {
		return out, 0
	}
	return utf8.AppendRune(out, pair), 11
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// maxWhole is the largest number of the protocol (PROTOCOL.md section 2): beyond
// it browsers round.
const maxWhole = 1 << 53

// uint reads a whole number from 0 to maxWhole.
func (s *scanner) uint() uint64 {
	s.peek()
	start := s.pos
	var n uint64
	for s.pos < len(s.buf) && s.buf[s.pos]-'0' <= 9 {
		if n = n*10 + uint64(s.buf[s.pos]-'0'); n > maxWhole {
			s.fail()
			return 0
		}
		s.pos++
	}
	if s.pos == start || (s.buf[start] == '0' && s.pos > start+1) {
		s.fail()
	}
	return n
}

// boolean reads true or false.
func (s *scanner) boolean() bool {
	switch s.peek() {
	case 't':
		return s.literal("true")
	default:
		s.literal("false")
		return false
	}
}

func (s *scanner) literal(word string) bool {
	if len(s.buf)-s.pos < len(word) || string(s.buf[s.pos:s.pos+len(word)]) != word {
		s.fail()
		return false
	}
	s.pos += len(word)
	return true
}

// depthLimit bounds the nesting of values that are skipped.
const depthLimit = 32

// skip reads over a value of any kind.
func (s *scanner) skip(depth int) {
	if depth > depthLimit {
		s.fail()
		return
	}
	first := true
	switch c := s.peek(); c {
	case '{':
		s.pos++
		for s.more(&first, '}') {
			s.key()
			s.skip(depth + 1)
		}
	case '[':
		s.pos++
		for s.more(&first, ']') {
			s.skip(depth + 1)
		}
	case '"':
		s.raw()
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}

// number reads over a number (RFC 8259 section 6).
func (s *scanner) number() {
	s.one("-")
	if !s.one("0") && !s.digits() {
		s.fail()
	}
	if s.one(".") && !s.digits() {
		s.fail()
	}
	if s.one("eE") {
		s.one("+-")
		if !s.digits() {
			s.fail()
		}
	}
}

// one consumes the next byte when it is one of set.
func (s *scanner) one(set string) bool {
	if s.pos < len(s.buf) && strings.IndexByte(set, s.buf[s.pos]) >= 0 {
		s.pos++
		return true
	}
	return false
}

// digits consumes digits and reports whether there was any.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.buf) && s.buf[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos > start
}

// end checks that nothing but white space is left.
func (s *scanner) end() error {
	if s.peek(); s.bad || s.pos != len(s.buf) {
		return errJSON
	}
	return nil
}
