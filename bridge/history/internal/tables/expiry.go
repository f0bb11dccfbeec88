package tables

import (
	"cmp"
	"fmt"
	"time"

	"plumbline/bridge/history"
)

// One Expire removes at most so many rows, so that the writer is not away for long, and a look for them costs like a tenth of them.
const expireRows = 5000

// dropEvery is the time between two looks for series of which nothing is left.
const dropEvery = time.Hour

// Events is the name of the table of events.
const Events = "events"

// Round is one table with its retention.
type Round struct {
	Level
	Keep time.Duration // 0 = for ever
}

// Floor returns the time, in microseconds, before which retention wants nothing of the table: the beginning of a bucket, so that
// what is at or after it is whole. floor is where it stands, 0 for none. It never falls, but for one that a clock left in the future,
// where it would hide all that is and all that comes.
func (r Round) Floor(floor int64, now time.Time) int64 {
	floor = min(floor, now.UnixMicro())
	if r.Keep > 0 {
		floor = max(floor, now.Add(-r.Keep).UnixMicro())
	}
	if r.Step > 0 {
		floor -= FloorMod(floor, r.Step)
	}
	return floor
}

// Rounds returns all tables, the events last.
func Rounds(r history.Retention) (out []Round) {
	for i, keep := range []time.Duration{r.Points, r.Rollup1s, r.Rollup1m, r.Rollup1h} {
		out = append(out, Round{Levels[i], keep})
	}
	return append(out, Round{Level{Events, 0, "time"}, r.Events})
}

// Steps are what a store does for retention. One Expire may do a part of a round.
type Steps struct {
	Begin func() error                                                     // of a round, before anything else; nil = nothing
	Some  func(r Round, limit int64) (removed int64, done bool, err error) // removes at most limit rows of a table
	Drop  func() error                                                     // forgets series of which nothing is left; hourly, after a round
}

// Expiry is how far retention is. The zero value begins. One goroutine at a time may use it.
type Expiry struct {
	Rows    int64 // what one Go removes at most; 0 = expireRows
	Series  int64 // rows of the present table whose series have numbers up to it are gone
	begun   bool  // a round is under way
	table   int   // index into the rounds
	dropped time.Time
}

// Go goes on with retention and reports whether more is left.
func (e *Expiry) Go(rounds []Round, now time.Time, do Steps) (more bool, err error) {
	if !e.begun && do.Begin != nil {
		if err := do.Begin(); err != nil {
			return false, err
		}
	}
	e.begun = true
	rows := cmp.Or(e.Rows, expireRows)
	for budget := rows; budget > 0; {
		if e.table == len(rounds) {
			*e = Expiry{Rows: e.Rows, dropped: e.dropped}
			return false, e.drop(now, do.Drop)
		}
		r := rounds[e.table]
		n, done, err := do.Some(r, budget)
		if err != nil {
			return false, fmt.Errorf("%s: %w", r.Table, err)
		}
		if budget -= n + rows/10; done {
			e.table, e.Series = e.table+1, 0
		}
	}
	return true, nil
}

func (e *Expiry) drop(now time.Time, drop func() error) error {
	if now.Sub(e.dropped).Abs() < dropEvery {
		return nil
	}
	if err := drop(); err != nil {
		return fmt.Errorf("series: %w", err)
	}
	e.dropped = now
	return nil
}
