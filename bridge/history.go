package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"plumbline/bridge/auth"
	"plumbline/bridge/history"
	"plumbline/bridge/history/api"
	"plumbline/bridge/history/postgres"
	"plumbline/bridge/history/sqlite"
)

// historyFile is the embedded store's place in the data folder.
const historyFile = "history.db"

// buildHistory makes the sink that copies the journal into the configured store; none when history is off. The store itself is
// opened by the running sink, as often as it takes, so that a store that is down keeps nothing else from starting.
func (b *Bridge) buildHistory(v *auth.Verifier) error {
	c := b.cfg.History
	if c.Store == "off" {
		return nil
	}
	rules, err := c.Checked()
	if err != nil {
		return fmt.Errorf("%w: history.rules: %w", ErrConfig, err)
	}
	b.sink = history.NewSink(history.SinkOptions{
		Journal: b.journal, Open: b.openHistory, Name: c.Store, Rules: rules, Flush: c.Flush.D(), Metrics: b.m, Log: b.log,
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
		Store: b.sink.Store, Identify: func(r *http.Request) (auth.Identity, bool) { return b.identify(v, r) }, PageKey: key,
		MaxPoints: c.API.MaxPoints, MaxConcurrent: c.API.MaxConcurrent, Timeout: c.API.Timeout.D(), Metrics: b.m, Log: b.log,
	})
	return nil
}

// identify reads the token of a request's Authorization header and says who it names, if it is good.
func (b *Bridge) identify(v *auth.Verifier, r *http.Request) (auth.Identity, bool) {
	headers := r.Header["Authorization"]
	if len(headers) != 1 {
		return auth.Identity{}, false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return auth.Identity{}, false
	}
	id, err := v.Verify(strings.TrimSpace(token))
	result, reason := "ok", ""
	var refusal *auth.Refusal
	if errors.As(err, &refusal) {
		result, reason = "refused", refusal.Reason
	} else if b.revoked.Revoked(id) {
		result, reason = "refused", "revoked"
	}
	b.m.Auth.WithLabelValues(result, reason).Inc()
	return id, result == "ok"
}

// openHistory opens the configured store.
func (b *Bridge) openHistory(ctx context.Context) (history.Store, error) {
	c := b.cfg.History
	if c.Store == "postgres" {
		return opened(postgres.Open(ctx, postgres.Options{
			DSN: c.Postgres.DSN, Schema: c.Postgres.Schema, Retain: c.Retain.Durations(), MaxSeries: c.MaxSeries, NoTimescale: !c.Postgres.Timescale,
		}))
	}
	path := c.SQLite.File
	if path == "" {
		path = b.file(historyFile)
	}
	return opened(sqlite.Open(ctx, sqlite.Options{Path: path, Retain: c.Retain.Durations(), MaxBytes: int64(c.SQLite.MaxBytes), MaxSeries: c.MaxSeries}))
}

// opened keeps a nil pointer from becoming an interface that is not nil.
func opened[S history.Store](s S, err error) (history.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
