package codec_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"plumbline/devices"
	"plumbline/devices/codec"
)

// said writes values shortly: name=value, texts quoted.
func said(values []devices.Value) string {
	var out []string
	for _, v := range values {
		text := fmt.Sprint(v.Number)
		if v.IsText {
			text = fmt.Sprintf("%q", v.Text)
		}
		out = append(out, v.Name+"="+text)
	}
	return strings.Join(out, " ")
}

// refusal is the class and the reason of a reject.
func refusal(err error) string {
	var r *codec.Reject
	if !errors.As(err, &r) {
		return fmt.Sprint(err)
	}
	return [...]string{codec.Damaged: "damaged", codec.Unchecked: "unchecked", codec.Control: "control"}[r.Class] + ": " + r.Reason
}

// TestSenMLSkipsWhatNobodyMustUnderstand: RFC 8428, 4.4.
func TestSenMLSkipsWhatNobodyMustUnderstand(t *testing.T) {
	for pack, want := range map[string]string{
		`[{"n":"a","v":1,"geo":{"x":[1,{"y":2}]},"tags":["p","q"],"u":"Cel"},{"n":"b","v":2}]`: "a=1 b=2",
		`[{"n":"a","v":1,"extra":null,"more":1e999}]`:                                          "a=1",
		`[{"n":"a","v":1,"geo_":{}}]`:                                                          `damaged: label "geo_" must be understood and is not`,
		`[{"n":"a","v":[1]}]`:                                                                  `damaged: label "v" has a value of the wrong kind`,
		`[{"n":"a","v":null}]`:                                                                 `damaged: label "v" has a value of the wrong kind`,
		`[{"n":"a","v":1e999}]`:                                                                "damaged: number 1e999 is out of range",
		`[{"n":"a","v":1,"geo":{"x":[1,{"y":2]}}]`:                                             "damaged: JSON",
	} {
		values, err := codec.SenML{}.Decode([]byte(pack))
		got := said(values)
		if err != nil {
			got = refusal(err)
		}
		if !strings.HasPrefix(got, want) || err == nil && got != want {
			t.Errorf("%s\n is  %s\nwant %s", pack, got, want)
		}
	}
}

// TestSenMLInCBOR: RFC 8428, section 6; the hexadecimal digits are RFC 8949's.
func TestSenMLInCBOR(t *testing.T) {
	for pack, want := range map[string]string{
		"81a2006161 02c4822119 6ab3":                                        "a=273.15",             // tag 4: 27315 · 10^-2
		"81a2006161 02c4820103":                                             "a=30",                 // and 3 · 10^1
		"81a2006161 02c482203829":                                           "a=-4.2",               // -42 · 10^-1
		"81a2006161 02c48232c249010000000000000000":                         "a=1.8446744073709551", // a mantissa beyond 64 bits
		"81a2006161 02c4821903e801":                                         "damaged: decimal fraction out of range",
		"81a2006161 02c4821bffffffffffffffff01":                             "damaged: CBOR",
		"81a2006161 02c48101":                                               `damaged: label "v" has a value of the wrong kind`,
		"81a2006161 02c54200ff":                                             `damaged: label "v" has a value of the wrong kind`, // a bigfloat
		"81a3006161 0201 6367656f a1617881c11a5c5a0000":                     "a=1",                                              // {"geo": {"x": [a time]}}
		"81a3006161 0201 646765 6f5f a0":                                    `damaged: label "geo_" must be understood and is not`,
		"81a3006161 0201 6367656f 8181818181818181818181818181818181818181": "damaged: CBOR",
	} {
		frame, err := hex.DecodeString(strings.ReplaceAll(pack, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		values, err := codec.SenML{CBOR: true}.Decode(frame)
		got := said(values)
		if err != nil {
			got = refusal(err)
		}
		if !strings.HasPrefix(got, want) || err == nil && got != want {
			t.Errorf("%s\n is  %s\nwant %s", pack, got, want)
		}
	}
}
