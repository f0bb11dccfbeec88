package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// historyAnswer is any answer of the history API.
type historyAnswer struct {
	Cursor struct {
		Epoch  string `json:"epoch"`
		Offset uint64 `json:"offset"`
	} `json:"cursor"`
	Next   string `json:"next"`
	Detail string `json:"detail"`
	Points []struct {
		O uint64  `json:"o"`
		V float64 `json:"v"`
	} `json:"points"`
	Events []struct {
		Topic   string `json:"topic"`
		Payload string `json:"payload"`
		Base64  string `json:"base64"`
	} `json:"events"`
	Series []struct {
		Topic string `json:"topic"`
	} `json:"series"`
}

// history asks the history API with a token, "" for none, and wants the status.
func (r *running) history(token string, status int, route string, query url.Values) (a historyAnswer, raw []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "https://"+r.b.Addresses().Viewers+"/api/v1/history/"+route+"?"+query.Encode(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: r.tls()}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if raw, err = io.ReadAll(resp.Body); err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != status {
		r.t.Fatalf("%s: status %d, want %d: %s", route, resp.StatusCode, status, raw)
	}
	if status == http.StatusOK {
		if err := json.Unmarshal(raw, &a); err != nil {
			r.t.Fatalf("%v in %s", err, raw)
		}
	}
	return a, raw
}

// stored waits until the history holds what the journal does.
func (r *running) stored() {
	r.t.Helper()
	eventually.Must(r.t, "the history to hold the journal", func() bool {
		n, _ := r.b.sink.Lag()
		return n == 0 && r.b.sink.Store() != nil
	})
}

func span(more ...string) url.Values {
	v := url.Values{"from": {"2026-01-01T00:00:00Z"}, "to": {"9999-01-01T00:00:00Z"}}
	for i := 0; i < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

// A page loads a range and goes on live from the answer's cursor: every message once, while messages keep coming.
func TestHistoryJoinsLive(t *testing.T) {
	r := run(t, func(c *Config) { c.History.Flush = config.Duration(10 * time.Millisecond) })
	p := r.publisher("dev")
	const n = 600
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			if err := send(p, "plant/1", fmt.Sprint(i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer wg.Wait()
	eventually.Must(t, "some history", func() bool { return r.b.sink.Store() != nil && r.b.journal.Head().Offset > 100 })
	token := r.token(nil)
	var values []string
	var a historyAnswer
	for next := ""; ; next = a.Next {
		q := span("topic", "plant/1", "limit", "50")
		if next != "" {
			q.Set("page", next)
		}
		a, _ = r.history(token, http.StatusOK, "range", q)
		for _, x := range a.Points {
			values = append(values, fmt.Sprint(x.V))
		}
		if a.Next == "" {
			break
		}
	}
	loaded := len(values)
	v := r.open(nil)
	ok := v.sub(1, "plant/1", map[string]any{"mode": "all", "since": a.Cursor})
	if !ok.Recovered || ok.Offset != a.Cursor.Offset {
		t.Fatalf("subok %+v after cursor %+v", ok, a.Cursor)
	}
	rest, _ := v.collect(n-loaded, ok.Offset)
	for _, x := range rest {
		values = append(values, x.Payload)
	}
	for i, got := range values {
		if got != fmt.Sprint(i) {
			t.Fatalf("value %d is %s (%d came from history)", i, got, loaded)
		}
	}
	t.Logf("%d of %d came from history", loaded, n)
}

// N47 on a running bridge: no token, a bad one, a revoked one and one without the grant read nothing.
func TestN47HistoryNeedsAGoodToken(t *testing.T) {
	revoked := filepath.Join(t.TempDir(), "revoked")
	if err := os.WriteFile(revoked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, func(c *Config) { c.Auth.RevocationFile = revoked })
	r.publish(r.publisher("dev"), "plant/1", "1")
	r.stored()
	everything := url.Values{"filter": {"#"}}
	anna := r.token(map[string]any{"sub": "anna"})
	if a, _ := r.history(anna, http.StatusOK, "topics", everything); len(a.Series) != 1 {
		t.Errorf("series %+v", a.Series)
	}
	for name, token := range map[string]string{
		"none": "", "not a token": "x", "expired": r.token(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), "other audience": r.token(map[string]any{"aud": "else"}),
	} {
		if _, raw := r.history(token, http.StatusUnauthorized, "topics", everything); strings.Contains(string(raw), "plant") {
			t.Errorf("%s: %s", name, raw)
		}
	}
	r.history(r.token(map[string]any{"grants": map[string]any{"live": []string{"#"}}}), http.StatusForbidden, "topics", everything)
	r.history(r.token(map[string]any{"grants": []string{"plant/2"}}), http.StatusForbidden, "range", span("topic", "plant/1"))
	if err := os.WriteFile(revoked, []byte("sub:anna\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the revocation to be read", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/history/topics?filter=%23", nil)
		if err != nil {
			t.Fatal(err)
		}
		w := &statusOnly{header: http.Header{}}
		req.Header.Set("Authorization", "Bearer "+anna)
		r.b.asked.ServeHTTP(w, req)
		return w.status == http.StatusUnauthorized
	})
	r.history(anna, http.StatusUnauthorized, "topics", everything)
}

// statusOnly is a ResponseWriter that keeps the status.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

// N98: what a publisher sends is stored and shown, and no log line is made or broken by it.
func TestN98HostilePayloadsStayInert(t *testing.T) {
	var log lockedBuffer
	c := testConfig(t.TempDir())
	b, err := New(Options{Config: c, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, b, c)
	payloads := []string{"<script>alert(1)</script>", "\x1b[2J\x1b]0;owned\x07", "%s%n%d{}", "x\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}", `{"<img src=x>":1,"\u001b[1m":2}`}
	p := r.publisher("dev-\u202e<b>%s")
	for _, payload := range payloads {
		r.publish(p, "plant/<script>%s", payload)
	}
	r.stored()
	_, raw := r.history(r.token(nil), http.StatusOK, "events", span("filter", "#"))
	_, list := r.history(r.token(nil), http.StatusOK, "topics", url.Values{"filter": {"#"}})
	for _, never := range []string{"<script", "<img", "\x1b", "\x07"} {
		if bytes.Contains(raw, []byte(never)) || bytes.Contains(list, []byte(never)) {
			t.Errorf("an answer holds %q as it is", never)
		}
	}
	if !bytes.Contains(list, []byte(`\u003cimg src=x\u003e`)) || bytes.Contains(list, []byte(`\u001b`)) {
		t.Errorf("fields: %s", list)
	}
	r.drain()
	for line := range strings.SplitSeq(strings.TrimSpace(log.String()), "\n") {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil || one["msg"] == "forged" || strings.ContainsAny(line, "\x1b\x07\r") {
			t.Errorf("the log line %q: %v", line, err)
		}
		for _, payload := range payloads {
			if strings.Contains(line, payload) {
				t.Errorf("the log holds a payload: %q", line)
			}
		}
	}
}

// lockedBuffer is a bytes.Buffer that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A store that cannot be opened keeps nothing from working; the history says so, and the metrics.
func TestBridgeWorksWithoutItsHistory(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, historyFile), 0o700); err != nil { // a folder where the file should be
		t.Fatal(err)
	}
	r := run(t, func(c *Config) { c.Data = dir })
	p := r.publisher("dev")
	v := r.open(nil)
	ok := v.sub(1, "#", map[string]any{"mode": "all"})
	for i := range 20 {
		r.publish(p, "plant/1", fmt.Sprint(i))
	}
	v.collect(20, ok.Offset)
	if n, age := r.b.sink.Lag(); n != 20 || age <= 0 {
		t.Errorf("lag %d, %s", n, age)
	}
	r.history(r.token(nil), http.StatusServiceUnavailable, "topics", url.Values{"filter": {"#"}})
}

func TestHistoryOff(t *testing.T) {
	r := run(t, func(c *Config) { c.History.Store = "off" })
	r.publish(r.publisher("dev"), "plant/1", "1")
	r.history(r.token(nil), http.StatusNotFound, "topics", url.Values{"filter": {"#"}})
	if _, err := os.Stat(filepath.Join(r.cfg.Data, historyFile)); !os.IsNotExist(err) {
		t.Errorf("a history file: %v", err)
	}
}

// TestHistoryRefusesAsTheGateDoes: a client learns whether to mend its request, get another token or wait.
func TestHistoryRefusesAsTheGateDoes(t *testing.T) {
	r := run(t, func(c *Config) { c.Auth.FreeFailures = 1 })
	const path = "/api/v1/history/topics?filter=%23"
	tok := r.token(operator())
	for _, tc := range []struct {
		name, path string
		header     []string
		status     int
		reason     string
	}{
		{"nothing", path, nil, http.StatusUnauthorized, "missing"},
		{"another page", path, []string{"Authorization", "Bearer " + tok, "Origin", "https://evil.example"}, http.StatusForbidden, "origin"},
		{"in the URL", path + "&access_token=" + tok, nil, http.StatusBadRequest, "token-in-url"},
		{"two", path, []string{"Authorization", "Bearer " + tok, "Authorization", "Bearer " + tok}, http.StatusBadRequest, "credentials"},
		{"one bad", path, []string{"Authorization", "Bearer a.b.c"}, http.StatusUnauthorized, "header"},
		{"another bad", path, []string{"Authorization", "Bearer a.b.c"}, http.StatusUnauthorized, "header"},
		{"a good one too soon", path, []string{"Authorization", "Bearer " + tok}, http.StatusTooManyRequests, "throttled"},
	} {
		resp := r.ask(http.MethodGet, tc.path, "", tc.header...)
		raw, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != tc.status || !strings.Contains(string(raw), tc.reason) || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s (%v), want %d %s", tc.name, resp.StatusCode, raw, err, tc.status, tc.reason)
		}
		if resp.Header.Get("WWW-Authenticate") == "" && tc.status == http.StatusUnauthorized || resp.Header.Get("Retry-After") == "" && tc.status == http.StatusTooManyRequests {
			t.Errorf("%s: headers %v", tc.name, resp.Header)
		}
	}
}

// TestHistoryHeadersReachPages: what an answer says in headers of its own a page of another origin may read.
func TestHistoryHeadersReachPages(t *testing.T) {
	r := run(t, nil)
	r.publish(r.publisher("dev"), "a", "1")
	r.stored()
	resp := r.ask(http.MethodGet, "/api/v1/history/topics?filter=%23", "", "Authorization", "Bearer "+r.token(nil), "Origin", goodPage)
	exposed := strings.Split(resp.Header.Get("Access-Control-Expose-Headers"), ", ")
	own := 0
	for name := range resp.Header {
		if strings.HasPrefix(name, "Plumbline-") || name == "Etag" {
			own++
			if !slices.ContainsFunc(exposed, func(e string) bool { return strings.EqualFold(e, name) }) {
				t.Errorf("%s is not exposed: %v", name, exposed)
			}
		}
	}
	if resp.StatusCode != http.StatusOK || own < 3 {
		t.Errorf("%d with %v", resp.StatusCode, resp.Header)
	}
}
