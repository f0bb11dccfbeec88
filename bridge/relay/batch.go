package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"plumbline/bridge/journal"
)

// lead stores what waits, on the goroutine of who wants something to be stored: it need not wake another, nor be woken, where no more
// waits than one batch. The rest is left to the goroutine that steers, and all of it if that is busy.
func (r *Relay) lead() {
	if !r.steering.TryLock() {
		r.queue.poke()
		return
	}
	defer r.steering.Unlock()
	if r.serve != nil && r.failed == nil {
		_, r.failed = r.serve()
	}
	if r.failed != nil || r.doubt != nil || r.queue.waits() {
		r.queue.poke()
	}
}

// pending stores what waits until there is no more, what was stored has to come back first, or a beat is due: under load there is
// always more.
func (r *Relay) pending(ctx context.Context, s *server) (err error) {
	for more := true; more && err == nil; {
		more, err = r.step(ctx, s)
	}
	return err
}

// step stores the next batch, and reports whether it is stored, so that another may be.
func (r *Relay) step(ctx context.Context, s *server) (stored bool, err error) {
	select {
	case <-ctx.Done():
		return false, nil
	default:
	}
	if time.Since(r.tended) >= beatEvery {
		return false, nil
	}
	if r.doubt == nil {
		if r.doubt = r.queue.next(); r.doubt == nil {
			return false, nil
		}
	}
	stored, err = r.batch(ctx, s)
	var no refusal
	if errors.As(err, &no) { // certainly not in the log
		r.finish(nil, no.error)
		return true, nil
	}
	return stored, err // perhaps it is in the log: it is looked for there before it is stored again
}

// refusal says that a batch is certainly not in the log.
type refusal struct{ error }

// plan is how the messages of the jobs in doubt were offered last, and what becomes of them if they are in the log so.
type plan struct {
	from    uint64
	entries []journal.Entry // none: they were not offered yet
	results []journal.Result
}

// batch brings the jobs in doubt into the log and reports whether they are in the journal. It tries again as often as other nodes
// are quicker. Its patience is short: the beats must go on.
func (r *Relay) batch(ctx context.Context, s *server) (done bool, err error) {
	var enough <-chan time.Time
	for {
		moved := r.changed.wait()
		head := r.journal.Head()
		if head.Offset < r.target.Load() {
			if enough == nil {
				enough = time.After(beatEvery / 2)
			}
			select {
			case <-ctx.Done():
				return false, nil
			case <-enough:
				return false, nil
			case <-moved:
				continue
			}
		}
		there, err := r.stored(head.Offset)
		if err != nil {
			return false, err
		}
		if !there {
			b := r.compose(head)
			if there = len(b.entries) == 0; !there { // else all of it was there before
				if there, err = r.commit(ctx, s, b); err != nil {
					return false, err
				}
			}
		}
		if there {
			r.finish(r.plan.results, nil)
			return true, nil
		}
	}
}

// stored reports whether the journal, up to head, has what is in doubt in the place where it was offered: also when the answer was
// lost, and whoever has it can not say any more whose it was. Nothing can come there later: Redis takes a batch only where the log
// ends.
func (r *Relay) stored(head uint64) (bool, error) {
	at, rest := r.plan.from, r.plan.entries
	if len(rest) == 0 || head < at+uint64(len(rest)) {
		return false, nil
	}
	for len(rest) > 0 {
		got, err := r.journal.Read(at, len(rest), batchBytes)
		var gone journal.ErrEvicted
		if errors.As(err, &gone) { // nobody had it, or the log has a new epoch
			return false, nil
		}
		if err != nil || len(got) == 0 {
			return false, fmt.Errorf("relay: read what is in the journal behind %d: %w", at, err)
		}
		for i := range got {
			if !equal(&got[i].Message, &rest[i].Message) {
				return false, nil
			}
		}
		at, rest = at+uint64(len(got)), rest[len(got):]
	}
	return true, nil
}

// equal reports whether a is b, which has the time of our clock in it.
func equal(a, b *journal.Message) bool {
	return a.Time.UnixMicro() == b.Time.UnixMicro() && a.Topic == b.Topic && a.QoS == b.QoS && a.Retain == b.Retain && a.Producer == b.Producer &&
		a.ProducerSeq == b.ProducerSeq && bytes.Equal(a.Payload, b.Payload) && bytes.Equal(a.Meta, b.Meta)
}

// compose makes a batch behind head, where the journal stands, of what is in doubt, without what the journal knows already, and plans the results.
func (r *Relay) compose(head journal.Cursor) *batch {
	r.number++ // never twice: one that was refused may come late
	b := &batch{process: r.process, number: r.number, from: head.Offset, epoch: head.Epoch, name: r.name}
	if r.doubt[0].token != "" {
		b.flags = flagLeased
	}
	r.plan = plan{from: head.Offset}
	known := map[string]journal.Entry{}
	for _, j := range r.doubt {
		for _, m := range j.ms {
			if m.Producer != "" && m.ProducerSeq != 0 {
				last, ok := known[m.Producer]
				if !ok {
					last.ProducerSeq, last.Offset, _ = r.journal.Producer(m.Producer)
				}
				if m.ProducerSeq <= last.ProducerSeq {
					r.plan.results = append(r.plan.results, journal.Result{Offset: last.Offset, Duplicate: true})
					continue
				}
				known[m.Producer] = journal.Entry{Offset: head.Offset + 1 + uint64(len(b.entries)), Message: journal.Message{ProducerSeq: m.ProducerSeq}}
			}
			b.entries = append(b.entries, journal.Entry{Offset: head.Offset + 1 + uint64(len(b.entries)), Message: m})
			r.plan.results = append(r.plan.results, journal.Result{Offset: head.Offset + uint64(len(b.entries))})
		}
	}
	b.to, r.plan.entries = b.from+uint64(len(b.entries)), b.entries
	return b
}

// commit offers a batch to Redis, under the lease that it was decided under. It reports whether it is in the journal; else, without
// an error, others were quicker, or it is to be looked for: where the log ends, target says.
func (r *Relay) commit(ctx context.Context, s *server, b *batch) (there bool, err error) {
	token := r.doubt[0].token
	if token != "" && token != r.lease.token() {
		return false, refusal{errFenced}
	}
	r.offering.Store(b.number)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	word, pos, half, err := reply(commitScript.Run(ctx, s, []string{r.keys.head(), r.keys.log(), r.keys.lease()},
		s.run, b.name, b.from, b.to, token, r.opts.StreamBytes, r.keys.live(r.opts.Node), appendBatch(nil, b, r.key), r.client.publishing()))
	switch {
	case err != nil && refused(err):
		r.trouble.set("store", err.Error(), freshFor)
		return false, refusal{fmt.Errorf("%w: %w", journal.ErrDegraded, err)}
	case err != nil:
		return false, err
	case word == replyOK:
		if half != "" {
			r.trouble.set("store", explain(errors.New(half)).Error(), freshFor)
		}
		r.stats.batches.Add(1)
		r.stats.entries.Add(uint64(len(b.entries)))
		r.raise(b.to)
		r.take(b) // it follows what is there
		r.fetch() // else
		return r.journal.Head().Offset >= b.to, nil
	case word == replyBehind:
		r.stats.behind.Add(1)
		n, err := strconv.ParseUint(pos, 10, 64)
		if err != nil || n < b.from {
			return false, errUnsettled
		}
		r.aim(n)
		return false, nil
	case word == replyFenced:
		r.stats.fenced.Add(1)
		r.lease.drop()
		return false, refusal{errFenced}
	}
	return false, errUnsettled
}

// finish ends the jobs in doubt.
func (r *Relay) finish(results []journal.Result, err error) {
	for _, j := range r.doubt {
		if err == nil {
			n := len(j.ms)
			j.results, results = results[:n:n], results[n:]
		}
		j.finish(err)
	}
	r.offering.Store(0)
	r.doubt, r.plan = nil, plan{}
}
