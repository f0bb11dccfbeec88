package conform_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"plumbline/harness/conform"
	"plumbline/harness/conform/targets"
)

func rule(id string) conform.Rule {
	return conform.Rule{ID: id, Section: "1", Level: conform.Must, Text: "It shall."}
}

// end is an endpoint that gives every connection to serve.
func end(t *testing.T, serve func(net.Conn)) conform.Endpoint {
	t.Helper()
	return conform.Endpoint{Address: targets.Listen(t, serve)}
}

func execute(t *testing.T, e conform.Endpoint, run ...func(*conform.Trial)) []conform.Case {
	t.Helper()
	var checks []conform.Check
	for i, r := range run {
		checks = append(checks, conform.Check{Rule: rule(string(rune('a' + i))), Run: r})
	}
	return conform.Execute(t.Context(), checks, conform.Settings{End: e, Patience: 200 * time.Millisecond, Limit: time.Second})
}

// TestVerdicts: the first verdict stays, none is a pass, and a fault of a check
// is no verdict about the endpoint.
func TestVerdicts(t *testing.T) {
	cases := execute(t, conform.Endpoint{Address: "127.0.0.1:1"},
		func(*conform.Trial) {},
		func(t *conform.Trial) { t.Failf("first"); t.Unsuref("second") },
		func(t *conform.Trial) { t.Skipf("not here") },
		func(*conform.Trial) { panic("a fault") },
		func(t *conform.Trial) { <-t.Context().Done() },
		func(t *conform.Trial) { t.Dial().Send([]byte("x")) },
		func(t *conform.Trial) { t.Sayf("seen") },
	)
	want := []conform.Verdict{
		conform.Pass, conform.Fail, conform.NotApplicable, conform.Inconclusive, conform.Inconclusive, conform.Inconclusive, conform.Pass,
	}
	for i, c := range cases {
		if c.Verdict != want[i] || c.ID != string(rune('a'+i)) {
			t.Errorf("%s: %q %q, want %q", c.ID, c.Verdict, c.Detail, want[i])
		}
	}
	if cases[1].Detail != "first" || cases[6].Detail != "seen" || !strings.Contains(cases[3].Detail, "a fault") {
		t.Errorf("%q, %q, %q", cases[1].Detail, cases[6].Detail, cases[3].Detail)
	}
}

func TestReportVerdict(t *testing.T) {
	one := func(l conform.Level, v conform.Verdict) conform.Case {
		r := rule("x")
		r.Level = l
		return conform.Case{Rule: r, Verdict: v}
	}
	pass := one(conform.Must, conform.Pass)
	for name, c := range map[string]struct {
		cases []conform.Case
		want  conform.Verdict
	}{
		"nothing":             {nil, conform.Inconclusive},
		"only not applicable": {[]conform.Case{one(conform.Must, conform.NotApplicable)}, conform.Inconclusive},
		"pass":                {[]conform.Case{pass, one(conform.Must, conform.NotApplicable)}, conform.Pass},
		"should failed":       {[]conform.Case{pass, one(conform.Should, conform.Fail)}, conform.Pass},
		"not run":             {[]conform.Case{pass, one(conform.Must, conform.NotRun)}, conform.Inconclusive},
		"failed":              {[]conform.Case{pass, one(conform.Must, conform.Inconclusive), one(conform.Must, conform.Fail)}, conform.Fail},
	} {
		if v := (conform.Report{Cases: c.cases}).Verdict(); v != c.want {
			t.Errorf("%s: %q", name, v)
		}
	}
}

// TestConn: every byte is in the evidence, within bounds, and a flood, silence
// and the end are told apart.
func TestConn(t *testing.T) {
	flood := end(t, func(c net.Conn) { targets.Flood(c, make([]byte, 64<<10)) })
	silent := end(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); _, _ = c.Read(make([]byte, 1)) })
	gone := end(t, func(net.Conn) {})
	drain := func(t *conform.Trial, patience time.Duration) error {
		c := t.Dial()
		c.Send([]byte("a"))
		for {
			if err := c.More(time.Now().Add(patience)); err != nil {
				return err
			}
			c.Discard(len(c.Buffered()))
		}
	}
	var errs [3]error
	try := func(n int, e conform.Endpoint, patience time.Duration) conform.Case {
		return conform.Execute(t.Context(), []conform.Check{{Rule: rule("a"), Run: func(t *conform.Trial) { errs[n] = drain(t, patience) }}},
			conform.Settings{End: e, Limit: time.Minute})[0]
	}
	flooded := try(0, flood, time.Minute)
	try(1, silent, 300*time.Millisecond)
	try(2, gone, time.Minute)
	if !errors.Is(errs[0], conform.ErrFlood) || !errors.Is(errs[1], os.ErrDeadlineExceeded) || errs[2] == nil || errs[2].Error() != "EOF" {
		t.Errorf("flood %v, silence %v, end %v", errs[0], errs[1], errs[2])
	}
	if n := len(flooded.Evidence); n == 0 || n > 60 {
		t.Fatalf("%d steps of evidence", n)
	}
	if first := flooded.Evidence[0]; first.From != "client" || string(first.Bytes) != "a" {
		t.Errorf("%+v", first)
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(flooded); err != nil || b.Len() > 100_000 {
		t.Errorf("evidence of %d bytes, %v", b.Len(), err)
	}
}

// TestInterruptedExecution: checks that had not begun are not run.
func TestInterruptedExecution(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	checks := []conform.Check{
		{Rule: rule("a"), Run: func(t *conform.Trial) { cancel(); <-t.Context().Done() }},
		{Rule: rule("b"), Run: func(*conform.Trial) {}},
	}
	for _, c := range conform.Execute(ctx, checks, conform.Settings{Parallel: 1}) {
		if c.Verdict != conform.NotRun || !strings.Contains(c.Detail, "interrupted") {
			t.Errorf("%+v", c)
		}
	}
}

func TestResolve(t *testing.T) {
	e, u, err := conform.Resolve("wss://user:secret@example.test/x", "ws", "wss", "80", "443", nil)
	if err != nil || e.Address != "example.test:443" || e.TLS.ServerName != "example.test" || u.Path != "/x" {
		t.Errorf("%+v %v %v", e, u, err)
	}
	if e, _, err = conform.Resolve("ws://[::1]:81/x", "ws", "wss", "80", "443", nil); err != nil || e.Address != "[::1]:81" || e.TLS != nil {
		t.Errorf("%+v %v", e, err)
	}
	for _, raw := range []string{"http://user:secret@a/", "ws://", "ws://user:secret@a:port/", "\x00secret-in-the-way"} {
		if _, _, err := conform.Resolve(raw, "ws", "wss", "80", "443", nil); !errors.Is(err, conform.ErrUsage) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
