package relay

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"plumbline/bridge/journal"
)

// ask is what one node wants of another, over Pub/Sub. The answer comes in a list of Redis, batch by batch.
type ask struct {
	Of     string `json:"of"` // the node that shall answer
	By     string `json:"by"` // the process that asks
	Key    string `json:"key"`
	Epoch  string `json:"epoch,omitempty"`
	From   uint64 `json:"from"` // entries of (from, to]; both 0: values
	To     uint64 `json:"to"`
	Values bool   `json:"values,omitempty"`
	Mark   uint64 `json:"mark,omitempty"` // nothing: it is to come back to the process named in Key
}

const (
	answerWait  = 2 * time.Second  // for the next part of an answer
	answerKept  = 30 * time.Second // of what nobody fetched
	answerParts = 64               // of one answer
	askRounds   = 3
)

// fromPeers gets entries behind head from other nodes' journals, and reports whether any came.
func (r *Relay) fromPeers(ctx context.Context, head journal.Cursor, to uint64) bool {
	for range askRounds {
		for _, node := range r.others.with(r.opts.Node, head.Epoch, head.Offset, head.Offset+1) {
			got := false
			err := r.ask(ctx, ask{Of: node, Epoch: head.Epoch, From: head.Offset, To: to}, func(b *batch) {
				r.stats.peers.Add(1)
				got = !r.take(b) || got
			})
			if err == nil && got && r.journal.Head() != head {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(beatEvery): // who has them may not have said so yet
		}
		if r.journal.Head() != head {
			return true
		}
	}
	return false
}

// askValues gets the last values from another node.
func (r *Relay) askValues(ctx context.Context) (v journal.Values, err error) {
	err = errors.New("no other node is there to begin a copy from")
	for _, node := range r.others.fresh("") {
		v = journal.Values{}
		err = r.ask(ctx, ask{Of: node, Values: true}, func(b *batch) {
			v.Cursor = journal.Cursor{Epoch: b.epoch, Offset: b.to}
			if b.flags&flagProducers != 0 {
				v.Producers = append(v.Producers, b.entries...)
			} else {
				v.Entries = append(v.Entries, b.entries...)
			}
		})
		if err == nil && v.Cursor.Epoch != "" {
			return v, nil
		}
	}
	return v, err
}

// ask puts a question and hands the parts of the answer to take.
func (r *Relay) ask(ctx context.Context, a ask, take func(*batch)) error {
	a.Key, a.By = r.keys.answer(rand.Text()), r.process
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := r.client.Publish(ctx, r.keys.ask(), signText(r.key, text)).Err(); err != nil {
		return explain(err)
	}
	for {
		got, err := r.client.BLPop(ctx, answerWait, a.Key).Result()
		if err != nil {
			return fmt.Errorf("node %q did not answer: %w", a.Of, err)
		}
		b := r.parse([]byte(got[1]))
		if b != nil && b.flags&flagEnd != 0 {
			r.told(b)
			return nil
		}
		if b != nil {
			take(b)
		}
	}
}

// asked answers what another node asks this one, on a goroutine of its own, one at a time.
func (r *Relay) asked(ctx context.Context, signed string) {
	text, ok := openText(r.key, signed)
	var a ask
	if !ok || json.Unmarshal(text, &a) != nil {
		r.rejected("signature")
		return
	}
	if a.Mark != 0 && a.Key == r.process {
		r.marked.Store(a.Mark)
		r.changed.fire()
	}
	if a.Of != r.opts.Node {
		return
	}
	r.answers.Go(func() {
		r.answering.Lock()
		defer r.answering.Unlock()
		if err := r.answer(ctx, a); err != nil && ctx.Err() == nil {
			r.log.Warn("relay: another node got no answer", "error", err)
		}
	})
}

func (r *Relay) answer(ctx context.Context, a ask) error {
	ctx, cancel := context.WithTimeout(ctx, answerKept)
	defer cancel()
	var err error
	if a.Values {
		err = r.giveValues(ctx, a.Key)
	} else {
		err = r.giveEntries(ctx, a)
	}
	r.applying.Lock()
	head := r.journal.Head()
	end := &batch{flags: flagEnd, process: r.process, number: r.numbers[a.By], to: head.Offset, epoch: head.Epoch}
	r.applying.Unlock()
	return errors.Join(err, r.push(ctx, a.Key, appendBatch(nil, end, r.key)))
}

// told takes the end of an answer: which of our own batches the giver has, also when its pieces did not say whose they were.
func (r *Relay) told(b *batch) {
	if r.journal == nil { // it is joining
		return
	}
	r.applying.Lock()
	defer r.applying.Unlock()
	if b.epoch == r.journal.Epoch() {
		r.aim(b.to)
		r.numbers[r.process] = max(r.numbers[r.process], b.number)
	}
}

// push adds a part to an answer.
func (r *Relay) push(ctx context.Context, key string, part any) error {
	pipe := r.client.Pipeline()
	pipe.RPush(ctx, key, part)
	pipe.PExpire(ctx, key, answerKept)
	_, err := pipe.Exec(ctx)
	return err
}

func (r *Relay) giveEntries(ctx context.Context, a ask) error {
	for range answerParts {
		if a.From >= a.To || r.journal.Epoch() != a.Epoch {
			return nil
		}
		r.applying.Lock()
		m := r.recent.at(a.From)
		to := min(a.To, r.recent.behind(a.From, a.To))
		r.applying.Unlock()
		b := &batch{process: r.process, from: a.From, epoch: a.Epoch}
		most := batchBytes
		if m.number != 0 { // whole, as it was: the one who stored it may have to learn that it is there
			b.flags, b.process, b.number, to, most = m.flags, m.process, m.number, m.to, math.MaxInt
		}
		entries, err := r.journal.Read(a.From, int(min(batchEntries, to-a.From)), most)
		if err != nil || len(entries) == 0 {
			return err
		}
		if b.entries, b.to = entries, a.From+uint64(len(entries)); b.number != 0 && b.to != m.to {
			b.number = 0
		}
		if err := r.push(ctx, a.Key, appendBatch(nil, b, r.key)); err != nil {
			return err
		}
		a.From = b.to
	}
	return nil
}

// giveValues sends the last values and producers, all of one moment.
func (r *Relay) giveValues(ctx context.Context, key string) error {
	v := r.journal.Values()
	send := func(flags byte, all []journal.Entry) error {
		for first := true; first || len(all) > 0; first = false {
			n, bytes := 0, 0
			for n < len(all) && n < batchEntries && (n == 0 || bytes < batchBytes) {
				bytes += len(all[n].Topic) + len(all[n].Payload) + len(all[n].Meta)
				n++
			}
			b := &batch{flags: flags, process: r.process, to: v.Cursor.Offset, epoch: v.Cursor.Epoch, entries: all[:n]}
			if err := r.push(ctx, key, appendBatch(nil, b, r.key)); err != nil {
				return err
			}
			all = all[n:]
		}
		return nil
	}
	return errors.Join(send(flagValues, v.Entries), send(flagValues|flagProducers, v.Producers))
}
