package bridge

import (
	"encoding/json"
	"net/http"
	"net/http/pprof" // it also registers with http.DefaultServeMux, which no listener of ours serves

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"plumbline/bridge/ingest/external"
)

// opsHandler serves health and metrics. It is on its own listener and never on the viewers'.
func (b *Bridge) opsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := b.notReady(); why != "" {
			answer(w, http.StatusServiceUnavailable, b.readiness("not ready", why))
			return
		}
		answer(w, http.StatusOK, b.readiness("ready", ""))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.m.Registry, promhttp.HandlerOpts{}))
	if b.cfg.Ops.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and the profiles by name
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// Alive returns once every part of the bridge has answered. It hangs when one does: a watchdog that asks learns by it.
func (b *Bridge) Alive() {
	_ = b.journal.Head()
	_ = b.hub.Stats()
	_ = b.wire.Sessions()
}

// notReady says why the bridge should get no new clients; "" when it should.
func (b *Bridge) notReady() string {
	switch {
	case b.draining.Load():
		return "draining"
	case !b.ready.Load():
		return "starting"
	}
	if err := b.journal.Err(); err != nil {
		return err.Error()
	}
	return b.cutOff()
}

// readiness is the body of /readyz.
type readiness struct {
	Status   string            `json:"status"`
	Reason   string            `json:"reason,omitempty"`
	External []external.Status `json:"external,omitempty"`
	Alarms   []string          `json:"alarms,omitempty"` // what to mend while it goes on serving
}

func (b *Bridge) readiness(status, reason string) readiness {
	all, _ := b.external.Status()
	return readiness{status, reason, all, b.alarms()}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the peer is gone when this fails
}

// watch registers the figures that are read at scrape time.
func (b *Bridge) watch() {
	b.m.Watch("bridge_log_head", "Offset of the youngest entry of the journal.", func() float64 { return float64(b.journal.Head().Offset) })
	b.m.Watch("bridge_log_first", "Oldest offset that is still readable.", func() float64 { return float64(b.journal.First()) })
	b.m.Watch("bridge_log_disk_bytes", "Size of the journal on disk.", func() float64 { return float64(b.journal.Stats().DiskBytes) })
	b.m.Watch("bridge_log_tail_bytes", "Size of the journal's memory tail.", func() float64 { return float64(b.journal.Stats().TailBytes) })
	b.m.Watch("bridge_log_topics", "Topics with a last value.", func() float64 { return float64(b.journal.Stats().Topics) })
	b.m.WatchTotal("bridge_log_syncs_total", "fsync calls of the journal.", func() float64 { return float64(b.journal.Stats().Syncs) })
	b.m.Watch("bridge_log_degraded", "1 while the journal refuses messages.", func() float64 {
		if b.journal.Err() != nil {
			return 1
		}
		return 0
	})
	b.m.Watch("bridge_ws_groups", "Groups of equal subscriptions.", func() float64 { return float64(b.hub.Stats().Groups) })
	b.m.Watch("bridge_ws_queue_bytes", "Encoded batches kept for viewers.", func() float64 { return float64(b.hub.Stats().RingBytes) })
	b.m.Watch("bridge_ws_lag_offsets", "Entries of the journal that are not fanned out yet.", func() float64 {
		head, at := b.journal.Head().Offset, b.hub.Stats().Position
		return float64(head - min(head, at))
	})
}
