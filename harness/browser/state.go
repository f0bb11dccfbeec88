package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/viewer"
)

// state is what the instrument reported so far.
type state struct {
	documents  map[string]*document
	streams    map[string]uint32
	finder     finder
	came       record.Distinct
	counters   viewer.Counters
	base       uint64 // of distinct messages, see Rebase
	last       time.Time
	heard      int64        // the same by the run clock
	open       map[int]bool // connections that stand, of the present document
	present    *document
	subscribed bool
	hidden     bool // the tab was, while messages were expected
	isolated   bool
	damaged    int64
	opened     int64 // connections in all
	spent      float64
	spans      float64
	metrics    struct{ tasks, scripts, at, heap [2]float64 }
}

func newState() state {
	return state{documents: map[string]*document{}, streams: map[string]uint32{}, open: map[int]bool{}, isolated: true}
}

// document is one document of the page; a reload makes the next one.
type document struct {
	number    int
	reports   int            // that were taken
	messages  int            // noted
	tails     map[int][]byte // by connection: what may go on in its next message
	unframed  []seen         // no frame was painted since
	exchanges int
	spent, at float64
}

// seen is a reading that waits for its frame.
type seen struct {
	message int // of the document
	stream  uint32
	seq     uint64
	digest  uint64
	bytes   uint32
}

// report is what the instrument says at once.
type report struct {
	Doc      string  `json:"doc"`
	Number   int     `json:"number"`
	At       float64 `json:"at"`
	Spent    float64 `json:"spent"`
	Hidden   bool    `json:"hidden"`
	Isolated bool    `json:"isolated"`
	Log      []entry `json:"log"`
}

// entry is one line of it: [kind, at, …].
type entry struct {
	kind string
	at   float64
	n    int    // a connection, or how many messages
	text string // a message, a kind of connection, a word
	more string // an address
}

// UnmarshalJSON reads what instrument.js writes.
func (e *entry) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	into := []any{&e.kind, &e.at}
	if len(parts) > 0 {
		switch string(parts[0]) {
		case `"l"`:
			into = append(into, &e.text)
		case `"c"`:
			into = append(into, &e.n, &e.text, &e.more)
		case `"m"`, `"b"`:
			into = append(into, &e.n, &e.text)
		case `"x"`:
			var code json.RawMessage // a number, or nothing that means anything
			into = append(into, &e.n, &code)
		default:
			into = append(into, &e.n)
		}
	}
	if len(parts) != len(into) {
		return fmt.Errorf("an entry of %d parts: %.100s", len(parts), data)
	}
	for i, part := range parts {
		if err := json.Unmarshal(part, into[i]); err != nil {
			return fmt.Errorf("part %d of %.100s: %w", i, data, err)
		}
	}
	if e.kind == "x" {
		e.text = string(parts[3])
	}
	return nil
}

// took takes one report. What is no report ends the trust in the recording.
func (p *Page) took(payload string) {
	var r report
	err := json.Unmarshal([]byte(payload), &r)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wakeLocked()
	d := p.documentLocked(r.Doc)
	switch {
	case p.fault != nil:
		return
	case err != nil:
		p.fault = fmt.Errorf("the instrument reported what cannot be read: %w", err)
	case d == nil:
		p.fault = fmt.Errorf("the page has had more than %d documents, which no clock here can tell apart", maxDocuments)
	case r.Number != d.reports+1:
		p.fault = fmt.Errorf("report %d of document %d came after report %d", r.Number, d.number, d.reports)
	}
	if p.fault != nil {
		return
	}
	d.reports = r.Number
	p.state.spent += r.Spent - d.spent
	p.state.spans += r.At - d.at
	d.spent, d.at = r.Spent, r.At
	p.state.isolated = p.state.isolated && r.Isolated
	p.state.hidden = p.state.hidden || (r.Hidden && p.state.subscribed)
	for _, e := range r.Log {
		p.enterLocked(d, e)
	}
}

// documentLocked returns the document of that name, a new one where it is the first
// time; nil when there have been too many, or nothing is named.
func (p *Page) documentLocked(name string) *document {
	if d := p.state.documents[name]; d != nil || name == "" || len(p.state.documents) >= maxDocuments {
		return d
	}
	d := &document{number: len(p.state.documents) + 1, tails: map[int][]byte{}}
	p.state.documents[name], p.state.present = d, d
	clear(p.state.open)
	return d
}

// enterLocked enters one line of a report.
func (p *Page) enterLocked(d *document, e entry) {
	at := instant(d.number, e.at)
	event := func(kind record.EventKind, detail string, fields map[string]string) {
		p.recorder.Event(record.Event{At: at, Kind: kind, Subject: p.cfg.Name, Detail: detail, Fields: fields})
	}
	connection := strconv.Itoa(d.number) + "/" + strconv.Itoa(e.n)
	switch e.kind {
	case "m":
		p.messageLocked(d, at, e.n, []byte(e.text))
	case "b":
		data, err := base64.StdEncoding.DecodeString(e.text)
		if err != nil {
			p.fault = fmt.Errorf("bytes of a message cannot be read: %w", err)
			return
		}
		p.messageLocked(d, at, e.n, data)
	case "f":
		p.framedLocked(d, at, e.n)
	case "c":
		p.state.opened++
		event(record.Note, "asks for a connection", map[string]string{"connection": connection, "kind": e.text, "address": e.more})
	case "o":
		p.state.open[e.n] = true
		p.state.counters.Connects++
		event(record.Connected, "", map[string]string{"connection": connection})
	case "x":
		delete(p.state.open, e.n)
		delete(d.tails, e.n)
		p.state.counters.Disconnects++
		event(record.Disconnected, "", map[string]string{"connection": connection, "code": e.text})
	case "l":
		event(record.Note, "the page is "+e.text, nil)
	default:
		p.fault = fmt.Errorf("the instrument reported %q, which means nothing", e.kind)
	}
}

// tailLimit bounds what is kept of a payload that a message ends within.
const tailLimit = 64 << 10

// messageLocked records the own payloads of a message.
func (p *Page) messageLocked(d *document, at int64, connection int, data []byte) {
	d.messages++
	s := &p.state
	s.counters.Batches++
	s.counters.Bytes += uint64(len(data))
	if tail := d.tails[connection]; len(tail) > 0 {
		data = append(tail, data...)
	}
	rest := s.finder.find(data, func(payload []byte) { p.readingLocked(d, at, payload) }, func() { s.damaged++ })
	delete(d.tails, connection)
	if tail := data[rest:]; len(tail) > 0 && len(tail) <= tailLimit {
		d.tails[connection] = append([]byte{}, tail...)
	}
}

func (p *Page) readingLocked(d *document, at int64, payload []byte) {
	s := &p.state
	own, err := record.Parse(payload)
	if err != nil {
		return // the finder has parsed it
	}
	stream := record.NoStream
	if own.Run == p.cfg.Run {
		var known bool
		if stream, known = s.streams[own.Dev]; !known && len(s.streams) < maxStreams {
			stream = p.recorder.Stream(record.Stream{Device: own.Dev})
			s.streams[own.Dev] = stream
		}
		if !s.subscribed {
			s.subscribed = true
			p.subscribedLocked(at)
		}
	}
	s.counters.Received++
	if !s.came.First(stream, own.Seq) {
		s.counters.Again++
	}
	s.last, s.heard = time.Now(), p.cfg.Clock.Now()
	reading := seen{message: d.messages, stream: stream, seq: own.Seq, digest: p.recorder.Digest(payload), bytes: uint32(len(payload))}
	p.addLocked(p.node, at, reading)
	if p.cfg.Frames {
		d.unframed = append(d.unframed, reading)
	}
}

// maxStreams bounds what a system under test can make a page remember.
const maxStreams = 100_000

// subscribedLocked notes that the page is live from here on: nobody else can tell when
// that is, whatever its protocol.
func (p *Page) subscribedLocked(at int64) {
	names := []string{p.cfg.Name}
	if p.cfg.Frames {
		names = append(names, FrameName(p.cfg.Name))
	}
	for _, name := range names {
		for _, filter := range p.cfg.Filters {
			p.recorder.Event(record.Event{At: at, Kind: record.Subscribed, Subject: name, Fields: map[string]string{"filter": filter}})
		}
	}
}

// MarkLive has the page count as live from here on, though it has shown nothing yet. Later
// calls, and those of a page that has, do nothing.
func (p *Page) MarkLive(ctx context.Context) error {
	if err := p.mapped(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.state.subscribed {
		p.state.subscribed = true
		p.subscribedLocked(p.exchanges[len(p.exchanges)-1].Got)
	}
	return nil
}

func (p *Page) addLocked(node uint16, at int64, r seen) {
	p.recorder.Add(record.Record{Kind: record.Received, Node: node, Stream: r.stream, Seq: r.seq, At: at, Digest: r.digest, Bytes: r.bytes})
}

// framedLocked records the frame of all readings in the first n messages.
func (p *Page) framedLocked(d *document, at int64, n int) {
	k := 0
	for ; k < len(d.unframed) && d.unframed[k].message <= n; k++ {
		p.addLocked(p.frame, at, d.unframed[k])
	}
	d.unframed = d.unframed[k:]
}

// Counters returns the totals so far.
func (p *Page) Counters() viewer.Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.counters
}

// Heard returns when, by the run clock, the harness last learned of a reading; 0 for never.
func (p *Page) Heard() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.heard
}

// Connections returns how many connections the page has asked for so far.
func (p *Page) Connections() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.opened
}

// Connected reports whether a connection of the page stands.
func (p *Page) Connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.state.open) > 0
}

// Rebase lets WaitDistinct count from here on.
func (p *Page) Rebase() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.base = p.state.counters.Distinct()
}

// WaitReceived waits until n readings were seen in total.
func (p *Page) WaitReceived(ctx context.Context, n uint64) error {
	return p.wait(ctx, fmt.Sprintf("%d readings", n), func() bool { return p.state.counters.Received >= n })
}

// WaitDistinct waits until n different messages were seen since Rebase, or in total.
func (p *Page) WaitDistinct(ctx context.Context, n uint64) error {
	return p.wait(ctx, fmt.Sprintf("%d different messages", n), func() bool { return p.state.counters.Distinct() >= p.state.base+n })
}

// WaitIdle waits until nothing has come for the time quiet, counted from the last
// reading or from the call, beside what the instrument takes to tell.
func (p *Page) WaitIdle(ctx context.Context, quiet time.Duration) error {
	since := time.Now()
	for {
		p.mu.Lock()
		if p.state.last.After(since) {
			since = p.state.last
		}
		fault := p.fault
		p.mu.Unlock()
		rest := quiet + tellsAfter - time.Since(since)
		switch {
		case fault != nil:
			return fmt.Errorf("browser: page %q: %w", p.cfg.Name, fault)
		case rest <= 0:
			return nil
		}
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("browser: page %q waited for %v without readings: %w", p.cfg.Name, quiet, context.Cause(ctx))
		}
	}
}

// tellsAfter is how long the instrument keeps what it has to tell (flushAfter), and a
// frame.
const tellsAfter = 120 * time.Millisecond

// wait blocks until condition, called under the lock, holds.
func (p *Page) wait(ctx context.Context, what string, condition func() bool) error {
	for {
		p.mu.Lock()
		holds, changed, fault := condition(), p.changed, p.fault
		p.mu.Unlock()
		switch {
		case holds:
			return nil
		case fault != nil:
			return fmt.Errorf("browser: page %q: %w", p.cfg.Name, fault)
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			return fmt.Errorf("browser: page %q waited for %s: the tab is gone", p.cfg.Name, what)
		case <-ctx.Done():
			return fmt.Errorf("browser: page %q waited for %s: %w", p.cfg.Name, what, context.Cause(ctx))
		}
	}
}

func (p *Page) wakeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// share is a part of a whole, in a form that JSON can hold.
func share(part, whole float64) float64 {
	if whole <= 0 || math.IsNaN(part) {
		return 0
	}
	return part / whole
}
