package dashboard_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"plumbline/bridge/devca"
)

// TestPageIsIsolated: in a real browser, with a session by cookie, the page runs isolated, is signed in, talks to its own bridge by
// WebSocket, and its policy stops what it should.
func TestPageIsIsolated(t *testing.T) {
	needPage(t)
	s := bridged(t)
	tab := browser(t)
	signIn(tab, t, s, s.Token(nil), "")
	for what, expression := range map[string]string{
		"isolated":          `crossOriginIsolated`,
		"signed in":         `fetch("/api/v1/me").then(a => a.json()).then(a => a.subject === "anna")`,
		"cookie hidden":     `document.cookie === ""`,
		"own WebSocket":     `new Promise(y => { const w = new WebSocket("/ws".replace(/^/, "wss://" + location.host), "plumbline.v1.json"); w.onopen = () => w.send('{"type":"hello"}'); w.onmessage = e => y(JSON.parse(e.data).type === "welcome"); w.onclose = () => y(false); })`,
		"inline script":     `new Promise(y => { const e = document.createElement("script"); e.nonce = ""; try { e.text = "window.ran = 1"; document.body.append(e); } catch { } setTimeout(() => y(window.ran === undefined), 50); })`,
		"markup from text":  `(() => { try { document.createElement("div").innerHTML = "<b>x</b>"; return false; } catch { return true; } })()`,
		"policy of its own": `(() => { try { trustedTypes.createPolicy("x", {createHTML: s => s}); return false; } catch { return true; } })()`,
		"other origins":     violates("connect-src", `fetch("https://localhost:1/").catch(() => {})`),
		"other pictures":    violates("img-src", `new Image().src = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="`),
		"code of text":      `(() => { try { Function("1")(); return false; } catch { return true; } })()`,
		"workers of text":   `(() => { try { new Worker(URL.createObjectURL(new Blob(["1"]))); return false; } catch { return true; } })()`,
	} {
		if !eval[bool](tab, t, expression) {
			t.Errorf("%s: not so", what)
		}
	}
}

// violates is an expression: whether what is done breaks a directive of the page's policy.
func violates(directive, done string) string {
	return fmt.Sprintf(`new Promise(y => { addEventListener("securitypolicyviolation", e => y(e.effectiveDirective.startsWith(%q)), {once: true}); setTimeout(() => y(false), 10000); %s; })`, directive, done)
}

// axeScript is where .ci/deps puts axe-core.
const axeScript = "../../.ci/node/node_modules/axe-core/axe.min.js"

// axeRun looks at the page as it is, and says what axe-core holds against it.
const axeRun = `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify({passes: r.passes.length, faults: r.violations.flatMap(v => v.nodes.map(n => ({
  impact: v.impact, id: v.id, help: v.help, target: n.target.join(" "), why: n.failureSummary})))}))`

// TestPageIsAccessible: axe-core finds nothing serious, signed out and in, on a desk and on a phone, in light and in dark.
func TestPageIsAccessible(t *testing.T) {
	needPage(t)
	axe, err := os.ReadFile(axeScript)
	if err != nil {
		t.Skipf("%v: axe-core is needed: make deps-test installs it", err)
	}
	s := bridged(t)
	s.publish("plant/press-1/temperature", "21.5", "22.5")
	for _, signed := range []string{"out", "in"} {
		tab := browser(t)
		if signed == "in" {
			signIn(tab, t, s, s.Token(nil), "?filter=plant%2F%23")
			waitFor(tab, t, "the reading on the page", `document.body.innerText.includes("22.5")`)
		} else {
			open(tab, t, s.URL+"/")
			waitFor(tab, t, "the form", `document.querySelector("form button")`)
		}
		for size, wide := range map[string]int64{"desk": 1280, "phone": 390} {
			for _, scheme := range []string{"light", "dark"} {
				err := chromedp.Do(tab, chromedp.EmulateViewport(wide, 844), command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
				}))
				if err != nil {
					t.Fatal(err)
				}
				eval[chromedp.Void](tab, t, string(axe)+";0")
				var found struct {
					Passes int
					Faults []struct{ Impact, ID, Help, Target, Why string }
				}
				if err := json.Unmarshal([]byte(eval[string](tab, t, axeRun)), &found); err != nil {
					t.Fatal(err)
				}
				if found.Passes < 10 {
					t.Errorf("%s, %s, %s: axe-core passed %d rules; it cannot have looked at the page", signed, size, scheme, found.Passes)
				}
				for _, f := range found.Faults {
					if f.Impact == "serious" || f.Impact == "critical" {
						t.Errorf("signed %s, %s, %s: %s: %s: %s: %s", signed, size, scheme, f.ID, f.Help, f.Target, strings.ReplaceAll(f.Why, "\n", " "))
					}
				}
			}
		}
	}
}

// command makes an action of a command that answers nothing.
func command[P any](c cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// TestN08PageOfAnotherPort: a page of another server on the bridge's own host, for which the browser does send the session cookie, opens no
// socket and reads nothing; the bridge's own page does.
func TestN08PageOfAnotherPort(t *testing.T) {
	s := bridged(t)
	pair, err := tls.LoadX509KeyPair(filepath.Join(authority(), devca.ServerFile), filepath.Join(authority(), devca.ServerKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	cookies := make(chan string, 10)
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case cookies <- r.Header.Get("Cookie"):
		default:
		}
		_, _ = fmt.Fprint(w, "<!doctype html><title>another</title>")
	}))
	site.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	site.StartTLS()
	t.Cleanup(site.Close)
	tab := browser(t)
	token := s.Token(nil)
	signIn(tab, t, s, token, "")
	const ask = `Promise.all([
	  new Promise(y => { const w = new WebSocket("wss://%[1]s/ws", "plumbline.v1.json"); w.onopen = () => w.send('{"type":"hello"}'); w.onmessage = e => y(JSON.parse(e.data).type); w.onclose = () => y("closed"); }),
	  fetch("https://%[1]s/api/v1/me", {credentials: "include"}).then(a => "read " + a.status, () => "hidden"),
	  fetch("https://%[1]s/api/v1/layouts/x", {method: "PUT", credentials: "include", body: "{}"}).then(a => "read " + a.status, () => "hidden"),
	  fetch("https://%[1]s/publish", {method: "POST", mode: "no-cors", credentials: "include", body: '{"topic":"a","payload":"1"}'}).then(a => a.type, () => "hidden"),
	]).then(all => all.join(", "))`
	expression := fmt.Sprintf(ask, strings.TrimPrefix(s.URL, "https://"))
	if got := eval[string](tab, t, expression); got != "welcome, read 200, read 400, basic" {
		t.Errorf("the own page: %s", got)
	}
	open(tab, t, site.URL+"/")
	select { // the request of the page itself is answered, or open would have failed
	case got := <-cookies:
		if !strings.Contains(got, token) {
			t.Errorf("the browser does not send the cookie to another port; this test shows nothing: %q", got)
		}
	default:
		t.Error("the page of another port was not asked for: this test shows nothing")
	}
	if got := eval[string](tab, t, expression); got != "closed, hidden, hidden, opaque" {
		t.Errorf("the page of another port: %s", got)
	}
	if got := strings.Count(s.log.String(), `"reason":"origin"`); got < 3 {
		t.Errorf("%d refusals are in the log: %s", got, s.log)
	}
}

// TestFirstPaint shows when the page first paints on loopback with a processor that is four times as slow, signed out and in, and when
// the form or the readings are there. The bound is one that a busy machine keeps: the figure is for the reader.
func TestFirstPaint(t *testing.T) {
	needPage(t)
	s := bridged(t)
	s.publish("plant/press-1/temperature", "21.5")
	for signed, shown := range map[string]string{"out": "h1, .signin-box > p:not(.brand), .signin-form *", "in": ".head *, .view *"} {
		tab := browser(t)
		if signed == "in" {
			signIn(tab, t, s, s.Token(nil), "")
		}
		if err := chromedp.Do(tab, command(emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: 4}), command(network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})); err != nil {
			t.Fatal(err)
		}
		open(tab, t, s.URL+"/")
		waitFor(tab, t, "the first paint", `performance.getEntriesByName("first-contentful-paint").length`)
		paint := eval[float64](tab, t, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
		there := eval[float64](tab, t, fmt.Sprintf(`new Promise(y => new PerformanceObserver(l => { const e = l.getEntries().find(e => e.element?.matches(%q)); if (e) y(e.startTime); }).observe({type: "largest-contentful-paint", buffered: true}))`, shown))
		bytes := eval[float64](tab, t, `performance.getEntriesByType("resource").reduce((sum, r) => sum + r.encodedBodySize, performance.getEntriesByType("navigation")[0].encodedBodySize)`)
		t.Logf("signed %s: first contentful paint after %.0f ms, form or readings after %.0f ms, %.1f kB", signed, paint, there, bytes/1000)
		if paint > 20_000 {
			t.Errorf("signed %s: the first paint takes %.0f ms", signed, paint)
		}
	}
}

// TestSignInNeedsLittle: the form is there without what draws dashboards, in few bytes; a page that does not come whole says so, and begins
// anew by itself.
func TestSignInNeedsLittle(t *testing.T) {
	p := bridged(t).newPage(t)
	block := func(is bool) {
		patterns := []*network.BlockPattern{{URLPattern: p.s.URL + "/assets/begin-*", Block: is}}
		if err := chromedp.Do(p.tab, command(network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: patterns})); err != nil {
			t.Fatal(err)
		}
	}
	if err := chromedp.Do(p.tab, command(network.Enable, network.EnableParams{})); err != nil {
		t.Fatal(err)
	}
	block(true)
	p.goTo("")
	p.waitFor("the form", `document.querySelector("#token")`)
	if loaded := ask[float64](p, `performance.getEntriesByType("resource").filter(r => !r.name.includes("/assets/begin-")).reduce((sum, r) => sum + r.encodedBodySize, 0)`); loaded == 0 || loaded > 20_000 {
		t.Errorf("the form needs %.0f bytes", loaded)
	}
	p.signIn(p.s.Token(nil))
	p.says("h1", "The page did not come whole")
	block(false)
	p.press("Try now")
	p.says(".state", "Live")
}
