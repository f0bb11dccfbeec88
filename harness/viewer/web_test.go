package viewer

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/harness/record"
)

// script is a real HTTP server whose answers a test writes.
type script struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	answer   func(n int, w http.ResponseWriter, r *http.Request) // n counts from 1
}

func newScript(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *script {
	t.Helper()
	s := &script{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r)
		n := len(s.requests)
		s.mu.Unlock()
		s.answer(n, w, r)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// asked returns what every request so far had of interest.
func (s *script) asked(of func(*http.Request) string) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		out = append(out, of(r))
	}
	return out
}

func (s *script) config(r *recording, protocol string, p Pointers) Config {
	cfg := Config{
		Name: "viewer-1", Protocol: protocol, URL: s.URL + "/feed?filter={{filter}}", Place: TokenPlace{In: InNone},
		Filters: []string{"bench/#"}, Recorder: r.Recorder, Message: p, Interval: time.Millisecond,
		Reconnect: Backoff{Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond, Seed: 1},
	}
	following(&cfg)
	return cfg
}

// line is one event of a stream.
func line(id string, seq uint64) string {
	return fmt.Sprintf("id: %s\nevent: reading\ndata: {\"topic\":\"bench/press-7\",\ndata: \"data\":%s}\n\n", id, own(seq))
}

func flush(w http.ResponseWriter, format string, args ...any) {
	fmt.Fprintf(w, format, args...)
	w.(http.Flusher).Flush()
}

func seqs(log *record.Log, kind record.Kind) (out []uint64) {
	for _, r := range log.Records {
		if r.Kind == kind {
			out = append(out, r.Seq)
		}
	}
	return out
}

// TestSSEResumes: every event is recorded, and after a loss the id of the last
// one goes back, with the token in its place.
func TestSSEResumes(t *testing.T) {
	s := newScript(t, func(n int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		switch n {
		case 1:
			flush(w, "\uFEFFretry: 1\n: hello\n\ndata: {\"subscribed\":true}\n\n%s%s", line("a", 1), line("b", 2))
		case 2:
			flush(w, "%sid: d\n\ndata: cut", line("c", 3))
		default:
			flush(w, "%s", line("e", 4))
			<-r.Context().Done()
		}
	})
	r := newRecording(t)
	cfg := s.config(r, SSE, Pointers{Topic: "/topic", Payload: "/data"})
	cfg.Place, cfg.Token = TokenPlace{In: InQuery, Name: "t"}, func(context.Context) (string, error) { return "s3cret", nil }
	v := open(t, cfg)
	must(t, v.WaitReceived(limit(t), 4))
	must(t, v.WaitConnected(limit(t), 3))
	must(t, v.Close())
	log := r.log()
	if got := seqs(log, record.Received); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Errorf("positions %v", got)
	}
	if got := s.asked(func(r *http.Request) string { return r.Header.Get("Last-Event-ID") }); !slices.Equal(got[:3], []string{"", "b", "d"}) {
		t.Errorf("ids that went back: %q", got)
	}
	for _, q := range s.asked(func(r *http.Request) string { return r.URL.RawQuery + " " + r.Header.Get("Accept") }) {
		if q != "filter=bench%2F%23&t=s3cret text/event-stream" {
			t.Errorf("request %q", q)
		}
	}
	if c := v.Counters(); c.Malformed != 0 || c.Connects != 3 || c.Disconnects != 3 {
		t.Errorf("counters %+v", c)
	}
	if text := fmt.Sprint(log.Events); strings.Contains(text, "s3cret") {
		t.Errorf("the token is in the events: %s", text)
	}
}

// TestSSESilence: a stream that says nothing is cut, one with comments is not.
func TestSSESilence(t *testing.T) {
	ticks := make(chan struct{})
	s := newScript(t, func(n int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush(w, ": hello\n\n")
		for n > 1 {
			select {
			case <-ticks:
				flush(w, ": still here\n\n")
			case <-r.Context().Done():
				return
			}
		}
		<-r.Context().Done()
	})
	r := newRecording(t)
	cfg := s.config(r, SSE, Pointers{Topic: "/topic", Payload: "/data"})
	cfg.Silence = 500 * time.Millisecond
	v := open(t, cfg)
	must(t, v.WaitConnected(limit(t), 2))
	for began := time.Now(); time.Since(began) < 2*cfg.Silence; { // comments keep it open for longer than silence may last
		select {
		case ticks <- struct{}{}:
		case <-time.After(50 * time.Millisecond):
		}
	}
	must(t, v.Close())
	cuts := events(r.log(), record.Disconnected)
	if len(cuts) == 0 || cuts[0].Fields["error"] != "silence" {
		t.Errorf("disconnections %+v", cuts)
	}
}

// TestSSEOneStreamAFilter: filters that make different addresses are read at
// the same time, and the end of one ends the session.
func TestSSEOneStreamAFilter(t *testing.T) {
	s := newScript(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.URL.Query().Get("filter") == "bench/#" {
			flush(w, "%s", line("a", 1))
		} else {
			flush(w, "%s", line("x", 2))
		}
		<-r.Context().Done()
	})
	r := newRecording(t)
	cfg := s.config(r, SSE, Pointers{Topic: "/topic", Payload: "/data"})
	cfg.Filters = []string{"bench/#", "own/+"}
	v := open(t, cfg)
	must(t, v.WaitReceived(limit(t), 2))
	v.Cut()
	must(t, v.WaitConnected(limit(t), 2))
	must(t, v.WaitReceived(limit(t), 4))
	must(t, v.Close())
	ids := s.asked(func(r *http.Request) string { return r.URL.Query().Get("filter") + r.Header.Get("Last-Event-ID") })
	slices.Sort(ids)
	if want := []string{"bench/#", "bench/#a", "own/+", "own/+x"}; !slices.Equal(ids, want) {
		t.Errorf("requests %q, want %q", ids, want)
	}
}

func item(seq uint64) string { return fmt.Sprintf(`{"topic":"bench/press-7","data":%s}`, own(seq)) }

// TestPollShowsWhatThereIs: of an answer that shows the present, only news is
// recorded, and what was there first is no live reading.
func TestPollShowsWhatThereIs(t *testing.T) {
	answers := []string{
		`{"items":[` + item(1) + `]}`,
		`{"items":[` + item(1) + `,` + item(2) + `]}`,
		`{"items":[` + item(2) + `,` + item(3) + `]}`,
		`not JSON`, // nothing is forgotten over it
		`{"items":[` + item(3) + `]}`,
		`{"items":[]}`,
		`{"items":[` + item(3) + `]}`, // gone and back: that is a second time
	}
	s := newScript(t, func(n int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answers[min(n, len(answers))-1]) })
	r := newRecording(t)
	v := open(t, s.config(r, Poll, Pointers{List: "/items", Topic: "/topic", Payload: "/data"}))
	must(t, v.WaitReceived(limit(t), 3))
	until(t, "two more answers", func() bool { return len(s.asked(func(*http.Request) string { return "" })) > len(answers)+2 })
	must(t, v.Close())
	log := r.log()
	if got := seqs(log, record.Received); !slices.Equal(got, []uint64{2, 3, 3}) {
		t.Errorf("received %v", got)
	}
	if got := seqs(log, record.Restored); !slices.Equal(got, []uint64{1}) {
		t.Errorf("restored %v", got)
	}
	if c := v.Counters(); c.Malformed != 1 {
		t.Errorf("counters %+v", c)
	}
}

// TestPollTakesOver: where the address takes something over from the last
// answer, the server says what is new and all of it is recorded.
func TestPollTakesOver(t *testing.T) {
	s := newScript(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 1:
			fmt.Fprint(w, `{"epoch":"e 1","to":7,"readings":[]}`)
		case 2:
			fmt.Fprint(w, `{"epoch":"e 1","to":9,"readings":[`+item(1)+`,`+item(2)+`]}`)
		case 3:
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case 4:
			fmt.Fprint(w, `{"epoch":"e 1","to":10,"readings":[`+item(2)+`]}`) // a duplicate of the server's own
		default:
			<-r.Context().Done()
		}
	})
	r := newRecording(t)
	cfg := s.config(r, Poll, Pointers{List: "/readings", Topic: "/topic", Payload: "/data"})
	cfg.URL = s.URL + "/poll?wait=1s&since={{/epoch}}:{{ /to }}&filter={{filter}}&none={{/nothing}}"
	v := open(t, cfg)
	must(t, v.WaitReceived(limit(t), 3))
	until(t, "the last request", func() bool { return len(s.asked(func(*http.Request) string { return "" })) == 5 })
	must(t, v.Close())
	if got := seqs(r.log(), record.Received); !slices.Equal(got, []uint64{1, 2, 2}) {
		t.Errorf("received %v", got)
	}
	got := s.asked(func(r *http.Request) string { return r.URL.RawQuery })
	after := func(to string) string { return "wait=1s&since=e+1:" + to + "&filter=bench%2F%23" }
	if want := []string{"wait=1s&filter=bench%2F%23", after("7"), after("9"), after("9"), after("10")}; !slices.Equal(got, want) {
		t.Errorf("requests\n%q, want\n%q", got, want)
	}
	cfg.URL = s.URL + "/{{/epoch}}/poll"
	if _, err := Open(limit(t), cfg); err == nil || !strings.Contains(err.Error(), "outside of its query") {
		t.Errorf("an address that cannot be asked first: %v", err)
	}
}

// TestPollConditions: an answer that has not changed need not be sent again.
func TestPollConditions(t *testing.T) {
	s := newScript(t, func(n int, w http.ResponseWriter, r *http.Request) {
		tag := fmt.Sprintf(`"%d"`, min(n, 3)/2)
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, item(uint64(min(n, 3))))
	})
	r := newRecording(t)
	v := open(t, s.config(r, Poll, Pointers{Topic: "/topic", Payload: "/data"}))
	until(t, "six requests", func() bool { return len(s.asked(func(*http.Request) string { return "" })) >= 6 })
	must(t, v.Close())
	tags := s.asked(func(r *http.Request) string { return r.Header.Get("If-None-Match") })
	if !slices.Equal(tags[:4], []string{"", `"0"`, `"1"`, `"1"`}) {
		t.Errorf("conditions %q", tags)
	}
	if log := r.log(); !slices.Equal(seqs(log, record.Received), []uint64{2}) || !slices.Equal(seqs(log, record.Restored), []uint64{1}) {
		t.Errorf("records %+v", log.Records)
	}
}

// TestTokensOfTheWeb: each place of a token, with protocols that have no
// WebSocket.
func TestTokensOfTheWeb(t *testing.T) {
	for _, place := range Places(Poll) {
		s := newScript(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) })
		r := newRecording(t)
		cfg := s.config(r, Poll, Pointers{Topic: "/topic", Payload: "/data"})
		cfg.URL = s.URL + "/x"
		cfg.Place, cfg.Token = TokenPlace{In: place}, func(context.Context) (string, error) { return "s3+cret", nil }
		must(t, open(t, cfg).Close())
		got := s.asked(func(r *http.Request) string {
			return r.Header.Get("Authorization") + "|" + r.Header.Get("Cookie") + "|" + r.URL.RawQuery
		})[0]
		want := map[string]string{
			InHeader: "Bearer s3+cret||", InCookie: `|token=s3+cret|`, InQuery: "||access_token=" + url.QueryEscape("s3+cret"), InNone: "||",
		}[place]
		if got != want {
			t.Errorf("%s: %q, want %q", place, got, want)
		}
	}
}

// TestSSEKeepsTheWaitThatWasAskedFor: the reconnection time belongs to the
// source, not to one stream (HTML standard, section 9.2.2).
func TestSSEKeepsTheWaitThatWasAskedFor(t *testing.T) {
	s := newScript(t, func(n int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		switch n {
		case 1:
			flush(w, "retry: 7\n\n%s", line("a", 1))
		case 2:
			flush(w, "%s", line("b", 2))
		default:
			flush(w, "%s", line("c", 3))
			<-r.Context().Done()
		}
	})
	v := open(t, s.config(newRecording(t), SSE, Pointers{Topic: "/topic", Payload: "/data"}))
	must(t, v.WaitReceived(limit(t), 3))
	must(t, v.Close())
	if got := v.dialect.(*webDialect).sources[0].retry(); got != 7*time.Millisecond {
		t.Errorf("the third stream ends with a wait of %v, the first asked for 7ms", got)
	}
}

// TestRetryAfterInASession: an answer that says no in the middle of polling may
// say how long.
func TestRetryAfterInASession(t *testing.T) {
	s := newScript(t, func(_ int, w http.ResponseWriter, _ *http.Request) { flush(w, "{}") })
	v := open(t, s.config(newRecording(t), Poll, Pointers{Topic: "/topic", Payload: "/data"}))
	session := &webSession{d: v.dialect.(*webDialect)}
	hint, ended := v.disconnected(session, &RefusedError{Status: http.StatusServiceUnavailable, Retry: 7 * time.Second})
	if hint != 7*time.Second || ended {
		t.Errorf("wait %v, ended %t", hint, ended)
	}
	must(t, v.Close())
}

// TestPollGoesOnFromTheLastAnswerThatCouldBeRead: an answer that is broken moves
// no cursor.
func TestPollGoesOnFromTheLastAnswerThatCouldBeRead(t *testing.T) {
	s := newScript(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 2 {
			flush(w, "{broken")
			return
		}
		flush(w, `{"next":%d}`, n)
	})
	cfg := s.config(newRecording(t), Poll, Pointers{Topic: "/topic", Payload: "/data"})
	cfg.URL = s.URL + "/feed?since={{/next}}"
	v := open(t, cfg)
	query := func(r *http.Request) string { return r.URL.RawQuery }
	until(t, "four requests", func() bool { return len(s.asked(query)) >= 4 })
	must(t, v.Close())
	if got := s.asked(query)[:4]; !slices.Equal(got, []string{"", "since=1", "since=1", "since=3"}) {
		t.Errorf("queries %q", got)
	}
}
