//go:build !linux

package usbtree

import (
	"errors"
	"os/exec"
)

// ErrNotAllowed is returned where there are no mount namespaces.
var ErrNotAllowed = errors.New("usbtree: there are no mount namespaces on this system")

// Isolate does nothing here.
func Isolate(*exec.Cmd) {}

// IsNotAllowed reports whether there are no namespaces.
func IsNotAllowed(err error) bool { return errors.Is(err, ErrNotAllowed) }

// Enter returns ErrNotAllowed.
func Enter() (*Tree, error) { return nil, ErrNotAllowed }
