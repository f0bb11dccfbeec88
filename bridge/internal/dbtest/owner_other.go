//go:build !unix

package dbtest

import "os/exec"

// owner is the user that a server runs as: here always the test's own.
type owner struct{}

func unprivileged(...string) owner { return owner{} }

func (owner) own(string) error { return nil }

func (owner) runs(*exec.Cmd) {}
