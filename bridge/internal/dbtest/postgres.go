package dbtest

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Secret is the password of every server.
const Secret = "s3cret-of-the-tests"

// NewPostgres starts a PostgreSQL with these further settings, each NAME=VALUE. It is stopped when the test ends. The test
// fails, with what to do, when PostgreSQL is not installed.
func NewPostgres(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	postgres := find(tb, "postgres", "postgresql", "/usr/lib/postgresql/*/bin/postgres")
	s := newServer(tb, unprivileged("postgres", "nobody"))
	pw, data := filepath.Join(s.Dir, "password"), filepath.Join(s.Dir, "data")
	if err := os.WriteFile(pw, []byte(Secret), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.Own(pw)
	initdb := s.command(filepath.Join(filepath.Dir(postgres), "initdb"), "-D", data, "-U", "plumbline", "--pwfile="+pw, "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync")
	if err := initdb.Run(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, s.Log())
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	s.args = []string{postgres, "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1,127.0.0.2", "-c", "unix_socket_directories=" + s.Dir}
	for _, text := range settings {
		s.args = append(s.args, "-c", text)
	}
	s.ready = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		c, err := pgx.Connect(ctx, s.DSN("127.0.0.1", ""))
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}
	s.Start()
	return s
}

// DSN returns the connection string for the server by another name of this machine, with parameters such as
// "sslmode=verify-full".
func (s *Server) DSN(host, parameters string) string {
	_, port, _ := net.SplitHostPort(s.Addr)
	u := url.URL{Scheme: "postgres", User: url.UserPassword("plumbline", Secret), Host: net.JoinHostPort(host, port), Path: "/postgres", RawQuery: parameters}
	return u.String()
}

// HasExtension reports whether PostgreSQL finds the files of an extension.
func HasExtension(name string) bool {
	found, _ := filepath.Glob("/usr/share/postgresql/*/extension/" + name + ".control") // the pattern is well formed
	return len(found) > 0
}
