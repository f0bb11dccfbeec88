package journal

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// maxBatchBytes bounds what gathers while a batch is being written; beyond it
// appenders wait, holding nothing but their own message.
const maxBatchBytes = 1 << 20

// batch is the messages that go to disk in one write and one fsync. The appender
// that adds the first message leads it; the others wait for done.
type batch struct {
	entries []Entry // without offsets until the leader writes
	bytes   int64
	done    chan struct{} // closed after the outcome is set; made by the first follower
	sealed  chan struct{} // closed when the batch takes no more; made by the first who waits for room
	refused error         // a write failed while this was gathering
	err     error
	first   uint64 // offset of entries[0]
}

// claim says that a producer's message is on its way to disk.
type claim struct {
	seq uint64
	b   *batch
}

// Append adds m and returns its offset once the [SyncPolicy] holds; readers see
// it from then on. Messages of one caller are kept in the order of its calls.
//
// A message with a producer whose number is not above the producer's last is not
// added again: duplicate is true, offset is that of the producer's last message,
// and the answer waits until that one is safe.
//
// ctx is heeded until the message is admitted; from then on Append waits for the
// disk, since "perhaps" is no answer for a publisher. Errors: that of ctx,
// [ErrTooLarge], [ErrClosed], or one that wraps [ErrDegraded]: then nothing was
// added and nothing may be acknowledged.
func (j *Journal) Append(ctx context.Context, m Message) (offset uint64, duplicate bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, fmt.Errorf("journal: append: %w", context.Cause(ctx))
	}
	if err := j.prepare(&m); err != nil {
		return 0, false, err
	}
	for {
		a, err := j.admit(&m)
		switch {
		case err != nil:
			return 0, false, err
		case a.wait != nil:
			select {
			case <-a.wait:
				continue
			case <-ctx.Done():
				return 0, false, fmt.Errorf("journal: append: %w", context.Cause(ctx))
			}
		case a.duplicate && a.b == nil:
			return a.offset, true, nil
		case a.leader:
			offset, err := j.lead(a.b)
			return offset, false, err
		}
		<-a.done
		if a.b.err != nil {
			return 0, false, a.b.err
		}
		return a.b.first + uint64(a.index), a.duplicate, nil
	}
}

// prepare checks m and makes it the journal's own.
func (j *Journal) prepare(m *Message) error {
	if err := checkMessage(m); err != nil {
		return err
	}
	if m.Time.IsZero() {
		m.Time = j.opts.Now()
	}
	m.Time = time.UnixMicro(m.Time.UnixMicro()).UTC()
	m.Payload = append(make([]byte, 0, len(m.Payload)), m.Payload...)
	m.Meta = bytes.Clone(m.Meta)
	return nil
}

// admission is where a message went.
type admission struct {
	b         *batch
	index     int
	leader    bool
	done      <-chan struct{} // of b, for followers
	wait      <-chan struct{} // no room: try again after it is closed
	duplicate bool
	offset    uint64 // of the producer's last message, for a duplicate that is safe already
}

// admit puts m into the open batch, or finds that it need not.
func (j *Journal) admit(m *Message) (a admission, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return a, err
	}
	if a, known := j.known(m); known {
		return a, nil
	}
	if wait := j.room(); wait != nil {
		return admission{wait: wait}, nil
	}
	return j.place(m), nil
}

// known finds a message whose producer has sent it, or a later one, before. Called with mu held.
func (j *Journal) known(m *Message) (a admission, known bool) {
	if m.Producer == "" || m.ProducerSeq == 0 {
		return a, false
	}
	if n := j.producers.nodes[m.Producer]; n != nil && m.ProducerSeq <= n.value {
		j.stats.Duplicates++
		return admission{duplicate: true, offset: n.offset}, true
	}
	if c, ok := j.pending[m.Producer]; ok && m.ProducerSeq <= c.seq {
		j.stats.Duplicates++
		return admission{b: c.b, index: c.b.indexOf(m.Producer), done: c.b.follow(), duplicate: true}, true
	}
	return a, false
}

// room returns nil when the open batch takes more, else what is closed when to
// look again. Called with mu held.
func (j *Journal) room() <-chan struct{} {
	b := j.open
	if b.bytes < maxBatchBytes {
		return nil
	}
	if b.sealed == nil {
		b.sealed = make(chan struct{})
	}
	return b.sealed
}

// place puts m into the open batch. Called with mu held.
func (j *Journal) place(m *Message) admission {
	b := j.open
	b.entries = append(b.entries, Entry{Message: *m})
	b.bytes += entryBytes + int64(len(m.Payload)+len(m.Meta)+len(m.Topic)+len(m.Producer))
	if m.Producer != "" && m.ProducerSeq != 0 {
		j.pending[m.Producer] = claim{m.ProducerSeq, b}
	}
	a := admission{b: b, index: len(b.entries) - 1}
	if a.leader = a.index == 0; !a.leader {
		a.done = b.follow()
	}
	return a
}

// follow returns what tells the outcome. Called with mu held.
func (b *batch) follow() <-chan struct{} {
	if b.done == nil {
		b.done = make(chan struct{})
	}
	return b.done
}

// indexOf finds the producer's last message in the batch.
func (b *batch) indexOf(producer string) int {
	for i := len(b.entries) - 1; i >= 0; i-- {
		if b.entries[i].Producer == producer {
			return i
		}
	}
	return 0
}

// lead waits for the batch before, closes b to newcomers, writes it and tells
// everyone. It returns the offset of the leader's own message.
func (j *Journal) lead(b *batch) (uint64, error) {
	j.io.Lock()
	j.mu.Lock()
	j.open, j.free = j.free, nil
	if j.open == nil {
		j.open = new(batch)
	}
	if b.sealed != nil {
		close(b.sealed)
	}
	refusal := b.refused
	if refusal == nil {
		refusal = j.degraded // a closed journal still takes what it admitted
	}
	j.mu.Unlock()

	if refusal == nil {
		refusal = j.commit(b)
	}
	j.settle(b, refusal)
	first, err := b.first, b.err
	j.io.Unlock()
	j.release(b)
	if err == nil {
		j.tellWatchers()
	}
	return first, err
}

// commit encodes b and makes the policy hold for it. Called with io held.
func (j *Journal) commit(b *batch) error {
	if j.active == nil {
		return ErrClosed
	}
	b.first = j.visible.Load() + 1
	enc := j.enc[:0]
	if j.opts.Sync == SyncMemory {
		enc = j.unwritten
	}
	before := len(enc)
	for i := range b.entries {
		b.entries[i].Offset = b.first + uint64(i)
		enc = appendRecord(enc, &b.entries[i])
	}
	if j.opts.Sync == SyncMemory {
		return j.keepInMemory(enc, before)
	}
	if j.enc = enc; cap(enc) > 4*maxBatchBytes {
		j.enc = nil // one huge message must not hold its memory for ever
	}
	return j.write(enc)
}

// settle makes the batch visible, or its failure known. Called with io held.
func (j *Journal) settle(b *batch, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	b.err = err
	for i := range b.entries {
		e := &b.entries[i]
		if c, ok := j.pending[e.Producer]; ok && c.b == b {
			delete(j.pending, e.Producer)
		}
		if err == nil {
			j.accept(*e, j.written)
		}
	}
	if err != nil {
		return
	}
	j.stats.Batches++
	j.stats.Appended += uint64(len(b.entries))
	j.head = b.first + uint64(len(b.entries)) - 1
	j.visible.Store(j.head)
}

// accept puts one entry into tables and tail. Called with mu held, or by Open.
func (j *Journal) accept(e Entry, written uint64) {
	e.Topic = setValue(j.values, e)
	if e.Producer != "" && e.ProducerSeq != 0 {
		if n := j.producers.nodes[e.Producer]; n == nil || e.ProducerSeq > n.value {
			e.Producer = j.producers.set(e.Producer, e.Offset, e.ProducerSeq, 0).key
		}
	}
	j.tail.push(e, written)
}

// latest is what the journal knows of a topic: its last value and, when that is
// not retained itself, the retained message before it.
type latest struct {
	Entry
	retained *Entry
}

// setValue makes e the last value of its topic, or clears it when e is retained
// and empty [MQTT-3.3.1-6]. It returns the topic, shared with the table if it can.
func setValue(values *table[latest], e Entry) string {
	if e.Retain && len(e.Payload) == 0 {
		values.remove(e.Topic)
		values.lost = max(values.lost, e.Offset)
		return e.Topic
	}
	cost := int64(len(e.Payload) + len(e.Meta) + len(e.Producer))
	var retained *Entry
	if n := values.nodes[e.Topic]; n != nil && !e.Retain {
		if retained = n.value.retained; n.value.Retain {
			before := n.value.Entry
			retained = &before
		}
		if retained != nil {
			cost += entryCost(retained)
		}
	}
	n := values.set(e.Topic, e.Offset, latest{e, retained}, cost)
	n.value.Topic = n.key
	return n.key
}

// release wakes the followers, or keeps a batch without any for the next time.
func (j *Journal) release(b *batch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b.done != nil {
		close(b.done)
		return
	}
	if j.free == nil && cap(b.entries) <= 1024 {
		clear(b.entries)
		*b = batch{entries: b.entries[:0]}
		j.free = b
	}
}
