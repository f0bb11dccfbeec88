package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"plumbline/reports"
	"plumbline/reports/render"
)

// formsKeepTheirSchemas holds the machine forms of a real run against the schemas
// that others publish for them, or that we do.
func formsKeepTheirSchemas(t *testing.T, dir string, run *reports.Run) {
	t.Helper()
	published := filepath.Join("..", "..", "..", "reports", "render", "testdata", "schema")
	ctrf, err := os.ReadFile(filepath.Join(published, "ctrf.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	for file, schema := range map[string][]byte{render.SummaryFile: render.Schema(), render.CTRFFile: ctrf} {
		if err := keeps(filepath.Join(dir, file), schema); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	lint := exec.CommandContext(t.Context(), "xmllint", "--noout", "--nonet", "--schema", filepath.Join(published, "junit-10.xsd"), filepath.Join(dir, render.JUnitFile))
	if text, err := lint.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		t.Errorf("%v: 'make deps-test' installs it", err)
	} else if err != nil {
		t.Errorf("%s: %v: %s", render.JUnitFile, err, text)
	}
	logs, err := filepath.Glob(filepath.Join(dir, render.LatencyFolder, "*.hlog"))
	if err != nil || len(logs) == 0 || len(logs) != len(run.Latencies) {
		t.Errorf("%d logs of %d distributions: %v", len(logs), len(run.Latencies), err)
	}
	for _, d := range run.Latencies {
		logSays(t, filepath.Join(dir, render.LatencyFolder, d.Scenario+".hlog"), d)
	}
}

func keeps(file string, schema []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		return err
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// logSays has the reader of HdrHistogram read a log: it holds as many latencies as
// the summary says, and its quantiles are those of the summary to a thousandth, the
// precision of the format. The reader rounds ranks, so a neighbour is as good.
func logSays(t *testing.T, file string, d reports.Distribution) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	h, err := hdrhistogram.NewHistogramLogReader(bytes.NewReader(text)).NextIntervalHistogram()
	if err != nil || h == nil || h.TotalCount() != d.N {
		t.Errorf("%s: %v; it does not hold the %d latencies of the summary", file, err, d.N)
		return
	}
	step := 100 / float64(d.N)
	for _, p := range d.Percentiles {
		want := float64(p.Value) * 1e6
		if math.IsInf(want, 1) {
			want = float64(h.Max())
		}
		low, high := float64(h.ValueAtPercentile(math.Max(100*p.Q-step, 0))), float64(h.ValueAtPercentile(math.Min(100*p.Q+step, 100)))
		if want < low*0.999-1 || want > high*1.001+1 {
			t.Errorf("%s: q %v is %.0f to %.0f ns, the summary says %.0f", file, p.Q, low, high, want)
		}
	}
}
