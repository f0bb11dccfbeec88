package export

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"plumbline/harness/record"
	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/reports/tables"
)

// stored writes a run directory with one recording: three messages, of which one
// was lost, one came late and twice, and one was never sent.
func stored(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	r, err := record.NewRecorder(filepath.Join(dir, "records", "steady"), record.NewClock())
	if err != nil {
		t.Fatal(err)
	}
	stream := r.Stream(record.Stream{Device: "=gps", Topic: "t/gps", Mode: "sim"})
	viewer := r.Node(record.Node{Name: "viewer-01", Role: "viewer"})
	publisher := r.Node(record.Node{Name: "publisher", Role: "publisher"})
	epoch := r.Epoch("e1")
	for _, rec := range []record.Record{
		{Kind: record.Sent, Node: publisher, Stream: stream, Seq: 1, Due: 1000, At: 1100, End: 1200, Bytes: 64, Aux: 1},
		{Kind: record.Sent, Node: publisher, Stream: stream, Seq: 2, Due: 2000, At: 2100, End: 2200, Bytes: 64, Aux: 1},
		{Kind: record.Blocked, Node: publisher, Stream: stream, Seq: 3, Due: 3000, At: 3100},
		{Kind: record.Received, Node: viewer, Stream: stream, Seq: 1, At: 9000, Digest: 0xabc, Offset: 7, Aux: epoch, Flags: record.FlagCatchUp},
		{Kind: record.Received, Node: viewer, Stream: stream, Seq: 1, At: 9500, Digest: 0xabc, Offset: 8, Aux: epoch, Flags: record.FlagDup},
		{Kind: record.Received, Node: viewer, Stream: record.NoStream, At: 9600, Flags: record.FlagForeign},
	} {
		r.Add(rec)
	}
	r.Event(record.Event{At: 5, Kind: record.FaultOnset, Subject: "kill", Detail: "a\nb", Fields: map[string]string{"pid": "1"}})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	run := &reports.Run{Schema: reports.SchemaVersion, ID: "r1", Started: start, Finished: start.Add(time.Minute), Tool: reports.Tool{Name: "plumbline"},
		Requirements: []reports.Requirement{{ID: "A-1", Text: "It shall.", Class: reports.Mandatory}},
		Results:      []reports.Result{{Requirement: "A-1", Scenario: "steady", Attempt: 1, Verdict: reports.Pass, Sentence: "-1 \xff", Started: start, Duration: time.Second}}}
	run.Overall = run.Judge()
	var text bytes.Buffer
	if err := errors.Join(render.JSON(&text, run), os.WriteFile(filepath.Join(dir, render.SummaryFile), text.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// csvOf reads a table back, as a list of rows by column.
func csvOf(t *testing.T, dir, table string) (rows []map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, table+".csv"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, cells := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			row[name] = cells[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func TestRecordsInCSV(t *testing.T) {
	to := filepath.Join(t.TempDir(), "tables")
	out, err := Tables(stored(t), to, CSV)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Files) != 19 || len(out.Partial) > 0 {
		t.Errorf("outcome %+v", out)
	}
	rows := csvOf(t, to, "records")
	if len(rows) != 6 {
		t.Fatalf("%d records", len(rows))
	}
	slices.SortFunc(rows, func(a, b map[string]string) int {
		return cmp.Compare(fmt.Sprintf("%9s", a["at_ns"]), fmt.Sprintf("%9s", b["at_ns"]))
	}) // they stand node by node
	for i, want := range []map[string]string{
		{"kind": "sent", "node": "publisher", "device": "'=gps", "seq": "1", "due_ns": "1000", "at_ns": "1100", "end_ns": "1200", "latency_ns": "100", "attempt": "1"},
		{"kind": "sent", "seq": "2", "run": "r1", "bench": "steady"},
		{"kind": "blocked", "seq": "3", "due_ns": "3000", "end_ns": ""},
		{"kind": "received", "role": "viewer", "seq": "1", "latency_ns": "8000", "epoch": "e1", "catch_up": "true", "dup": "false", "digest": "0000000000000abc", "offset": "7"},
		{"kind": "received", "latency_ns": "8500", "dup": "true"},
		{"kind": "received", "device": "", "seq": "0", "latency_ns": "", "due_ns": "", "foreign": "true"},
	} {
		for column, value := range want {
			if got := rows[i][column]; got != value {
				t.Errorf("record %d: %s is %q, want %q", i, column, got, value)
			}
		}
	}
	if events := csvOf(t, to, "events"); len(events) != 1 || events[0]["detail"] != "a b" || events[0]["fields"] != `{"pid":"1"}` || events[0]["kind"] != "fault-onset" {
		t.Errorf("events %v", events)
	}
	if results := csvOf(t, to, "results"); len(results) != 1 || results[0]["sentence"] != "'-1 \uFFFD" || results[0]["duration_ns"] != "1000000000" {
		t.Errorf("results %v", results)
	}
}

// TestParquetSaysTheSame: read back, each table holds the rows of the CSV, with the
// same columns, typed.
func TestParquetSaysTheSame(t *testing.T) {
	dir := stored(t)
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for to, format := range map[string]Format{a: CSV, b: Parquet} {
		if _, err := Tables(dir, to, format); err != nil {
			t.Fatal(err)
		}
	}
	records, err := parquet.ReadFile[Record](filepath.Join(b, "records.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	again := render2csv(t, records)
	if want, err := os.ReadFile(filepath.Join(a, "records.csv")); err != nil || again != string(want) {
		t.Errorf("%v: as CSV the rows of Parquet are\n%s want\n%s", err, again, want)
	}
	results, err := parquet.ReadFile[tables.Result](filepath.Join(b, "results.parquet"))
	if err != nil || len(results) != 1 || results[0].Sentence != "-1 \uFFFD" || !results[0].Started.Equal(time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)) {
		t.Errorf("%v, %+v", err, results)
	}
	schema := parquet.SchemaOf(Record{})
	for _, column := range tables.Columns[Record]() {
		if _, found := schema.Lookup(column); !found {
			t.Errorf("Parquet has no column %q", column)
		}
	}
	if got := fmt.Sprint(schema.Fields()[slices.Index(tables.Columns[Record](), "at_ns")].Type()); !strings.HasPrefix(got, "INT") {
		t.Errorf("at_ns is a %s", got)
	}
}

func render2csv(t *testing.T, rows []Record) string {
	t.Helper()
	var buf bytes.Buffer
	w, err := tables.NewCSV[Record](&buf)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// TestExportIsTheSameEachTime: byte for byte, in both forms.
func TestExportIsTheSameEachTime(t *testing.T) {
	dir := stored(t)
	for _, format := range []Format{CSV, Parquet} {
		var seen []map[string]string
		for range 2 {
			to, files := t.TempDir(), map[string]string{}
			out, err := Tables(dir, to, format)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range out.Files {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				files[filepath.Base(path)] = string(text)
			}
			seen = append(seen, files)
		}
		if !reflect.DeepEqual(seen[0], seen[1]) {
			t.Errorf("%s: two exports differ", format)
		}
	}
}

func TestExportRefuses(t *testing.T) {
	spoilt := map[string]struct {
		spoil func(dir string) error
		want  error
	}{
		"a changed record": {func(dir string) error {
			path := filepath.Join(dir, "records", "steady", "records.bin")
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text[100] ^= 1
			return os.WriteFile(path, text, 0o600)
		}, record.ErrCorrupt},
		"a link for a bench": {func(dir string) error {
			return os.Symlink(t.TempDir(), filepath.Join(dir, "records", "other"))
		}, record.ErrCorrupt},
		"a folder that is no recording": {func(dir string) error {
			return os.Mkdir(filepath.Join(dir, "records", "other"), 0o750)
		}, os.ErrNotExist},
	}
	for name, c := range spoilt {
		dir, to := stored(t), t.TempDir()
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Tables(dir, to, CSV); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, table := range []string{"records.csv", "events.csv"} {
			if _, err := os.Stat(filepath.Join(to, table)); err == nil {
				t.Errorf("%s: there is a %s", name, table)
			}
		}
		if scraps, _ := filepath.Glob(filepath.Join(to, ".export-*")); len(scraps) > 0 {
			t.Errorf("%s: scraps %v", name, scraps)
		}
	}
	dir := stored(t)
	inside := filepath.Join(dir, "tables")
	if err := os.Symlink(dir, filepath.Join(filepath.Dir(dir), "latest")); err != nil {
		t.Skip(err)
	}
	for _, to := range []string{dir, inside, filepath.Join(filepath.Dir(dir), "latest", "x")} {
		if _, err := Tables(dir, to, CSV); !errors.Is(err, ErrInside) {
			t.Errorf("tables in %s: %v", to, err)
		}
	}
	if _, err := Tables(dir, t.TempDir(), "xls"); err == nil {
		t.Error("a format that is none is taken")
	}
}

// TestKilledRunIsExported: what a recorder that was killed had written is there,
// and it is said that it ends early.
func TestKilledRunIsExported(t *testing.T) {
	dir := stored(t)
	path := filepath.Join(dir, "records", "steady", "records.bin")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-100); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	out, err := Tables(dir, to, CSV)
	if err != nil || !slices.Equal(out.Partial, []string{"steady"}) {
		t.Fatalf("%+v, %v", out, err)
	}
	if rows := csvOf(t, to, "records"); len(rows) != 4 {
		t.Errorf("%d whole records, want 4", len(rows))
	}
}
