package generator

import (
	"encoding/json"
	"sync"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/record"
)

const (
	// flushEvery bounds how much of a killed generator is lost.
	flushEvery = 100 * time.Millisecond
	// lanes is how many independent buffers Add spreads over.
	lanes = 64
	// batch is how many records go into one cast at most.
	batch = 4096
)

// tape is the recorder of the generator's process: it casts what it is given to
// the harness. A harness that is gone takes nothing more, and nobody misses it.
type tape struct {
	cast      func(name string, body []byte) error
	clock     *record.Clock
	byMeaning bool

	lane [lanes]struct {
		mu      sync.Mutex
		records []record.Record
		_       [32]byte // keep neighbours out of one cache line
	}

	mu             sync.Mutex
	nodes, streams uint32 // registered
	events         []record.Event

	flushing sync.Mutex // one flush at a time keeps the order of a node

	wake, quit, done chan struct{}
}

var _ load.Recorder = (*tape)(nil)

// newTape starts a tape; end stops it.
func newTape(clock *record.Clock, byMeaning bool, cast func(name string, body []byte) error) *tape {
	t := &tape{
		cast: cast, clock: clock, byMeaning: byMeaning,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	go t.run()
	return t
}

func (t *tape) run() {
	defer close(t.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.quit:
			return
		case <-tick.C:
		case <-t.wake:
		}
		t.flush()
	}
}

// end casts what is left and returns when the goroutine has ended. It is called
// once, when nothing records any more.
func (t *tape) end() {
	close(t.quit)
	<-t.done
	t.flush()
}

// Clock implements load.Recorder, as do the next five.
func (t *tape) Clock() *record.Clock { return t.clock }

// Digest implements load.Recorder.
func (t *tape) Digest(payload []byte) uint64 { return record.Identity(payload, t.byMeaning) }

// Stream implements load.Recorder.
func (t *tape) Stream(s record.Stream) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams++
	t.castJSON(castStream, s)
	return t.streams - 1
}

// Node implements load.Recorder. The harness refuses more nodes than there are
// numbers.
func (t *tape) Node(n record.Node) uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nodes++
	t.castJSON(castNode, n)
	return uint16(t.nodes - 1)
}

// Add implements load.Recorder.
func (t *tape) Add(r record.Record) {
	l := &t.lane[r.Node%lanes]
	l.mu.Lock()
	l.records = append(l.records, r)
	full := len(l.records) >= batch
	l.mu.Unlock()
	if full {
		select {
		case t.wake <- struct{}{}:
		default: // awake already
		}
	}
}

// Event implements load.Recorder.
func (t *tape) Event(e record.Event) {
	if e.At == 0 {
		e.At = t.clock.Now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

// flush casts everything that was recorded before it was called.
func (t *tape) flush() {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	for i := range t.lane {
		l := &t.lane[i]
		l.mu.Lock()
		records := l.records
		if len(records) > 0 {
			l.records = make([]record.Record, 0, cap(records))
		}
		l.mu.Unlock()
		for len(records) > 0 {
			n := min(len(records), batch)
			body := make([]byte, 0, n*record.Size)
			for i := range records[:n] {
				body = records[i].Append(body)
			}
			_ = t.cast(castRecords, body) // see tape
			records = records[n:]
		}
	}
	t.mu.Lock()
	events := t.events
	t.events = nil
	t.mu.Unlock()
	for len(events) > 0 {
		n := min(len(events), batch)
		t.castJSON(castEvents, events[:n])
		events = events[n:]
	}
}

func (t *tape) castJSON(name string, v any) {
	body, err := json.Marshal(v)
	if err == nil { // these are strings and numbers, which always encode
		_ = t.cast(name, body)
	}
}
