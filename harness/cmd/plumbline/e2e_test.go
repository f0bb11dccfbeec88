package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/reports/seal"
)

// program is the command plumbline and a bridge to test, as real processes.
type program struct {
	path    string // this test binary under the name that makes it the command
	bridged string
	tmp     string // temporary folder of the processes
	out     string
	key     string
}

// newProgram gives the command folders of its own.
func newProgram(t *testing.T) *program {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes; left out by -short")
	}
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links and interrupts")
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{path: filepath.Join(dir, "plumbline"), bridged: filepath.Join(dir, "bridged"), tmp: filepath.Join(dir, "tmp"),
		out: filepath.Join(dir, "out"), key: filepath.Join(dir, "key.pem")}
	if err := errors.Join(os.Symlink(self, p.path), os.Mkdir(p.tmp, 0o700)); err != nil {
		t.Fatal(err)
	}
	return p
}

// built is the bridge as it ships, built once for all tests.
var built = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(shared, "bridged")
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-o", path, "plumbline/bridge/cmd/bridged")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build bridged: %w\n%s", err, text)
	}
	return path, nil
})

// withBridge gives the command the bridge to test.
func (p *program) withBridge(t *testing.T) *program {
	t.Helper()
	var err error
	if p.bridged, err = built(); err != nil {
		t.Fatal(err)
	}
	return p
}

// command prepares the command with folders of the test.
func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env = append(environment(), "TMPDIR="+p.tmp, "PLUMBLINE_OUTPUT_DIR="+p.out, "PLUMBLINE_KEY="+p.key, "PLUMBLINE_BRIDGED="+p.bridged)
	return cmd
}

// code returns the exit code of a finished command.
func code(t *testing.T, err error) int {
	t.Helper()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return failed.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// secrets collects the token keys of every system that p starts until stop.
func (p *program) secrets(t *testing.T) (stop func() []string) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	found := map[string]bool{}
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			files, _ := filepath.Glob(filepath.Join(p.tmp, "plumbline-sut-*", "jwt.key"))
			for _, f := range files {
				if content, err := os.ReadFile(f); err == nil && len(bytes.TrimSpace(content)) >= 32 {
					found[string(bytes.TrimSpace(content))] = true
				}
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() []string {
		close(done)
		<-ended
		all := []string{}
		for s := range found {
			all = append(all, s)
		}
		return all
	}
}

// token matches a whole signed JSON Web Token (RFC 7519).
var token = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)

// noSecret fails when a file below dir holds a secret, a token or a private key.
func noSecret(t *testing.T, dir string, secrets []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, s := range secrets {
			if bytes.Contains(content, []byte(s)) {
				t.Errorf("%s holds a secret of the system under test", path)
			}
		}
		if token.Match(content) || bytes.Contains(content, []byte("PRIVATE KEY-----")) {
			t.Errorf("%s holds a token or a private key", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAWholeRunFromFlagsToSeal(t *testing.T) {
	t.Parallel()
	p := newProgram(t).withBridge(t)
	stop := p.secrets(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var errs bytes.Buffer
	rig := filepath.Join(t.TempDir(), "rig.yaml")
	if err := os.WriteFile(rig, []byte(mixedRig), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := p.command(ctx, "run", "--profile", "smoke", "--label-filter", "admission || sources", "--seed", "7", "--rig", rig)
	cmd.Stderr = &errs
	text, err := cmd.Output()
	secrets := stop()
	got := code(t, err)
	if got != reports.ExitPass && got != reports.ExitInconclusive { // of which unharmed tells
		t.Fatalf("exit code %d\n%s\n%s", got, text, errs.String())
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if !regexp.MustCompile(`^plumbline: bridged.* profile smoke  mode \S*sim\S*  seed 7  `).MatchString(lines[0]) {
		t.Errorf("first line %q", lines[0])
	}
	last := lines[len(lines)-1]
	report, isReport := strings.CutPrefix(last, "report: ")
	if _, err := os.Stat(report); !isReport || err != nil {
		t.Errorf("last line %q: %v", last, err)
	}
	if bytes.ContainsRune(text, '\x1b') {
		t.Error("control sequences in a pipe")
	}
	dir := filepath.Dir(report)
	run, err := render.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	unharmed(t, run)
	if !regexp.MustCompile(fmt.Sprintf(`(?m)^totals: \d+ requirements: \d+ PASS, 0 FAIL, 0 ERROR, .*; verdict %s; exit %d$`, run.Overall, got)).Match(text) {
		t.Errorf("no totals line of the verdict %s in\n%s", run.Overall, text)
	}
	if !strings.Contains(run.Environment["devices_left_out"], `"absent"`) || !strings.Contains(errs.String(), `left out, as the rig file allows: harness: device "absent"`) {
		t.Errorf("an optional device that is not there: stderr %q", errs.String())
	}
	for _, name := range []string{
		render.SummaryFile, render.JUnitFile, render.HTMLFile, render.MarkdownFile, render.BadgeFile, seal.ManifestFile, seal.EnvelopeFile,
		"env.json", "events.jsonl", "config/effective.yaml", "config/profile.yaml", "records", "sut", "../latest/summary.json",
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("the run directory lacks %s: %v", name, err)
		}
	}
	sayOneThing(t, dir, string(text))
	formsKeepTheirSchemas(t, dir, run)
	tellsItsCourse(t, dir, "admission", "sources")
	if len(secrets) == 0 {
		t.Error("saw no secret of the system under test; the search for it in the artifacts would prove nothing")
	}
	noSecret(t, dir, secrets)
	for verb, want := range map[string]int{"verify": reports.ExitPass, "report": got} {
		if text, err := p.command(ctx, verb, dir).CombinedOutput(); code(t, err) != want {
			t.Errorf("%s: exit code %d, want %d\n%s", verb, code(t, err), want, text)
		}
	}
	if text, err := p.command(ctx, "run", "--profile", "smoke", "--label-filter", "req:SEC-01", "--run-dir", dir).CombinedOutput(); code(t, err) != reports.ExitUsage {
		t.Errorf("a second run into the same directory: exit code %d\n%s", code(t, err), text)
	}
}

func TestInterruptLeavesASealedPartialRun(t *testing.T) {
	t.Parallel()
	p := newProgram(t).withBridge(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := filepath.Join(p.out, "run")
	cmd := p.command(ctx, "run", "--profile", "smoke", "--run-dir", dir)
	var text, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	within(t, 2*time.Minute, "a scenario under way with records", func() bool {
		events, _ := os.ReadFile(filepath.Join(dir, "events.jsonl"))
		records, _ := filepath.Glob(filepath.Join(dir, "records", "*", "*"))
		return bytes.Contains(events, []byte("scenario-began")) && len(records) > 0
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var err error
	select {
	case err = <-ended:
	case <-time.After(2 * time.Minute):
		t.Fatalf("still running two minutes after the interrupt\n%s", text.String())
	}
	if got := code(t, err); got != reports.ExitInterrupted {
		t.Fatalf("exit code %d, want 130\n%s\n%s", got, text.String(), errs.String())
	}
	run, err := render.Load(dir)
	if err != nil || run.Partial == "" || run.Overall == reports.Pass {
		t.Errorf("summary: partial %q, overall %s, %v", run.Partial, run.Overall, err)
	}
	if text, err := p.command(ctx, "verify", dir).CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, text)
	}
	left, _ := filepath.Glob(filepath.Join(p.tmp, "plumbline-sut-*"))
	if len(left) > 0 {
		t.Errorf("private folders of the system under test are left: %v", left)
	}
}

func TestWatchEndsCleanlyOnInterrupt(t *testing.T) {
	p := newProgram(t)
	cmd := p.command(t.Context(), "watch", "sim:vibration")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	for range 2 { // the heading and a first sample
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	if got := code(t, cmd.Wait()); got != reports.ExitPass || !strings.Contains(string(rest), " samples, 0 damaged") {
		t.Errorf("exit code %d after\n%s", got, rest)
	}
}

func TestWhatIsMissingIsSaidBeforeAnythingRuns(t *testing.T) {
	p := newProgram(t).withBridge(t)
	broken := filepath.Join(p.tmp, "broken.yaml")
	if err := os.WriteFile(broken, []byte("apiVersion: plumbline/v1\nkind: SUT\nnaem: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.tmp, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no bridge", []string{"certify", "--bridged", "nosuch/bridged"}, 4, []string{"nosuch/bridged", "make build"}},
		{"unknown key of a descriptor", []string{"run", "--sut", broken}, 2, []string{"broken.yaml:3", "naem"}},
		{"no descriptor", []string{"run", "--sut", "missing.yaml"}, 2, []string{"missing.yaml"}},
		{"no rig file", []string{"run", "--rig", "missing.yaml"}, 2, []string{"missing.yaml", "plumbline devices"}},
		{"no profile", []string{"run", "--profile", "cii"}, 2, []string{"cii", "--profile takes"}},
		{"empty selection", []string{"run", "--label-filter", "nosuch"}, 3, []string{"no scenario was selected"}},
		{"smoke never certifies", []string{"certify", "--profile", "smoke"}, 2, []string{"smoke", "certif"}},
		{"output folder is a file", []string{"run", "--profile", "smoke", "--output-dir", file}, 2, []string{file, "mend: "}},
		{"key is no key", []string{"run", "--profile", "smoke", "--key", broken}, 2, []string{"broken.yaml", "--key"}},
		{"negative rate", []string{"run", "--profile", "smoke", "--rate", "-3"}, 2, []string{`"-3" for "--rate"`, "a number from 0.001 to 1e+06"}},
		{"no repetition", []string{"run", "--profile", "smoke", "--repeat", "0"}, 2, []string{`"0" for "--repeat"`, "a whole number from 1 to"}},
		{"several runs in one directory", []string{"run", "--profile", "smoke", "--repeat", "2", "--run-dir", "x"}, 2, []string{"--run-dir", "--output-dir"}},
		{"no baseline", []string{"run", "--profile", "smoke", "--baseline", "missing"}, 2, []string{"missing", "--baseline"}},
		{"rate of hell", []string{"run", "--profile", "smoke", "--rate", "1e9"}, 2, []string{`"1e9" for "--rate"`, "1e+06"}},
		{"negative window", []string{"run", "--profile", "smoke", "--duration", "-1s"}, 2, []string{`"-1s" for "--duration"`, "from 1ms to"}},
		{"baud rate in words", []string{"watch", "serial:/dev/nosuch?baud=fast"}, 2, []string{`baud="fast": a baud rate is a positive whole number`}},
		{"events nowhere", []string{"run", "--profile", "smoke", "--events", "no/such/folder/e"}, 2, []string{"no/such/folder", "--events", "descriptor"}},
		{"collector of no kind", []string{"run", "--profile", "smoke", "--otlp", "127.0.0.1:4318"}, 2, []string{"--otlp is no address", "http://"}},
		{"no run to report", []string{"report"}, 2, []string{"for example: plumbline report reports/out/latest\n"}},
		{"override of a certifying profile", []string{"run", "--rate", "5"}, 2, []string{"--rate", "smoke"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var errs bytes.Buffer
			cmd := p.command(t.Context(), c.args...)
			cmd.Stderr = &errs
			err := cmd.Run()
			if got := code(t, err); got != c.code {
				t.Errorf("exit code %d, want %d\n%s", got, c.code, errs.String())
			}
			for _, want := range c.says {
				if !strings.Contains(errs.String(), want) {
					t.Errorf("lacks %q:\n%s", want, errs.String())
				}
			}
		})
	}
	made, _ := filepath.Glob(filepath.Join(p.out, "*_*"))
	if len(made) > 0 {
		t.Errorf("run directories were made: %v", made)
	}
}

// within waits for a condition.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("no %s within %s", what, limit)
		case <-tick.C:
		}
	}
}

func TestABenchThatIsNotThere(t *testing.T) {
	t.Parallel()
	p := newProgram(t).withBridge(t)
	cases := []struct {
		name, flag, text string
		says             []string
		report           bool // a run was begun, so that there is something to render
	}{
		{"system dies at the start", "--sut", deadSystem, []string{"dead", "exit status 0"}, true},
		{"system never gets ready", "--sut", silentSystem, []string{"silent", "not ready after 500ms"}, true},
		{"no such port", "--rig", noPort, []string{"gps", "/dev/nonexistent", "plumbline devices"}, false},
		{"no such recording", "--rig", noRecording, []string{"old", "/nonexistent/track.nmea", "there and whole"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			file, dir := filepath.Join(t.TempDir(), "file.yaml"), filepath.Join(t.TempDir(), "run")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			text, err := p.command(ctx, "run", "--profile", "smoke", "--label-filter", "sources", "--run-dir", dir, c.flag, file).CombinedOutput()
			if got := code(t, err); got != reports.ExitUnavailable {
				t.Errorf("exit code %d, want 4\n%s", got, text)
			}
			for _, want := range c.says {
				if !bytes.Contains(text, []byte(want)) {
					t.Errorf("lacks %q:\n%s", want, text)
				}
			}
			if !c.report {
				if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("a run that was refused left a directory: %v", err)
				}
				return
			}
			if run, err := render.Load(dir); err != nil || run.Partial == "" {
				t.Errorf("the run does not say that it is partial: %v", err)
			}
			if text, err := p.command(ctx, "verify", dir).CombinedOutput(); err != nil {
				t.Errorf("verify: %v\n%s", err, text)
			}
		})
	}
}

func TestASecondInterruptLeavesAtOnce(t *testing.T) {
	p := newProgram(t).withBridge(t)
	dir := filepath.Join(p.out, "run")
	cmd := p.command(t.Context(), "run", "--profile", "smoke", "--label-filter", "steady", "--run-dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	within(t, 2*time.Minute, "a scenario under way", func() bool {
		events, _ := os.ReadFile(filepath.Join(dir, "events.jsonl"))
		return bytes.Contains(events, []byte("step-began"))
	})
	for {
		// Two signals that come at once are one to a process; so they go on until it ends.
		if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if got := code(t, err); got != reports.ExitInterrupted {
				t.Errorf("exit code %d, want 130", got)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}
