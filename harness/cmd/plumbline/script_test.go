package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/reports/seal"
)

// TestMain lets scripts run this very program as the command plumbline, and that
// its generator.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == generateVerb {
		main()
	}
	testscript.Main(sharing{m}, map[string]func(){"plumbline": main})
}

// shared is the folder of what several tests use, there while they run.
var shared string

// sharing runs the tests with the folder shared.
type sharing struct{ *testing.M }

func (s sharing) Run() int {
	var err error
	if shared, err = os.MkdirTemp("", "plumbline-command-"); err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(shared) }()
	return s.M.Run()
}

// TestScripts runs the scripts that need no system under test.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "script"), Cmds: commands, Setup: isolate})
}

// isolate keeps scripts away from the user's own keys and settings.
func isolate(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	return os.MkdirAll(home, 0o700)
}

// commands are what scripts know beside testscript's own.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"certified": makeCertified,
	"exits":     exits,
	"sealed":    makeSealed,
	"signer":    nameSigner,
	"tamper":    tamper,
}

// exits runs a command and checks its exit code; what it printed can be
// looked at by the lines that follow.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENTS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var failed *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// makeSealed writes a small sealed run directory; "partial" cuts the run short,
// "id=ID" names it, "sut=NAME" names another system and "fails" lets it fail.
func makeSealed(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(sealRun(dir, filepath.Join(ts.MkAbs("keys"), filepath.Base(dir)), func(run *reports.Run) {
		for _, arg := range args[1:] {
			switch name, value, _ := strings.Cut(arg, "="); name {
			case "id":
				run.ID = value
			case "sut":
				run.SUT.Name = value
			case "fails":
				run.Results[0].Verdict, run.Results[0].Headline = reports.Fail, "1 of 3 attacks got through"
				run.Results[0].Findings = []reports.Finding{{Requirement: "A-1", Kind: "accepted", Subject: "alg none", Detail: "data was sent"}}
			default:
				run.Partial = "interrupted"
			}
		}
	}))
}

// sealRun writes a small sealed run directory. What change does to the run is done
// before it is judged.
func sealRun(dir, keyFile string, change func(*reports.Run)) error {
	started := time.Date(2026, 11, 23, 3, 40, 0, 0, time.UTC)
	run := &reports.Run{
		Schema: reports.SchemaVersion, ID: "0badcafe", Started: started, Finished: started.Add(time.Minute),
		Profile: reports.Profile{Name: "smoke"}, Tool: reports.Tool{Name: "plumbline"}, SUT: reports.SUT{Name: "bridged"},
		Requirements: []reports.Requirement{{ID: "A-1", Title: "t", Text: "It shall.", Class: reports.Mandatory, Rule: "deterministic"}},
		Results: []reports.Result{{
			Requirement: "A-1", Scenario: "a", Verdict: reports.Pass, Sentence: "A-1: it does. Verdict PASS.", Started: started, Attempt: 1,
		}},
	}
	change(run)
	run.Overall = run.Judge()
	for name, text := range map[string]string{
		"records/records.bin": strings.Repeat("record\n", 100), "config/run.json": `{"format": "plumbline.run/v1", "rule": "DR-2"}`,
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	key, _, err := seal.OpenKey(keyFile)
	if err != nil {
		return err
	}
	if err := render.All(dir, run); err != nil {
		return err
	}
	return seal.Seal(context.Background(), dir, key, run)
}

// tamper flips one bit in the middle of a file.
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	if len(content) == 0 {
		ts.Check(fmt.Errorf("%s is empty", args[0]))
	}
	content[len(content)/2] ^= 1
	ts.Check(os.WriteFile(path, content, 0o644))
}
