package postgres

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/devca"
	"plumbline/bridge/history"
	"plumbline/bridge/internal/dbtest"
	"plumbline/bridge/journal"
)

// authority makes a CA with a server certificate for loopback, whose key the server may read, and returns the folder.
func authority(t *testing.T, server *dbtest.Server, name string, now time.Time) string {
	t.Helper()
	dir := filepath.Join(server.Dir, name)
	if _, err := devca.Ensure(dir, now); err != nil {
		t.Fatal(err)
	}
	server.Own(dir)
	for _, file := range []string{devca.CAFile, devca.ServerFile, devca.ServerKeyFile} {
		server.Own(filepath.Join(dir, file))
	}
	return dir
}

func TestN89PostgresServerThatIsNotTheOneMeant(t *testing.T) {
	server := dbtest.NewPostgres(t, fast)
	good := authority(t, server, "good", time.Now())
	other := authority(t, server, "other", time.Now())
	expired := authority(t, server, "expired", time.Now().Add(-2*devca.LeafLife))
	verify := func(host, dir string) error {
		s, err := Open(t.Context(), Options{DSN: fixed(server.DSN(host, "sslmode=verify-full&sslrootcert="+filepath.Join(dir, devca.CAFile)))})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	wantError := func(what string, err error, part string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), dbtest.Secret) {
			t.Errorf("%s: %v, want %q without the password", what, err, part)
		}
	}
	wantError("a server without TLS", verify("localhost", good), "refused TLS")
	server.Restart("ssl=on", "ssl_cert_file="+filepath.Join(good, devca.ServerFile), "ssl_key_file="+filepath.Join(good, devca.ServerKeyFile))
	if err := verify("localhost", good); err != nil {
		t.Errorf("the right server: %v", err)
	}
	wantError("a wrong host name", verify("127.0.0.2", good), "certificate is valid for")
	wantError("an unknown authority", verify("localhost", other), "unknown authority")
	server.Restart("ssl=on", "ssl_cert_file="+filepath.Join(expired, devca.ServerFile), "ssl_key_file="+filepath.Join(expired, devca.ServerKeyFile))
	wantError("an expired certificate", verify("localhost", expired), "expired")
}

func TestN89PostgresIsNotAskedWithoutTLSBeyondThisMachine(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	for _, dsn := range []string{
		"postgres://u:" + dbtest.Secret + "@db.example:5432/x", "postgres://u:" + dbtest.Secret + "@db.example/x?sslmode=disable", "postgres://u:" + dbtest.Secret + "@192.0.2.7/x?sslmode=allow",
		"postgres://u:" + dbtest.Secret + "@db.example/x?sslmode=prefer", "postgres://u:" + dbtest.Secret + "@db.example/x?sslmode=require", "postgres://u:" + dbtest.Secret + "@db.example/x?sslmode=verify-ca",
		"postgres://u:" + dbtest.Secret + "@localhost,db.example/x?sslmode=prefer", "host=localhost,db.example user=u password=" + dbtest.Secret, "host=127.0.0.1.example user=u password=" + dbtest.Secret,
		"postgres://u:" + dbtest.Secret + "@localhost.example/x", "postgres://u:" + dbtest.Secret + "@%5B2001:db8::1%5D/x?sslmode=require",
	} {
		_, err := Open(t.Context(), Options{DSN: fixed(dsn)})
		if !errors.Is(err, ErrInsecure) && !errors.Is(err, ErrDSN) || strings.Contains(err.Error(), dbtest.Secret) {
			t.Errorf("%s: %v, want ErrInsecure", strings.ReplaceAll(dsn, dbtest.Secret, "…"), err)
		}
	}
	for _, dsn := range []string{"postgres://db.example/x?sslmode=verify-full", "postgres://localhost/x", "postgres://127.0.0.7/x", "postgres://[::1]/x", "host=/run/postgresql", "host=db.example,localhost sslmode=verify-full"} {
		if _, err := dsnOf(Options{DSN: fixed(dsn)}); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestN99PostgresErrorsHoldNoPassword(t *testing.T) {
	server := dbtest.NewPostgres(t, fast)
	const wrong = "another-s3cret"
	for _, dsn := range []string{
		strings.Replace(server.DSN("127.0.0.1", ""), dbtest.Secret, wrong, 1), strings.Replace(server.DSN("127.0.0.1", "sslmode=nonsense"), dbtest.Secret, wrong, 1),
		"postgres://u:" + wrong + "/more@127.0.0.1/x", "postgres://u:" + wrong + "%zz@127.0.0.1/x", "host=127.0.0.1 port=x password=" + wrong, "password=" + wrong + " host='", wrong, "",
		"postgres://u:" + wrong + "@127.0.0.1:1/x", "postgres://u:" + wrong + "@127.0.0.1/x?sslmode=verify-full&sslrootcert=/nowhere",
	} {
		s, err := Open(t.Context(), Options{DSN: fixed(dsn)})
		if err == nil {
			_ = s.Close()
			t.Errorf("%q was accepted", dsn)
			continue
		}
		if strings.Contains(fmt.Sprintf("%v %+v", err, err), wrong) {
			t.Errorf("the error holds the password: %v", err)
		}
	}
	changed := dbtest.Secret
	s := open(t, Options{DSN: func() (string, error) {
		return strings.Replace(server.DSN("127.0.0.1", ""), dbtest.Secret, changed, 1), nil
	}})
	defer func() { _ = s.Close() }()
	ask(t, server, "SELECT 1")
	changed = "a-new-s3cret"
	alter(t, server, "ALTER USER plumbline PASSWORD '"+changed+"'")
	s.reader.Reset()
	if _, err := s.Cursor(t.Context()); err != nil {
		t.Errorf("after the password was changed on both sides: %v", err)
	}
}

// TestNamesLongerThanAnIndexAllows: MQTT allows topics of 65,535 bytes, an index of PostgreSQL entries of 2,700.
func TestNamesLongerThanAnIndexAllows(t *testing.T) {
	server := dbtest.NewPostgres(t, fast)
	s := open(t, Options{DSN: fixed(server.DSN("127.0.0.1", ""))})
	defer func() { _ = s.Close() }()
	b := &history.Batch{To: journal.Cursor{Epoch: "e", Offset: 9}}
	var topics []string
	for i := range uint64(4) { // they differ at the end only, and cannot be compressed
		topic := incompressible(65_000) + fmt.Sprint(i)
		topics = append(topics, topic)
		b.Points = append(b.Points, history.Point{Series: history.Series{Topic: topic, Field: incompressible(9000), Unit: "K"}, Time: time.Now(), Offset: i + 1, Value: 1})
	}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	q := history.ListQuery{Filter: "#", Limit: 1}
	for _, topic := range topics {
		page, err := s.List(t.Context(), q)
		if err != nil || len(page.Series) != 1 || page.Series[0].Topic != topic {
			t.Fatalf("%d series, %v", len(page.Series), err)
		}
		q.After = &page.Series[0]
	}
}

// TestPointsThatAreThereAlready: somebody gave back points from a copy, and the cursor is older: the rollups count each once.
func TestPointsThatAreThereAlready(t *testing.T) {
	server := dbtest.NewPostgres(t, fast)
	s := open(t, Options{DSN: fixed(server.DSN("127.0.0.1", ""))})
	defer func() { _ = s.Close() }()
	series, now := history.Series{Topic: "t", Field: "value"}, time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	batch := func(from, to uint64) *history.Batch {
		b := &history.Batch{To: journal.Cursor{Epoch: "e", Offset: to}}
		if from > 0 {
			b.From = journal.Cursor{Epoch: "e", Offset: from}
		}
		for i := from + 1; i <= to; i++ {
			b.Points = append(b.Points, history.Point{Series: series, Time: now.Add(time.Duration(i) * time.Second), Offset: i, Value: 1})
		}
		return b
	}
	for _, b := range []*history.Batch{batch(0, 10), batch(10, 20)} {
		if _, err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	alter(t, server, `UPDATE plumbline.state SET "offset" = 10`)
	b, fresh := batch(10, 30), history.Series{Topic: "new", Field: "value"}
	b.Points = append(b.Points, history.Point{Series: fresh, Time: now, Offset: 30, Value: 7})
	if w, err := s.Write(t.Context(), b); err != nil || w.Points != 11 {
		t.Fatalf("%+v, %v; want the 11 points that are new", w, err)
	}
	page, err := s.Range(t.Context(), history.RangeQuery{Series: fresh, From: now, To: now.Add(time.Second), Limit: 2})
	if err != nil || len(page.Points) != 1 || page.Points[0].Value != 7 {
		t.Errorf("%+v, %v; want the point of a series that began in this batch", page.Points, err)
	}
	a, err := s.Aggregate(t.Context(), history.AggregateQuery{Series: series, From: now, To: now.Add(time.Hour), Step: time.Hour})
	if err != nil || len(a.Buckets) != 1 || a.Buckets[0].Count != 30 {
		t.Errorf("%+v, %v; want 30 points counted once", a.Buckets, err)
	}
}

func incompressible(n int) string {
	text := make([]byte, n)
	state := uint32(7)
	for i := range text {
		state = state*1664525 + 1013904223
		text[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[state>>26]
	}
	return string(text)
}

func alter(t *testing.T, server *dbtest.Server, text string) {
	t.Helper()
	c := connect(t, server)
	if _, err := c.Exec(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}
