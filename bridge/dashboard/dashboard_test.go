package dashboard

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

// sample is a small page as the build makes it.
func sample() fstest.MapFS {
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		index: text("<p>page"), index + ".br": text("page by br"), index + ".gz": text("page by gzip"),
		"assets/main-AB12.js": text("main()"), "assets/main-AB12.js.gz": text("main by gzip"),
		"assets/secret.pem": text("none of ours"), "other.html": text("not the page"),
	}
}

// ask asks the handler of files; header fields as name and value in turn.
func ask(t *testing.T, files fs.FS, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
	r.URL.Path = target // as it is, however odd
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	New(files).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestCompressedCopies(t *testing.T) {
	for _, tc := range []struct{ path, accept, coding, want string }{
		{"/", "gzip, deflate, br, zstd", "br", "page by br"},
		{"/", "gzip, br;q=0", "gzip", "page by gzip"},
		{"/", "BR ; q=0.1", "br", "page by br"},
		{"/", "br;q=no", "", "<p>page"},
		{"/", "*", "", "<p>page"},
		{"/", "", "", "<p>page"},
		{"/assets/main-AB12.js", "br, gzip", "gzip", "main by gzip"}, // no copy by br is there
		{"/assets/main-AB12.js", "br", "", "main()"},
	} {
		resp := ask(t, sample(), http.MethodGet, tc.path, "Accept-Encoding", tc.accept)
		if got := body(t, resp); resp.StatusCode != http.StatusOK || got != tc.want || resp.Header.Get("Content-Encoding") != tc.coding || resp.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s for %q: %d %q by %q", tc.path, tc.accept, resp.StatusCode, got, resp.Header.Get("Content-Encoding"))
		}
	}
}

// kept is the writer of a client that takes nothing: it holds what it was given.
type kept struct {
	http.ResponseWriter
	raw []byte
}

func (k *kept) Write(p []byte) (int, error) { k.raw = p; return len(p), nil }

// TestServingCopiesNothing: however many ask and do not read, they hold the same bytes.
func TestServingCopiesNothing(t *testing.T) {
	h := New(sample())
	for _, target := range []string{"/", "/assets/main-AB12.js"} {
		var held []*byte
		for range 2 {
			w := &kept{ResponseWriter: httptest.NewRecorder()}
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
			if len(w.raw) == 0 {
				t.Fatalf("%s is empty", target)
			}
			held = append(held, &w.raw[0])
		}
		if held[0] != held[1] {
			t.Errorf("two requests for %s hold two copies", target)
		}
	}
}

// TestCaching: what has a digest in its name is kept for ever, the page is asked for again and costs nothing when it is the same.
func TestCaching(t *testing.T) {
	page, script := ask(t, sample(), http.MethodGet, "/"), ask(t, sample(), http.MethodHead, "/assets/main-AB12.js", "Accept-Encoding", "gzip")
	if got := page.Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("page: %s", got)
	}
	if got := script.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") || body(t, script) != "" || script.ContentLength != int64(len("main by gzip")) {
		t.Errorf("script: %s, %d bytes", got, script.ContentLength)
	}
	tag := page.Header.Get("ETag")
	for given, want := range map[string]int{tag: 304, "W/" + tag + `, "x"`: 304, "*": 304, `"x"`: 200, "": 200} {
		if resp := ask(t, sample(), http.MethodGet, "/", "If-None-Match", given); resp.StatusCode != want {
			t.Errorf("with %s: %d, want %d", given, resp.StatusCode, want)
		}
	}
	if br := ask(t, sample(), http.MethodGet, "/", "Accept-Encoding", "br").Header.Get("ETag"); br == tag {
		t.Error("two codings have one entity tag")
	}
	changed := sample()
	changed[index].Data = []byte("<p>another")
	if ask(t, changed, http.MethodGet, "/").Header.Get("ETag") == tag {
		t.Error("another page has the same entity tag")
	}
}

// TestN105NothingButThePage: paths that lead elsewhere, kinds that are not the page's and other methods get nothing.
func TestN105NothingButThePage(t *testing.T) {
	for _, path := range []string{
		"/index.html", "/other.html", "/assets/secret.pem", "/assets/", "/assets", "/assets/main-AB12.js.gz", "/assets/../index.html", "/../dist/index.html",
		"/assets//main-AB12.js", "/assets/./main-AB12.js", "/assets/main-AB12.js/", "//assets/main-AB12.js", "/assets/\x00.js", "/assets/x.js", "/.gitignore",
	} {
		if resp := ask(t, sample(), http.MethodGet, path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%q: %d", path, resp.StatusCode)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, "BREW"} {
		if resp := ask(t, sample(), method, "/"); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, resp.StatusCode)
		}
	}
}

// TestN105PageIsShutOff: every answer, good or bad, has the headers that keep others out of the page and scripts out of its texts.
func TestN105PageIsShutOff(t *testing.T) {
	for what, resp := range map[string]*http.Response{
		"page": ask(t, sample(), http.MethodGet, "/"), "script": ask(t, sample(), http.MethodGet, "/assets/main-AB12.js"), "nothing": ask(t, sample(), http.MethodGet, "/x"),
		"not built": ask(t, fstest.MapFS{}, http.MethodGet, "/"), "method": ask(t, sample(), http.MethodPost, "/"),
	} {
		h := resp.Header
		for name, want := range map[string]string{
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp", "Cross-Origin-Resource-Policy": "same-origin",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %s", what, name, h.Get(name), want)
			}
		}
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy lacks %s: %s", what, want, csp)
			}
		}
		for _, no := range []string{"unsafe", "*", "data:", "http"} {
			if strings.Contains(csp, no) {
				t.Errorf("%s: the policy has %s: %s", what, no, csp)
			}
		}
	}
}

// TestNotBuilt: a bridge that Go built alone says how to have the page.
func TestNotBuilt(t *testing.T) {
	for _, path := range []string{"/", "/assets/main-AB12.js"} {
		resp := ask(t, fstest.MapFS{".gitignore": &fstest.MapFile{}}, http.MethodGet, path)
		if text := body(t, resp); resp.StatusCode != http.StatusNotImplemented || !strings.Contains(text, "make dashboard") || !strings.Contains(text, "viewers.dashboard") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
}

// built returns the embedded files, when `make dashboard` was run before this test was built.
func built(t *testing.T) fs.FS {
	t.Helper()
	if !New(Embedded()).Built() {
		t.Skip("bridge/dashboard/dist is empty: make dashboard fills it")
	}
	return Embedded()
}

// TestBudget: the whole page, licences left out, is at most 150 kB as a browser loads it, and every compressed copy is of its file.
func TestBudget(t *testing.T) {
	files := built(t)
	const budget = 150_000
	for _, coding := range []string{".gz", ".br"} {
		sum := 0
		err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || kinds[path.Ext(name)] == "" || strings.HasSuffix(name, ".txt") {
				return err
			}
			raw, err := fs.ReadFile(files, name+coding)
			if err != nil { // it was no smaller
				raw, err = fs.ReadFile(files, name)
			}
			sum += len(raw)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("the page is %d bytes by %s", sum, coding)
		if sum > budget || sum < 1000 {
			t.Errorf("the page is %d bytes by %s, the budget is %d", sum, coding, budget)
		}
	}
}

// TestPageNamesWhatIsThere: all that the built page refers to is served, and holds what its compressed copy does.
func TestPageNamesWhatIsThere(t *testing.T) {
	files := built(t)
	page := body(t, ask(t, files, http.MethodGet, "/"))
	named := 0
	for _, part := range strings.Split(page, `"/assets/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		named++
		plain := body(t, ask(t, files, http.MethodGet, "/assets/"+name))
		resp := ask(t, files, http.MethodGet, "/assets/"+name, "Accept-Encoding", "gzip")
		if resp.Header.Get("Content-Encoding") == "" {
			continue
		}
		unzip, err := gzip.NewReader(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(unzip)
		if err != nil || !bytes.Equal(raw, []byte(plain)) || plain == "" {
			t.Errorf("%s: its copy is of another file (%v)", name, err)
		}
	}
	if named < 3 {
		t.Errorf("the page names %d files: %s", named, page)
	}
	for _, inline := range []string{"<style", " style=", "onload=", "javascript:"} {
		if strings.Contains(page, inline) {
			t.Errorf("the page has %s, which its policy forbids", inline)
		}
	}
}
