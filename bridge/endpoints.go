package bridge

import (
	"context"
	"net/http"
	"sync"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/wire/httpwire"
)

func (b *Bridge) httpwireOptions(v *auth.Verifier) httpwire.Options {
	c := b.cfg.Viewers
	return httpwire.Options{
		Hub: b.hub, Journal: b.journal, Door: door{b, v}, Heartbeat: c.Heartbeat.D(), WriteTimeout: c.WriteTimeout.D(), MaxStreams: c.MaxStreams,
		MaxPerAddress: c.MaxPerAddress, MaxPerSubject: c.MaxPerSubject, Metrics: b.m, Log: b.log,
	}
}

// routeHTTP adds the endpoints for viewers that speak plain HTTP.
func (b *Bridge) routeHTTP(mux *http.ServeMux) {
	mux.Handle("/sse", b.httpwire.Events())
	mux.Handle("/poll", b.httpwire.Poll())
}

// drainHTTP begins to end the viewers that speak plain HTTP; wait returns when they are gone.
func (b *Bridge) drainHTTP(ctx context.Context, spread time.Duration) (wait func()) {
	var gone sync.WaitGroup
	gone.Go(func() {
		if err := b.httpwire.Drain(ctx, spread); err != nil {
			b.log.Warn("some HTTP viewers were cut while draining", "error", err)
		}
	})
	return gone.Wait
}
