package render

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"plumbline/reports"
	"plumbline/reports/internal/plain"
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

// clean makes s one line of visible text, see plain.Text. What is longer than
// maxText is cut: nobody reads a device name of a megabyte, and summary.json has it
// all.
func clean(s string) string {
	if len(s) <= maxText {
		return plain.Text(s)
	}
	var b strings.Builder
	for _, r := range s {
		if b.Len() > keptText {
			fmt.Fprintf(&b, "… (cut here, %d bytes in all; %s has them)", len(s), SummaryFile)
			break
		}
		b.WriteString(plain.Text(string(r)))
	}
	return b.String()
}

// maxText bounds a text in bytes, keptText what is kept of a longer one, so that with
// its last words it fits.
const (
	maxText  = 4 << 10
	keptText = maxText - 128
)

// isHidden reports characters that would be obeyed instead of shown.
func isHidden(r rune) bool { return plain.Hidden(r) }
