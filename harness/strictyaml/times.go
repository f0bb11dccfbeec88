package strictyaml

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

var durationType = reflect.TypeFor[time.Duration]()

// wrongTime returns an error that points at the first value below node that is
// to be read into a time.Duration and is none, nil when there is no such value.
// The YAML library passes on what the time package says, which knows no lines.
func wrongTime(name string, node ast.Node, t reflect.Type, path []any) *Error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || node == nil {
		return nil
	}
	if t == durationType {
		return checkTime(name, node, path)
	}
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, value := range n.Values {
			key := value.Key.String()
			below, ok := elementOf(t, key)
			if !ok {
				continue
			}
			if err := wrongTime(name, value.Value, below, append(path, key)); err != nil {
				return err
			}
		}
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
			return nil
		}
		for i, value := range n.Values {
			if err := wrongTime(name, value, t.Elem(), append(path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// elementOf returns the type that the value of a key is read into.
func elementOf(t reflect.Type, key string) (reflect.Type, bool) {
	switch t.Kind() {
	case reflect.Map:
		return t.Elem(), true
	case reflect.Struct:
		for i := range t.NumField() {
			tag, options, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			if tag == key {
				return t.Field(i).Type, true
			}
			if tag == "" && options == "inline" {
				if below, ok := elementOf(t.Field(i).Type, key); ok {
					return below, true
				}
			}
		}
	}
	return nil, false
}

// checkTime checks one value; what is not a plain text or number is left to
// the YAML library.
func checkTime(name string, node ast.Node, path []any) *Error {
	var text string
	switch n := node.(type) {
	case *ast.StringNode:
		if _, err := time.ParseDuration(n.Value); err == nil {
			return nil
		}
		text = n.Value
	case *ast.IntegerNode, *ast.FloatNode:
		text = n.String()
	default:
		return nil
	}
	return &Error{File: name, Line: line(node), Message: label(path) + fmt.Sprintf("%q is not a time; write it with its unit, for example 10s", text)}
}
