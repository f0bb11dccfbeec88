package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write bridge.schema.json and the example anew")

// makeSchema derives the schema from Config, its comments and its defaults.
func makeSchema(t *testing.T) []byte {
	t.Helper()
	r := jsonschema.Reflector{
		FieldNameTag: "yaml", Anonymous: true, ExpandedStruct: true, RequiredFromJSONSchemaTags: true,
		Mapper: func(of reflect.Type) *jsonschema.Schema {
			switch of {
			case reflect.TypeFor[Duration]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`}, {Const: 0}}}
			case reflect.TypeFor[Bytes]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `^[0-9]+ *([KMGT]i?B|B)?$`}, {Type: "integer", Minimum: "0"}}}
			}
			return nil
		},
	}
	if err := r.AddGoComments("plumbline/bridge/config", "./"); err != nil {
		t.Fatal(err)
	}
	for key, text := range r.CommentMap {
		r.CommentMap[key] = strings.Join(strings.Fields(text), " ")
	}
	s := r.Reflect(&Config{})
	s.ID, s.Title = "", "Plumbline: configuration of bridged"
	nullable(s)
	for _, d := range s.Definitions {
		nullable(d)
	}
	external := property(t, s, "external")
	external.Type, external.AdditionalProperties, external.Items = "object", external.Items, nil
	property(t, s, "apiVersion").Const = Version
	property(t, s, "kind").Const = Kind
	for key, values := range choices() {
		of, parts := s, strings.Split(key, ".")
		for _, group := range parts[:len(parts)-1] {
			of = s.Definitions[path.Base(property(t, of, group).AnyOf[0].Ref)]
		}
		for _, v := range values {
			p := property(t, of, parts[len(parts)-1])
			p.Enum = append(p.Enum, v)
		}
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// nullable lets groups be empty, as Load does.
func nullable(s *jsonschema.Schema) {
	if s.Properties == nil {
		return
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		if p.Value.Ref != "" {
			p.Value = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{p.Value, {Type: "null"}}, Description: p.Value.Description}
		}
	}
}

func property(t *testing.T, of *jsonschema.Schema, name string) *jsonschema.Schema {
	t.Helper()
	p, ok := of.Properties.Get(name)
	if !ok {
		t.Fatalf("there is no property %q", name)
	}
	return p
}

func TestSchemaFollowsConfig(t *testing.T) {
	want := makeSchema(t)
	if *update {
		if err := os.WriteFile("bridge.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), want) {
		t.Fatal("bridge.schema.json does not follow Config any more; run: go test ./bridge/config -run TestSchemaFollowsConfig -update")
	}
}

// againstSchema validates a configuration the way an editor would.
func againstSchema(t *testing.T, text string) error {
	t.Helper()
	schema, err := validator.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("bridge.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("bridge.json")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(doc)
}

func TestSchemaAcceptsWhatLoadAccepts(t *testing.T) {
	for name, text := range map[string]string{"every group": whole, "example": example(t), "an empty group": "viewers:\n", "zero": "drain: {spread: 0}\n"} {
		if _, err := Load(file(t, text), nil, nil); err != nil {
			t.Errorf("%s: Load: %v", name, err)
		}
		if err := againstSchema(t, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	for text, where := range map[string]string{
		"viewers: {hartbeat: 5s}\n": "/viewers", "kind: SUT\n": "/kind", "viewers: {heartbeat: 25}\n": "/viewers/heartbeat",
		"journal: {sync: never}\n": "/journal/sync", "journal: {segmentBytes: 64MeB}\n": "/journal/segmentBytes", "mqtt: {maxClients: many}\n": "/mqtt/maxClients",
		"external: {a: {urll: x}}\n": "/external/a", "auth: {jwt: {alg: none}}\n": "/auth/jwt/alg", "colour: red\n": "colour", "mqtt: 1883\n": "/mqtt",
		"mqtt: {tls: {clientAuth: maybe}}\n": "/mqtt/tls/clientAuth", "mqtt: {tls: {clientUser: uid}}\n": "/mqtt/tls/clientUser", "viewers: {compression: 9}\n": "/viewers/compression",
		"history: {store: mysql}\n": "/history/store", "log: {level: loud}\n": "/log/level", "log: {format: xml}\n": "/log/format",
	} {
		if err := againstSchema(t, text); err == nil || !strings.Contains(err.Error(), where) {
			t.Errorf("%q: the schema says %v, want a complaint about %s", text, err, where)
		}
		if _, err := Load(file(t, text), nil, nil); err == nil {
			t.Errorf("%q: Load accepts what the schema refuses", text)
		}
	}
}
