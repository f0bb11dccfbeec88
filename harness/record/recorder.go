package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// flushEvery bounds how much of a killed run is lost.
const flushEvery = 100 * time.Millisecond

// shards is how many independent buffers Add spreads over; nodes of different
// shards never wait for each other.
const shards = 64

// Recorder writes a recording to a directory while it happens. Add costs a
// short lock and a copy of 64 bytes; encoding and writing happen in one
// background goroutine. All methods are safe for concurrent use.
type Recorder struct {
	dir   string
	clock *Clock

	shard [shards]struct {
		mu      sync.Mutex
		records []Record
		_       [32]byte // keep neighbours out of one cache line
	}
	free sync.Pool // of *[]Record

	mu       sync.Mutex
	index    Index
	epochs   map[string]uint32
	events   []Event // not yet written
	changed  bool    // index differs from the file
	lost     int64   // records refused after a failed write or after Close
	firstErr error
	torn     error // see Torn

	byMeaning atomic.Bool // see CompareByMeaning
	watch     atomic.Pointer[func(Written)]

	closed atomic.Bool
	wake   chan struct{} // a shard is full
	quit   chan struct{}
	done   chan struct{} // the writer has ended
	once   sync.Once

	// Owned by the writer goroutine, and by Close once that has ended.
	out        io.WriteCloser
	eventsOut  io.WriteCloser
	chunk      []byte
	chunks     uint32
	written    int64
	eventCount int64
}

// indexOnDisk is the form of index.json.
type indexOnDisk struct {
	Format  string    `json:"format"`
	Epoch   time.Time `json:"epoch"` // wall time of the clock's zero
	Whole   bool      `json:"whole"` // closed cleanly, nothing was lost
	Error   string    `json:"error,omitempty"`
	Records int64     `json:"records"`
	Events  int64     `json:"events"`
	Index
}

const indexFormat = "plumbline.record/v1"

// NewRecorder makes dir and starts a recording in it. A directory that already
// holds a recording is refused: two runs never share one.
func NewRecorder(dir string, clock *Clock) (*Recorder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // G301: evidence is for others to read
		return nil, fmt.Errorf("record: make %q: %w", dir, err)
	}
	out, err := create(filepath.Join(dir, recordsFile))
	if err != nil {
		return nil, err
	}
	eventsOut, err := create(filepath.Join(dir, eventsFile))
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return newRecorder(dir, clock, out, eventsOut)
}

func create(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // G302: evidence is for others to read
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("record: %q already holds a recording; give each run a directory of its own: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("record: create %q: %w", path, err)
	}
	return f, nil
}

func newRecorder(dir string, clock *Clock, out, eventsOut io.WriteCloser) (*Recorder, error) {
	r := &Recorder{
		dir: dir, clock: clock, out: out, eventsOut: eventsOut,
		epochs: map[string]uint32{}, changed: true,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		chunk: make([]byte, 0, chunkMaxBytes),
	}
	r.free.New = func() any { s := make([]Record, 0, chunkRecords); return &s }
	if _, err := out.Write(appendFileHeader(nil, clock.Epoch().UnixNano())); err != nil {
		return nil, errors.Join(r.writeError(recordsFile, err), out.Close(), eventsOut.Close())
	}
	if err := r.writeIndex(false); err != nil {
		return nil, errors.Join(r.writeError(indexFile, err), out.Close(), eventsOut.Close())
	}
	go r.write()
	return r, nil
}

// CompareByMeaning makes Digest take payloads that are JSON by what they say
// (see Canonical), for a system under test that may write them anew. It is
// called before the first record and noted as an event.
func (r *Recorder) CompareByMeaning() {
	r.byMeaning.Store(true)
	r.Event(Event{Kind: Note, Detail: "payloads that are JSON are compared by what they say"})
}

// ByMeaning reports whether CompareByMeaning was called.
func (r *Recorder) ByMeaning() bool { return r.byMeaning.Load() }

// Digest returns the identity under which this recording carries a payload, see
// Identity.
func (r *Recorder) Digest(payload []byte) uint64 { return Identity(payload, r.byMeaning.Load()) }

// Identity returns the function Digest of a payload, or of its canonical form when
// payloads are compared by their meaning (see Recorder.CompareByMeaning).
func Identity(payload []byte, byMeaning bool) uint64 {
	if byMeaning && !bytes.HasPrefix(payload, []byte(payloadHead)) { // ours are restored to the byte
		payload = Canonical(payload)
	}
	return Digest(payload)
}

// Written is what was just written: some records or, at the end of each turn, the
// events, with all nodes and how many streams there are by then.
type Written struct {
	Records []Record // to be used until the call returns
	Events  []Event  // likewise
	Nodes   []Node   // nil beside Records; never changed
	Streams int
}

// Watch lets f look on from now on; nil ends that. It is called about ten times a
// second by the goroutine that writes, never by one that records. Nothing waits
// for it but the disk, so it must be quick.
func (r *Recorder) Watch(f func(Written)) {
	if f == nil {
		r.watch.Store(nil)
		return
	}
	r.watch.Store(&f)
}

// Clock returns the clock that stamps of this recording are taken from.
func (r *Recorder) Clock() *Clock { return r.clock }

// Stream registers a source of messages and returns its number.
func (r *Recorder) Stream(s Stream) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index.Streams = append(r.index.Streams, s)
	r.changed = true
	return uint32(len(r.index.Streams) - 1)
}

// Node registers a viewer, witness or publisher and returns its number. More
// than 65,536 nodes cannot be told apart; the surplus shares the last number
// and Err says so.
func (r *Recorder) Node(n Node) uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	const most = 1 << 16
	if len(r.index.Nodes) == most {
		r.fail(fmt.Errorf("record: more than %d nodes; start fewer viewers or publishers", most))
		return most - 1
	}
	r.index.Nodes = append(r.index.Nodes, n)
	r.changed = true
	return uint16(len(r.index.Nodes) - 1)
}

// Epoch returns the number of a journal epoch, registering it when it is new.
func (r *Recorder) Epoch(id string) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.epochs[id]
	if !ok {
		n = uint32(len(r.index.Epochs))
		r.index.Epochs = append(r.index.Epochs, id)
		r.epochs[id] = n
		r.changed = true
	}
	return n
}

// Add appends one record. Records of one node keep the order of their Add
// calls. Add does not block on the disk; after a failed write or after Close
// the record is counted as lost.
func (r *Recorder) Add(rec Record) {
	s := &r.shard[rec.Node%shards]
	s.mu.Lock()
	if r.closed.Load() {
		s.mu.Unlock()
		r.refuse("", nil, 1)
		return
	}
	if s.records == nil {
		s.records = *r.free.Get().(*[]Record)
	}
	s.records = append(s.records, rec)
	full := len(s.records) == chunkRecords
	s.mu.Unlock()
	if full {
		r.kick()
	}
}

// Event appends an event and stamps it when its At is zero.
func (r *Recorder) Event(e Event) {
	if e.At == 0 {
		e.At = r.clock.Now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		r.lost++
		return
	}
	r.events = append(r.events, e)
}

func (r *Recorder) kick() {
	select {
	case r.wake <- struct{}{}:
	default: // already awake
	}
}

// Err returns the first failure to write, for example a full disk. After it
// nothing more is written; what was written stays readable.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.firstErr
}

// Torn says that something which belongs into the recording is missing, because
// whoever saw it is gone. What comes is still written, Close reports no error of
// its own, and the recording is read as partial. The first cause is kept in it.
func (r *Recorder) Torn(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.torn == nil {
		r.torn = cause
	}
}

// fail keeps the first error; the caller holds mu.
func (r *Recorder) fail(err error) {
	if r.firstErr == nil {
		r.firstErr = err
	}
}

func (r *Recorder) writeError(file string, err error) error {
	return fmt.Errorf("record: write %q: %w; free space there or choose another directory, "+
		"what was recorded so far stays readable", filepath.Join(r.dir, file), err)
}

// Close writes what is left, marks the recording as whole and returns the
// first error of the recording. It blocks until the writer has ended. Calling
// it again returns the same.
func (r *Recorder) Close() error {
	r.once.Do(func() {
		r.closed.Store(true)
		close(r.quit)
		<-r.done
		r.finish()
	})
	return r.Err()
}

// Log returns the recording once it is closed, read back from its files so
// that oracles see the evidence and nothing else.
func (r *Recorder) Log() (*Log, error) {
	if !r.closed.Load() {
		return nil, fmt.Errorf("record: %q is still being written; close the recorder first", r.dir)
	}
	if err := r.Close(); err != nil {
		log, loadErr := Load(r.dir)
		return log, errors.Join(err, loadErr)
	}
	return Load(r.dir)
}

// finish runs after the writer goroutine, once.
func (r *Recorder) finish() {
	for name, f := range map[string]io.Closer{recordsFile: r.out, eventsFile: r.eventsOut} {
		if err := f.Close(); err != nil {
			r.refuse(name, err, 0)
		}
	}
	r.mu.Lock()
	whole := r.firstErr == nil && r.torn == nil && r.lost == 0
	r.mu.Unlock()
	if err := r.writeIndex(whole); err != nil {
		r.refuse(indexFile, err, 0)
	}
}

// writeIndex replaces index.json in one step, so that a reader of a killed run
// finds a whole one.
func (r *Recorder) writeIndex(whole bool) error {
	r.mu.Lock()
	disk := indexOnDisk{
		Format: indexFormat, Epoch: r.clock.Epoch(), Whole: whole,
		Records: r.written, Events: r.eventCount, Index: r.index,
	}
	switch {
	case r.firstErr != nil:
		disk.Error = r.firstErr.Error()
	case r.torn != nil:
		disk.Error = r.torn.Error()
	}
	data, err := json.MarshalIndent(disk, "", " ")
	r.changed = false
	r.mu.Unlock()
	if err != nil {
		return err
	}
	path := filepath.Join(r.dir, indexFile)
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o644); err != nil { //nolint:gosec // G306: evidence is for others to read
		return err
	}
	return os.Rename(path+".new", path)
}
