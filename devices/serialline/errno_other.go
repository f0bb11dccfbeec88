//go:build !unix

package serialline

import "errors"

// errNoTTY does not occur here: Windows ports always take modem lines.
var errNoTTY = errors.New("not a terminal")
