package replay_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"plumbline/devices/replay"
	"plumbline/devices/simulated"
)

var update = flag.Bool("update", false, "write testdata/gps-twin.nmea anew")

const twinFile = "testdata/gps-twin.nmea"

// twinRecording computes the embedded recording: 60 s of the GPS twin.
func twinRecording(t *testing.T) string {
	t.Helper()
	const seed = 2026
	twin, err := simulated.New(simulated.GPS, "gps-twin", seed, simulated.Options{Period: time.Second, Dither: -1})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# Name: Plumbline GPS twin\n"+
		"# Provenance: computed by Plumbline's own GPS twin (devices/simulated, kind gps, seed %d); no recording of a real receiver\n"+
		"# Rate: 1 Hz, RMC GGA VTG; made by: go test ./devices/replay -run TestEmbedded -update\n", seed)
	start := time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)
	for i := range 60 {
		due := time.Duration(i) * time.Second
		out.Write(simulated.AppendNMEA(nil, twin.Sample(uint64(i+1), due), start.Add(due)))
	}
	return out.String()
}

// TestEmbeddedIsWhatTheTwinComputes keeps file and provenance in step.
func TestEmbeddedIsWhatTheTwinComputes(t *testing.T) {
	want := twinRecording(t)
	if *update {
		if err := os.WriteFile(twinFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(twinFile)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the last digit of a sine may differ where multiply-add is fused; compared on amd64")
	}
	if string(got) != want {
		t.Fatalf("%s is not what the twin computes; run: go test ./devices/replay -run TestEmbedded -update", twinFile)
	}
}

func TestEmbeddedSaysWhatItIs(t *testing.T) {
	rec, err := replay.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if rec.Fault != nil {
		t.Fatal(rec.Fault)
	}
	if !strings.Contains(rec.Note, "computed by Plumbline's own GPS twin") {
		t.Errorf("note %q does not say that a twin computed it", rec.Note)
	}
	if len(rec.Entries) != 180 || rec.Length != time.Minute {
		t.Errorf("%d lines in %v, want 180 in 1m0s", len(rec.Entries), rec.Length)
	}
}
