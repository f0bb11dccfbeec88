package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/history"
	"plumbline/bridge/history/sqlite"
	"plumbline/bridge/journal"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

const epoch = "0123456789abcdef"

// rig is the API over a real store.
type rig struct {
	t     *testing.T
	store history.Store
	h     *Handler
	at    journal.Cursor
	who   map[string]auth.Identity
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "history.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r := &rig{t: t, store: s, who: map[string]auth.Identity{
		"anna": {Subject: "anna", Grants: auth.Viewing("#")},
		"ben":  {Subject: "ben", Grants: auth.Viewing("plant/#"), Denies: auth.Viewing("plant/secret/#")},
		"live": {Subject: "live", Grants: auth.Lists{auth.Live: {"#"}, auth.Snapshot: {"#"}}},
	}}
	o := Options{
		Store: func() history.Store { return r.store }, PageKey: []byte("0123456789abcdef0123456789abcdef"), Now: func() time.Time { return noon.Add(time.Hour) },
		Identify: func(w http.ResponseWriter, q *http.Request) (auth.Identity, int, string) {
			id, ok := r.who[strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")]
			if !ok {
				w.Header().Set("WWW-Authenticate", "Bearer")
				return id, http.StatusUnauthorized, "unknown"
			}
			return id, 0, ""
		},
	}
	if change != nil {
		change(&o)
	}
	r.h = New(o)
	return r
}

func (r *rig) write(points []history.Point, events []history.Event, gaps ...history.Gap) {
	r.t.Helper()
	to := journal.Cursor{Epoch: epoch, Offset: r.at.Offset + 1000}
	if _, err := r.store.Write(r.t.Context(), &history.Batch{From: r.at, To: to, Points: points, Events: events, Gaps: gaps}); err != nil {
		r.t.Fatal(err)
	}
	r.at = to
}

// fill stores 500 points of each of three series, 100 ms apart, and some events.
func (r *rig) fill() {
	r.t.Helper()
	var points []history.Point
	var events []history.Event
	for i := range 500 {
		at := noon.Add(time.Duration(i) * 100 * time.Millisecond)
		for _, s := range []history.Series{{Topic: "plant/1", Field: "value", Unit: "°C"}, {Topic: "plant/secret/2", Field: "value"}, {Topic: "other", Field: "a/b"}} {
			points = append(points, history.Point{Series: s, Time: at, Offset: r.at.Offset + uint64(i) + 1, Value: float64(i) - 250})
		}
		if i%100 == 0 {
			events = append(events, event("plant/1", at, r.at.Offset+uint64(i)+1, "on"), event("plant/secret/2", at, r.at.Offset+uint64(i)+1, "secret"))
		}
	}
	r.write(points, events)
}

func event(topic string, at time.Time, offset uint64, text string) history.Event {
	return history.Event{Topic: topic, Time: at, Offset: offset, Payload: []byte(text), Size: len(text)}
}

// get asks as somebody; parameters are name, value and so on.
func (r *rig) get(who, route string, parameters ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	return r.do(who, route, nil, parameters...)
}

func (r *rig) do(who, route string, headers http.Header, parameters ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	q := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		q.Add(parameters[i], parameters[i+1])
	}
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodGet, Root+"history/"+route+"?"+q.Encode(), nil)
	for k, v := range headers {
		req.Header[k] = v
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	w := httptest.NewRecorder()
	r.h.ServeHTTP(w, req)
	return w
}

// body is any answer.
type body struct {
	Cursor  cursorJSON       `json:"cursor"`
	Next    string           `json:"next"`
	Unit    string           `json:"unit"`
	Series  []map[string]any `json:"series"`
	Points  []map[string]any `json:"points"`
	Buckets []map[string]any `json:"buckets"`
	Events  []map[string]any `json:"events"`
	Gaps    []gapJSON        `json:"gaps"`
	More    bool             `json:"gaps_more"`
	Kept    int64            `json:"kept_from"`
	Detail  string           `json:"detail"`
	Param   string           `json:"parameter"`
}

func (r *rig) ok(who, route string, parameters ...string) body {
	r.t.Helper()
	return r.read(r.get(who, route, parameters...), http.StatusOK)
}

func (r *rig) read(w *httptest.ResponseRecorder, status int) (b body) {
	r.t.Helper()
	if w.Code != status {
		r.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil {
		r.t.Fatalf("%v in %s", err, w.Body)
	}
	return b
}

var span = []string{"from", "2026-03-04T12:00:00Z", "to", "now"}

func with(lists ...[]string) []string { return slices.Concat(lists...) }

func TestAnswers(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	one := with([]string{"topic", "plant/1"}, span)
	if b := r.ok("anna", "topics", "filter", "#"); len(b.Series) != 5 || fmt.Sprint(b.Series[1]) != "map[field: kind:event topic:plant/1 unit:]" || b.Cursor != (cursorJSON{epoch, 1000}) {
		t.Errorf("topics: %+v", b)
	}
	if b := r.ok("anna", "latest", "filter", "plant/#"); len(b.Points) != 2 || b.Points[0]["v"] != 249.0 || b.Points[0]["unit"] != "°C" || b.Points[0]["o"] != 500.0 || b.Points[0]["t"] != float64(noon.Add(49900*time.Millisecond).UnixMicro()) {
		t.Errorf("latest: %+v", b)
	}
	if b := r.ok("anna", "range", with(one, []string{"limit", "3"})...); len(b.Points) != 3 || b.Points[2]["v"] != -248.0 || b.Next == "" || b.Unit != "°C" || b.Gaps == nil {
		t.Errorf("range: %+v", b)
	}
	if b := r.ok("anna", "range", with(one, []string{"limit", "2", "order", "desc"})...); b.Points[0]["v"] != 249.0 || b.Points[1]["v"] != 248.0 {
		t.Errorf("range descending: %+v", b)
	}
	ms := []string{"topic", "plant/1", "from", fmt.Sprint(noon.UnixMilli()), "to", fmt.Sprint(noon.UnixMilli() + 1000)}
	if b := r.ok("anna", "range", ms...); len(b.Points) != 10 {
		t.Errorf("range by milliseconds: %d points", len(b.Points))
	}
	if b := r.ok("anna", "aggregate", with(one, []string{"step", "10s", "functions", "mean,count,sum,last"})...); len(b.Buckets) != 5 || fmt.Sprint(b.Buckets[0]) != fmt.Sprintf("map[count:100 last:-151 mean:-200.5 sum:-20050 t:%v]", float64(noon.UnixMicro())) {
		t.Errorf("aggregate: %+v", b.Buckets)
	}
	if b := r.ok("anna", "downsample", with(one, []string{"points", "50", "method", "lttb"})...); len(b.Points) != 50 {
		t.Errorf("downsample: %d points", len(b.Points))
	}
	if b := r.ok("anna", "events", with([]string{"filter", "plant/#"}, span)...); len(b.Events) != 10 || b.Events[0]["payload"] != "on" || b.Events[0]["size"] != 2.0 {
		t.Errorf("events: %+v", b.Events)
	}
	if b := r.ok("anna", "range", with([]string{"topic", "not/there"}, span)...); len(b.Points) != 0 {
		t.Errorf("a series that is not there: %+v", b)
	}
	w := r.get("anna", "range", with(one, []string{"format", "csv", "limit", "2"})...)
	if want := "t,v,o,epoch\r\n2026-03-04T12:00:00.000000Z,-250,1,\r\n2026-03-04T12:00:00.100000Z,-249,2,\r\n"; w.Body.String() != want || w.Header().Get(cursorHeader) != epoch+":1000" || w.Header().Get(nextHeader) == "" {
		t.Errorf("csv: %q %v", w.Body, w.Header())
	}
}

func TestUnitMustBeSaidWhenThereAreSeveral(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	r.write([]history.Point{{Series: history.Series{Topic: "plant/1", Field: "value", Unit: "K"}, Time: noon, Offset: 1001, Value: 1}}, nil)
	one := with([]string{"topic", "plant/1"}, span)
	if b := r.read(r.get("anna", "range", one...), http.StatusBadRequest); b.Param != "unit" || !strings.Contains(b.Detail, `"K"`) {
		t.Errorf("%+v", b)
	}
	if b := r.ok("anna", "range", with(one, []string{"unit", "K"})...); len(b.Points) != 1 {
		t.Errorf("%d points in K", len(b.Points))
	}
	if b := r.ok("anna", "range", with(one, []string{"unit", ""})...); len(b.Points) != 0 {
		t.Errorf("%d points without unit", len(b.Points))
	}
}

// Pages together are what was stored when the first was answered, whatever comes between them.
func TestPagesAreOneAnswer(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	for _, c := range []struct {
		route  string
		ask    []string
		rows   func(body) []map[string]any
		want   int
		pinned bool
	}{
		{"range", with([]string{"topic", "plant/1"}, span), func(b body) []map[string]any { return b.Points }, 500, true},
		{"range", with([]string{"topic", "plant/1", "order", "desc"}, span), func(b body) []map[string]any { return b.Points }, 500, true},
		{"events", with([]string{"filter", "#"}, span), func(b body) []map[string]any { return b.Events }, 10, true},
		{"topics", []string{"filter", "#"}, func(b body) []map[string]any { return b.Series }, 5, false},
		{"latest", []string{"filter", "#"}, func(b body) []map[string]any { return b.Points }, 3, false},
	} {
		first := cursorJSON(r.at)
		seen, next := map[string]bool{}, ""
		for n := 0; ; n++ {
			ask := with(c.ask, []string{"limit", fmt.Sprint(max(1, c.want/4))})
			if next != "" {
				ask = append(ask, "page", next)
			}
			b := r.ok("anna", c.route, ask...)
			if b.Cursor != first {
				t.Errorf("%s: page %d has cursor %v, the first had %v", c.route, n, b.Cursor, first)
			}
			for _, row := range c.rows(b) {
				key := fmt.Sprint(row)
				if seen[key] {
					t.Errorf("%s: %s is there twice", c.route, key)
				}
				seen[key] = true
			}
			if next = b.Next; next == "" {
				break
			}
			if n == 0 && c.pinned { // late points in the middle of what was asked
				o := r.at.Offset
				r.write([]history.Point{{Series: history.Series{Topic: "plant/1", Field: "value", Unit: "°C"}, Time: noon.Add(25 * time.Second), Offset: o + 1, Value: 1e6}}, []history.Event{event("other", noon.Add(25*time.Second), o+1, "late")})
				c.want += 0
			}
		}
		if want := c.want; len(seen) < want || c.pinned && len(seen) > want+2 {
			t.Errorf("%s: %d rows in all pages, want %d", c.route, len(seen), want)
		}
		for key := range seen {
			if c.pinned && strings.Contains(key, fmt.Sprintf("o:%d ", first.Offset+1)) {
				t.Errorf("%s: %s came after the first page", c.route, key)
			}
		}
	}
}

func TestEntityTag(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	ask := with([]string{"topic", "plant/1"}, []string{"from", "2026-03-04T12:00:00Z", "to", "2026-03-04T12:00:30Z"})
	first := r.get("anna", "range", ask...)
	tag := first.Header().Get("ETag")
	if !strings.HasPrefix(tag, `W/"`) || first.Header().Get("Cache-Control") != "private, no-cache" {
		t.Fatalf("headers %v", first.Header())
	}
	r.write([]history.Point{{Series: history.Series{Topic: "plant/1", Field: "value", Unit: "°C"}, Time: noon.Add(45 * time.Second), Offset: 1001, Value: 1}}, nil) // outside
	for _, list := range []string{tag, strings.TrimPrefix(tag, "W/"), `"x", ` + tag, "*"} {
		w := r.do("anna", "range", http.Header{"If-None-Match": {list}}, ask...)
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 || w.Header().Get(cursorHeader) != epoch+":2000" {
			t.Errorf("If-None-Match: %s: status %d, cursor %s", list, w.Code, w.Header().Get(cursorHeader))
		}
	}
	r.write([]history.Point{{Series: history.Series{Topic: "plant/1", Field: "value", Unit: "°C"}, Time: noon.Add(15 * time.Second), Offset: 2001, Value: 1}}, nil) // inside
	if w := r.do("anna", "range", http.Header{"If-None-Match": {tag}}, ask...); w.Code != http.StatusOK || w.Header().Get("ETag") == tag {
		t.Errorf("after a late point: status %d, tag %s", w.Code, w.Header().Get("ETag"))
	}
	if w := r.do("anna", "range", http.Header{"If-None-Match": {tag}}, append(ask, "format", "csv")...); w.Code != http.StatusOK {
		t.Errorf("another format has the same tag")
	}
}

func TestGapsAreInTheAnswer(t *testing.T) {
	r := newRig(t, nil)
	r.write(nil, nil, history.Gap{Epoch: epoch, From: 5, To: 9, Count: 4, Reason: history.GapEvicted, Begin: noon, End: noon.Add(time.Second)})
	for _, route := range []string{"range", "downsample"} {
		w := r.get("anna", route, with([]string{"topic", "plant/1"}, span)...)
		if b := r.read(w, 200); len(b.Gaps) != 1 || b.Gaps[0].Count != 4 || w.Header().Get(gapsHeader) != "1" {
			t.Errorf("%s: %+v", route, b.Gaps)
		}
	}
	if b := r.ok("anna", "range", "topic", "plant/1", "from", "2026-03-04T13:00:00Z", "to", "2026-03-04T14:00:00Z"); len(b.Gaps) != 0 {
		t.Errorf("a gap of another time: %+v", b.Gaps)
	}
}

// More gaps than an answer shows are not passed over in silence.
func TestManyGaps(t *testing.T) {
	r := newRig(t, nil)
	for i := range uint64(maxGaps + 5) {
		r.write(nil, nil, history.Gap{Epoch: epoch, From: 10 * i, To: 10*i + 1, Count: 1, Reason: history.GapEvicted, Begin: noon, End: noon.Add(time.Second)})
		if i+1 == maxGaps {
			if b := r.ok("anna", "range", with([]string{"topic", "plant/1"}, span)...); len(b.Gaps) != maxGaps || b.More {
				t.Errorf("%d gaps, more %v", len(b.Gaps), b.More)
			}
		}
	}
	w := r.get("anna", "range", with([]string{"topic", "plant/1"}, span)...)
	if b := r.read(w, 200); len(b.Gaps) != maxGaps || b.Gaps[maxGaps-1].From != 10*(maxGaps+4) || !b.More || w.Header().Get(gapsHeader) != "100+" {
		t.Errorf("%d gaps, more %v, header %q", len(b.Gaps), b.More, w.Header().Get(gapsHeader))
	}
}

// Retention that goes on makes no answer new whose data it does not touch.
func TestEntityTagOutlivesRetention(t *testing.T) {
	r := newRig(t, nil)
	path := filepath.Join(t.TempDir(), "history.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Retain: history.Retention{Points: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r.store = s
	r.fill()
	ask := with([]string{"topic", "plant/1"}, span)
	tag, kept := "", int64(0)
	for minute := range 3 {
		if _, err := s.Expire(t.Context(), noon.Add(time.Duration(minute)*time.Minute)); err != nil {
			t.Fatal(err)
		}
		w := r.get("anna", "range", ask...)
		if b := r.read(w, 200); b.Kept <= kept || tag != "" && w.Header().Get("ETag") != tag {
			t.Errorf("kept from %d after %d, tag %s after %s", b.Kept, kept, w.Header().Get("ETag"), tag)
		} else {
			kept = b.Kept
		}
		tag = w.Header().Get("ETag")
	}
}

// What was now for the first page is so for the others.
func TestPagesKeepTheirNow(t *testing.T) {
	now := noon
	r := newRig(t, func(o *Options) { o.Now = func() time.Time { return now } })
	r.fill() // from noon on: a clock that is ahead
	ask := []string{"topic", "plant/1", "from", "now", "to", "2026-03-04T12:00:40Z", "limit", "150"}
	var values []any
	for next := ""; ; now = now.Add(10 * time.Second) {
		more := ask
		if next != "" {
			more = append(slices.Clone(ask), "page", next)
		}
		b := r.ok("anna", "range", more...)
		for _, p := range b.Points {
			values = append(values, p["v"])
		}
		if next = b.Next; next == "" {
			break
		}
	}
	if len(values) != 400 {
		t.Errorf("%d points in all pages, want 400", len(values))
	}
}

// Pages of other sites that the bridge lets in may read where to go on, whatever the format.
func TestHeadersForOtherSites(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	h := r.get("anna", "range", with([]string{"topic", "plant/1", "format", "csv", "limit", "3"}, span)...).Header()
	for _, name := range []string{cursorHeader, nextHeader, gapsHeader, "ETag"} {
		if h.Get(name) == "" || !strings.Contains(strings.Join(h.Values("Access-Control-Expose-Headers"), ", "), name) {
			t.Errorf("%s is not exposed: %v", name, h)
		}
	}
}

// TestEventsAreBoundedByBytes: an answer of the longest payloads ends early and says where it goes on.
func TestEventsAreBoundedByBytes(t *testing.T) {
	r := newRig(t, nil)
	var events []history.Event
	for i := range 900 {
		events = append(events, event("plant/1", noon, uint64(i+1), strings.Repeat("<", history.MaxPayloadBytes)))
	}
	r.write(nil, events)
	seen, next := 0, ""
	for range 10 {
		ask := with([]string{"filter", "#", "limit", "10000"}, span)
		if next != "" {
			ask = append(ask, "page", next)
		}
		w := r.get("anna", "events", ask...)
		if w.Body.Len() > 16<<20 {
			t.Errorf("an answer of %d bytes", w.Body.Len())
		}
		b := r.read(w, 200)
		seen += len(b.Events)
		if next = b.Next; next == "" {
			break
		}
	}
	if seen != len(events) || next != "" {
		t.Errorf("%d events in all pages, want %d", seen, len(events))
	}
}
