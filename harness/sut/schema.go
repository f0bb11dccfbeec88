package sut

import (
	_ "embed"
	"slices"
)

//go:embed descriptor.schema.json
var descriptorSchema []byte

// DescriptorSchema returns the JSON schema (draft 2020-12) of descriptor files,
// for editors and for other people's tools. It is made from Descriptor; Load
// checks more than a schema can say, and says more about what is wrong.
func DescriptorSchema() []byte { return slices.Clone(descriptorSchema) }
