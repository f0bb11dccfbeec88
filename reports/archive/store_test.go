package archive

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

// rewrite replaces text in the summary of a run directory.
func rewrite(t *testing.T, dir string, change func(string) string) {
	t.Helper()
	path := filepath.Join(dir, render.SummaryFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(change(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestHostileStore: whatever is wrong with a run is named, and the others are used.
func TestHostileStore(t *testing.T) {
	k := newKeep(t)
	k.Put("", k.Run(1, nil))
	want := map[string]string{} // path → what is said of it
	bad := func(folder, says string, run *reports.Run) string {
		want[folder] = says
		return k.Put(folder, run)
	}
	rewrite(t, bad("cut", "truncated: summary.json ends within", k.Run(1, nil)), func(s string) string { return s[:len(s)/2] })
	rewrite(t, bad("empty", "truncated: summary.json ends within", k.Run(1, nil)), func(string) string { return "" })
	rewrite(t, bad("newer", `another schema: "plumbline.run/v9"`, k.Run(1, nil)), func(s string) string {
		return strings.Replace(s, `"schema": "plumbline.run/v1",`, `"schema": "plumbline.run/v9", "more": 1,`, 1)
	})
	rewrite(t, bad("foreign", "foreign: summary.json names no schema", k.Run(1, nil)), func(string) string { return `{"results": []}` })
	rewrite(t, bad("binary", "damaged: ", k.Run(1, nil)), func(string) string { return "\x00\x01\x1b[31m" })
	rewrite(t, bad("forged", "damaged: render: read run: overall says PASS", k.Run(1, func(r *reports.Run) { r.Results[1].Verdict = reports.Fail })),
		func(s string) string { return strings.Replace(s, `"overall": "FAIL"`, `"overall": "PASS"`, 1) })
	bad("backwards", "its clock went backwards: started", k.Run(1, func(r *reports.Run) { r.Finished = r.Started.Add(-time.Hour) }))
	bad("stepped", "its clock went backwards or was set: LAT-02", k.Run(1, func(r *reports.Run) { r.Results[0].Started = r.Started.Add(-time.Hour) }))
	bad("nameless", "contradicts itself: ", k.Run(1, func(r *reports.Run) { r.ID = "" }))
	twice := k.Run(1, nil)
	k.Put("one", twice)
	bad("one-again", "a copy of one", twice)
	for _, folder := range []string{"same-a", "same-b"} {
		bad(folder, `has the id "twins" of same-`, k.Run(1, func(r *reports.Run) { r.ID = "twins" }))
	}
	want["sealed"], want["link"], want["folder"] = "truncated: it has manifest.json", "summary.json is no regular file", "summary.json is no regular file"
	for _, folder := range []string{"sealed", "link", "folder/summary.json", "going", "deep/er/still/too/deep", ".hidden", "files"} {
		must(t, os.MkdirAll(filepath.Join(k.Root, filepath.FromSlash(folder)), 0o750))
	}
	must(t, os.WriteFile(filepath.Join(k.Root, "sealed", "manifest.json"), []byte("{}"), 0o600),
		os.Symlink("/etc/passwd", filepath.Join(k.Root, "link", render.SummaryFile)),
		os.Symlink(filepath.Join(k.Root, "one"), filepath.Join(k.Root, "latest")),
		os.WriteFile(filepath.Join(k.Root, "going", "events.jsonl"), nil, 0o600),
		os.WriteFile(filepath.Join(k.Root, "files", "readme"), nil, 0o600))
	k.Put("deep/er/run", k.Run(1, nil))
	k.Put("deep/er/still/too/deep", k.Run(1, nil))
	k.Put(".hidden", k.Run(1, nil))

	s, err := Load(k.Root)
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	for _, r := range s.Runs {
		used = append(used, r.Path)
	}
	if !slices.Equal(used, []string{"20260102T090000Z_ci_run0001", "one", "deep/er/run"}) {
		t.Errorf("used are %q", used)
	}
	for _, a := range s.Aside {
		if says, known := want[a.Path]; !known || !strings.HasPrefix(a.Why, says) || strings.ContainsAny(a.Why, "\x1b\n") {
			t.Errorf("%s: %q, want %q", a.Path, a.Why, says)
		}
		delete(want, a.Path)
	}
	if len(want) > 0 {
		t.Errorf("not named: %v", want)
	}
	if len(s.Open) != 1 || s.Open[0].Path != "going" {
		t.Errorf("going on: %+v", s.Open)
	}
	if _, err := s.History(Choice{}); err != nil {
		t.Error(err)
	}
}

// TestRunsAtOnceAreNoted: two runs of one machine whose times overlap disturbed each
// other, or a clock was set between them.
func TestRunsAtOnceAreNoted(t *testing.T) {
	k := newKeep(t)
	a := k.Run(1, nil)
	b := k.Run(1, func(r *reports.Run) { r.Started, r.Finished = a.Started.Add(time.Second), a.Finished })
	for i := range b.Results {
		b.Results[i].Started = b.Started
	}
	k.Put("a", a)
	k.Put("b", b)
	s, err := Load(k.Root)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Runs) != 2 || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "run0001 and run0002 overlap") {
		t.Errorf("%d runs, notes %q", len(s.Runs), s.Notes)
	}
}

func TestNoStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{file, filepath.Join(t.TempDir(), "missing")} {
		if _, err := Load(path); !errors.Is(err, ErrNoStore) {
			t.Errorf("%s: %v", path, err)
		}
	}
	s, err := Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.History(Choice{}); !errors.Is(err, ErrNothing) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestTheStoreMayBeOneRun: a run directory is a store of one run.
func TestTheStoreMayBeOneRun(t *testing.T) {
	k := newKeep(t)
	s, err := Load(k.Put("one", k.Run(1, nil)))
	if err != nil || len(s.Runs) != 1 || s.Runs[0].Path != "." {
		t.Errorf("%v, %+v", err, s)
	}
}

// TestLoaderReadsWhatIsNew: a loader sees runs come, change and go.
func TestLoaderReadsWhatIsNew(t *testing.T) {
	k := newKeep(t)
	l := NewLoader(k.Root)
	load := func() []string {
		t.Helper()
		s, err := l.Load()
		if err != nil {
			t.Fatal(err)
		}
		ids := []string{}
		for _, r := range s.Runs {
			ids = append(ids, r.ID)
		}
		return ids
	}
	if got := load(); len(got) != 0 {
		t.Errorf("an empty store holds %q", got)
	}
	dir := k.Put("a", k.Run(1, nil))
	k.Put("b", k.Run(1, nil))
	if got := load(); !slices.Equal(got, []string{"run0001", "run0002"}) {
		t.Errorf("two runs: %q", got)
	}
	rewrite(t, dir, func(s string) string { return strings.ReplaceAll(s, "run0001", "run0001-other") })
	must(t, os.RemoveAll(filepath.Join(k.Root, "b")))
	if got := load(); !slices.Equal(got, []string{"run0001-other"}) {
		t.Errorf("after a change: %q", got)
	}
}
