package campaign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/reports/seal"
	"plumbline/reports/seal/keystore"
)

func passing(id string) *reports.Run {
	start := time.Date(2026, 11, 23, 3, 40, 0, 0, time.UTC)
	run := &reports.Run{
		Schema: reports.SchemaVersion, ID: id, Started: start, Finished: start.Add(time.Minute),
		Profile: reports.Profile{Name: "smoke"}, Tool: reports.Tool{Name: "plumbline"}, SUT: reports.SUT{Name: "bridged"},
		Requirements: []reports.Requirement{{ID: "A-1", Title: "t", Text: "It shall.", Class: reports.Mandatory, Rule: "deterministic"}},
		Results: []reports.Result{{Requirement: "A-1", Scenario: "a", Verdict: reports.Pass, Sentence: "A-1: it does. Verdict PASS.",
			Started: start, Attempt: 1}},
	}
	run.Overall = run.Judge()
	return run
}

// engine leaves one file behind, as a recorder would, and returns what it is told.
func engine(run func(id string) *reports.Run, err error) Engine {
	return func(_ context.Context, dir, id string) (*reports.Run, error) {
		if _, serr := os.Stat(filepath.Join(dir, reserveFile)); serr != nil {
			return nil, fmt.Errorf("no room is kept for the reports: %w", serr)
		}
		if werr := os.WriteFile(filepath.Join(dir, "records.bin"), []byte("recorded"), 0o644); werr != nil {
			return nil, werr
		}
		return run(id), err
	}
}

func options(t *testing.T) Options {
	t.Helper()
	root := t.TempDir()
	return Options{Root: filepath.Join(root, "out"), Profile: "smoke", Key: filepath.Join(root, "key.pem"),
		Now: func() time.Time { return time.Date(2026, 11, 23, 3, 40, 0, 0, time.UTC) }}
}

func TestRunWritesAndSealsEverything(t *testing.T) {
	opts := options(t)
	out, err := Run(t.Context(), opts, engine(passing, nil))
	if err != nil {
		t.Fatal(err)
	}
	if !out.NewKey || out.Key != opts.Key {
		t.Errorf("key %q, made %v", out.Key, out.NewKey)
	}
	for _, name := range []string{render.SummaryFile, render.JUnitFile, render.HTMLFile, render.MarkdownFile, render.BadgeFile, seal.ManifestFile, seal.EnvelopeFile, "records.bin"} {
		if _, err := os.Stat(filepath.Join(out.Dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := seal.Verify(t.Context(), out.Dir, nil); err != nil {
		t.Errorf("the seal does not hold: %v", err)
	}
	if _, err := os.Stat(filepath.Join(out.Dir, reserveFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reserve is still there: %v", err)
	}
	if runtime.GOOS != "windows" {
		if target, err := filepath.EvalSymlinks(filepath.Join(opts.Root, "latest")); err != nil || filepath.Base(target) != filepath.Base(out.Dir) {
			t.Errorf("latest is %q, %v; want %q", target, err, out.Dir)
		}
	}
	second, err := Run(t.Context(), opts, engine(passing, nil))
	if err != nil || second.NewKey || second.Dir == out.Dir {
		t.Errorf("second run: %+v, %v", second, err)
	}
}

func TestInterruptedRunIsWrittenAsPartial(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	out, err := Run(ctx, options(t), func(ctx context.Context, dir, id string) (*reports.Run, error) {
		cancel(exit.ErrInterrupted)
		return engine(passing, context.Cause(ctx))(ctx, dir, id)
	})
	if exit.Code(err) != reports.ExitInterrupted {
		t.Errorf("error %v has code %d, want 130", err, exit.Code(err))
	}
	if out == nil {
		t.Fatal("nothing was written")
	}
	back, err := render.Load(out.Dir)
	if err != nil || back.Partial == "" || back.Overall == reports.Pass {
		t.Errorf("summary says partial %q, overall %s, %v", back.Partial, back.Overall, err)
	}
	if _, err := seal.Verify(t.Context(), out.Dir, nil); err != nil {
		t.Errorf("the seal of a partial run does not hold: %v", err)
	}
}

func TestEngineErrors(t *testing.T) {
	none := func(string) *reports.Run { return nil }
	gone := exit.With(reports.ExitUnavailable, errors.New("bridged did not get ready"), "look at its log")
	cases := []struct {
		name   string
		engine Engine
		code   int
		says   string
	}{
		{"unavailable", engine(none, gone), 4, "the run directory is"},
		{"neither run nor error", engine(none, nil), 5, "neither a run nor an error"},
		{"contradiction", engine(func(id string) *reports.Run { r := passing(id); r.Overall = reports.Fail; return r }, nil), 5, "contradicts itself"},
		{"full disk", engine(none, WriteError("/disk", &os.PathError{Op: "write", Path: "records.bin", Err: syscall.ENOSPC})), 4, "records.bin"},
	}
	for _, c := range cases {
		out, err := Run(t.Context(), options(t), c.engine)
		if out != nil || exit.Code(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v with code %d; want code %d and %q", c.name, out, err, exit.Code(err), c.code, c.says)
		}
	}
}

func TestNothingRecordedLeavesNoDirectory(t *testing.T) {
	opts := options(t)
	opts.Dir = filepath.Join(opts.Root, "mine")
	_, err := Run(t.Context(), opts, func(context.Context, string, string) (*reports.Run, error) {
		return nil, exit.Usage(errors.New("wrong"), "")
	})
	if exit.Code(err) != reports.ExitUsage {
		t.Errorf("code %d of %v", exit.Code(err), err)
	}
	left, _ := filepath.Glob(filepath.Join(opts.Dir, "*"))
	if len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestUsersPaths(t *testing.T) {
	used := options(t)
	used.Dir = filepath.Join(used.Root, "run")
	if _, err := Run(t.Context(), used, engine(passing, nil)); err != nil {
		t.Fatal(err)
	}
	weak := options(t)
	if err := os.WriteFile(weak.Key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := options(t)
	if err := os.WriteFile(file.Root, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]Options{"a second run into one directory": used, "a key that is none": weak, "an output folder that is a file": file} {
		called := false
		_, err := Run(t.Context(), opts, func(context.Context, string, string) (*reports.Run, error) { called = true; return nil, nil })
		if exit.Code(err) != reports.ExitUsage || called {
			t.Errorf("%s: %v with code %d, measured %v", name, err, exit.Code(err), called)
		}
	}
}

// TestAKeyThatEndsDuringTheRun: what was measured is written down, and the error is
// about the key, not about the folder. A run that would have been certified is not.
func TestAKeyThatEndsDuringTheRun(t *testing.T) {
	for name, engineOf := range map[string]func(string) *reports.Run{"ordinary": passing, "certifying": certifying} {
		opts := options(t)
		now := opts.Now()
		opts.Now = func() time.Time { return now }
		opts.Key = filepath.Join(t.TempDir(), "keys")
		request := keystore.Request{Holder: "Example Laboratory", Purposes: []seal.Purpose{seal.ForReports, seal.ForCertificates}, Life: time.Hour}
		if _, err := keystore.Open(opts.Key, "", opts.Now).New(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		dir := ""
		_, err := Run(t.Context(), opts, func(ctx context.Context, at, id string) (*reports.Run, error) {
			dir, now = at, now.Add(2*time.Hour)
			return engine(engineOf, nil)(ctx, at, id)
		})
		if exit.Code(err) != reports.ExitUsage || !strings.Contains(err.Error(), "not signed") || !strings.Contains(err.Error(), "expired") || !strings.Contains(exit.Mend(err), "key rotate") {
			t.Errorf("%s: %v with code %d; mend %q", name, err, exit.Code(err), exit.Mend(err))
		}
		run, err := render.Load(dir)
		if err != nil || run.Overall != reports.Pass {
			t.Fatalf("%s: what was measured: %v", name, err)
		}
		if run.Earned() {
			notCertified(t, dir, "expired")
		}
		if _, err := os.Stat(filepath.Join(dir, seal.EnvelopeFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it is sealed all the same: %v", name, err)
		}
	}
}

// certifying is a run that earns a certificate.
func certifying(id string) *reports.Run {
	run := passing(id)
	run.Certifying = true
	return run
}

// notCertified fails when any form of the report in dir calls its run certified, or
// the summary does not say why it is not.
func notCertified(t *testing.T, dir, why string) {
	t.Helper()
	run, err := render.Load(dir)
	if err != nil || !run.Earned() || run.Certified() || !strings.Contains(run.Uncertified, why) || !strings.Contains(run.Uncertified, "run again") {
		t.Errorf("the summary: %v, want a run that lacks its certificate for %q: %q", err, why, run.Uncertified)
		return
	}
	for _, form := range []struct{ name, want string }{
		{render.BadgeFile, ": PASS, not certified<"}, {render.HTMLFile, "without a certificate"}, {render.TextFile, "without a certificate"}, {render.MarkdownFile, "without a certificate"},
	} {
		if text, err := os.ReadFile(filepath.Join(dir, form.name)); err != nil || !strings.Contains(string(text), form.want) {
			t.Errorf("%s does not say %q (%v): %.3000s", form.name, form.want, err, text)
		}
	}
	for _, name := range []string{render.CertificateFile, seal.CertificateFile, seal.CertificateBundle, seal.ListingFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
}

// TestASealThatFailsCertifiesNothing: wherever writing ends, no form of the report calls
// the run certified.
func TestASealThatFailsCertifiesNothing(t *testing.T) {
	for _, blocked := range []string{
		seal.PublicKeyFile,   // the first file that a seal writes
		seal.CertificateFile, // written when the page of the certificate lies there
		seal.EnvelopeFile,    // the last
	} {
		dir := ""
		_, err := Run(t.Context(), options(t), func(ctx context.Context, at, id string) (*reports.Run, error) {
			dir = at
			if err := os.MkdirAll(filepath.Join(at, blocked, "in the way"), 0o755); err != nil {
				return nil, err
			}
			return engine(certifying, nil)(ctx, at, id)
		})
		if err == nil || !strings.Contains(err.Error(), blocked) {
			t.Errorf("%s in the way: %v", blocked, err)
			continue
		}
		if blocked == seal.CertificateFile { // what is in the way cannot be removed
			if err := os.RemoveAll(filepath.Join(dir, blocked)); err != nil {
				t.Fatal(err)
			}
		}
		notCertified(t, dir, blocked)
	}
}

// TestReportsThatFailCertifyNothing: one form that cannot be written takes the word from
// all others.
func TestReportsThatFailCertifyNothing(t *testing.T) {
	for _, blocked := range []string{render.JUnitFile, render.MetricsFile} {
		dir := ""
		_, err := Run(t.Context(), options(t), func(ctx context.Context, at, id string) (*reports.Run, error) {
			dir = at
			if err := os.MkdirAll(filepath.Join(at, blocked, "in the way"), 0o755); err != nil {
				return nil, err
			}
			return engine(certifying, nil)(ctx, at, id)
		})
		if err == nil || !strings.Contains(err.Error(), blocked) {
			t.Errorf("%s in the way: %v", blocked, err)
		}
		if run, err := render.Load(dir); err != nil || run.Certified() {
			t.Errorf("%s in the way: the summary is of a certified run: %v", blocked, err)
		}
		if badge, err := os.ReadFile(filepath.Join(dir, render.BadgeFile)); err == nil && !strings.Contains(string(badge), "not certified<") {
			t.Errorf("%s in the way: the badge says %s", blocked, badge)
		}
	}
}

func TestTwoRunsAtOnceInOneDirectory(t *testing.T) {
	opts := options(t)
	opts.Dir = filepath.Join(opts.Root, "run")
	_, err := Run(t.Context(), opts, func(ctx context.Context, dir, id string) (*reports.Run, error) {
		if _, err := Run(ctx, opts, engine(passing, nil)); exit.Code(err) != reports.ExitUsage {
			t.Errorf("the second run got %v, code %d", err, exit.Code(err))
		}
		return engine(passing, nil)(ctx, dir, id)
	})
	if err != nil {
		t.Errorf("the first run: %v", err)
	}
}
