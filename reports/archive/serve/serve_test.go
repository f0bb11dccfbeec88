package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/archive"
	"plumbline/reports/archive/archivetest"
	"plumbline/reports/events"
)

// patience is how long a test waits for what must come, on however busy a machine.
const patience = time.Minute

// newServer shows a store, which it looks at anew for each request.
func newServer(t *testing.T, keep *archivetest.Store) *Server {
	t.Helper()
	s, err := New(keep.Root, Options{Refresh: time.Nanosecond, Poll: time.Millisecond, Hosts: []string{"bench.example"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, s *Server, method, host, at string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://"+host+at, nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestOnlyThisMachine: a page of the web whose name leads here gets nothing.
func TestOnlyThisMachine(t *testing.T) {
	s := newServer(t, archivetest.New(t))
	for host, want := range map[string]int{
		"localhost:80": 200, "127.0.0.1:80": 200, "127.8.9.1": 200, "[::1]:80": 200, "LOCALHOST": 200, "localhost.": 200, "bench.example:8099": 200,
		"evil.example:80": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "10.0.0.1": 421, "0.0.0.0:80": 421, "[::]": 421,
	} {
		if got := get(t, s, http.MethodGet, host, "/"); got.StatusCode != want {
			t.Errorf("host %q: %d, want %d", host, got.StatusCode, want)
		}
	}
}

func TestOnlyReading(t *testing.T) {
	s := newServer(t, archivetest.New(t))
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodPut: 405, http.MethodDelete: 405, http.MethodOptions: 405} {
		got := get(t, s, method, "localhost", "/")
		if got.StatusCode != want || method == http.MethodHead && body(t, got) != "" {
			t.Errorf("%s: %d, want %d", method, got.StatusCode, want)
		}
	}
}

// TestEveryAnswerHasAPolicy: pages keep what they state and run nothing else, and what
// is no page runs nothing at all.
func TestEveryAnswerHasAPolicy(t *testing.T) {
	keep := archivetest.New(t)
	keep.Play([]float64{1, 2}, nil)
	s := newServer(t, keep)
	for at, want := range map[string]int{
		"/": 200, "/index.html": 200, "/feed.xml": 200, "/search.json": 200, "/systems/bridged.ci/": 200, "/systems/bridged.ci/badge.svg": 200, "/runs/run0001/index.html": 200,
		"/nothing": 404, "/../../etc/passwd": 404, "/runs/..%2f..%2fx": 404, "/live/none/": 404, "/live/": 404,
	} {
		got := get(t, s, http.MethodGet, "localhost", at)
		policy := got.Header.Get("Content-Security-Policy")
		if got.StatusCode != want {
			t.Errorf("%s: %d, want %d", at, got.StatusCode, want)
		}
		if !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "script-src 'unsafe") || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: policy %q", at, policy)
		}
		if text := body(t, got); want == 200 && text == "" {
			t.Errorf("%s is empty", at)
		}
	}
}

func TestTheStoreIsFollowed(t *testing.T) {
	keep := archivetest.New(t)
	s := newServer(t, keep)
	if text := body(t, get(t, s, http.MethodGet, "localhost", "/")); !strings.Contains(text, "no run that can be used") {
		t.Error("an empty store shows something")
	}
	dir := keep.Put("", keep.Run(1, nil))
	if text := body(t, get(t, s, http.MethodGet, "localhost", "/")); !strings.Contains(text, "run0001") {
		t.Error("a new run is not shown")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, http.MethodGet, "localhost", "/runs/run0001/index.html"); got.StatusCode != http.StatusNotFound {
		t.Errorf("a run that is gone: %d", got.StatusCode)
	}
}

// going is a run under way, whose events the test writes.
type going struct {
	t   *testing.T
	dir string
	seq int
}

func newGoing(t *testing.T, keep *archivetest.Store, name string) *going {
	t.Helper()
	dir := filepath.Join(keep.Root, name)
	if err := errors.Join(os.MkdirAll(dir, 0o750), os.WriteFile(filepath.Join(dir, "events.jsonl"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return &going{t: t, dir: dir}
}

func (g *going) write(text string) {
	g.t.Helper()
	f, err := os.OpenFile(filepath.Join(g.dir, "events.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// event writes one event with its members as JSON.
func (g *going) event(kind, members string) {
	g.t.Helper()
	g.seq++
	g.write(fmt.Sprintf(`{"time":"2026-11-26T16:00:00Z","seq":%d,"kind":%q,%s}`+"\n", g.seq, kind, members))
}

const began = `"total":1,"run":{"format":"plumbline.events/v1","id":"run0001","sut":"<script>alert(1)</script> v1","profile":"ci","seed":7,"certifying":true,` +
	`"scenarios":[{"id":"steady","title":"keeps latency","requirements":["LAT-02"],"expected_s":9}],"expected_s":9}`

// follow opens the stream of a run and returns its events as "name: text".
func follow(t *testing.T, address string) (next func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("stream: %d %s", answer.StatusCode, kind)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return func() string {
		name := ""
		for lines.Scan() {
			if after, found := strings.CutPrefix(lines.Text(), "event: "); found {
				name = after
			}
			if after, found := strings.CutPrefix(lines.Text(), "data: "); found {
				var text string
				if err := json.Unmarshal([]byte(after), &text); err != nil {
					t.Fatal(err)
				}
				return name + ": " + text
			}
		}
		return fmt.Sprintf("the stream ended: %v", lines.Err())
	}
}

// until reads on until an event holds a text; everything read must be inert.
func until(t *testing.T, next func() string, want string) string {
	t.Helper()
	for {
		got := next()
		if strings.Contains(got, "<script") {
			t.Fatalf("markup of the system's name: %s", got)
		}
		if strings.Contains(got, want) {
			return got
		}
		if strings.HasPrefix(got, "the stream ended") {
			t.Fatalf("waiting for %q: %s", want, got)
		}
	}
}

// TestARunIsFollowed: what a run tells is shown while it goes on, half a line waits for
// its end, and when it has ended the browser is led to the report.
func TestARunIsFollowed(t *testing.T) {
	keep := archivetest.New(t)
	g := newGoing(t, keep, "going on")
	s := newServer(t, keep)
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	front := body(t, get(t, s, http.MethodGet, "localhost", "/"))
	_, link, _ := strings.Cut(front, `href="live/`)
	link, _, found := strings.Cut(link, `"`)
	if !found {
		t.Fatalf("the front page leads to no run that goes on:\n%s", front)
	}
	next := follow(t, web.URL+"/live/"+link+"events")
	until(t, next, "Not begun yet")
	g.event("run-began", began)
	until(t, next, "0 of 1")
	g.event("scenario-began", `"scenario":"steady","title":"keeps latency","index":1,"total":1`)
	until(t, next, "keeps latency")
	g.write(`{"time":"2026-11-26T16:00:00Z","seq":3,"kind":"step-be`)
	g.write(`gan","scenario":"steady","step":"measure"}` + "\n" + "no event\n")
	until(t, next, "keeps latency: measure")
	g.event("figures", `"scenario":"steady","figures":{"p50_ms":1.5,"p99_ms":null,"n":9,"window_s":10,"sent":100,"acked":99,"received":198,"sent_per_s":100,"received_per_s":200,"viewers":2,"viewers_connected":1,"devices":5}`)
	until(t, next, "1.5 ms")
	if page := body(t, get(t, s, http.MethodGet, "localhost", "/live/"+link)); !strings.Contains(page, "1.5 ms") || strings.Contains(page, "<script>alert") {
		t.Errorf("the page without the stream:\n%s", page)
	}
	g.event("scenario-finished", `"scenario":"steady","title":"keeps latency","index":1,"total":1,"verdict":"FAIL","took_s":9,"results":[{"requirement":"LAT-02","verdict":"FAIL","headline":"9 s, limit 1 s","attempt":1}]`)
	until(t, next, "9 s, limit 1 s")
	g.event("run-ended", `"verdict":"FAIL","exit":1,"counts":{"FAIL":1}`)
	until(t, next, "The reports are being written")
	keep.Put("going on", keep.Run(1, func(r *reports.Run) { r.Results[0].Verdict = reports.Fail }))
	if got := until(t, next, "end: "); got != "end: ../../runs/run0001/index.html" {
		t.Errorf("the end is %q", got)
	}
	if got := get(t, s, http.MethodGet, "localhost", "/runs/run0001/index.html"); got.StatusCode != http.StatusOK {
		t.Errorf("its report: %d", got.StatusCode)
	}
}

// TestFollowersAreBounded: a store does not hold more streams than it has room for, and
// a client that leaves makes room.
func TestFollowersAreBounded(t *testing.T) {
	keep := archivetest.New(t)
	newGoing(t, keep, "going")
	s := newServer(t, keep)
	for range maxStreams {
		s.streams <- struct{}{}
	}
	if got := get(t, s, http.MethodGet, "localhost", "/live/going/events"); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one more: %d", got.StatusCode)
	}
	<-s.streams
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/live/going/events", nil))
	if len(s.streams) != maxStreams-1 {
		t.Errorf("%d streams are held after a client left", len(s.streams))
	}
}

// TestServeStops: when its context ends it stops at once, also with a client that
// follows a run.
func TestServeStops(t *testing.T) {
	keep := archivetest.New(t)
	newGoing(t, keep, "going")
	s := newServer(t, keep)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	next := follow(t, "http://"+listener.Addr().String()+"/live/going/events")
	until(t, next, "Not begun yet")
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("still serving a minute after its context ended")
	}
	if got := next(); !strings.HasPrefix(got, "the stream ended") {
		t.Errorf("the stream goes on: %s", got)
	}
}

func TestNoStoreIsSaid(t *testing.T) {
	if _, err := New(filepath.Join(t.TempDir(), "missing"), Options{}); !errors.Is(err, archive.ErrNoStore) {
		t.Errorf("%v", err)
	}
}

// TestFollowerBeginsAnew: a file that became shorter is the course of another run.
func TestFollowerBeginsAnew(t *testing.T) {
	keep := archivetest.New(t)
	g := newGoing(t, keep, "going")
	f := &follower{path: filepath.Join(g.dir, "events.jsonl")}
	begun := func(when string, seen int, want bool) int {
		t.Helper()
		shown, has := false, false
		now, err := f.look(seen, func(s *events.State) error { shown, has = true, s.Run != nil; return nil })
		if err != nil || shown != (now != seen) || shown && has != want {
			t.Fatalf("%s: %v, version %d after %d, shown %v, begun %v", when, err, now, seen, shown, has)
		}
		return now
	}
	g.event("run-began", began)
	first := begun("one event", -1, true)
	if again := begun("nothing new", first, true); again != first {
		t.Errorf("nothing new: version %d after %d", again, first)
	}
	if err := os.Truncate(f.path, 0); err != nil {
		t.Fatal(err)
	}
	if now := begun("begun anew", first, false); now == first {
		t.Error("another run is the same version")
	}
	g.write(strings.Repeat("x", maxLine+1))
	if begun("a line without end", -1, false); len(f.rest) != 0 {
		t.Errorf("a line without end: %d bytes are kept", len(f.rest))
	}
}

// TestALongCourseIsReadWhole: the page of a run that has told much shows the last
// that it told, at the first look.
func TestALongCourseIsReadWhole(t *testing.T) {
	keep := archivetest.New(t)
	g := newGoing(t, keep, "going")
	g.event("run-began", began)
	g.write(strings.Repeat(strings.Repeat("x", 1023)+"\n", 20<<10)) // 20 MiB of what a later version says
	g.event("scenario-began", `"scenario":"steady","title":"keeps latency","index":1,"total":1`)
	if text := body(t, get(t, newServer(t, keep), http.MethodGet, "localhost", "/live/going/")); !strings.Contains(text, "keeps latency") {
		t.Errorf("the page does not know of the last event:\n%s", text)
	}
}

// TestOtherSitesMayLinkOnly: a page of another site, or of another port of this host,
// gets nothing; a link that somebody follows and a program that is no browser do.
func TestOtherSitesMayLinkOnly(t *testing.T) {
	s := newServer(t, archivetest.New(t))
	for _, c := range []struct {
		name   string
		header map[string]string
		want   int
	}{
		{"a program", nil, 200},
		{"typed by somebody", map[string]string{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		{"our own page", map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Origin": "http://localhost:8099"}, 200},
		{"a link", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		{"a frame", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403},
		{"an image", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403},
		{"another port", map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 403},
		{"an old browser, another origin", map[string]string{"Origin": "http://localhost:3000"}, 403},
		{"an old browser, no origin to name", map[string]string{"Origin": "null"}, 403},
		{"an old browser, our own page", map[string]string{"Origin": "http://localhost:8099"}, 200},
	} {
		for _, at := range []string{"/", "/search.json"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8099"+at, nil)
			for name, value := range c.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != c.want {
				t.Errorf("%s asks for %s: %d, want %d", c.name, at, w.Code, c.want)
			}
		}
	}
}

// TestHostsAreNamesAlone: what could never fit a request is refused at the start.
func TestHostsAreNamesAlone(t *testing.T) {
	root := t.TempDir()
	for _, host := range []string{"", "bench.example:8099", "http://bench.example", "a b", "[::1]:80", "user@bench.example"} {
		if _, err := New(root, Options{Hosts: []string{host}}); !errors.Is(err, ErrHost) {
			t.Errorf("host %q: %v", host, err)
		}
	}
	s, err := New(root, Options{Hosts: []string{"Bench.Example.", "[2001:db8:0::1]", "192.0.2.7"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"bench.example", "BENCH.example.:80", "[2001:db8::1]:80", "192.0.2.7:1"} {
		if got := get(t, s, http.MethodGet, host, "/"); got.StatusCode != http.StatusOK {
			t.Errorf("host %q: %d", host, got.StatusCode)
		}
	}
}
