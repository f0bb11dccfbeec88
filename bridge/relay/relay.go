// Package relay makes several bridges one: their journals are copies of one log, with the same epoch and offsets, whose order
// Redis gives. README.md says how, and what holds.
package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"plumbline/bridge/journal"
)

// Relay is this node's part in a cluster: New, Join, Run, Close.
type Relay struct {
	opts    Options
	log     *slog.Logger
	key     []byte
	keys    keys
	client  *remote
	process string         // names this run of this node
	joining journal.Cursor // where the journal stood before it was joined

	journal  *journal.Journal     // nil before Join has returned
	applying sync.Mutex           // held while entries are appended, or the log is changed
	name     string               // see line: under which the journal was last in the log; changed by Join, and then by who steers
	limit    uint64               // guarded by applying: nothing beyond is taken, for the log is being settled
	offering atomic.Uint64        // the number of our own batch that is being stored; 0 = none
	aiming   sync.Mutex           // held while line and target change together
	line     atomic.Pointer[line] // of the log, as the journal follows it; not nil after Join
	target   atomic.Uint64        // the last entry that is known to be in the log
	changed  signal               // the journal has moved, or the lease, or the connection
	incoming chan *batch          // as they came, for the goroutine that applies
	wake     chan struct{}        // target has moved
	begun    chan struct{}        // a subscription has begun
	recent   recent               // guarded by applying

	queue queue
	lease lease

	// The fields down to the next blank line are guarded by steering, which the goroutine that steers holds while it does not wait.
	steering sync.Mutex
	serve    func() (bool, error) // see step; nil while there is no connection
	failed   error                // what it returned
	beats    uint64               // said so far
	tended   time.Time            // when that was last tried
	up       int                  // twice the sources that are connected, one less while standby is late; 0 while the journal cannot write
	whole    time.Time            // since when all of them have been; the zero value: they are not
	number   uint64               // of the last batch offered
	doubt    []*job               // of the batch that is being stored, or of which it is not known yet whether it was
	plan     plan                 // of doubt

	standby standby
	others  others
	sharing sharing
	devices presences
	trouble trouble
	stats   stats

	answers   sync.WaitGroup
	answering sync.Mutex // one answer at a time
	closed    sync.Once
}

// stats are the counters that Stats shows.
type stats struct {
	batches, entries, behind, fenced, gaps, peers, missing, probes, renewed, forked, dropped, unmatched, skipped atomic.Uint64

	mu       sync.Mutex
	rejected map[string]uint64
}

// Stats are counters since New, and the present place.
type Stats struct {
	Batches   uint64 // stored by this node
	Entries   uint64 // in them
	Behind    uint64 // times that another node was quicker
	Fenced    uint64 // batches that Redis refused because another node has the lease
	Gaps      uint64 // holes found: what Pub/Sub did not deliver
	FromPeers uint64 // batches got from another node's journal
	Missing   uint64 // entries that nobody had: declared as gaps
	Probes    uint64 // times that what this node published did not come back to it
	Renewed   uint64 // changes of the epoch while running
	Forked    uint64 // times that this node had something that the log had not, or had otherwise
	Unmatched uint64 // messages of our own sessions that another node was taken to have stored, without having been seen to
	Skipped   uint64 // messages with QoS 0 of our own sessions, left to the node that leads
	Dropped   uint64 // batches that came faster than the journal took them, and were read again
	Rejected  map[string]uint64
	Lag       uint64 // entries in the log that this node does not have yet
	Leading   bool   // this node has the lease
	Nodes     int    // that were heard of lately, this one too
}

// Stats returns the present counters.
func (r *Relay) Stats() Stats {
	c := &r.stats
	s := Stats{
		Batches: c.batches.Load(), Entries: c.entries.Load(), Behind: c.behind.Load(), Fenced: c.fenced.Load(), Gaps: c.gaps.Load(), FromPeers: c.peers.Load(),
		Missing: c.missing.Load(), Probes: c.probes.Load(), Renewed: c.renewed.Load(), Dropped: c.dropped.Load(), Unmatched: c.unmatched.Load(), Forked: c.forked.Load(), Skipped: c.skipped.Load(), Rejected: map[string]uint64{},
		Leading: r.leading(), Nodes: len(r.others.fresh(r.opts.Node)),
	}
	c.mu.Lock()
	for reason, n := range c.rejected {
		s.Rejected[reason] = n
	}
	c.mu.Unlock()
	if r.journal != nil {
		head := r.journal.Head().Offset
		s.Lag = max(r.target.Load(), head) - head
	}
	return s
}

// rejected counts what came from Redis and is not believed.
func (r *Relay) rejected(reason string) {
	r.stats.mu.Lock()
	defer r.stats.mu.Unlock()
	if r.stats.rejected == nil {
		r.stats.rejected = map[string]uint64{}
	}
	r.stats.rejected[reason]++
}

// New reads the files that the options name. It connects to nobody.
func New(o Options) (*Relay, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Viewers == nil {
		o.Viewers = func() int { return 0 }
	}
	if o.Entering == nil {
		o.Entering = func() error { return nil }
	}
	if o.Sources == nil {
		o.Sources = func() (int, int) { return 1, 1 }
	}
	if o.SettleWait == 0 {
		o.SettleWait = settleWait
	}
	if o.SeedWait == 0 {
		o.SeedWait = seedWait
	}
	if o.Renewed == nil {
		o.Renewed = func() {}
	}
	key, err := o.key()
	if err != nil {
		return nil, err
	}
	if err := Check(o); err != nil {
		return nil, err
	}
	redis.SetLogger(quiet{})
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	r := &Relay{
		opts: o, log: o.Log, key: key, keys: keysOf(o.Cluster), client: c, process: rand.Text()[:processBytes],
		incoming: make(chan *batch, 256), wake: make(chan struct{}, 1), begun: make(chan struct{}, 1), limit: math.MaxUint64,
	}
	r.queue.kick, r.sharing.poke = make(chan struct{}, 1), make(chan struct{}, 1)
	r.devices.poke, r.devices.open = make(chan struct{}, 1), make(chan struct{})
	r.others.init()
	return r, nil
}

// Join opens the journal as this node's copy of the log; what has been stored since it was last one Run gets, from Redis or another
// node. A journal that is no part of this log is begun anew with the last values of another node; where no other is there it keeps what
// it has, and the log goes on behind it. It waits for Redis and for other nodes, some 20 s at most.
// Until Options.Entering has been called nothing of the journal is changed. Errors are those of Redis, with what to mend, of
// journal.Open and of Options.Entering.
func (r *Relay) Join(ctx context.Context, o journal.Options) (*journal.Journal, error) {
	j, err := journal.Open(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	r.joining, r.name = j.Head(), j.Marked()
	again, err := r.join(ctx, j)
	if err == nil && again {
		if err = j.Close(); err == nil {
			if j, err = r.copied(ctx, o); err != nil {
				return nil, err
			}
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("relay: join cluster %q: %w", r.opts.Cluster, err), j.Close())
	}
	r.journal, r.name = j, j.Marked()
	if r.line.Load() == nil { // a copy: how the log was settled up to now it learns at its first look
		r.line.Store(&line{{name: r.name}})
	}
	return j, nil
}

// join makes j a part of the log, or says that it has to be begun anew as a copy of another node's.
func (r *Relay) join(ctx context.Context, j *journal.Journal) (anew bool, err error) {
	s, err := r.dial(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = s.Close() }()
	if err := r.lookAround(ctx, s); err != nil {
		return false, err
	}
	for {
		now, err := r.settle(ctx, s)
		if err != nil {
			return false, err
		}
		head := j.Head()
		r.joining = head
		foreign := head.Epoch != now.epoch || r.name == "" // "": it was in the middle of going on
		if foreign && now.seed != r.own() {
			if there, err := r.company(ctx, s, now); err != nil || there {
				return there, err
			}
		}
		switch {
		case !foreign && head.Offset <= now.pos && now.line.holds(r.name, head.Offset):
			r.line.Store(&now.line)
			r.aim(now.pos)
			return false, r.entering(func() error { return j.Mark(now.line.name()) })
		case foreign && head.Offset < now.pos && (now.seed == r.own() || head.Offset == 0): // its last values are the log's, or it has none
			r.line.Store(&now.line)
			r.aim(now.pos)
			return false, r.entering(func() error { return j.Continue(now.epoch, now.line.name(), max(now.base, head.Offset+1)) })
		case !foreign: // who saw here what the log has not, or has otherwise, may be anywhere by now: all are told
			r.stats.forked.Add(1)
			r.log.Error("relay: the journal has entries that the log has not", "epoch", head.Epoch, "head", head.Offset, "log", now.pos)
		}
		if err := r.pronounce(ctx, s, now, verdict{pos: max(head.Offset, now.pos) + 1, seed: r.seeds(now)}); err != nil {
			return false, err
		}
	}
}

// entering has the owner note that the journal is the log's from now on, before change makes it so.
func (r *Relay) entering(change func() error) error {
	if err := r.opts.Entering(); err != nil {
		return err
	}
	return change()
}

// copied begins the journal anew with another node's last values.
func (r *Relay) copied(ctx context.Context, o journal.Options) (*journal.Journal, error) {
	v, err := r.askValues(ctx)
	if err != nil {
		return nil, fmt.Errorf("relay: join cluster %q: %w", r.opts.Cluster, err)
	}
	r.log.Info("relay: the journal begins as a copy", "epoch", v.Cursor.Epoch, "after", v.Cursor.Offset, "values", len(v.Entries))
	if err := r.entering(func() error { return journal.Found(o, v) }); err != nil {
		return nil, err
	}
	r.aim(v.Cursor.Offset)
	return journal.Open(o)
}

// aimAt notes that the log goes up to pos at least, if what is stored there under name is in it.
func (r *Relay) aimAt(name string, pos uint64) {
	r.aiming.Lock()
	defer r.aiming.Unlock()
	if r.line.Load().holds(name, pos) {
		r.raise(pos)
	}
}

// aim notes that the log goes up to pos at least, and has it fetched if it does not come. For who steers, or holds applying; others
// use aimAt and fetch.
func (r *Relay) aim(pos uint64) {
	r.raise(pos)
	r.fetch()
}

func (r *Relay) raise(pos uint64) {
	for old := r.target.Load(); pos > old && !r.target.CompareAndSwap(old, pos); {
		old = r.target.Load()
	}
}

// fetch wakes the goroutine that fetches what the journal lacks, if it lacks something.
func (r *Relay) fetch() {
	if r.journal != nil && r.journal.Head().Offset >= r.target.Load() {
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run keeps this node's copy up to date and stores what is appended through Log, until ctx ends. It returns nil then.
func (r *Relay) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { r.listen(ctx) })
	parts.Go(func() { r.follow(ctx) })
	parts.Go(func() { r.steer(ctx) })
	parts.Go(func() { r.share(ctx) })
	parts.Go(func() { r.attend(ctx) })
	parts.Wait()
	r.answers.Wait()
	r.queue.fail(errors.Join(journal.ErrClosed, ctx.Err()))
	return nil
}

// Await returns when the journal has the entry of that offset, or the log has not so many, or two seconds have passed: a viewer
// that comes from another node may be ahead of this one.
func (r *Relay) Await(offset uint64) {
	const patience = 2 * time.Second
	if offset > r.target.Load()+1<<20 {
		return
	}
	enough := time.After(patience)
	for {
		moved := r.changed.wait()
		if r.journal.Head().Offset >= offset {
			return
		}
		select {
		case <-moved:
		case <-enough:
			return
		}
	}
}

// Close ends the connections to Redis. Call it after Run has returned. It is idempotent.
func (r *Relay) Close() (err error) {
	r.closed.Do(func() { err = r.client.Close() })
	return err
}
