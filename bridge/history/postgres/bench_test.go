package postgres

import (
	"testing"

	"plumbline/bridge/history/storetest"
	"plumbline/bridge/internal/dbtest"
)

// BenchmarkTenMillion is with all rollups, on a server with PostgreSQL's default settings but for the memory that a server of its
// own has, and the write-ahead log that a server under load wants.
func BenchmarkTenMillion(b *testing.B) {
	server := dbtest.NewPostgres(b, "shared_buffers=1GB", "max_wal_size=8GB")
	s, err := Open(b.Context(), Options{DSN: fixed(server.DSN("127.0.0.1", "")), NoTimescale: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	storetest.TenMillion(b, s, func() (n int64, err error) {
		err = s.reader.QueryRow(b.Context(), "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'plumbline'::regnamespace").Scan(&n)
		return n, err
	})
}
