package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/harness/capacity"
	"plumbline/reports"
)

// What was measured is put between the marks of its axis, with the drawing, and nothing else
// of the file is changed; a file without these marks is named before anything is measured.
func TestCapacityInto(t *testing.T) {
	dir := t.TempDir()
	text, err := json.Marshal(reports.Capacity{
		Format: reports.CapacityFormat, Axis: "idle", Cores: 2, LatencyMost: 500, SUT: reports.SUT{Artifacts: []reports.Evidence{}, Capabilities: []string{}},
		Steps: []reports.CapacityStep{{Value: 100, Viewers: 1, Idle: 100, Window: time.Second, LatencyP50: 1, LatencyP99: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	readme, plot := filepath.Join(dir, "README.md"), filepath.Join(dir, "idle.svg")
	begin, end := capacityMarks("idle")
	for path, text := range map[string]string{filepath.Join(dir, capacity.File): string(text), readme: "before\n" + begin + "\nold\n" + end + "\nafter\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	say := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := execute(t.Context(), streams{in: &bytes.Buffer{}, out: &out, err: &errs, getenv: func(string) string { return "" }}, append([]string{"capacity"}, args...))
		return code, out.String() + errs.String()
	}
	if code, said := say("--show", dir, "--into", readme, "--plot", plot); code != 0 {
		t.Fatalf("exit %d: %s", code, said)
	}
	got, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(got); !strings.HasPrefix(s, "before\n"+begin+"\n![") || !strings.HasSuffix(s, end+"\nafter\n") || !strings.Contains(s, "](idle.svg)\n\n") || !strings.Contains(s, "up to 100 viewers that only wait") || strings.Contains(s, "\nold\n") {
		t.Errorf("the file holds\n%s", s)
	}
	if drawn, err := os.ReadFile(plot); err != nil || !bytes.HasPrefix(drawn, []byte("<svg ")) {
		t.Errorf("the plot: %v", err)
	}
	if code, said := say("--show", dir, "--into", readme, "--plot", dir); code != 0 || !strings.Contains(said, "capacity-idle.svg") {
		t.Errorf("a folder for plots: exit %d, %s", code, said)
	}
	if got, err := os.ReadFile(readme); err != nil || !strings.Contains(string(got), "](capacity-idle.svg)") {
		t.Errorf("the file holds %s, %v", got, err)
	}
	if code, said := say("--axis", "rate", "--into", readme); code != reports.ExitUsage || !strings.Contains(said, "capacity along rate") {
		t.Errorf("a file without the marks: exit %d, %s", code, said)
	}
	if code, said := say("--show", dir, "--plot", filepath.Join(dir, "none", "x.svg")); code != reports.ExitUsage || !strings.Contains(said, "--plot") {
		t.Errorf("a plot in no folder: exit %d, %s", code, said)
	}
}
