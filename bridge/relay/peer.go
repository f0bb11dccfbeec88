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
	Key    string `json:"key"`
	Epoch  string `json:"epoch,omitempty"`
	Name   string `json:"name,omitempty"` // of the asker's line
	From   uint64 `json:"from"`           // entries of (from, to]; both 0: values
	To     uint64 `json:"to"`
	Values bool   `json:"values,omitempty"`
}

const (
	answerWait  = 2 * time.Second  // for the next part of an answer
	answerKept  = 30 * time.Second // of what nobody fetched
	answerParts = 64               // of one answer
	askRounds   = 3
)

// fromPeers gets entries behind head from other nodes' journals, and reports whether any came.
func (r *Relay) fromPeers(ctx context.Context, head journal.Cursor, to uint64) bool {
	for round := 0; round < askRounds || r.others.coming(r.opts.Node); round++ {
		for _, node := range r.others.with(r.opts.Node, head.Epoch, head.Offset, head.Offset+1) {
			got := false
			err := r.ask(ctx, ask{Of: node, Epoch: head.Epoch, Name: r.line.Load().name(), From: head.Offset, To: to}, func(b *batch) {
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

// askValues gets the last values from another node. A question may get lost: it is put again.
func (r *Relay) askValues(ctx context.Context) (v journal.Values, err error) {
	err = errors.New("no other node is there to begin a copy from")
	for range askRounds {
		for _, node := range r.others.fresh("") {
			if v, err = r.valuesOf(ctx, node); err == nil {
				return v, nil
			}
		}
	}
	return journal.Values{}, err
}

func (r *Relay) valuesOf(ctx context.Context, node string) (v journal.Values, err error) {
	err = r.ask(ctx, ask{Of: node, Values: true}, func(b *batch) {
		v.Cursor, v.Mark = journal.Cursor{Epoch: b.epoch, Offset: b.to}, b.name
		if b.flags&flagProducers != 0 {
			v.Producers = append(v.Producers, b.entries...)
		} else {
			v.Entries = append(v.Entries, b.entries...)
		}
	})
	if err == nil && v.Cursor.Epoch == "" {
		err = fmt.Errorf("node %q sent no values", node)
	}
	return v, err
}

// ask puts a question and hands the parts of the answer to take.
func (r *Relay) ask(ctx context.Context, a ask, take func(*batch)) error {
	a.Key = r.keys.answer(rand.Text())
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := r.client.Do(ctx, r.client.publishing(), r.keys.ask(), signText(r.key, text)).Err(); err != nil {
		return explain(err)
	}
	for {
		got, err := r.client.BLPop(ctx, answerWait, a.Key).Result()
		if err != nil {
			return fmt.Errorf("node %q did not answer: %w", a.Of, err)
		}
		b := r.parse([]byte(got[1]))
		if b != nil && b.flags&flagEnd != 0 {
			if r.journal != nil { // else it is joining
				r.aimAt(b.name, b.to)
				r.fetch()
			}
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
	end := &batch{flags: flagEnd, process: r.process, to: head.Offset, epoch: head.Epoch, name: r.line.Load().name()}
	r.applying.Unlock()
	return errors.Join(err, r.push(ctx, a.Key, appendBatch(nil, end, r.key)))
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
		r.applying.Lock()
		line, epoch := r.line.Load(), r.journal.Epoch()
		if a.From >= a.To || epoch != a.Epoch || !line.holds(a.Name, a.From) {
			r.applying.Unlock()
			return nil
		}
		m := r.recent.at(a.From)
		to := min(a.To, r.recent.behind(a.From, a.To))
		r.applying.Unlock()
		b := &batch{process: r.process, from: a.From, epoch: a.Epoch, name: line.name()}
		most := batchBytes
		if m.number != 0 { // whole, as it was
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
	r.applying.Lock()
	v, name := r.journal.Values(), r.line.Load().name()
	r.applying.Unlock()
	send := func(flags byte, all []journal.Entry) error {
		for first := true; first || len(all) > 0; first = false {
			n, bytes := 0, 0
			for n < len(all) && n < batchEntries && (n == 0 || bytes < batchBytes) {
				bytes += len(all[n].Topic) + len(all[n].Payload) + len(all[n].Meta)
				n++
			}
			b := &batch{flags: flags, process: r.process, to: v.Cursor.Offset, epoch: v.Cursor.Epoch, name: name, entries: all[:n]}
			if err := r.push(ctx, key, appendBatch(nil, b, r.key)); err != nil {
				return err
			}
			all = all[n:]
		}
		return nil
	}
	return errors.Join(send(flagValues, v.Entries), send(flagValues|flagProducers, v.Producers))
}
