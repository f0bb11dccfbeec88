package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"plumbline/harness"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
)

// factsFolder is the folder of a run directory that holds one file per attempt:
// <scenario>.json for the first, <scenario>-2.json for the second.
const factsFolder = "facts"

const factsFormat = "plumbline.facts/v1"

// attempt is one attempt at a scenario as it is kept: what was done, which
// benches it opened, how it ended and what its drive saw live. Together with
// those benches and the conditions of the run it is all that is judged.
type attempt struct {
	Format   string          `json:"format"`
	Scenario string          `json:"scenario"`
	Number   int             `json:"attempt"` // from 1
	Started  time.Time       `json:"started"`
	Duration time.Duration   `json:"duration_ns"` // judging is not in it
	Steps    []string        `json:"steps"`
	Benches  []string        `json:"benches"` // folders below records/, in the order of opening
	Ending   ending          `json:"ending"`
	Facts    json.RawMessage `json:"facts,omitempty"` // see Trial.Keep
}

// ending is how an attempt ended. Texts are "" for what did not happen.
type ending struct {
	Whole       bool   `json:"whole"` // the drive came to its end: what it left is judged
	NotBegun    bool   `json:"not_begun,omitempty"`
	Interrupted bool   `json:"interrupted,omitempty"`
	Overtime    bool   `json:"overtime,omitempty"`    // its time limit was over
	Unavailable string `json:"unavailable,omitempty"` // why the system under test was not there
	Refused     bool   `json:"refused,omitempty"`     // it was there, and let no viewer of this scenario in
	NoBench     string `json:"no_bench,omitempty"`    // which part of the bench was not there
	NoSpace     bool   `json:"no_space,omitempty"`    // that part is the disk of the run directory
	NoClock     string `json:"no_clock,omitempty"`    // why the clock of an agent cannot be mapped
	Failure     string `json:"failure,omitempty"`     // the first thing that went wrong
	Panic       string `json:"panic,omitempty"`
}

// note keeps why an attempt is not whole; dir is the run directory. The first
// cause stands.
func (e *ending) note(err error, dir string) {
	if e.Failure == "" {
		e.Failure = err.Error()
	}
	switch {
	case e.Unavailable != "" || e.NoBench != "" || e.NoClock != "":
	case errors.Is(err, harness.ErrClock):
		e.NoClock = err.Error()
	case errors.Is(err, sut.ErrUnavailable):
		_, refused := errors.AsType[*viewer.RefusedError](err)
		e.Unavailable, e.Refused = err.Error(), refused
	case errors.Is(err, harness.ErrBench):
		e.NoBench, e.NoSpace = err.Error(), errors.Is(err, harness.ErrSpace)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		err = noRoom(err, dir)
		e.NoBench, e.NoSpace = err.Error(), errors.Is(err, harness.ErrSpace)
	}
}

// noRoom is what a full disk is to the bench: the end of all recording when it
// is that of the run directory, else of what this scenario wanted there.
func noRoom(err error, dir string) error {
	e, found := errors.AsType[*fs.PathError](err)
	switch {
	case !found:
		return fmt.Errorf("%w: %w", harness.ErrBench, err)
	case below(dir, e.Path):
		return fmt.Errorf("%w (%w)", harness.ErrSpace, e)
	default:
		return fmt.Errorf("%w: %w", harness.ErrBench, e)
	}
}

// below reports whether a file is in a folder.
func below(dir, path string) bool {
	if dir == "" {
		return false
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	if path, err = filepath.Abs(path); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// factsFile returns where the n-th attempt at a scenario is kept.
func factsFile(dir, scenario string, n int) string {
	if n > 1 {
		scenario += "-" + strconv.Itoa(n)
	}
	return filepath.Join(dir, factsFolder, scenario+".json")
}

// keep writes the attempt into a run directory and returns it as it was read
// back from there, so that nothing is judged but what is kept. Without a
// directory it is only written down and read. A file that is there already is
// an error: evidence is never replaced.
func (a *attempt) keep(dir string) (*attempt, error) {
	a.Format = factsFormat
	text, err := json.MarshalIndent(a, "", " ")
	if err != nil {
		return nil, fmt.Errorf("spec: facts of scenario %q: %w", a.Scenario, err)
	}
	text = append(text, '\n')
	if dir == "" {
		return decodeAttempt(text)
	}
	path := factsFile(dir, a.Scenario, a.Number)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // G301: evidence is for others to read
		return nil, err
	}
	if err := writeNew(path, text); err != nil {
		return nil, err
	}
	return readAttempt(dir, a.Scenario, a.Number)
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // G302: evidence is for others to read
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// readAttempt reads the n-th attempt at a scenario; one that there never was is
// fs.ErrNotExist.
func readAttempt(dir, scenario string, n int) (*attempt, error) {
	path := factsFile(dir, scenario, n)
	text, err := record.ReadPlain(path, maxFacts)
	if err != nil {
		return nil, err
	}
	a, err := decodeAttempt(text)
	if err != nil {
		return nil, fmt.Errorf("%w (file %q)", err, path)
	}
	if a.Scenario != scenario || a.Number != n {
		return nil, fmt.Errorf("spec: %q holds attempt %d at scenario %q", path, a.Number, a.Scenario)
	}
	return a, nil
}

func decodeAttempt(text []byte) (*attempt, error) {
	a := &attempt{}
	if err := decodeStrictly(text, a); err != nil {
		return nil, fmt.Errorf("spec: facts are damaged: %w", err)
	}
	if a.Format != factsFormat {
		return nil, fmt.Errorf("spec: facts have the format %q, this program reads %q", a.Format, factsFormat)
	}
	return a, nil
}

// decodeStrictly refuses what does not belong there.
func decodeStrictly(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the end")
	}
	return nil
}

// maxFacts bounds what is read of one file of facts or conditions.
const maxFacts = 256 << 20
