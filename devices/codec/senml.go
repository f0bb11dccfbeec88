package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"plumbline/devices"
)

// SenML is a pack of sensor measurements (RFC 8428): one JSON array a line, or
// as a whole message in CBOR. Base name, base unit, base value and base sum are
// resolved (4.6). Numbers, texts and booleans (1 and 0) become values, data
// values texts in base64url, and sums values named "….sum". Units are those of the
// pack (section 12.1), of which "lat" and "lon" become "deg" and "%RH" "%". Times
// are left out: samples are stamped when they come.
//
// A pack of a later version, or with a label that must be understood and is not
// (4.4), is damaged for us: it would be read wrong.
type SenML struct {
	CBOR bool // section 6: for MQTT, or inside COBS or SLIP
}

var _ Codec = SenML{}

// Name implements Codec.
func (c SenML) Name() string {
	if c.CBOR {
		return "senml+cbor"
	}
	return "senml+json"
}

// NewFramer implements Codec: lines for JSON; CBOR has no end of its own and
// comes whole.
func (c SenML) NewFramer() Framer {
	if c.CBOR {
		return &whole{}
	}
	return &Lines{Max: maxSenML}
}

// maxSenML bounds a pack that comes as a line, in bytes.
const maxSenML = 64 << 10

// Decode implements Codec.
func (c SenML) Decode(frame []byte) ([]devices.Value, error) {
	var records []senRecord
	var err error
	if c.CBOR {
		records, err = readCBORPack(frame)
	} else {
		records, err = readJSONPack(frame)
	}
	if err != nil {
		return nil, err
	}
	return resolve(records)
}

// senRecord is one record by the labels of JSON; values are float64, string,
// bool or []byte.
type senRecord map[string]any

// senLabels are the labels of RFC 8428, tables 2 and 4: kind of value and label in CBOR.
var senLabels = map[string]struct {
	kind byte // n number, s text, b boolean, d data
	cbor int64
}{
	"bver": {'n', -1}, "bn": {'s', -2}, "bt": {'n', -3}, "bu": {'s', -4}, "bv": {'n', -5}, "bs": {'n', -6},
	"n": {'s', 0}, "u": {'s', 1}, "v": {'n', 2}, "vs": {'s', 3}, "vb": {'b', 4}, "s": {'n', 5}, "t": {'n', 6}, "ut": {'n', 7}, "vd": {'d', 8},
}

// nested stands for a value that no label takes, such as a list.
type nested struct{}

// put takes a member of a record, if its label is known and its value of the
// right kind; labels that nobody needs to understand are skipped (4.4).
func (r senRecord) put(label string, value any) error {
	l, known := senLabels[label]
	if !known {
		if strings.HasSuffix(label, "_") {
			return damaged("label %q must be understood and is not", clip(label))
		}
		return nil
	}
	if _, twice := r[label]; twice {
		return damaged("label %q comes twice in a record", label)
	}
	ok := false
	switch v := value.(type) {
	case float64:
		ok = l.kind == 'n' && !math.IsNaN(v) && !math.IsInf(v, 0)
	case string:
		ok = l.kind == 's' || l.kind == 'd'
	case []byte:
		ok, value = l.kind == 'd', base64.RawURLEncoding.EncodeToString(v)
	case bool:
		ok = l.kind == 'b'
	}
	if !ok {
		return damaged("label %q has a value of the wrong kind", label)
	}
	r[label] = value
	return nil
}

func (r senRecord) number(label string) float64 {
	n, _ := r[label].(float64)
	return n
}

func (r senRecord) text(label string) string {
	s, _ := r[label].(string)
	return s
}

func (r senRecord) has(label string) bool {
	_, ok := r[label]
	return ok
}

// base keeps the base fields that hold for a record and those after it.
type base struct {
	name, unit string
	value, sum float64
}

// resolve makes values of records (4.6).
func resolve(records []senRecord) ([]devices.Value, error) {
	var b base
	values := make([]devices.Value, 0, len(records))
	for _, r := range records {
		if v := r.number("bver"); v > 10 {
			return nil, damaged("version %g of SenML; 10 is understood", v)
		}
		b.take(r)
		added, err := b.read(r)
		if err != nil {
			return nil, err
		}
		if values = append(values, added...); len(values) > maxValues {
			return nil, damaged("more than %d values", maxValues)
		}
	}
	return values, nil
}

func (b *base) take(r senRecord) {
	if r.has("bn") {
		b.name = r.text("bn")
	}
	if r.has("bu") {
		b.unit = r.text("bu")
	}
	if r.has("bv") {
		b.value = r.number("bv")
	}
	if r.has("bs") {
		b.sum = r.number("bs")
	}
}

// read returns the values of one record; one of base fields alone has none.
func (b *base) read(r senRecord) ([]devices.Value, error) {
	kinds := 0
	for _, label := range []string{"v", "vs", "vb", "vd"} {
		if r.has(label) {
			kinds++
		}
	}
	name := b.name + r.text("n")
	switch {
	case kinds > 1:
		return nil, damaged("a record with more than one value")
	case kinds == 0 && !r.has("s") && !r.has("n"):
		return nil, nil
	case kinds == 0 && !r.has("s"):
		return nil, damaged("record %q has no value", clip(name))
	case !senName(name):
		return nil, damaged("%q is no name (RFC 8428, 4.5.1)", clip(name))
	}
	unit := b.unit
	if r.has("u") {
		unit = r.text("u")
	}
	v := devices.Value{Name: name, Unit: senUnit(unit)}
	var out []devices.Value
	switch {
	case r.has("v"):
		v.Number = b.value + r.number("v")
		out = append(out, v)
	case r.has("vb"):
		if on, _ := r["vb"].(bool); on {
			v.Number = 1
		}
		out = append(out, v)
	case kinds == 1:
		v.Text, v.IsText = r.text("vs")+r.text("vd"), true
		out = append(out, v)
	}
	if r.has("s") {
		out = append(out, devices.Value{Name: name + ".sum", Number: b.sum + r.number("s")})
	}
	for _, v := range out {
		if math.IsInf(v.Number, 0) {
			return nil, damaged("record %q is out of range", clip(name))
		}
	}
	return out, nil
}

// senName is the rule of RFC 8428, 4.5.1.
func senName(s string) bool {
	if s == "" || len(s) > maxName || strings.ContainsRune("-:./_", rune(s[0])) {
		return false
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return strings.Trim(s, letters+"0123456789-:./_") == ""
}

func senUnit(u string) string {
	switch u {
	case "lat", "lon":
		return "deg"
	case "%RH", "%EL":
		return "%"
	}
	return u
}

// readJSONPack reads an array of flat objects (section 5).
func readJSONPack(p []byte) ([]senRecord, error) {
	p = bytes.TrimSpace(p)
	if len(p) == 0 || p[0] != '[' {
		return nil, unchecked("not a JSON array")
	}
	dec := json.NewDecoder(bytes.NewReader(p))
	_, _ = dec.Token() // the bracket
	var records []senRecord
	for dec.More() {
		if len(records) >= maxValues {
			return nil, damaged("more than %d records", maxValues)
		}
		r, err := readJSONRecord(dec)
		if err != nil {
			return nil, asReject(err)
		}
		records = append(records, r)
	}
	if _, err := dec.Token(); err != nil {
		return nil, asReject(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, damaged("bytes after the pack")
	}
	return records, nil
}

func readJSONRecord(dec *json.Decoder) (senRecord, error) {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(err, damaged("a record that is no object"))
	}
	r := senRecord{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		label, _ := key.(string)
		value, err := jsonMember(raw)
		if err == nil || senLabels[label].kind == 0 { // what nobody must understand may be anything
			err = r.put(label, value)
		}
		if err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return r, err
}

// jsonMember reads the value of one member.
func jsonMember(raw []byte) (any, error) {
	switch raw[0] {
	case '[', '{':
		return nested{}, nil
	case '"', 't', 'f', 'n':
		var value any
		err := json.Unmarshal(raw, &value)
		return value, err
	}
	f, err := json.Number(raw).Float64()
	if err != nil {
		return nil, damaged("number %s is out of range", clip(string(raw)))
	}
	return f, nil
}

// AppendSenML appends a pack of the values in JSON, with a line end, or in CBOR,
// as a device called name sends it.
func AppendSenML(dst []byte, asCBOR bool, name string, values []devices.Value) []byte {
	pack := make([]map[string]any, 0, len(values)+1)
	pack = append(pack, map[string]any{"bn": name + ":"})
	for _, v := range values {
		r := map[string]any{"n": strings.Map(senRune, v.Name)}
		if v.IsText {
			r["vs"] = v.Text
		} else {
			r["v"] = v.Number
		}
		if v.Unit != "" {
			r["u"] = v.Unit
		}
		pack = append(pack, r)
	}
	if !asCBOR {
		text, _ := json.Marshal(pack) // texts and finite numbers cannot fail
		return append(append(dst, text...), '\r', '\n')
	}
	short := make([]map[int64]any, len(pack))
	for i, r := range pack {
		short[i] = map[int64]any{}
		for label, value := range r {
			short[i][senLabels[label].cbor] = value
		}
	}
	data, _ := cbor.Marshal(short)
	return append(dst, data...)
}

// senRune replaces what a name cannot hold.
func senRune(r rune) rune {
	if senName("a" + string(r)) {
		return r
	}
	return '_'
}

// Message decodes what a frame of a binary protocol usually holds: a JSON
// object, a SenML pack in JSON or CBOR, or one number as text; anything else is
// Unchecked.
type Message struct{}

var _ Codec = Message{}

// Name implements Codec.
func (Message) Name() string { return "message" }

// NewFramer implements Codec: messages come whole.
func (Message) NewFramer() Framer { return &whole{} }

// Decode implements Codec.
func (Message) Decode(frame []byte) ([]devices.Value, error) {
	body := bytes.TrimSpace(frame)
	switch {
	case len(body) == 0:
		return nil, control("an empty message")
	case body[0] == '{':
		return decodeObject(body, nil)
	case body[0] == '[':
		return SenML{}.Decode(body)
	case frame[0]>>5 == 4:
		return SenML{CBOR: true}.Decode(frame)
	}
	if n, ok := scientific(string(body)); ok {
		return []devices.Value{{Name: "value", Number: n}}, nil
	}
	return nil, unchecked("neither a JSON object, a SenML pack nor a number")
}
