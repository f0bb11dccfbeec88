package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"plumbline/harness/cmd/plumbline/internal/exit"
)

// place is where a verb that certifies nothing leaves what it recorded.
type place struct {
	kind   string // ends the name of the folder
	output string
	runDir string
}

func (p *place) add(flags *pflag.FlagSet) {
	flags.StringVar(&p.output, "output-dir", defaultOutput, "folder in which the run directory is made")
	flags.StringVar(&p.runDir, "run-dir", "", "exactly this run directory, which must be empty or not exist")
}

// make makes the run directory and returns its path.
func (p *place) make() (string, error) {
	dir := p.runDir
	if dir == "" {
		dir = filepath.Join(p.output, time.Now().UTC().Format("20060102T150405Z")+"_"+p.kind)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // artifacts are there to be read by others
		return "", exit.Usage(fmt.Errorf("run directory: %w", err), "choose another folder with --output-dir or --run-dir")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return "", exit.Usage(fmt.Errorf("run directory %q is not empty", dir), "name one that is empty or does not exist")
	}
	return dir, nil
}
