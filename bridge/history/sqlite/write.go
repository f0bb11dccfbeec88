package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
)

// rowsAtOnce is how many rows one statement inserts. More would gain little, and hold a processor for longer than live delivery should
// wait for it: SQLite runs in this process, and the scheduler takes a processor away only after 10 ms.
const rowsAtOnce = 16

// inserter inserts rows, rowsAtOnce with one statement while there are as many.
type inserter struct {
	columns   int
	one, many *sql.Stmt
	args      []any // of the rows that wait
}

func (in *inserter) prepare(ctx context.Context, db *sql.DB, head string, columns int, tail string) (err error) {
	in.columns = columns
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + ")"
	if in.one, err = db.PrepareContext(ctx, head+" VALUES "+row+tail); err != nil {
		return err
	}
	in.many, err = db.PrepareContext(ctx, head+" VALUES "+strings.TrimSuffix(strings.Repeat(row+",", rowsAtOnce), ",")+tail)
	return err
}

// add takes one row.
func (in *inserter) add(ctx context.Context, tx *sql.Tx, row ...any) error {
	in.args = append(in.args, row...)
	if len(in.args) < rowsAtOnce*in.columns {
		return nil
	}
	_, err := tx.StmtContext(ctx, in.many).ExecContext(ctx, in.args...)
	in.args = in.args[:0]
	runtime.Gosched() // live delivery first
	return err
}

// flush inserts the rows that wait.
func (in *inserter) flush(ctx context.Context, tx *sql.Tx) error {
	defer func() { clear(in.args); in.args = in.args[:0] }()
	for at := 0; at < len(in.args); at += in.columns {
		if _, err := tx.StmtContext(ctx, in.one).ExecContext(ctx, in.args[at:at+in.columns]...); err != nil {
			return err
		}
		runtime.Gosched()
	}
	return nil
}

func (in *inserter) close() {
	for _, s := range []*sql.Stmt{in.one, in.many} {
		if s != nil {
			_ = s.Close() // its connection is closed next
		}
	}
}

// statements are the prepared ones of the writer.
type statements struct {
	points  inserter
	events  inserter
	rollups [3]inserter // by tables.Levels[1:]
}

// merge adds a row to the one that is there. All right hand sides see the old row.
const merge = ` ON CONFLICT (series, start) DO UPDATE SET n = n + excluded.n, sum = sum + excluded.sum,
	lo_at = CASE WHEN excluded.lo < lo OR excluded.lo = lo AND excluded.lo_at < lo_at THEN excluded.lo_at ELSE lo_at END, lo = min(lo, excluded.lo),
	hi_at = CASE WHEN excluded.hi > hi OR excluded.hi = hi AND excluded.hi_at < hi_at THEN excluded.hi_at ELSE hi_at END, hi = max(hi, excluded.hi),
	last = CASE WHEN (excluded.last_at, excluded.last_seq) > (last_at, last_seq) THEN excluded.last ELSE last END,
	last_seq = CASE WHEN (excluded.last_at, excluded.last_seq) > (last_at, last_seq) THEN excluded.last_seq ELSE last_seq END,
	last_at = max(last_at, excluded.last_at)`

func (p *statements) prepare(ctx context.Context, db *sql.DB) error {
	err := errors.Join(
		p.points.prepare(ctx, db, "INSERT INTO points (series, time, seq, value)", 4, ""),
		p.events.prepare(ctx, db, "INSERT INTO events (series, time, seq, size, payload)", 5, ""))
	for i, l := range tables.Levels[1:] {
		err = errors.Join(err, p.rollups[i].prepare(ctx, db, "INSERT INTO "+l.Table+" (series, start, n, sum, lo, lo_at, hi, hi_at, last, last_at, last_seq)", 11, merge))
	}
	return err
}

// reset drops rows that a failed batch left waiting.
func (p *statements) reset() {
	p.points.args, p.events.args = p.points.args[:0], p.events.args[:0]
	for i := range p.rollups {
		p.rollups[i].args = p.rollups[i].args[:0]
	}
}

func (p *statements) close() {
	p.points.close()
	p.events.close()
	for i := range p.rollups {
		p.rollups[i].close()
	}
}

// Write implements history.Store.
func (s *Store) Write(ctx context.Context, b *history.Batch) (w history.Written, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	s.stmts.reset()
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return w, fmt.Errorf("history: sqlite: write: %w", err)
	}
	u := update{s: s, tx: tx, b: b}
	if w, err = u.apply(ctx); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		_ = tx.Rollback() // after a failed commit it does nothing
		s.names.Forget()  // what the transaction gave numbers to has none, or the answer to the commit was lost
		return history.Written{}, fmt.Errorf("history: sqlite: write: %w", err)
	}
	return w, nil
}

// update is one batch on its way into the file.
type update struct {
	s     *Store
	tx    *sql.Tx
	b     *history.Batch
	epoch int64
	w     history.Written
}

func (u *update) apply(ctx context.Context) (history.Written, error) {
	at, err := readCursor(ctx, u.tx)
	if err != nil {
		return u.w, err
	}
	if at != u.b.From {
		return u.w, fmt.Errorf("%w: it begins at %s:%d, the store is at %s:%d", history.ErrConflict, u.b.From.Epoch, u.b.From.Offset, at.Epoch, at.Offset)
	}
	for _, step := range []func(context.Context) error{u.load, u.beginEpoch, u.points, u.events, u.gaps} {
		if err := step(ctx); err != nil {
			return u.w, err
		}
	}
	_, err = u.tx.ExecContext(ctx, "INSERT INTO meta VALUES ('cursor', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", fmt.Sprintf("%d %s", u.b.To.Offset, u.b.To.Epoch))
	return u.w, err
}

// load fills what the store knows by heart.
func (u *update) load(ctx context.Context) error {
	names := &u.s.names
	if names.Known() {
		return nil
	}
	names.Begin(u.s.opts.MaxSeries)
	rows, err := u.tx.QueryContext(ctx, "SELECT id, topic, field, unit, kind FROM series")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		var l history.Listed
		if err := rows.Scan(&id, &l.Topic, &l.Field, &l.Unit, &l.Kind); err != nil {
			return err
		}
		names.Add(l, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	epochs, err := epochNames(ctx, u.tx)
	for id, name := range epochs {
		names.Epochs[name] = id
	}
	return err
}

func (u *update) beginEpoch(ctx context.Context) error {
	name := u.b.To.Epoch
	if id, ok := u.s.names.Epochs[name]; ok {
		u.epoch = id
		return nil
	}
	err := u.tx.QueryRowContext(ctx, "INSERT INTO epochs (name) VALUES (?) RETURNING id", name).Scan(&u.epoch)
	if err == nil {
		u.s.names.Epochs[name] = u.epoch
	}
	return err
}

// series returns the number of a series, 0 when there is no room for a new one.
func (u *update) series(ctx context.Context, l history.Listed) (int64, error) {
	if id, ok := u.s.names.Series(l); ok {
		return id, nil
	}
	if !u.s.names.Take(l) {
		u.w.Refused++
		return 0, nil
	}
	var id int64
	err := u.tx.QueryRowContext(ctx, "INSERT INTO series (topic, field, unit, kind) VALUES (?, ?, ?, ?) RETURNING id", l.Topic, l.Field, l.Unit, l.Kind).Scan(&id)
	if err == nil {
		u.s.names.Add(l, id)
	}
	return id, err
}

// points inserts the points in the order of their key and, on the way, what they add to the rollups.
func (u *update) points(ctx context.Context) error {
	list := make([]tables.Point, 0, len(u.b.Points))
	for i := range u.b.Points {
		p := &u.b.Points[i]
		id, err := u.series(ctx, history.Listed{Series: p.Series, Kind: history.KindNumber})
		if err != nil {
			return err
		}
		seq, err := tables.Seq(u.epoch, p.Offset)
		if err != nil {
			return err
		}
		if id != 0 {
			list = append(list, tables.Point{Series: id, Time: p.Time.UnixMicro(), Seq: seq, Value: p.Value})
		}
	}
	tables.Sort(list)
	in := &u.s.stmts.points
	for _, p := range list {
		if err := in.add(ctx, u.tx, p.Series, p.Time, p.Seq, p.Value); err != nil {
			return err
		}
	}
	if err := in.flush(ctx, u.tx); err != nil {
		return err
	}
	u.w.Points = len(list)
	for i, l := range tables.Levels[1:] {
		if err := u.rollUp(ctx, &u.s.stmts.rollups[i], l.Step, list); err != nil {
			return err
		}
	}
	return nil
}

// rollUp adds the sorted points to one level, each bucket with one row.
func (u *update) rollUp(ctx context.Context, in *inserter, step int64, list []tables.Point) error {
	err := tables.RollUp(list, step, func(series int64, b tables.Bucket) error {
		return in.add(ctx, u.tx, series, b.Start, b.N, b.Sum, b.Lo, b.LoAt, b.Hi, b.HiAt, b.Last, b.LastAt, b.LastSeq)
	})
	if err != nil {
		return err
	}
	return in.flush(ctx, u.tx)
}

func (u *update) events(ctx context.Context) error {
	in := &u.s.stmts.events
	for i := range u.b.Events {
		e := &u.b.Events[i]
		id, err := u.series(ctx, history.Listed{Series: history.Series{Topic: e.Topic, Field: e.Field}, Kind: history.KindEvent})
		if err != nil {
			return err
		}
		seq, err := tables.Seq(u.epoch, e.Offset)
		if err != nil {
			return err
		}
		if id == 0 {
			continue
		}
		payload := e.Payload
		if payload == nil {
			payload = []byte{} // nil would be NULL
		}
		if err := in.add(ctx, u.tx, id, e.Time.UnixMicro(), seq, e.Size, payload); err != nil {
			return err
		}
		u.w.Events++
	}
	return in.flush(ctx, u.tx)
}

func (u *update) gaps(ctx context.Context) error {
	for _, g := range u.b.Gaps {
		begin := int64(0)
		if !g.Begin.IsZero() {
			begin = g.Begin.UnixMicro()
		}
		if _, err := u.tx.ExecContext(ctx, "INSERT INTO gaps (epoch, lo, hi, n, reason, begin_at, end_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
			g.Epoch, int64(g.From), int64(g.To), int64(g.Count), g.Reason, begin, g.End.UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}
