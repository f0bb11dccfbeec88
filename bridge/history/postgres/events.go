package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
)

// Events implements history.Store.
func (s *Store) Events(ctx context.Context, q history.EventQuery) (page history.EventPage, err error) {
	err = s.look(ctx, "events", func(v *view) (err error) {
		page.Cursor, page.KeptFrom = v.cursor, v.floors["events"]
		b, err := v.span("events", q.From, q.To, q.After, q.Until, q.Descending)
		if err != nil {
			return err
		}
		field := tables.BeginField(q.Descending) // then that of the last event that was looked at
		if q.After != nil {
			field = q.After.Field
		}
		for {
			n, err := v.someEvents(ctx, q, &b, &field, &page)
			if err != nil || n < chunk || page.More {
				return err
			}
		}
	})
	return page, err
}

// someEvents looks at the next chunk of events, keeps what is asked for, and moves b and field to the last it looked at.
func (v *view) someEvents(ctx context.Context, q history.EventQuery, b *span, field *string, page *history.EventPage) (n int, err error) {
	beyond, order := tables.Direction(q.Descending)
	lo, hi := tables.Prefix(q.Filter)
	rows, _ := v.Query(ctx, `SELECT s.topic, s.field, e.time, e.seq, e.size, e.payload FROM events e JOIN series s ON s.id = e.series
		WHERE e.time >= $1 AND e.time < $2 AND e.time `+beyond+`= $3 AND (e.time, e.seq, s.field) `+beyond+` ($3, $4, $5) AND e.seq <= $6 AND s.topic >= $7 AND s.topic < $8
		ORDER BY e.time`+order+`, e.seq`+order+`, s.field`+order+` LIMIT $9`,
		b.from, b.to, b.afterAt, b.afterSeq, *field, b.until, lo, hi, chunk) // ForEachRow returns its error
	var match tables.Matcher
	var e history.Event
	var at time.Time
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&e.Topic, &e.Field, &at, &seq, &e.Size, &e.Payload}, func() error {
		n++
		b.afterAt, b.afterSeq, *field = at, seq, e.Field
		if !page.More && match.OK(q.Filter, q.Allow, e.Topic) {
			e.Time = at.UTC()
			e.Epoch, e.Offset = v.epochs.Split(seq)
			page.Add(&q, e)
			e.Payload = nil // the next is read to a place of its own
		}
		return nil
	})
	return n, err
}

// Gaps implements history.Store.
func (s *Store) Gaps(ctx context.Context, from, to time.Time, limit int) (gaps []history.Gap, err error) {
	err = s.look(ctx, "gaps", func(v *view) error {
		rows, _ := v.Query(ctx, `SELECT epoch, lo, hi, n, reason, begin_at, end_at FROM
			(SELECT * FROM gaps WHERE end_at >= $1 AND (begin_at IS NULL OR begin_at < $2) ORDER BY id DESC LIMIT $3) young ORDER BY id`, clamp(from), clamp(to), limit) // ForEachRow returns its error
		var g history.Gap
		var lo, hi, count int64
		var begin *time.Time
		_, err := pgx.ForEachRow(rows, []any{&g.Epoch, &lo, &hi, &count, &g.Reason, &begin, &g.End}, func() error {
			g.From, g.To, g.Count, g.Begin, g.End = uint64(lo), uint64(hi), uint64(count), time.Time{}, g.End.UTC()
			if begin != nil {
				g.Begin = begin.UTC()
			}
			gaps = append(gaps, g)
			return nil
		})
		return err
	})
	return gaps, err
}
