package viewer

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/devices"
	"plumbline/harness/record"
)

// plain is a small real WebSocket server of a stranger: it keeps what clients
// say and sends what a test wants sent.
type plain struct {
	*httptest.Server
	mu      sync.Mutex
	said    []string
	headers []http.Header
	conns   []*websocket.Conn
	greet   []string // sent to every client first
	mute    bool     // answers no ping
}

func newPlain(t *testing.T) *plain {
	t.Helper()
	s := &plain{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		s.mu.Lock()
		s.conns, s.headers = append(s.conns, c), append(s.headers, r.Header)
		if s.mute {
			c.SetPingHandler(func(string) error { return nil })
		}
		for _, frame := range s.greet {
			_ = c.WriteMessage(websocket.TextMessage, []byte(frame))
		}
		s.mu.Unlock()
		for {
			_, data, err := c.ReadMessage()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.said = append(s.said, string(data))
			s.mu.Unlock()
		}
	}))
	t.Cleanup(func() { s.dropAll(); s.Close() })
	return s
}

func (s *plain) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.UnderlyingConn().Close()
	}
	s.conns = nil
}

func (s *plain) send(opcode int, frames ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		for _, frame := range frames {
			_ = c.WriteMessage(opcode, []byte(frame))
		}
	}
}

func (s *plain) config(r *recording, p Pointers) Config {
	return Config{
		Name: "viewer-1", Protocol: JSON, URL: "ws" + strings.TrimPrefix(s.URL, "http"), Place: TokenPlace{In: InNone},
		Filters: []string{"bench/#"}, Recorder: r.Recorder, Message: p,
		Reconnect: Backoff{Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond, Seed: 1},
	}
}

const runID = "0a1b2c3d"

// following returns a resolver that knows the device press-7.
func following(cfg *Config) {
	known := record.NewResolver(runID)
	known.Add(0, record.Stream{Device: "press-7", Topic: "bench/press-7"})
	known.Add(1, record.Stream{Device: "other", Topic: "bench/other", Foreign: true})
	cfg.Resolve = known.Resolve
}

func own(seq uint64) string {
	return string(record.Encode(runID, "press-7", seq, []devices.Value{{Name: "t", Number: 1e-7}, {Name: "a", Number: 21}, {Name: "s", Text: `"ü"`, IsText: true}}))
}

// TestJSONShapes: every shape of frame that a descriptor can describe brings the
// payload that was published.
func TestJSONShapes(t *testing.T) {
	text := func(seq uint64) string { return `"` + quoted(own(seq)) + `"` }
	anew := func(seq uint64) string { // as JavaScript writes it
		return strings.Replace(strings.Replace(own(seq), "1e-07", "1e-7", 1), `{"run"`, `{ "run"`, 1)
	}
	for _, c := range []struct {
		name   string
		p      Pointers
		frames []string
	}{
		{"text", Pointers{Topic: "/topic", Payload: "/data"}, []string{`{"topic":"bench/press-7","data":` + text(1) + `}`, `{"data":` + text(2) + `,"topic":"bench\/press-7"}`}},
		{"object", Pointers{Topic: "/topic", Payload: "/data"}, []string{`{"topic":"bench/press-7","data":` + own(1) + `}`, `{"topic":"bench/press-7","data":` + anew(2) + `}`}},
		{"list", Pointers{List: "/m", Topic: "/t", Payload: "/p"}, []string{`{"m":[{"t":"bench/press-7","p":` + text(1) + `},{"t":"bench/press-7","p":` + anew(2) + `}]}`}},
		{"array", Pointers{Topic: "/0", Payload: "/1/value"}, []string{`[["bench/press-7",{"value":` + text(1) + `}],["bench/press-7",{"value":` + own(2) + `}]]`}},
		{"spread", Pointers{Topic: "/topic"}, []string{`{"topic":"bench/press-7",` + anew(1)[1:], own(2)[:len(own(2))-1] + `,"topic":"bench/press-7"}`}},
		{"nothing but payloads", Pointers{}, []string{own(1), anew(2)}},
		{"a text a line", Pointers{Topic: "/t", Payload: "/p", Lines: true}, []string{
			`{"id":1}` + "\n" + `{"t":"bench/press-7","p":` + text(1) + `}` + "\r\n\n{}\n" + `{"t":"bench/press-7","p":` + anew(2) + "}\n",
		}},
		{"no topic", Pointers{Payload: "/data"}, []string{`{"data":` + text(1) + `}`, `{"data":` + own(2) + `}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := newPlain(t), newRecording(t)
			cfg := s.config(r, c.p)
			following(&cfg)
			v := open(t, cfg)
			s.send(websocket.TextMessage, c.frames...)
			must(t, v.WaitReceived(limit(t), 2))
			must(t, v.Close())
			var got []uint64
			for _, rec := range r.log().Records {
				if rec.Kind != record.Received || rec.Stream != 0 || rec.Flags != 0 || rec.At <= 0 || rec.Digest != record.Digest([]byte(own(rec.Seq))) {
					t.Errorf("record %+v", rec)
				}
				got = append(got, rec.Seq)
			}
			if !slices.Equal(got, []uint64{1, 2}) {
				t.Errorf("positions %v", got)
			}
		})
	}
}

// TestJSONSaysWhatIsWrong: changed payloads stay changed, and what is no reading
// is none.
func TestJSONSaysWhatIsWrong(t *testing.T) {
	s, r := newPlain(t), newRecording(t)
	cfg := s.config(r, Pointers{Topic: "/topic", Payload: "/data", Retained: "/old"})
	following(&cfg)
	v := open(t, cfg)
	s.send(websocket.TextMessage,
		`{"subscribed":"bench/#"}`, `{"topic":"bench/press-7"}`, `{"topic":7,"data":"x"}`, `{"topic":"","data":"x"}`, `"hello"`, `[]`, `[1,null,[]]`, `{}`,
		`{"topic":"bench/press-7","data":`+strings.Replace(own(1), `"a":21`, `"a":22`, 1)+`}`,
		`{"topic":"bench/other","data":12345678901234567890.50}`,
		`{"topic":"bench/press-7","data":`+own(3)+`,"old":true}`,
		`{"topic":"bench/press-7","data":`+own(4)+`,"old":false}`,
		`welcome!`, `{"topic":"bench/press-7","data":"`, "{\"topic\":\"\xff\"}", strings.Repeat("[", 1000)+strings.Repeat("]", 1000))
	s.send(websocket.BinaryMessage, `{"topic":"elsewhere","data":"somebody else's"}`, `{"topic":"elsewhere","data":`+own(5)+`}`)
	must(t, v.WaitReceived(limit(t), 4))
	c := v.Counters()
	if c.Malformed != 4 || c.Restored != 1 || c.Received != 4 {
		t.Errorf("counters %+v", c)
	}
	must(t, v.Close())
	log := r.log()
	want := []record.Record{
		{Kind: record.Received, Stream: 0, Flags: record.FlagCorrupt},
		{Kind: record.Received, Stream: 1, Flags: record.FlagForeign, Digest: record.Digest([]byte("12345678901234567890.50"))},
		{Kind: record.Restored, Stream: 0, Seq: 3},
		{Kind: record.Received, Stream: 0, Seq: 4},
		{Kind: record.Received, Stream: 0, Seq: 5, Flags: record.FlagMisrouted},
	}
	if len(log.Records) != len(want) {
		t.Fatalf("records %+v", log.Records)
	}
	for i, w := range want {
		g := log.Records[i]
		if g.Kind != w.Kind || g.Stream != w.Stream || g.Seq != w.Seq || g.Flags != w.Flags || (w.Digest != 0 && g.Digest != w.Digest) {
			t.Errorf("record %d is %+v, want %+v", i, g, w)
		}
	}
	if notes := events(log, record.Note); len(notes) != 5 {
		t.Errorf("notes %+v", notes)
	}
}

// TestJSONSaysHello: the templates are filled in, the token is hidden, and what
// comes before the pong is kept.
func TestJSONSaysHello(t *testing.T) {
	s, r := newPlain(t), newRecording(t)
	s.greet = []string{`{"topic":"bench/press-7","data":` + own(1) + `}`}
	cfg := s.config(r, Pointers{Topic: "/topic", Payload: "/data"})
	cfg.Place = TokenPlace{In: InFirstMessage}
	cfg.Filters = []string{"bench/#", `odd/"x`}
	cfg.Hello = []string{`{"auth":"{{token}}"}`, `{"subscribe":"{{ filter }}"}`}
	cfg.Token = func(context.Context) (string, error) { return "s3cret", nil }
	following(&cfg)
	v := open(t, cfg)
	if !v.Connected() || v.Counters().Connects != 1 {
		t.Fatalf("connected %v, %+v", v.Connected(), v.Counters())
	}
	must(t, v.WaitReceived(limit(t), 1))
	s.mu.Lock()
	said := slices.Clone(s.said)
	s.mu.Unlock()
	if want := []string{`{"auth":"s3cret"}`, `{"subscribe":"bench/#"}`, `{"subscribe":"odd/\"x"}`}; !slices.Equal(said, want) {
		t.Errorf("the server heard %q, want %q", said, want)
	}
	s.send(websocket.TextMessage, "bad token s3cret")
	until(t, "the frame to be handled", func() bool { return v.Counters().Malformed == 1 })
	s.dropAll()
	must(t, v.WaitConnected(limit(t), 2))
	must(t, v.Close())
	log := r.log()
	if subscribed := events(log, record.Subscribed); len(subscribed) != 4 || subscribed[0].Fields["filter"] != "bench/#" {
		t.Errorf("subscribed %+v", subscribed)
	}
	if text := fmt.Sprint(log.Events); strings.Contains(text, "s3cret") {
		t.Errorf("the token is in the events: %s", text)
	}
}

// TestJSONAnswers: a frame, or a line, that asks for an answer gets it at once, and is
// neither a reading nor malformed.
func TestJSONAnswers(t *testing.T) {
	for _, lines := range []bool{false, true} {
		s, r := newPlain(t), newRecording(t)
		cfg := s.config(r, Pointers{Topic: "/topic", Payload: "/data", Lines: lines})
		cfg.Reply = map[string]string{"{}": `{"pong":true}`, "ping": "pong"}
		following(&cfg)
		v := open(t, cfg)
		reading := `{"topic":"bench/press-7","data":` + own(1) + `}`
		frames, want := []string{"{}", reading, "ping", "{ }"}, []string{`{"pong":true}`, "pong"}
		if lines {
			frames = []string{"{}\n" + reading + "\n ping\n{ }"}
		}
		s.send(websocket.TextMessage, frames...)
		heard := func() []string {
			s.mu.Lock()
			defer s.mu.Unlock()
			return slices.Clone(s.said)
		}
		until(t, "the answers", func() bool { return len(heard()) >= len(want) && v.Counters().Messages == uint64(len(frames)) })
		if got := heard(); !slices.Equal(got, want) {
			t.Errorf("lines %v: the server heard %q, want %q", lines, got, want)
		}
		if c := v.Counters(); c.Received != 1 || c.Malformed != 0 {
			t.Errorf("lines %v: counters %+v", lines, c)
		}
	}
}

// TestJSONLines: a line that is no JSON text is told, and what stands before it counts.
func TestJSONLines(t *testing.T) {
	s, r := newPlain(t), newRecording(t)
	cfg := s.config(r, Pointers{Topic: "/topic", Payload: "/data", Lines: true})
	following(&cfg)
	v := open(t, cfg)
	first, second := `{"topic":"bench/press-7","data":`+own(1)+`}`, `{"topic":"bench/press-7","data":`+own(2)+`}`
	s.send(websocket.TextMessage, first+"\n{\n}\n", first+second, second)
	until(t, "three frames", func() bool { return v.Counters().Messages == 3 })
	if c := v.Counters(); c.Received != 2 || c.Malformed != 2 {
		t.Errorf("counters %+v", c)
	}
}

// TestJSONResumes: a viewer that comes back says how far it had got, what it missed comes by
// another place of a frame, and until it knows its place it says hello.
func TestJSONResumes(t *testing.T) {
	s, r := newPlain(t), newRecording(t)
	cfg := s.config(r, Pointers{List: "/push", Missed: "/sub/missed", Topic: "/t", Payload: "/p"})
	cfg.Resume, cfg.Hello = true, []string{`{"sub":"{{filter}}"}`}
	cfg.Again = []string{`{"sub":"{{filter}}","epoch":"{{/sub/epoch}}","from":{{/push/o | /sub/o}}}`}
	following(&cfg)
	v := open(t, cfg)
	item := func(seq uint64) string { return fmt.Sprintf(`{"t":"bench/press-7","o":%d,"p":%s}`, seq, own(seq)) }
	last := func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.said[len(s.said)-1]
	}
	messages := uint64(0)
	for i, c := range []struct {
		frames []string
		want   string // what is said after the next loss
	}{
		{nil, `{"sub":"bench/#"}`},
		{[]string{`{"sub":{"epoch":"a\"b"}}`}, `{"sub":"bench/#"}`},
		{[]string{`{"sub":{"o":4}}`}, `{"sub":"bench/#","epoch":"a\"b","from":4}`},
		{[]string{`{"sub":{"epoch":"c","o":5,"missed":[` + item(1) + `,` + item(2) + `]}}`, `{"push":` + item(3) + `}`}, `{"sub":"bench/#","epoch":"c","from":3}`},
	} {
		s.send(websocket.TextMessage, c.frames...)
		messages += uint64(len(c.frames))
		until(t, "the frames", func() bool { return v.Counters().Messages == messages })
		s.dropAll()
		must(t, v.WaitConnected(limit(t), uint64(i+2)))
		if got := last(); got != c.want {
			t.Errorf("loss %d: the server heard %s, want %s", i, got, c.want)
		}
	}
	if c := v.Counters(); c.Received != 3 || c.Malformed != 0 {
		t.Errorf("counters %+v", c)
	}
}

// TestJSONWithoutPong: a server that answers no ping is watched all the same.
func TestJSONWithoutPong(t *testing.T) {
	s, r := newPlain(t), newRecording(t)
	s.mute = true
	cfg := s.config(r, Pointers{Topic: "/topic", Payload: "/data"})
	following(&cfg)
	v := open(t, cfg)
	s.send(websocket.TextMessage, `{"topic":"bench/press-7","data":`+own(1)+`}`)
	must(t, v.WaitReceived(limit(t), 1))
	must(t, v.Close())
	if notes := events(r.log(), record.Note); len(notes) != 1 || !strings.Contains(notes[0].Detail, "did not answer a ping") {
		t.Errorf("notes %+v", notes)
	}
}

// FuzzReadings: whatever a frame holds, nothing is read that is not in it.
func FuzzReadings(f *testing.F) {
	f.Add([]byte(`{"m":[{"t":"a","p":"x"},{"t":"b","p":{"c":1}}]}`), "/m", "/t", "/p")
	f.Add([]byte(`[{"t":"a","p":""}]`), "", "/t", "/p")
	f.Add([]byte(own(7)), "", "", "")
	f.Fuzz(func(t *testing.T, frame []byte, list, topic, payload string) {
		finder, err := newFinder(Pointers{List: list, Topic: topic, Payload: payload, Retained: "/r"})
		if err != nil {
			return
		}
		before := bytes.Clone(frame)
		err = finder.readings(frame, func(r found) {
			if len(r.payload) > len(frame)+64 || (topic != "" && len(r.topic) == 0) {
				t.Fatalf("read %q %q from %q", r.topic, r.payload, frame)
			}
		})
		if !bytes.Equal(before, frame) {
			t.Fatalf("the frame was changed (%v)", err)
		}
	})
}
