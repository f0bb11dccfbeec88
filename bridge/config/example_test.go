package config

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// exampleFile is for those who install bridged; the README shows the same text.
const exampleFile = "../deploy/bridge.yaml"

// example returns the configuration in the README.
func example(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "```yaml\napiVersion: ")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the README has no configuration: a yaml block that begins with apiVersion")
	}
	return "apiVersion: " + text
}

// TestExampleHoldsEveryDefault: README and example show the same text, every key stands in it, and it says what an empty file says.
func TestExampleHoldsEveryDefault(t *testing.T) {
	text := example(t)
	if *update {
		if err := os.WriteFile(exampleFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	raw, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != text {
		t.Errorf("%s and the README differ; run: go test ./bridge/config -run TestExampleHoldsEveryDefault -update", exampleFile)
	}
	c, given := Default(), places{}
	if err := errors.Join(parse(&c, "README.md", []byte(text), given)...); err != nil {
		t.Fatal(err)
	}
	want := Default()
	defaults := map[string]any{}
	all, _ := fields(&want)
	for _, f := range all {
		defaults[f.path] = f.val.Interface()
	}
	shown, _ := fields(&c)
	for _, f := range shown {
		if given[f.path] == "" {
			t.Errorf("%s is not in the README's configuration", f.path)
		}
		if got := f.val.Interface(); !reflect.DeepEqual(got, defaults[f.path]) && (f.val.Kind() != reflect.Slice || f.val.Len() > 0) {
			t.Errorf("%s: the README says %v, the default is %v", f.path, got, defaults[f.path])
		}
	}
}
