package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// described is the part of the document that the tests look at.
type described struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Ref string `json:"$ref"`
		}
		Responses map[string]any
	}
	Components struct {
		Parameters map[string]struct {
			Name, In string
			Required bool
			Schema   struct {
				Default any
				Enum    []string
				Items   struct{ Enum []string }
			}
		}
	}
}

func readDocument(t *testing.T) (d described) {
	t.Helper()
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func plainJSON(t *testing.T, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDocumentIsOpenAPI(t *testing.T) {
	text, err := os.ReadFile("testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", plainJSON(t, text)); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(plainJSON(t, document)); err != nil {
		t.Errorf("%#v", err)
	}
	broken := plainJSON(t, document).(map[string]any)
	delete(broken, "info")
	if schema.Validate(broken) == nil {
		t.Error("the schema takes a document without info")
	}
}

// Every route and every parameter of the code is in the document with its default and its choices, and the other way round.
func TestDocumentDescribesEveryParameter(t *testing.T) {
	d := readDocument(t)
	if len(d.Paths) != len(routes)+1 {
		t.Errorf("%d paths, want %d", len(d.Paths), len(routes)+1)
	}
	for _, rt := range routes {
		op, ok := d.Paths[Root+"history/"+rt.name]["get"]
		if !ok {
			t.Errorf("%s is not described", rt.name)
			continue
		}
		var names []string
		for _, p := range op.Parameters {
			name := strings.TrimPrefix(p.Ref, "#/components/parameters/")
			if name != "If-None-Match" {
				names = append(names, name)
			}
		}
		var want []string
		for _, p := range rt.params {
			want = append(want, p.name)
			got := d.Components.Parameters[p.name]
			choices := slices.Concat(got.Schema.Enum, got.Schema.Items.Enum)
			def := strings.NewReplacer("[", "", "]", "", " ", ",").Replace(fmt.Sprint(got.Schema.Default))
			if got.Schema.Default == nil {
				def = ""
			}
			if got.Name != p.name || got.In != "query" || got.Required != p.required || !slices.Equal(choices, p.choices) || def != p.def {
				t.Errorf("%s: parameter %s is %+v, want %+v", rt.name, p.name, got, p)
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: parameters %q, want %q", rt.name, names, want)
		}
	}
}

// Every answer is as its schema says.
func TestAnswersAreAsDescribed(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("doc.json", plainJSON(t, document)); err != nil {
		t.Fatal(err)
	}
	one := with([]string{"topic", "plant/1"}, span)
	for _, rt := range routes {
		schema, err := c.Compile("doc.json#/components/schemas/" + strings.ToUpper(rt.name[:1]) + rt.name[1:])
		if err != nil {
			t.Fatal(err)
		}
		ask := one
		switch rt.name {
		case "topics", "latest":
			ask = []string{"filter", "#", "limit", "2"}
		case "events":
			ask = with([]string{"filter", "#", "limit", "2"}, span)
		case "aggregate":
			ask = with(one, []string{"step", "1s", "functions", strings.Join(statistics, ",")})
		}
		w := r.get("anna", rt.name, ask...)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: status %d: %s", rt.name, w.Code, w.Body)
		}
		if err := schema.Validate(plainJSON(t, w.Body.Bytes())); err != nil {
			t.Errorf("%s: %#v", rt.name, err)
		}
		if _, ok := readDocument(t).Paths[Root+"history/"+rt.name]["get"].Responses["403"]; !ok {
			t.Errorf("%s: 403 is not described", rt.name)
		}
	}
	schema, err := c.Compile("doc.json#/components/schemas/Problem")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(plainJSON(t, r.get("anna", "topics").Body.Bytes())); err != nil {
		t.Errorf("problem: %#v", err)
	}
	w := httptest.NewRecorder()
	r.h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, Root+"openapi.json", nil))
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), document) {
		t.Errorf("the document is not served: status %d", w.Code)
	}
}
