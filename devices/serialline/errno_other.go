//go:build !unix

package serialline

import "errors"

// errNoTTY does not occur here: Windows ports always take modem lines.
var errNoTTY = errors.New("not a terminal")

// errBusy does not occur here: the library has a code for it.
var errBusy = errors.New("busy")
