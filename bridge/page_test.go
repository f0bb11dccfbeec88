package bridge

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/config"
)

const savedLayout = `{"apiVersion":"plumbline/v1","kind":"Dashboard","title":"Hall","pages":[]}`

// own is the origin of the bridge's page.
func (r *running) own() string { return "https://" + r.b.Addresses().Viewers }

// signIn makes a session as the bridge's own page does and returns the header fields that the browser then sends with each request.
func (r *running) signIn(token string) []string {
	r.t.Helper()
	login := r.ask(http.MethodPost, "/session", `{"token":"`+token+`"}`, "Origin", r.own(), "Sec-Fetch-Site", "same-origin")
	if login.StatusCode != http.StatusOK || len(login.Cookies()) != 1 {
		r.t.Fatalf("sign in: %d", login.StatusCode)
	}
	c := login.Cookies()[0]
	if c.Name != config.DashboardCookie {
		r.t.Errorf("the cookie is %s", c.Name)
	}
	return []string{"Cookie", c.Name + "=" + c.Value, "Sec-Fetch-Site", "same-origin"}
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestDashboardOutOfTheBox: with nothing configured a person signs in on the page, sees who they are, watches, saves a layout that
// is there after a restart, and signs out.
func TestDashboardOutOfTheBox(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Origins = nil })
	if page := r.ask(http.MethodGet, "/", ""); page.Header.Get("Content-Security-Policy") == "" || !strings.Contains(text(t, page), "Plumbline") {
		t.Errorf("page: %d %v", page.StatusCode, page.Header)
	}
	in := r.signIn(r.token(nil))
	var me struct {
		Subject   string
		Node      string
		WebSocket string
		History   bool
		TimeUS    int64 `json:"time_us"`
	}
	before := time.Now().UnixMicro()
	if err := json.Unmarshal([]byte(text(t, r.ask(http.MethodGet, "/api/v1/me", "", in...))), &me); err != nil {
		t.Fatal(err)
	}
	if me.Subject != "anna" || me.Node != "test" || me.WebSocket != "/ws" || !me.History || me.TimeUS < before || me.TimeUS > time.Now().UnixMicro() {
		t.Errorf("%+v", me)
	}
	change := append([]string{"Origin", r.own()}, in...)
	if resp := r.ask(http.MethodPut, "/api/v1/layouts/hall", savedLayout, change...); resp.StatusCode != http.StatusCreated {
		t.Errorf("save: %d %s", resp.StatusCode, text(t, resp))
	}
	v := r.shake("", nil, http.Header{"Cookie": {in[1]}, "Origin": {r.own()}})
	v.send(map[string]any{"type": "hello"})
	v.want("welcome")
	v.sub(1, "#", nil)
	again := restart(t, r)
	in = again.signIn(again.token(nil))
	if got := text(t, again.ask(http.MethodGet, "/api/v1/layouts/hall", "", in...)); got != savedLayout {
		t.Errorf("after a restart: %s", got)
	}
	if resp := again.ask(http.MethodDelete, "/session", "", append([]string{"Origin", again.own()}, in...)...); resp.StatusCode != http.StatusNoContent {
		t.Errorf("sign out: %d", resp.StatusCode)
	}
	if resp := again.ask(http.MethodGet, "/api/v1/me", "", in...); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(text(t, resp), `"reason":"revoked"`) {
		t.Errorf("signed out: %d", resp.StatusCode)
	}
}

// restart ends a bridge and runs another on its folder.
func restart(t *testing.T, r *running) *running {
	t.Helper()
	r.drain()
	return runConfig(t, r.cfg)
}

// TestDashboardOff: nothing of it is there, and no page is the bridge's own.
func TestDashboardOff(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Dashboard = false })
	token := r.token(nil)
	for _, path := range []string{"/", "/assets/x.js", "/session", "/api/v1/layouts", "/api/v1/dashboard/openapi.json"} {
		if resp := r.ask(http.MethodGet, path, "", "Authorization", "Bearer "+token); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	if resp := r.ask(http.MethodGet, "/api/v1/me", "", "Authorization", "Bearer "+token); resp.StatusCode != http.StatusOK {
		t.Errorf("me: %d", resp.StatusCode)
	}
	if resp := r.ask(http.MethodGet, "/api/v1/me", "", "Authorization", "Bearer "+token, "Origin", r.own()); resp.StatusCode != http.StatusForbidden {
		t.Errorf("me for a page of its own: %d", resp.StatusCode)
	}
	if _, err := os.Stat(filepath.Join(r.cfg.Data, "layouts")); !os.IsNotExist(err) {
		t.Errorf("a folder for layouts: %v", err)
	}
}

// TestN106RebindingAndSpoofedHosts: who binds a name of its own to the bridge's address, or says whatever Host, is no page of the
// bridge's, on a plain listener neither.
func TestN106RebindingAndSpoofedHosts(t *testing.T) {
	for name, change := range map[string]func(*Config){"TLS": func(*Config) {}, "plain": func(c *Config) { c.Viewers.Plaintext = true }} {
		t.Run(name, func(t *testing.T) {
			r := run(t, change)
			scheme := map[string]string{"TLS": "https://", "plain": "http://"}[name]
			_, port, _ := strings.Cut(r.b.Addresses().Viewers, ":")
			cookie := config.DashboardCookie + "=" + r.token(nil)
			for host, want := range map[string]int{
				"127.0.0.1:" + port: 200, "localhost:" + port: 200, "localhost:9": 200, "evil.example:" + port: 403, "localhost.evil.example:" + port: 403,
				"127.0.0.1.evil.example": 403, "0.0.0.0:" + port: 403, "169.254.169.254": 403,
			} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+r.b.Addresses().Viewers+"/api/v1/me", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = host
				req.Header.Set("Origin", scheme+host)
				req.Header.Set("Cookie", cookie)
				transport := &http.Transport{DisableKeepAlives: true}
				if name == "TLS" {
					transport.TLSClientConfig = r.tls()
				}
				resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if got := text(t, resp); resp.StatusCode != want || want != 200 && strings.Contains(got, "anna") {
					t.Errorf("%s: %d %s, want %d", host, resp.StatusCode, got, want)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

// TestN107ForgedChanges: a page of another origin, of the same host neither, changes nothing with the cookie of who is signed in, by no
// endpoint that changes something.
func TestN107ForgedChanges(t *testing.T) {
	r := run(t, nil)
	in := r.signIn(r.token(nil))
	own := append([]string{"Origin", r.own()}, in...)
	if resp := r.ask(http.MethodPut, "/api/v1/layouts/hall", savedLayout, own...); resp.StatusCode != http.StatusCreated {
		t.Fatalf("save: %d", resp.StatusCode)
	}
	for _, from := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "https://127.0.0.1:1"}, {"Origin", "http://" + r.b.Addresses().Viewers}, {},
		{"Origin", r.own(), "Origin", r.own()},
	} {
		forged := append(append([]string{}, from...), "Cookie", in[1], "If-Match", "*")
		for _, to := range [][3]string{
			{http.MethodPut, "/api/v1/layouts/hall", strings.Replace(savedLayout, "Hall", "Evil", 1)}, {http.MethodPut, "/api/v1/layouts/new", savedLayout},
			{http.MethodDelete, "/api/v1/layouts/hall", ""}, {http.MethodDelete, "/session", ""}, {http.MethodPost, "/publish", `{"topic":"a","payload":"1"}`},
		} {
			if resp := r.ask(to[0], to[1], to[2], forged...); resp.StatusCode != http.StatusForbidden || resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%v %s %s: %d", from, to[0], to[1], resp.StatusCode)
			}
		}
	}
	if got := text(t, r.ask(http.MethodGet, "/api/v1/layouts/hall", "", in...)); got != savedLayout {
		t.Errorf("the layout is now %s", got)
	}
	if r.b.journal.Head().Offset != 0 {
		t.Error("a command went out")
	}
}

// TestLayoutHeadersReachPages: what an answer about layouts says in headers of its own a page of a listed origin may read.
func TestLayoutHeadersReachPages(t *testing.T) {
	r := run(t, nil)
	as := []string{"Authorization", "Bearer " + r.token(nil), "Origin", goodPage}
	for _, answered := range []struct {
		resp *http.Response
		own  []string
	}{
		{r.ask(http.MethodPut, "/api/v1/layouts/hall", savedLayout, as...), []string{"ETag", "Location"}},
		{r.ask(http.MethodGet, "/api/v1/layouts/hall", "", as...), []string{"ETag", "Plumbline-Shared"}},
	} {
		exposed := strings.Split(answered.resp.Header.Get("Access-Control-Expose-Headers"), ", ")
		for _, name := range answered.own {
			if answered.resp.Header.Get(name) == "" || !slices.Contains(exposed, name) {
				t.Errorf("%s %s: %s is %q, exposed are %v", answered.resp.Request.Method, answered.resp.Status, name, answered.resp.Header.Get(name), exposed)
			}
		}
	}
}

// TestN108LayoutsByTenant: nobody reads or changes what is another tenant's, whatever it shares there.
func TestN108LayoutsByTenant(t *testing.T) {
	r := run(t, func(c *Config) { c.Auth.TenantPrefix = "tenants/{tenant}/" })
	bearer := func(tenant, subject string) []string {
		return []string{"Authorization", "Bearer " + r.token(map[string]any{"tenant": tenant, "sub": subject}), "If-Match", "*"}
	}
	anna := bearer("a", "anna")
	if resp := r.ask(http.MethodPut, "/api/v1/layouts/hall?shared=true", savedLayout, anna[:2]...); resp.StatusCode != http.StatusCreated {
		t.Fatalf("save: %d", resp.StatusCode)
	}
	for who, want := range map[string]int{"a/ben": http.StatusOK, "b/ben": http.StatusNotFound, "b/anna": http.StatusNotFound} {
		tenant, subject, _ := strings.Cut(who, "/")
		if resp := r.ask(http.MethodGet, "/api/v1/layouts/hall?owner=anna", "", bearer(tenant, subject)...); resp.StatusCode != want {
			t.Errorf("%s reads: %d, want %d", who, resp.StatusCode, want)
		}
		if resp := r.ask(http.MethodDelete, "/api/v1/layouts/hall", "", bearer(tenant, subject)...); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s takes it away: %d", who, resp.StatusCode)
		}
		if got := text(t, r.ask(http.MethodGet, "/api/v1/layouts", "", bearer(tenant, subject)...)); strings.Contains(got, "hall") != (want == http.StatusOK) {
			t.Errorf("%s sees %s", who, got)
		}
	}
}
