package viewer

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"plumbline/harness/record"
)

// subscription is one filter and how far it has got. Every interval (from, to]
// that the server sends must begin where the last one ended: that is the whole
// proof that nothing was left out, whatever the filter.
type subscription struct {
	id     uint64
	filter string

	started   bool   // at is a position, not the zero value
	resuming  bool   // this session asked to continue from at
	confirmed bool   // subok came in this session, and no suberr after it
	awaits    bool   // this session must begin with a snapshot
	part      uint64 // the last part of it that came,
	parts     uint64 // of so many
	batched   bool   // a batch came in this session
	at        Cursor // end of the last interval
	behind    uint64 // readings up to this offset are catch-up after a resume
	live      uint64 // readings of batches in this session
	missed    uint64 // entries that gaps declared missing in this session
	epochGap  bool   // the server has declared that the epoch changed
	topics    topics // seen so far
}

// begin prepares the subscription for a new session.
func (sub *subscription) begin() {
	sub.resuming, sub.confirmed = sub.started, false
	sub.behind, sub.epochGap, sub.live, sub.missed = 0, false, 0, 0
	sub.awaits, sub.batched, sub.part, sub.parts = false, false, 0, 0
}

// interval is the head of a batch or snapshot.
type interval struct {
	id        uint64
	epoch     []byte
	from, to  uint64
	part      uint64 // of a snapshot, counted from 1
	parts     uint64
	seen      uint8  // which of hasID … hasParts have been read
	conflated uint64 // entries that were left out for newer ones of their topic
	readings  int    // where the array of readings begins, 0 when it was read already
}

const (
	hasID uint8 = 1 << iota
	hasEpoch
	hasFrom
	hasTo
	hasPart
	hasParts
)

// batch checks the chain and records every reading.
func (p *plumbline) batch(at int64, data []byte) error {
	var sub *subscription
	err := p.walk(data, hasID|hasEpoch|hasFrom|hasTo, func(scan *scanner, i interval) error {
		var err error
		if sub, err = p.advance(at, i); err != nil {
			return err
		}
		p.counters.Conflated += i.conflated
		return p.readings(scan, at, sub, i, record.Received)
	})
	if err == nil {
		p.counters.Batches++
	}
	return err
}

// walk reads the members of a message and calls visit with the scanner at its
// array of readings as soon as the need members before it are known: in one
// pass when the array stands last, as the protocol writes it, and in two else.
func (p *plumbline) walk(data []byte, need uint8, visit func(*scanner, interval) error) error {
	scan := scanner{buf: data}
	var i interval
	scan.take('{')
	for first := true; scan.more(&first, '}'); {
		switch string(scan.key()) {
		case "id":
			i.id = scan.uint()
			i.seen |= hasID
		case "epoch":
			i.epoch = scan.raw()
			i.seen |= hasEpoch
		case "from":
			i.from = scan.uint()
			i.seen |= hasFrom
		case "to":
			i.to = scan.uint()
			i.seen |= hasTo
		case "part":
			i.part = scan.uint()
			i.seen |= hasPart
		case "parts":
			i.parts = scan.uint()
			i.seen |= hasParts
		case "conflated":
			i.conflated = scan.uint()
		case "readings":
			i.readings = scan.pos
			if i.seen&need != need {
				scan.skip(0)
				continue
			}
			if err := visit(&scan, i); err != nil {
				return err
			}
			need = 0 // and done
		default:
			scan.skip(0)
		}
	}
	if err := scan.end(); err != nil {
		return err
	}
	if need == 0 {
		return nil
	}
	if i.readings == 0 || i.seen&need != need {
		return fmt.Errorf("batch or snapshot lacks members: %w", errJSON)
	}
	scan = scanner{buf: data, pos: i.readings}
	return visit(&scan, i)
}

// advance moves the chain on by one interval and notes when it does not fit.
func (p *plumbline) advance(at int64, i interval) (*subscription, error) {
	if i.id == 0 || i.id > uint64(len(p.subs)) || i.to < i.from {
		return nil, fmt.Errorf("batch for subscription %d with interval (%d, %d]", i.id, i.from, i.to)
	}
	sub := p.subs[i.id-1]
	if string(i.epoch) != p.epoch {
		if err := p.enterEpoch(string(i.epoch)); err != nil {
			return nil, err
		}
	}
	if !sub.confirmed { // its readings are recorded, its interval proves nothing
		p.broken(at, sub, "batch outside of a subscription", sub.at.Offset, i.from, i.to)
		return sub, nil
	}
	if !sub.batched && sub.incomplete() {
		p.broken(at, sub, "batch before the snapshot was complete", sub.at.Offset, i.from, i.to)
	}
	sub.batched = true
	switch {
	case p.epoch != sub.at.Epoch:
		switch {
		case !sub.epochGap:
			p.broken(at, sub, fmt.Sprintf("epoch changed from %s to %s without a gap", sub.at.Epoch, p.epoch), sub.at.Offset, i.from, i.to)
		case i.from != sub.at.Offset:
			p.broken(at, sub, "interval does not begin where the gap between epochs ended", sub.at.Offset, i.from, i.to)
		}
		sub.at.Epoch, sub.epochGap = p.epoch, false
	case i.from != sub.at.Offset:
		p.broken(at, sub, "interval does not begin where the last one ended", sub.at.Offset, i.from, i.to)
	}
	sub.at.Offset = i.to
	return sub, nil
}

// A journal begins anew when a server has lost its end, which is rare. The
// recording keeps the name of each.
const (
	epochLimit = 10_000 // epochs of one viewer
	epochBytes = 256    // of the name of one
)

// enterEpoch makes epoch the one that records are numbered with. One beyond all
// measure ends the viewer: readings that are left out would count as lost.
func (p *plumbline) enterEpoch(epoch string) error {
	number, known := p.epochs[epoch]
	switch {
	case known:
	case len(epoch) > epochBytes:
		p.flood = fmt.Errorf("%w: an epoch with a name of %d bytes", ErrFlood, len(epoch))
		return p.flood
	case len(p.epochs) >= epochLimit:
		p.flood = fmt.Errorf("%w: more than %d epochs", ErrFlood, epochLimit)
		return p.flood
	default:
		number = p.cfg.Recorder.Epoch(epoch)
		p.epochs[epoch] = number
	}
	p.epoch, p.epochNo = epoch, number
	return nil
}

func (p *plumbline) broken(at int64, sub *subscription, detail string, expected, from, to uint64) {
	p.counters.Broken++
	p.eventAt(at, record.ChainBroken, detail, "id", strconv.FormatUint(sub.id, 10), "filter", sub.filter, "epoch", sub.at.Epoch,
		"expected", strconv.FormatUint(expected, 10), "from", strconv.FormatUint(from, 10), "to", strconv.FormatUint(to, 10))
}

// gap moves the chain over what the server declares as not deliverable.
func (p *plumbline) gap(at int64, m message) error {
	sub, err := p.sub(m.ID)
	if err != nil {
		return err
	}
	p.counters.Gaps++
	p.counters.Missed += m.Count
	sub.missed += m.Count
	p.eventAt(at, record.GapDeclared, "", "id", string(m.ID), "filter", sub.filter, "epoch", sub.at.Epoch, "reason", m.Reason,
		"from", strconv.FormatUint(m.From, 10), "to", strconv.FormatUint(m.To, 10), "count", strconv.FormatUint(m.Count, 10))
	switch {
	case !sub.confirmed:
		p.broken(at, sub, "gap outside of a subscription", sub.at.Offset, m.From, m.To)
		return nil
	case m.Reason == "epoch": // its ends lie in two journals
		sub.epochGap = true
	case m.From != sub.at.Offset:
		p.broken(at, sub, "gap does not begin where the last interval ended", sub.at.Offset, m.From, m.To)
	case m.To < m.From:
		p.broken(at, sub, "gap ends before it begins", sub.at.Offset, m.From, m.To)
	case m.Count != m.To-m.From:
		p.broken(at, sub, fmt.Sprintf("gap counts %d entries and covers %d", m.Count, m.To-m.From), sub.at.Offset, m.From, m.To)
	}
	sub.at.Offset = m.To
	return nil
}

// heartbeat compares what the server says it has sent with what came: the
// messages of a connection keep their order, so the two must agree exactly.
func (p *plumbline) heartbeat(at int64, m message) {
	p.counters.Heartbeats++
	for _, sub := range p.subs {
		id := strconv.FormatUint(sub.id, 10)
		cursor, told := m.Cursors[id]
		if !sub.confirmed || !told {
			continue
		}
		if cursor != sub.at.Offset {
			p.broken(at, sub, "heartbeat tells a cursor that no batch has reached", sub.at.Offset, cursor, m.Head)
		}
		if sent, told := m.Delivered[id]; told && sent != sub.live {
			p.broken(at, sub, "heartbeat counts other readings than came", sub.live, sent, m.Head)
		}
		if missing, told := m.Gaps[id]; told && missing != sub.missed {
			p.broken(at, sub, "heartbeat counts other missing entries than were declared", sub.missed, missing, m.Head)
		}
	}
}

// readings records the elements of the array that the scanner stands at.
// All must lie within (i.from, i.to], those of a batch in rising order.
func (p *plumbline) readings(scan *scanner, at int64, sub *subscription, i interval, kind record.Kind) error {
	after, to, count := i.from, i.to, uint64(0)
	scan.take('[')
	for first := true; scan.more(&first, ']'); {
		r, err := p.reading(scan)
		if err != nil {
			return err
		}
		if r.offset <= after || r.offset > to {
			p.broken(at, sub, "reading lies outside of its interval or out of order", after+1, r.offset, to)
		}
		if kind == record.Received {
			after = max(after, r.offset)
			if r.offset <= sub.behind {
				r.flags |= record.FlagCatchUp
			}
		}
		p.record(sub, at, kind, r)
		count++
	}
	if scan.bad {
		return errJSON
	}
	p.countLocked(kind, count)
	if kind == record.Received {
		sub.live += count
	}
	return nil
}

// reading reads one element. Its slices are good until the next one.
func (p *plumbline) reading(scan *scanner) (r reading, err error) {
	content := 0
	scan.take('{')
	for first := true; scan.more(&first, '}'); {
		switch string(scan.key()) {
		case "o":
			r.offset = scan.uint()
		case "topic":
			r.topic = scan.text(&p.scratch[0])
		case "payload":
			r.payload = scan.text(&p.scratch[1])
			content++
		case "base64":
			if r.payload, err = p.decode64(scan.text(&p.scratch[2])); err != nil {
				return r, err
			}
			content++
		case "retain":
			if scan.boolean() {
				r.flags |= record.FlagRetained
			}
		default: // the server's own time and QoS decide nothing here
			scan.skip(0)
		}
	}
	switch {
	case scan.bad:
		return r, errJSON
	case r.offset == 0 || len(r.topic) == 0 || content != 1:
		return r, fmt.Errorf("reading %d on %q lacks its offset, topic or payload", r.offset, r.topic)
	}
	return r, nil
}

func (p *plumbline) decode64(text []byte) ([]byte, error) {
	out, err := base64.StdEncoding.AppendDecode(p.scratch[1][:0], text)
	p.scratch[1] = out
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return out, nil
}

func (p *plumbline) record(sub *subscription, at int64, kind record.Kind, r reading) {
	topic, fresh := p.topicLocked(sub.topics, r.topic)
	if fresh && !matches(sub.filter, topic) {
		p.outsideLocked(at, topic, "filter", sub.filter, "offset", strconv.FormatUint(r.offset, 10))
	}
	r.epoch = p.epochNo
	p.recordLocked(at, kind, topic, r)
}

// matches applies a topic filter (MQTT 5 section 4.7). It is written a second
// time here on purpose: the first time is in the bridge.
func matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false // [MQTT-4.7.2-1]
	}
	for {
		f, restFilter, moreFilter := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, restTopic, moreTopic := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		switch {
		case !moreFilter && !moreTopic:
			return true
		case moreFilter && !moreTopic:
			return restFilter == "#" // "a/#" matches "a", section 4.7.1.2
		case !moreFilter:
			return false
		}
		filter, topic = restFilter, restTopic
	}
}
