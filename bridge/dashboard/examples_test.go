package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/bridge/internal/eventually"
)

// examples builds the pages under web/examples and returns the folder with one of each name.
func examples(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join("web", "node_modules", "react")); err != nil {
		t.Skipf("%v: the packages of the page are needed: make dashboard installs them", err)
	}
	out := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "examples/build.mjs", out)
	cmd.Dir = "web"
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("node examples/build.mjs: %v\n%s", err, text)
	}
	return out
}

// cell is an expression: the text of the value beside a topic in an example's table, null when there is none.
func cell(topic string) string {
	return fmt.Sprintf(`([...document.querySelectorAll("tr")].filter(r => r.querySelector("th").textContent === %q).map(r => r.querySelector("td").textContent)[0] ?? null)`, topic)
}

// exampleSite serves the examples from another origin than the bridge, which lets it in.
func exampleSite(t *testing.T) (site string, s *server) {
	t.Helper()
	served := httptest.NewServer(http.FileServer(http.Dir(examples(t))))
	t.Cleanup(served.Close)
	return served.URL, bridged(t, "viewers.origins="+served.URL)
}

// watchExample opens an example in a fresh tab, signs in, and returns when it stands with nothing shown yet.
func watchExample(t *testing.T, site, name string, s *server) context.Context {
	t.Helper()
	tab := browser(t)
	open(tab, t, site+"/"+name+"/")
	waitFor(tab, t, name+"'s form", `document.querySelector("form button")`)
	eval[any](tab, t, fmt.Sprintf(`(() => {
	  const given = {bridge: %q, filter: "plant/#", token: %q};
	  for (const [name, value] of Object.entries(given)) document.querySelector("[name=" + name + "]").value = value;
	  document.querySelector("form").requestSubmit();
	})()`, "wss"+strings.TrimPrefix(s.URL, "https")+"/ws", s.Token(nil)))
	waitFor(tab, t, name+" to be live", `document.querySelector("#state")?.textContent === "live by websocket" && document.querySelector("#proof").textContent.startsWith("complete: 0 ")`)
	return tab
}

// TestExamples: pages of another site, by hand, React and Vue, show in a real browser what is published by MQTT, as text whatever it
// is, and again what is published after the bridge was killed, complete.
func TestExamples(t *testing.T) {
	site, s := exampleSite(t)
	const hostile, markup = `plant/<img src=x onerror=document.title='owned'>`, `<script>document.title='owned'</script>`
	tabs := map[string]context.Context{}
	for _, name := range []string{"vanilla", "react", "vue"} {
		tabs[name] = watchExample(t, site, name, s)
	}
	s.publish("plant/press-7/temperature", "21.5")
	s.publish(hostile, markup)
	for name, tab := range tabs {
		waitFor(tab, t, name+" to show the value", cell("plant/press-7/temperature")+` === "21.5"`)
		waitFor(tab, t, name+" to show markup as text", cell(hostile)+fmt.Sprintf(" === %q", markup))
		if !eval[bool](tab, t, `document.title === "Readings" && document.querySelector("img, td script") === null`) {
			t.Errorf("%s takes a payload for markup", name)
		}
	}
	s.Kill()
	for name, tab := range tabs {
		waitFor(tab, t, name+" to say that nothing is live", `document.querySelector("#state").textContent.startsWith("not live: ")`)
	}
	s.Start()
	s.publish("plant/press-7/temperature", "22.5")
	for name, tab := range tabs {
		waitFor(tab, t, name+" to show the value after the kill", cell("plant/press-7/temperature")+` === "22.5"`)
		if proof := eval[string](tab, t, `document.querySelector("#proof").textContent`); proof != "complete: 3 readings, 0 replaced by newer ones" {
			t.Errorf("%s: %q", name, proof)
		}
	}
}
