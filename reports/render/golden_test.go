package render

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"plumbline/reports"
)

var update = flag.Bool("update", false, "write the golden files in testdata anew")

// listFiles returns the names of all files below a folder, sorted.
func listFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func samples() map[string]func() *reports.Run {
	return map[string]func() *reports.Run{"mixed": sampleMixed, "certified": sampleCertified, "selected": sampleSelected}
}

// TestGolden renders again what lies in testdata, from its summary.json alone,
// and expects every file byte for byte. After a wanted change:
// go test ./reports/render -run Golden -update, then look at the pages.
func TestGolden(t *testing.T) {
	for name, build := range samples() {
		dir := filepath.Join("testdata", name)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := All(dir, build()); err != nil {
				t.Fatal(err)
			}
		}
		run, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		again := t.TempDir()
		if err := All(again, run); err != nil {
			t.Fatal(err)
		}
		sameFiles(t, name, dir, again)
	}
}

func sameFiles(t *testing.T, name, wantDir, gotDir string) {
	t.Helper()
	names := listFiles(t, wantDir)
	if got := listFiles(t, gotDir); !slices.Equal(got, names) || len(names) < 9 {
		t.Fatalf("%s: files %v, want %v", name, got, names)
	}
	for _, file := range names {
		want, err := os.ReadFile(filepath.Join(wantDir, file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(gotDir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			at := 0
			for at < len(got) && at < len(want) && got[at] == want[at] {
				at++
			}
			t.Errorf("%s/%s differs from byte %d: got …%q, want …%q", name, file, at, around(got, at), around(want, at))
		}
	}
}

func around(b []byte, at int) []byte { return b[max(at-40, 0):min(at+60, len(b))] }

// TestSamplesAreValid keeps the fixtures honest: they pass the checks of real runs.
func TestSamplesAreValid(t *testing.T) {
	for name, build := range samples() {
		if err := build().Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !sampleCertified().Certified() {
		t.Error("the certified sample is not certified")
	}
	seen := map[reports.Verdict]bool{}
	for _, j := range sampleMixed().Judgements() {
		seen[j.Verdict] = true
	}
	if len(seen) != 8 {
		t.Errorf("the mixed sample shows %d of 8 verdicts", len(seen))
	}
}

// TestRenderingLeavesRunAlone checks that no renderer changes what it reads.
func TestRenderingLeavesRunAlone(t *testing.T) {
	run := sampleMixed()
	run.SUT.Name = "a\nb"
	if err := All(t.TempDir(), run); err != nil {
		t.Fatal(err)
	}
	if run.SUT.Name != "a\nb" || len(run.Results) != len(sampleMixed().Results) {
		t.Error("rendering changed the run")
	}
}

func TestAllRefusesMissingFolder(t *testing.T) {
	if err := All(filepath.Join(t.TempDir(), "absent"), sampleMixed()); err == nil {
		t.Error("All wrote into a folder that does not exist")
	}
}

// TestAllLeavesNoScraps checks that nothing but the reports stays in the folder.
func TestAllLeavesNoScraps(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := All(dir, sampleMixed()); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	files, err := filesOf(sampleMixed())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		want = append(want, f.name)
	}
	slices.Sort(want)
	if got := listFiles(t, dir); !slices.Equal(got, want) || len(want) != 12 { // 3 distributions among them
		t.Errorf("files %v, want %v", got, want)
	}
}
