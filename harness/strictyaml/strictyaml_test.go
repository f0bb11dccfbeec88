package strictyaml_test

import (
	"strings"
	"testing"
	"time"

	"plumbline/harness/strictyaml"
)

type file struct {
	Name  string          `yaml:"name"`
	Loads map[string]load `yaml:"loads"`
	Ports []port          `yaml:"ports"`
	Hold  *hold           `yaml:"hold"`
}

type hold struct {
	Most  time.Duration            `yaml:"most"`
	Steps []time.Duration          `yaml:"steps"`
	Named map[string]time.Duration `yaml:"named"`
}

type load struct {
	Devices int `yaml:"devices"`
}

type port struct {
	Baud int `yaml:"baud"`
}

const good = `name: lab
loads:
  steady:
    devices: 3
  quick: {devices: 4}
ports:
  - baud: 9600
  - baud: 115200
`

func TestDecodeReadsAndFindsLines(t *testing.T) {
	var f file
	doc, err := strictyaml.Decode("lab.yaml", []byte(good), &f)
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "lab" || f.Loads["steady"].Devices != 3 || f.Ports[1].Baud != 115200 {
		t.Fatalf("decoded %+v", f)
	}
	for _, c := range []struct {
		path []any
		want int
	}{
		{[]any{"name"}, 1},
		{[]any{"loads", "steady", "devices"}, 4},
		{[]any{"loads", "quick", "devices"}, 5},
		{[]any{"ports", 1, "baud"}, 8},
		{[]any{"loads", "steady", "absent"}, 3},
		{[]any{"absent"}, 1},
	} {
		if got := doc.Line(c.path...); got != c.want {
			t.Errorf("line of %v is %d, want %d", c.path, got, c.want)
		}
	}
	err = doc.Errorf([]any{"ports", 1, "baud"}, "must be %s", "positive")
	if want := "lab.yaml:8: ports[1].baud: must be positive"; err.Error() != want {
		t.Errorf("Errorf gave %q, want %q", err, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "name: x\nloads:\n  a:\n    device: 3\n", `f.yaml:4: unknown key "device"; did you mean "devices"?`},
		{"unknown key, no guess", "name: x\nzzzzzz: 1\n", `f.yaml:2: unknown key "zzzzzz"`},
		{"wrong type", "name: x\nports: [{baud: fast}]\n", `f.yaml:2: baud: must be a whole number, is "fast"`},
		{"list for a number", "name: x\nports:\n  - baud: [1]\n", `f.yaml:3: baud: must be a whole number, is a list`},
		{"duplicate key", "name: x\nname: y\n", "f.yaml:2: "},
		{"broken syntax", "name: [x\n", "f.yaml:"},
		{"two documents", "name: x\n---\nname: y\n", "more than one document"},
		{"time without unit", "name: x\nhold:\n  steps: [1s]\n  most: 10\n", `f.yaml:4: hold.most: "10" is not a time; write it with its unit, for example 10s`},
		{"time with a wrong unit", "name: x\nhold:\n  most: 10 apples\n", `f.yaml:3: hold.most: "10 apples" is not a time`},
		{"time in a list", "name: 10x\nhold:\n  steps:\n    - 1s\n    - 10x\n", `f.yaml:5: hold.steps[1]: "10x" is not a time`},
		{"time in a map", "name: x\nhold:\n  named: {a: 1s,\n    b: soon}\n", `f.yaml:4: hold.named.b: "soon" is not a time`},
		{"empty", "", "f.yaml: is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := strictyaml.Decode("f.yaml", []byte(c.text), &file{})
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error is %q, want one line with %q", err, c.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	words := []string{"devices", "viewers", "rate"}
	for word, want := range map[string]string{"device": "devices", "Viewer": "viewers", "rat": "rate", "raet": "rate", "colour": "", "": ""} {
		if got := strictyaml.Nearest(word, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
