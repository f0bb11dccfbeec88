package main

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// content: messages that are not what was sent.
var content = map[string]maker{
	"F30": cutShort, "F31": cutShort, "F32": cutShort, "F33": mangle, "F34": coerce, "F35": round, "F36": redate, "F38": collide,
}

// change applies a change to every reading and counts those that it changed.
func change(f *front, to func(r *reading) bool) *flaw {
	all := func(rs []reading) {
		for i := range rs {
			if to(&rs[i]) {
				f.count.fire()
			}
		}
	}
	return &flaw{
		arrive:   func(_ *session, _ *stream, rs []reading) []reading { all(rs); return rs },
		snapshot: func(_ *session, snap *snapshot) bool { all(snap.Readings); return true },
	}
}

// payload returns the bytes of a reading.
func (r *reading) payload() []byte {
	if r.Base64 != nil {
		data, err := base64.StdEncoding.DecodeString(*r.Base64)
		if err != nil {
			return nil
		}
		return data
	}
	return []byte(r.text())
}

// set gives a reading bytes in the form that the protocol has for them.
func (r *reading) set(data []byte) {
	if utf8.Valid(data) {
		r.setText(string(data))
		return
	}
	text := base64.StdEncoding.EncodeToString(data)
	r.Payload, r.Base64 = nil, &text
}

// cutShort (F30, F31, F32) loses the last byte of payloads of so many to so many
// bytes: a length that was written in too few bits.
func cutShort(f *front, p param) *flaw {
	from, to := int(p.number(0)), int(p.number(1))
	return change(f, func(r *reading) bool {
		data := r.payload()
		if len(data) < from || len(data) > to {
			return false
		}
		r.set(data[:len(data)-1])
		return true
	})
}

// mangle (F33) damages text that is more than ASCII: NUL ends it, a byte order
// mark is taken off, what does not fit into one byte becomes a question mark.
func mangle(f *front, _ param) *flaw {
	return change(f, func(r *reading) bool {
		text := r.text()
		out, _, _ := strings.Cut(text, "\x00")
		out = strings.Map(func(c rune) rune {
			if c > 0xff {
				return '?'
			}
			return c
		}, strings.TrimPrefix(out, "\ufeff"))
		if out != text {
			r.setText(out)
		}
		return out != text
	})
}

// coerce (F34) makes text of bytes that are none.
func coerce(f *front, _ param) *flaw {
	return change(f, func(r *reading) bool {
		if r.Base64 == nil {
			return false
		}
		r.setText(strings.ToValidUTF8(string(r.payload()), "\ufffd"))
		return true
	})
}

// round (F35) reads numbers as float32 and writes them anew.
func round(f *front, _ param) *flaw {
	return change(f, func(r *reading) bool {
		text := r.text()
		var out strings.Builder
		inside, escaped := false, false
		for i := 0; i < len(text); {
			c := text[i]
			if !inside && (c == '-' || (c >= '0' && c <= '9')) {
				n := len(text[i:]) - len(strings.TrimLeft(text[i:], "+-.0123456789eE"))
				out.WriteString(single(text[i : i+n]))
				i += n
				continue
			}
			if c == '"' && !escaped {
				inside = !inside
			}
			escaped = c == '\\' && !escaped
			out.WriteByte(c)
			i++
		}
		if out.String() == text || !json.Valid([]byte(text)) {
			return false
		}
		r.setText(out.String())
		return true
	})
}

// single writes a number as a float32 holds it; whole numbers that fit stay.
func single(number string) string {
	x, err := strconv.ParseFloat(number, 64)
	if err != nil || (x == math.Trunc(x) && math.Abs(x) < 1<<24 && !strings.ContainsAny(number, "-eE.")) {
		return number
	}
	return strconv.FormatFloat(float64(float32(x)), 'g', -1, 32)
}

// stamp is a time of RFC 3339 within a payload.
var stamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)

// redate (F36) reads the times in payloads and writes them anew: in UTC and in
// whole seconds.
func redate(f *front, _ param) *flaw {
	return change(f, func(r *reading) bool {
		text := r.text()
		out := stamp.ReplaceAllStringFunc(text, func(was string) string {
			at, err := time.Parse(time.RFC3339Nano, was)
			if err != nil {
				return was
			}
			return at.UTC().Format(time.RFC3339)
		})
		if out != text {
			r.setText(out)
		}
		return out != text
	})
}

// collide (F38) keeps topics in a map whose keys are too coarse: what ends in
// the one comes out as what ends in the other.
func collide(f *front, p param) *flaw {
	from, to := p[0], p[1]
	return change(f, func(r *reading) bool {
		head, ok := strings.CutSuffix(r.Topic, from)
		if ok {
			r.Topic = head + to
		}
		return ok
	})
}
