package config

import _ "embed" // the schema

//go:embed bridge.schema.json
var schema []byte

// Schema returns the JSON schema (draft 2020-12) of the configuration file, for editors. It knows names, types and choices;
// Load knows the rest.
func Schema() []byte { return append([]byte(nil), schema...) }
