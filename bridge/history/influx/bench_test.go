package influx

import (
	"testing"

	"plumbline/bridge/history/storetest"
	"plumbline/bridge/internal/dbtest"
)

// BenchmarkTenMillion is on a server with InfluxDB's default settings. There are no rollups: a plot is computed from the points.
func BenchmarkTenMillion(b *testing.B) {
	server := dbtest.NewInflux(b, false)
	s, err := Open(b.Context(), Options{URL: server.URL(), Version: 1, Database: "plumbline"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	storetest.TenMillion(b, s, server.Size)
}
