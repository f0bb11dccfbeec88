package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"plumbline/bridge/auth"
)

// desk is the API with two who may ask, by the names that they send as Authorization.
type desk struct {
	t   *testing.T
	mux *http.ServeMux
	log *bytes.Buffer
	now time.Time
	dir string
}

func newDesk(t *testing.T, change func(*Options)) *desk {
	t.Helper()
	d := &desk{t: t, mux: http.NewServeMux(), log: &bytes.Buffer{}, now: time.Unix(1_800_000_000, 0), dir: filepath.Join(t.TempDir(), "layouts")}
	o := Options{
		Layouts: d.dir, Node: "gw-1", Version: "bridged 1", WebSocket: "/ws", History: true, Commands: true, RequestRate: 1000,
		Log: slog.New(slog.NewTextHandler(d.log, nil)), Now: func() time.Time { return d.now },
		Identify: func(_ http.ResponseWriter, r *http.Request) (auth.Identity, int, string) {
			tenant, subject, ok := strings.Cut(r.Header.Get("Authorization"), "/")
			if !ok {
				return auth.Identity{}, http.StatusUnauthorized, "missing"
			}
			id := auth.Identity{Subject: subject, Tenant: tenant, Expires: d.now.Add(time.Hour), Grants: auth.Viewing("plant/#")}
			id.Grants[auth.Publish] = []string{"command/#"}
			return id, 0, ""
		},
	}
	if change != nil {
		change(&o)
	}
	New(o).Route(d.mux.Handle)
	return d
}

// ask sends a request as who, "" for nobody; header fields as name and value in turn.
func (d *desk) ask(who, method, target, text string, header ...string) *http.Response {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), method, target, strings.NewReader(text))
	if who != "" {
		r.Header.Set("Authorization", who)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.mux.ServeHTTP(w, r)
	return w.Result()
}

// want asks as anna and wants a status, and returns the body.
func (d *desk) want(status int, method, target, text string, header ...string) string {
	d.t.Helper()
	resp := d.ask("a/anna", method, target, text, header...)
	raw := read(d.t, resp)
	if resp.StatusCode != status {
		d.t.Errorf("%s %s: %d %s, want %d", method, target, resp.StatusCode, raw, status)
	}
	if status >= 400 {
		var p struct {
			Status int
			Detail string
		}
		if err := json.Unmarshal([]byte(raw), &p); err != nil || p.Status != status || p.Detail == "" || resp.Header.Get("Content-Type") != "application/problem+json" || resp.Header.Get("Cache-Control") != "no-store" {
			d.t.Errorf("%s %s: no problem: %s %v", method, target, raw, resp.Header)
		}
	}
	return raw
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// layout is a small one with a title and something of the page's own.
func layout(title string) string {
	return fmt.Sprintf(`{"apiVersion":"plumbline/v1","kind":"Dashboard","title":%q,"pages":[ ]}`, title)
}

func TestMe(t *testing.T) {
	d := newDesk(t, nil)
	var got me
	if err := json.Unmarshal([]byte(d.want(200, "GET", "/api/v1/me", "")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Subject != "anna" || got.Tenant != "a" || got.Expires != "2027-01-15T09:00:00Z" || fmt.Sprint(got.Grants) != "map[history:[plant/#] live:[plant/#] publish:[command/#] snapshot:[plant/#]]" ||
		got.Node != "gw-1" || got.Version != "bridged 1" || got.WebSocket != "/ws" || !got.History || !got.Commands || !got.Layouts || got.Time != d.now.UnixMicro() || got.Denies["live"] == nil {
		t.Errorf("%+v", got)
	}
	bare := newDesk(t, func(o *Options) { o.Layouts, o.History, o.Commands = "", false, false })
	if err := json.Unmarshal([]byte(bare.want(200, "GET", "/api/v1/me", "")), &got); err != nil || got.Layouts || got.History || got.Commands {
		t.Errorf("%+v %v", got, err)
	}
	if resp := bare.ask("a/anna", "GET", "/api/v1/layouts", ""); resp.StatusCode != 404 {
		t.Errorf("layouts without a folder: %d", resp.StatusCode)
	}
}

// TestNothingWithoutCredential: every endpoint but the document, by every method.
func TestNothingWithoutCredential(t *testing.T) {
	d := newDesk(t, nil)
	d.want(201, "PUT", "/api/v1/layouts/hall", layout("Hall"))
	for _, path := range []string{"/api/v1/me", "/api/v1/layouts", "/api/v1/layouts/hall", "/api/v1/layouts/none", "/api/v1/layouts/..%2f"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"} {
			resp := d.ask("", method, path, layout("x"), "If-Match", "*")
			if raw := read(t, resp); resp.StatusCode != 401 || !strings.Contains(raw, `"reason":"missing"`) || strings.Contains(raw, "Hall") {
				t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, raw)
			}
			if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") {
				t.Errorf("%s %s: headers %v", method, path, resp.Header)
			}
		}
	}
	d.want(200, "GET", "/api/v1/layouts/hall", "")
}

// TestLostUpdate: two pages of one person do not overwrite each other's change unknowingly.
func TestLostUpdate(t *testing.T) {
	d := newDesk(t, nil)
	const path = "/api/v1/layouts/hall"
	d.want(412, "PUT", path, layout("x"), "If-Match", "*")
	made := d.ask("a/anna", "PUT", path, layout("one"), "If-None-Match", "*")
	first := made.Header.Get("ETag")
	if made.StatusCode != 201 || first == "" || made.Header.Get("Location") != path {
		t.Fatalf("%d %v", made.StatusCode, made.Header)
	}
	d.want(412, "PUT", path, layout("x"), "If-None-Match", "*")
	d.want(428, "PUT", path, layout("x"))
	d.want(428, "DELETE", path, "")
	second := d.ask("a/anna", "PUT", path, layout("two"), "If-Match", first).Header.Get("ETag")
	d.want(412, "PUT", path, layout("x"), "If-Match", first)
	d.want(412, "PUT", path, layout("x"), "If-Match", "W/"+second)
	d.want(412, "DELETE", path, "", "If-Match", first)
	if got := d.want(200, "GET", path, ""); got != layout("two") {
		t.Errorf("it is %s", got)
	}
	if resp := d.ask("a/anna", "GET", path, "", "If-None-Match", "W/"+second); resp.StatusCode != 304 || read(t, resp) != "" || resp.Header.Get("ETag") != second {
		t.Errorf("the same version: %d", resp.StatusCode)
	}
	if resp := d.ask("a/anna", "PUT", path, layout("two"), "If-Match", second); resp.StatusCode != 200 || resp.Header.Get("ETag") != second {
		t.Errorf("saved again unchanged: %d %s", resp.StatusCode, resp.Header.Get("ETag"))
	}
	d.want(204, "DELETE", path, "", "If-Match", second)
	d.want(404, "GET", path, "")
	d.want(404, "DELETE", path, "", "If-Match", "*")
}

func TestSharing(t *testing.T) {
	d := newDesk(t, nil)
	d.want(201, "PUT", "/api/v1/layouts/mine", layout("Mine"))
	d.want(201, "PUT", "/api/v1/layouts/ours?shared=true", layout("Ours"))
	for who, want := range map[string]string{"a/ben": "ours", "b/anna": ""} {
		var list struct{ Layouts []listed }
		if err := json.Unmarshal([]byte(read(t, d.ask(who, "GET", "/api/v1/layouts", ""))), &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range list.Layouts {
			if l.Mine || l.Owner != "anna" || !l.Shared || l.Title != "Ours" || l.Bytes != len(layout("Ours")) || l.Modified != d.now.UnixMicro() {
				t.Errorf("%s sees %+v", who, l)
			}
			got = append(got, l.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s sees %v, want %q", who, got, want)
		}
	}
	if resp := d.ask("a/ben", "GET", "/api/v1/layouts/ours?owner=anna", ""); resp.StatusCode != 200 || resp.Header.Get("Plumbline-Shared") != "true" || read(t, resp) != layout("Ours") {
		t.Errorf("shared: %d", resp.StatusCode)
	}
	hidden, absent := d.ask("a/ben", "GET", "/api/v1/layouts/mine?owner=anna", ""), d.ask("a/ben", "GET", "/api/v1/layouts/none?owner=anna", "")
	if hidden.StatusCode != 404 || read(t, hidden) != read(t, absent) {
		t.Errorf("what is hidden differs from what is not there: %d", hidden.StatusCode)
	}
}

// TestN109LayoutsThatAreNone: what is too large, too deep, ambiguous or no layout is refused with what and how, and nothing is kept.
func TestN109LayoutsThatAreNone(t *testing.T) {
	d := newDesk(t, nil)
	const good = "/api/v1/layouts/hall"
	for name, tc := range map[string]struct {
		target, text string
		status       int
		says         string
	}{
		"no JSON":           {good, "hall", 400, "JSON object"},
		"nothing":           {good, "", 400, "JSON object"},
		"a list":            {good, "[]", 400, "JSON object"},
		"two values":        {good, layout("x") + "{}", 400, "JSON object"},
		"a member twice":    {good, `{"apiVersion":"plumbline/v1","kind":"Dashboard","title":"a","title":"b"}`, 400, "duplicate"},
		"twice within":      {good, `{"apiVersion":"plumbline/v1","kind":"Dashboard","title":"a","pages":[{"x":1,"x":2}]}`, 400, "duplicate"},
		"deep":              {good, `{"apiVersion":"plumbline/v1","kind":"Dashboard","title":"a","pages":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}", 400, "deep"},
		"half a surrogate":  {good, `{"apiVersion":"plumbline/v1","kind":"Dashboard","title":"\ud800"}`, 400, "Unicode"},
		"another version":   {good, `{"apiVersion":"plumbline/v9","kind":"Dashboard","title":"a"}`, 400, "want plumbline/v1"},
		"another kind":      {good, `{"apiVersion":"plumbline/v1","kind":"Bridge","title":"a"}`, 400, "Dashboard"},
		"no title":          {good, `{"apiVersion":"plumbline/v1","kind":"Dashboard"}`, 400, "title"},
		"a blank title":     {good, layout("  "), 400, "title"},
		"a long title":      {good, layout(strings.Repeat("ä", 121)), 400, "121"},
		"a title of lines":  {good, layout("a\nb"), 400, "control"},
		"too large":         {good, layout("a") + strings.Repeat(" ", 64<<10), 413, "65536"},
		"an id of dots":     {"/api/v1/layouts/..%2fjwt.key", layout("a"), 400, "is no id"},
		"an id of capitals": {"/api/v1/layouts/Hall", layout("a"), 400, "is no id"},
		"a long id":         {"/api/v1/layouts/" + strings.Repeat("x", 65), layout("a"), 400, "is no id"},
		"an id of zero":     {"/api/v1/layouts/a%00", layout("a"), 400, "is no id"},
		"shared perhaps":    {good + "?shared=perhaps", layout("a"), 400, "true or false"},
		"shared twice":      {good + "?shared=true&shared=false", layout("a"), 400, "twice"},
		"for another":       {good + "?owner=ben", layout("a"), 400, "owner"},
	} {
		t.Run(name, func(t *testing.T) {
			d.t = t
			d.now = d.now.Add(time.Minute) // so that the rate of changes is not in the way
			if raw := d.want(tc.status, "PUT", tc.target, tc.text); !strings.Contains(raw, tc.says) {
				t.Errorf("it says %s, want %s", raw, tc.says)
			}
		})
	}
	d.t = t
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
		t.Errorf("something is kept: %v", err)
	}
	d.want(400, "GET", "/api/v1/layouts?all=1", "")
	d.want(400, "GET", good+"?owner=a&owner=b", "")
	d.want(400, "DELETE", good+"?owner=ben", "", "If-Match", "*")
	for _, method := range []string{"POST", "PATCH", "TRACE"} {
		d.want(405, method, good, layout("a"))
	}
}

// TestN109ChangesAreRare: one account cannot keep the disk busy, and another is not held up by it.
func TestN109ChangesAreRare(t *testing.T) {
	d := newDesk(t, nil)
	taken := 0
	for i := range 3 * writeBurst {
		resp := d.ask("a/anna", "PUT", "/api/v1/layouts/hall", layout(fmt.Sprint(i)), "If-Match", "*")
		if i == 0 {
			resp = d.ask("a/anna", "PUT", "/api/v1/layouts/hall", layout("0"))
		}
		switch {
		case resp.StatusCode < 300:
			taken++
		case resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "":
			t.Error("it is not said when to come back")
		}
	}
	if taken != writeBurst-1 { // the first was refused by its condition
		t.Errorf("%d changes were taken at once, want %d", taken, writeBurst-1)
	}
	if resp := d.ask("a/ben", "PUT", "/api/v1/layouts/hall", layout("x")); resp.StatusCode != 201 {
		t.Errorf("another account: %d", resp.StatusCode)
	}
	d.now = d.now.Add(time.Second)
	d.want(200, "PUT", "/api/v1/layouts/hall", layout("later"), "If-Match", "*")
	slow := newDesk(t, func(o *Options) { o.RequestRate = 1 })
	slow.want(200, "GET", "/api/v1/me", "")
	slow.want(200, "GET", "/api/v1/me", "")
	slow.want(429, "GET", "/api/v1/me", "")
}

// TestRefusalsAreRecorded: those that operators watch leave one event each, without anything that was sent.
func TestRefusalsAreRecorded(t *testing.T) {
	d := newDesk(t, nil)
	d.want(405, "POST", "/api/v1/layouts/hall", "hidden")
	d.want(413, "PUT", "/api/v1/layouts/hall", strings.Repeat("hidden", 64<<10))
	d.want(404, "GET", "/api/v1/layouts/hall", "")
	log := d.log.String()
	if strings.Count(log, "msg=refused") != 2 || !strings.Contains(log, "reason=method subject=anna tenant=a") || !strings.Contains(log, "reason=size") || strings.Contains(log, "hidden") {
		t.Errorf("recorded: %s", log)
	}
}

// TestABodyThatBreaksOffIsNotTooLarge: nor is it on record as one.
func TestABodyThatBreaksOffIsNotTooLarge(t *testing.T) {
	d := newDesk(t, nil)
	for name, ends := range map[string]error{"broke off": io.ErrUnexpectedEOF, "too slow": os.ErrDeadlineExceeded} {
		body := io.MultiReader(strings.NewReader(layout("a")), iotest.ErrReader(ends))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/api/v1/layouts/hall", body)
		r.Header.Set("Authorization", "a/anna")
		w := httptest.NewRecorder()
		d.mux.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "broke off") || d.log.Len() > 0 {
			t.Errorf("%s: %d %s, recorded %s", name, w.Code, w.Body, d.log)
		}
	}
	d.want(404, "GET", "/api/v1/layouts/hall", "")
}

func TestDiskThatFails(t *testing.T) {
	d := newDesk(t, nil)
	if err := os.WriteFile(d.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if raw := d.want(503, "GET", "/api/v1/layouts", ""); strings.Contains(raw, d.dir) || !strings.Contains(d.log.String(), d.dir) {
		t.Errorf("the asker reads %s, the operator %s", raw, d.log)
	}
}

// TestDocument: it is OpenAPI 3.1, and the answers are as it says.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../history/api/testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	for name, raw := range map[string][]byte{"openapi.json": text, "doc.json": document} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err == nil {
			err = c.AddResource(name, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hold := func(schema, raw string) {
		t.Helper()
		s, err := c.Compile(schema)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(raw))
		if err == nil {
			err = s.Validate(v)
		}
		if err != nil {
			t.Errorf("%s: %#v\n%s", schema, err, raw)
		}
	}
	d := newDesk(t, nil)
	hold("openapi.json", string(document))
	hold("openapi.json", d.want(200, "GET", documentPath, ""))
	hold("doc.json#/components/schemas/Me", d.want(200, "GET", mePath, ""))
	hold("doc.json#/components/schemas/Listed", d.want(201, "PUT", layoutsPath+"/a", layout("A")))
	hold("doc.json#/components/schemas/Layout", d.want(200, "GET", layoutsPath+"/a", ""))
	hold("doc.json#/components/schemas/Layouts", d.want(200, "GET", layoutsPath, ""))
	hold("doc.json#/components/schemas/Problem", d.want(404, "GET", layoutsPath+"/b", ""))
	hold("doc.json#/components/schemas/Problem", read(t, d.ask("", "GET", mePath, "")))
	var described struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(document, &described); err != nil {
		t.Fatal(err)
	}
	for path, methods := range map[string]string{mePath: "get", layoutsPath: "get", layoutsPath + "/{id}": "get put delete", documentPath: "get"} {
		for method := range strings.FieldsSeq(methods) {
			if described.Paths[path][method] == nil {
				t.Errorf("%s %s is not described", method, path)
			}
		}
	}
	if len(described.Paths) != 4 {
		t.Errorf("%d paths are described", len(described.Paths))
	}
}
