package journal

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// A journal can be one of several copies of a log whose offsets are given elsewhere, by a relay. Such a journal takes entries by
// AppendAt only, never by Append.

// ErrPlace says that entries do not follow this journal's head.
type ErrPlace struct{ Head, First uint64 }

// Error implements error.
func (e ErrPlace) Error() string {
	return fmt.Sprintf("journal: entry %d does not follow entry %d", e.First, e.Head)
}

// Check returns why m could not be appended whatever the journal's state, or nil.
func Check(m Message) error { return checkMessage(&m) }

// AppendAt appends ms as the entries first, first+1, … as soon as the [SyncPolicy] holds for all of them. Who gave them their
// offsets has looked for duplicates already: none is left out here. It copies what it keeps, and waits for the disk. Errors:
// [ErrPlace], [ErrClosed], one that wraps [ErrDegraded], or what [Check] says of one of them; then none was appended.
func (j *Journal) AppendAt(first uint64, ms []Message) error {
	if len(ms) == 0 {
		return nil
	}
	b := &batch{entries: make([]Entry, len(ms))}
	for i := range ms {
		b.entries[i].Message = ms[i]
		if err := j.prepare(&b.entries[i].Message); err != nil {
			return err
		}
	}
	j.io.Lock()
	err := j.Err()
	if head := j.visible.Load(); err == nil && first != head+1 {
		err = ErrPlace{Head: head, First: first}
	}
	if err == nil {
		err = j.commit(b)
	}
	j.settle(b, err)
	j.io.Unlock()
	if err == nil {
		j.tellWatchers()
	}
	return err
}

// Continue makes the journal go on as the log named epoch behind its entry after, which must be beyond the head: what lies
// between is missing here, and all before it is no longer readable, as after damage. Readers learn it as [ErrEvicted]. Last
// values and producers stay. The caller must end those whose cursors are of the earlier epoch. The mark becomes the one given.
// Errors as of AppendAt.
func (j *Journal) Continue(epoch, mark string, after uint64) error {
	return j.goOn(step{epoch: epoch, mark: mark, after: after, head: after})
}

// ContinueAs is Continue in the epoch of v.Cursor, with the last values and producers of v, which another copy of the log had there, in
// the place of this journal's: those lack what lies in the hole. ms are the log's entries behind after up to v.Cursor; without them
// after has to be that place itself. Readers find all of it at once. A crash before it returns leaves the journal without a mark.
func (j *Journal) ContinueAs(v Values, after uint64, ms []Message) error {
	s := step{epoch: v.Cursor.Epoch, mark: v.Mark, after: after, head: v.Cursor.Offset}
	if after+uint64(len(ms)) != s.head {
		return ErrPlace{Head: after + uint64(len(ms)), First: s.head + 1}
	}
	for i := range ms {
		e := Entry{Offset: after + 1 + uint64(i), Message: ms[i]}
		if err := j.prepare(&e.Message); err != nil {
			return err
		}
		s.entries = append(s.entries, e)
	}
	s.values, s.producers = v.tables(j.opts.TableBytes)
	s.values.lost = s.head // what was cleared before is not in it
	j.saving.Lock()        // or a checkpoint of the earlier values may come after ours
	defer j.saving.Unlock()
	return j.goOn(s)
}

// step is how a journal goes on behind a hole.
type step struct {
	epoch, mark string
	after, head uint64
	entries     []Entry        // of (after, head]
	values      *table[latest] // nil: they stay, and the producers
	producers   *table[uint64]
}

func (j *Journal) goOn(s step) error {
	if len(s.epoch) != epochBytes {
		return fmt.Errorf("journal: continue: epoch %q has not %d characters", s.epoch, epochBytes)
	}
	j.io.Lock()
	err := j.leap(s)
	j.io.Unlock()
	if err == nil {
		j.wake()
		j.tellWatchers()
	}
	return err
}

// leap is goOn. Called with io held.
func (j *Journal) leap(s step) error {
	if err := j.Err(); err != nil {
		return err
	}
	head := j.visible.Load()
	if s.after <= head {
		return ErrPlace{Head: head, First: s.after}
	}
	if err := j.flush(); err != nil {
		return err
	}
	j.mu.Lock()
	old := j.Epoch()
	epochs := j.epochs
	if s.epoch != old {
		epochs = follow(epochs, s.epoch, s.after)
	}
	j.mu.Unlock()
	now := state{Epoch: s.epoch, Sync: j.opts.Sync, Boot: j.opts.boot(), Head: s.after, Epochs: epochs, Mark: s.mark}
	if s.values != nil {
		now.Mark = "" // until they are on the disk
	}
	if err := writeState(j.opts.fs, j.opts.Dir, now); err != nil {
		return j.fail(err)
	}
	written := j.written
	j.written, j.noted, j.mark = s.after, s.after, now.Mark
	j.epoch.Store(&s.epoch)
	if err := j.begin(); err != nil {
		j.written = written
		j.epoch.Store(&old)
		return j.fail(err)
	}
	if err := j.fill(s.entries); err != nil {
		j.mu.Lock()
		j.segments = j.segments[:j.beyond(s.after)]
		j.mu.Unlock()
		j.written = written
		j.epoch.Store(&old)
		return err
	}
	j.skip(s, epochs)
	j.opts.Log.Warn("journal goes on behind a hole", "old", old, "epoch", s.epoch, "from", head, "to", s.after)
	if s.values == nil {
		return nil
	}
	if err := j.finish(); err != nil { // it has gone on all the same, and takes nothing until the disk does
		_ = j.fail(err)
		return nil
	}
	if now.Mark = s.mark; writeState(j.opts.fs, j.opts.Dir, now) == nil {
		j.mark = s.mark
	} // else the next Mark writes it
	return nil
}

// fill writes entries into the segment that was just begun. Called with io held.
func (j *Journal) fill(entries []Entry) error {
	var enc []byte
	for i := range entries {
		if enc = appendRecord(enc, &entries[i]); len(enc) > maxBatchBytes || i+1 == len(entries) {
			if err := j.write(enc); err != nil {
				return err
			}
			enc = enc[:0]
		}
	}
	return nil
}

// skip makes what lies up to s.after unreadable, and the rest of s readable. Called with io held and the segments behind it written.
func (j *Journal) skip(s step, epochs []begun) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.epochs = epochs
	j.stats.Evicted += s.after + 1 - j.first()
	before := j.beyond(s.after)
	for _, old := range j.segments[:before] {
		to := strings.TrimSuffix(old.path, segmentSuffix) + damagedSuffix
		if err := j.opts.fs.Rename(old.path, to); err != nil { // then the next start finds the hole, and renews the epoch
			j.opts.Log.Warn("journal segment before a hole could not be renamed", "path", old.path, "error", err)
		} else {
			old.path = to
		}
		j.damaged = append(j.damaged, old)
	}
	j.segments = append([]*segment(nil), j.segments[before:]...)
	j.tail.clear()
	for i := range s.entries {
		j.tail.push(s.entries[i], j.written)
	}
	if s.values != nil {
		s.values.evicted, s.producers.evicted = j.values.evicted, j.producers.evicted
		j.values, j.producers = s.values, s.producers
	}
	j.floor, j.head = s.after+1, s.head
	j.visible.Store(s.head)
}

// beyond returns the index of the first segment that begins behind after. Called with mu held.
func (j *Journal) beyond(after uint64) int {
	return sort.Search(len(j.segments), func(i int) bool { return j.segments[i].base > after })
}

// Mark keeps a word of the relay's with the journal, beside epoch and head: it is there after a restart. Errors as of AppendAt.
func (j *Journal) Mark(word string) error {
	j.io.Lock()
	defer j.io.Unlock()
	if word == j.mark {
		return nil
	}
	if err := j.Err(); err != nil {
		return err
	}
	err := writeState(j.opts.fs, j.opts.Dir, state{
		Epoch: j.Epoch(), Sync: j.opts.Sync, Boot: j.opts.boot(), Head: j.noted, Epochs: j.epochs, Mark: word,
	})
	if err != nil {
		return j.fail(err)
	}
	j.mark = word
	return nil
}

// Marked returns the word that was given last to Mark, Continue or Found; "" when there was none.
func (j *Journal) Marked() string {
	j.io.Lock()
	defer j.io.Unlock()
	return j.mark
}

// Values is what a journal knows beside its entries: what a copy of it needs to begin with.
type Values struct {
	Cursor    Cursor
	Entries   []Entry // last values and, where those are not retained, the retained messages before them; by ascending offset
	Producers []Entry // Offset, Producer and ProducerSeq of each producer; by ascending offset
	Mark      string  // for Found: see Journal.Mark
}

// Values returns the last values and producers as of one moment. Appends wait meanwhile.
func (j *Journal) Values() Values {
	j.mu.Lock()
	v := Values{Cursor: Cursor{Epoch: j.Epoch(), Offset: j.head}}
	for n := j.values.oldest; n != nil; n = n.newer {
		if n.value.retained != nil {
			v.Entries = append(v.Entries, *n.value.retained)
		}
		v.Entries = append(v.Entries, n.value.Entry)
	}
	for n := j.producers.oldest; n != nil; n = n.newer {
		v.Producers = append(v.Producers, Entry{Offset: n.offset, Message: Message{Producer: n.key, ProducerSeq: n.value}})
	}
	j.mu.Unlock()
	sort.SliceStable(v.Entries, func(a, b int) bool { return v.Entries[a].Offset < v.Entries[b].Offset })
	return v
}

// tables makes tables of the values and producers.
func (v Values) tables(limit int64) (*table[latest], *table[uint64]) {
	values, producers := newTable[latest](limit), newTable[uint64](limit)
	for i := range v.Entries {
		setValue(values, v.Entries[i])
	}
	for i := range v.Producers {
		producers.set(v.Producers[i].Producer, v.Producers[i].Offset, v.Producers[i].ProducerSeq, 0)
	}
	return values, producers
}

// Found makes opts.Dir the journal of the log v.Cursor.Epoch that holds no entries and goes on behind v.Cursor.Offset, with these last
// values and producers. What was there goes into the folder "before" in it, in the place of what an earlier call left there. [Open] opens it then. Errors: [ErrLocked], those of the disk.
func Found(opts Options, v Values) (err error) {
	if opts, err = opts.withDefaults(); err != nil {
		return err
	}
	if len(v.Cursor.Epoch) != epochBytes || v.Cursor.Offset == math.MaxUint64 {
		return fmt.Errorf("journal: found: %q:%d is no place in a log", v.Cursor.Epoch, v.Cursor.Offset)
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return fmt.Errorf("journal: found %q: %w", opts.Dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(opts.Dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("journal: found %q: %w", opts.Dir, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := lockFile(lock); err != nil {
		return fmt.Errorf("journal: found %q: %w", opts.Dir, err)
	}
	if err := found(opts, v); err != nil {
		return fmt.Errorf("journal: found %q: %w", opts.Dir, err)
	}
	return nil
}

// found writes what recovery will find. The state comes last: without it everything before is no proof of anything.
func found(opts Options, v Values) error {
	if err := putAway(opts); err != nil {
		return err
	}
	now := opts.Now()
	first := &segment{epoch: v.Cursor.Epoch, base: v.Cursor.Offset + 1, made: now}
	f, err := opts.fs.Create(segmentPath(opts.Dir, first.base))
	if err != nil {
		return err
	}
	err = writeAll(f, first.header())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	j := &Journal{opts: opts, head: v.Cursor.Offset}
	j.values, j.producers = v.tables(opts.TableBytes)
	if err := j.saveCheckpoint(true); err != nil {
		return err
	}
	return writeState(opts.fs, opts.Dir, state{
		Epoch: v.Cursor.Epoch, Clean: true, Sync: opts.Sync, Boot: opts.boot(), Head: v.Cursor.Offset,
		Epochs: follow(nil, v.Cursor.Epoch, v.Cursor.Offset), Mark: v.Mark,
	})
}

// beforeDir keeps what [Found] found.
const beforeDir = "before"

// putAway moves the files of an earlier journal into a folder of their own. Its state goes first: what is left of it after a crash
// proves nothing.
func putAway(opts Options) error {
	names, err := os.ReadDir(opts.Dir)
	if err != nil {
		return err
	}
	before := filepath.Join(opts.Dir, beforeDir)
	if err := errors.Join(os.RemoveAll(before), os.Mkdir(before, 0o700)); err != nil {
		return err
	}
	sort.Slice(names, func(a, b int) bool { return names[a].Name() == stateName && names[b].Name() != stateName })
	for _, name := range names {
		if name.Name() == lockName || name.Name() == beforeDir {
			continue
		}
		if err := opts.fs.Rename(filepath.Join(opts.Dir, name.Name()), filepath.Join(before, name.Name())); err != nil {
			return err
		}
	}
	return nil
}
