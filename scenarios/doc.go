// Package scenarios is the catalogue: what is required of a bridge and the
// experiments that find out, a file per guarantee.
//
// Scenarios are ordinary Go files that register with harness/spec at init. The
// same catalogue stands behind go test, ginkgo -p and the command plumbline.
// Importing the package registers it; it exports nothing.
package scenarios
