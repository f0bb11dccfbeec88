package external

import (
	"path/filepath"
	"testing"
	"time"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// BenchmarkCatchUp: how fast messages that waited at a Mosquitto for an absent bridge come into the journal, by policy.
func BenchmarkCatchUp(b *testing.B) {
	for _, sync := range []journal.SyncPolicy{journal.SyncOS, journal.SyncDurable} {
		b.Run(string(sync), func(b *testing.B) {
			broker := brokertest.New(b, brokertest.Lines+"max_inflight_messages 1000\n")
			o := testOptions(b, broker.Addr)
			j, err := journal.Open(journal.Options{Dir: filepath.Join(b.TempDir(), "journal"), Sync: sync})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = j.Close() }()
			o.Journal, o.ReceiveMaximum = j, 1000
			start(b, o).connected().stop()
			p := brokertest.NewPublisher(b, broker.Addr, 10_000, false, "x")
			p.Await(20_000)
			counts, _ := p.Finish()
			o.Metrics = newMetrics()
			b.ResetTimer()
			began := time.Now()
			start(b, o)
			eventually.Must(b, "everything to be stored", func() bool { return j.Head().Offset >= uint64(counts["x"]) })
			b.ReportMetric(float64(counts["x"])/time.Since(began).Seconds(), "msg/s")
		})
	}
}
