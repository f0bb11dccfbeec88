package codec

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"plumbline/devices"
)

// HeaderRule says where a table's columns get their names.
type HeaderRule string

// The header rules.
const (
	// HeaderFound takes the first line that can be one: at least two fields, all
	// different and each with a letter in it. Lines before it are Unchecked.
	// A later line like it is taken, too: the device has started again.
	HeaderFound HeaderRule = "found"
	// HeaderNone has no header: names come from Columns, or are "c1", "c2" ….
	HeaderNone HeaderRule = "none"
)

// Table is a line protocol of delimited fields, one record a line (RFC 4180, of
// which it takes the quotes; fields do not go over lines). Fields that are
// numbers become numbers, others texts; empty ones are left out. A line with
// another number of fields than the header is damaged: a delimiter or a line end
// was lost. Nothing else checks a line, so a flipped digit goes unseen unless
// Check asks for a check after an asterisk at its end.
type Table struct {
	Label        string            // Name in reports; "" = "csv", or "tsv" for tabs
	Delimiter    rune              // 0 = comma
	Header       HeaderRule        // "" = HeaderFound, or HeaderNone when Columns are given
	Columns      []string          // names; "" or "-" leaves a column out. With HeaderFound: the header must hold exactly these
	Units        map[string]string // UCUM symbols by column
	DecimalComma bool              // 21,5 is a number
	Comment      string            // lines that begin with it are Control; "" = "#"
	Check        Sum               // hexadecimal digits behind the last asterisk of a line; zero = none
}

var _ Stateful = Table{}

// Name implements Codec.
func (t Table) Name() string {
	switch {
	case t.Label != "":
		return t.Label
	case t.Delimiter == '\t':
		return "tsv"
	}
	return "csv"
}

// NewFramer implements Codec.
func (Table) NewFramer() Framer { return &Lines{} }

// Decode implements Codec: the frame is judged as if it were the first line.
func (t Table) Decode(frame []byte) ([]devices.Value, error) { return t.NewDecoder().Decode(frame) }

// NewDecoder implements Stateful.
func (t Table) NewDecoder() Decoder {
	if t.Delimiter == 0 {
		t.Delimiter = ','
	}
	if t.Comment == "" {
		t.Comment = "#"
	}
	d := &tableDecoder{Table: t}
	if !t.HasHeader() {
		d.Header, d.named = HeaderNone, t.Columns
	}
	return d
}

// HasHeader reports whether a row names the columns.
func (t Table) HasHeader() bool {
	return t.Header != HeaderNone && (t.Header != "" || len(t.Columns) == 0)
}

// tableDecoder is a table of which the header may have been seen.
type tableDecoder struct {
	Table
	named []string // nil = no header yet
}

// Decode implements Decoder.
func (t *tableDecoder) Decode(frame []byte) ([]devices.Value, error) {
	if bytes.HasPrefix(frame, []byte(t.Comment)) {
		return nil, control("a comment")
	}
	if !utf8.Valid(frame) || bytes.ContainsRune(frame, 0) {
		return nil, damaged("not text")
	}
	line, err := cutTextCheck(frame, t.Check)
	if err != nil {
		return nil, err
	}
	fields, err := t.fields(line)
	if err != nil {
		return nil, err
	}
	if t.Header != HeaderNone {
		if t.isHeader(fields) {
			t.named = fields
			return nil, control("the header")
		}
		if t.named == nil {
			return nil, unchecked("no header has come yet")
		}
	}
	if t.named != nil && len(fields) != len(t.named) {
		return nil, damaged("%d fields, %d columns", len(fields), len(t.named))
	}
	return t.values(fields), nil
}

// fields cuts a line.
func (t *tableDecoder) fields(line []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(line))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace = t.Delimiter, -1, t.Delimiter != '\t' && t.Delimiter != ' '
	fields, err := r.Read()
	if err != nil {
		var at *csv.ParseError
		if errors.As(err, &at) {
			err = at.Err
		}
		return nil, damaged("%v", err)
	}
	if len(fields) > maxValues {
		return nil, damaged("more than %d fields", maxValues)
	}
	for i, f := range fields {
		fields[i] = strings.TrimSpace(f)
	}
	return fields, nil
}

// isHeader tells a row of names from a row of values.
func (t *tableDecoder) isHeader(fields []string) bool {
	if len(t.Columns) > 0 {
		return slices.Equal(fields, t.Columns)
	}
	seen := map[string]bool{}
	for _, f := range fields {
		if !strings.ContainsFunc(f, unicode.IsLetter) || strings.ContainsFunc(f, notPrinted) || seen[f] || len(f) > maxName {
			return false
		}
		seen[f] = true
	}
	// Once there is a header, a row of texts is one only if it names the same.
	return len(fields) >= 2 && (t.named == nil || slices.Equal(fields, t.named))
}

func notPrinted(r rune) bool { return !unicode.IsPrint(r) }

func (t *tableDecoder) values(fields []string) []devices.Value {
	values := make([]devices.Value, 0, len(fields))
	for i, field := range fields {
		name := "c" + strconv.Itoa(i+1)
		if t.named != nil {
			name = t.named[i]
		}
		if field == "" || name == "" || name == "-" {
			continue
		}
		v := devices.Value{Name: name, Unit: t.Units[name]}
		if n, ok := t.number(field); ok {
			v.Number = n
		} else {
			v.Text, v.IsText = field, true
		}
		values = append(values, v)
	}
	return values
}

// number reads a decimal number with or without exponent.
func (t Table) number(field string) (float64, bool) {
	if t.DecimalComma {
		field = strings.Replace(field, ",", ".", 1)
	}
	return scientific(field)
}

// scientific reads [+-]digits[.digits][e[+-]digits]; hexadecimal, "inf" and "nan"
// are no readings.
func scientific(field string) (float64, bool) {
	if field == "" || strings.Trim(field, "+-.0123456789eE") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(field, 64)
	return n, err == nil
}

// cutTextCheck verifies "*HH…" at the end of a line when there is a check, and
// cuts it off.
func cutTextCheck(line []byte, sum Sum) ([]byte, error) {
	if sum.Size() == 0 {
		return line, nil
	}
	line = bytes.TrimRight(line, " \t\r")
	star := len(line) - 2*sum.Size() - 1
	if star < 0 || line[star] != '*' {
		return nil, unchecked("no check: *, then %d hexadecimal digits", 2*sum.Size())
	}
	want, err := strconv.ParseUint(string(line[star+1:]), 16, 32)
	if err != nil {
		return nil, damaged("check %q is not hexadecimal", line[star+1:])
	}
	if got := sum.Of(line[:star]); uint64(got) != want {
		return nil, damaged("checksum %0*X, computed %0*X", 2*sum.Size(), want, 2*sum.Size(), got)
	}
	return line[:star], nil
}

// appendTextCheck ends a line: its check, when there is one, and CR LF.
func appendTextCheck(dst []byte, start int, sum Sum) []byte {
	if sum.Size() > 0 {
		dst = fmt.Appendf(dst, "*%0*X", 2*sum.Size(), sum.Of(dst[start:]))
	}
	return append(dst, '\r', '\n')
}

// AppendHeader appends the line that names the columns of values, and AppendRow
// one of their readings, as a device sends it that prints such a table.
func (t Table) AppendHeader(dst []byte, values []devices.Value) []byte {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.Name
	}
	return t.appendFields(dst, names)
}

// AppendRow appends the line of the values.
func (t Table) AppendRow(dst []byte, values []devices.Value) []byte {
	fields := make([]string, len(values))
	for i, v := range values {
		fields[i] = plain(v)
		if t.DecimalComma && !v.IsText {
			fields[i] = strings.Replace(fields[i], ".", ",", 1)
		}
	}
	return t.appendFields(dst, fields)
}

func (t Table) appendFields(dst []byte, fields []string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if t.Delimiter != 0 {
		w.Comma = t.Delimiter
	}
	_ = w.Write(fields) // a buffer takes all; a wrong delimiter was refused when the table was declared
	w.Flush()
	start := len(dst)
	return appendTextCheck(append(dst, bytes.TrimRight(b.Bytes(), "\n")...), start, t.Check)
}

// plain is a value as a firmware prints it.
func plain(v devices.Value) string {
	if v.IsText {
		return v.Text
	}
	return strconv.FormatFloat(v.Number, 'g', -1, 64)
}
