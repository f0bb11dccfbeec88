package calibrate

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// made is a calibration at 20 ms with these figures.
func made(p50, p99 time.Duration) *Record {
	return &Record{
		Schema: Schema, Started: time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC), Rate: DefaultRate,
		Rig:    Rig{OS: "linux", Arch: "amd64", Kernel: "6.18", CPU: "x", Cores: 2, Clock: "tsc"},
		Levels: []Level{{Delay: 20 * time.Millisecond, N: 1000, P50: p50, P99: p99, P999: p99, Max: p99}},
	}
}

// past is a history of n calibrations round 70 µs and 250 µs.
func past(n int) (h History) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range n {
		h = append(h, made(70*time.Microsecond+time.Duration(rnd.NormFloat64()*15e3), 250*time.Microsecond+time.Duration(rnd.NormFloat64()*40e3)))
	}
	return h
}

// wild is a history of n calibrations of a machine that did something else.
func wild(n int) (h History) {
	for i := range n {
		h = append(h, made(time.Duration(i+1)*time.Millisecond, time.Duration(i+1)*50*time.Millisecond))
	}
	return h
}

func TestChart(t *testing.T) {
	const µs = time.Microsecond
	for name, c := range map[string]struct {
		h        History
		p50, p99 time.Duration
		want     string // part of why it is out of control; "" for in control
	}{
		"as ever":                  {past(30), 72 * µs, 260 * µs, ""},
		"median up":                {past(30), 160 * µs, 260 * µs, "p50 of what the rig adds is 160µs"},
		"median down":              {past(30), 5 * µs, 260 * µs, "p50"},
		"tail up":                  {past(30), 72 * µs, 900 * µs, "p99 of what the rig adds is 900µs"},
		"too little is known":      {past(ChartLeast - 1), 5000 * µs, 9000 * µs, ""},
		"just enough is known":     {past(ChartLeast), 5000 * µs, 9000 * µs, "the chart of 10 calibrations"},
		"one of ten was wild":      {append(past(ChartLeast-1), made(6*time.Millisecond, 190*time.Millisecond)), 500 * µs, 260 * µs, "p50 of what the rig adds is 500µs"},
		"a third were wild":        {append(past(20), wild(10)...), 500 * µs, 260 * µs, "p50"},
		"a third were wild before": {append(past(20), wild(10)...), 72 * µs, 260 * µs, ""},
		"nothing is known":         {nil, 5000 * µs, 9000 * µs, ""},
		"equal ones are no corset": {History{made(70*µs, 250*µs), made(70*µs, 250*µs), made(70*µs, 250*µs), made(70*µs, 250*µs), made(70*µs, 250*µs), made(70*µs, 250*µs), made(70*µs, 250*µs), made(70*µs, 250*µs), made(70*µs, 250*µs), made(70*µs, 250*µs)}, 99 * µs, 221 * µs, ""},
	} {
		r := made(c.p50, c.p99)
		c.h.Check(r)
		if (r.Outside == "") != (c.want == "") || !strings.Contains(r.Outside, c.want) {
			t.Errorf("%s: %q, want %q", name, r.Outside, c.want)
		}
	}
}

// TestChartKeepsToItsRig: what was measured elsewhere, otherwise or out of
// control forms no limits.
func TestChartKeepsToItsRig(t *testing.T) {
	h := past(30)
	for _, r := range h {
		r.Rig.Kernel = "6.19"
	}
	if known := h.Check(made(5*time.Millisecond, 9*time.Millisecond)); known != 0 {
		t.Errorf("%d calibrations of another rig count", known)
	}
	h = past(30)
	h[3].Outside, h[4].Rate = "it was bad", 100
	if known := h.Check(made(70*time.Microsecond, 250*time.Microsecond)); known != 28 {
		t.Errorf("%d of 28 count", known)
	}
}

// TestChartFalseAlarms: of calibrations as ever, about 3 in 1,000 of each of two
// figures are outside by chance.
func TestChartFalseAlarms(t *testing.T) {
	all := past(3000)
	alarms := 0
	for _, r := range all[1000:] {
		all[:1000].Check(r)
		if r.Outside != "" {
			alarms++
		}
	}
	if alarms > 30 {
		t.Errorf("%d alarms in 2,000 calibrations as ever", alarms)
	}
}

func TestHistoryFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "history.jsonl")
	if h, err := ReadHistory(name); err != nil || len(h) != 0 {
		t.Fatalf("no file: %d calibrations, %v", len(h), err)
	}
	for _, r := range past(3) {
		if err := AppendHistory(name, r); err != nil {
			t.Fatal(err)
		}
	}
	h, err := ReadHistory(name)
	if err != nil || len(h) != 3 || h[2].Levels[0] != past(3)[2].Levels[0] {
		t.Fatalf("%d calibrations, %v", len(h), err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"cut":           string(whole[:len(whole)-30]),
		"another form":  strings.Replace(string(whole), "calibration/v1", "calibration/v9", 1),
		"unknown field": strings.Replace(string(whole), `"n":`, `"m":`, 1),
		"no order":      strings.Replace(string(whole), `"beyond_p50_ns":`, `"beyond_p50_ns":9`, 1),
		"two in a line": strings.Replace(string(whole), "\n", "", 1),
		"no level":      `{"schema":"` + Schema + `","levels":[]}`,
		"empty line":    "\n" + string(whole),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadHistory(name); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
