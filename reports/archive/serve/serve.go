// Package serve shows a store of runs in a browser, and a run while it goes on.
//
// It answers to this machine only unless told otherwise, writes nothing, and builds
// its pages anew when the store changed. A request that names another host is
// refused: a page of the web whose name was made to lead here (DNS rebinding) could
// read the reports otherwise.
package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/reports/archive"
	"plumbline/reports/archive/site"
)

// Options say how a store is shown. The zero value is useful.
type Options struct {
	Site    site.Options
	Hosts   []string      // names beside localhost and loopback addresses that requests may come for
	Refresh time.Duration // the store is looked at anew when a request comes and this is over; 0 means DefaultRefresh
	Poll    time.Duration // a run that goes on is looked at this often; 0 means DefaultPoll
	Log     *slog.Logger  // nil discards
}

// Defaults of Options.
const (
	DefaultRefresh = 2 * time.Second
	DefaultPoll    = 250 * time.Millisecond
)

// Bounds of what clients may take.
const (
	headerLimit = 5 * time.Second // to send a request
	writeLimit  = 10 * time.Second
	stopLimit   = 5 * time.Second
	maxStreams  = 32
)

// Server shows one store. Its methods may be called by any goroutine.
type Server struct {
	opts    Options
	loader  *archive.Loader
	streams chan struct{} // one token for each client that follows a run

	mu     sync.Mutex
	looked time.Time
	store  *archive.Store
	files  map[string]site.File
}

// New reads the store at root for the first time.
func New(root string, opts Options) (*Server, error) {
	if opts.Refresh <= 0 {
		opts.Refresh = DefaultRefresh
	}
	if opts.Poll <= 0 {
		opts.Poll = DefaultPoll
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Site.Live = true
	s := &Server{opts: opts, loader: archive.NewLoader(root), streams: make(chan struct{}, maxStreams)}
	if _, _, err := s.current(); err != nil {
		return nil, err
	}
	return s, nil
}

// current returns the store and its site, built anew when the store changed.
func (s *Server) current() (*archive.Store, map[string]site.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store != nil && time.Since(s.looked) < s.opts.Refresh {
		return s.store, s.files, nil
	}
	store, err := s.loader.Load()
	if err != nil {
		return nil, nil, err
	}
	s.looked = time.Now()
	if s.store != nil && s.store.Fingerprint() == store.Fingerprint() {
		return s.store, s.files, nil
	}
	built, err := site.Build(store, s.opts.Site)
	if err != nil {
		return nil, nil, err
	}
	s.store, s.files = store, map[string]site.File{}
	for _, f := range built.Files {
		s.files[f.Path] = f
	}
	return s.store, s.files, nil
}

// Serve answers on the listener until ctx ends, then lets requests under way finish
// for up to five seconds; clients that follow a run are told at once. It closes the
// listener and returns when all of its goroutines have ended.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerLimit, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	err := server.Shutdown(stop)
	if err != nil {
		err = server.Close()
	}
	if gone := <-ended; !errors.Is(gone, http.ErrServerClosed) {
		err = errors.Join(err, gone)
	}
	return err
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range map[string]string{
		"Content-Security-Policy": strict, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		w.Header().Set(name, value)
	}
	switch {
	case !s.known(r.Host):
		http.Error(w, "This server does not answer to that host name; see --host of plumbline serve.", http.StatusMisdirectedRequest)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "A store is only read.", http.StatusMethodNotAllowed)
		return
	}
	store, files, err := s.current()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	at := strings.TrimPrefix(r.URL.Path, "/")
	if below, live := strings.CutPrefix(at, site.LiveFolder); live {
		s.live(w, r, store, below)
		return
	}
	if at == "" || strings.HasSuffix(at, "/") {
		at += site.FrontPage
	}
	file, found := files[at]
	if !found {
		http.Error(w, "There is no such page.", http.StatusNotFound)
		return
	}
	s.show(w, r, at, file.Write)
}

// strict is the policy of what is no page.
const strict = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

// ownPolicy matches the policy that a page states of itself.
var ownPolicy = regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`)

// types of the files of a site.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".svg": "image/svg+xml", ".xml": "application/atom+xml", ".json": "application/json",
}

// show sends a file. A page keeps the policy that it states, and may be framed by none.
func (s *Server) show(w http.ResponseWriter, r *http.Request, name string, write func(io.Writer) error) {
	var content bytes.Buffer
	if err := write(&content); err != nil {
		s.fail(w, r, err)
		return
	}
	if m := ownPolicy.FindSubmatch(content.Bytes()); m != nil && path.Ext(name) == ".html" {
		w.Header().Set("Content-Security-Policy", html.UnescapeString(string(m[1]))+"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	}
	kind := types[path.Ext(name)]
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	if r.Method == http.MethodHead {
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeLimit)) // a client that does not read; test recorders have none
	if _, err := w.Write(content.Bytes()); err != nil {
		s.opts.Log.Debug("a client went away", "path", r.URL.Path, "error", err)
	}
}

// fail says that a page cannot be made; why is in the log of whoever serves.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.opts.Log.Error("a page cannot be shown", "path", r.URL.Path, "error", err)
	http.Error(w, "This page cannot be shown; the server's log says why. The store may have changed: try again.", http.StatusInternalServerError)
}

// known reports whether a request may come for a host.
func (s *Server) known(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if addr, err := netip.ParseAddr(name); err == nil && addr.IsLoopback() {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(s.opts.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}
