package httpwire

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/hub"
	"plumbline/bridge/journal"
)

// answerBytes bounds the readings of one answer; only a single larger reading makes a larger one.
const answerBytes = 256 << 10

// answer is one poll's answer: the interval (from, to], what the filter let through there and what is missing of it.
type answer struct {
	from, to uint64
	count    int
	readings []byte // JSON objects joined by commas
	gap      *hub.Gap
	more     bool // another poll finds something at once
}

// poll answers with what follows a cursor: at once, or with wait as soon as there is a reading, or when the time is over.
func (s *Server) poll(c *client) {
	q, ok := c.ask(pollParameters)
	if !ok {
		return
	}
	release, ok := c.place(q)
	if !ok {
		return
	}
	defer release()
	reached := s.opts.Hub.Stats().Position // before the subscription, which reaches at least that
	sub, got, wake, err := c.subscribe(q)
	if err != nil {
		s.refuse(c.w, c.r, c.id, problem{http.StatusServiceUnavailable, "hub", "the bridge is about to end: come back later"})
		return
	}
	defer sub.Close()
	a := &answer{from: got.Cursor.Offset, to: got.Cursor.Offset}
	switch {
	case got.Recovered:
		if !c.collect(q, a, sub, wake, reached) {
			c.ended()
			return
		}
	case got.Reason == hub.ReasonEvicted: // how much is missing is known
		a.from = q.since.Offset
		a.gap = &hub.Gap{From: a.from, To: a.to, Count: a.to - a.from, Reason: hub.ReasonEvicted}
	}
	s.m.Delivered.Add(float64(a.count))
	if a.gap != nil {
		s.m.Gaps.WithLabelValues(a.gap.Reason).Add(float64(a.gap.Count))
	}
	c.send(a, got, q.snapshot && !got.Recovered)
}

// collect pulls until there is something to answer, and then what else is ready. It reports false when the request ended
// meanwhile.
func (c *client) collect(q *query, a *answer, sub *hub.Subscription, wake chan struct{}, reached uint64) (ok bool) {
	patience := max(q.wait, c.srv.opts.WriteTimeout) // for a turn to read the journal, while many catch up
	waited := time.NewTimer(q.wait)
	defer waited.Stop()
	slot := time.NewTimer(patience)
	defer slot.Stop()
	var batches []hub.Batch
	for {
		if c.ctx.Err() != nil {
			return false
		}
		found, gap, more := sub.PullInto(batches[:0], 1) // one batch at a time: what is left over stays where it is
		for i := range found {
			a.add(&found[i], q.limit)
		}
		if gap != nil {
			a.gap, a.to = gap, gap.To
		}
		batches = found
		if a.full(q.limit) || gap != nil {
			a.more = true
			return true
		}
		if more {
			continue
		}
		due, behind := waited.C, a.to < reached
		if behind {
			due = slot.C
		} else if a.count > 0 || q.wait == 0 {
			return true
		}
		select {
		case <-wake:
		case <-c.ctx.Done():
		case <-c.srv.draining:
			return true
		case <-due:
			a.more = behind
			return true
		}
	}
}

// ended says why a request that waited gets no answer. A client that has gone is told nothing.
func (c *client) ended() {
	c.arm()
	switch reason := c.reason(); reason {
	case reasonGone:
	case errClosing.Error():
		c.srv.refuse(c.w, c.r, c.id, problem{http.StatusServiceUnavailable, reason, "the bridge ends: come back later"})
	default:
		c.srv.refuse(c.w, c.r, c.id, problem{http.StatusUnauthorized, reason, "the token ended while the request waited: get another"})
	}
}

func (a *answer) full(limit int) bool { return a.count >= limit || len(a.readings) >= answerBytes }

// marker stands before the readings in a batch's body; what comes before it is numbers and the epoch.
var marker = []byte(`"readings":[`) //nolint:gochecknoglobals // a constant

// add takes a batch along, or as much of it as the limit leaves: a.to then is its last reading.
func (a *answer) add(b *hub.Batch, limit int) {
	a.to = b.To
	if b.Count == 0 {
		return
	}
	_, list, _ := bytes.Cut(b.Body, marker)
	list = bytes.TrimSuffix(list, []byte("]}"))
	if room := limit - a.count; b.Count > room {
		list, a.to = head(list, room)
		a.count += room
	} else {
		a.count += b.Count
	}
	if len(a.readings) > 0 {
		a.readings = append(a.readings, ',')
	}
	a.readings = append(a.readings, list...)
}

// head returns the first n readings of a list and the offset of the last of them.
func head(list []byte, n int) (first []byte, offset uint64) {
	var last struct {
		O uint64 `json:"o"`
	}
	dec := json.NewDecoder(bytes.NewReader(append(append([]byte{'['}, list...), ']')))
	_, _ = dec.Token() // the hub writes valid JSON
	for range n {
		_ = dec.Decode(&last)
	}
	return list[:dec.InputOffset()-1], last.O
}

// send writes the answer. A snapshot goes out in pieces, for it may be large.
func (c *client) send(a *answer, got hub.Subscribed, snapshot bool) {
	head := c.srv.opts.Journal.Head()
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	text := append(make([]byte, 0, 256+len(a.readings)), `{"epoch":`...)
	text = strconv.AppendQuote(text, got.Cursor.Epoch)
	text = strconv.AppendUint(append(text, `,"from":`...), a.from, 10)
	text = strconv.AppendUint(append(text, `,"to":`...), a.to, 10)
	text = strconv.AppendBool(append(text, `,"recovered":`...), got.Recovered)
	text = strconv.AppendQuote(append(text, `,"reason":`...), got.Reason)
	text = strconv.AppendBool(append(text, `,"more":`...), a.more)
	text = strconv.AppendUint(append(text, `,"head":`...), max(head.Offset, a.to), 10)
	if a.gap != nil {
		gap, _ := json.Marshal(missing(got.Cursor.Epoch, *a.gap))
		text = append(append(text, `,"gap":`...), gap...)
	}
	text = append(append(append(text, `,"readings":[`...), a.readings...), ']')
	if snapshot {
		text = append(text, `,"snapshot":[`...)
		if text = c.pieces(text, got.Snapshot); text == nil {
			return
		}
		text = append(text, ']')
	}
	c.arm()
	_, _ = c.w.Write(append(text, '}')) //nolint:gosec // JSON, and said to be nothing else; the peer is gone when this fails
}

// pieces writes text and the entries in pieces; what it returns is to be written yet, nil when the peer is gone.
func (c *client) pieces(text []byte, entries []journal.Entry) []byte {
	allow := c.id.Allow(auth.Snapshot)
	from, some := 0, false
	for _, to := range parts(entries) {
		before := len(text)
		if some {
			text = append(text, ',')
		}
		begin := len(text)
		if text = appendReadings(text, entries[from:to], allow); len(text) > begin {
			some = true
		} else {
			text = text[:before]
		}
		c.arm()
		if _, err := c.w.Write(text); err != nil || c.ctx.Err() != nil {
			return nil
		}
		from, text = to, text[:0]
	}
	return text
}
