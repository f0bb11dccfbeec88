package dashboard_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"plumbline/bridge/internal/eventually"
)

// page drives the dashboard in a tab as a person would.
type page struct {
	tb  testing.TB
	tab context.Context
	s   *server
}

// dashboardAt signs in through the form, in a new tab, with a token of these claims, at a place: a query and fragment.
func (s *server) dashboardAt(tb testing.TB, place string, claims map[string]any) *page {
	tb.Helper()
	p := s.newPage(tb)
	p.goTo(place)
	p.signIn(s.Token(claims))
	p.waitFor("the page at work", `document.querySelector(".head .state")`)
	return p
}

// newPage is a new tab, nowhere yet.
func (s *server) newPage(tb testing.TB) *page {
	tb.Helper()
	needPage(tb)
	return &page{tb: tb, tab: browser(tb), s: s}
}

// goTo loads a place anew.
func (p *page) goTo(place string) {
	p.tb.Helper()
	open(p.tab, p.tb, "about:blank") // a mere change of the fragment would load nothing
	open(p.tab, p.tb, p.s.URL+"/"+place)
}

// waitFor waits until an expression is true. The page may be on its way to another place meanwhile, where nothing can be asked.
func (p *page) waitFor(what, expression string) {
	p.tb.Helper()
	limited, cancel := context.WithTimeout(p.tab, eventually.Patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if is, err := chromedp.Run(limited, chromedp.Evaluate[bool]("Boolean("+expression+")")); err == nil && is {
			return
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			p.tb.Fatalf("waited %s for %s; the page says: %.2000s", eventually.Patience, what, ask[string](p, "document.body.innerText"))
		}
	}
}

// ask evaluates an expression, which may be a promise.
func ask[T any](p *page, expression string) T {
	p.tb.Helper()
	return eval[T](p.tab, p.tb, expression)
}

// do evaluates statements.
func (p *page) do(statements string) {
	p.tb.Helper()
	ask[bool](p, "(() => {"+statements+"; return true})()")
}

// says waits until an element has a text.
func (p *page) says(selector, text string) {
	p.tb.Helper()
	p.waitFor(fmt.Sprintf("%q in %s", text, selector), fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.textContent.includes(%q))`, selector, text))
}

// press clicks the button with that text that is shown last: a dialog stands above the page.
func (p *page) press(text string) {
	p.tb.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll("button")].filter(b => b.textContent.trim() === %q && b.getClientRects().length > 0).at(-1)`, text)
	p.waitFor("the button "+text, find)
	p.do(find + ".click()")
}

// fill writes into a field.
func (p *page) fill(selector, text string) {
	p.tb.Helper()
	p.waitFor("the field "+selector, fmt.Sprintf("document.querySelector(%q)", selector))
	p.do(fmt.Sprintf("document.querySelector(%q).value = %q", selector, text))
}

// key presses a key where the focus is.
func (p *page) key(key string) {
	p.tb.Helper()
	shift, ctrl := strings.HasPrefix(key, "Shift+"), strings.HasPrefix(key, "Control+")
	key = key[strings.LastIndex(key, "+")+1:]
	p.do(fmt.Sprintf(`document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: %q, shiftKey: %v, ctrlKey: %v, bubbles: true, cancelable: true}))`, key, shift, ctrl))
}

func (p *page) signIn(token string) {
	p.tb.Helper()
	p.fill("#token", token)
	p.press("Sign in")
}

// packed is a layout of one page and group as an address has it.
func packed(tb testing.TB, tiles ...map[string]any) string {
	tb.Helper()
	raw, err := json.Marshal(map[string]any{"apiVersion": "plumbline/v1", "kind": "Dashboard", "title": "Of a test", "rotateS": 5,
		"pages": []any{map[string]any{"title": "One", "groups": []any{map[string]any{"tiles": tiles}}}, map[string]any{"title": "Two", "groups": []any{map[string]any{"tiles": []any{}}}}}})
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is a good one
	if _, err := w.Write(raw); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return "#packed=" + base64.RawURLEncoding.EncodeToString(b.Bytes())
}

func tile(kind string, x int, more map[string]any) map[string]any {
	t := map[string]any{"kind": kind, "x": x, "y": 0, "w": 4, "h": 4}
	for k, v := range more {
		t[k] = v
	}
	return t
}

// TestSignInAndOut: nothing is shown without a token, wrong ones are explained, and after signing out the token is over.
func TestSignInAndOut(t *testing.T) {
	s := bridged(t)
	p := s.newPage(t)
	p.goTo("")
	p.signIn("no token")
	p.says("[role=alert]", "a space or line end within")
	p.signIn("a.b.c")
	p.says("[role=alert]", "The bridge does not take this token")
	token := s.Token(nil)
	p.signIn(token)
	p.says(".state", "Live")
	if got := ask[string](p, "document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"); strings.Contains(got, token[:20]) {
		t.Errorf("a script can read the token: %s", got)
	}
	p.do(`window.asked = window.fetch; window.fetch = (...a) => a[1]?.method === "DELETE" ? Promise.reject(new TypeError("no network")) : window.asked(...a)`)
	p.key("m")
	p.press("Sign out")
	p.press("Sign out")
	p.says("dialog h2", "Signing out failed")
	p.press("Close")
	p.holdWhoAmI()
	if status := ask[int](p, `(async () => (await window.asked("/session", {method: "DELETE"})).status)()`); status != 200 && status != 204 {
		t.Fatalf("ending the session: %d", status)
	}
	p.waitFor("the page to ask whether the session has ended", "window.late")
	p.do(`dispatchEvent(new Event("offline")); dispatchEvent(new Event("online"))`) // it asks again
	p.says("dialog h2", "Sign in again")                                            // the end that comes later is explained all the same
	token = s.Token(nil)
	p.signIn(token)
	p.says(".state", "Live")
	if n := ask[int](p, `(async () => { window.late(); for (let i = 0; i < 20; i++) await new Promise(y => setTimeout(y)); return document.querySelectorAll("dialog").length })()`); n != 0 {
		t.Error("a refusal of the session before, which came late, ends the new one")
	}
	p.do(`window.fetch = window.asked`)
	p.key("m")
	p.press("Sign out")
	p.press("Sign out")
	p.signIn(token)
	p.says("[role=alert]", "The session was ended")
}

// holdWhoAmI holds back what the bridge answers to the next question who is signed in, until window.late is called.
func (p *page) holdWhoAmI() {
	p.tb.Helper()
	p.do(`const before = window.fetch;
		window.fetch = async (...a) => {
			const got = await before(...a);
			if (a[0] !== "/api/v1/me" || window.late !== undefined) return got;
			const free = new Promise(y => { window.late = y }), text = await got.text();
			await free;
			return new Response(text, {status: got.status, headers: got.headers});
		}`)
}

// TestLinkAsksFirst: a link with a code puts nobody else in the place of who is signed in without asking, and says as whom one is.
func TestLinkAsksFirst(t *testing.T) {
	s := bridged(t)
	p := s.dashboardAt(t, "?filter=t/%23", nil)
	code := ask[string](p, `(async () => (await (await fetch("/session/code", {method: "POST"})).json()).code)()`)
	p.goTo("#code=" + code)
	p.says("dialog h2", "Sign in by this link?")
	p.says("dialog", "This browser is signed in as ")
	p.press("Cancel")
	p.waitFor("the page at work", `document.querySelector(".head .state")`)
	p.goTo("#code=" + code) // it was not used
	p.press("Sign in by the link")
	p.says(".session-band", "Signed in by the link as ")
	p.says(".state", "Live")
}

// TestExpiredSession: a session that ends in mid-view explains itself; what is shown is not taken for live; after signing in again
// the page is where it was, and what came meanwhile is there.
func TestExpiredSession(t *testing.T) {
	s := bridged(t)
	s.publish("t/a", "1")
	p := s.expiring(t, packed(t, tile("value", 0, map[string]any{"filter": "t/a"}), tile("note", 4, map[string]any{"text": "x"}))+"&page=1", "1")
	p.do(`document.querySelector(".tile-value").dataset.mark = "same"`)
	p.says("dialog h2", "Sign in again")
	p.says("dialog", "The session's time is over")
	p.says(".state", "Signed out")
	if q := ask[string](p, `document.querySelector(".tile-value").dataset.quality`); q == "live" {
		t.Error("without a session a value is shown as live")
	}
	p.do(`document.querySelector("dialog").close()`) // as Chromium does when Escape is pressed twice
	p.says(".session-band", "Nobody is signed in")
	p.press("Sign in")
	p.says("dialog h2", "Sign in again")
	s.publish("t/a", "2")
	p.signIn(s.Token(nil))
	p.says(".state", "Live")
	p.says(".tile-value .number", "2")
	if got := ask[string](p, `document.querySelector(".tile-value").dataset.mark + location.hash.split("&").length + document.querySelectorAll("dialog").length`); got != "same10" {
		t.Errorf("the view was made anew, or the dialog is still there: %s", got)
	}
	p.says(".proof", "Complete")
}

// expiring is a page whose session ends in a few seconds and that has shown a value before: on a busy machine, where a session may be
// over before anything is shown, with a longer one.
func (s *server) expiring(t *testing.T, place, value string) *page {
	t.Helper()
	p := s.newPage(t)
	for life := 4 * time.Second; life <= eventually.Patience; life *= 2 {
		p.goTo(place) // by way of an empty page: what stands here from the round before, its dialog too, is gone
		p.waitFor("the form", `document.querySelector("#token")`)
		p.signIn(s.Token(map[string]any{"exp": time.Now().Add(life).Unix()}))
		shown := fmt.Sprintf(`document.querySelector(".tile-value .number")?.textContent.includes(%q)`, value)
		p.waitFor("the value, or the end of the session before it", shown+` || document.querySelector("dialog h2, .signin [role=alert]:not(:empty)")`)
		if ask[bool](p, "Boolean("+shown+")") {
			return p
		}
		t.Logf("a session of %s was over before the page showed anything", life)
	}
	t.Fatal("the page shows nothing in any session that ends")
	return nil
}

// TestLayoutSavedAndLoaded: saved under a name, found again by the address in another tab, and never overwritten unknowingly.
func TestLayoutSavedAndLoaded(t *testing.T) {
	s := bridged(t)
	p := s.dashboardAt(t, "#preset=line", nil)
	p.says("h1", "Industrial line")
	p.key("e")
	p.press("Done") // nothing was changed
	p.key("m")
	p.press("Save as…")
	if got := ask[string](p, "location.hash"); got != "#preset=line" {
		t.Errorf("the preset, looked at in the editor, has become %.40s", got)
	}
	p.fill("#save-id", "Hall 3")
	p.press("Save")
	p.says("dialog .fault", "small letters")
	p.fill("#save-id", "hall-3")
	p.press("Save")
	p.waitFor("the saved layout's address", `location.hash === "#layout=hall-3"`)
	p.goTo("#layout=hall-3&page=2")
	p.says("h1", "Industrial line")
	p.says(`.tabs [aria-current=page]`, "Energy")
	status := ask[int](p, `(async () => {
		const got = await fetch("/api/v1/layouts/hall-3"), layout = await got.json();
		return (await fetch("/api/v1/layouts/hall-3", {method: "PUT", headers: {"If-Match": got.headers.get("ETag")}, body: JSON.stringify({...layout, title: "Of somebody else"})})).status;
	})()`)
	if status != 200 {
		t.Fatalf("the other one's save: %d", status)
	}
	p.key("m")
	p.press("Save")
	p.says("dialog h2", "was changed elsewhere meanwhile")
	p.press("Cancel")
	if got := ask[string](p, `(async () => (await (await fetch("/api/v1/layouts/hall-3")).json()).title)()`); got != "Of somebody else" {
		t.Errorf("the layout of the other is overwritten by %q", got)
	}
}

// TestMarkupIsInert: topics and values with markup, controls and turned text are shown as what they are; no script runs.
func TestMarkupIsInert(t *testing.T) {
	s := bridged(t)
	topic, payload := `x/<img src=x onerror="window.hit=1">`, `<script>window.hit=1</script><svg onload="window.hit=1">`
	s.publish(topic, payload)
	s.publish("x/\u202egnp.exe", "1")
	s.publish("x/nan", "NaN")
	s.publish("x/huge", "1e400")
	s.publish("x/binary", "\xff\x00\xfe")
	s.publish("x/nested", strings.Repeat("[", 500)+strings.Repeat("]", 500))
	p := s.dashboardAt(t, "?filter=%23", nil)
	p.says("tbody th", topic)
	p.says("tbody td", payload)
	p.says("tbody th", "⟨U+202E⟩gnp.exe")
	p.says("tbody td", "bytes, binary")
	p.do(`document.querySelector(".tile-chart").scrollIntoView()`) // what is not seen is not drawn
	p.says(".chart-legend", "⟨U+202E⟩gnp.exe")
	turned := `[document.title, document.body.innerText, ...[...document.querySelectorAll("*")].flatMap(e => [e.title, e.getAttribute("aria-label")])].filter(text => String(text).includes("\u202e")).join("; ")`
	if got := ask[string](p, turned); got != "" {
		t.Errorf("turned text is shown as it came: %q", got)
	}
	p.goTo("") // the layout made of what there is
	p.waitFor("tiles", `document.querySelectorAll(".tile").length > 3`)
	if got := ask[string](p, turned); got != "" {
		t.Errorf("turned text is shown as it came, in the layout made of what there is: %q", got)
	}
	if got := ask[string](p, `String(window.hit) + document.querySelectorAll("img, iframe, object, body script, [onerror], [onload], a[href^=javascript]").length`); got != "undefined0" {
		t.Errorf("markup became part of the page: %s", got)
	}
}

// TestCommandButton: of a layout in the address topic and payload are asked about first, whatever it says itself; then a dangerous command
// asks back; each is sent once and answered for; without a grant there is no button.
func TestCommandButton(t *testing.T) {
	s := bridged(t)
	button := tile("command", 0, map[string]any{"topic": "command/press/stop", "payload": "now", "label": "Stop", "confirm": "Stop the press?"})
	view := tile("table", 4, map[string]any{"filter": "command/#"})
	p := s.dashboardAt(t, packed(t, button, view), nil)
	p.says(".state", "Live")
	p.press("Stop")
	p.says("dialog h2", "a layout that is not your own")
	p.says("dialog", "Topic: command/press/stop")
	p.says("dialog", "Payload: now")
	p.press("Cancel")
	p.press("Stop")
	p.says("dialog h2", "a layout that is not your own") // to cancel is not to agree
	p.press("Send")
	p.says(".said", "the bridge has it: now")
	p.says(".tile-command .to", "command/press/stop")
	p.press("Stop")
	p.says("dialog h2", "Stop the press?")
	p.press("Cancel")
	p.says(".tile-table tbody td", "now")
	if n := ask[int](p, `Number(document.querySelectorAll(".tile-table tbody tr").length)`); n != 1 {
		t.Errorf("%d topics had a command", n)
	}
	all := []string{"#"}
	q := s.dashboardAt(t, packed(t, button), map[string]any{"sub": "guest", "grants": map[string][]string{"live": all, "snapshot": all}})
	q.says(".tile-command", "your token does not grant it")
	if ask[int](q, `document.querySelectorAll(".tile-command button").length`) != 0 {
		t.Error("there is a button for what may not be sent")
	}
}

// acknowledges the one alarm by key, which asks first; with letters switched off no letter does anything.
func (p *page) acknowledges() {
	p.tb.Helper()
	turnLetters := func() {
		p.tb.Helper()
		p.do(`document.querySelector(".menu").click()`)
		p.press("Keys")
		p.do(`const box = document.querySelector("#letters"); box.click(); box.closest("dialog").close()`)
	}
	p.key("a")
	p.says("dialog h2", "Acknowledge this alarm?")
	p.press("Cancel")
	p.says(`[role=status]`, "Nothing is acknowledged.")
	p.waitFor("the alarm as it was", `document.querySelector(".alarms li[data-acknowledged=false]")`)
	turnLetters()
	p.waitFor("no dialog", `!document.querySelector("dialog")`)
	for _, key := range []string{"a", "m", "?", "e", "w"} {
		p.key(key)
	}
	if ask[bool](p, `Boolean(document.querySelector("dialog, .edit-bar") || document.documentElement.dataset.wall !== undefined)`) {
		p.tb.Error("a letter does something though letters are switched off")
	}
	turnLetters()
	p.key("a")
	p.press("Acknowledge")
	p.says(`[role=status]`, "Acknowledged: ")
	p.waitFor("an acknowledged alarm and a quiet bell", `document.querySelector(".alarms li[data-acknowledged=true]") && document.querySelector(".bell").textContent === ""`)
}

// TestAlarmAndWall: a value beyond its limit is listed until it is back; on the wall there is nothing to operate, the page fits the screen
// and pages take turns.
func TestAlarmAndWall(t *testing.T) {
	s := bridged(t)
	s.publish("t/a", "50")
	p := s.dashboardAt(t, packed(t, tile("value", 0, map[string]any{"filter": "t/a", "unit": "bar", "limits": map[string]any{"alarmHigh": 10}}), tile("alarms", 4, nil)), nil)
	p.says(".alarms li[data-level=alarm]", "50 bar, above 10")
	p.says(".bell", "1 alarm")
	p.acknowledges()
	p.key("w")
	p.waitFor("no menu, and no scrolling", `document.querySelector(".menu").getClientRects().length === 0 && document.documentElement.scrollHeight <= innerHeight`)
	p.says(".tabs [aria-current=page]", "Two") // after five seconds
	p.key("Escape")
	p.waitFor("the menu again", `document.querySelector(".menu").getClientRects().length > 0`)
	s.publish("t/a", "5")
	p.says(".past", "History of this tab: 1")
}
