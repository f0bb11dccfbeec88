package render

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"plumbline/reports"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("run.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("run.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func toJSON(t *testing.T, run *reports.Run) string {
	t.Helper()
	var buf bytes.Buffer
	if err := JSON(&buf, run); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func checkSchema(t *testing.T, text string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return compiledSchema(t).Validate(doc)
}

func TestSchemaAcceptsRuns(t *testing.T) {
	empty := &reports.Run{Schema: reports.SchemaVersion, ID: "r", Tool: reports.Tool{Name: "plumbline"}, SUT: reports.SUT{Name: "s"}, Profile: reports.Profile{Name: "ci"}}
	extreme := sampleMixed()
	extreme.Results[0].Measurement.Upper = reports.Float(math.Inf(1))
	extreme.Results[0].Measurement.Lower = reports.Float(math.NaN())
	extreme.Seed = math.MaxUint64
	for name, run := range map[string]*reports.Run{"empty": empty, "mixed": sampleMixed(), "certified": sampleCertified(), "extreme": extreme} {
		if err := checkSchema(t, toJSON(t, run)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	good := toJSON(t, sampleMixed())
	for _, c := range []struct{ from, to string }{
		{`"schema": "plumbline.run/v1"`, `"schema": "plumbline.run/v2"`},
		{`"overall": "ERROR"`, `"overall": "PASSED"`},
		{`"mode": "replay"`, `"mode": "fake"`},
		{`"attempt": 2`, `"attempt": 0`},
		{`"certifying": false`, `"certifying": "no"`},
		{`"started": "2025-11-23T09:41:07Z"`, `"started": "yesterday"`},
		{`"seed": `, `"sede": `},
	} {
		bad := strings.Replace(good, c.from, c.to, 1)
		if bad == good {
			t.Fatalf("the sample has no %s", c.from)
		}
		if err := checkSchema(t, bad); err == nil {
			t.Errorf("schema accepts %s", c.to)
		}
	}
}

// TestSchemaKnowsEveryField compares the schema with the Go types, so that a
// new field cannot be forgotten in the published form.
func TestSchemaKnowsEveryField(t *testing.T) {
	text := string(Schema())
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			if seen[typ] || typ == reflect.TypeFor[time.Time]() {
				return
			}
			seen[typ] = true
			for i := range typ.NumField() {
				name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				if name == "" || !strings.Contains(text, `"`+name+`": {`) {
					t.Errorf("schema lacks %s.%s (%q)", typ, typ.Field(i).Name, name)
				}
				walk(typ.Field(i).Type)
			}
		default:
		}
	}
	walk(reflect.TypeFor[reports.Run]())
	if len(seen) < 15 {
		t.Fatalf("only %d types were compared", len(seen))
	}
}

// TestJSONIsTheSameEverywhere checks that time zones, monotonic readings and
// nil lists leave no trace.
func TestJSONIsTheSameEverywhere(t *testing.T) {
	a, b := sampleMixed(), sampleMixed()
	b.Started = b.Started.In(time.FixedZone("elsewhere", 3*3600))
	b.Results[0].Started = b.Results[0].Started.In(time.FixedZone("elsewhere", -3600))
	a.Deviations, b.Deviations = nil, []reports.Deviation{}
	if toJSON(t, a) != toJSON(t, b) {
		t.Error("equal runs give different JSON")
	}
}

func TestReadRefuses(t *testing.T) {
	good := toJSON(t, sampleMixed())
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "cut short after 0 bytes"},
		{"cut off", good[:len(good)/2], fmt.Sprintf("cut short after %d bytes", len(good)/2)},
		{"damaged", strings.Replace(good, `"devices": [`, `"devices": (`, 1), "damaged at byte"},
		{"no run", `{"name": "package", "version": "1"}`, "something else"},
		{"no object", `[1, 2]`, "something else"},
		{"unknown field", strings.Replace(good, `"id":`, `"identity":`, 1), "unknown field"},
		{"newer schema", strings.Replace(strings.Replace(good, "plumbline.run/v1", "plumbline.run/v9", 1), `"id":`, `"identity":`, 1), "it is newer"},
		{"older schema", strings.Replace(good, "plumbline.run/v1", "plumbline.run/v0", 1), "it is older"},
		{"other schema", strings.Replace(good, "plumbline.run/v1", `\u001b[31mred`, 1), `x1b[31mred`},
		{"trailing data", good + "{}", "damaged at byte"},
		{"clock going backwards", strings.Replace(good, `"finished": "2025`, `"finished": "2024`, 1), "are not an interval"},
		{"id that is a path", strings.Replace(good, `"id": "2025`, `"id": "../../2025`, 1), "id is empty"},
		{"a histogram that is none", strings.Replace(good, `"hdr": "HISTFAAA`, `"hdr": "HISTFAAAA`, 1), "not a histogram"},
		{"another number in the histogram", strings.Replace(good, `"n": 120000,`, `"n": 119999,`, 1), "the histogram holds 120000"},
		{"one requirement twice", strings.Replace(good, `"id": "LAT-02"`, `"id": "LAT-01"`, 1), "listed twice"},
		{"unknown verdict", strings.Replace(good, `"CONDITIONAL PASS"`, `"GOOD"`, 1), "unknown verdict"},
		{"forged overall", strings.Replace(good, `"overall": "ERROR"`, `"overall": "PASS"`, 1), "its results say ERROR"},
	} {
		var refused *RefusedError
		run, err := Read(strings.NewReader(c.text))
		if err == nil {
			err = sound(run)
		}
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || refused.Mend == "" {
			t.Errorf("%s: want a refusal with %q and a mend, got %v", c.name, c.want, err)
		}
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "run directory") {
		t.Errorf("empty folder: %v", err)
	}
	path := filepath.Join(dir, SummaryFile)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("broken summary: %v, want the path in it", err)
	}
}

func TestJSONRefusesNaNInPlainFigures(t *testing.T) {
	run := sampleMixed()
	run.Results[0].Measurement.VIF = math.NaN()
	if err := JSON(&bytes.Buffer{}, run); err == nil {
		t.Error("NaN was written as JSON")
	}
}
