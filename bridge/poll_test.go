package bridge

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
)

// TestPollPages: each answer takes at most limit readings and says whether more are there; the pages make one chain.
func TestPollPages(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	f := r.follower(nil)
	begin := f.poll(filter("a"))
	if begin.Recovered || begin.Reason != "no-cursor" || begin.From != begin.To || len(begin.Readings) != 0 {
		t.Fatalf("%+v, want the present and no reading", begin)
	}
	const total = 25
	for i := range total {
		r.publish(p, "a", strconv.Itoa(i))
		r.publish(p, "b", "of no interest")
	}
	eventually.Must(t, "the hub to have all", func() bool { return r.b.hub.Stats().Position == begin.To+2*total })
	cursor, n := begin.To, 0
	for _, want := range []int{10, 10, 5} {
		a := f.poll(filter("a", "limit", "10", "since", at(begin.Epoch, cursor)))
		if !a.Recovered || a.From != cursor || a.Epoch != begin.Epoch || len(a.Readings) != want || a.Head != begin.To+2*total || a.Gap != nil {
			t.Fatalf("%+v after %d, want %d readings", a, cursor, want)
		}
		if a.More != (want == 10) {
			t.Errorf("more is %v after %d of %d", a.More, n+want, total)
		}
		for _, g := range a.Readings {
			if g.Payload != strconv.Itoa(n) || g.O <= cursor || g.O > a.To {
				t.Fatalf("reading %d is %+v in (%d,%d]", n, g, a.From, a.To)
			}
			n++
		}
		cursor = a.To
	}
	if a := f.poll(filter("a", "since", at(begin.Epoch, cursor))); len(a.Readings) != 0 || a.More || a.From != cursor {
		t.Errorf("%+v after the last page", a)
	}
}

// TestLongPollWakes: the answer comes with the reading and not with the end of the wait, which is longer than this test has.
func TestLongPollWakes(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	f := r.follower(nil)
	cursor := f.poll(filter("a"))
	for i := range 5 {
		answer := f.polling(filter("a", "wait", "30s", "since", at(cursor.Epoch, cursor.To)))
		eventually.Must(t, "the poll to wait", func() bool { return r.openHTTP("poll") == 1 })
		r.publish(p, "b", "does not wake it")
		r.publish(p, "a", strconv.Itoa(i))
		a := answer()
		if a.From != cursor.To || len(a.Readings) != 1 || a.Readings[0].Payload != strconv.Itoa(i) {
			t.Fatalf("%+v after %d, want reading %d", a, cursor.To, i)
		}
		cursor = a
		eventually.Must(t, "the poll to end", func() bool { return r.openHTTP("poll") == 0 })
	}
	if a := f.poll(filter("a", "wait", "50ms", "since", at(cursor.Epoch, cursor.To))); len(a.Readings) != 0 || a.From != cursor.To {
		t.Errorf("%+v when nothing came", a)
	}
}

// TestPollSnapshot: the last values at the cursor from which the next poll goes on.
func TestPollSnapshot(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	for i := range 5 {
		r.publish(p, fmt.Sprintf("s/%d", i), strings.Repeat("x", 20_000))
	}
	r.publish(p, "s/secret", "hidden")
	f := r.follower(map[string]any{"denies": map[string]any{"snapshot": []string{"s/secret", "s/0"}}})
	a := f.poll(filter("s/#", "snapshot", "true"))
	if len(a.Snapshot) != 4 || a.From != a.To || len(a.Readings) != 0 {
		t.Fatalf("%d values in (%d,%d], want 4", len(a.Snapshot), a.From, a.To)
	}
	r.publish(p, "s/1", "next")
	b := f.poll(filter("s/#", "snapshot", "true", "wait", "10s", "since", at(a.Epoch, a.To)))
	if b.Snapshot != nil || len(b.Readings) != 1 || b.Readings[0].Payload != "next" || b.From != a.To {
		t.Errorf("%+v, want the next reading and no snapshot", b)
	}
}

// TestPollDeclaresWhatIsGone: a viewer that comes too late learns how much it misses.
func TestPollDeclaresWhatIsGone(t *testing.T) {
	r := run(t, func(c *Config) {
		c.Journal.SegmentBytes, c.Journal.RetainBytes, c.Journal.TailBytes = 64<<10, 128<<10, 64<<10
	})
	p := r.publisher("dev")
	f := r.follower(nil)
	begin := f.poll(filter("a"))
	eventually.Must(t, "the journal to let go of its beginning", func() bool {
		r.publish(p, "a", strings.Repeat("x", 20_000))
		return r.b.journal.First() > begin.To+1
	})
	a := f.poll(filter("a", "since", at(begin.Epoch, begin.To)))
	if a.Recovered || a.Reason != "evicted" || a.Gap == nil || a.Gap.From != begin.To || a.Gap.To != a.To || a.From != begin.To || a.Gap.Count != a.To-a.From {
		t.Errorf("%+v with gap %+v, want all after %d declared missing", a, a.Gap, begin.To)
	}
}

// TestN92PollCursors: never a guess, never other data.
func TestN92PollCursors(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	for i := range 5 {
		r.publish(p, "a", strconv.Itoa(i))
	}
	f := r.follower(nil)
	epoch := f.poll(filter("a")).Epoch
	for since, reason := range map[string]string{
		"": "no-cursor", ":3": "no-cursor", epoch: "no-cursor", epoch + ":": "no-cursor", epoch + ":-1": "no-cursor", epoch + ":1.5": "no-cursor",
		epoch + ":1e3": "no-cursor", epoch + ":+1": "no-cursor", epoch + ":01": "no-cursor", epoch + ":99999999999999999999": "no-cursor",
		epoch + ":6": "ahead", "of another journal:1": "epoch",
	} {
		if a := f.poll(filter("a", "since", since)); a.Recovered || a.Reason != reason || len(a.Readings) != 0 || a.To > 5 {
			t.Errorf("since %q: %+v, want not recovered for %q", since, a, reason)
		}
		e := f.events(filter("a"), "Last-Event-ID", since)
		if ok := e.want("subok"); ok.Recovered || ok.Reason != reason {
			t.Errorf("Last-Event-ID %q: %+v, want not recovered for %q", since, ok, reason)
		}
		_ = e.resp.Body.Close()
	}
	if a := f.poll(filter("a", "since", epoch+":5")); !a.Recovered {
		t.Errorf("the head itself: %+v", a)
	}
}

// TestHTTPRefusals: what does not fit is refused with what is wrong, before anything is done.
func TestHTTPRefusals(t *testing.T) {
	r := run(t, nil)
	f := r.follower(map[string]any{"grants": map[string]any{"live": []string{"a/#"}}})
	for _, path := range []string{"/sse", "/poll"} {
		for _, tc := range []struct {
			status int
			word   string
			query  url.Values
		}{
			{400, "filter", url.Values{}},
			{400, "filter", filter("a/#/b")},
			{400, "filter", filter("a" + strings.Repeat("/", 200))},
			{400, "filter", url.Values{"filter": {"a/1", "a/2"}}},
			{400, "snapshot", filter("a/1", "snapshot", "yes")},
			{400, "query", filter("a/1", "sincee", "x")},
			{403, "forbidden", filter("#")},
			{403, "forbidden", filter("b")},
			{403, "forbidden", filter("a/1", "snapshot", "true")},
		} {
			f.refused(tc.status, tc.word, path, tc.query)
		}
	}
	for name, bad := range map[string][]string{"wait": {"5", "-1s", "31s", "forever"}, "limit": {"0", "-1", "10001", "1.5", "all"}} {
		for _, text := range bad {
			f.refused(400, name, "/poll", filter("a/1", name, text))
		}
	}
	f.refused(400, "query", "/sse", filter("a/1", "wait", "5s"))
	stranger := *f
	stranger.token = "x"
	for _, path := range []string{"/sse", "/poll"} {
		resp := stranger.get(path, filter("a/1"))
		if _ = resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a good token: %d", path, resp.StatusCode)
		}
	}
}

// TestN46BacklogOverHTTP: what the access list denies comes neither live nor from before.
func TestN46BacklogOverHTTP(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	f := r.follower(map[string]any{"denies": []string{"a/secret"}})
	begin := f.poll(filter("a/#"))
	e := f.events(filter("a/#"))
	ok := e.want("subok")
	for i := range 10 {
		r.publish(p, "a/secret", "hidden")
		r.publish(p, "a/open", strconv.Itoa(i))
	}
	live, _ := e.collect(10, ok.Epoch, ok.Offset)
	backlog := f.poll(filter("a/#", "wait", "10s", "since", at(begin.Epoch, begin.To))).Readings
	for _, got := range [][]reading{live, backlog} {
		for i, g := range got {
			if g.Topic != "a/open" || g.Payload != strconv.Itoa(i) {
				t.Errorf("reading %d is %+v", i, g)
			}
		}
	}
}

// TestN71HTTPLimits: in all, of one address and of one subject; a place is free again when its request ends.
func TestN71HTTPLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		status int
		word   string
	}{
		"all":     {func(c *Config) { c.Viewers.MaxStreams = 1 }, http.StatusServiceUnavailable, "limit"},
		"address": {func(c *Config) { c.Viewers.MaxPerAddress = 1 }, http.StatusServiceUnavailable, "address-limit"},
		"subject": {func(c *Config) { c.Viewers.MaxPerSubject = 1 }, http.StatusTooManyRequests, "subject-limit"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, tc.change)
			f := r.follower(nil)
			e := f.events(filter("#"))
			e.want("subok")
			f.refused(tc.status, tc.word, "/poll", filter("#"))
			f.refused(tc.status, tc.word, "/sse", filter("#"))
			_ = e.resp.Body.Close()
			eventually.Must(t, "the place to be free", func() bool { return r.openHTTP("sse") == 0 })
			eventually.Must(t, "a poll to be served", func() bool {
				resp := f.get("/poll", filter("#"))
				_ = resp.Body.Close()
				return resp.StatusCode == http.StatusOK
			})
		})
	}
}

// TestHTTPForPages: only pages of the listed origins may read the answers.
func TestHTTPForPages(t *testing.T) {
	r := run(t, nil)
	f := r.follower(nil)
	resp := f.get("/poll", filter("#"), "Origin", "https://good.example")
	_ = resp.Body.Close()
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "https://good.example" || !strings.Contains(resp.Header.Get("Vary"), "Origin") {
		t.Errorf("a listed page may read from %q", got)
	}
	resp = f.get("/poll", filter("#"), "Origin", "https://evil.example")
	_ = resp.Body.Close()
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("another page may read from %q", got)
	}
}

// TestN78PollStorm: all who come back with the oldest cursor wait their turn to read the journal, and none is told that there is
// nothing.
func TestN78PollStorm(t *testing.T) {
	c := testConfig(t.TempDir())
	patient(&c)
	b, err := New(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	b.viewers.ReadHeaderTimeout, b.viewers.ReadTimeout, b.viewers.WriteTimeout = time.Minute, time.Minute, time.Minute // for the TLS handshakes too
	r := runMade(t, c, b)
	p := r.publisher("dev")
	f := r.follower(nil)
	begin := f.poll(filter("a"))
	const total = 300
	for i := range total {
		r.publish(p, "a", strings.Repeat("x", 2000)+strconv.Itoa(i))
	}
	eventually.Must(t, "the hub to have all", func() bool { return r.b.hub.Stats().Position == begin.To+total })
	const viewers = 60
	var answers []func() polled
	for i := range viewers {
		answers = append(answers, f.polling(filter("a", "since", at(begin.Epoch, begin.To), "limit", strconv.Itoa(1+i))))
	}
	for _, answer := range answers {
		if a := answer(); len(a.Readings) == 0 || a.From != begin.To || !a.More {
			t.Errorf("(%d,%d] with %d readings, more %v: want some from the beginning", a.From, a.To, len(a.Readings), a.More)
		}
	}
}
