package hub

import (
	"time"

	"plumbline/bridge/journal"
)

// conflator keeps the newest entry of each topic and counts all.
type conflator struct {
	index   map[string]int // of a topic's entry in slots
	slots   []slot         // by ascending offset; an offset of 0 marks one that was replaced
	matched uint64         // entries taken since the beginning
	bytes   int64          // of the entries held
}

type slot struct {
	journal.Entry
	number uint64 // matched with this entry
}

// slotBytes is what an entry held costs beside its payload.
const slotBytes = 256

func (s *slot) cost() int64 { return slotBytes + int64(len(s.Payload)) }

// add takes the next entry in the place of the one of its topic.
func (c *conflator) add(e *journal.Entry) {
	if c.index == nil {
		c.index = make(map[string]int)
	}
	if i, ok := c.index[e.Topic]; ok {
		c.bytes -= c.slots[i].cost()
		c.slots[i] = slot{}
	}
	if len(c.slots) >= 64 && len(c.slots) >= 2*len(c.index) {
		c.compact()
	}
	c.matched++
	c.index[e.Topic] = len(c.slots)
	c.slots = append(c.slots, slot{*e, c.matched})
	c.bytes += c.slots[len(c.slots)-1].cost()
}

// compact drops the places of what was replaced.
func (c *conflator) compact() {
	live := c.slots[:0]
	for i := range c.slots {
		if c.slots[i].Offset != 0 {
			c.index[c.slots[i].Topic] = len(live)
			live = append(live, c.slots[i])
		}
	}
	clear(c.slots[len(live):])
	c.slots = live
}

// forget drops the entries held and returns their bytes.
func (c *conflator) forget() (freed int64) {
	freed, c.bytes = c.bytes, 0
	clear(c.slots)
	if c.slots = c.slots[:0]; cap(c.slots) > 4096 {
		c.slots = nil
	}
	if len(c.index) > 4096 {
		c.index = nil // a map keeps the size it once had
	}
	clear(c.index)
	return freed
}

// newest returns the entries held.
func (c *conflator) newest() []journal.Entry {
	out := make([]journal.Entry, 0, len(c.index))
	for i := range c.slots {
		if c.slots[i].Offset != 0 {
			out = append(out, c.slots[i].Entry)
		}
	}
	return out
}

// drain makes batches of about limit bytes of the entries held, which lie in
// (from, to], and forgets them. before is matched as it was at from. Each
// batch ends at its last reading, where the number of all entries is known.
func (c *conflator) drain(p printer, from, to, before uint64, emit func(b Batch, topics []string, after uint64)) {
	var topics []string
	r := Readings{Format: p.format, base: from}
	last := slot{}
	flush := func(to, after uint64) {
		s := span{from: from, to: to, conflates: true, conflated: after - before - uint64(r.Count)}
		emit(p.batch(s, &r), topics, after)
		from, before, topics = to, after, nil
		r.reset(from)
	}
	for i := range c.slots {
		s := &c.slots[i]
		if s.Offset == 0 {
			continue
		}
		part, name := p.write(&s.Entry)
		if r.Count > 0 && r.Len()+len(part) > p.limit {
			flush(last.Offset, last.number)
		}
		r.add(&s.Entry, part, name)
		if p.topics {
			topics = append(topics, s.Topic)
		}
		last = *s
	}
	flush(to, c.matched)
	c.forget()
}

// printer encodes readings outside the rounds.
type printer struct {
	format Format
	epoch  string
	limit  int  // bytes of readings in a batch
	topics bool // wanted beside
	names  *names
	packer *Packer
	buf    []byte
}

func (h *Hub) printer(f Format) printer {
	return printer{format: f, epoch: h.journal.Epoch(), limit: h.opts.BatchBytes, names: &h.names, packer: h.opts.Packer}
}

// batch makes a batch of the readings.
func (p *printer) batch(s span, r *Readings) Batch {
	b := newBatch(p.epoch, s, r)
	p.packer.offer(&b)
	return b
}

// Printer writes readings outside of any stream, such as those of a snapshot.
type Printer struct{ printer printer }

// Printer returns one that numbers topics as the hub's batches do.
func (h *Hub) Printer(f Format) *Printer { return &Printer{h.printer(f)} }

// Add adds an entry to r, which must be of the printer's format.
func (p *Printer) Add(r *Readings, e *journal.Entry) {
	part, name := p.printer.write(e)
	r.add(e, part, name)
}

// write returns the shared part of a reading, good until the next call, and the
// name it stands by.
func (p *printer) write(e *journal.Entry) (part []byte, name *Name) {
	if p.format == JSON {
		p.buf = AppendReading(p.buf[:0], *e)
		return p.buf, nil
	}
	name = p.names.of(e.Topic)
	p.buf = p.format.shared(p.buf[:0], e, nil, name)
	return p.buf, name
}

// ticks are the moments at which groups that conflate are served. Groups of one
// interval are served together, on a grid that begins at start.
type ticks struct {
	start time.Time
	due   []cadence // those with something to serve
}

// cadence is the groups of one interval that wait for its next tick.
type cadence struct {
	every  time.Duration
	number int64 // of the tick
	groups []*group
}

func (c *cadence) at(start time.Time) time.Time {
	return start.Add(time.Duration(c.number) * c.every)
}

// arm puts g on the list of its interval's next tick.
func (t *ticks) arm(g *group) {
	for i := range t.due {
		if c := &t.due[i]; c.every == g.key.every {
			c.groups = append(c.groups, g)
			return
		}
	}
	number := int64(time.Since(t.start)/g.key.every) + 1
	t.due = append(t.due, cadence{g.key.every, number, []*group{g}})
}

// hold keeps an entry for the tick of g. Called with h.mu held.
func (h *Hub) hold(g *group, e *journal.Entry) {
	before := g.late.bytes
	g.late.add(e)
	h.held += g.late.bytes - before
	if !g.armed {
		g.armed = true
		h.ticks.arm(g)
	}
	if h.held > h.opts.TotalBytes && g.late.bytes > h.opts.TotalBytes/int64(len(h.groups)) { // its tick comes early
		h.serve(g, e.Offset, int64(time.Since(h.ticks.start)/g.key.every))
	}
}

// serve makes batches of what g holds, up to offset to. Called with h.mu held.
func (h *Hub) serve(g *group, to uint64, tick int64) {
	p := h.printer(g.key.format)
	p.topics = g.access.Allow != nil
	h.held -= g.late.bytes
	g.late.drain(p, g.to, to, g.sent, func(b Batch, topics []string, after uint64) {
		h.push(g, kept{Batch: b, topics: topics, before: g.sent, after: after, tick: tick})
	})
}

// tick serves the groups whose time has come and returns how long it is to the
// next, or idle.
func (h *Hub) tick(now time.Time) (wait time.Duration) {
	wait = idle
	for i := range h.ticks.due {
		wait = sooner(wait, max(0, h.ticks.due[i].at(h.ticks.start).Sub(now)))
	}
	if wait != 0 {
		return wait
	}
	wait = idle
	h.mu.Lock()
	waiting := h.ticks.due[:0]
	for _, c := range h.ticks.due {
		if left := c.at(h.ticks.start).Sub(now); left > 0 {
			wait = sooner(wait, left)
			waiting = append(waiting, c)
			continue
		}
		for _, g := range c.groups {
			g.armed = false
			if g.subscribers > 0 && g.to < h.position {
				h.serve(g, h.position, c.number)
			}
		}
	}
	clear(h.ticks.due[len(waiting):])
	h.ticks.due = waiting
	frames := len(h.due)
	h.stats.Notified += uint64(frames)
	h.mu.Unlock()
	h.pace.spend(frames)
	h.tellDue()
	return wait
}
