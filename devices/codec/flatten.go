package codec

import (
	"encoding/json"
	"math"
	"strconv"

	"plumbline/devices"
)

// flattener walks the tokens of a JSON object in their order, so that values
// keep the order in which the device sent them.
type flattener struct {
	dec    *json.Decoder
	units  map[string]string
	values []devices.Value
}

// members reads the members of an object up to its closing brace.
func (f *flattener) members(path string, depth int) error {
	for f.dec.More() {
		key, err := f.dec.Token()
		if err != nil {
			return err
		}
		name, ok := key.(string)
		if !ok {
			return damaged("a member's name is no text")
		}
		switch name = join(path, name); {
		case name == "":
			return damaged("a member without a name")
		case len(name) > maxName:
			return damaged("a value's name is longer than %d bytes", maxName)
		}
		if err := f.value(name, depth); err != nil {
			return err
		}
	}
	_, err := f.dec.Token()
	return err
}

// elements reads the elements of an array up to its closing bracket.
func (f *flattener) elements(path string, depth int) error {
	for i := 0; f.dec.More(); i++ {
		if err := f.value(join(path, strconv.Itoa(i)), depth); err != nil {
			return err
		}
	}
	_, err := f.dec.Token()
	return err
}

// value reads one value of any kind.
func (f *flattener) value(path string, depth int) error {
	token, err := f.dec.Token()
	if err != nil {
		return err
	}
	if len(f.values) >= maxValues {
		return damaged("more than %d values", maxValues)
	}
	switch t := token.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return damaged("nested deeper than %d", maxDepth)
		}
		if t == '{' {
			return f.members(path, depth+1)
		}
		return f.elements(path, depth+1)
	case json.Number:
		n, err := t.Float64()
		if err != nil || math.IsInf(n, 0) {
			return damaged("number %s is out of range", t)
		}
		f.add(path, n)
	case bool:
		n := 0.0
		if t {
			n = 1
		}
		f.add(path, n)
	case string:
		f.values = append(f.values, devices.Value{Name: path, Unit: f.units[path], Text: t, IsText: true})
	}
	return nil
}

func (f *flattener) add(name string, number float64) {
	f.values = append(f.values, devices.Value{Name: name, Unit: f.units[name], Number: number})
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
