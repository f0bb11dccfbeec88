package harness_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/harness"
	"plumbline/harness/agent"
	"plumbline/harness/clocks"
	"plumbline/harness/load"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
)

// recordedAfar makes a run directory with one bench whose viewer was at an
// agent that is a second ahead, and returns it.
func recordedAfar(t *testing.T, exchanges []clocks.Exchange) string {
	t.Helper()
	run := t.TempDir()
	dir := filepath.Join(run, harness.RecordsFolder, "far")
	own, err := record.NewRecorder(dir, record.NewClock())
	if err != nil {
		t.Fatal(err)
	}
	stream := own.Stream(record.Stream{Device: "lamp", Topic: "bench/lamp", QoS: 1})
	publisher := own.Node(record.Node{Name: "publisher", Role: "publisher"})
	own.Add(record.Record{Kind: record.Sent, Node: publisher, Stream: stream, Seq: 1, Due: 5e8, At: 5e8, End: 5e8})
	there, err := record.NewRecorder(filepath.Join(dir, "agent-1"), record.NewClock())
	if err != nil {
		t.Fatal(err)
	}
	viewer := there.Node(record.Node{Name: "viewer-01", Role: "viewer", Filters: []string{"bench/#"}})
	seen := there.Stream(record.Stream{Device: "lamp", Topic: "bench/lamp"})
	there.Add(record.Record{Kind: record.Received, Node: viewer, Stream: seen, Seq: 1, At: 1.6e9})
	var text strings.Builder
	if err := errors.Join(own.Close(), there.Close(), clocks.Write(&text, exchanges)); err != nil {
		t.Fatal(err)
	}
	write := func(name string, content any) {
		t.Helper()
		encoded, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if text, isText := content.(string); isText {
			encoded = []byte(text)
		}
		if err := os.WriteFile(filepath.Join(dir, name), encoded, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("agent-1/clock.jsonl", text.String())
	write("agent-1/agent.json", agent.Evidence{Format: "plumbline.agent/v1", Address: "host:1", Gaps: []load.Gap{{At: 1.5e9, Length: 2e6}}})
	write("bench.json", harness.Evidence{Format: "plumbline.bench/v1", Name: "far", Agents: []string{"agent-1"}, Gaps: []oracle.Gap{}})
	return run
}

// probes are exchanges of 1 ms there and 1 ms back with a clock that is a second ahead.
func probes() (all []clocks.Exchange) {
	for at := int64(0); at < 1e9; at += 5e7 {
		all = append(all, clocks.Exchange{Sent: at, Got: at + 1e6 + 1e9, Answered: at + 1e6 + 1e9, Returned: at + 2e6})
	}
	return all
}

// What an agent recorded is judged in the time of the bench, from the files alone.
func TestRecordedHoldsWhatAgentsSaw(t *testing.T) {
	r, err := harness.OpenRecorded(recordedAfar(t, probes()), "far")
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.History()
	if err != nil {
		t.Fatal(err)
	}
	l := h.Latencies(r.Options(""))
	if len(l.Series.Value) != 1 || l.Series.Value[0] < 99.9 || l.Series.Value[0] > 100.1 {
		t.Errorf("latencies %v, want one of 100 ms", l.Series.Value)
	}
	if names := fmt.Sprint(l.Clocks.Names); names != "[host:1]" || l.Clocks.Uncertainty < 1e6 || l.Clocks.Uncertainty > 11e5 {
		t.Errorf("clocks %+v, want host:1 with half of the round trip of 2 ms", l.Clocks)
	}
	if len(r.Gaps) != 1 || r.Gaps[0].At < 4.99e8 || r.Gaps[0].At > 5.01e8 {
		t.Errorf("gaps %v, want that of the agent at 500 ms", r.Gaps)
	}
}

// A clock that was stepped has no place in the time of the bench.
func TestRecordedRefusesAClockThatWasStepped(t *testing.T) {
	stepped := probes()
	for i := len(stepped) / 2; i < len(stepped); i++ {
		stepped[i].Got, stepped[i].Answered = stepped[i].Got+1e8, stepped[i].Answered+1e8
	}
	for name, exchanges := range map[string][]clocks.Exchange{"stepped": stepped, "hardly asked": probes()[:2]} {
		r, err := harness.OpenRecorded(recordedAfar(t, exchanges), "far")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.History(); !errors.Is(err, harness.ErrClock) || !strings.Contains(err.Error(), "agent-1") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}
