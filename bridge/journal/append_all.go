package journal

import (
	"context"
	"fmt"
)

// Result is what became of one message of [Journal.AppendAll].
type Result struct {
	Offset    uint64
	Duplicate bool // known before, by Producer and ProducerSeq; Offset is that of the producer's last message
}

// AppendAll appends several messages in their order, next to each other, as
// [Journal.Append] does one, and waits for the disk once. It is for a source that
// has more than one message at hand; with [SyncDurable] it is faster by their
// number. An error, of the same kinds, says that none was added.
func (j *Journal) AppendAll(ctx context.Context, ms []Message) ([]Result, error) {
	own := append([]Message(nil), ms...)
	for i := range own {
		if err := j.prepare(&own[i]); err != nil {
			return nil, err
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("journal: append: %w", context.Cause(ctx))
		}
		places, wait, err := j.admitAll(own)
		if err != nil {
			return nil, err
		}
		if wait == nil {
			return j.outcome(places)
		}
		select {
		case <-wait:
		case <-ctx.Done():
		}
	}
}

// admitAll puts all of ms into the open batch, save those that are known. When
// that cannot be now it changes nothing and returns what to wait for: a place in
// the next batch, or the outcome of a message that is on its way elsewhere.
func (j *Journal) admitAll(ms []Message) (places []admission, wait <-chan struct{}, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return nil, nil, err
	}
	if wait := j.room(); wait != nil {
		return nil, wait, nil
	}
	for i := range ms {
		if c, ok := j.pending[ms[i].Producer]; ok && c.b != j.open {
			return nil, c.b.follow(), nil
		}
	}
	places = make([]admission, 0, len(ms))
	for i := range ms {
		a, known := j.known(&ms[i])
		if !known {
			a = j.place(&ms[i])
		}
		places = append(places, a)
	}
	return places, nil, nil
}

// outcome waits for the batch that all places are in, after writing it when its
// first message is among them.
func (j *Journal) outcome(places []admission) ([]Result, error) {
	var (
		led   *batch
		first uint64
		err   error
	)
	for _, a := range places {
		if a.leader {
			led = a.b
			first, err = j.lead(led)
		}
	}
	results := make([]Result, 0, len(places))
	for _, a := range places {
		offset := a.offset
		switch a.b {
		case nil: // safe already
		case led: // which may serve others by now
			offset = first + uint64(a.index)
		default:
			<-a.done
			err = a.b.err
			offset = a.b.first + uint64(a.index)
		}
		if err != nil {
			return nil, err
		}
		results = append(results, Result{offset, a.duplicate})
	}
	return results, nil
}
