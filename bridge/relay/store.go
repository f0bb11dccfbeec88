package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"plumbline/bridge/journal"
)

// Log is the journal for those who append to it: what they append goes into the log of the cluster first, and Append returns when
// it has come back into this node's journal. Reading is the journal's own.
type Log struct {
	*journal.Journal
	r *Relay
}

// Log returns the journal as it is to be appended to. Call it after Join.
func (r *Relay) Log() *Log { return &Log{r.journal, r} }

// Append does as journal.Journal's Append does. While Redis is away it refuses with an error that wraps journal.ErrDegraded; when
// the connection broke just then it waits until it is known whether the message is in the log, or ctx ends: the error wraps journal.ErrInDoubt then. While it
// stores the message itself, ctx may end some seconds before it returns. With any other error the message is certainly not stored.
func (l *Log) Append(ctx context.Context, m journal.Message) (offset uint64, duplicate bool, err error) {
	results, err := l.r.store(ctx, []journal.Message{m}, "")
	if err != nil {
		return 0, false, err
	}
	return results[0].Offset, results[0].Duplicate, nil
}

// AppendAll is for sources that every node has: the node with the lease stores, the others wait until each message has come from
// there, or they get the lease.
func (l *Log) AppendAll(ctx context.Context, ms []journal.Message) ([]journal.Result, error) {
	return l.r.ingest(ctx, ms)
}

// job is messages that are stored together.
type job struct {
	ctx     context.Context
	ms      []journal.Message
	token   string // the lease that it was decided under that they are not in the log; "" = they are of a source that this node alone has
	bytes   int
	results []journal.Result
	err     error
	done    chan struct{}
}

// queue is the jobs that wait.
type queue struct {
	mu     sync.Mutex
	jobs   []*job
	closed error
	away   error // why nothing is taken at the moment
	kick   chan struct{}
}

func (q *queue) add(j *job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := errors.Join(q.closed, q.away); err != nil {
		return err
	}
	q.jobs = append(q.jobs, j)
	return nil
}

// poke wakes the goroutine that steers.
func (q *queue) poke() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

func (q *queue) waits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs) > 0
}

// next takes the jobs that go into one batch: all under one lease or none, as many as fit. Those whose caller has left are passed over.
func (q *queue) next() (all []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size, count := 0, 0
	for len(q.jobs) > 0 {
		j := q.jobs[0]
		if j.ctx.Err() != nil {
			q.jobs = q.jobs[1:]
			j.finish(fmt.Errorf("relay: append: %w", context.Cause(j.ctx)))
			continue
		}
		if len(all) > 0 && (j.token != all[0].token || size+j.bytes > batchBytes || count+len(j.ms) > batchEntries) {
			break
		}
		all, size, count = append(all, j), size+j.bytes, count+len(j.ms)
		q.jobs = q.jobs[1:]
	}
	return all
}

// leave takes a job out whose caller does not wait any longer. One that is on its way to Redis is in doubt.
func (q *queue) leave(j *job) ([]journal.Result, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-j.done: // just now
		return j.results, j.err
	default:
	}
	err := fmt.Errorf("relay: append: %w", context.Cause(j.ctx))
	if i := slices.Index(q.jobs, j); i >= 0 {
		q.jobs = slices.Delete(q.jobs, i, i+1)
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", journal.ErrInDoubt, err)
}

// refuse makes the queue refuse and empties it; nil makes it take again.
func (q *queue) refuse(why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.away = why; why == nil {
		return
	}
	for _, j := range q.jobs {
		j.finish(why)
	}
	q.jobs = nil
}

// fail closes the queue.
func (q *queue) fail(why error) {
	q.mu.Lock()
	q.closed = why
	q.mu.Unlock()
	q.refuse(why)
}

func (j *job) finish(err error) {
	j.err = err
	close(j.done)
}

// store puts messages into the log and waits until they are in the journal.
func (r *Relay) store(ctx context.Context, ms []journal.Message, token string) ([]journal.Result, error) {
	j := &job{ctx: ctx, ms: make([]journal.Message, len(ms)), token: token, done: make(chan struct{})}
	for i, m := range ms {
		if err := journal.Check(m); err != nil {
			return nil, err
		}
		if m.Time.IsZero() {
			m.Time = r.opts.Now()
		}
		m.Payload, m.Meta = bytes.Clone(m.Payload), bytes.Clone(m.Meta)
		j.ms[i] = m
		j.bytes += len(m.Topic) + len(m.Payload) + len(m.Meta) + len(m.Producer) + 32
	}
	if err := r.journal.Err(); err != nil {
		return nil, err
	}
	if err := r.queue.add(j); err != nil {
		return nil, err
	}
	r.lead()
	select {
	case <-j.done:
		return j.results, j.err
	case <-ctx.Done():
		return r.queue.leave(j)
	}
}
