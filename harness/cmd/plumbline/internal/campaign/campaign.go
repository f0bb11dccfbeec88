// Package campaign wraps one run of the engine: it holds the run directory,
// opens the signing key before anything is measured, and afterwards writes
// every report and the seal, also of a run that was cut short.
//
// It knows neither scenarios nor how a verdict is reached.
package campaign

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"plumbline/harness/bench"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/reports/seal"
)

// Engine measures and judges, leaving its records in dir. It returns what it
// has even when ctx ended early, then with Partial set; a nil run means that
// nothing was judged, and the error says why.
type Engine func(ctx context.Context, dir, id string) (*reports.Run, error)

// Options say where a run goes and who signs it.
type Options struct {
	Root    string // folder of run directories; used when Dir is ""
	Dir     string // exactly this directory; must be empty or not exist
	Profile string // part of the directory's name
	Key     string // signing key file, made on first use, or folder of a key store; "" means the user's own
	Now     func() time.Time

	Customer   string                          // for whom; "" says that nobody was named
	Authoriser string                          // who answers for the report
	Method     func(dir string) reports.Method // by which the run in dir was judged; nil states none
}

// Outcome is a run that was written down.
type Outcome struct {
	Run    *reports.Run
	Dir    string
	Report string // path of report.html
	Key    string // path of the signing key
	NewKey bool   // the key was made just now
	Issued *seal.Issued
}

// finishLimit bounds the writing of reports after an interruption.
const finishLimit = 2 * time.Minute

// Run holds a run directory, runs the engine and writes the reports. A non-nil
// Outcome is complete on disk whatever the error says; the error then tells why
// the run is partial. It blocks as long as the engine does, and up to two
// minutes more.
func Run(ctx context.Context, opts Options, engine Engine) (*Outcome, error) {
	keyPath, signer, made, err := openSigner(ctx, opts.Key, opts.Now)
	if err != nil {
		return nil, err
	}
	id, err := newID()
	if err != nil {
		return nil, err
	}
	held, err := hold(opts, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = held.Release() }() // the hold ends with the process at the latest
	if err := reserve(held.Path); err != nil {
		removeIfEmpty(held.Path)
		return nil, WriteError(held.Path, err)
	}
	run, runErr := engine(ctx, held.Path, id)
	if err := release(held.Path); err != nil {
		return nil, errors.Join(WriteError(held.Path, err), runErr)
	}
	if run == nil {
		removeIfEmpty(held.Path)
		return nil, located(held.Path, runErr)
	}
	if runErr != nil && run.Partial == "" {
		run.Partial = runErr.Error()
		run.Overall = run.Judge()
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishLimit)
	defer cancel()
	issued, err := write(finish, held.Path, signer, opts, run)
	if err != nil {
		return nil, errors.Join(located(held.Path, err), runErr)
	}
	return &Outcome{Run: run, Dir: held.Path, Report: filepath.Join(held.Path, render.HTMLFile), Key: keyPath, NewKey: made, Issued: issued}, runErr
}

// hold takes the run directory; what fails here is the user's path.
func hold(opts Options, id string) (*bench.RunDir, error) {
	var held *bench.RunDir
	var err error
	where := opts.Root
	if opts.Dir != "" {
		where = opts.Dir
		held, err = bench.HoldRun(opts.Dir)
	} else {
		held, err = bench.CreateRun(opts.Root, opts.Profile, id, opts.Now())
	}
	if err != nil {
		return nil, WriteError(where, err)
	}
	return held, nil
}

// write renders and seals the run. One that earned a certificate and was not sealed has
// no report that calls it certified.
func write(ctx context.Context, dir string, signer seal.Signer, opts Options, run *reports.Run) (*seal.Issued, error) {
	if err := run.Validate(); err != nil {
		return nil, exit.With(reports.ExitFault, fmt.Errorf("the run contradicts itself: %w", err), "this is a defect of plumbline; please report it with the run directory")
	}
	if err := writeEnvironment(dir, run.Environment); err != nil {
		return nil, WriteError(dir, err)
	}
	terms := seal.Terms{Issued: opts.Now(), Customer: opts.Customer, Authoriser: opts.Authoriser}
	if opts.Method != nil {
		terms.Method = opts.Method(dir)
	}
	ended := signer.Check(ctx, terms.Issued) // it was good when the run began
	if ended != nil && run.Earned() {
		run.Uncertified = unsigned + ended.Error()
	}
	if err := render.All(dir, run); err != nil {
		return nil, WriteError(dir, errors.Join(err, seal.Withdraw(dir, unsigned+err.Error(), run)))
	}
	if ended != nil {
		return nil, exit.Usage(fmt.Errorf("the reports are written, but not signed: %w", ended),
			"plumbline key list shows the keys; plumbline key rotate makes one that is good for longer than the run, then run again")
	}
	issued, err := seal.Issue(ctx, dir, signer, terms, run)
	if err != nil {
		return nil, WriteError(dir, errors.Join(err, seal.Withdraw(dir, unsigned+err.Error(), run)))
	}
	return issued, nil
}

// unsigned begins the reason why a run that earned a certificate has none.
const unsigned = "not signed; run again once this is mended: "

// EnvironmentFile describes the machine, apart from the summary for tools that
// compare machines.
const EnvironmentFile = "env.json"

func writeEnvironment(dir string, environment map[string]string) error {
	text, err := json.MarshalIndent(environment, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, EnvironmentFile), append(text, '\n'), 0o644) //nolint:gosec // G306: a run directory is for others to read
}

// WriteError explains why a file below dir could not be written; nil stays nil.
// A full disk is a bench that is not available, anything else a wrong path.
func WriteError(dir string, err error) error {
	if err == nil {
		return nil
	}
	if isFull(err) {
		return exit.With(reports.ExitUnavailable, fmt.Errorf("write into %q: %w", dir, err), "make room on the disk or name another folder")
	}
	return exit.Usage(fmt.Errorf("write into %q: %w", dir, err), "name a folder that you may write to and that no other run uses")
}

// located adds where the logs of a run without results are.
func located(dir string, err error) error {
	if err == nil {
		return exit.With(reports.ExitFault, fmt.Errorf("the engine returned neither a run nor an error (directory %s)", dir),
			"this is a defect of plumbline; please report it")
	}
	if _, statErr := os.Stat(dir); statErr != nil {
		return err
	}
	return fmt.Errorf("%w (the run directory is %s)", err, dir)
}

// removeIfEmpty removes a run directory in which nothing was recorded, and the
// link to it.
func removeIfEmpty(dir string) {
	if os.Remove(dir) != nil { // fails when there is something in it
		return
	}
	link := filepath.Join(filepath.Dir(dir), bench.LatestLink)
	if target, err := os.Readlink(link); err == nil && target == filepath.Base(dir) {
		_ = os.Remove(link) // a link that stays points to nothing; nothing reads it unseen
	}
}

// newID returns eight random hexadecimal digits.
func newID() (string, error) {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("campaign: run id: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
