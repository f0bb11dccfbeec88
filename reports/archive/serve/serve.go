// Package serve shows a store of runs in a browser, and a run while it goes on.
//
// It answers to this machine only unless told otherwise, writes nothing, and builds
// its pages anew when the store changed. A request that names another host is
// refused: a page of the web whose name was made to lead here (DNS rebinding) could
// read the reports otherwise. So is one that a page of another site makes a browser
// send, unless it is a link that somebody follows.
package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
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
	Hosts   []string      // names or addresses, without a port, that requests may come for beside localhost and loopback addresses
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
	runs   map[string]*follower // that go on, by directory: however many look on, a course is read once
}

// ErrHost says that one of Options.Hosts is no host name or address alone.
var ErrHost = errors.New("no host name")

// New reads the store at root for the first time.
func New(root string, opts Options) (*Server, error) {
	hosts := make([]string, len(opts.Hosts))
	for i, host := range opts.Hosts {
		if hosts[i] = hostName(host); hosts[i] == "" || strings.ContainsAny(hosts[i], ":/[]@ ") && !isAddress(hosts[i]) {
			return nil, fmt.Errorf("serve: %w: %q", ErrHost, host)
		}
	}
	opts.Hosts = hosts
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
	s := &Server{opts: opts, loader: archive.NewLoader(root), streams: make(chan struct{}, maxStreams), runs: map[string]*follower{}}
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
	s.forget(store)
	return s.store, s.files, nil
}

// forget drops the followers of runs that go on no more; whoever still follows one
// keeps it.
func (s *Server) forget(store *archive.Store) {
	open := map[string]bool{}
	for _, o := range store.Open {
		open[runDir(store, o)] = true
	}
	maps.DeleteFunc(s.runs, func(dir string, _ *follower) bool { return !open[dir] })
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
	case foreign(r):
		http.Error(w, "A page of another site asks for this. It may link here, and nothing else.", http.StatusForbidden)
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
		policy := html.UnescapeString(string(m[1])) + "; frame-ancestors 'none'"
		for _, directive := range []string{"base-uri", "form-action"} {
			if !strings.Contains(policy, directive+" ") {
				policy += "; " + directive + " 'none'"
			}
		}
		w.Header().Set("Content-Security-Policy", policy)
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
		name = host
	}
	name = hostName(name)
	if addr, err := netip.ParseAddr(name); err == nil && addr.IsLoopback() {
		return true
	}
	return name == "localhost" || slices.Contains(s.opts.Hosts, name)
}

// hostName is a host as it is compared: without the brackets of an address and the
// dot of the root, addresses in their shortest form.
func hostName(host string) string {
	name := strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "."))
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.String()
	}
	return name
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// foreign reports whether a page of another site makes the browser ask (Fetch
// Metadata, and the Origin of the Fetch standard for browsers that lack it).
// Programs that are no browsers say neither.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default: // another site, or another port of this host
		if r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document" {
			return true
		}
	}
	origin := r.Header.Get("Origin")
	at, err := url.Parse(origin)
	return origin != "" && (err != nil || at.Host != r.Host)
}
