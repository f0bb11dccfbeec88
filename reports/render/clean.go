package render

import (
	"fmt"
	"reflect"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"plumbline/reports"
)

// sanitize returns a deep copy of the run in which every string is one line of
// visible text: see clean. All renderers but JSON work on such a copy, so no
// template can forget it.
func sanitize(run *reports.Run) *reports.Run {
	return cleanValue(reflect.ValueOf(normalize(run))).Interface().(*reports.Run)
}

// cleanValue copies v deeply, cleaning its strings. Types that carry their own
// text form (time.Time) hold no foreign text and are copied as they are.
func cleanValue(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		return reflect.ValueOf(clean(v.String())).Convert(v.Type())
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(cleanValue(v.Elem()))
		return out
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(cleanValue(v.Index(i)))
		}
		return out
	case reflect.Map:
		out := reflect.MakeMapWithSize(v.Type(), v.Len())
		keys := v.MapKeys() // in order, so that keys which clean to the same text always end the same
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		for _, key := range keys {
			out.SetMapIndex(cleanValue(key), cleanValue(v.MapIndex(key)))
		}
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(cleanValue(v.Field(i)))
			}
		}
		return out
	default:
		return v
	}
}

// clean makes s one line of visible text: line ends and tabs become spaces,
// other control characters and invisible direction marks become a visible
// escape such as \x1b or \u202e, and every byte that is no UTF-8 becomes U+FFFD.
// What is longer than maxText is cut: nobody reads a device name of a megabyte, and
// summary.json has it all.
func clean(s string) string {
	if len(s) <= maxText && !needsCleaning(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s { // an invalid byte reads as U+FFFD, as in JSON
		if b.Len() > keptText {
			fmt.Fprintf(&b, "… (cut here, %d bytes in all; %s has them)", len(s), SummaryFile)
			break
		}
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			b.WriteByte(' ')
		case r < 0x100 && isHidden(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case isHidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// maxText bounds a text in bytes, keptText what is kept of a longer one, so that with
// its last words it fits.
const (
	maxText  = 4 << 10
	keptText = maxText - 128
)

func needsCleaning(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return isHidden(r) || r == '\u2028' || r == '\u2029'
	})
}

// isHidden reports characters that a terminal or browser would obey instead of
// show: C0 and C1 controls (ECMA-48), and format characters (Unicode Cf), which
// include the direction overrides; also what XML 1.0 section 2.2 excludes.
func isHidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\uFFFE' || r == '\uFFFF'
}
