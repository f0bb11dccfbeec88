package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/harness/clocks"
	"plumbline/harness/record"
	"plumbline/harness/viewer"
)

var testSecret = []byte("0123456789abcdef0123456789abcdef")

// started is an agent at work in this process.
type started struct {
	target Target
	dir    string // of its recordings
	stop   func() error
}

// start starts an agent; it ends with the test, and everything of it.
func start(t *testing.T, change func(*Config)) started {
	t.Helper()
	certificate, err := NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Secret: testSecret, Certificate: certificate, Dir: t.TempDir(), Version: "test"}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, cfg) }()
	s := started{target: Target{Address: listener.Addr().String(), Fingerprint: FingerprintOf(certificate)}, dir: cfg.Dir}
	ended := false
	s.stop = func() error {
		if ended {
			return nil
		}
		ended = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the agent ended with %v", err)
		}
		left, err := filepath.Glob(filepath.Join(cfg.Dir, "plumbline-agent-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("the agent left %v, %v", left, err)
		}
	})
	return s
}

func dial(t *testing.T, target Target) *Host {
	t.Helper()
	h, err := Dial(t.Context(), target, testSecret, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// board is an HTTP server that viewers poll: every answer is one more reading.
type board struct {
	*httptest.Server
	served atomic.Uint64
	busy   atomic.Bool // answer the next request with 503
	tokens chan string
}

const run = "c0ffee00"

func newBoard(t *testing.T) *board {
	t.Helper()
	b := &board{tokens: make(chan string, 1000)}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case b.tokens <- r.Header.Get("Authorization"):
		default:
		}
		if b.busy.Swap(false) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		n := b.served.Add(1)
		payload := record.Encode(run, "lamp", n, []devices.Value{{Name: "on", Number: 1}})
		text, err := json.Marshal(map[string]any{"topic": "bench/lamp", "data": string(payload)})
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *board) view(name string) viewer.Config {
	return viewer.Config{
		Name: name, Protocol: viewer.Poll, URL: b.URL, Filters: []string{"bench/#"}, Interval: 5 * time.Millisecond,
		Message: viewer.Pointers{Topic: "/topic", Payload: "/data"},
	}
}

func open(t *testing.T, h *Host) (*Session, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "agent-1")
	s, err := h.Open(t.Context(), SessionConfig{Run: run, Dir: dir, Clock: record.NewClock(), Plausible: func() uint64 { return 1_000_000 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

// bench is a recording of the harness itself with that device.
func bench() *record.Log {
	return &record.Log{Index: record.Index{
		Streams: []record.Stream{{Device: "other", Topic: "bench/other"}, {Device: "lamp", Topic: "bench/lamp", QoS: 1}},
		Nodes:   []record.Node{{Name: "witness", Role: "witness"}},
	}}
}

// What a viewer at an agent received comes back whole, in the time of the
// bench, whatever the agent's clock shows.
func TestRecordingComesBackInTheTimeOfTheBench(t *testing.T) {
	const offset, drift = -3 * time.Hour, 300e-6
	skewed := record.Skewed(offset, drift)
	a := start(t, func(c *Config) { c.Clock = skewed })
	s, dir := open(t, dial(t, a.target))
	v, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.WaitReceived(limit(t), 20); err != nil {
		t.Fatal(err)
	}
	if !v.Connected() {
		t.Error("it is not connected")
	}
	if err := s.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if part, err := record.Load(dir); err != nil || !part.Partial {
		t.Errorf("while it runs: %+v, %v", part, err)
	}
	received := v.Counters().Received
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	part, err := record.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := bench()
	m, err := Load(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	if log.Partial || uint64(len(log.Records)) < received || len(log.Index.Nodes) != 2 {
		t.Fatalf("partial %v, %d records of %d, nodes %v", log.Partial, len(log.Records), received, log.Index.Nodes)
	}
	node := log.Index.Nodes[1]
	if node.Name != "viewer-01" || node.Clock != a.target.Address || node.Uncertainty <= 0 || node.Uncertainty > 10*time.Second {
		t.Errorf("node %+v", node)
	}
	for i, r := range log.Records {
		if r.Stream != 1 || r.Seq != uint64(i)+1 || r.Node != 1 || r.Flags != 0 {
			t.Fatalf("record %d is %+v", i, r)
		}
		// What the skewed clock showed at that true instant is known.
		remote := part.Records[i].At
		truth := int64(float64(remote-int64(offset))/(1+drift)) + int64(skewed.Epoch().Sub(s.cfg.Clock.Epoch()))
		if off, u := time.Duration(r.At-truth).Abs(), m.Uncertainty(remote); off > u+time.Microsecond {
			t.Fatalf("record %d is off by %v, stated are %v", i, off, u)
		}
	}
}

// limit bounds a wait on a busy machine.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Mapping and recording are the same each time they are read.
func TestLoadIsRepeatable(t *testing.T) {
	a := start(t, func(c *Config) { c.Clock = record.Skewed(time.Hour, -100e-6) })
	s, dir := open(t, dial(t, a.target))
	v, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.WaitReceived(limit(t), 10), s.Close()); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for range 2 {
		log := bench()
		if _, err := Load(dir, log); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, fmt.Sprintf("%+v", *log))
	}
	if texts[0] != texts[1] {
		t.Error("read twice it is not the same")
	}
}

// A connection that is lost in between loses nothing.
func TestALostConnectionLosesNothing(t *testing.T) {
	a := start(t, nil)
	line := newLine(t, a.target.Address)
	target := a.target
	target.Address = line.address()
	s, dir := open(t, dial(t, target))
	v, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(3) {
		if err := v.WaitReceived(limit(t), 10*(n+1)); err != nil {
			t.Fatal(err)
		}
		line.cut()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log := bench()
	if _, err := Load(dir, log); err != nil || log.Partial || len(log.Records) < 30 {
		t.Errorf("partial %v, %d records, %v", log.Partial, len(log.Records), err)
	}
}

// An agent that ends takes what it recorded along, and that is said.
func TestAnAgentThatEndsIsLost(t *testing.T) {
	a := start(t, nil)
	h := dial(t, a.target)
	h.patience = 200 * time.Millisecond
	s, dir := open(t, h)
	v, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.WaitReceived(limit(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if v.Connected() {
		t.Error("its viewer is still connected")
	}
	if err := v.WaitReceived(limit(t), 1_000_000); !errors.Is(err, ErrLost) {
		t.Errorf("waiting ended with %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrLost) {
		t.Errorf("closing gave %v", err)
	}
	if e, err := ReadEvidence(dir); err != nil || e.Lost == "" {
		t.Errorf("the evidence says %+v, %v", e, err)
	}
}

// A session that nobody asks for anything is given up, and whoever comes back is told.
func TestAForgottenSessionEnds(t *testing.T) {
	a := start(t, func(c *Config) { c.idle = 100 * time.Millisecond })
	h := dial(t, a.target)
	var opened openAnswer
	if err := h.call(t.Context(), callOpen, openArgs{Run: run}, &opened); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		left, err := filepath.Glob(filepath.Join(a.dir, "plumbline-agent-*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for the session to end; %v is still there", left)
		}
		pause(t.Context(), 5*time.Millisecond)
	}
	err := h.call(t.Context(), callStatus, statusArgs{Session: opened.Session}, nil)
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "there is no session") {
		t.Errorf("error is %v", err)
	}
}

// A recording that outgrows its bound ends, and that is said.
func TestARecordingIsBounded(t *testing.T) {
	a := start(t, func(c *Config) { c.MaxBytes = 1; c.idle = 30 * time.Second })
	s, dir := open(t, dial(t, a.target))
	v, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.WaitReceived(limit(t), 1_000_000); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "more than 1 bytes") {
		t.Errorf("waiting ended with %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrLost) {
		t.Errorf("closing gave %v", err)
	}
	log := bench()
	if _, err := Load(dir, log); err != nil || !log.Partial {
		t.Errorf("partial %v, %v", log.Partial, err)
	}
}

// A system that lets nobody in is the system's affair, not the agent's.
func TestAViewerThatIsRefused(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(refusing.Close)
	s, _ := open(t, dial(t, start(t, nil).target))
	cfg := newBoard(t).view("viewer-01")
	cfg.URL = refusing.URL
	if _, err := s.View(t.Context(), cfg, nil); err == nil || errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "403") {
		t.Errorf("error is %v", err)
	}
}

// Tokens are asked here and shown there.
func TestTokensAreTheHarnesss(t *testing.T) {
	b := newBoard(t)
	s, _ := open(t, dial(t, start(t, nil).target))
	cfg := b.view("viewer-01")
	cfg.Token = func(context.Context) (string, error) { return "tick", nil }
	v, err := s.View(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-b.tokens; got != "Bearer tick" {
		t.Errorf("the server was shown %q", got)
	}
	v.mu.Lock()
	v.minted = time.Now().Add(-2 * tokenEvery)
	v.token = func(context.Context) (string, error) { return "tock", nil }
	v.mu.Unlock()
	v.Counters()       // asks the agent, which takes new tokens along
	b.busy.Store(true) // a token is asked for with a session
	for patience := limit(t); ; {
		select {
		case got := <-b.tokens:
			if got == "Bearer tock" {
				return
			}
		case <-patience.Done():
			t.Fatal("waited a minute for the server to be shown the new token")
		}
	}
}

func TestAgentRefusesNonsense(t *testing.T) {
	h := dial(t, start(t, nil).target)
	var opened openAnswer
	if err := h.call(t.Context(), callOpen, openArgs{Run: run}, &opened); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]struct {
		verb     string
		argument any
		want     string
	}{
		"verb":     {"dance", struct{}{}, "unknown call"},
		"argument": {callOpen, []int{1}, "argument of a call"},
		"session":  {callFinish, sessionArgs{"none"}, "there is no session"},
		"file":     {callRead, readArgs{Session: opened.Session, File: "../../etc/passwd"}, "a recording has no"},
		"offset":   {callRead, readArgs{Session: opened.Session, File: "records.bin", Offset: -1}, "a recording has no"},
		"view":     {callView, viewArgs{Session: opened.Session, View: view{Name: "v", Protocol: "dance", URL: "ws://x", Filters: []string{"#"}}}, "dance"},
	} {
		if err := h.call(t.Context(), call.verb, call.argument, nil); err == nil || !strings.Contains(err.Error(), call.want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if err := h.call(t.Context(), callDrop, sessionArgs(opened), nil); err != nil {
		t.Error(err)
	}
}

// A clock that is stepped while viewers record is found, not smoothed over.
func TestAStepOfTheClockIsFound(t *testing.T) {
	s, dir := open(t, dial(t, start(t, nil).target))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	exchanges := s.prober.taken()
	for i := len(exchanges) / 2; i < len(exchanges); i++ {
		exchanges[i].Got += int64(time.Minute)
		exchanges[i].Answered += int64(time.Minute)
	}
	if err := s.keepClock(); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, bench()); !errors.Is(err, clocks.ErrUnsteady) {
		t.Errorf("error is %v", err)
	}
}
