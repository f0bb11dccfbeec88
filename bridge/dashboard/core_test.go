package dashboard_test

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"plumbline/bridge/internal/eventually"
)

// probe bundles app/core/probe.page.ts: a store with charts for tests, without the shell around.
func probe(tb testing.TB) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node_modules/.bin/esbuild", "app/core/probe.page.ts", "--bundle", "--format=iife", "--target=es2022",
		"--conditions=source", "--loader:.css=text", "--log-level=warning")
	cmd.Dir = "web"
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("esbuild: %v: %s", err, errorOutput(err))
	}
	return string(out)
}

func errorOutput(err error) string {
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as exec gives it
		return string(exit.Stderr)
	}
	return ""
}

// probed opens a tab that is signed in at s and has the probe, with its store, in place of a page.
func probed(tb testing.TB, s *server) context.Context {
	tb.Helper()
	script := probe(tb)
	tab := browser(tb)
	signIn(tab, tb, s, s.Token(nil), "")
	open(tab, tb, s.URL+"/assets/licences.txt") // its policy is the page's, and nothing else runs in it
	eval[bool](tab, tb, script+"\nprobe.start(), true")
	return tab
}

// act runs actions in the tab.
func act(tab context.Context, tb testing.TB, actions ...chromedp.Action[chromedp.Void]) {
	tb.Helper()
	limited, cancel := context.WithTimeout(tab, eventually.Patience)
	defer cancel()
	if err := chromedp.Do(limited, actions...); err != nil {
		tb.Fatalf("act in the page: %v", err)
	}
}

// numbers are the payloads from, from+1, … to-1.
func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

// TestChart: in a real browser a chart joins history with what comes live, obeys keys and the mouse, says in words what it shows, and a
// bridge that is killed in the middle of a drag does it no harm.
func TestChart(t *testing.T) {
	needPage(t)
	s := bridged(t)
	s.publish("probe/a", numbers(0, 50)...)
	tab := probed(t, s)
	eval[int](tab, t, `probe.show({title: "Probe", series: [{filter: "probe/+", unit: "bar"}], windowS: 600})`)
	waitFor(tab, t, "history", `probe.charts[0].state.history === "joined" && probe.charts[0].describe().includes("lowest 0 bar, highest 49 bar")`)
	s.publish("probe/a", numbers(50, 60)...)
	waitFor(tab, t, "what came live", `probe.charts[0].describe().startsWith("Probe, the last 10 min. probe/a: last 59 bar, lowest 0 bar, highest 59 bar")`)
	waitFor(tab, t, "ink of the line", `probe.inked(0, 0x00, 0x72, 0xb2) > 5`)
	waitFor(tab, t, "the legend", `[...document.querySelectorAll(".chart-legend button")].map(b => b.textContent).join() === "probe/a59 bar"`)

	t.Run("keys", func(t *testing.T) { chartKeys(tab, t) })
	t.Run("kill in mid-drag", func(t *testing.T) { chartDrag(tab, t, s) })
	if got := eval[string](tab, t, `probe.errors.join("; ")`); got != "" {
		t.Errorf("errors in the page: %s", got)
	}
}

func chartKeys(tab context.Context, t *testing.T) {
	t.Helper()
	eval[bool](tab, t, `document.querySelector(".chart").focus(), true`)
	for _, step := range []struct{ key, what, want string }{
		{"+", "half the window", `probe.charts[0].state.zoomed && !probe.charts[0].state.following && Math.abs(probe.charts[0].state.toUs - probe.charts[0].state.fromUs - 300e6) < 1e6`},
		{"ArrowLeft", "panned", `probe.charts[0].state.toUs < probe.store().nowUs() - 150e6`},
		{"Escape", "the whole window", `!probe.charts[0].state.zoomed && probe.charts[0].state.following`},
		{" ", "paused", `!probe.charts[0].state.following`},
		{" ", "following again", `probe.charts[0].state.following`},
		{"Enter", "said aloud", `document.querySelector("[aria-live]").textContent.startsWith("Probe, the last 10 min.")`},
	} {
		press := fmt.Sprintf(`document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: %q, bubbles: true})), true`, step.key)
		eval[bool](tab, t, press)
		waitFor(tab, t, step.what, step.want)
	}
}

func chartDrag(tab context.Context, t *testing.T, s *server) {
	t.Helper()
	type rect struct{ X, Y, Width, Height float64 }
	r := eval[rect](tab, t, `probe.over(0)`)
	at := func(kind input.DispatchMouseEventType, x float64) chromedp.Action[chromedp.Void] {
		held := func(p *input.DispatchMouseEventParams) {
			if kind != input.DispatchMouseEventTypeMouseReleased {
				p.Buttons = 1
			}
		}
		return chromedp.MouseEvent(kind, r.X+x*r.Width, r.Y+r.Height/2, chromedp.ButtonLeft, chromedp.ClickCount(1), held)
	}
	from := eval[float64](tab, t, `probe.store().nowUs()`)
	const press, move, release = input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseMoved, input.DispatchMouseEventTypeMouseReleased
	act(tab, t, at(press, 0.25), at(move, 0.4))
	s.Kill()
	waitFor(tab, t, "a page that knows", `!probe.store().health.live`)
	act(tab, t, at(move, 0.5))
	s.Start()
	waitFor(tab, t, "the bridge again", `probe.store().health.live`)
	s.publish("probe/a", "60")
	act(tab, t, at(move, 0.75), at(release, 0.75))
	waitFor(tab, t, "the dragged stretch", fmt.Sprintf(`!probe.charts[0].state.following && Math.abs(probe.charts[0].state.toUs - probe.charts[0].state.fromUs - 300e6) < 10e6
		&& probe.charts[0].state.toUs < %f`, from))
	eval[bool](tab, t, `probe.charts[0].reset(), true`)
	waitFor(tab, t, "all of it, once", `probe.charts[0].describe().includes("last 60 bar, lowest 0 bar, highest 60 bar") && probe.store().health.complete`)
	if said := eval[string](tab, t, `probe.charts[0].describe()`); strings.Contains(said, "gap") {
		t.Errorf("a gap, though none was declared: %s", said)
	}
}
