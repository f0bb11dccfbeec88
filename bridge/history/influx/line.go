package influx

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"plumbline/bridge/history"
)

// Line protocol (InfluxDB docs, "Line protocol reference") has no way to write every text as a tag: a backslash is one or the
// beginning of an escape, depending on what follows, and nothing may be empty. So names are written with % as an escape of our
// own for the few characters that are not safe, and with the protocol's escapes for comma, equals sign and space, so that most
// names are in the database as they are.

// empty is how an empty name is written. No other is written so: after % there are always two digits.
const empty = "%"

// encode writes a name with our own escapes only: as it is in the database.
func encode(name string) string {
	if name == "" {
		return empty
	}
	if !strings.ContainsFunc(name, unsafe) && utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c < ' ' || c == 0x7f || c == '%' || c == '\\' || c >= utf8.RuneSelf && !utf8.ValidString(name) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unsafe(r rune) bool { return r < ' ' || r == 0x7f || r == '%' || r == '\\' }

// decode reads what encode wrote. What somebody else wrote is taken as it is.
func decode(text string) string {
	if text == empty {
		return ""
	}
	if !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if c, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

var tagEscapes = strings.NewReplacer(",", `\,`, "=", `\=`, " ", `\ `)

// appendTag adds one tag.
func appendTag(b []byte, key, name string) []byte {
	b = append(b, ',')
	b = append(b, key...)
	b = append(b, '=')
	return append(b, tagEscapes.Replace(encode(name))...)
}

// The measurements of a database.
const (
	pointsMeasurement = "points"
	eventsMeasurement = "events"
)

// maxKey is how long a series' names may be, written: the server takes 65,535 bytes with what is around them.
const maxKey = 60_000

// appendKey adds the measurement and the tags, sorted, of a series but for the last, x.
func appendKey(b []byte, l history.Listed) []byte {
	if l.Kind == history.KindEvent {
		return appendTag(appendTag(append(b, eventsMeasurement...), "field", l.Field), "topic", l.Topic)
	}
	return appendTag(appendTag(appendTag(append(b, pointsMeasurement...), "field", l.Field), "topic", l.Topic), "unit", l.Unit)
}

var textEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// appendText adds a text as the value of a field.
func appendText(b []byte, value string) []byte {
	return append(append(append(b, '"'), textEscapes.Replace(value)...), '"')
}

// appendPayload adds a payload as a field: as text when it is, so that people can read it, else in base64.
func appendPayload(b []byte, payload []byte) []byte {
	plain := utf8.Valid(payload)
	for i := 0; i < len(payload) && plain; i++ {
		plain = payload[i] >= ' ' && payload[i] != 0x7f
	}
	if plain {
		return appendText(append(b, "payload="...), string(payload))
	}
	b = append(b, `base64="`...)
	b = base64.StdEncoding.AppendEncode(b, payload)
	return append(b, '"')
}

// ident quotes a name for InfluxQL.
func ident(name string) string { return `"` + textEscapes.Replace(name) + `"` }

var literalEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`)

// literal quotes a text for InfluxQL.
func literal(value string) string { return "'" + literalEscapes.Replace(value) + "'" }

// is returns the condition that a row is of the series.
func is(l history.Listed) string {
	c := `"topic" = ` + literal(encode(l.Topic)) + ` AND "field" = ` + literal(encode(l.Field))
	if l.Kind == history.KindNumber {
		c += ` AND "unit" = ` + literal(encode(l.Unit))
	}
	return c
}

// measurement returns where things of this kind are.
func measurement(k history.Kind) string {
	if k == history.KindEvent {
		return eventsMeasurement
	}
	return pointsMeasurement
}
