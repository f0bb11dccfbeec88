package harness

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

// recordedWith is a bench that left these samples and events.
func recordedWith(t *testing.T, usage []Usage, events ...record.Event) *Recorded {
	t.Helper()
	dir := t.TempDir()
	var lines []byte
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	if err := os.WriteFile(filepath.Join(dir, "events.jsonl"), lines, 0o600); err != nil {
		t.Fatal(err)
	}
	return &Recorded{Evidence: Evidence{Usage: usage}, dir: dir, folder: "soak"}
}

func TestResources(t *testing.T) {
	second := int64(time.Second)
	r := recordedWith(t, []Usage{{At: second, CPU: 1, RSS: 5, Files: 7, Threads: 3}, {At: 2 * second, CPU: 2, RSS: 6, Files: -1, Threads: 4}},
		record.Event{At: second, Kind: record.FaultOnset, Subject: "cut"}, record.Event{At: second + 5, Kind: record.FaultEnd, Subject: "cut"},
		record.Event{At: 3 * second, Kind: record.FaultOnset, Subject: "stop"})
	got, ok := r.Resources("soak")
	if !ok || got.Name != "soak" || len(got.Samples) != 2 || got.Samples[1] != (reports.Usage{At: 2 * time.Second, CPU: 2, RSS: 6, Files: -1, Threads: 4}) {
		t.Fatalf("%v %+v", ok, got)
	}
	want := []reports.FaultWindow{{Name: "cut", Onset: time.Second, End: time.Second + 5}, {Name: "stop", Onset: 3 * time.Second, End: 3 * time.Second}}
	if len(got.Faults) != 2 || got.Faults[0] != want[0] || got.Faults[1] != want[1] {
		t.Errorf("faults %+v, want %+v", got.Faults, want)
	}
	if _, ok := recordedWith(t, make([]Usage, 1)).Resources("soak"); ok {
		t.Error("one sample makes a curve")
	}
}

// TestResourcesAreBounded checks that thinning loses neither a peak nor the end.
func TestResourcesAreBounded(t *testing.T) {
	usage := make([]Usage, 10*maxUsages+1)
	for i := range usage {
		usage[i] = Usage{At: int64(i), CPU: time.Duration(i), RSS: 10, Files: 5, Threads: 2}
	}
	usage[1234].RSS, usage[2345].Files, usage[777].Threads = 99, 98, 97
	got, _ := recordedWith(t, usage).Resources("soak")
	var most reports.Usage
	for _, u := range got.Samples {
		most.RSS, most.Files, most.Threads = max(most.RSS, u.RSS), max(most.Files, u.Files), max(most.Threads, u.Threads)
	}
	last := got.Samples[len(got.Samples)-1]
	if len(got.Samples) > maxUsages || most.RSS != 99 || most.Files != 98 || most.Threads != 97 || last.At != time.Duration(len(usage)-1) || last.CPU != last.At.Round(1) {
		t.Errorf("%d samples, most %+v, last %+v", len(got.Samples), most, last)
	}
}
