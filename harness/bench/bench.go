// Package bench is what a test bench has before anything is tested: the serial
// ports that are plugged in, a machine that is fit to measure, and a run
// directory that belongs to one run alone.
package bench

import (
	"context"
	"time"
)

// Port is one serial port of this machine.
type Port struct {
	Path    string // for example /dev/ttyUSB0
	Stable  string // a name that stays the same when ports change, "" when there is none
	USB     bool
	VID     string // four hexadecimal digits
	PID     string
	Serial  string
	Product string
	Problem string // why it cannot be opened, "" when it can
	Mend    string
}

// Ports lists the serial ports of this machine, sorted by path.
func Ports() ([]Port, error) { return nil, nil }

// YAML returns the port as a device entry, ready to paste into a rig file.
func (p Port) YAML() string { return "" }

// Status is how a check of Doctor came out.
type Status string

// The states of a check.
const (
	OK      Status = "ok"
	Warn    Status = "warn" // figures will be worse than they could be
	Bad     Status = "bad"  // a run will fail or must not certify
	Unknown Status = "n/a"  // cannot be told on this system
)

// Check is one finding of Doctor.
type Check struct {
	Name   string
	Status Status
	Detail string
	Mend   string // what to do; "" when Status is OK
}

// DoctorOptions say what to look at. The zero value is useful.
type DoctorOptions struct {
	Bridged string                 // path of the executable; "" looks for it as a run would
	Runs    string                 // folder of run directories; "" means "runs"
	Find    func() (string, error) // finds bridged; nil skips that check
}

// Doctor checks whether this machine is fit to measure. It changes nothing.
func Doctor(ctx context.Context, opts DoctorOptions) []Check { return nil }

// RunDir is a run directory that is held by this process until Release.
type RunDir struct {
	Path string
}

// CreateRun makes the directory <UTC>_<profile>_<id> under root, holds it and points the link "latest" to it.
func CreateRun(root, profile, id string, started time.Time) (*RunDir, error) { return nil, nil }

// HoldRun holds a directory that is named by the user; it must be empty or not exist yet.
func HoldRun(path string) (*RunDir, error) { return nil, nil }

// Release lets the directory go. It is idempotent.
func (r *RunDir) Release() error { return nil }
