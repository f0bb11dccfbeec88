package bridge

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// follower is a viewer that speaks HTTP, each with a connection of its own.
type follower struct {
	r     *running
	t     testing.TB
	token string
	http  *http.Client
}

func (r *running) follower(change map[string]any) *follower {
	r.t.Helper()
	transport := &http.Transport{TLSClientConfig: r.tls(), ForceAttemptHTTP2: r.cfg.Viewers.HTTP2}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &follower{r: r, t: r.t, token: r.token(change), http: &http.Client{Transport: transport}}
}

// get asks with the token and extra header fields, given as name and value in turn. The answer's body ends after several
// times the patience, so that no wait for something else is over just because of that.
func (f *follower) get(path string, query url.Values, header ...string) *http.Response {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	f.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+f.r.b.Addresses().Viewers+path+"?"+query.Encode(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := f.http.Do(req)
	if err != nil {
		f.t.Fatalf("%s: %v", path, err)
	}
	return resp
}

// refused asks and wants the status and the word of the refusal, and a detail that says what to do.
func (f *follower) refused(status int, word, path string, query url.Values, header ...string) {
	f.t.Helper()
	resp := f.get(path, query, header...)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	var body struct{ Error, Detail string }
	if err := json.Unmarshal(raw, &body); err != nil || resp.StatusCode != status || body.Error != word {
		f.t.Errorf("%s?%s: %d %s (%v), want %d %s", path, query.Encode(), resp.StatusCode, raw, err, status, word)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		f.t.Errorf("%s: a refusal may be stored", path)
	}
}

// polled is the answer to a poll.
type polled struct {
	message
	More     bool      `json:"more"`
	Head     uint64    `json:"head"`
	Gap      *message  `json:"gap"`
	Snapshot []reading `json:"snapshot"`
}

func (f *follower) poll(query url.Values) (p polled) {
	f.t.Helper()
	resp := f.get("/poll", query)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		f.t.Fatalf("poll %s: %d %s (%v)", query.Encode(), resp.StatusCode, raw, err)
	}
	return p
}

// polling polls beside the test; the function that it returns waits for the answer. A poll that failed ends the test there.
func (f *follower) polling(query url.Values) (answer func() polled) {
	got := make(chan polled, 1)
	go func() {
		defer close(got) // also when the poll fails the test, which ends this goroutine only
		got <- f.poll(query)
	}()
	return func() polled {
		f.t.Helper()
		a, ok := <-got
		if !ok {
			f.t.FailNow()
		}
		return a
	}
}

// at spells a cursor.
func at(epoch string, offset uint64) string { return epoch + ":" + strconv.FormatUint(offset, 10) }

func filter(f string, more ...string) url.Values {
	q := url.Values{"filter": {f}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q
}

// event is one server-sent event, read as the HTML standard says (section 9.2.6). A comment is an event of its own here.
type event struct {
	message
	kind, id, comment, retry string
	data                     string
}

// events is an open stream.
type events struct {
	f      *follower
	resp   *http.Response
	lines  *bufio.Scanner
	lastID string // as the browser would send it when it comes back
}

// events opens a stream; header fields as in get.
func (f *follower) events(query url.Values, header ...string) *events {
	f.t.Helper()
	resp := f.get("/sse", query, append([]string{"Accept", "text/event-stream"}, header...)...)
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		f.t.Fatalf("sse %s: %d %q", query.Encode(), resp.StatusCode, kind)
	}
	f.t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return &events{f: f, resp: resp, lines: lines}
}

// next returns the next event, or false at the end of the stream.
func (e *events) next() (ev event, ok bool) {
	e.f.t.Helper()
	for e.lines.Scan() {
		name, value, _ := strings.Cut(e.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case e.lines.Text() == "":
			if ev.id != "" {
				e.lastID = ev.id
			}
			if ev.data != "" {
				if err := json.Unmarshal([]byte(ev.data), &ev.message); err != nil {
					e.f.t.Fatalf("event %s: %v in %s", ev.kind, err, ev.data)
				}
			}
			return ev, true
		case name == "":
			ev.comment = value
		case name == "event":
			ev.kind = value
		case name == "id":
			ev.id = value
		case name == "retry":
			ev.retry = value
		case name == "data":
			ev.data += value
		}
	}
	return ev, false
}

// want reads until an event of the kind.
func (e *events) want(kind string) event {
	e.f.t.Helper()
	for {
		ev, ok := e.next()
		if !ok {
			e.f.t.Fatalf("the stream ended while waiting for %s: %v", kind, e.lines.Err())
		}
		if ev.kind == kind {
			return ev
		}
	}
}

// wantEnd reads until the stream has ended by itself, and returns the last event.
func (e *events) wantEnd() (last event) {
	e.f.t.Helper()
	for {
		ev, ok := e.next()
		if !ok {
			if err := e.lines.Err(); err != nil {
				e.f.t.Errorf("the stream broke off: %v", err)
			}
			return last
		}
		last = ev
	}
}

// collect reads batches until n readings, checking the chain from cursor and that each id is its end.
func (e *events) collect(n int, epoch string, cursor uint64) (out []reading, reached uint64) {
	e.f.t.Helper()
	for len(out) < n {
		b := e.want("batch")
		if b.From != cursor || b.To < b.From || b.Epoch != epoch || b.id != at(epoch, b.To) {
			e.f.t.Fatalf("batch %q (%d,%d] of %s after cursor %d of %s: the chain is broken", b.id, b.From, b.To, b.Epoch, cursor, epoch)
		}
		cursor = b.To
		out = append(out, b.Readings...)
	}
	return out, cursor
}

// open returns how many HTTP viewers of a kind are there.
func (r *running) openHTTP(kind string) float64 {
	r.t.Helper()
	var m dto.Metric
	if err := r.b.m.HTTPStreams.WithLabelValues(kind).Write(&m); err != nil {
		r.t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}
