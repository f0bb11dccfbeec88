// Package codecfile reads the protocol of a device: one of the codecs that have a
// name, or a file in which somebody describes a protocol of his own, the
// registers of a Modbus unit or the questions to an instrument.
//
//	apiVersion: plumbline/v1
//	kind: Codec
//	name: hpma115c0
//	fixed:                      # or delimited, pairs, modbus, scpi
//	  sync: 40 0D 04
//	  size: 16
//	  check: {sum: sum8-negative}
//	  fields:
//	    - {name: pm25, at: 5, type: u16be, unit: ug/m3}
//
// Parsing is strict: errors name file, line, key and what would be right.
package codecfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"plumbline/devices/codec"
	"plumbline/devices/modbus"
	"plumbline/devices/polled"
	"plumbline/devices/scpi"
	"plumbline/harness/strictyaml"
)

// ErrCodec marks a name that is none or a file that cannot be used.
var ErrCodec = errors.New("protocol of a device")

// Protocol is what a device speaks: Codec when it speaks by itself, Poll when it
// must be asked. Exactly one of them is set.
type Protocol struct {
	Name  string
	Codec codec.Codec
	// Poll makes the conversation with the device and says how to time it on a
	// line of baud bits per second.
	Poll func(baud int) (polled.Protocol, polled.Options, error)

	modbus *modbus.Map // set with Poll, for Twin
	scpi   *scpi.Instrument
}

// Choose returns the protocol of that name, or of the file when the name ends in
// .yaml or .yml.
func Choose(name string) (Protocol, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		return Load(name)
	}
	c, err := codec.ByName(name)
	if err != nil {
		return Protocol{}, fmt.Errorf("%w: %w; a name that ends in .yaml is a file that describes one", ErrCodec, err)
	}
	return Protocol{Name: name, Codec: c}, nil
}

// maxFile bounds a description in bytes.
const maxFile = 1 << 20

// Load reads the file at path.
func Load(path string) (Protocol, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Protocol{}, fmt.Errorf("%w: %w", ErrCodec, err)
	case info.Size() > maxFile:
		return Protocol{}, fmt.Errorf("%w: %q is larger than %d bytes", ErrCodec, path, maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Protocol{}, fmt.Errorf("%w: %w", ErrCodec, err)
	}
	return Parse(path, data)
}

// file is the form of a description.
type file struct {
	APIVersion string         `yaml:"apiVersion"`
	Kind       string         `yaml:"kind"`
	Name       string         `yaml:"name"`
	Fixed      *fixedFile     `yaml:"fixed,omitempty"`
	Delimited  *delimitedFile `yaml:"delimited,omitempty"`
	Pairs      *pairsFile     `yaml:"pairs,omitempty"`
	Modbus     *modbusFile    `yaml:"modbus,omitempty"`
	SCPI       *scpiFile      `yaml:"scpi,omitempty"`
}

// Parse reads the text of a description; name is used in errors.
func Parse(name string, data []byte) (Protocol, error) {
	var f file
	doc, err := strictyaml.Decode(name, data, &f)
	if err != nil {
		return Protocol{}, fmt.Errorf("%w: %w", ErrCodec, err)
	}
	p, path, err := f.protocol()
	if err != nil {
		return Protocol{}, fmt.Errorf("%w: %w", ErrCodec, doc.Errorf(path, "%v", err))
	}
	p.Name = f.Name
	return p, nil
}

// protocol builds what the file describes; path is where an error stands.
func (f file) protocol() (p Protocol, path []any, err error) {
	given := 0
	for _, form := range []bool{f.Fixed != nil, f.Delimited != nil, f.Pairs != nil, f.Modbus != nil, f.SCPI != nil} {
		if form {
			given++
		}
	}
	switch {
	case f.APIVersion != "plumbline/v1":
		return p, []any{"apiVersion"}, fmt.Errorf("is %q; this program reads %q", f.APIVersion, "plumbline/v1")
	case f.Kind != "Codec":
		return p, []any{"kind"}, fmt.Errorf("is %q; a description of a protocol says %q", f.Kind, "Codec")
	case f.Name == "" || len(f.Name) > 64 || strings.ContainsFunc(f.Name, func(r rune) bool { return r <= ' ' || r > '~' }):
		return p, []any{"name"}, fmt.Errorf("%q is no name of up to 64 letters, digits and signs", f.Name)
	case given != 1:
		return p, nil, fmt.Errorf("holds %d of fixed, delimited, pairs, modbus and scpi; it needs one", given)
	}
	switch {
	case f.Fixed != nil:
		return f.Fixed.protocol(f.Name)
	case f.Delimited != nil:
		return f.Delimited.protocol(f.Name)
	case f.Pairs != nil:
		sum, err := codec.SumByName(f.Pairs.Check)
		return Protocol{Codec: codec.Pairs{Label: f.Name, Units: f.Pairs.Units, Check: sum}}, []any{"pairs", "check"}, err
	case f.Modbus != nil:
		return f.Modbus.protocol(f.Name)
	}
	return f.SCPI.protocol(f.Name)
}

// pairsFile describes lines of names and values.
type pairsFile struct {
	Units map[string]string `yaml:"units,omitempty"`
	Check string            `yaml:"check,omitempty"`
}

// delimitedFile describes lines of fields.
type delimitedFile struct {
	Delimiter    string            `yaml:"delimiter,omitempty"` // "" = comma; "\t" is a tab
	Header       string            `yaml:"header,omitempty"`    // found or none
	Columns      []string          `yaml:"columns,omitempty"`
	Units        map[string]string `yaml:"units,omitempty"`
	DecimalComma bool              `yaml:"decimalComma,omitempty"`
	Comment      string            `yaml:"comment,omitempty"`
	Check        string            `yaml:"check,omitempty"`
}

func (d delimitedFile) protocol(name string) (Protocol, []any, error) {
	at := func(key, format string, args ...any) (Protocol, []any, error) {
		return Protocol{}, []any{"delimited", key}, fmt.Errorf(format, args...)
	}
	delimiter := ','
	if d.Delimiter != "" {
		r, size := utf8.DecodeRuneInString(d.Delimiter)
		if size != len(d.Delimiter) || r == utf8.RuneError || strings.ContainsRune("\r\n\"*", r) {
			return at("delimiter", "%q must be one character, and neither a quote, an asterisk nor a line end", d.Delimiter)
		}
		delimiter = r
	}
	header := codec.HeaderRule(d.Header)
	seen := map[string]bool{}
	for i, c := range d.Columns {
		if c != "" && c != "-" && seen[c] {
			return at("columns", "column %d: there is a %q already; name it \"-\" to leave it out", i+1, c)
		}
		seen[c] = true
	}
	switch {
	case header != "" && header != codec.HeaderFound && header != codec.HeaderNone:
		return at("header", "%q is neither %q nor %q", d.Header, codec.HeaderFound, codec.HeaderNone)
	case d.DecimalComma && delimiter == ',':
		return at("decimalComma", "needs another delimiter than the comma")
	case len(d.Columns) > 512:
		return at("columns", "holds more than 512 columns")
	}
	sum, err := codec.SumByName(d.Check)
	if err != nil {
		return at("check", "%w", err)
	}
	return Protocol{Codec: codec.Table{Label: name, Delimiter: delimiter, Header: header, Columns: d.Columns, Units: d.Units,
		DecimalComma: d.DecimalComma, Comment: d.Comment, Check: sum}}, nil, nil
}

// fixedFile describes frames of one length.
type fixedFile struct {
	Sync     string      `yaml:"sync,omitempty"` // hexadecimal
	Size     int         `yaml:"size"`
	Tail     string      `yaml:"tail,omitempty"`
	Stuffing string      `yaml:"stuffing,omitempty"`
	Check    *checkFile  `yaml:"check,omitempty"`
	Fields   []fieldFile `yaml:"fields"`
}

type checkFile struct {
	Sum   string `yaml:"sum"`
	At    int    `yaml:"at,omitempty"`
	From  int    `yaml:"from,omitempty"`
	To    int    `yaml:"to,omitempty"`
	Order string `yaml:"order,omitempty"` // big or little; "" = as the standard of the sum says
}

type fieldFile struct {
	Name   string  `yaml:"name"`
	Unit   string  `yaml:"unit,omitempty"`
	At     int     `yaml:"at"`
	Type   string  `yaml:"type"`
	Length int     `yaml:"length,omitempty"`
	Bit    *int    `yaml:"bit,omitempty"`
	Scale  float64 `yaml:"scale,omitempty"`
	Offset float64 `yaml:"offset,omitempty"`
}

func (f fixedFile) protocol(name string) (Protocol, []any, error) {
	at := func(key string, err error) (Protocol, []any, error) { return Protocol{}, []any{"fixed", key}, err }
	c := codec.Fixed{Label: name, Size: f.Size, Stuffing: codec.Stuffing(f.Stuffing)}
	var err error
	if c.Sync, err = bytesOf(f.Sync); err != nil {
		return at("sync", err)
	}
	if c.Tail, err = bytesOf(f.Tail); err != nil {
		return at("tail", err)
	}
	if f.Check != nil {
		if c.Sum, err = codec.SumByName(f.Check.Sum); err == nil && f.Check.Sum == "" {
			err = errors.New("sum: must be given")
		}
		switch f.Check.Order {
		case "":
		case "big", "little":
			little := f.Check.Order == "little"
			c.Little = &little
		default:
			err = fmt.Errorf("order %q is neither big nor little", f.Check.Order)
		}
		if err != nil {
			return at("check", err)
		}
		c.SumAt, c.SumFrom, c.SumTo = f.Check.At, f.Check.From, f.Check.To
	}
	for _, field := range f.Fields {
		c.Fields = append(c.Fields, codec.Field(field))
	}
	if key, err := c.Check(); err != nil {
		return at(key, err)
	}
	return Protocol{Codec: c}, nil, nil
}

// bytesOf reads hexadecimal digits with or without blanks.
func bytesOf(text string) ([]byte, error) {
	p, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		return nil, fmt.Errorf("%q must be bytes in hexadecimal, in quotes, such as \"40 0D 04\"", text)
	}
	return p, nil
}

// duration reads "500ms"; "" is 0.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no time; write for example \"500ms\"", text)
	}
	return d, nil
}
