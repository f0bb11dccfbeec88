package bridge

import (
	"context"
	"fmt"

	"plumbline/bridge/history"
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
		Journal: b.journal, Open: b.openHistory, Name: c.Store, Rules: rules, Flush: c.Flush.D(), Metrics: b.m, Log: b.log,
	})
	b.m.WatchSink(c.Store, b.sink.Lag)
	return nil
}

// openHistory opens the configured store.
func (b *Bridge) openHistory(ctx context.Context) (history.Store, error) {
	c := b.cfg.History
	path := c.SQLite.File
	if path == "" {
		path = b.file(historyFile)
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Retain: c.Retain.Durations(), MaxBytes: int64(c.SQLite.MaxBytes), MaxSeries: c.MaxSeries})
	if err != nil {
		return nil, err // not s: a nil pointer in an interface is not nil
	}
	return s, nil
}
