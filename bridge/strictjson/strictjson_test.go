package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     error
	}{
		{"object", `{"a":1,"b":{"a":2}}`, nil},
		{"array of objects with the same names", `[{"a":1},{"a":2}]`, nil},
		{"scalar", `"x"`, nil},
		{"spaces round it", " {} \n", nil},
		{"huge number is only text here", `{"a":1e400}`, nil},
		{"duplicate at the top", `{"a":1,"a":2}`, ErrDuplicate},
		{"duplicate spelled with an escape", `{"a":1,"\u0061":2}`, ErrDuplicate},
		{"duplicate deep inside", `{"x":[{"y":{"k":1,"k":1}}]}`, ErrDuplicate},
		{"two values", `{} {}`, ErrTrailing},
		{"garbage after", `{}x`, ErrTrailing},
		{"too deep", strings.Repeat("[", 5) + strings.Repeat("]", 5), ErrDepth},
		{"a pair of surrogates", `{"\ud83d\ude00":"\\\ud83d\ude00\\ud800\u0041"}`, nil},
		{"not UTF-8", "{\"a\":\"\xff\"}", ErrText},
		{"a surrogate in UTF-8", "\"\xed\xa0\x80\"", ErrText},
		{"half a pair", `"\ud83d"`, ErrText},
		{"half a pair and text", `"\uD83Dude00"`, ErrText},
		{"half a pair and a backslash", `"\ud83d\\ude00"`, ErrText},
		{"the other half", `{"a":"x\ude00"}`, ErrText},
		{"the halves the other way round", `"\ude00\ud83d"`, ErrText},
		{"half a pair in a name", `{"\ud83d":1}`, ErrText},
		{"two halves of one kind", `"\ud83d\ud83d\ude00"`, ErrText},
		{"depth bomb", strings.Repeat("[", 100_000), ErrDepth},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := Check([]byte(tc.in), 4); !errors.Is(err, tc.want) {
				t.Fatalf("Check(%.40q) = %v, want %v", tc.in, err, tc.want)
			}
		})
	}
	for _, in := range []string{``, `{`, `{"a"}`, `{"a":}`, `[1,]`, `nul`, `{"a":NaN}`, `{'a':1}`} {
		err := Check([]byte(in), 4)
		if err == nil || errors.Is(err, ErrDuplicate) || errors.Is(err, ErrDepth) {
			t.Errorf("Check(%q) = %v, want a syntax error", in, err)
		}
	}
}

// FuzzCheck holds Check to encoding/json: whatever Check accepts, json.Valid accepts, and reads without putting anything in place of
// what is no text.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `[]`, `{"a":1,"a":2}`, `[[[[[[]]]]]]`, "\x00", `"\ud83d\ude00"`, `"\ud83d"`, `"\\\ud83dx"`, "\"\xff\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if Check(in, 16) == nil && !json.Valid(in) {
			t.Fatalf("accepted invalid JSON %q", in)
		}
		var text string
		if json.Unmarshal(in, &text) == nil && strings.Contains(text, "\ufffd") && !bytes.Contains(in, []byte("\ufffd")) &&
			!bytes.Contains(bytes.ToLower(in), []byte(`\ufffd`)) && Check(in, 16) == nil {
			t.Fatalf("accepted %q, which is read as %q", in, text)
		}
	})
}

func TestDecode(t *testing.T) {
	var a string
	var n int
	members := map[string]any{"a": &a, "n": &n}
	if err := Decode([]byte(`{"a":"x","A":"y","n":3,"more":[1]}`), 4, members); err != nil || a != "x" || n != 3 {
		t.Errorf("a %q, n %d, %v", a, n, err)
	}
	for _, bad := range []string{`[1]`, `null`, `"a"`, `{"a":1}`, `{"a":"x","a":"y"}`, `{"n":1} {}`, `{"n":[[[[1]]]]}`} {
		if err := Decode([]byte(bad), 4, members); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	err := Decode([]byte(`{"a":1}`), 4, members)
	if !errors.Is(err, ErrType) {
		t.Errorf("%v, want ErrType", err)
	}
}
