package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"plumbline/bridge/history"
	"plumbline/bridge/history/storetest"
	"plumbline/bridge/internal/dbtest"
)

// fast lets a server forget what the machine's crash would make it forget; a kill is none.
const fast = "fsync=off"

func fixed(dsn string) func() (string, error) { return func() (string, error) { return dsn, nil } }

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	conformance(t, dbtest.NewPostgres(t, fast), true)
}

// conformance runs the checks, each in a schema of its own.
func conformance(t *testing.T, server *dbtest.Server, plain bool) {
	t.Helper()
	schemas := 0
	storetest.Run(t, func(t *testing.T, o storetest.Options) func() history.Store {
		t.Helper()
		schemas++
		schema := fmt.Sprintf("Check %d", schemas)
		return func() history.Store {
			return open(t, Options{DSN: fixed(server.DSN("127.0.0.1", "")), Schema: schema, Retain: o.Retain, MaxSeries: o.MaxSeries, NoTimescale: plain})
		}
	}, storetest.Traits{})
}

// connect speaks SQL beside the store until the test ends.
func connect(t *testing.T, server *dbtest.Server) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), server.DSN("127.0.0.1", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func ask(t *testing.T, server *dbtest.Server, text string, args ...any) (n int64) {
	t.Helper()
	if err := connect(t, server).QueryRow(t.Context(), text, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
