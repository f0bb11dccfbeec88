package browser

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"plumbline/harness/record"
)

// Own payloads are JSON objects that begin with a member "run" (record.Encode), or
// with "crc" where somebody wrote them anew with sorted names. Whatever a page's
// protocol is, they stand in its messages in one of these forms: as they are (text,
// MQTT, CBOR), as a value that was written anew, or as text within a JSON string, in
// which quotes are escaped, perhaps more than once.
var marks = [...][]byte{[]byte("run"), []byte("crc")}

const (
	// depth is how often they may be escaped: JSON within JSON within JSON.
	depth = 3
	// largest bounds one payload; longer ones are none of ours.
	largest = 1 << 20
)

// walker goes from mark to mark.
type walker struct {
	data []byte
	next [len(marks)]int // where each stands next, len(data) when it does not; -1 when that is not known
}

// after returns where the first mark from at on stands, len(data) for nowhere.
func (w *walker) after(at int) int {
	first := len(w.data)
	for i, mark := range marks {
		if w.next[i] < at {
			w.next[i] = len(w.data)
			if n := bytes.Index(w.data[min(at, len(w.data)):], mark); n >= 0 {
				w.next[i] = at + n
			}
		}
		first = min(first, w.next[i])
	}
	return first
}

// finder takes own payloads out of messages. It belongs to one goroutine; what it
// hands over is good until it goes on.
type finder struct {
	scratch  [depth][]byte
	restored []byte
}

// find calls visit for every own payload in data, and with damaged for what looks
// like one and is none any more. It returns from where on a payload stands that
// data ends within, len(data) when there is none.
func (f *finder) find(data []byte, visit func(payload []byte), damaged func()) (rest int) {
	return f.search(data, 0, visit, damaged)
}

func (f *finder) search(data []byte, level int, visit func([]byte), damaged func()) int {
	walk := walker{data: data, next: [len(marks)]int{-1, -1}}
	for next := walk.after(0); next < len(data); next = walk.after(next) {
		start, escaped := opening(data, next)
		next++
		switch {
		case start < 0:
		case escaped == 0:
			end := object(data[start:])
			if end == 0 {
				return start
			}
			f.payload(data[start:start+end], visit, damaged)
			next = max(next, start+end)
		case level < depth:
			text, end, whole := unescape(f.scratch[level][:0], data[start:])
			f.scratch[level] = text
			inner := f.search(text, level+1, visit, damaged)
			if !whole && inner < len(text) {
				return start
			}
			next = max(next, start+end)
		}
	}
	return begun(data)
}

// begun returns where an object may begin of which data ends before a mark is whole.
func begun(data []byte) int {
	const longest = 32 // blanks and backslashes included
	tail := data[max(len(data)-longest, 0):]
	at := bytes.LastIndexByte(tail, '{')
	if at < 0 || len(bytes.Trim(tail[at+1:], " \t\n\\\"runc")) > 0 {
		return len(data)
	}
	return len(data) - len(tail) + at
}

// opening returns where the object begins whose first member's name stands at
// next, and by how many backslashes its quotes are escaped; -1 where there is none.
func opening(data []byte, next int) (start, escaped int) {
	at := next - 1
	if at < 0 || data[at] != '"' {
		return -1, 0
	}
	at--
	for at >= 0 && data[at] == '\\' {
		escaped++
		at--
	}
	for at >= 0 && (data[at] == ' ' || data[at] == '\n' || data[at] == '\t') {
		at--
	}
	if at < 0 || data[at] != '{' {
		return -1, 0
	}
	return at, escaped
}

// object returns the length of the JSON object at the beginning of data, 0 when
// data ends before it does.
func object(data []byte) int {
	level, within := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case within && c == '\\':
			i++
		case c == '"':
			within = !within
		case within:
		case c == '{':
			level++
		case c == '}':
			if level--; level == 0 {
				return i + 1
			}
		}
		if i > largest {
			return i // no payload of ours
		}
	}
	return 0
}

// unescape appends what stands within a JSON string from here on to dst, and
// returns how long it is in data; whole is false when data ends before the string.
func unescape(dst, data []byte) (text []byte, length int, whole bool) {
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case c == '"':
			return dst, i, true
		case c != '\\':
			dst = append(dst, c)
			continue
		case i+1 >= len(data):
			return dst, i, false
		}
		i++
		switch c := data[i]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, size := unit(data[i+1:])
			dst = utf8.AppendRune(dst, r)
			i += size
		default:
			dst = append(dst, c)
		}
	}
	return dst, len(data), false
}

// unit reads the hexadecimal digits of one escaped character, or of a pair of
// surrogates, and returns how many bytes they take.
func unit(data []byte) (r rune, size int) {
	first, ok := hex4(data)
	if !ok {
		return utf8.RuneError, 0
	}
	if utf16.IsSurrogate(first) && len(data) >= 10 && data[4] == '\\' && data[5] == 'u' {
		if second, ok := hex4(data[6:]); ok {
			return utf16.DecodeRune(first, second), 10
		}
	}
	return first, 4
}

func hex4(data []byte) (r rune, ok bool) {
	if len(data) < 4 {
		return 0, false
	}
	for _, c := range data[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// payload hands over an object when it is one of ours: as it is, or as it was
// published when somebody wrote it anew.
func (f *finder) payload(object []byte, visit func([]byte), damaged func()) {
	if _, err := record.Parse(object); err == nil {
		visit(object)
		return
	}
	restored, ok := record.Restore(f.restored[:0], object, false)
	if !ok {
		if bytes.Contains(object, []byte(`"crc"`)) {
			damaged()
		}
		return
	}
	f.restored = restored
	visit(restored)
}
