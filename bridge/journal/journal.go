package journal

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// Journal is an open log. All methods may be called concurrently. Create one
// with [Open].
type Journal struct {
	opts  Options
	epoch atomic.Pointer[string] // changes by Continue only
	lock  *os.File

	closing sync.Once
	saving  sync.Mutex // held while a checkpoint is written; taken before io

	// io is held by whoever writes files: the leader of a batch or the keeper. It
	// is taken before mu and guards the fields down to the next blank line.
	io        sync.Mutex
	active    file     // nil while degraded and after Close
	current   *segment // the segment behind active, also the last of segments
	enc       []byte   // scratch of the leader
	unwritten []byte   // SyncMemory: records acknowledged and not yet written
	written   uint64   // last offset in a segment
	noted     uint64   // the head as the state file on disk has it
	mark      string   // of Mark

	// mu guards what follows; nothing blocks while it is held.
	mu         sync.Mutex
	closed     bool
	epochs     []begun // the youngest, the present one last; changes by Continue only
	degraded   error
	open       *batch // where messages gather while another batch is written
	free       *batch // one batch to use again
	pending    map[string]claim
	head       uint64
	segments   []*segment
	damaged    []*segment // set aside, deleted by retention
	leftover   []*segment // dropped, but the system did not remove the file yet
	floor      uint64     // nothing below is readable, whatever the segments hold
	checkpoint uint64     // offset of the checkpoint on disk
	tail       tail
	values     *table[latest]
	producers  *table[uint64]
	stats      Stats

	visible  atomic.Uint64 // head, for those who only look
	watchers atomic.Pointer[[]*func()]

	kick chan struct{} // the keeper has something to do
	quit chan struct{}
	done chan struct{} // the keeper has ended
}

// Stats are counters and sizes for metrics. Counters start at Open.
type Stats struct {
	First, Head uint64
	Segments    int
	DiskBytes   int64
	TailEntries int
	TailBytes   int64
	Topics      int // last values held
	Producers   int // producers held
	TableBytes  int64
	Appended    uint64
	Duplicates  uint64 // not appended, by Producer and ProducerSeq
	Batches     uint64 // writes; Appended/Batches is how well appenders were joined
	Syncs       uint64 // fsyncs before an acknowledgement
	Failures    uint64 // writes and fsyncs that failed
	Evicted     uint64 // entries dropped by retention or damage
	Forgotten   uint64 // last values and producers dropped for memory
	Degraded    bool
}

// Head returns the place of the youngest visible entry; offset 0 when there was
// none yet.
func (j *Journal) Head() Cursor { return Cursor{Epoch: j.Epoch(), Offset: j.visible.Load()} }

// Epoch returns the name of this continuous log. It does not change while the
// journal is open, unless by [Journal.Continue].
func (j *Journal) Epoch() string { return *j.epoch.Load() }

// Rejoin returns the offset from which a reader with cursor c goes on. For a cursor of this epoch that is its own. For one of an
// earlier epoch, or of one that this journal does not know, it is the last offset up to which the reader cannot have read
// anything but what the journal holds now: what it read beyond was lost, and other entries may have those offsets. Such a
// reader has to say that it does not know what it missed.
func (j *Journal) Rejoin(c Cursor) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if c.Epoch == j.Epoch() {
		return c.Offset
	}
	at := c.Offset
	for i := len(j.epochs) - 1; i >= 0 && j.epochs[i].Epoch != c.Epoch; i-- {
		at = min(at, j.epochs[i].After)
	}
	return at
}

// First returns the oldest readable offset, one more than the head when nothing
// is readable.
func (j *Journal) First() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.first()
}

func (j *Journal) first() uint64 {
	if len(j.segments) == 0 {
		return j.head + 1
	}
	return max(j.floor, j.segments[0].base)
}

// Producer returns the highest sequence that is stored for a producer and the
// offset of that message. A producer that has been silent for long may have been
// forgotten, see [Options].TableBytes.
func (j *Journal) Producer(name string) (seq, offset uint64, known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.producers.nodes[name]
	if n == nil {
		return 0, 0, false
	}
	return n.value, n.offset, true
}

// Err returns why appends are refused at the moment: an error that wraps
// [ErrDegraded], [ErrClosed], or nil.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.refusal()
}

func (j *Journal) refusal() error {
	if j.closed {
		return ErrClosed
	}
	return j.degraded
}

// Stats returns the present counters and sizes.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	s.First, s.Head = j.first(), j.head
	s.Segments = len(j.segments)
	s.DiskBytes = j.diskBytes()
	s.TailEntries, s.TailBytes = j.tail.n, j.tail.bytes
	s.Topics, s.Producers = len(j.values.nodes), len(j.producers.nodes)
	s.TableBytes = j.values.bytes + j.producers.bytes
	s.Forgotten = j.values.evicted + j.producers.evicted
	s.Degraded = j.degraded != nil
	return s
}

func (j *Journal) diskBytes() int64 {
	var n int64
	for _, s := range j.segments {
		n += s.size
	}
	for _, s := range j.damaged {
		n += s.size
	}
	for _, s := range j.leftover {
		n += s.size
	}
	return n
}

// Watch registers f to be called each time the head has moved, from the
// goroutine that moved it, before its Append returns: f must not wait for
// anybody and must not append. It may run more than once at a time. After cancel
// returned, a call that had begun may still be running.
func (j *Journal) Watch(f func()) (cancel func()) {
	entry := &f
	j.changeWatchers(func(list []*func()) []*func() { return append(list, entry) })
	return func() {
		j.changeWatchers(func(list []*func()) []*func() {
			for i, other := range list {
				if other == entry {
					return append(list[:i], list[i+1:]...)
				}
			}
			return list
		})
	}
}

// changeWatchers replaces the list by a changed copy, so that calling the
// watchers needs no lock.
func (j *Journal) changeWatchers(change func([]*func()) []*func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	next := change(append([]*func(){}, *j.watchers.Load()...))
	j.watchers.Store(&next)
}

func (j *Journal) tellWatchers() {
	for _, f := range *j.watchers.Load() {
		(*f)()
	}
}

// Close refuses what has not reached the disk yet, writes and fsyncs what was acknowledged, marks the
// end as clean and gives the directory back. It may be called more than once;
// later calls wait for the first and return nil. An error says that the next Open
// will find an unclean end.
func (j *Journal) Close() (err error) {
	j.closing.Do(func() { err = j.shut() })
	return err
}

func (j *Journal) shut() error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	close(j.quit)
	<-j.done
	j.io.Lock()
	defer j.io.Unlock()
	err := j.finish()
	if j.active != nil {
		err = errors.Join(err, j.active.Close())
		j.active = nil
	}
	if err == nil {
		err = writeState(j.opts.fs, j.opts.Dir, state{
			Epoch: j.Epoch(), Clean: true, Sync: j.opts.Sync, Boot: j.opts.boot(), Head: j.head, Epochs: j.epochs, Mark: j.mark,
		})
	}
	err = errors.Join(err, j.lock.Close())
	if err != nil {
		return fmt.Errorf("journal: close %q: %w", j.opts.Dir, err)
	}
	return nil
}

// finish brings everything to disk. Called with io held, after the keeper ended.
func (j *Journal) finish() error {
	if j.active == nil {
		return j.degraded
	}
	if err := j.flush(); err != nil {
		return err
	}
	if err := j.active.Sync(); err != nil {
		return err
	}
	return j.saveCheckpoint(true)
}
