// Package strictyaml reads configuration files that people write by hand: an
// unknown key, a key given twice or a value of the wrong type is an error that
// names the file, the line and, where it can be guessed, what was meant.
//
// It knows nothing of the meaning of any key; callers check that and ask
// Document.Errorf for an error that points at the right line.
package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Document is a parsed file that can still say on which line a value stood.
type Document struct {
	name string
	file *ast.File
}

// Error is a mistake in a file. Line is 0 when the place is not known.
type Error struct {
	File    string
	Line    int
	Message string
}

// Error implements error: "file:line: message".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// Decode reads data into the struct that into points to. Keys of into that the
// file leaves out keep their values. name is used in errors only.
// Every error is an *Error.
func Decode(name string, data []byte, into any) (*Document, error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, translate(name, err, into)
	}
	if len(file.Docs) > 1 {
		return nil, &Error{File: name, Line: line(file.Docs[1].Body), Message: "holds more than one document; keep one, without further '---' lines"}
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil, &Error{File: name, Message: "is empty"}
	}
	if err := yaml.UnmarshalWithOptions(data, into, yaml.Strict()); err != nil {
		mistake := translate(name, err, into)
		if mistake.Line == 0 || strings.Contains(mistake.Message, durationType.String()) {
			if at := wrongTime(name, file.Docs[0].Body, reflect.TypeOf(into), nil); at != nil {
				return nil, at
			}
		}
		return nil, mistake
	}
	return &Document{name: name, file: file}, nil
}

// Errorf returns an *Error that points at the value reached by the keys and
// indices in path, or at its nearest parent that is present.
func (d *Document) Errorf(path []any, format string, args ...any) error {
	return &Error{File: d.name, Line: d.Line(path...), Message: label(path) + fmt.Sprintf(format, args...)}
}

// Line returns the line of the value reached by the keys (string) and indices
// (int) in path, or of its nearest parent that is present; 0 for none.
func (d *Document) Line(path ...any) int {
	if d == nil {
		return 0
	}
	node := d.file.Docs[0].Body
	found := line(node)
	for _, step := range path {
		next, at := child(node, step)
		if next == nil {
			return found
		}
		node, found = next, at
	}
	return found
}

// child returns the node one step below and the line on which it starts.
func child(node ast.Node, step any) (ast.Node, int) {
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, value := range n.Values {
			if key, ok := step.(string); ok && value.Key.String() == key {
				return value.Value, line(value.Key)
			}
		}
	case *ast.SequenceNode:
		if i, ok := step.(int); ok && i >= 0 && i < len(n.Values) {
			return n.Values[i], line(n.Values[i])
		}
	}
	return nil, 0
}

// line returns the line of a node, or 0.
func line(node ast.Node) int {
	if node == nil || node.GetToken() == nil || node.GetToken().Position == nil {
		return 0
	}
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return line(m.Values[0].Key)
	}
	return node.GetToken().Position.Line
}

// label prints a path the way it is read: "limits.LAT-02: ".
func label(path []any) string {
	if len(path) == 0 {
		return ""
	}
	var b strings.Builder
	for _, step := range path {
		switch s := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", s)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			fmt.Fprint(&b, s)
		}
	}
	return b.String() + ": "
}

var unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)

// translate turns an error of the YAML library into one line with its place.
func translate(name string, err error, into any) *Error {
	out := &Error{File: name, Message: firstLine(err.Error())}
	var located yaml.Error
	if errors.As(err, &located) {
		out.Message = located.GetMessage()
		if t := located.GetToken(); t != nil && t.Position != nil {
			out.Line = t.Position.Line
		}
	}
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) && wrong.DstType != durationType {
		out.Message = wrongType(wrong)
	}
	if m := unknownField.FindStringSubmatch(out.Message); m != nil {
		out.Message = fmt.Sprintf("unknown key %q", m[1])
		if near := Nearest(m[1], Keys(into)); near != "" {
			out.Message += fmt.Sprintf("; did you mean %q?", near)
		}
	}
	return out
}

// wrongType says what belongs in the place of a value of the wrong type.
func wrongType(e *yaml.TypeError) string {
	is := inWords(e.SrcType)
	key := ""
	if t := e.Token; t != nil {
		if k := e.SrcType.Kind(); k != reflect.Slice && k != reflect.Map {
			is = fmt.Sprintf("%q", t.Value)
		}
		if t.Prev != nil && t.Prev.Type == token.MappingValueType && t.Prev.Prev != nil {
			key = t.Prev.Prev.Value + ": "
		}
	}
	return fmt.Sprintf("%smust be %s, is %s", key, inWords(e.DstType), is)
}

// inWords names a type as the writer of a file knows it.
func inWords(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Map, t.Kind() == reflect.Struct:
		return "keys with values"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "a whole number"
	default:
		return "a number"
	}
}

func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return text
}

// Keys returns the YAML keys of the struct (or pointer to one) and of every
// struct below it.
func Keys(v any) []string {
	var keys []string
	collect(reflect.TypeOf(v), map[reflect.Type]bool{}, &keys)
	return keys
}

func collect(t reflect.Type, seen map[reflect.Type]bool, keys *[]string) {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct || seen[t] {
		return
	}
	seen[t] = true
	for i := range t.NumField() {
		field := t.Field(i)
		key, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if key != "" && key != "-" {
			*keys = append(*keys, key)
		}
		if key != "" || strings.Contains(options, "inline") {
			collect(field.Type, seen, keys)
		}
	}
}
