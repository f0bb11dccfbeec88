package bridge

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"plumbline/bridge/auth"
	"plumbline/bridge/config"
	"plumbline/bridge/gate"
	"plumbline/bridge/history"
	"plumbline/bridge/history/api"
	"plumbline/bridge/history/influx"
	"plumbline/bridge/history/postgres"
	"plumbline/bridge/history/sqlite"
)

// historyFile is the embedded store's place in the data folder.
const historyFile = "history.db"

// buildHistory makes the sink that copies the journal into the configured store; none when history is off. The store itself is
// opened by the running sink, as often as it takes, so that a store that is down keeps nothing else from starting.
func (b *Bridge) buildHistory() error {
	c := b.cfg.History
	if c.Store == "off" {
		return nil
	}
	rules, err := c.Checked()
	if err != nil {
		return fmt.Errorf("%w: history.rules: %w", ErrConfig, err)
	}
	b.sink = history.NewSink(history.SinkOptions{
		Journal: b.journal, Open: b.openHistory, Name: c.Store, Rules: rules, Flush: c.Flush.D(), Metrics: b.m, Log: b.log, Now: b.now,
	})
	b.m.WatchSink(c.Store, b.sink.Lag)
	path, err := auth.EnsureSecret(b.file("history.key"), nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	b.asked = api.New(api.Options{
		Store: b.sink.Store, Identify: b.identify, PageKey: key,
		MaxPoints: c.API.MaxPoints, MaxConcurrent: c.API.MaxConcurrent, Timeout: c.API.Timeout.D(), Metrics: b.m, Log: b.log, Now: b.now,
	})
	return nil
}

// identify says who asks, in whatever way the token came.
func (b *Bridge) identify(w http.ResponseWriter, r *http.Request) (id auth.Identity, status int, reason string) {
	id, err := b.gate.FromRequest(r)
	if err != nil {
		return id, b.gate.Deny(w, r, id, err), gate.Reason(err)
	}
	return id, 0, ""
}

// openHistory opens the configured store.
func (b *Bridge) openHistory(ctx context.Context) (history.Store, error) {
	c := b.cfg.History
	switch c.Store {
	case "postgres":
		return opened(postgres.Open(ctx, postgresOptions(c)))
	case "influx":
		return opened(influx.Open(ctx, influxOptions(c)))
	}
	path := c.SQLite.File
	if path == "" {
		path = b.file(historyFile)
	}
	return opened(sqlite.Open(ctx, sqlite.Options{Path: path, Retain: c.Retain.Durations(), MaxBytes: int64(c.SQLite.MaxBytes), MaxSeries: c.MaxSeries}))
}

func postgresOptions(c config.History) postgres.Options {
	return postgres.Options{
		DSN: c.Postgres.DSN, Schema: c.Postgres.Schema, Retain: c.Retain.Durations(), MaxSeries: c.MaxSeries, NoTimescale: !c.Postgres.Timescale,
	}
}

func influxOptions(c config.History) influx.Options {
	i := c.Influx
	return influx.Options{
		URL: i.URL, Version: i.Version, Database: i.Database, State: i.State(), Org: i.Org, Credentials: i.Credentials(), CA: i.CA,
		Retain: c.Retain.Durations(), MaxSeries: c.MaxSeries,
	}
}

// opened keeps a nil pointer from becoming an interface that is not nil.
func opened[S history.Store](s S, err error) (history.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
