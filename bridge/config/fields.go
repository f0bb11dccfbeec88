package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// field is one setting that can be given a value.
type field struct {
	path string // as in YAML, joined by dots
	val  reflect.Value
}

// fields lists the settings of c by path, in declaration order, and the paths of the groups.
func fields(c *Config) (leaves []field, groups map[string]bool) {
	groups = map[string]bool{"": true}
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			path := v.Type().Field(i).Tag.Get("yaml")
			if path == "-" {
				continue
			}
			if prefix != "" {
				path = prefix + "." + path
			}
			if f := v.Field(i); f.Kind() == reflect.Struct {
				groups[path] = true
				walk(f, path)
			} else if named, ok := f.Interface().([]External); ok {
				groups[path] = true
				for j := range named {
					groups[path+"."+named[j].Name] = true
					walk(f.Index(j), path+"."+named[j].Name)
				}
			} else {
				leaves = append(leaves, field{path, f})
			}
		}
	}
	walk(reflect.ValueOf(c).Elem(), "")
	return leaves, groups
}

// set gives f the value that text spells. A list takes comma separated items.
func (f field) set(text string) error {
	switch f.val.Interface().(type) {
	case Bytes:
		n, err := ParseBytes(text)
		if err != nil {
			return err
		}
		f.val.SetInt(int64(n))
	case Duration:
		d, err := parseDuration(text)
		if err != nil {
			return err
		}
		f.val.SetInt(int64(d))
	case []string:
		var items []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		f.val.Set(reflect.ValueOf(items))
	case bool:
		switch text {
		case "true", "false":
			f.val.SetBool(text == "true")
		default:
			return fmt.Errorf("%q: want true or false", text)
		}
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q: want a whole number", text)
		}
		f.val.SetInt(int64(n))
	case float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q: want a number", text)
		}
		f.val.SetFloat(n)
	default:
		if f.isRecords() {
			return setRecords(f.val, text)
		}
		f.val.SetString(text)
	}
	return nil
}

// isList reports whether f takes several values.
func (f field) isList() bool { return f.val.Kind() == reflect.Slice }

// envName returns the variable that overrides path.
func envName(path string) string {
	var b strings.Builder
	b.WriteString(EnvPrefix)
	prev := rune(0)
	for _, r := range path {
		switch {
		case r == '.' || r == '-':
			b.WriteByte('_')
		case unicode.IsUpper(r) && unicode.IsLower(prev):
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteRune(unicode.ToUpper(r))
		}
		prev = r
	}
	return b.String()
}

// ParseBytes reads a size such as 65536, 64KiB or 1GB.
func ParseBytes(text string) (Bytes, error) {
	bad := fmt.Errorf("%q: want a size such as 65536, 64KiB, 16MiB or 1GB", text)
	digits := strings.TrimRight(text, "BKMGTikmgtb ")
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 0 {
		return 0, bad
	}
	unit := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
	mul, ok := unit[strings.TrimSpace(text[len(digits):])]
	if !ok || n > math.MaxInt64/mul {
		return 0, bad
	}
	return Bytes(n * mul), nil
}

func parseDuration(text string) (Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q: want a time span with its unit, such as 250ms, 5s or 1h30m", text)
	}
	return Duration(d), nil
}

// nearest returns the candidate most like name, or "" when none is near.
func nearest(name string, candidates []string) string {
	best, bestDist := "", len(name)/2+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDist {
			best, bestDist = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diag, row[j] = row[j], min(row[j]+1, row[j-1]+1, diag+cost)
		}
	}
	return row[len(b)]
}
