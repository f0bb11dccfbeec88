package influx

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/devca"
	"plumbline/bridge/history"
	"plumbline/bridge/internal/dbtest"
	"plumbline/bridge/journal"
)

// noon is the time around which the tests happen.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// hostile is text that would be more than a name or a value if it were not escaped: lines, tags, fields, statements.
var hostile = []string{
	"a\npoints,topic=evil value=1 1", "a,topic=evil", "a value=1", `a" value=1`, `a\`, `a\\`, `a\,b\=c\ d`, `a\n`, "a\r\n", "a\x00b", "%", "%%", "%0A", "%zz", "", " ", "=", ",", "#", "'", `\'`, `'; DROP DATABASE plumbline; --`,
	`' OR '1' = '1`, `') OR ("topic" =~ /.*/`, "a\tb", "\xff\xfe", "\xc3(", "é", `"`, `\"`, "/.*/", "x$", "1i", "t", "true",
}

// TestN97InfluxNamesAndPayloads: whatever a topic, field, unit or payload holds, it is that, and nothing else is written or read.
func TestN97InfluxNamesAndPayloads(t *testing.T) {
	server := dbtest.NewInflux(t, false)
	s := open(t, Options{URL: server.URL(), Version: 1, Database: "plumbline"})
	b := &history.Batch{To: journal.Cursor{Epoch: "e'\"\\\n,= ", Offset: 10_000}}
	for i, text := range hostile {
		at, offset := noon.Add(time.Duration(i)*time.Second), uint64(i+1)
		b.Points = append(b.Points,
			history.Point{Series: history.Series{Topic: text, Field: "f", Unit: "u"}, Time: at, Offset: offset, Value: 1},
			history.Point{Series: history.Series{Topic: "t", Field: text, Unit: "u"}, Time: at, Offset: offset, Value: 2},
			history.Point{Series: history.Series{Topic: "t", Field: "f", Unit: text}, Time: at, Offset: offset, Value: 3})
		b.Events = append(b.Events, history.Event{Topic: "p" + text, Field: text, Time: at, Offset: offset, Payload: []byte(text), Size: len(text)})
	}
	b.Gaps = []history.Gap{{Epoch: b.To.Epoch, From: 1, To: 2, Count: 1, Reason: "a,b=c d\\", Begin: noon, End: noon}}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for range 2 { // as known by heart, and as read from the database
		seen(t, s, b)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, Options{URL: server.URL(), Version: 1, Database: "plumbline"})
	}
	defer func() { _ = s.Close() }()
	got, err := s.c.query(t.Context(), "plumbline", "SHOW MEASUREMENTS", "SHOW TAG KEYS", "SHOW FIELD KEYS", "SHOW SERIES", "SHOW DATABASES")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2, 7, 6, 4 * len(hostile), 2} {
		n := 0
		for _, part := range got[i] {
			n += len(part.Values)
		}
		if n != want {
			t.Errorf("answer %d has %d rows, want %d: %v", i, n, want, got[i])
		}
	}
}

// seen checks that the store gives back the batch.
func seen(t *testing.T, s *Store, b *history.Batch) {
	t.Helper()
	list, err := s.List(t.Context(), history.ListQuery{Filter: "#", Limit: 10_000})
	if err != nil || len(list.Series) != len(b.Points)+len(b.Events) {
		t.Errorf("%d series, %v; want %d", len(list.Series), err, len(b.Points)+len(b.Events))
	}
	for _, p := range b.Points {
		page, err := s.Range(t.Context(), history.RangeQuery{Series: p.Series, From: noon, To: noon.Add(time.Hour), Limit: 10})
		p.Epoch = b.To.Epoch
		if err != nil || len(page.Points) != 1 || page.Points[0] != p {
			t.Errorf("%q: %+v, %v", p.Series, page.Points, err)
		}
		a, err := s.Aggregate(t.Context(), history.AggregateQuery{Series: p.Series, From: noon, To: noon.Add(time.Hour), Step: time.Hour})
		if err != nil || len(a.Buckets) != 1 || a.Buckets[0].Count != 1 {
			t.Errorf("%q: %+v, %v", p.Series, a.Buckets, err)
		}
	}
	events, err := s.Events(t.Context(), history.EventQuery{Filter: "#", From: noon, To: noon.Add(time.Hour), Limit: 1000})
	if err != nil || len(events.Events) != len(b.Events) {
		t.Fatalf("%d events, %v; want %d", len(events.Events), err, len(b.Events))
	}
	for i, e := range events.Events {
		if want := b.Events[i]; e.Topic != want.Topic || e.Field != want.Field || string(e.Payload) != string(want.Payload) {
			t.Errorf("event %d is %+v, want %+v", i, e, want)
		}
	}
	gaps, err := s.Gaps(t.Context(), noon.Add(-time.Hour), noon.Add(time.Hour), 10)
	if err != nil || len(gaps) != 1 || gaps[0] != b.Gaps[0] {
		t.Errorf("gaps %+v, %v; want %+v", gaps, err, b.Gaps)
	}
}

// flaky loses a request, or the answer to it.
type flaky struct {
	http.RoundTripper
	broken   func(r *http.Request) bool
	answered bool // the server gets the request
}

func (f flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	if !f.broken(r) {
		return f.RoundTripper.RoundTrip(r)
	}
	if f.answered {
		resp, err := f.RoundTripper.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		_ = resp.Body.Close()
	}
	return nil, errors.New("the connection broke")
}

// TestBrokenBeforeTheCursor: the points are there, the cursor is not, the journal is read again in other batches. Nothing shows
// before the cursor says so, and then everything is there once.
func TestBrokenBeforeTheCursor(t *testing.T) {
	server := dbtest.NewInflux(t, false)
	o := Options{URL: server.URL(), Version: 1, Database: "plumbline"}
	s := open(t, o)
	series := history.Series{Topic: "t", Field: "value"}
	batch := func(from, to uint64) *history.Batch { // three readings at each instant, across the batches
		b := &history.Batch{From: journal.Cursor{Epoch: "e", Offset: from}, To: journal.Cursor{Epoch: "e", Offset: to}}
		if from == 0 {
			b.From = journal.Cursor{}
		}
		for i := from + 1; i <= to; i++ {
			b.Points = append(b.Points, history.Point{Series: series, Time: noon.Add(time.Duration(i/3) * time.Microsecond), Offset: i, Value: float64(i)})
		}
		return b
	}
	if _, err := s.Write(t.Context(), batch(0, 100)); err != nil {
		t.Fatal(err)
	}
	state := 0
	intact := s.c.http.Transport
	s.c.http.Transport = flaky{intact, func(r *http.Request) bool {
		if r.URL.Path == "/write" && r.URL.Query().Get("db") == "plumbline_state" {
			state++
		}
		return state > 1 // the intent passes, the cursor does not
	}, false}
	if _, err := s.Write(t.Context(), batch(100, 200)); err == nil {
		t.Fatal("the write succeeded without its cursor")
	}
	s.c.http.Transport = intact
	whole(t, s, series, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	defer func() { _ = s.Close() }()
	whole(t, s, series, 100)
	for _, b := range []*history.Batch{batch(100, 150), batch(150, 301)} { // other borders than before
		if _, err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		whole(t, s, series, b.To.Offset)
	}
}

// TestAnswerToTheCursorLost: all is stored and the bridge does not know.
func TestAnswerToTheCursorLost(t *testing.T) {
	server := dbtest.NewInflux(t, false)
	s := open(t, Options{URL: server.URL(), Version: 1, Database: "plumbline"})
	defer func() { _ = s.Close() }()
	b := &history.Batch{To: journal.Cursor{Epoch: "e", Offset: 1}, Points: []history.Point{{Series: history.Series{Topic: "t"}, Time: noon, Offset: 1, Value: 1}}}
	state, intact := 0, s.c.http.Transport
	s.c.http.Transport = flaky{intact, func(r *http.Request) bool {
		if r.URL.Path == "/write" && r.URL.Query().Get("db") == "plumbline_state" {
			state++
		}
		return state == 3 // epoch, intent, cursor
	}, true}
	if _, err := s.Write(t.Context(), b); err == nil {
		t.Fatal("the write succeeded without an answer")
	}
	s.c.http.Transport = intact
	if at, err := s.Cursor(t.Context()); err != nil || at != b.To {
		t.Errorf("cursor %v, %v; want that of the batch", at, err)
	}
	whole(t, s, history.Series{Topic: "t"}, 1)
}

// whole checks that the points 1 to n are there and none else, in order, page by page both ways, and that statistics count them.
func whole(t *testing.T, s *Store, series history.Series, n uint64) {
	t.Helper()
	for _, descending := range []bool{false, true} {
		var got []uint64
		q := history.RangeQuery{Series: series, From: noon, To: noon.Add(time.Hour), Limit: 700, Descending: descending}
		q.Until = journal.Cursor{Epoch: "e", Offset: n + 1000} // which is beyond what is committed, and tells nothing
		for more := true; more; {
			page, err := s.Range(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page.Points {
				got = append(got, uint64(p.Value))
				q.After = &history.Position{Time: p.Time, Epoch: p.Epoch, Offset: p.Offset}
			}
			more = page.More
		}
		if descending {
			slices.Reverse(got)
		}
		for i := range got {
			if got[i] != uint64(i+1) {
				t.Fatalf("place %d holds point %d (descending %v)", i+1, got[i], descending)
			}
		}
		if uint64(len(got)) != n {
			t.Fatalf("%d points, want %d (descending %v)", len(got), n, descending)
		}
	}
	a, err := s.Aggregate(t.Context(), history.AggregateQuery{Series: series, From: noon, To: noon.Add(time.Hour), Step: time.Hour})
	if err != nil || len(a.Buckets) != 1 || uint64(a.Buckets[0].Count) != n {
		t.Fatalf("statistics %+v, %v; want %d points", a.Buckets, err, n)
	}
}

// TestManyAtOneInstant: a device whose clock stands still sends thousands of readings of one time.
func TestManyAtOneInstant(t *testing.T) {
	server := dbtest.NewInflux(t, false)
	s := open(t, Options{URL: server.URL(), Version: 1, Database: "plumbline"})
	defer func() { _ = s.Close() }()
	stuck, other := history.Series{Topic: "stuck", Field: "value"}, history.Series{Topic: "other", Field: "value"}
	at := journal.Cursor{}
	for _, to := range []uint64{900, 1100, 2500, 2501} {
		b := &history.Batch{From: at, To: journal.Cursor{Epoch: "e", Offset: to}}
		for i := at.Offset + 1; i <= to; i++ {
			b.Points = append(b.Points, history.Point{Series: stuck, Time: noon, Offset: i, Value: float64(i)}, history.Point{Series: other, Time: noon.Add(time.Duration(i)), Offset: i, Value: float64(i)})
		}
		if _, err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		at = b.To
		whole(t, s, stuck, to)
		whole(t, s, other, to)
		if to == 1100 { // another begins where this one ended
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, Options{URL: server.URL(), Version: 1, Database: "plumbline"})
		}
	}
	page, err := s.Latest(t.Context(), history.ListQuery{Filter: "stuck", Limit: 1})
	if err != nil || len(page.Points) != 1 || page.Points[0].Offset != 2501 {
		t.Errorf("latest %+v, %v; want the last entry", page.Points, err)
	}
}

func TestN89InfluxServerThatIsNotTheOneMeant(t *testing.T) {
	for _, u := range []string{"http://influx.example:8086", "http://192.0.2.7:8086", "http://localhost.example:8086", "http://127.0.0.1.example"} {
		if _, err := Open(t.Context(), Options{URL: u, Version: 1, Database: "d"}); !errors.Is(err, ErrInsecure) {
			t.Errorf("%s: %v, want ErrInsecure", u, err)
		}
	}
	dirs := map[string]string{"good": t.TempDir(), "other": t.TempDir(), "expired": t.TempDir(), "elsewhere": t.TempDir()}
	servers := map[string]*httptest.Server{}
	for _, name := range slices.Sorted(maps.Keys(dirs)) {
		now := time.Now()
		if name == "expired" {
			now = now.Add(-2 * devca.LeafLife)
		}
		cert, err := devca.Ensure(dirs[name], now)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"results":[]}`) }))
		if server.TLS = trustworthy(cert); name == "elsewhere" { // its certificate is for other addresses
			_ = server.Listener.Close()
			if server.Listener, err = net.Listen("tcp", "127.0.0.2:0"); err != nil {
				t.Fatal(err)
			}
		}
		server.StartTLS()
		defer server.Close()
		servers[name] = server
	}
	try := func(server, ca, host string) error {
		u := strings.Replace(servers[server].URL, "127.0.0.1", host, 1)
		s, err := Open(t.Context(), Options{URL: u, Version: 2, Database: "d", CA: filepath.Join(dirs[ca], devca.CAFile), Credentials: func() (string, error) { return dbtest.Secret, nil }})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	if err := try("good", "good", "localhost"); err != nil {
		t.Errorf("the right server: %v", err)
	}
	for what, err := range map[string]error{
		"unknown authority": try("good", "other", "127.0.0.1"), "certificate is valid for": try("elsewhere", "elsewhere", "127.0.0.2"), "expired": try("expired", "expired", "127.0.0.1"), "gave HTTP response to HTTPS client": plainServer(t),
	} {
		if err == nil || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), dbtest.Secret) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

// TestTimesThatInfluxCannotCount: they are refused and counted, and harm nothing beside them.
func TestTimesThatInfluxCannotCount(t *testing.T) {
	server := dbtest.NewInflux(t, false)
	s := open(t, Options{URL: server.URL(), Version: 1, Database: "plumbline"})
	defer func() { _ = s.Close() }()
	series := history.Series{Topic: "t", Field: "value"}
	b := &history.Batch{To: journal.Cursor{Epoch: "e", Offset: 3}}
	for i, at := range []time.Time{time.Unix(-1, 0), noon, time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)} {
		b.Points = append(b.Points, history.Point{Series: series, Time: at, Offset: uint64(i + 1), Value: 1})
	}
	if w, err := s.Write(t.Context(), b); err != nil || w != (history.Written{Points: 1, Refused: 2}) {
		t.Errorf("%+v, %v; want one stored and two refused", w, err)
	}
	whole(t, s, series, 1)
}
