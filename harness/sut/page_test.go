package sut

import (
	"errors"
	"strings"
	"testing"
)

// What is wrong with a page is said with its place and its mend.
func TestParseRefusesPages(t *testing.T) {
	const good = `page: {url: "https://127.0.0.1:{{port:ws}}/?f={{filter}}", signIn: {post: "https://127.0.0.1:{{port:ws}}/session", body: '{"token":"{{token}}"}'}, conflates: true}`
	for name, c := range map[string]struct{ page, want string }{
		"no address":           {`page: {signIn: {cookie: s}}`, "viewer.page.url: is missing"},
		"another scheme":       {`page: {url: "wss://h/"}`, `viewer.page.url: has scheme "wss"`},
		"a user name":          {`page: {url: "https://me@h/"}`, "holds a user name"},
		"a token that is sent": {`page: {url: "https://h/?t={{token}}"}`, "holds {{token}} before a #"},
		"two ways to be known": {`page: {url: "https://h/", signIn: {cookie: s, post: "https://h/", body: "{{token}}"}}`, "has post and cookie"},
		"nothing to post":      {`page: {url: "https://h/", signIn: {post: "https://h/"}}`, "viewer.page.signIn.body: holds no {{token}}"},
		"nowhere to post it":   {`page: {url: "https://h/", signIn: {body: "{{token}}"}}`, "viewer.page.signIn.post: is missing"},
		"posted by mail":       {`page: {url: "https://h/", signIn: {post: "mailto:h", body: "{{token}}"}}`, "viewer.page.signIn.post: has scheme"},
		"a misspelt template":  {`page: {url: "https://h/?f={{filtre}}"}`, "unknown template {{filtre}}"},
		"a filter in a body":   {`page: {url: "https://h/", signIn: {post: "https://h/", body: "{{token}} {{filter}}"}}`, "unknown template {{filter}}"},
		"ours and its own":     {`page: {ours: true, url: "https://h/"}`, "viewer.page.ours: stands beside url or signIn"},
		"a misspelt key":       {`page: {url: "https://h/", conflate: true}`, `did you mean "conflates"?`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(wholeDescriptor, good, c.page, 1)
			if text == wholeDescriptor {
				t.Fatal("the page is not in the descriptor")
			}
			if _, err := Parse([]byte(text), "other.yaml", ""); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
	tokenless := `page: {url: "https://h/", signIn: {cookie: session}}`
	text := strings.Replace(wholeDescriptor, good, tokenless, 1)
	head, rest, _ := strings.Cut(text, "auth:\n")
	_, rest, _ = strings.Cut(rest, "ops:")
	if _, err := Parse([]byte(head+"ops:"+rest), "other.yaml", ""); err == nil || !strings.Contains(err.Error(), "fill in auth.jwt") {
		t.Errorf("a sign-in without tokens: %v", err)
	}
	if _, err := Parse([]byte(strings.Replace(wholeDescriptor, good, `page: {url: "https://h/#t={{token}}"}`, 1)), "other.yaml", ""); err != nil {
		t.Errorf("a token that stays in the browser: %v", err)
	}
}

// Values are escaped for where they stand, and nothing else is touched.
func TestPagesAreFilledIn(t *testing.T) {
	if got, want := FillPage("https://h/?f={{filter}}&x={{ filter }}#t={{token}}", "a/+/b/#", "t&k"), "https://h/?f=a%2F%2B%2Fb%2F%23&x=a%2F%2B%2Fb%2F%23#t=t%26k"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := FillBody(`{"token":"{{token}}","f":"{{filter}}"}`, `a"b\`), `{"token":"a\"b\\","f":"{{filter}}"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	d, err := Parse([]byte(wholeDescriptor), "other.yaml", "")
	if err != nil || !d.Has(CapPage) || !d.Viewer.Page.Conflates {
		t.Errorf("page %+v, %v", d.Viewer.Page, err)
	}
	d.Viewer.Page = Page{}
	if d.Has(CapPage) || d.Has(CapCookie) {
		t.Error("a system without a page has one")
	}
}

// Whether strangers can try a page's cookie follows from where the page is, how it
// knows people and what its viewers speak.
func TestWhoseCookieCanBeTried(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Viewer)
		want   string
	}{
		"bridged":            {func(*Viewer) {}, ""},
		"over plain HTTP":    {func(v *Viewer) { v.Page.URL = "http://localhost:{{port:viewers}}/#{{filter}}" }, ""},
		"IPv6":               {func(v *Viewer) { v.Page.URL = "https://[::1]:8443/" }, ""},
		"a token after #":    {func(v *Viewer) { v.Page.SignIn = SignIn{} }, "no cookie"},
		"viewers of MQTT":    {func(v *Viewer) { v.Protocol = "mqtt" }, "MQTT"},
		"on another machine": {func(v *Viewer) { v.Page.URL = "https://bridge.example/?filter={{filter}}" }, "not on this machine"},
	} {
		d := Default()
		c.change(&d.Viewer)
		if why := d.Viewer.NoIntrusion(); (why == "") != (c.want == "") || !strings.Contains(why, c.want) || d.Has(CapCookie) != (c.want == "") {
			t.Errorf("%s: %q, capability %v", name, why, d.Has(CapCookie))
		}
	}
}

// A page of the harness stands in for one that is missing, where it can speak what viewers
// speak and show who it is; what is asked of a system's own page is not asked of it.
func TestAPageOfTheHarnessStandsIn(t *testing.T) {
	const text = `apiVersion: plumbline/v1
kind: SUT
name: somebody's
broker: {url: "mqtt://127.0.0.1:1883"}
viewer: {protocol: mqtt, url: "ws://127.0.0.1:9001/mqtt", token: {in: none}, page: {ours: true}}
`
	d, err := Parse([]byte(text), "other.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	if !d.Has(CapBrowser) || d.Has(CapPage) || d.Has(CapCookie) || d.Has(CapSession) {
		t.Errorf("it has %v", d.All())
	}
	_, err = Parse([]byte(strings.NewReplacer("protocol: mqtt", "protocol: sse", "ws://", "http://").Replace(text)), "other.yaml", "")
	if err == nil || !strings.Contains(err.Error(), "viewer.page.ours: needs viewers that speak mqtt or json; these speak sse") {
		t.Errorf("viewers of sse: %v", err)
	}
	_, err = Parse([]byte(strings.Replace(text, "in: none", "in: header", 1)+"auth: {jwt: {alg: HS256, secretFile: key}}\n"), "other.yaml", "")
	if err == nil || !strings.Contains(err.Error(), `viewer.page.ours: cannot show a token in "header"`) {
		t.Errorf("a token in a header: %v", err)
	}
	if bridged := Default(); !bridged.Has(CapBrowser) || !bridged.Has(CapSession) {
		t.Errorf("bridged has %v", bridged.All())
	}
}
