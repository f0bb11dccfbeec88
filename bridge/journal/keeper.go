package journal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// The keeper is the journal's one goroutine: it writes what SyncMemory gathered,
// fsyncs finished segments, saves checkpoints, drops old segments and, while the
// journal is degraded, tries to write again.

// longestPause is the longest time between two attempts to write again.
const longestPause = time.Second

// wake asks the keeper to look around.
func (j *Journal) wake() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

func (j *Journal) keep() {
	defer close(j.done)
	every := time.Minute
	if j.opts.RetainAge > 0 {
		every = min(every, max(j.opts.RetainAge/8, time.Second))
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var again <-chan time.Time
	pause := j.opts.mend
	for {
		select {
		case <-j.quit:
			return
		case <-tick.C:
		case <-again:
		case <-j.kick:
			if j.opts.Sync == SyncMemory {
				select { // let a few more records join
				case <-time.After(flushDelay):
				case <-j.quit:
					return
				}
			}
		}
		again = nil
		if j.upkeep() {
			pause = j.opts.mend
			continue
		}
		again = time.After(pause)
		pause = min(2*pause, longestPause)
	}
}

// upkeep does what is due and reports whether all went well.
func (j *Journal) upkeep() bool {
	ok := j.keepWriting()
	if j.syncSealed() != nil {
		ok = false
	}
	if j.checkpointDue() {
		j.saving.Lock()
		err := j.saveCheckpoint(false)
		j.saving.Unlock()
		if err != nil {
			j.opts.Log.Warn("journal checkpoint failed, old segments are kept meanwhile", "error", err)
			ok = false
		}
	}
	return j.retain() && ok
}

// keepWriting repairs, flushes and closes the segment by age.
func (j *Journal) keepWriting() bool {
	j.io.Lock()
	defer j.io.Unlock()
	if j.active == nil {
		return j.repair() == nil
	}
	if j.flush() != nil {
		return false
	}
	s := j.current
	if age := j.opts.RetainAge; age > 0 && s.last >= s.base && j.opts.Now().Sub(s.made) > age/8 {
		if err := j.begin(); err != nil {
			_ = j.fail(err)
			return false
		}
	}
	return true
}

// syncSealed fsyncs segments that take no more records.
func (j *Journal) syncSealed() error {
	j.mu.Lock()
	var due []*segment
	for i, s := range j.segments {
		if i < len(j.segments)-1 && !s.synced {
			due = append(due, s)
		}
	}
	j.mu.Unlock()
	var failed error
	for _, s := range due {
		if err := j.opts.fs.SyncFile(s.path); err != nil {
			j.opts.Log.Warn("journal segment could not be made durable", "path", s.path, "error", err)
			failed = err
			continue
		}
		j.mu.Lock()
		s.synced = true
		j.mu.Unlock()
	}
	return failed
}

// checkpointDue reports whether a finished segment lies beyond the checkpoint.
func (j *Journal) checkpointDue() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.segments)
	return n > 1 && j.segments[n-2].last > j.checkpoint
}

// saveCheckpoint writes the tables as of the present head. It holds the lock for
// short slices only. final says that the caller holds io and has fsynced the
// present segment, which then counts as finished.
func (j *Journal) saveCheckpoint(final bool) error {
	j.mu.Lock()
	offset := j.head
	var finished []segment
	for i, s := range j.segments {
		if final || i < len(j.segments)-1 {
			finished = append(finished, segment{base: s.base, last: s.last, size: s.size, newest: s.newest})
		}
	}
	values, producers := j.values.walk(offset), j.producers.walk(offset)
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		values.stop()
		producers.stop()
		j.mu.Unlock()
	}()
	err := replaceFile(j.opts.fs, filepath.Join(j.opts.Dir, checkpointName), func(w io.Writer) error {
		c := newCheckpointWriter(w, offset)
		for i := range finished {
			c.segment(&finished[i])
		}
		j.walkSlices(values, producers, c)
		if err := c.end(); err != nil {
			return err
		}
		// A topic set again after offset is left out here and must come from its
		// record; so every record up to now has to be as safe as this file.
		if final {
			return j.syncSealed()
		}
		return j.syncAll()
	})
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.checkpoint = offset
	j.mu.Unlock()
	return nil
}

// walkSlices writes the tables' nodes, a few at a time under the lock.
func (j *Journal) walkSlices(values *walk[latest], producers *walk[uint64], c *checkpointWriter) {
	const slice = 256
	entries := make([]Entry, 0, 2*slice)
	for more := true; more; {
		entries = entries[:0]
		j.mu.Lock()
		more = values.slice(slice, func(n *node[latest]) {
			if n.value.retained != nil {
				entries = append(entries, *n.value.retained)
			}
			entries = append(entries, n.value.Entry)
		})
		if !more {
			entries = j.appendMovedRetained(entries, values.end)
		}
		j.mu.Unlock()
		for i := range entries {
			kind := byte(itemValue)
			if i+1 < len(entries) && entries[i+1].Topic == entries[i].Topic {
				kind = itemRetained
			}
			c.record(kind, &entries[i])
		}
	}
	for more := true; more; {
		entries = entries[:0]
		j.mu.Lock()
		more = producers.slice(slice, func(n *node[uint64]) {
			entries = append(entries, Entry{Offset: n.offset, Message: Message{Producer: n.key, ProducerSeq: n.value}})
		})
		j.mu.Unlock()
		for i := range entries {
			c.record(itemProducer, &entries[i])
		}
	}
}

// appendMovedRetained adds the retained messages up to offset of the topics that
// were published to after it: their records bring back the last value only.
// Called with mu held.
func (j *Journal) appendMovedRetained(entries []Entry, offset uint64) []Entry {
	for n := j.values.newest; n != nil && n.offset > offset; n = n.older {
		if r := n.value.retained; r != nil && r.Offset <= offset {
			entries = append(entries, *r)
		}
	}
	return entries
}

// syncAll brings every visible record to disk.
func (j *Journal) syncAll() error {
	j.io.Lock()
	f := j.active
	var err error
	if f == nil {
		err = ErrDegraded
	} else {
		err = j.flush()
	}
	f = j.active
	j.io.Unlock()
	if err != nil {
		return err
	}
	if err := j.syncSealed(); err != nil || j.opts.Sync == SyncDurable {
		return err
	}
	if err = f.Sync(); err == nil {
		return nil
	}
	j.io.Lock()
	ended := j.active != f && j.active != nil && errors.Is(err, os.ErrClosed)
	if j.active == f {
		err = j.fail(err)
	}
	j.io.Unlock()
	if ended { // meanwhile, and another one goes on
		return j.syncSealed()
	}
	return err
}

// retain drops the oldest segments beyond the limits. What the checkpoint does
// not cover yet stays. It reports whether all files are gone: a system may refuse
// while a reader holds one open.
func (j *Journal) retain() bool {
	j.mu.Lock()
	gone := j.leftover
	again := len(gone)
	j.leftover = nil
	total := j.diskBytes()
	oldest := j.opts.Now().Add(-j.opts.RetainAge)
	drop := func(s *segment) bool {
		return total > j.opts.RetainBytes || (j.opts.RetainAge > 0 && s.newest.Before(oldest))
	}
	for len(j.damaged) > 0 && drop(j.damaged[0]) {
		total -= j.damaged[0].size
		gone, j.damaged = append(gone, j.damaged[0]), j.damaged[1:]
	}
	first := j.first()
	for len(j.segments) > 1 && j.segments[0].last <= j.checkpoint && drop(j.segments[0]) {
		total -= j.segments[0].size
		gone, j.segments = append(gone, j.segments[0]), j.segments[1:]
	}
	j.stats.Evicted += j.first() - first
	j.tail.trim(j.first())
	j.mu.Unlock()
	var left []*segment
	for i, s := range gone {
		err := j.opts.fs.Remove(s.path)
		if err == nil || errors.Is(err, errNotExist) {
			continue
		}
		if left = append(left, s); i >= again {
			j.opts.Log.Warn("old journal segment could not be removed, trying again", "path", s.path, "error", err)
		}
	}
	j.mu.Lock()
	j.leftover = left
	j.mu.Unlock()
	return len(left) == 0
}
