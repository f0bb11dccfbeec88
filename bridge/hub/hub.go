package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// ErrClosed says that the hub has ended.
var ErrClosed = errors.New("hub: closed")

// Hub is the fan-out of one journal. Create it with [New], start it with
// [Hub.Run]. All methods may be called concurrently.
type Hub struct {
	opts    Options
	journal *journal.Journal
	kick    chan struct{}
	started atomic.Bool
	catchUp slots

	mu       sync.Mutex
	ended    bool
	groups   map[groupKey]*group
	routes   routes
	held     int64           // bytes that groups hold for their ticks
	position uint64          // everything up to here was fanned out
	fresh    []*Subscription // begin behind and have to be told
	stuck    []*Subscription // could not read the journal and try again at the next progress
	stats    Stats

	catchUps, gaps, denied atomic.Uint64
	names                  names

	tell func() // notifyDue

	// turn is held by who fans out: the goroutine of Run, but while it rests, or who has appended. It is taken before mu, and guards what follows.
	turn    sync.Mutex
	entries []journal.Entry
	shared  [formats]sharedPart
	made    [formats]bool // which of shared are of the present entry
	touched []*group
	due     []*Subscription
	quiet   quiet
	pace    pacer
	ticks   ticks
	pause   pause
}

// Stats are counters and sizes for metrics. Counters start at New.
type Stats struct {
	Groups, Subscriptions int
	RingBytes             int64
	Position              uint64 // offset up to which the journal was fanned out
	Rounds                uint64
	Batches               uint64 // encoded, each once for its whole group
	Readings              uint64 // in those batches
	Conflated             uint64 // entries left out of those batches for newer ones
	Notified              uint64
	CatchUps              uint64 // reads of the journal for one subscription
	Gaps                  uint64 // declared
	Denied                uint64 // readings left out by Access.Allow
}

// New makes a hub that starts at the journal's head.
func New(j *journal.Journal, opts Options) *Hub {
	opts = opts.withDefaults()
	h := &Hub{
		opts: opts, journal: j, kick: make(chan struct{}, 1),
		catchUp:  slots{free: opts.CatchUps},
		groups:   make(map[groupKey]*group),
		position: j.Head().Offset,
		ticks:    ticks{start: time.Now()},
		pace:     newPacer(opts.FrameRate, opts.BatchDelay, time.Now()),
	}
	h.tell = h.notifyDue
	return h
}

// Stats returns the present counters and sizes.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Groups, s.Position = len(h.groups), h.position
	s.CatchUps, s.Gaps, s.Denied = h.catchUps.Load(), h.gaps.Load(), h.denied.Load()
	return s
}

// wake asks the loop to look around.
func (h *Hub) wake() {
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

// Run fans out until ctx ends, and returns nil then. It returns an error when it
// runs already or the journal was closed. Afterwards Subscribe is refused, and
// subscriptions give what they have.
func (h *Hub) Run(ctx context.Context) error {
	if !h.started.CompareAndSwap(false, true) {
		return errors.New("hub: run: a hub runs once")
	}
	defer func() {
		h.mu.Lock()
		h.ended = true
		h.mu.Unlock()
	}()
	h.pause = newPause()
	defer h.pause.close()
	cancel := h.journal.Watch(h.look)
	defer cancel()
	progress := time.NewTicker(h.opts.Progress)
	defer progress.Stop()
	for {
		wait, later, err := h.turnOnce()
		if err != nil {
			return err
		}
		kick := h.kick
		if wait > 0 {
			kick = nil // more entries do not make the time come sooner
		}
		wait = sooner(sooner(wait, later), h.catchUp.urge())
		if !h.rest(ctx, wait, kick, progress.C) {
			return nil
		}
	}
}

// turnOnce does what is due. It returns how long to wait before the next round, and for whatever else comes at its time.
func (h *Hub) turnOnce() (wait, later time.Duration, err error) {
	h.turn.Lock()
	defer h.turn.Unlock()
	now := time.Now()
	later = sooner(h.tick(now), h.stroll(now))
	wait, err = h.step(allFrames)
	if errors.Is(err, journal.ErrClosed) {
		return 0, 0, fmt.Errorf("hub: run: %w", err)
	}
	if err != nil {
		h.opts.Log.Error("hub cannot read the journal, trying again", "error", err)
		wait = retryRead
	}
	h.notifyFresh()
	return wait, later, nil
}

const (
	retryRead = 100 * time.Millisecond // the pause after a read of the journal failed
	mostPause = 10 * time.Millisecond  // for which ctx and progress may wait
	idle      = -1                     // nothing to do until something comes
)

// sooner returns the shorter of two waits, of which idle is the longest.
func sooner(a, b time.Duration) time.Duration {
	if a == idle || b != idle && b < a {
		return b
	}
	return a
}

// step runs the next round when its time has come, unless it is one of more than most, and returns how long to wait before the one
// that follows, or idle.
func (h *Hub) step(most int) (wait time.Duration, err error) {
	if h.position >= h.journal.Head().Offset {
		return idle, nil
	}
	start := time.Now()
	if wait = h.pace.wait(start); wait > 0 {
		return wait, nil
	}
	before := h.position
	frames, err := h.round(most)
	if err != nil || h.position > before {
		h.opts.Fanout(time.Since(start))
	}
	h.pace.spend(frames)
	h.tellDue()
	return 0, err
}

// rest waits as long as told, or until kicked. However busy the hub is, it looks at ctx, whose end
// makes it return false, and at progress.
func (h *Hub) rest(ctx context.Context, wait time.Duration, kick <-chan struct{}, progress <-chan time.Time) bool {
	if kick == nil && wait > 0 && wait <= mostPause {
		h.pause.sleep(wait)
		wait = 0
	}
	var enough <-chan time.Time
	switch {
	case wait == 0:
		select {
		case <-ctx.Done():
			return false
		case <-progress:
			h.moveQuietGroups()
		default:
		}
		return true
	case wait > 0:
		timer := time.NewTimer(wait)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-progress:
		h.moveQuietGroups()
	case <-enough:
	case <-kick:
	}
	return true
}

// The size of a round: more would keep Subscribe waiting.
const (
	roundEntries = 1024
	roundBytes   = 1 << 20
)

// round fans out the next entries, unless they are for more than most, and returns how many subscriptions are to be told.
func (h *Hub) round(most int) (frames int, err error) {
	h.entries, err = h.journal.ReadInto(h.entries[:0], h.position, roundEntries, roundBytes)
	var gone journal.ErrEvicted
	if errors.As(err, &gone) {
		if most < allFrames {
			return 0, nil // everybody has to be told
		}
		h.skipTo(gone.First - 1)
	} else if err != nil {
		return 0, err
	} else if n := len(h.entries); n > 0 {
		h.mu.Lock()
		if most < allFrames && !h.few(most) {
			h.mu.Unlock()
			return 0, nil
		}
		for i := range h.entries {
			h.spread(&h.entries[i])
		}
		h.position = h.entries[n-1].Offset
		for i, g := range h.touched {
			h.finish(g, h.position)
			g.building, h.touched[i] = false, nil
		}
		h.touched = h.touched[:0]
		h.stats.Rounds++
		h.stats.Notified += uint64(len(h.due))
		h.mu.Unlock()
		clear(h.entries) // not to hold payloads that the journal dropped
	}
	return len(h.due), nil
}

// sharedPart is the part of one entry's reading that all groups of a format share.
type sharedPart struct {
	buf  []byte
	name *Name
}

// spread adds one entry to the batches of all groups that want it. The entry is
// encoded once for each format. Called with h.mu held.
func (h *Hub) spread(e *journal.Entry) {
	r := h.routes.find(e.Topic)
	if len(r.groups) == 0 {
		return
	}
	h.made = [formats]bool{}
	for _, g := range r.groups {
		if g.access.Allow != nil && !g.access.Allow(e.Topic) {
			h.denied.Add(1)
			continue
		}
		if g.late != nil {
			h.hold(g, e)
			continue
		}
		part := h.part(g.key.format, e, r)
		if g.batch.Count > 0 && g.batch.Len()+len(part.buf) > h.opts.BatchBytes {
			h.finish(g, e.Offset-1)
		}
		if !g.building {
			g.building = true
			h.touched = append(h.touched, g)
		}
		if g.batch.Count == 0 {
			g.batch.base = g.to
		}
		g.batch.add(e, part.buf, part.name)
		if g.access.Allow != nil {
			g.topics = append(g.topics, e.Topic)
		}
	}
}

// part encodes what all groups of a format share, at its first use. Called with h.mu held.
func (h *Hub) part(f Format, e *journal.Entry, r *route) *sharedPart {
	part := &h.shared[f]
	if h.made[f] {
		return part
	}
	if h.made[f] = true; f != JSON {
		part.name = h.names.of(e.Topic)
	}
	part.buf = f.shared(part.buf[:0], e, r.field, part.name)
	return part
}

// finish makes what g gathered a batch up to offset to. Called with h.mu held.
func (h *Hub) finish(g *group, to uint64) {
	if g.batch.Count == 0 {
		return
	}
	b := newBatch(h.journal.Epoch(), span{from: g.to, to: to}, &g.batch)
	h.opts.Packer.offer(&b)
	h.push(g, kept{Batch: b, topics: slices.Clone(g.topics)})
	clear(g.topics)
	g.topics = g.topics[:0]
	if g.batch.reset(to); cap(g.batch.buf) > 4*h.opts.BatchBytes {
		g.batch.buf = nil // one huge reading must not hold its memory for ever
	}
}

// push gives g a batch and collects who has to be told. Called with h.mu held.
func (h *Hub) push(g *group, b kept) {
	limit := h.ringLimit()
	g.mu.Lock()
	h.stats.RingBytes += g.push(b, limit)
	h.due = g.takeWaiting(h.due)
	g.mu.Unlock()
	h.stats.Batches++
	h.stats.Readings += uint64(b.Count)
	h.stats.Conflated += b.Conflated
}

// tellDue tells those that were collected, without any lock but turn.
func (h *Hub) tellDue() {
	if len(h.due) > 0 {
		h.opts.Tell(h.tell)
	}
}

func (h *Hub) notifyDue() {
	for i, s := range h.due {
		s.notify()
		h.due[i] = nil
	}
	h.due = h.due[:0]
}

// notifyFresh tells new subscriptions that they begin behind.
func (h *Hub) notifyFresh() {
	h.mu.Lock()
	fresh := h.fresh
	h.fresh = nil
	h.mu.Unlock()
	for _, s := range fresh {
		s.notify()
	}
}

// skipTo goes on after offset to, because what lies before is gone: everyone
// learns it as a gap when he catches up.
func (h *Hub) skipTo(to uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opts.Log.Warn("hub fell behind the journal's retention", "from", h.position, "to", to)
	h.position = to
	for _, g := range h.groups {
		g.mu.Lock()
		h.stats.RingBytes -= g.reset(to)
		if g.late != nil {
			h.held -= g.late.forget()
			g.sent = g.late.matched
		}
		g.skips++ // what lies between is not counted
		h.due = g.takeWaiting(h.due)
		g.mu.Unlock()
	}
}

// moveQuietGroups gives groups for which nothing came for a while an empty batch,
// so that their viewers' cursors do not grow old, of which stroll tells them, and
// calls those that could not read the journal.
func (h *Hub) moveQuietGroups() {
	h.turn.Lock()
	defer h.turn.Unlock()
	h.mu.Lock()
	for _, g := range h.groups {
		h.align(g)
	}
	h.quiet.begin(h.groups)
	for _, s := range h.stuck {
		s.retries = false
		h.due = append(h.due, s)
	}
	h.stuck = nil
	h.stats.Notified += uint64(len(h.due))
	h.mu.Unlock()
	h.tellDue()
}

// align brings g up to the hub's position by an empty batch, of which nobody is told yet, unless its tick will. Called with h.mu held.
func (h *Hub) align(g *group) {
	if g.to >= h.position || g.armed {
		return
	}
	g.mu.Lock()
	h.stats.RingBytes += g.push(g.empty(h.journal.Epoch(), h.position), h.ringLimit())
	g.mu.Unlock()
	h.stats.Batches++
}

// ringLimit is what each group may keep. Called with h.mu held.
func (h *Hub) ringLimit() int64 {
	return min(h.opts.RingBytes, h.opts.TotalBytes/int64(len(h.groups)))
}

// validAccess refuses what would join different access lists in one group.
func validAccess(a Access) error {
	if a.Allow != nil && a.Key == "" {
		return errors.New("hub: subscribe: Access.Allow without Access.Key; give equal keys to equal access lists only")
	}
	return nil
}

// allowed tells whether a subscription delivers a topic.
func allowed(filter string, a Access, name string) bool {
	return topic.Match(filter, name) && (a.Allow == nil || a.Allow(name))
}
