package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/harness/spec"
	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/reports/seal"
)

// stored makes a run directory with the command itself.
func stored(t *testing.T, p *program, want int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for attempt := 1; ; attempt++ {
		dir := filepath.Join(t.TempDir(), "run")
		text, err := p.command(ctx, append([]string{"run", "--run-dir", dir}, args...)...).CombinedOutput()
		got := code(t, err)
		if got == want {
			return dir
		}
		// A machine that is too busy to judge says so, and is asked again.
		if got != reports.ExitInconclusive || attempt == 4 {
			t.Fatalf("attempt %d: exit code %d, want %d\n%s", attempt, got, want, text)
		}
	}
}

// aGoodRun is where the run of goodRun is, "" before.
var aGoodRun struct {
	sync.Mutex
	dir string
}

// goodRun is a run that passed, made once for all who only read it.
func goodRun(t *testing.T, p *program) string {
	t.Helper()
	aGoodRun.Lock()
	defer aGoodRun.Unlock()
	if aGoodRun.dir == "" {
		dir := filepath.Join(shared, "good")
		if err := os.Rename(stored(t, p, reports.ExitPass, "--profile", "smoke", "--label-filter", "admission || sources || broker", "--seed", "7"), dir); err != nil {
			t.Fatal(err)
		}
		aGoodRun.dir = dir
	}
	return aGoodRun.dir
}

// recomputed runs the recomputation and returns its exit code and what it says.
func recomputed(t *testing.T, p *program, dir string) (int, string) {
	t.Helper()
	text, err := p.command(t.Context(), "report", dir, "--recompute").CombinedOutput()
	return code(t, err), string(text)
}

// impatient is the profile smoke with a limit that no bridge can keep, and one that
// every bridge keeps.
func impatient(t *testing.T) string {
	t.Helper()
	p, err := spec.Catalogue().Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`SEC-05: \{limit: [^,]*,`).ReplaceAllString(string(p.Source), "SEC-05: {limit: 400 us,")
	text = regexp.MustCompile(`SEC-04: \{limit: [^,]*,`).ReplaceAllString(text, "SEC-04: {limit: 60 s,") // by a busy machine, too
	text = strings.Replace(text, "name: smoke", "name: impatient", 1)
	file := filepath.Join(t.TempDir(), "impatient.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// cutShort is a run that was told to end while a scenario was under way.
func cutShort(t *testing.T, p *program) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	cmd := p.command(t.Context(), "run", "--profile", "smoke", "--label-filter", "client || sessions", "--run-dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "a scenario under way with records", func() bool {
		records, _ := filepath.Glob(filepath.Join(dir, "records", "*", "records.bin"))
		return len(records) > 0
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := code(t, cmd.Wait()); got != reports.ExitInterrupted {
		t.Fatalf("exit code %d, want 130", got)
	}
	return dir
}

// Runs of several profiles, selections and ends give the same bytes again.
func TestStoredRunsAreRecomputedBitForBit(t *testing.T) {
	t.Parallel()
	newProgram(t) // which says where it cannot be
	dead := filepath.Join(t.TempDir(), "dead.yaml")
	if err := os.WriteFile(dead, []byte(deadSystem), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir     func(*testing.T, *program) string
		verdict map[string]reports.Verdict
	}{
		"passes": {
			goodRun,
			map[string]reports.Verdict{"SEC-03": reports.Pass, "REC-02": reports.Pass},
		},
		"fails": {
			made(reports.ExitFail, "--profile", impatient(t), "--label-filter", "sessions"),
			map[string]reports.Verdict{"SEC-05": reports.Fail, "SEC-04": reports.Pass},
		},
		"does not apply": {
			made(reports.ExitUnavailable, "--profile", "ci", "--label-filter", "tenants || sources", "--sut", dead),
			map[string]reports.Verdict{"SEC-07": reports.NotApplicable, "DEL-01": reports.Inconclusive},
		},
		"overridden": {
			made(reports.ExitPass, "--profile", "smoke", "--label-filter", "load || halfopen", "--duration", "1s", "--rate", "100"),
			map[string]reports.Verdict{"REC-03": reports.Pass, "DEL-01": reports.Pass},
		},
		"interrupted": {
			cutShort,
			map[string]reports.Verdict{"REC-01": reports.Inconclusive, "SEC-04": reports.Inconclusive},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProgram(t).withBridge(t) // with a key of its own
			dir := c.dir(t, p)
			if got, text := recomputed(t, p, dir); got != reports.ExitPass || strings.Contains(text, "DIFFERS") || !strings.Contains(text, " same\n") {
				t.Errorf("exit code %d\n%s", got, text)
			}
			run, err := render.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range run.Judgements() {
				if want, named := c.verdict[j.Requirement.ID]; named && j.Verdict != want {
					t.Errorf("%s is %s, want %s: the test is about other runs than it says", j.Requirement.ID, j.Verdict, want)
				}
			}
		})
	}
}

// made is stored for a run that is made only when it is asked for.
func made(want int, args ...string) func(*testing.T, *program) string {
	return func(t *testing.T, p *program) string { t.Helper(); return stored(t, p, want, args...) }
}

// edit changes a file of a run directory.
func edit(t *testing.T, file string, change func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(bytes.Clone(content))
	if bytes.Equal(changed, content) {
		t.Fatalf("%s was not changed", file)
	}
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fitManifest makes the manifest say of every file what it is now, as somebody would
// who wants a change not to be seen.
func fitManifest(t *testing.T, dir string) {
	t.Helper()
	files, err := seal.Digest(t.Context(), dir, seal.ManifestFile, seal.EnvelopeFile)
	if err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(dir, seal.ManifestFile), func(text []byte) []byte {
		var m seal.Manifest
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		m.Files = files
		if text, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		return text
	})
}

func replaced(old, new string) func([]byte) []byte {
	return func(text []byte) []byte { return bytes.Replace(text, []byte(old), []byte(new), 1) }
}

func flip(content []byte) []byte {
	content[len(content)/2] ^= 1
	return content
}

// Whatever is changed in a stored run is found: by its digest, or by what it
// gives when the digests were made to fit.
func TestAChangedRunIsNotTheSame(t *testing.T) {
	p := newProgram(t).withBridge(t)
	good := goodRun(t, p)
	for name, c := range map[string]struct {
		file   string
		change func([]byte) []byte // nil removes the file
		fit    bool
		says   []string
	}{
		"a record":                   {"records/sources/records.bin", flip, false, []string{"records/sources/records.bin", "changed"}},
		"a record, unseen":           {"records/sources/records.bin", flip, true, []string{"DIFFERS", "DEL-01", "ERROR from the files", "damage: ", "records.bin is damaged at offset"}},
		"an event, unseen":           {"records/sources/events.jsonl", func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }, true, []string{"DEL-01", "verdict PASS in the summary, INCONCLUSIVE"}},
		"what the rig saw, unseen":   {"records/sources/bench.json", replaced(`"damaged": 0`, `"damaged": 9`), true, []string{"figures", "DIFFERS: devices"}},
		"a fact":                     {"facts/admission.json", replaced(`"checks": 3`, `"checks": 5`), false, []string{"facts/admission.json", "changed", "SEC-01"}},
		"a fact, unseen":             {"facts/admission.json", replaced(`"checks": 3`, `"checks": 5`), true, []string{"SEC-01", "DIFFERS: scenario admission, attempt 1: headline; scenario admission, attempt 1: sentence"}},
		"a fact too many":            {"facts/admission.json", replaced(`"attempt": 1`, `"attempt": 1, "verdict": "PASS"`), true, []string{"facts/admission.json", "verdict"}},
		"no facts":                   {"facts/admission.json", nil, true, []string{"facts", "admission", "DIFFERS: 1 results in the summary, 0 from the files"}},
		"no records":                 {"records/sources/records.bin", nil, false, []string{"records/sources/records.bin", "missing"}},
		"the profile":                {"config/profile.yaml", replaced("limit: 400 ms", "limit: 900 ms"), false, []string{"config/profile.yaml", "is not the profile"}},
		"the profile, unseen":        {"config/profile.yaml", replaced("limit: 400 ms", "limit: 900 ms"), true, []string{"is not the profile that was judged by"}},
		"the capabilities, unseen":   {"config/run.json", replaced(`"tls"`, `"slt"`), true, []string{"SEC-01", "N/A"}},
		"the rule, unseen":           {"config/run.json", replaced(`"rule_sha256": "`, `"rule_sha256": "0`), true, []string{"by the rule"}},
		"the catalogue, unseen":      {"config/run.json", replaced(`"catalogue_sha256": "`, `"catalogue_sha256": "0`), true, []string{"another catalogue"}},
		"the selection, unseen":      {"config/run.json", replaced(`"admission || sources || broker"`, `"admission"`), true, []string{"made the scenarios"}},
		"a sentence of the summary":  {"summary.json", replaced("0 violations in 3 checks", "0 violations in 9 checks"), true, []string{"SEC-01", "DIFFERS"}},
		"a headline and no manifest": {"manifest.json", nil, false, []string{"manifest.json", "missing"}},
		"no summary":                 {"summary.json", nil, false, []string{"summary.json"}},
		"a broken summary":           {"summary.json", replaced("{", "["), true, []string{"summary.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, c.file)
			if c.change == nil {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			} else {
				edit(t, file, c.change)
			}
			if c.fit {
				fitManifest(t, dir)
			}
			got, text := recomputed(t, p, dir)
			if got != reports.ExitVerify {
				t.Errorf("exit code %d, want 6\n%s", got, text)
			}
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("lacks %q:\n%s", want, text)
				}
			}
		})
	}
	linked := filepath.Join(t.TempDir(), "run")
	if err := os.CopyFS(linked, os.DirFS(good)); err != nil {
		t.Fatal(err)
	}
	facts := filepath.Join(linked, "facts", "admission.json")
	if err := errors.Join(os.Remove(facts), os.Symlink("/dev/zero", facts)); err != nil {
		t.Fatal(err)
	}
	if got, text := recomputed(t, p, linked); got != reports.ExitVerify || !strings.Contains(text, "not a regular file") {
		t.Errorf("a link to a file without an end: exit code %d\n%s", got, text)
	}
	if got, text := recomputed(t, p, good); got != reports.ExitPass {
		t.Errorf("the run itself: exit code %d\n%s", got, text)
	}
}

func TestOnlyARunIsRecomputed(t *testing.T) {
	p := newProgram(t)
	for _, args := range [][]string{{t.TempDir()}, {filepath.Join(t.TempDir(), "nosuch")}, {t.TempDir(), "--to", "elsewhere"}} {
		cmd := p.command(t.Context(), append([]string{"report", "--recompute"}, args...)...)
		if text, err := cmd.CombinedOutput(); code(t, err) != reports.ExitUsage {
			t.Errorf("%v: exit code %d\n%s", args, code(t, err), text)
		}
	}
}
