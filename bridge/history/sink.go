package history

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// The defaults of [SinkOptions]. A batch is small because the embedded store works on the processors that live needs: many short
// bursts with rests between them delay nobody, one of tens of milliseconds shows in the 99th percentile of latency.
const (
	DefaultFlush      = time.Second
	DefaultBatch      = 500
	DefaultBatchBytes = 4 << 20
)

const (
	writeTimeout = 30 * time.Second // of one batch
	lookTimeout  = 5 * time.Second  // to find when a gap begins, doubled each time that it is not found
	lookTries    = 6                // how often it is
	lastWords    = 5 * time.Second  // to store what the journal holds after Run's context ended
	expireEvery  = time.Minute      // between two rounds of retention
	expireRest   = 100 * time.Millisecond
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 30 * time.Second
)

// SinkOptions configures a sink. Journal and Open are required.
type SinkOptions struct {
	Journal *journal.Journal
	// Open makes the store. It is called again after an error, with growing pauses, so that a database that is not there yet
	// keeps nothing from starting.
	Open       func(ctx context.Context) (Store, error)
	Name       string        // of the store, for logs and metrics before it is open
	Rules      Rules         // the zero value is the plain rule
	Flush      time.Duration // how long entries gather before they are stored; 0 = DefaultFlush
	Batch      int           // entries stored at once; 0 = DefaultBatch
	BatchBytes int           // about how many bytes of topics and payloads are stored at once; 0 = DefaultBatchBytes
	Metrics    *metrics.Set  // nil = none
	Log        *slog.Logger  // nil = none
	Now        func() time.Time
}

// Sink copies the journal into a store. Run it once.
type Sink struct {
	o     SinkOptions
	x     Extractor
	kick  chan struct{}
	pause func(ctx context.Context, d time.Duration) // tests skip it
	look  time.Duration                              // lookTimeout; tests shorten it

	store atomic.Pointer[Store]
	at    atomic.Uint64 // everything up to it is stored

	// Owned by Run.
	cursor   journal.Cursor // of the store
	next     uint64         // entries after it are read next
	gaps     []Gap          // found and not stored yet
	lastTime time.Time      // of the last entry that was read
	entries  []journal.Entry
	batch    Batch
	full     bool // the last batch was: there is more
	expireAt time.Time
	looked   int    // how often the begin of a gap was not found
	trouble  string // the last error logged
}

// NewSink makes a sink that Run starts.
func NewSink(o SinkOptions) *Sink {
	o.Flush = cmp.Or(o.Flush, DefaultFlush)
	o.Batch = cmp.Or(o.Batch, DefaultBatch)
	o.BatchBytes = cmp.Or(o.BatchBytes, DefaultBatchBytes)
	if o.Metrics == nil {
		o.Metrics = metrics.New()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sink{o: o, x: Extractor{Rules: o.Rules}, kick: make(chan struct{}, 1), pause: sleep, look: lookTimeout}
}

// Store returns the store while Run has it open and it has a cursor, which a new store gets with the first batch, be that empty;
// else nil. Who reads it always learns from where live continues.
func (s *Sink) Store() Store {
	if p := s.store.Load(); p != nil {
		return *p
	}
	return nil
}

// Lag returns how many journal entries are not stored yet, and how long the oldest of them has been in the journal. It may read
// one entry from disk.
func (s *Sink) Lag() (offsets uint64, age time.Duration) {
	at, head := s.at.Load(), s.o.Journal.Head().Offset
	if head <= at {
		return 0, 0
	}
	entries, err := s.o.Journal.Read(at, 1, 0)
	var evicted journal.ErrEvicted
	if errors.As(err, &evicted) { // the oldest is gone already: the age of what is left says the least
		entries, _ = s.o.Journal.Read(evicted.First-1, 1, 0)
	}
	if len(entries) > 0 {
		age = max(0, s.o.Now().Sub(entries[0].Time))
	}
	return head - at, age
}

// Run copies until ctx ends, then stores what the journal holds, for 5 s at most, closes the store and returns nil. An error of
// the store is logged and counted, and the work is done again with growing pauses; it never reaches the journal.
func (s *Sink) Run(ctx context.Context) error {
	defer s.o.Journal.Watch(func() {
		select {
		case s.kick <- struct{}{}:
		default: // told already
		}
	})()
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, cancel) })()
	store := s.connect(ctx, hard)
	if store == nil {
		return nil
	}
	defer func() {
		s.store.Store(nil)
		if err := store.Close(); err != nil {
			s.o.Log.Warn("history: close", "store", s.o.Name, "error", err)
		}
	}()
	if !s.locate(hard, store) {
		return nil
	}
	if s.cursor != (journal.Cursor{}) {
		s.store.Store(&store)
	}
	for ctx.Err() == nil {
		began := time.Now()
		s.copy(ctx, hard, store)
		s.expire(hard, store)
		s.rest(ctx, time.Since(began))
	}
	for hard.Err() == nil && s.copy(hard, hard, store) {
	}
	return nil
}

// connect opens the store, as often as it takes; nil when ctx ended before. An attempt that is under way then may end well until hard ends.
func (s *Sink) connect(ctx, hard context.Context) (store Store) {
	s.insist(ctx, "open", func() error {
		opened, err := s.o.Open(hard)
		if err == nil {
			store = opened
		}
		return err
	})
	return store
}

// locate asks the store for its cursor and finds where to go on; false when ctx ended before.
func (s *Sink) locate(ctx context.Context, store Store) bool {
	return s.insist(ctx, "cursor", func() error {
		c, err := store.Cursor(ctx)
		if err == nil {
			err = s.adopt(ctx, store, c)
		}
		return err
	})
}

// insist calls try until it succeeds, with growing pauses, and reports whether it did before ctx ended.
func (s *Sink) insist(ctx context.Context, what string, try func() error) bool {
	for wait := backoffFirst; ctx.Err() == nil; wait = min(2*wait, backoffMost) {
		err := try()
		if err == nil {
			s.calm()
			return true
		}
		s.complain(ctx, what, err)
		s.pause(ctx, wait)
	}
	return false
}

// complain counts an error, and logs it unless it is the one that was logged last.
func (s *Sink) complain(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return // it is ours
	}
	s.o.Metrics.SinkErrors.WithLabelValues(s.o.Name, what).Inc()
	if text := what + ": " + err.Error(); text != s.trouble {
		s.trouble = text
		s.o.Log.Error("history is behind and tries again", "store", s.o.Name, "action", what, "error", err)
	}
}

func (s *Sink) calm() {
	if s.trouble != "" {
		s.trouble = ""
		s.o.Log.Info("history goes on", "store", s.o.Name)
	}
}

// adopt goes on from the cursor of the store.
func (s *Sink) adopt(ctx context.Context, store Store, c journal.Cursor) error {
	j := s.o.Journal
	head, first := j.Head(), j.First()
	next, foreign := c.Offset, c.Epoch != head.Epoch || c.Offset > head.Offset
	var gaps []Gap
	switch {
	case c == (journal.Cursor{}): // a new store begins with what the journal has
		next = first - 1
	case foreign:
		next = min(j.Rejoin(c), head.Offset)
		gaps = []Gap{{Epoch: head.Epoch, From: next, To: next, Reason: GapEpoch, End: s.o.Now()}}
		s.o.Log.Warn("history: the journal is not the one that was stored, messages may be missing", "store", s.o.Name, "stored", c.Epoch, "epoch", head.Epoch, "after", next)
	}
	if c != (journal.Cursor{}) && (foreign || next+1 < first) { // there is a gap: when does it begin?
		before, err := s.before(ctx, store, next)
		if err != nil {
			return err
		}
		s.lastTime = before
		for i := range gaps {
			gaps[i].Begin = before
		}
	}
	s.cursor, s.next, s.gaps = c, next, gaps
	s.at.Store(next)
	return nil
}

// before returns the time of the entry at offset, or, when the journal has it no longer, of the youngest that the store has; zero
// when there is none. In a store with very many series it gives up and returns the youngest so far: the gap begins too early then.
// One that has told nothing yet is asked again for longer, since a gap without a begin touches every earlier time, but not for ever.
func (s *Sink) before(ctx context.Context, store Store, offset uint64) (time.Time, error) {
	if offset > 0 {
		if found, err := s.o.Journal.Read(offset-1, 1, 0); err == nil && len(found) > 0 {
			return found[0].Time, nil
		}
	}
	looking, cancel := context.WithTimeout(ctx, s.look<<s.looked)
	defer cancel()
	last, err := s.youngest(looking, store)
	switch {
	case err == nil:
	case looking.Err() == nil:
		return last, err
	case !last.IsZero():
	case s.looked < lookTries:
		s.looked++
		return last, err
	default:
		s.o.Log.Warn("history does not find when a gap begins: every answer of an earlier time will have it", "store", s.o.Name, "error", err)
	}
	s.looked = 0
	return last, nil
}

// youngest returns the time of the youngest that the store has, zero when it has nothing. With an error it is the youngest so far.
func (s *Sink) youngest(ctx context.Context, store Store) (last time.Time, err error) {
	now := s.o.Now()
	look := func(t time.Time) {
		if t.After(last) && !t.After(now) { // a payload may state a time ahead
			last = t
		}
	}
	events, err := store.Events(ctx, EventQuery{Filter: "#", From: time.Unix(0, 0), To: now, Descending: true, Limit: 1})
	if err != nil {
		return last, err
	}
	for _, e := range events.Events {
		look(e.Time)
	}
	for q := (ListQuery{Filter: "#", Limit: 10}); ; q.Limit = min(2*q.Limit, 1000) { // soon something, then much at once
		page, err := store.Latest(ctx, q)
		if err != nil {
			return last, err
		}
		for _, p := range page.Points {
			look(p.Time)
		}
		if !page.More || page.Last == nil {
			return last, nil
		}
		q.After = page.Last
	}
}

// copy stores one batch and reports whether it did. It tries until ctx ends; what is under way is given up when hard ends.
func (s *Sink) copy(ctx, hard context.Context, store Store) bool {
	end, err := s.collect()
	if err != nil {
		s.complain(ctx, "read", err)
		s.pause(ctx, backoffFirst)
		return false
	}
	b := &s.batch
	if b.To = (journal.Cursor{Epoch: s.o.Journal.Epoch(), Offset: end}); b.To == s.cursor {
		return false
	}
	stored := s.insist(ctx, "write", func() error { return s.write(hard, store) })
	if stored = stored && s.cursor == b.To; stored && s.Store() == nil {
		s.store.Store(&store)
	}
	clear(b.Points)
	clear(b.Events)
	return stored
}

// write stores the batch. When it returns nil, s is at the store's cursor, which somebody else may have moved.
func (s *Sink) write(hard context.Context, store Store) error {
	ctx, cancel := context.WithTimeout(hard, writeTimeout)
	defer cancel()
	b, began := &s.batch, time.Now()
	w, err := store.Write(ctx, b)
	if err != nil {
		at, e := store.Cursor(ctx)
		switch {
		case e != nil || at == b.From:
			return err
		case at != b.To:
			s.complain(ctx, "write", err)
			return s.adopt(ctx, store, at)
		}
		w = Written{Points: len(b.Points), Events: len(b.Events)} // it was stored and the answer was lost
	}
	m := s.o.Metrics
	m.SinkWrites.WithLabelValues(s.o.Name).Observe(time.Since(began).Seconds())
	m.SinkPoints.WithLabelValues(s.o.Name).Add(float64(w.Points))
	m.SinkEvents.WithLabelValues(s.o.Name).Add(float64(w.Events))
	if w.Refused > 0 {
		m.SinkLeft.WithLabelValues(s.o.Name, "series").Add(float64(w.Refused))
	}
	for _, g := range b.Gaps {
		m.SinkGaps.WithLabelValues(s.o.Name, g.Reason).Inc()
		s.o.Log.Error("history has a gap", "store", s.o.Name, "reason", g.Reason, "after", g.From, "to", g.To, "count", g.Count)
	}
	s.cursor, s.next, s.gaps = b.To, b.To.Offset, nil
	s.at.Store(s.next)
	return nil
}

// collect fills the batch with what follows next and returns the offset it reaches.
func (s *Sink) collect() (end uint64, err error) {
	b := &s.batch
	*b = Batch{From: s.cursor, Points: b.Points[:0], Events: b.Events[:0], Gaps: append([]Gap(nil), s.gaps...)}
	end = s.next
	var left Left
	count, bytes, last := 0, 0, s.lastTime
	for count < s.o.Batch && bytes < s.o.BatchBytes {
		s.entries, err = s.o.Journal.ReadInto(s.entries[:0], end, s.o.Batch-count, s.o.BatchBytes-bytes)
		var evicted journal.ErrEvicted
		if errors.As(err, &evicted) {
			b.Gaps = append(b.Gaps, Gap{Epoch: s.o.Journal.Epoch(), From: end, To: evicted.First - 1, Count: evicted.First - 1 - end, Reason: GapEvicted, Begin: last, End: s.o.Now()})
			end = evicted.First - 1
			continue
		}
		if err != nil || len(s.entries) == 0 {
			break
		}
		for i := range s.entries {
			e := &s.entries[i]
			one := s.x.Extract(b, e)
			left.Fields, left.Times = left.Fields+one.Fields, left.Times+one.Times
			bytes += len(e.Topic) + len(e.Payload)
		}
		count += len(s.entries)
		end, last = s.entries[len(s.entries)-1].Offset, s.entries[len(s.entries)-1].Time
	}
	if count > 0 {
		err = nil // what could be read is stored; the next time begins with what could not
	}
	clear(s.entries) // their payloads must not stay for the next batch
	s.full = count >= s.o.Batch || bytes >= s.o.BatchBytes
	if err == nil {
		s.lastTime = last
		s.count(left)
	}
	return end, err
}

func (s *Sink) count(left Left) {
	for reason, n := range map[string]int{"field": left.Fields, "time": left.Times} {
		if n > 0 {
			s.o.Metrics.SinkLeft.WithLabelValues(s.o.Name, reason).Add(float64(n))
		}
	}
}

// expire goes on with retention, or begins a round when it is time.
func (s *Sink) expire(ctx context.Context, store Store) {
	now := s.o.Now()
	if now.Before(s.expireAt) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	more, err := store.Expire(ctx, now)
	if err != nil {
		s.complain(ctx, "expire", err)
	}
	if s.expireAt = now.Add(expireEvery); more {
		s.expireAt = now.Add(expireRest)
	}
}

// rest waits until there is something to do. Behind, it works half of the time, so that live has the other half of a processor.
func (s *Sink) rest(ctx context.Context, worked time.Duration) {
	if s.full {
		s.pause(ctx, worked)
		return
	}
	if s.o.Journal.Head().Offset <= s.next {
		t := time.NewTimer(max(0, s.expireAt.Sub(s.o.Now())))
		defer t.Stop()
		select {
		case <-s.kick:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
	s.pause(ctx, min(s.o.Flush, max(expireRest, s.expireAt.Sub(s.o.Now()))))
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
