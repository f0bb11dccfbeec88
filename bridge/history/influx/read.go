package influx

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
)

// list returns the series of the query, of one kind unless kind is "".
func (k known) list(q history.ListQuery, kind history.Kind) (found []history.Listed, more bool) {
	lo, hi := history.Prefix(q.Filter)
	begin := history.Listed{Series: history.Series{Topic: lo}}
	i, _ := slices.BinarySearchFunc(k.names, begin, compareListed)
	if q.After != nil && compareListed(*q.After, begin) >= 0 {
		var there bool
		if i, there = slices.BinarySearchFunc(k.names, *q.After, compareListed); there {
			i++
		}
	}
	var match tables.Matcher
	for _, l := range k.names[i:] {
		switch {
		case hi != "" && l.Topic >= hi:
			return found, false
		case kind != "" && l.Kind != kind || !match.OK(q.Filter, q.Allow, l.Topic):
		case len(found) == q.Limit:
			return found, true
		default:
			found = append(found, l)
		}
	}
	return found, false
}

// List implements history.Store. It asks nobody.
func (s *Store) List(ctx context.Context, q history.ListQuery) (page history.ListPage, err error) {
	if err := ctx.Err(); err != nil {
		return page, fmt.Errorf("history: influx: list: %w", err)
	}
	k := s.view()
	page.Series, page.More = k.list(q, "")
	page.Cursor = k.cursor
	return page, nil
}

// Latest implements history.Store.
func (s *Store) Latest(ctx context.Context, q history.ListQuery) (page history.PointPage, err error) {
	k := s.view()
	found, more := k.list(q, history.KindNumber)
	page.More, page.Cursor = more, k.cursor
	if len(found) == 0 {
		return page, nil
	}
	page.Last = &found[len(found)-1]
	upTo, err := k.seq(k.cursor)
	if err != nil {
		return page, nil // nothing was stored yet
	}
	names := k.epochNames()
	for part := range slices.Chunk(found, statements) {
		var queries []string
		for _, l := range part {
			queries = append(queries, fmt.Sprintf(`SELECT last("seq"), "value" FROM "points" WHERE time >= 0 AND time <= %d AND %s AND "seq" <= %d GROUP BY "x"`, int64(maxMicro)*1000, is(l), upTo))
		}
		got, err := s.c.query(ctx, s.opts.Database, queries...)
		if err != nil {
			return page, fmt.Errorf("history: influx: latest: %w", err)
		}
		for i, parts := range got {
			var last *row
			for _, p := range parts {
				for _, v := range p.Values {
					if r := (row{us: floorDiv(integer(v[0]), 1000), seq: integer(v[1]), value: float(v[2])}); last == nil || compareRows(r, *last) > 0 {
						last = &r
					}
				}
			}
			if last != nil {
				page.Points = append(page.Points, last.point(part[i].Series, names))
			}
		}
	}
	return page, nil
}

func (r *row) point(s history.Series, names map[int64]string) history.Point {
	epoch, offset := tables.SplitSeq(r.seq)
	return history.Point{Series: s, Time: tables.FromMicro(r.us), Epoch: names[epoch], Offset: offset, Value: r.value}
}

// Range implements history.Store.
func (s *Store) Range(ctx context.Context, q history.RangeQuery) (page history.PointPage, err error) {
	k := s.view()
	page.Cursor = k.cursor
	sc, ok, err := k.newScan(q.From, q.To, q.After, q.Until, q.Descending)
	if err == nil && ok {
		names := k.epochNames()
		sc.kind, sc.where, sc.chunk = history.KindNumber, is(history.Listed{Series: q.Series, Kind: history.KindNumber}), q.Limit+1
		err = s.walk(ctx, sc, func(r *row) bool {
			if page.More = len(page.Points) == q.Limit; !page.More {
				page.Points = append(page.Points, r.point(q.Series, names))
			}
			return !page.More
		})
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return page, fmt.Errorf("history: influx: range: %w", err)
	}
	return page, nil
}

const (
	eventChunk  = 1000
	eventTopics = 100 // named in a query; beyond them all events are read and chosen from here
)

// Events implements history.Store.
func (s *Store) Events(ctx context.Context, q history.EventQuery) (page history.EventPage, err error) {
	k := s.view()
	page.Cursor = k.cursor
	sc, ok, err := k.newScan(q.From, q.To, q.After, q.Until, q.Descending)
	var some bool
	sc.kind, sc.chunk = history.KindEvent, eventChunk
	if sc.where, some = k.topics(q); err == nil && ok && some {
		names := k.epochNames()
		var match tables.Matcher
		err = s.walk(ctx, sc, func(r *row) bool {
			if !match.OK(q.Filter, q.Allow, r.topic) {
				return true
			}
			epoch, offset := tables.SplitSeq(r.seq)
			return page.Add(&q, history.Event{Topic: r.topic, Field: r.field, Time: tables.FromMicro(r.us), Epoch: names[epoch], Offset: offset, Payload: r.payload, Size: r.size})
		})
	}
	if err != nil {
		return page, fmt.Errorf("history: influx: events: %w", err)
	}
	return page, nil
}

// topics returns the condition for the topics asked for, "" when they are too many to name, and whether there are any.
func (k known) topics(q history.EventQuery) (where string, some bool) {
	found, more := k.list(history.ListQuery{Filter: q.Filter, Allow: q.Allow, Limit: 10 * eventTopics}, history.KindEvent)
	var names []string
	for _, l := range found {
		if c := `"topic" = ` + literal(encode(l.Topic)); len(names) == 0 || names[len(names)-1] != c {
			names = append(names, c)
		}
	}
	if more || len(names) > eventTopics {
		return "", true
	}
	return "(" + strings.Join(names, " OR ") + ")", len(names) > 0
}

// Aggregate implements history.Store. The database computes it from the points. Of more than a thousand points at one instant
// Last may be another than the last.
func (s *Store) Aggregate(ctx context.Context, q history.AggregateQuery) (a history.Aggregates, err error) {
	if _, _, err := tables.LevelFor(q); err != nil {
		return a, fmt.Errorf("history: influx: aggregate: %w", err)
	}
	for overtaken := false; ; overtaken = true {
		k := s.view()
		a = history.Aggregates{Cursor: k.cursor}
		upTo, err := k.seq(k.cursor)
		asked := span{clampMicro(q.From), clampMicro(q.To)}
		if err != nil || asked.from >= asked.to {
			return a, nil //nolint:nilerr // nothing was stored yet
		}
		where := is(history.Listed{Series: q.Series, Kind: history.KindNumber})
		exact := overtaken || k.dirty.touches(asked)
		if exact { // else no point is beyond the cursor, and not to look saves half of the time
			where += fmt.Sprintf(` AND "seq" <= %d`, upTo)
		}
		got, err := s.c.query(ctx, s.opts.Database, fmt.Sprintf(`SELECT count("value"), min("value"), max("value"), sum("value"), last("value") FROM "points" WHERE %s AND time >= %d AND time < %d GROUP BY time(%du) fill(none)`,
			where, asked.from*1000, asked.to*1000, q.Step.Microseconds()))
		if err != nil {
			return a, fmt.Errorf("history: influx: aggregate: %w", err)
		}
		if !exact && s.view().writes != k.writes {
			continue // a batch was begun meanwhile, perhaps here
		}
		for _, part := range got[0] {
			for _, v := range part.Values {
				if n := integer(v[1]); n > 0 {
					a.Buckets = append(a.Buckets, history.Bucket{Start: tables.FromMicro(floorDiv(integer(v[0]), 1000)), Count: n, Min: float(v[2]), Max: float(v[3]), Sum: float(v[4]), Last: float(v[5])})
				}
			}
		}
		return a, nil
	}
}
