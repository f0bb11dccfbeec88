package record

import (
	"encoding/json"
	"io"
	"time"
)

// write is the background goroutine: it empties the shards every flushEvery,
// when one of them is full, and a last time when quit is closed.
func (r *Recorder) write() {
	defer close(r.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for open := true; open; {
		select {
		case <-r.wake:
		case <-tick.C:
		case <-r.quit:
			open = false
		}
		r.flush()
	}
}

// flush writes everything that was added before it was called. The index goes
// first, so that whenever a run is killed it explains every record there is.
func (r *Recorder) flush() {
	var batches [shards][]Record
	for i := range r.shard {
		s := &r.shard[i]
		s.mu.Lock()
		batches[i] = s.records
		s.records = nil
		s.mu.Unlock()
	}
	r.mu.Lock()
	events := r.events
	r.events = nil
	changed := r.changed
	turn := Written{Events: events, Nodes: r.index.Nodes, Streams: len(r.index.Streams)}
	r.mu.Unlock()
	watch := r.watch.Load()
	if changed && r.Err() == nil {
		if err := r.writeIndex(false); err != nil {
			r.refuse(indexFile, err, 0)
		}
	}
	for _, batch := range batches {
		if batch != nil {
			r.flushRecords(batch)
			if watch != nil {
				(*watch)(Written{Records: batch})
			}
			batch = batch[:0]
			r.free.Put(&batch)
		}
	}
	r.flushEvents(events)
	if watch != nil {
		(*watch)(turn)
	}
}

// flushRecords writes batch in chunks. After the first failure it only counts.
func (r *Recorder) flushRecords(batch []Record) {
	for len(batch) > 0 {
		n := min(len(batch), chunkRecords)
		if r.Err() != nil {
			r.refuse("", nil, int64(n))
		} else {
			r.chunk = appendChunk(r.chunk[:0], r.chunks, batch[:n])
			if _, err := r.out.Write(r.chunk); err != nil {
				r.refuse(recordsFile, err, int64(n))
			} else {
				r.chunks++
				r.written += int64(n)
			}
		}
		batch = batch[n:]
	}
}

func (r *Recorder) flushEvents(events []Event) {
	for i := range events {
		if r.Err() != nil {
			r.refuse("", nil, 1)
			continue
		}
		line, err := json.Marshal(&events[i])
		if err == nil {
			_, err = r.eventsOut.Write(append(line, '\n'))
		}
		if err != nil {
			r.refuse(eventsFile, err, 1)
			continue
		}
		r.eventCount++
	}
}

// refuse counts lost records and keeps the first error.
func (r *Recorder) refuse(file string, err error, records int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost += records
	if err != nil {
		r.fail(r.writeError(file, err))
	}
}

var _ io.Closer = (*Recorder)(nil)
