package httpwire

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/hub"
	"plumbline/bridge/journal"
)

// writeBytes is what one turn of a stream takes from the hub, and the soft size of a part of a snapshot.
const (
	writeBytes = 64 << 10
	partBytes  = 32 << 10
)

// stream is one response of server-sent events. What it holds of the viewer's backlog is a cursor.
type stream struct {
	*client
	sub     *hub.Subscription
	wake    chan struct{}
	epoch   string
	batches []hub.Batch // kept between turns, empty
	failed  error       // of the connection: it is of no use any more
}

// events answers with what follows a cursor, as events, until the viewer leaves, its token ends or the bridge does.
func (s *Server) events(c *client) {
	q, ok := c.ask(eventParameters)
	if !ok {
		return
	}
	release, ok := c.place(q)
	if !ok {
		return
	}
	defer release()
	sub, got, wake, err := c.subscribe(q)
	if err != nil {
		s.refuse(c.w, c.r, c.id, problem{http.StatusServiceUnavailable, "hub", "the bridge is about to end: come back later"})
		return
	}
	defer sub.Close()
	if conn, ok := c.r.Context().Value(connKey{}).(net.Conn); ok {
		giveUp(conn, max(s.opts.Heartbeat*3/2, s.opts.WriteTimeout))
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would gather events until its buffer is full
	st := &stream{client: c, sub: sub, wake: wake, epoch: got.Cursor.Epoch}
	st.begin(q, got)
	release()
	got.Snapshot = nil
	st.run()
	if st.failed != nil {
		panic(http.ErrAbortHandler) // net/http would keep the connection for half a second more, as if its viewer still read
	}
}

// begin sends the answer to the subscription, and the snapshot. The id comes with the last part: who was cut off before it must
// not resume as if it had all values.
func (st *stream) begin(q *query, got hub.Subscribed) {
	st.arm()
	// EventSource waits so long before each try, the first one too: people notice two seconds, and half of it spreads a storm.
	st.printf("retry: %d\n\n", (time.Second/2 + randomUpTo(time.Second)).Milliseconds())
	ok, _ := json.Marshal(opened{q.filter, got.Cursor.Epoch, got.Cursor.Offset, got.Recovered, got.Reason, st.srv.opts.Heartbeat.Milliseconds()}) // strings and numbers
	if !q.snapshot || got.Recovered {
		st.event("subok", got.Cursor.Offset, ok)
		st.flush()
		return
	}
	st.printf("event: subok\ndata: %s\n\n", ok)
	st.flush()
	allow := st.id.Allow(auth.Snapshot)
	ends := parts(got.Snapshot)
	from := 0
	var text []byte
	for i, to := range ends {
		if st.ctx.Err() != nil {
			return
		}
		text = fmt.Appendf(text[:0], `{"part":%d,"parts":%d,"readings":[`, i+1, len(ends))
		text = appendReadings(text, got.Snapshot[from:to], allow)
		text = append(text, "]}"...)
		st.arm()
		if i+1 < len(ends) {
			st.printf("event: snapshot\ndata: %s\n\n", text)
		} else {
			st.event("snapshot", got.Cursor.Offset, text)
		}
		st.flush()
		from = to
	}
}

// opened says where a stream begins.
type opened struct {
	Filter    string `json:"filter"`
	Epoch     string `json:"epoch"`
	Offset    uint64 `json:"offset"`
	Recovered bool   `json:"recovered"`
	Reason    string `json:"reason"`
	Heartbeat int64  `json:"heartbeat_ms"` // so that the viewer knows what silence is
}

// run delivers until something ends it.
func (st *stream) run() {
	beat := time.NewTicker(st.srv.opts.Heartbeat)
	defer beat.Stop()
	draining := st.srv.draining
	var leave <-chan time.Time
	for st.failed == nil {
		if st.ctx.Err() != nil {
			st.finish("end", `{"reason":%q}`, st.reason())
			return
		}
		if st.turn() {
			st.again() // and not at once: whatever else there is has its turn too
		}
		select {
		case <-st.wake:
		case <-st.ctx.Done():
		case <-beat.C:
			st.arm()
			st.printf(": heartbeat\n\n")
			st.flush()
		case <-draining:
			draining, leave = nil, time.After(randomUpTo(st.srv.spread))
		case <-leave:
			st.turn() // what is there still goes out; the rest is left for the next connection
			retry := (randomUpTo(st.srv.spread) + time.Millisecond).Milliseconds()
			st.arm()
			st.printf("retry: %d\n", retry)
			st.finish("draining", `{"retry_ms":%d}`, retry)
			return
		}
	}
}

// again makes the next turn come without anything new.
func (st *stream) again() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// finish sends a last event without an id.
func (st *stream) finish(kind, format string, args ...any) {
	st.arm()
	st.printf("event: "+kind+"\ndata: "+format+"\n\n", args...)
	st.flush()
}

// turn sends what is ready, up to about writeBytes, and reports whether there may be more at once.
func (st *stream) turn() (more bool) {
	batches, gap, more := st.sub.PullInto(st.batches[:0], writeBytes)
	if len(batches) == 0 && gap == nil {
		return more
	}
	st.arm()
	began := time.Now()
	for i := range batches {
		b := &batches[i]
		st.printf("event: batch\nid: %s\ndata: {", eventID(st.epoch, b.To))
		st.write(b.Body)
		st.printf("\n\n")
		st.srv.m.Delivered.Add(float64(b.Count))
	}
	if gap != nil {
		st.srv.m.Gaps.WithLabelValues(gap.Reason).Add(float64(gap.Count))
		text, _ := json.Marshal(missing(st.epoch, *gap))
		st.event("gap", gap.To, text)
	}
	st.flush()
	st.srv.m.Writes.Observe(time.Since(began).Seconds())
	clear(batches)
	st.batches = batches[:0]
	return more
}

// lost is a declared gap.
type lost struct {
	Epoch  string `json:"epoch"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Count  uint64 `json:"count"`
	Reason string `json:"reason"`
}

func missing(epoch string, g hub.Gap) lost { return lost{epoch, g.From, g.To, g.Count, g.Reason} }

// event sends one event that moves the viewer's cursor.
func (st *stream) event(kind string, cursor uint64, data []byte) {
	st.printf("event: %s\nid: %s\ndata: %s\n\n", kind, eventID(st.epoch, cursor), data)
}

func (st *stream) printf(format string, args ...any) { st.write(fmt.Appendf(nil, format, args...)) }

func (st *stream) write(p []byte) {
	if st.failed == nil {
		_, st.failed = st.w.Write(p)
	}
}

func (st *stream) flush() {
	if st.failed == nil {
		st.failed = st.rc.Flush()
		st.lift()
	}
}

// parts splits the entries: it returns the index after the last of each part, at least one.
func parts(entries []journal.Entry) (ends []int) {
	size := 0
	for i := range entries {
		e := &entries[i]
		n := len(e.Payload) + len(e.Topic) + len(`{"o":,"t":,"topic":"","qos":0,"payload":""},`) + 2*16
		if size > 0 && size+n > partBytes {
			ends = append(ends, i)
			size = 0
		}
		size += n
	}
	return append(ends, len(entries))
}

// appendReadings appends the entries that may be seen, joined by commas.
func appendReadings(dst []byte, entries []journal.Entry, allow func(topic string) bool) []byte {
	begin := len(dst)
	for i := range entries {
		if allow != nil && !allow(entries[i].Topic) {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = hub.AppendReading(dst, entries[i])
	}
	return dst
}
