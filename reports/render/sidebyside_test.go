package render

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

// sampleBeside has every standing that a figure can have.
func sampleBeside() *reports.SideBySide {
	nan, inf := reports.Float(math.NaN()), reports.Float(math.Inf(1))
	c := &reports.SideBySide{
		Format: reports.SideBySideFormat, Tool: reports.Tool{Version: "1.2"}, Started: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), Seed: 7,
		Environment: map[string]string{"cpu": "a <fast> one", "os": "linux"},
		Load:        reports.BesideLoad{Rounds: 10, Devices: 20, Rate: 200, Viewers: 40, WarmUp: time.Second, Window: 5 * time.Second, Crowd: 300, Calm: 20, Few: 5, Dead: 200 * time.Millisecond},
		Systems: []reports.Beside{
			{Name: "ours", Version: "1", Rounds: 10, Kills: 10, Owed: 5000},
			{Name: "a|b", Rounds: 10, Kills: 10, Owed: 5000, Lost: 250, Doubtful: 3, Doubled: 12},
			{Name: "dead`\u202e", Rounds: 4, Failed: "it\x1b[31m died\n<b>twice</b>"},
		},
	}
	for range reports.BesideMeasures() {
		c.Systems[0].Figures = append(c.Systems[0].Figures, reports.BesideFigure{Rounds: 10, Median: 4, Low: 3, High: 5, Ratio: nan, RatioLow: nan, RatioHi: nan, P: nan})
		c.Systems[1].Figures = append(c.Systems[1].Figures, reports.BesideFigure{Rounds: 10, Median: 2, Low: 1, High: 3, Ratio: 0.5, RatioLow: 0.4, RatioHi: 0.6, P: 0.001, Standing: reports.AbreastLess})
		c.Systems[2].Figures = append(c.Systems[2].Figures, reports.BesideFigure{Rounds: 4, Median: inf, Low: nan, High: nan, Ratio: inf, RatioLow: nan, RatioHi: inf, P: 0.2, Standing: reports.AbreastOpen})
	}
	c.Systems[1].Figures[1].Standing, c.Systems[1].Figures[1].Ratio = reports.AbreastMore, 1.5
	c.Systems[1].Figures[2].Standing = reports.AbreastAlike
	return c
}

// TestSideBySide: who is better is said so, also when it is not the first; nothing of
// a system's own text becomes markup.
func TestSideBySide(t *testing.T) {
	var b bytes.Buffer
	if err := SideBySide(&b, sampleBeside()); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"| system | latency p50, ms | latency p99, ms | CPU a delivery, µs | memory a viewer, KiB | reconnect storm, ms | back after SIGKILL, ms | lost when killed | doubled then | rounds |\n|---|---:|",
		`| ours | 4 (3 to 5) | 4 (3 to 5) |`, `| 0 of 5000 | 0 | 10 of 10 |`,
		`| a\|b | 2 (1 to 3), less: × 0.5 | 2 (1 to 3), more: × 1.5 | 2 (1 to 3), alike | 2 (1 to 3), less: × 0.5 |`, `| 250 of 5000, and perhaps 3 | 12 | 10 of 10 |`,
		`| ∞, open |`, `| — | — | 4 of 10 |`,
		`- Latency p50: better than ours: a\|b (× 0.5, 0.4 to 0.6); undecided: dead`, `- Latency p99: worse: a\|b (× 1.5, 0.4 to 0.6); undecided: `, `- CPU a delivery: alike: a\|b; undecided: `,
		"- Killed, nothing was lost by: ours (0 of 5000 in 10 kills).\n", `- Killed, messages were lost by: a\|b (5 % in 10 kills).`,
		strings.Repeat("█", 40) + " 4\n  a|b  ", "   " + strings.Repeat("█", 20) + " 2\n  dead'", "   ∞\nlatency p99, ms\n",
		"Versions: ours is 1.\n", "of 2026-11-26, seed 7, a &lt;fast&gt; one, linux.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, bad := range []string{"\x1b", "<b>", "\u202e", "dead``"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in\n%s", bad, text)
		}
	}
	if fences := strings.Count(text, "```"); fences != 2 {
		t.Errorf("%d fences in\n%s", fences, text)
	}
}
