package render

import (
	"bytes"
	"html/template"
	"math"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

func sampleCapacity() *reports.Capacity {
	step := func(value float64, limit string) reports.CapacityStep {
		return reports.CapacityStep{
			Value: value, Devices: 20, Rate: 100, Viewers: int(value), Window: 5 * time.Second, Deliveries: int64(500 * value), LatencyP50: 0.5, LatencyP99: 4,
			CPU: 8, Cores: 0.25, BenchCores: reports.Float(math.NaN()), OtherCores: 0.5, RSS: 60, BenchRSS: 900, Idle: 5, Limit: limit,
		}
	}
	return &reports.Capacity{
		Format: reports.CapacityFormat, Tool: reports.Tool{Version: "1.2"}, Seed: 7, SUT: reports.SUT{Name: "a|b"}, Axis: "viewers", Cores: 2, Processes: 3, Generators: 2, LatencyMost: 500,
		Each:        []reports.UnitCost{{Of: "memory of the system", Unit: "KiB", Value: 25, Least: 24, Most: 26}},
		Steps:       []reports.CapacityStep{step(10, ""), step(20, ""), step(40, "p99 is 800 ms <b>above</b> 500 ms")},
		Growth:      []reports.Growth{{Of: "memory of the system", Exponent: 0.9, Least: 0.8, Most: 1.1, Steps: 3}, {Of: "latency p99", Exponent: reports.Float(math.NaN())}},
		Projections: []reports.Projection{{Of: "memory of the system", Unit: "MiB", At: 1e5, Value: 5000, Least: 4000, Most: 7000, Ratio: 5000}},
	}
}

func TestCapacity(t *testing.T) {
	var b bytes.Buffer
	if err := Capacity(&b, sampleCapacity()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`**a\|b, along viewers.** 20 viewers were carried, 40 viewers were not: p99 is 800 ms &lt;b&gt;above&lt;/b&gt; 500 ms.`,
		"| viewers | deliveries/s |", "| 10 | 1 000 | 0.5 / 4 | 0 | 8 | 0.25 | — | 0.5 | 60 | 900 | yes |\n", "| 40 | 4 000 | 0.5 / 4 | 0 | 8 | 0.25 | — | 0.5 | 60 | 900 | no |\n",
		"- Each viewer more: memory of the system 25 KiB, between 24 and 26 KiB.\n",
		"- Beside it: 20 devices; 100 messages/s over all devices; 5 viewers that only wait; viewers in 3 processes of their own, by one clock; devices in 2 processes of their own; each step measured for 5s.\n",
		"- Growth: memory of the system, above what there is without any, with viewers to the power 0.9 (0.8 to 1.1, over threes of 3 steps that held).\n",
		"- Projection to 100 000 viewers, 5 000 times what was carried: memory of the system 5 000 MiB, between 4 000 and 7 000 MiB.\n- The model: ",
	} {
		if !strings.Contains(strings.ReplaceAll(b.String(), "\u202f", " "), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "latency p99 with") {
		t.Errorf("a growth that is not known is told:\n%s", b.String())
	}
}

// TestPlotCapacity: the drawing stands alone, marks where it gave way, and holds nothing that
// a name could smuggle in.
func TestPlotCapacity(t *testing.T) {
	c := sampleCapacity()
	for _, axis := range []string{"viewers", "rate"} {
		c.Axis = axis
		var b bytes.Buffer
		if err := PlotCapacity(&b, c); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		checkPlot(t, axis, template.HTML(text))
		for _, want := range []string{`xmlns="http://www.w3.org/2000/svg"`, "<style>", "a|b", "carried: 20", "500 ms allowed"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in\n%s", axis, want, text)
			}
		}
		if n := strings.Count(text, `class="held"`); n != 2 {
			t.Errorf("%d steps held", n)
		}
		if n := strings.Count(text, `class="gave"`); n != 1 {
			t.Errorf("%d steps gave way", n)
		}
	}
	c.Steps[2].LatencyP99 = reports.Float(math.Inf(1))
	for _, steps := range [][]reports.CapacityStep{c.Steps, c.Steps[:1], c.Steps[2:], nil} {
		c.Steps = steps
		var b bytes.Buffer
		if err := PlotCapacity(&b, c); err != nil {
			t.Fatal(err)
		}
		checkPlot(t, "odd", template.HTML(b.String()))
	}
}

func TestKneeText(t *testing.T) {
	c := sampleCapacity()
	c.Steps = c.Steps[:2]
	if got := kneeText(c); got != "All that was asked for was carried, up to 20 viewers; where it ends is not known." {
		t.Error(got)
	}
	c.Steps[0].Limit = "loss"
	if got := kneeText(c); got != "Not even 10 viewers were carried: loss." {
		t.Error(got)
	}
	c.Steps = nil
	if got := kneeText(c); got != "Nothing was measured." {
		t.Error(got)
	}
}
