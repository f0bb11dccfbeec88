package bridge

import (
	"context"
	"net/http"
	"sync"
	"time"

	"plumbline/bridge/command"
	"plumbline/bridge/wire/httpwire"
)

func (b *Bridge) httpwireOptions() httpwire.Options {
	c := b.cfg.Viewers
	return httpwire.Options{
		Hub: b.hub, Journal: b.journal, Commands: b.commands, MaxBodyBytes: int64(c.MaxFrameBytes), Door: b.gate, Heartbeat: c.Heartbeat.D(), WriteTimeout: c.WriteTimeout.D(), MaxStreams: c.MaxStreams,
		MaxPerAddress: c.MaxPerAddress, MaxPerSubject: c.MaxPerSubject, RequestRate: c.RequestRate, Metrics: b.m, Log: b.log,
	}
}

// newCommands makes the desk that takes what viewers send to devices.
func (b *Bridge) newCommands() *command.Desk {
	c := b.cfg.Viewers.Commands
	return command.New(command.Options{
		Journal: b.intake(), External: b.external, Rate: c.Rate, Burst: c.Burst, MaxBytes: int(b.cfg.MQTT.MaxPacketBytes), Metrics: b.m, Log: b.log,
	})
}

// routeHTTP adds the endpoints for viewers that speak plain HTTP.
func (b *Bridge) routeHTTP(mux *http.ServeMux) {
	mux.Handle("/sse", b.httpwire.Events())
	mux.Handle("/poll", b.httpwire.Poll())
	mux.Handle("/publish", b.httpwire.Publish())
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
