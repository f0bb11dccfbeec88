package influx

import (
	"context"
	"fmt"
	"strconv"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
)

// What one request holds at most, as InfluxDB's documentation advises, and a line.
const (
	maxLines = 5000
	maxBytes = 10_000_000
	maxLine  = 2*maxKey + 4*history.MaxPayloadBytes
)

// Write implements history.Store. After an error the store asks the database what it has before it writes again: of the batch
// anything may be there, and is not given out until the cursor says so.
func (s *Store) Write(ctx context.Context, b *history.Batch) (w history.Written, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	if err = s.catchUp(ctx, b); err == nil {
		s.fresh = false
		w, err = s.store(ctx, b)
		s.fresh = err == nil
	}
	if err != nil {
		return history.Written{}, fmt.Errorf("history: influx: write: %w", err)
	}
	return w, nil
}

// catchUp makes sure that the store knows the database, and that the batch goes on from there.
func (s *Store) catchUp(ctx context.Context, b *history.Batch) error {
	at, err := s.readCursor(ctx)
	if err == nil && (!s.fresh || at != s.view().cursor) { // somebody else wrote, or it is not known what of the last batch is there
		err = s.load(ctx)
		at = s.view().cursor
	}
	if err == nil && at != b.From {
		err = fmt.Errorf("%w: it begins at %s:%d, the store is at %s:%d", history.ErrConflict, b.From.Epoch, b.From.Offset, at.Epoch, at.Offset)
	}
	return err
}

func (s *Store) store(ctx context.Context, b *history.Batch) (w history.Written, err error) {
	epoch, err := s.beginEpoch(ctx, b.To.Epoch)
	if err != nil {
		return w, err
	}
	things, err := s.things(b, epoch, &w)
	if err != nil {
		return w, err
	}
	if err := s.place(ctx, s.view(), things); err != nil {
		return w, err
	}
	end, err := tables.Seq(epoch, b.To.Offset)
	if err != nil {
		return w, err
	}
	if err := s.begin(ctx, dirt{touched(things), end}); err != nil {
		return w, err
	}
	if err := s.send(ctx, b, things); err != nil {
		return w, err
	}
	if err := s.writeGaps(ctx, b.Gaps); err != nil {
		return w, err
	}
	if err := s.writeState(ctx, append(appendCursor([]byte("cursor "), b.To), " 0\n"...)); err != nil {
		return w, err
	}
	s.remember(things)
	s.learn(func(k *known) {
		k.cursor = b.To
		k.dirty = k.dirty.after(*k) // an attempt that failed may have gone further
	})
	for i := range things {
		if things[i].series.Kind == history.KindNumber {
			w.Points++
		} else {
			w.Events++
		}
	}
	return w, nil
}

// begin says, here and in the database, where entries beyond the cursor may be from now on.
func (s *Store) begin(ctx context.Context, d dirt) error {
	if d.span == (span{}) {
		return nil
	}
	if before := s.view().dirty; before.span != (span{}) {
		d = dirt{span{min(d.from, before.from), max(d.to, before.to)}, max(d.end, before.end)}
	}
	if err := s.writeState(ctx, fmt.Appendf(nil, "intent seq=%di,lo=%di,hi=%di 0\n", d.end, d.from, d.to)); err != nil {
		return err
	}
	s.learn(func(k *known) { k.dirty, k.writes = d, k.writes+1 })
	return nil
}

// send writes the things, sorted by series and time.
func (s *Store) send(ctx context.Context, b *history.Batch, things []thing) error {
	var lines, key []byte
	for len(things) > 0 {
		lines = lines[:0]
		n, unit := 0, precisionOf(things[:min(len(things), maxLines)])
		for n < len(things) && n < maxLines && len(lines) <= maxBytes-maxLine {
			t := &things[n]
			if n == 0 || things[n-1].series != t.series {
				key = appendKey(key[:0], t.series)
			}
			lines = appendLine(lines, key, t, b, unit)
			n++
		}
		if err := s.c.writeLines(ctx, s.opts.Database, unit, lines); err != nil {
			return err
		}
		things = things[n:]
	}
	return nil
}

// precisionOf returns the coarsest unit that tells the things apart.
func precisionOf(things []thing) precision {
	for i := range things {
		if things[i].slot%slotsOfInstant != 0 {
			return nano
		}
	}
	return micro
}

func appendLine(b, key []byte, t *thing, batch *history.Batch, unit precision) []byte {
	b = append(append(b, key...), ",x="...)
	b = strconv.AppendInt(b, t.slot/slotsOfInstant, 10)
	b = strconv.AppendInt(append(b, " seq="...), t.seq, 10)
	b = append(b, "i,"...)
	if t.series.Kind == history.KindNumber {
		b = strconv.AppendFloat(append(b, "value="...), batch.Points[t.index].Value, 'g', -1, 64)
	} else {
		e := &batch.Events[t.index]
		b = appendPayload(b, e.Payload)
		b = append(strconv.AppendInt(append(b, ",size="...), int64(e.Size), 10), 'i')
	}
	at := t.us
	if unit == nano {
		at = t.us*1000 + t.slot%slotsOfInstant
	}
	return append(strconv.AppendInt(append(b, ' '), at, 10), '\n')
}
