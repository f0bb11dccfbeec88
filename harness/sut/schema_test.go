package sut

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write descriptor.schema.json anew")

// makeSchema derives the schema from Descriptor, its comments and the lists
// that Parse checks against.
func makeSchema(t *testing.T) []byte {
	t.Helper()
	r := jsonschema.Reflector{
		FieldNameTag: "yaml", Anonymous: true, ExpandedStruct: true,
		Mapper: func(of reflect.Type) *jsonschema.Schema {
			if of != reflect.TypeFor[time.Duration]() {
				return nil
			}
			return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`, Examples: []any{"10s"}}
		},
	}
	if err := r.AddGoComments("plumbline/harness/sut", "./"); err != nil {
		t.Fatal(err)
	}
	r.CommentMap = plainComments(r.CommentMap)
	s := r.Reflect(&Descriptor{})
	s.ID, s.Title = "", "Plumbline: descriptor of a system under test"
	property := func(of *jsonschema.Schema, name string) *jsonschema.Schema {
		p, ok := of.Properties.Get(name)
		if !ok {
			t.Fatalf("there is no property %q", name)
		}
		return p
	}
	property(s, "apiVersion").Const = APIVersion
	property(s, "kind").Const = Kind
	property(s, "capabilities").Items = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Enum: anys(Capabilities())}, {Type: "string", Pattern: "^x-."},
	}}
	property(s.Definitions["Viewer"], "protocol").Enum = anys(protocols)
	property(s.Definitions["Broker"], "mqttVersion").Enum = anys(mqttVersions)
	property(s.Definitions["Viewer"], "mqttVersion").Enum = anys(mqttVersions)
	property(s.Definitions["Token"], "in").Enum = anys(places)
	property(s.Definitions["JWT"], "alg").Enum = anys(algorithmNames())
	property(s.Definitions["Process"], "name").Pattern = `^[^/\\ ]+$`
	one := uint64(1)
	property(s.Definitions["Process"], "command").MinItems = &one
	for _, p := range []*jsonschema.Schema{property(s, "name"), property(s.Definitions["Broker"], "url"), property(s.Definitions["Viewer"], "url")} {
		p.MinLength = &one
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// plainComments joins the lines of each comment.
func plainComments(in map[string]string) map[string]string {
	out := map[string]string{}
	for key, text := range in {
		out[key] = strings.Join(strings.Fields(text), " ")
	}
	return out
}

func anys(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

func TestSchemaFollowsTheDescriptor(t *testing.T) {
	want := makeSchema(t)
	if *update {
		if err := os.WriteFile("descriptor.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(DescriptorSchema(), want) {
		t.Fatal("descriptor.schema.json does not follow Descriptor any more; run: go test ./harness/sut -run TestSchemaFollowsTheDescriptor -update")
	}
}

// againstSchema validates a descriptor text the way an editor would.
func againstSchema(t *testing.T, text []byte) error {
	t.Helper()
	schema, err := validator.UnmarshalJSON(bytes.NewReader(DescriptorSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("descriptor.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("descriptor.json")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(doc)
}

func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	for name, text := range map[string]string{"bridged": string(bridgedDescriptor), "every key": wholeDescriptor, "a cluster": clusterDescriptor} {
		if err := againstSchema(t, []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	text := string(bridgedDescriptor)
	for _, c := range []struct{ name, old, new, where string }{
		{"unknown key", "\nbroker: {url", "\nbroker: {colour: x, url", "/broker"},
		{"other kind", "kind: SUT", "kind: Bridge", "/kind"},
		{"time without a unit", "timeout: 20s", "timeout: 20", "/start/0/ready/timeout"},
		{"unknown capability", "- qos1", "- qos3", "/capabilities/0"},
		{"unknown algorithm", "alg: HS256", "alg: HS1", "/auth/jwt/alg"},
		{"no protocol", "protocol: plumbline", "", "/viewer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(text, c.old, c.new, 1)
			if changed == text {
				t.Fatal("the change did not apply")
			}
			err := againstSchema(t, []byte(changed))
			if err == nil || !strings.Contains(err.Error(), c.where) {
				t.Fatalf("the schema says %v, want a complaint about %s", err, c.where)
			}
			if _, err := Parse([]byte(changed), "f.yaml", ""); err == nil {
				t.Fatal("Parse accepts what the schema refuses")
			}
		})
	}
}
