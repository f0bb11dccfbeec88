// Package dashboard holds the bridge's page and serves it. What is embedded is what `make dashboard` has put into the folder dist;
// with nothing there the page says how to build it. The page itself holds no data and needs no sign-in: all that it shows it asks of
// the endpoints that do.
package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// Embedded returns the files that this program was built with.
func Embedded() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is a good one
	}
	return files
}

// index is the page; assets is the folder of what it loads, whose names hold a digest of what is in them.
const (
	index  = "index.html"
	assets = "assets/"
)

// kinds are the media types of what is served, by the end of the name. Nothing else is.
var kinds = map[string]string{ //nolint:gochecknoglobals // a table
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8", ".woff2": "font/woff2", ".json": "application/json", ".png": "image/png",
}

// Handler serves the page at / and what it loads below /assets/. It is safe for concurrent use.
type Handler struct {
	files map[string][]byte // by name. All answers share these: nobody who asks, and takes nothing, may hold a copy
	tag   string            // of the page; "" = none is built
}

// New returns the handler of files, which hold index.html and assets, each with its compressed copies beside it (.br, .gz), as
// Embedded gives them. All are read here, once; one that cannot be read is not there. Without index.html every answer is the page
// that says how to build it.
func New(files fs.FS) *Handler {
	h := &Handler{files: map[string][]byte{}}
	_ = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error { // the function gives no error
		if err == nil && !d.IsDir() {
			if raw, err := fs.ReadFile(files, name); err == nil {
				h.files[name] = raw
			}
		}
		return nil
	})
	if raw, ok := h.files[index]; ok {
		sum := sha256.Sum256(raw)
		h.tag = base64.RawURLEncoding.EncodeToString(sum[:12])
	}
	return h
}

// Built reports whether there is a page.
func (h *Handler) Built() bool { return h.tag != "" }

// policy lets the page load its own files and talk to its own bridge and do nothing else: no inline script or style, no eval, no
// markup from text (Trusted Types), no frame around it, no form that goes elsewhere. connect-src 'self' includes wss: of the same
// host and port (CSP 3 section 6.7.2.8).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// permissions are the powers of a browser that the page gives up, for itself and for whatever should get into it.
const permissions = "accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), " +
	"payment=(), publickey-credentials-get=(), usb=(), fullscreen=(self), screen-wake-lock=(self)"

// secure shuts the page off: from windows of others (COOP), from loading and being loaded across origins (COEP, CORP), which also
// gives it the finer clock of an isolated page.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	secure(head)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read: use GET", http.StatusMethodNotAllowed)
		return
	}
	if !h.Built() {
		notBuilt(w)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = index
	}
	kind, ok := kinds[path.Ext(name)]
	if !ok || name != index && !strings.HasPrefix(name, assets) || name == index && r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	coding, raw, ok := h.read(name, r.Header.Values("Accept-Encoding"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	tag := name
	head.Set("Cache-Control", "public, max-age=31536000, immutable") // another content has another name
	if name == index {
		tag = h.tag
		head.Set("Cache-Control", "no-cache") // may be kept, must be asked for again
	}
	tag = strconv.Quote(tag + coding)
	head.Set("ETag", tag)
	head.Set("Vary", "Accept-Encoding")
	head.Set("Content-Type", kind)
	if coding != "" {
		head.Set("Content-Encoding", codings[coding])
	}
	if has(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Length", strconv.Itoa(len(raw)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(raw) // the peer is gone when this fails
	}
}

// codings are the names of compressed copies (RFC 9110 section 8.4.1), by the end of the file's.
var codings = map[string]string{".br": "br", ".gz": "gzip"} //nolint:gochecknoglobals // a table

// read returns the smallest copy of a file that the asker takes, and the end of its name; false where there is none.
func (h *Handler) read(name string, accepted []string) (coding string, raw []byte, ok bool) {
	for _, end := range []string{".br", ".gz"} {
		if accepts(accepted, codings[end]) {
			if raw, ok = h.files[name+end]; ok {
				return end, raw, true
			}
		}
	}
	raw, ok = h.files[name]
	return "", raw, ok
}

// accepts reports whether a coding is named with a weight above zero (RFC 9110 section 12.5.3). A * alone is not taken for it: who
// does not name a coding gets the plain text.
func accepts(lists []string, coding string) bool {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			name, weight, _ := strings.Cut(one, ";")
			if !strings.EqualFold(strings.TrimSpace(name), coding) {
				continue
			}
			_, value, weighted := strings.Cut(weight, "=")
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return !weighted || err == nil && q > 0
		}
	}
	return false
}

// has compares entity tags weakly (RFC 9110 section 13.1.2).
func has(lists []string, tag string) bool {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// notBuilt says how to get the page. 501: this program cannot show it, however often it is asked.
func notBuilt(w http.ResponseWriter) {
	w.Header().Set("Content-Type", kinds[".html"])
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotImplemented)
	_, _ = fmt.Fprint(w, `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Plumbline: no dashboard in this build</title></head>
<body><main>
<h1>The bridge runs. Its dashboard is not in this build</h1>
<p>This bridged was built by Go alone. To have the dashboard, build it with Node.js 18 or newer and npm, then build the bridge again:</p>
<pre>make build</pre>
<p>or step by step:</p>
<pre>make dashboard
go build -o bin/bridged ./bridge/cmd/bridged</pre>
<p>Everything else works without it: WebSocket, events, polling and history, as bridge/PROTOCOL.md describes them.
To serve no page at all, set viewers.dashboard to false.</p>
</main></body>
</html>
`) // the peer is gone when this fails
}
