package wire

import (
	"strconv"
	"sync"
	"time"

	"plumbline/bridge/hub"
	"plumbline/bridge/journal"
)

// writeBytes is the soft size of one coalesced write.
const writeBytes = 64 << 10

// keepBytes is the largest buffer that goes back to the pool.
const keepBytes = 256 << 10

var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }} //nolint:gochecknoglobals // a pool, no state

// wake makes sure that a writer runs, or runs once more. The hub calls it; it never blocks for long.
func (s *session) wake() {
	if s.dirty.Swap(true) {
		return // a writer has yet to look, and will
	}
	s.mu.Lock()
	start := !s.writing && !s.finished
	if start {
		s.writing = true
		s.writer.Add(1)
	}
	s.mu.Unlock()
	if start {
		s.srv.writers.begin(s)
	}
}

// write is a writer for this session alone, which may wait for the viewer. It begins with what is left of w and lives until
// nothing is left to write.
func (s *session) write(w turn) {
	defer s.writer.Done()
	w.s = s
	if w.late && !s.flushOut(&w) {
		w.last = true
	}
	w.late, w.buf = false, nil
	if w.last {
		s.idle(true)
		return
	}
	pooled := writeBuffers.Get().(*[]byte)
	w.buf = *pooled
	for {
		s.dirty.Store(false)
		w.fill()
		if len(w.buf) > 0 && !s.flushOut(&w) {
			w.last = true
		}
		if w.last || !w.more && s.rest() {
			break
		}
	}
	s.idle(w.last)
	if cap(w.buf) <= keepBytes {
		*pooled = w.buf[:0]
	}
	writeBuffers.Put(pooled)
}

// rest ends the writer unless something came since it looked.
func (s *session) rest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirty.Load() {
		return false
	}
	s.writing = false
	return true
}

// idle marks the end of a writer; after the close frame or an error no other one starts.
func (s *session) idle(last bool) {
	if !last {
		return
	}
	s.mu.Lock()
	s.writing = true // for good
	s.mu.Unlock()
	close(s.last)
}

// flushOut writes the turn's frames, waiting for the viewer, and reports whether the connection still holds.
func (s *session) flushOut(w *turn) bool {
	start := time.Now()
	err := s.nc.send(w.buf)
	s.srv.m.Writes.Observe(time.Since(start).Seconds())
	if err != nil {
		s.failed(err)
		return false
	}
	s.wrote(w)
	return true
}

// failed ends a session whose connection cannot be written to.
func (s *session) failed(err error) {
	s.mu.Lock()
	if !s.closing && isTimeout(err) {
		s.closing, s.code = true, CloseSlow
	}
	s.mu.Unlock()
	s.nc.cut() // after the code is set: the reader ends the session now
	s.srv.log.Debug("write failed", "session", s.id, "error", err)
}

// wrote counts a turn that went out.
func (s *session) wrote(w *turn) {
	m := s.srv.m
	m.Bytes.Add(float64(len(w.buf)))
	m.Frames.Add(float64(w.frames))
	m.Delivered.Add(float64(w.readings))
	if w.ping {
		s.nc.pinged()
	}
	if w.conflated > 0 {
		m.Conflated.Add(float64(w.conflated))
	}
}

// turn is one round of the writer: what fits into one write.
type turn struct {
	s         *session
	buf       []byte
	batches   []hub.Batch // scratch
	subs      []*sub      // scratch
	frames    int
	readings  int
	conflated uint64
	head      [1]byte // scratch
	stored    [5]byte // scratch
	ping      bool    // a ping is in buf
	more      bool    // something is left that did not fit
	late      bool    // a shared writer could not write all of it
	last      bool    // the close frame is in buf
}

// fill collects what to write: answers, then a heartbeat, then data, then the close frame.
func (w *turn) fill() {
	s := w.s
	w.buf, w.frames, w.readings, w.conflated, w.more, w.last = w.buf[:0], 0, 0, 0, false, false
	s.mu.Lock()
	w.subs = append(w.subs[:0], s.subs...)
	renewed := s.takeReauth()
	w.buf = append(w.buf, s.control...)
	s.control = nil // answers are rare: their memory is not kept
	beat := s.beat && s.live && !s.closing
	ping := s.beat && !s.closing
	s.beat = false
	closeMsg, flush := s.closeMsg, time.Now().Before(s.flush)
	s.mu.Unlock()

	for _, r := range renewed {
		w.resubscribe(r.sub, r.access)
	}
	if w.ping = ping; ping {
		w.buf = appendFrame(w.buf, framePing)
	}
	if beat {
		w.heartbeat()
	}
	if closeMsg == nil || flush {
		w.data()
	}
	if closeMsg != nil && !w.more {
		w.buf = append(w.buf, closeMsg...)
		w.last = true
	}
}

// data takes what the subscriptions have, in turn, until the write is full.
func (w *turn) data() {
	n := len(w.subs)
	if n == 0 {
		return
	}
	w.s.first = (w.s.first + 1) % n
	for i := range n {
		b := w.subs[(w.s.first+i)%n]
		if len(w.buf) >= writeBytes {
			if b.snapshot != nil || b.ready.Load() {
				w.more = true
			}
			continue
		}
		if b.snapshot != nil && !w.snapshot(b) {
			w.more = true
			continue
		}
		if b.ready.Load() {
			w.pull(b)
		}
	}
}

// pull takes one subscription's batches or its gap.
func (w *turn) pull(b *sub) {
	b.ready.Store(false) // before Pull: a Notify in between must count
	batches, gap, more := b.stream.PullInto(w.batches[:0], writeBytes-len(w.buf))
	if gap != nil {
		w.gap(b, gap.From, gap.To, gap.Count, gap.Reason)
	}
	for i := range batches {
		bt := &batches[i]
		w.announce(bt.Names)
		w.batch(b, bt)
		b.cursor = bt.To
		b.delivered += uint64(bt.Count)
		b.conflated += bt.Conflated
		w.readings += bt.Count
		w.conflated += bt.Conflated
		w.frames++
	}
	clear(batches) // the scratch must not keep bodies alive
	w.batches = batches[:0]
	if more {
		b.ready.Store(true)
		w.more = true
	}
}

// announce tells which numbers stand for the topics that the viewer has not been told yet.
func (w *turn) announce(names []*hub.Name) {
	var fresh []topicName
	for _, n := range names {
		if w.s.told.add(n.ID) {
			fresh = append(fresh, topicName{ID: n.ID, Topic: n.Topic})
		}
	}
	if len(fresh) > 0 {
		w.buf = append(w.buf, w.s.frame(topicsMsg{"topics", fresh})...)
	}
}

// batch appends the frame of one batch: what is the viewer's own of it and the body that it shares. Compressed, its own part
// is a stored block before the blocks of the shared body (RFC 1951 section 3.2.4).
func (w *turn) batch(b *sub, bt *hub.Batch) {
	head := w.head[:0]
	if w.s.dialect.binary {
		head = hub.AppendCBOR(head, hub.CBORMap, uint64(2+bt.Members))
	}
	first := w.s.dialect.frame()
	if w.s.deflate {
		if packed := bt.Packed.Get(bt.Body); packed != nil {
			n := uint16(len(head) + len(b.prefix))
			stored := append(w.stored[:0], 0, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
			w.buf = appendFrame(w.buf, first|rsv1, stored, head, b.prefix, packed)
			return
		}
	}
	w.buf = appendFrame(w.buf, first, head, b.prefix, bt.Body)
}

// gap declares what is missing.
func (w *turn) gap(b *sub, from, to, count uint64, reason string) {
	w.buf = append(w.buf, w.s.frame(gapMsg{"gap", b.id, from, to, count, reason})...)
	b.cursor = to
	b.missing += count
	w.s.srv.m.Gaps.WithLabelValues(reason).Add(float64(count))
}

// snapshot writes parts of b's snapshot and reports whether it is whole.
func (w *turn) snapshot(b *sub) bool {
	for !b.snapshot.done() {
		if len(w.buf) >= writeBytes {
			return false
		}
		body, names := b.snapshot.next()
		w.announce(names)
		first, packed := w.s.dialect.frame(), []byte(nil)
		if w.s.deflate {
			packed = w.s.srv.packer.Pack(body)
		}
		if packed != nil {
			w.buf = appendFrame(w.buf, first|rsv1, packed)
		} else {
			w.buf = appendFrame(w.buf, first, body)
		}
		w.frames++
	}
	b.snapshot = nil
	b.release()
	return true
}

func (w *turn) heartbeat() {
	head := w.s.srv.opts.Journal.Head()
	msg := heartbeatMsg{Type: "heartbeat", Epoch: head.Epoch, Head: head.Offset,
		Cursors: map[string]uint64{}, Delivered: map[string]uint64{}, Gaps: map[string]uint64{}}
	for _, b := range w.subs {
		key := strconv.FormatInt(b.id, 10)
		msg.Cursors[key], msg.Delivered[key], msg.Gaps[key] = b.cursor, b.delivered, b.missing
		if b.every > 0 {
			if msg.Conflated == nil {
				msg.Conflated = map[string]uint64{}
			}
			msg.Conflated[key] = b.conflated
		}
	}
	w.buf = append(w.buf, w.s.frame(msg)...)
}

// renewal is a subscription whose access list has changed.
type renewal struct {
	sub    *sub
	access *access
}

// takeReauth returns the subscriptions to renew. The caller holds mu.
func (s *session) takeReauth() []renewal {
	var out []renewal
	for _, b := range s.subs {
		if b.reauth != nil {
			out = append(out, renewal{b, b.reauth})
			b.reauth = nil
		}
	}
	return out
}

// resubscribe moves b to another access list at its own place in the stream. What cannot be taken up again is a gap.
func (w *turn) resubscribe(b *sub, access *access) {
	s := w.s
	if b.snapshot != nil {
		b.snapshot.allow = access.snapshot
	}
	if b.stream.Open() { // what it conflated so far will not be counted
		w.gap(b, b.cursor, b.cursor, 0, "acl")
	}
	b.stream.Close()
	since := journal.Cursor{Epoch: s.srv.opts.Journal.Epoch(), Offset: b.cursor}
	stream, got, err := s.srv.opts.Hub.Subscribe(hub.SubscribeOptions{Filter: b.filter, Since: &since, Every: b.every, Format: s.dialect.format, Access: access.live, Notify: s.notify(b)})
	if err != nil {
		s.shut(CloseInternal, "hub", 1000)
		return
	}
	s.mu.Lock()
	gone := b.gone
	if !gone {
		b.stream = stream
	}
	s.mu.Unlock()
	if gone {
		stream.Close()
		return
	}
	if !got.Recovered && got.Cursor.Offset > b.cursor {
		w.gap(b, b.cursor, got.Cursor.Offset, got.Cursor.Offset-b.cursor, "acl")
	}
	b.ready.Store(true)
}

// notify returns what the hub calls when b may have something.
func (s *session) notify(b *sub) func() {
	return func() {
		b.ready.Store(true)
		s.wake()
	}
}
