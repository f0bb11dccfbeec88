package influx

import (
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/internal/dbtest"
	"plumbline/bridge/journal"
)

func trustworthy(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

// plainServer is asked by TLS and answers without.
func plainServer(t *testing.T) error {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, err := Open(t.Context(), Options{URL: strings.Replace(server.URL, "http://", "https://", 1), Version: 1, Database: "d"})
	return err
}

// recorder takes the place of a server whose write endpoint is to be judged. It is not one: it stores nothing.
type recorder struct {
	t  *testing.T
	mu sync.Mutex

	requests []string // method, path and query of writes
	auth     map[string]bool
	lines    [][]string // of each write
	sizes    []int
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.auth[r.Header.Get("Authorization")] = true
	if strings.HasSuffix(r.URL.Path, "/query") {
		fmt.Fprintln(w, `{"results":[]}`)
		return
	}
	zip, err := gzip.NewReader(r.Body)
	if err != nil || r.Header.Get("Content-Encoding") != "gzip" {
		rec.t.Errorf("%s: the body is not gzip: %v", r.URL, err)
		return
	}
	body, err := io.ReadAll(zip)
	if err != nil {
		rec.t.Error(err)
	}
	rec.requests = append(rec.requests, r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery)
	rec.lines = append(rec.lines, strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"))
	rec.sizes = append(rec.sizes, len(body))
	w.WriteHeader(http.StatusNoContent)
}

func record(t *testing.T, version int) (*recorder, *Store) {
	t.Helper()
	rec := &recorder{t: t, auth: map[string]bool{}}
	server := httptest.NewServer(rec)
	t.Cleanup(server.Close)
	s := open(t, Options{URL: server.URL + "/behind", Version: version, Database: "plumb line", Org: "my org", Credentials: func() (string, error) { return "me\n" + dbtest.Secret + "\n", nil }})
	t.Cleanup(func() { _ = s.Close() })
	return rec, s
}

// TestWriteEndpoints: what versions 1, 2 and 3 document of their write endpoints: path, parameters, unit, credentials.
func TestWriteEndpoints(t *testing.T) {
	for version, want := range map[int]struct{ auth, state, points, same string }{
		1: {"Basic bWU6" + "czNjcmV0LW9mLXRoZS10ZXN0cw==", "POST /write?db=plumb+line_state&precision=ns", "POST /write?db=plumb+line&precision=u", "POST /write?db=plumb+line&precision=ns"},
		2: {"Token me\n" + dbtest.Secret, "POST /api/v2/write?bucket=plumb+line_state&org=my+org&precision=ns", "POST /api/v2/write?bucket=plumb+line&org=my+org&precision=us", "POST /api/v2/write?bucket=plumb+line&org=my+org&precision=ns"},
		3: {"Bearer me\n" + dbtest.Secret, "POST /api/v3/write_lp?db=plumb+line_state&precision=nanosecond", "POST /api/v3/write_lp?db=plumb+line&precision=microsecond", "POST /api/v3/write_lp?db=plumb+line&precision=nanosecond"},
	} {
		rec := &recorder{t: t, auth: map[string]bool{}}
		server := httptest.NewServer(rec)
		credentials := "me\n" + dbtest.Secret + "\n"
		if version > 1 {
			credentials = dbtest.Secret + "\n"
			want.auth = strings.Replace(want.auth, "me\n", "", 1)
		}
		s := open(t, Options{URL: server.URL, Version: version, Database: "plumb line", Org: "my org", Credentials: func() (string, error) { return credentials, nil }})
		series := history.Series{Topic: "a b", Field: "v", Unit: "°C"}
		b := &history.Batch{To: journal.Cursor{Epoch: "e", Offset: 1}, Points: []history.Point{{Series: series, Time: noon, Offset: 1, Value: 2.5}}}
		for range 2 {
			if _, err := s.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			b.Points = append(b.Points, history.Point{Series: series, Time: noon, Offset: 2, Value: 3}) // of the same instant
		}
		got := strings.Join(rec.requests, "\n")
		wantAll := strings.Join([]string{want.state, want.state, want.points, want.state, want.state, want.state, want.same, want.state}, "\n")
		if got != wantAll {
			t.Errorf("version %d:\n%s\nwant\n%s", version, got, wantAll)
		}
		us := strconv.FormatInt(noon.UnixMicro(), 10)
		if line, want := rec.lines[2][0], `points,field=v,topic=a\ b,unit=°C,x=0 seq=281474976710657i,value=2.5 `+us; line != want {
			t.Errorf("version %d: %s, want %s", version, line, want)
		}
		if line, want := rec.lines[6][1], `points,field=v,topic=a\ b,unit=°C,x=0 seq=281474976710658i,value=3 `+us+"001"; line != want {
			t.Errorf("version %d: %s, want %s", version, line, want)
		}
		if len(rec.auth) != 1 || !rec.auth[want.auth] {
			t.Errorf("version %d: authorization %v, want %q", version, rec.auth, want.auth)
		}
		_ = s.Close()
		server.Close()
	}
}

// TestRequestsAreBounded: 5,000 lines and 10 MB, as InfluxDB advises.
func TestRequestsAreBounded(t *testing.T) {
	rec, s := record(t, 1)
	b := &history.Batch{To: journal.Cursor{Epoch: "e", Offset: 1 << 20}}
	for i := range uint64(12_001) {
		b.Points = append(b.Points, history.Point{Series: history.Series{Topic: "t"}, Time: noon.Add(time.Duration(i) * time.Millisecond), Offset: i + 1, Value: 1})
	}
	for i := range uint64(6000) {
		b.Events = append(b.Events, history.Event{Topic: "t", Time: noon, Offset: 20_000 + i, Payload: make([]byte, history.MaxPayloadBytes)})
	}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, lines := range rec.lines {
		if len(lines) > 5000 || rec.sizes[i] > 10_000_000 {
			t.Errorf("request %d has %d lines and %d bytes", i, len(lines), rec.sizes[i])
		}
		if strings.Contains(rec.requests[i], "line&") {
			total += len(lines)
		}
	}
	if total != 18_001 {
		t.Errorf("%d lines of points and events, want 18001", total)
	}
}

func TestN99InfluxErrorsHoldNoSecret(t *testing.T) {
	server := dbtest.NewInflux(t, true)
	makeUser(t, server)
	const wrong = "another-s3cret"
	_, err := Open(t.Context(), Options{URL: server.URL(), Version: 1, Database: "d", Credentials: func() (string, error) { return "plumbline\n" + wrong, nil }})
	if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), wrong) {
		t.Errorf("%v, want 401 without the password", err)
	}
	for _, u := range []string{"http://u:" + wrong + "@127.0.0.1:1", "http://127.0.0.1:1/?p=" + wrong, "ftp://" + wrong, wrong, "http://[" + wrong} {
		if _, err := Open(t.Context(), Options{URL: u, Version: 1, Database: "d"}); err == nil || strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %v", u, err)
		}
	}
	var leaked bool
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked = true }))
	defer thief.Close()
	moved := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer moved.Close()
	if _, err := Open(t.Context(), Options{URL: moved.URL, Version: 2, Database: "d", Credentials: func() (string, error) { return wrong, nil }}); err == nil || leaked {
		t.Errorf("a redirect was followed: %v", err)
	}
}

// makeUser makes the first user of a server, which anybody may.
func makeUser(t *testing.T, server *dbtest.Server) {
	t.Helper()
	c, err := newClient(Options{URL: server.URL(), Version: 1, Database: "d"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.query(t.Context(), "", `CREATE USER "plumbline" WITH PASSWORD `+literal(dbtest.Secret)+` WITH ALL PRIVILEGES`); err != nil {
		t.Fatal(err)
	}
}

// TestUserAndRetention: the real server knows the user, keeps what it is told to, and refuses older points, which is no error.
func TestUserAndRetention(t *testing.T) {
	server := dbtest.NewInflux(t, true)
	admin := Options{URL: server.URL(), Version: 1, Database: "d", Credentials: func() (string, error) { return "plumbline\n" + dbtest.Secret, nil }, Retain: history.Retention{Points: 48 * time.Hour, Events: 2 * time.Hour}}
	makeUser(t, server)
	for _, want := range []string{"48h0m0s", "72h0m0s"} {
		s := open(t, admin)
		got, err := s.c.query(t.Context(), "", `SHOW RETENTION POLICIES ON "d"`)
		if err != nil || len(got[0]) == 0 || fmt.Sprint(got[0][0].Values[0][:2]) != "[plumbline "+want+"]" {
			t.Errorf("retention %v, %v; want %s", got, err, want)
		}
		at, err := s.Cursor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		now, series := time.Now(), history.Series{Topic: "t"}
		b := &history.Batch{From: at, To: journal.Cursor{Epoch: "e", Offset: at.Offset + 2}, Points: []history.Point{
			{Series: series, Time: now.Add(-1000 * time.Hour), Offset: at.Offset + 1, Value: 1}, {Series: series, Time: now, Offset: at.Offset + 2, Value: 1}}}
		if _, err := s.Write(t.Context(), b); err != nil {
			t.Errorf("an old point: %v", err)
		}
		if more, err := s.Expire(t.Context(), now); more || err != nil {
			t.Error(more, err)
		}
		page, err := s.Range(t.Context(), history.RangeQuery{Series: series, From: time.Unix(0, 0), To: now.Add(time.Hour), Limit: 10})
		if err != nil || len(page.Points) != int(at.Offset/2)+1 {
			t.Errorf("%d points, %v; want those that are not too old", len(page.Points), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		admin.Retain.Points = 72 * time.Hour
	}
}
