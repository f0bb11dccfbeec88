package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plumbline/bridge/journal"
)

// The errors of storing, beside those of the journal.
var (
	errAway   = fmt.Errorf("%w: Redis is away", journal.ErrDegraded)
	errFenced = fmt.Errorf("%w: another node has the lease", journal.ErrDegraded)
)

func isFenced(err error) bool { return errors.Is(err, errFenced) }

// steer does everything that needs the connection to one Redis process: it settles the log, says how this node stands, keeps the
// lease and stores. While there is no connection nothing is stored.
func (r *Relay) steer(ctx context.Context) {
	defer func() {
		r.steering.Lock()
		defer r.steering.Unlock()
		r.finish(nil, errors.Join(journal.ErrClosed, journal.ErrInDoubt))
	}()
	pause := 50 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := r.connection(ctx)
		if ctx.Err() != nil {
			return
		}
		r.lease.drop()
		r.devices.shut()
		r.queue.refuse(fmt.Errorf("%w: %w", errAway, err))
		r.trouble.set("redis", err.Error(), 0)
		r.log.Warn("relay: no connection to Redis: nothing is stored meanwhile", "error", err, "retry_in", pause.String())
		r.changed.fire()
		if time.Since(began) > 5*time.Second {
			pause = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
	}
}

// connection is one of them, until it breaks.
func (r *Relay) connection(ctx context.Context) error {
	r.steering.Lock()
	defer r.steering.Unlock()
	s, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	defer func() {
		if ctx.Err() != nil {
			r.goodbye(s)
		}
	}()
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	if err := r.present(ctx, s); err != nil {
		return err
	}
	r.log.Info("relay: connected", "redis", s.run, "node", r.opts.Node, "cluster", r.opts.Cluster)
	r.serve, r.failed = func() (bool, error) { return r.step(ctx, s) }, nil
	defer func() { r.serve = nil }()
	for {
		moved := r.changed.wait()
		err := r.failed
		if r.failed = nil; err == nil {
			err = r.pending(ctx, s)
		}
		if r.doubt == nil {
			moved = nil
		}
		switch {
		case err != nil:
		case time.Since(r.tended) >= beatEvery:
			err = r.tend(ctx, s)
		default:
			if r.idle(ctx, tick.C, moved) {
				err = r.tend(ctx, s)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errUnsettled) {
			err = r.present(ctx, s)
		}
		if err != nil {
			return err
		}
	}
}

// idle waits for something to do, and reports whether that is a beat. Meanwhile others may store.
func (r *Relay) idle(ctx context.Context, tick <-chan time.Time, moved <-chan struct{}) (due bool) {
	r.steering.Unlock()
	defer r.steering.Lock()
	select {
	case <-ctx.Done():
	case <-tick:
		return true
	case <-r.queue.kick:
	case <-moved:
	}
	return false
}

// present settles the log on s, makes the journal follow it and takes what is appended from then on.
func (r *Relay) present(ctx context.Context, s *server) error {
	for again := true; again; {
		now, err := r.settle(ctx, s)
		var v *journal.Values
		if head := r.journal.Head(); err == nil && now.epoch != head.Epoch && now.pos > head.Offset && now.seed != r.own() {
			v, err = r.borrow(ctx, s, now)
		}
		if err == nil {
			again, err = r.adopt(ctx, s, v)
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(r.exchange(ctx, s, true), r.introduce(ctx, s), r.tend(ctx, s)); err != nil {
		return err
	}
	r.trouble.clear("redis")
	r.trouble.clear("server")
	if s.alarm != "" {
		r.trouble.set("server", s.alarm, 0)
	}
	r.queue.refuse(nil)
	return nil
}

// errUnsettled: the log is not settled for this process any more. Somebody has emptied Redis.
var errUnsettled = errors.New("relay: the log is not settled")

// tend is what is done every second.
func (r *Relay) tend(ctx context.Context, s *server) error {
	r.tended = time.Now()
	r.look()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	head := r.journal.Head() // looked at first: the log only grows
	now, err := s.state(ctx, r.keys)
	if err != nil {
		return err
	}
	if now.run != s.run || now.epoch != head.Epoch || now.line.name() != r.name || now.pos < head.Offset {
		return errUnsettled
	}
	r.aim(now.pos)
	_ = r.journal.Mark(r.name) // again if the disk refused it before
	r.beats++
	if err := r.beat(ctx, s, r.beats, false); err != nil {
		return err
	}
	r.others.meet()
	if r.opts.Ingests {
		return r.keepLease(ctx, s)
	}
	return nil
}

// goodbye says that this node leaves, so that nobody waits for it.
func (r *Relay) goodbye(s *server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if r.beat(ctx, s, r.beats+1, true) != nil { // the end may have cut off a command, and its connection with it
		other, err := r.dial(ctx)
		if err != nil {
			return // Redis is away: they wait
		}
		defer func() { _ = other.Close() }()
		s = other
		_ = r.beat(ctx, s, r.beats+1, true)
	}
	r.lease.release(ctx, s, r.keys)
}
