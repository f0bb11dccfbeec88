package relay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"plumbline/bridge/journal"
)

// pending stores what waits until there is no more, what was stored has to come back first, or a beat is due: under load there is
// always more.
func (r *Relay) pending(ctx context.Context, s *server) error {
	for ctx.Err() == nil && time.Since(r.tended) < beatEvery {
		if r.doubt == nil {
			if r.doubt = r.queue.next(); r.doubt == nil {
				return nil
			}
		}
		done, err := r.batch(ctx, s)
		var no refusal
		switch {
		case errors.As(err, &no): // certainly not in the log
			r.finish(nil, no.error)
		case err != nil || !done:
			return err // perhaps it is in the log: it is looked for there before it is stored again
		}
	}
	return nil
}

// refusal says that a batch is certainly not in the log.
type refusal struct{ error }

// plan is what becomes of the messages of the jobs in doubt, if the batch with its number is in the log.
type plan struct {
	number  uint64
	results []journal.Result
}

// batch brings the jobs in doubt into the log and reports whether they are in the journal. It tries again as often as other nodes
// are quicker. Its patience is short: the beats must go on.
func (r *Relay) batch(ctx context.Context, s *server) (done bool, err error) {
	enough := time.After(beatEvery / 2)
	for {
		moved := r.changed.wait()
		head, own := r.place()
		switch {
		case head < r.target.Load():
			select {
			case <-ctx.Done():
				return false, nil
			case <-enough:
				return false, nil
			case <-moved:
				continue
			}
		case r.plan.number != 0 && own >= r.plan.number: // also when the connection broke before it said so
			r.number = r.plan.number
			r.finish(r.plan.results, nil)
			return true, nil
		}
		b := r.compose()
		if len(b.entries) == 0 { // all of it was there before
			r.finish(r.plan.results, nil)
			return true, nil
		}
		if err := r.commit(ctx, s, b); err != nil {
			return false, err
		}
	}
}

// place returns where the journal stands and the number of our last batch in it, both of one moment.
func (r *Relay) place() (head, own uint64) {
	r.applying.Lock()
	defer r.applying.Unlock()
	return r.journal.Head().Offset, r.numbers[r.process]
}

// compose makes a batch behind the head of what is in doubt, without what the journal knows already, and plans the results.
func (r *Relay) compose() *batch {
	head := r.journal.Head()
	b := &batch{process: r.process, number: r.number + 1, from: head.Offset, epoch: head.Epoch}
	if r.doubt[0].leased {
		b.flags = flagLeased
	}
	r.plan = plan{number: b.number}
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
	b.to = b.from + uint64(len(b.entries))
	return b
}

// commit offers a batch to Redis. Without an error it is in the log, or others were quicker: where the log is then, target says.
func (r *Relay) commit(ctx context.Context, s *server, b *batch) error {
	token := ""
	if b.flags&flagLeased != 0 {
		if token = r.lease.token(); token == "" {
			return refusal{errFenced}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	word, pos, _, err := reply(commitScript.Run(ctx, s, []string{r.keys.head(), r.keys.log(), r.keys.lease()},
		s.run, b.epoch, b.from, b.to, token, r.opts.StreamBytes, r.keys.log(), appendBatch(nil, b, r.key)))
	switch {
	case err != nil && refused(err):
		r.trouble.set("store", err.Error(), freshFor)
		return refusal{fmt.Errorf("%w: %w", journal.ErrDegraded, err)}
	case err != nil:
		return err
	case word == replyOK:
		r.stats.batches.Add(1)
		r.stats.entries.Add(uint64(len(b.entries)))
		r.aim(b.to)
		r.take(b) // it follows what is there; by Pub/Sub it comes to this node once more, or not at all
		return nil
	case word == replyBehind:
		r.stats.behind.Add(1)
		n, err := strconv.ParseUint(pos, 10, 64)
		if err != nil || n < b.from {
			return errUnsettled
		}
		r.aim(n)
		return nil
	case word == replyFenced:
		r.stats.fenced.Add(1)
		r.lease.drop()
		return refusal{errFenced}
	}
	return errUnsettled
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
	r.doubt, r.plan = nil, plan{}
}
