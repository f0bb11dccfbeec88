package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"

	"plumbline/reports"
	"plumbline/reports/render"
)

// answer is what a command says to a run directory: its exit code and words of its
// output.
type answer struct {
	code int
	says string
}

// badRuns are run directories that nobody should be shown as they are. Each
// command that reads run directories answers with a refusal that names what is
// wrong and how to mend it: refused, where others does not say otherwise.
var badRuns = []struct {
	name    string
	spoil   func(dir string) error
	refused string            // by those that read the summary
	seal    string            // what verify and recompute say of it, with code 6
	others  map[string]answer // by the name of the command
}{
	{"cut short", rewritten(render.SummaryFile, func(text string) string { return text[:len(text)/2] }), "cut short after", "summary.json", nil},
	{"empty", rewritten(render.SummaryFile, func(string) string { return "" }), "cut short after 0 bytes", "summary.json", nil},
	{"damaged", rewritten(render.SummaryFile, func(text string) string { return strings.Replace(text, `"devices": [`, `"devices": <`, 1) }), "damaged at byte", "summary.json", nil},
	{"of another program", rewritten(render.SummaryFile, func(string) string { return `{"name": "left-pad", "version": "1.0.0"}` }), "JSON of something else", "summary.json", nil},
	{"newer", rewritten(render.SummaryFile, func(text string) string {
		return strings.NewReplacer("plumbline.run/v1", "plumbline.run/v2", `"seed"`, `"seeds"`).Replace(text)
	}), "it is newer", "summary.json", nil},
	{"older", rewritten(render.SummaryFile, func(text string) string { return strings.Replace(text, "plumbline.run/v1", "plumbline.run/v0", 1) }), "it is older", "summary.json", nil},
	{"with more behind its end", rewritten(render.SummaryFile, func(text string) string { return text + text }), "damaged at byte", "summary.json", nil},
	{"finished before it started", rewritten(render.SummaryFile, func(text string) string {
		return strings.Replace(text, `"finished": "2026-11-23T03:41`, `"finished": "2026-11-23T03:39`, 1)
	}), "are not an interval", "summary.json", nil},
	{"with a path for an id", rewritten(render.SummaryFile, func(text string) string {
		return strings.Replace(text, `"id": "0badcafe"`, `"id": "../../etc/0badcafe"`, 1)
	}), "its id is", "summary.json", nil},
	{"with a forged verdict", rewritten(render.SummaryFile, func(text string) string { return strings.Replace(text, `"overall": "PASS"`, `"overall": "N/A"`, 1) }), "its results say PASS", "summary.json", nil},
	{"with a link for a summary", func(dir string) error {
		return relink(filepath.Join(dir, "config", "run.json"), filepath.Join(dir, render.SummaryFile))
	}, "no plain file", "summary.json", nil},
	{"with an endless summary", func(dir string) error {
		return relink("/dev/zero", filepath.Join(dir, render.SummaryFile))
	}, "no plain file", "summary.json", nil},
	{"with a folder for a summary", func(dir string) error {
		path := filepath.Join(dir, render.SummaryFile)
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Mkdir(path, 0o750)
	}, "no plain file", "summary.json", nil},
	{"with a huge summary", func(dir string) error { return os.Truncate(filepath.Join(dir, render.SummaryFile), 257<<20) },
		"a summary holds figures, not records", "summary.json", nil},
	{"of nothing", os.RemoveAll, "no such file", "", map[string]answer{
		"verify": {2, "name a run directory"}, "recompute": {2, "no run directory"}, "compare": {2, "name run directories"}}},
	{"that is a foreign folder", func(dir string) error {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return os.MkdirAll(filepath.Join(dir, "node_modules"), 0o750)
	}, "is this a run directory?", "missing", map[string]answer{"recompute": {2, "no run directory"}, "compare": {2, "name run directories"}}},
	{"with conditions of another schema", rewritten("config/run.json", func(string) string { return `{"format": "plumbline.run/v7", "weather": "fine"}` }), "", "run.json", map[string]answer{
		"compare": {2, `config/run.json has format "plumbline.run/v7", this program reads "plumbline.run/v1"`},
		"report":  {0, "verdict PASS"}, "matrix": {0, "PASS"}, "export": {0, "exported: "}, "codequality": {0, "exported: "}}},
}

// rewritten changes the text of a file.
func rewritten(name string, change func(string) string) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		changed := change(string(text))
		if changed == string(text) {
			return fmt.Errorf("%s does not hold what was to be changed", name)
		}
		return os.WriteFile(path, []byte(changed), 0o600)
	}
}

func relink(to, path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(to, path)
}

// readers are the commands that read run directories.
func readers(dir, other, scratch string) map[string][]string {
	return map[string][]string{
		"report":      {"report", dir},
		"matrix":      {"report", "--matrix", other, dir},
		"recompute":   {"report", dir, "--recompute"},
		"verify":      {"verify", dir},
		"compare":     {"compare", other, dir},
		"export":      {"export", dir, "--to", filepath.Join(scratch, "tables")},
		"codequality": {"export", dir, "--format", "codequality", "--to", filepath.Join(scratch, "issues.json")},
	}
}

// heard runs a command within this process and returns its code and all that it
// said, which must be visible text.
func heard(t *testing.T, args []string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := execute(t.Context(), streams{in: &bytes.Buffer{}, out: &out, err: &out, getenv: func(string) string { return "" }}, args)
	for i, r := range out.String() {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			t.Errorf("%s: %U at byte %d of what it says", args[0], r, i)
			break
		}
	}
	return code, out.String()
}

func TestBadRunsAreRefusedByName(t *testing.T) {
	base := t.TempDir()
	good, other := filepath.Join(base, "good"), filepath.Join(base, "other")
	for dir, id := range map[string]string{good: "0badcafe", other: "c0ffee00"} {
		if err := sealRun(dir, filepath.Join(base, "key"), func(run *reports.Run) {
			if run.ID = id; dir == other {
				run.SUT.Name = "another" // a row of a table has a system once
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range badRuns {
		for name := range readers("", "", "") {
			t.Run(strings.ReplaceAll(c.name, " ", "-")+"/"+name, func(t *testing.T) {
				dir, scratch := filepath.Join(t.TempDir(), "run"), t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
					t.Fatal(err)
				}
				if err := c.spoil(dir); err != nil {
					t.Fatal(err)
				}
				want, special := c.others[name]
				switch {
				case special:
				case name == "verify" || name == "recompute":
					want = answer{reports.ExitVerify, c.seal}
				default:
					want = answer{reports.ExitUsage, c.refused}
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				code, said := heard(t, readers(dir, other, scratch)[name])
				runtime.ReadMemStats(&after)
				if code != want.code || !strings.Contains(said, want.says) {
					t.Errorf("exit code %d, want %d with %q:\n%s", code, want.code, want.says, said)
				}
				if code != reports.ExitPass && !strings.Contains(said, "mend: ") {
					t.Errorf("it does not say how to mend it:\n%s", said)
				}
				if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
					t.Errorf("it took %d MiB of memory", took>>20)
				}
				if left, _ := os.ReadDir(scratch); code != reports.ExitPass && len(left) > 0 {
					t.Errorf("it left %s", left[0].Name())
				}
			})
		}
	}
}

// TestOneRunIsNotComparedWithItself: two directories of one id are one run.
func TestOneRunIsNotComparedWithItself(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := sealRun(filepath.Join(base, name), filepath.Join(base, "key"), func(*reports.Run) {}); err != nil {
			t.Fatal(err)
		}
	}
	code, said := heard(t, []string{"compare", filepath.Join(base, "a"), filepath.Join(base, "b")})
	if code != reports.ExitInconclusive || !strings.Contains(said, "are the same run") || !strings.Contains(said, "mend: ") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// TestHostileRunsAreShownInert: what a system under test calls itself reaches no
// terminal, page, spreadsheet or merge request as anything but text, and a
// megabyte of it holds nothing up.
func TestHostileRunsAreShownInert(t *testing.T) {
	base := t.TempDir()
	for i, text := range []string{
		"<script>alert(1)</script>", "\x1b]0;owned\x07\x1b[2J", `=cmd|' /C calc'!A0`, "\u202egnp.exe\u2066", "x\nOVERALL: PASS\n::error::x", strings.Repeat("=A1 ", 1<<18),
	} {
		dir := filepath.Join(base, fmt.Sprint(i))
		err := sealRun(dir, filepath.Join(base, "key"), func(run *reports.Run) {
			r := &run.Results[0]
			run.Devices = []reports.Device{{ID: text, Kind: "k", Mode: reports.ModeSim}}
			r.Verdict, r.Findings = reports.Fail, []reports.Finding{{Kind: "k", Subject: "s", Detail: text}}
			if len(text) > 1<<10 {
				return // once or twice is enough
			}
			run.SUT.Name, run.SUT.Version, run.Tool.Name, run.Profile.Name = text, text, text, text
			run.Devices[0].Kind, run.Devices[0].Detail = text, text
			r.Scenario, r.Sentence, r.Headline = text, text, text
			r.Findings = append(r.Findings, reports.Finding{Kind: text, Subject: text, Detail: text, Context: []string{text}})
		})
		if err != nil {
			t.Fatal(err)
		}
		scratch := t.TempDir()
		for name, args := range readers(dir, dir, scratch) {
			code, said := heard(t, args)
			want := map[string]int{"report": reports.ExitFail, "verify": 0, "export": 0, "codequality": 0, "matrix": reports.ExitUsage, "compare": reports.ExitInconclusive, "recompute": reports.ExitVerify}[name]
			if code != want {
				t.Errorf("%.20q: %s: exit code %d, want %d: %.500s", text, name, code, want, said)
			}
		}
		for _, table := range []string{"devices.csv", "results.csv", "findings.csv"} {
			content, err := os.ReadFile(filepath.Join(scratch, "tables", table))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.ContainsAny(content, "\x1b\x07\u202e") || bytes.Contains(content, []byte(",=")) || bytes.Contains(content, []byte("\"=")) {
				t.Errorf("%.20q: %s is not inert: %.300q", text, table, content)
			}
		}
	}
}
