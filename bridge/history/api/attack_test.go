package api

import (
	"context"
	"encoding/csv"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/history"
)

// N47: what was never granted, or is denied, is not delivered by any route.
func TestN47HistoryKeepsToGrants(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	for _, filter := range []string{"#", "+/#", "+", "other", "plant/secret/2", "plant/secret/#", "+/1", "$SYS/#"} {
		for _, route := range []string{"topics", "latest"} {
			if w := r.get("ben", route, "filter", filter); w.Code != http.StatusForbidden {
				t.Errorf("%s %s: status %d", route, filter, w.Code)
			}
		}
		if w := r.get("ben", "events", with([]string{"filter", filter}, span)...); w.Code != http.StatusForbidden {
			t.Errorf("events %s: status %d", filter, w.Code)
		}
	}
	seen := ""
	for _, topic := range []string{"other", "plant/secret/2", "plant/secret/not-there"} {
		for route, more := range map[string][]string{"range": nil, "aggregate": {"step", "1s"}, "downsample": nil} {
			w := r.get("ben", route, with([]string{"topic", topic}, span, more)...)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s %s: status %d", route, topic, w.Code)
			}
			if seen == "" {
				seen = w.Body.String()
			}
			if w.Body.String() != seen {
				t.Errorf("%s %s: the answer differs from that for another topic: %s", route, topic, w.Body)
			}
		}
	}
	for _, format := range []string{"json", "csv"} {
		for route, more := range map[string][]string{"topics": nil, "latest": nil, "events": span} {
			w := r.get("ben", route, with([]string{"filter", "plant/#", "format", format}, more)...)
			if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "secret") || !strings.Contains(w.Body.String(), "plant/1") {
				t.Errorf("%s as %s: status %d, %s", route, format, w.Code, w.Body)
			}
		}
	}
	if w := r.get("live", "topics", "filter", "#"); w.Code != http.StatusForbidden {
		t.Errorf("a token for live alone: status %d", w.Code)
	}
	if w := r.get("", "topics", "filter", "#"); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("no token: status %d", w.Code)
	}
}

// leaky is a store that forgets to ask Allow: what it gives is checked once more.
type leaky struct{ history.Store }

func (l leaky) List(ctx context.Context, q history.ListQuery) (history.ListPage, error) {
	q.Allow = nil
	return l.Store.List(ctx, q)
}

func (l leaky) Latest(ctx context.Context, q history.ListQuery) (history.PointPage, error) {
	q.Allow = nil
	return l.Store.Latest(ctx, q)
}

func (l leaky) Events(ctx context.Context, q history.EventQuery) (history.EventPage, error) {
	q.Allow = nil
	return l.Store.Events(ctx, q)
}

func TestN47ResultsAreCheckedAgain(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	r.store = leaky{r.store}
	for route, more := range map[string][]string{"topics": nil, "latest": nil, "events": span} {
		w := r.get("ben", route, with([]string{"filter", "plant/#"}, more)...)
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: status %d, %s", route, w.Code, w.Body)
		}
	}
}

// slow is a store that waits.
type slow struct {
	history.Store
	entered chan struct{}
	release chan struct{}
}

func (s slow) List(ctx context.Context, q history.ListQuery) (history.ListPage, error) {
	s.entered <- struct{}{}
	select {
	case <-s.release:
		return s.Store.List(ctx, q)
	case <-ctx.Done():
		return history.ListPage{}, ctx.Err()
	}
}

func TestN97RequestsAreBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxConcurrent, o.Timeout = 3, time.Minute })
	s := slow{r.store, make(chan struct{}), make(chan struct{})}
	r.store = s
	r.who["carl"] = auth.Identity{Subject: "carl", Grants: auth.Viewing("#")}
	var wg sync.WaitGroup
	ask := func(who string) {
		wg.Go(func() {
			if w := r.get(who, "topics", "filter", "#"); w.Code != http.StatusOK {
				t.Errorf("%s: status %d", who, w.Code)
			}
		})
		<-s.entered
	}
	ask("anna")
	ask("anna")
	if w := r.get("anna", "topics", "filter", "#"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("a third of one subject: status %d", w.Code)
	}
	ask("carl")
	if w := r.get("ben", "topics", "filter", "plant/#"); w.Code != http.StatusTooManyRequests {
		t.Errorf("a fourth of all: status %d", w.Code)
	}
	close(s.release)
	wg.Wait()
	go func() {
		for range s.entered { // whoever comes
		}
	}()
	defer close(s.entered)
	if w := r.get("anna", "topics", "filter", "#"); w.Code != http.StatusOK {
		t.Errorf("afterwards: status %d", w.Code)
	}
	q := newRig(t, func(o *Options) { o.Timeout = time.Millisecond })
	q.store = slow{q.store, make(chan struct{}, 1), nil}
	if b := q.read(q.get("anna", "topics", "filter", "#"), http.StatusServiceUnavailable); !strings.Contains(b.Detail, "longer than 1ms") {
		t.Errorf("%+v", b)
	}
	q.store = nil
	q.h.o.Store = func() history.Store { return nil }
	if w := q.get("anna", "topics", "filter", "#"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("no store: status %d", w.Code)
	}
}

func TestN97CSVInjection(t *testing.T) {
	r := newRig(t, nil)
	texts := []string{"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a,b", `say "x"`, "two\nlines", "plain", "＝1+1", "＠x", "a\rb\r\nc\n", " x "}
	var events []history.Event
	var points []history.Point
	for i, text := range texts {
		events = append(events, event("plant/1", noon.Add(time.Duration(i)), uint64(i+1), text))
		if i < 4 {
			points = append(points, history.Point{Series: history.Series{Topic: "plant/" + text, Field: text, Unit: text}, Time: noon, Offset: uint64(i + 1), Value: -1})
		}
	}
	r.write(points, events)
	w := r.get("anna", "events", with([]string{"filter", "plant/1", "format", "csv"}, span)...)
	for _, want := range []string{",\"a\rb\r\nc\n\",", ",\"two\nlines\",", ",\" x \",", `,"say ""x""",`, ",'＝1+1,", ",'@SUM(A1),"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q is not in the answer: %q", want, w.Body)
		}
	}
	lines, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(lines) != len(texts)+1 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for _, line := range lines[1:] {
		if cell := line[4]; cell != "" && strings.ContainsRune("=+-@\t\r＝＠", []rune(cell)[0]) {
			t.Errorf("the cell %q begins a formula", cell)
		}
	}
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") || w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
		t.Errorf("headers %v", w.Header())
	}
	lines, err = csv.NewReader(r.get("anna", "topics", "filter", "#", "format", "csv").Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		for _, cell := range line {
			if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
				t.Errorf("the cell %q begins a formula", cell)
			}
		}
	}
}

// N98: payloads come back as what they are, in a form that neither a browser nor a terminal obeys.
func TestN98HostilePayloadsAreInert(t *testing.T) {
	r := newRig(t, nil)
	texts := []string{"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:alert(1)", "\x1b[2J\x1b]0;owned\x07", "%s%n%x", "${jndi:ldap://x}", "{{7*7}}", "line\r\nSet-Cookie: a=b", "\u202egnp.exe", "\u2028"}
	var events []history.Event
	for i, text := range texts {
		events = append(events, event("plant/1", noon.Add(time.Duration(i)*time.Second), uint64(i+1), text))
	}
	r.write(nil, events)
	w := r.get("anna", "events", with([]string{"filter", "plant/1"}, span)...)
	raw := w.Body.String()
	for _, never := range []string{"<script", "<img", "\x1b", "\x07", "\u2028", "\r\nSet-Cookie"} {
		if strings.Contains(raw, never) {
			t.Errorf("the answer holds %q as it is", never)
		}
	}
	if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("headers %v", h)
	}
	b := r.read(w, 200)
	for i, e := range b.Events {
		got, isText := e["payload"].(string)
		if i == 3 {
			if isText || e["base64"] != "G1syShtdMDtvd25lZAc=" {
				t.Errorf("the escape sequence came as %v", e)
			}
			continue
		}
		if got != texts[i] {
			t.Errorf("payload %q came back as %q", texts[i], got)
		}
	}
	if csv := r.get("anna", "events", with([]string{"filter", "plant/1", "format", "csv"}, span)...).Body.String(); strings.ContainsAny(csv, "\x1b\x07") {
		t.Error("csv holds an escape sequence as it is")
	}
}
