// Package live looks at a recording while it is written and says how the system
// under test does just now: latencies of a sample of what arrives, counts, who is
// connected, which faults are on. People and tools look at that; nothing is judged
// by it.
//
// All of it happens on the goroutine that writes the recording, and on one of its
// own once a second. Whoever sends, receives or stamps never waits for it.
package live

import (
	"math"
	"sync"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
	"plumbline/reports/events"
)

// Bounds of what a Meter looks at and keeps. A sample of a thousand messages a
// second tells a 99th percentile; more would only cost.
const (
	window    = 10              // slots of a second that figures are about
	sendable  = 1000            // messages that are followed a second, about
	takeable  = 4000            // arrivals that are looked up a second, about
	maxKept   = 50_000          // messages that are followed at a time, and arrivals that wait
	patience  = 5 * time.Second // that an arrival waits for the word that its message was sent
	keepSlots = 30              // after so many seconds a message is followed no more, at the latest after twice as many
)

// Change is a fault that struck or ended.
type Change struct {
	At    int64 // on the clock of the recording
	Ended bool
	Fault events.Fault
}

// Meter follows one recording. Its zero value is ready; Take belongs to the
// goroutine that writes the recording, Figures may be called by another one.
type Meter struct {
	mu sync.Mutex

	sent, acked, received uint64
	streams               int
	named                 int             // nodes looked at so far
	roles                 map[string]bool // names of viewers
	viewers               map[string]bool // connected or not; who left for good is not in it

	due, older map[uint64]int64 // by message: intended instant; older is the generation before
	rotated    int64            // slot in which due was begun
	early      []arrival        // that came before the word that their message was sent
	mask       uint64           // messages whose hash has one of these bits are not followed
	slot       int64            // the current second of the recording
	inSlot     struct{ sent, received uint64 }
	slots      [window]histogram

	told struct { // at the last Figures
		at             int64
		sent, received uint64
	}
}

// arrival is a message at a viewer.
type arrival struct {
	message uint64
	at      int64
}

// key tells messages apart and spreads them evenly.
func key(stream uint32, seq uint64) uint64 {
	k := uint64(stream)<<44 ^ seq
	k *= 0x9e3779b97f4a7c15 // the golden ratio, as in SplitMix64
	return k ^ k>>32
}

// Take enters what was written and returns the faults that struck or ended.
func (m *Meter) Take(w record.Written) []Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.Records != nil {
		m.records(w.Records)
		return nil
	}
	m.streams = w.Streams
	m.name(w.Nodes)
	m.matchEarly()
	var changes []Change
	for i := range w.Events {
		if c, is := m.event(&w.Events[i]); is {
			changes = append(changes, c)
		}
	}
	return changes
}

// records enters records. The caller holds mu, as below.
func (m *Meter) records(all []record.Record) {
	if m.due == nil {
		m.due = map[uint64]int64{}
	}
	for i := range all {
		r := &all[i]
		switch r.Kind {
		case record.Sent:
			if r.Aux <= 1 {
				m.sent++
				m.inSlot.sent++
				m.follow(r)
			}
		case record.Acked:
			m.acked++
		case record.Received:
			m.received++
			m.inSlot.received++
			m.arrived(r)
		}
	}
}

// follow keeps when a message was intended.
func (m *Meter) follow(r *record.Record) {
	if k := key(r.Stream, r.Seq); k&m.mask == 0 && len(m.due) < maxKept {
		m.due[k] = r.Due
	}
}

// foreign marks what is not the live arrival of a message of ours.
const foreign = record.FlagRetained | record.FlagForeign | record.FlagCorrupt | record.FlagMisrouted

func (m *Meter) arrived(r *record.Record) {
	k := key(r.Stream, r.Seq)
	if k&m.mask != 0 || r.Flags&foreign != 0 || r.Stream == record.NoStream || r.Seq == 0 {
		return
	}
	m.turn(r.At)
	if !m.settle(arrival{k, r.At}) && len(m.early) < maxKept {
		m.early = append(m.early, arrival{k, r.At})
	}
}

// settle enters the latency of an arrival whose message is known.
func (m *Meter) settle(a arrival) bool {
	due, known := m.due[a.message]
	if !known {
		due, known = m.older[a.message]
	}
	if known {
		if slot := a.at / int64(time.Second); slot >= 0 && slot > m.slot-window { // a clock that is off tells of times before the recording
			m.slots[slot%window].add(a.at - due)
		}
	}
	return known
}

// matchEarly looks again for the messages of arrivals that came too early.
func (m *Meter) matchEarly() {
	kept := m.early[:0]
	for _, a := range m.early {
		if !m.settle(a) && a.at > m.slot*int64(time.Second)-int64(patience) {
			kept = append(kept, a)
		}
	}
	m.early = kept
}

// turn goes on to the second of an instant and chooses how many messages are
// followed in it.
func (m *Meter) turn(at int64) {
	slot := at / int64(time.Second)
	if slot <= m.slot {
		return
	}
	for s := max(m.slot+1, slot-window+1); s <= slot; s++ {
		m.slots[s%window] = histogram{}
	}
	spent := uint64(slot - m.slot)
	m.mask = 0
	for m.inSlot.sent/spent > sendable*(m.mask+1) || m.inSlot.received/spent > takeable*(m.mask+1) {
		m.mask = m.mask<<1 | 1
	}
	m.inSlot.sent, m.inSlot.received, m.slot = 0, 0, slot
	if slot-m.rotated >= keepSlots {
		m.older, m.due, m.rotated = m.due, map[uint64]int64{}, slot
	}
}

// name keeps which names are those of viewers.
func (m *Meter) name(nodes []record.Node) {
	for ; m.named < len(nodes); m.named++ {
		if n := nodes[m.named]; n.Role == "viewer" {
			if m.roles == nil {
				m.roles, m.viewers = map[string]bool{}, map[string]bool{}
			}
			m.roles[n.Name] = true
		}
	}
}

func (m *Meter) event(e *record.Event) (Change, bool) {
	switch e.Kind {
	case record.FaultOnset, record.FaultEnd:
		return Change{At: e.At, Ended: e.Kind == record.FaultEnd, Fault: events.Fault{
			Name: events.Cut(e.Subject), Fired: fired(e.Fields["fired"]), Error: events.Cut(e.Fields["error"]),
		}}, true
	case record.Connected:
		if m.roles[e.Subject] {
			m.viewers[e.Subject] = true
		}
	case record.Disconnected:
		if m.roles[e.Subject] && e.Fields["reason"] == record.ReasonClosed {
			delete(m.viewers, e.Subject)
		} else if m.roles[e.Subject] {
			m.viewers[e.Subject] = false
		}
	}
	return Change{}, false
}

// Figures says how things stand at an instant of the recording's clock. Rates are
// those since the call before.
func (m *Meter) Figures(now int64) events.Figures {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	var all histogram
	for i := range m.slots {
		all.merge(&m.slots[i])
	}
	f := events.Figures{
		P50: all.quantile(0.5), P99: all.quantile(0.99), N: int64(all.n), Window: window,
		Sent: m.sent, Acked: m.acked, Received: m.received, Viewers: len(m.viewers), Devices: m.streams,
	}
	for _, connected := range m.viewers {
		if connected {
			f.Connected++
		}
	}
	if spent := time.Duration(now - m.told.at).Seconds(); spent > 0 {
		f.SentRate = round(float64(m.sent-m.told.sent) / spent)
		f.ReceivedRate = round(float64(m.received-m.told.received) / spent)
	}
	m.told.at, m.told.sent, m.told.received = now, m.sent, m.received
	return f
}

// round leaves one digit behind the point: more would be noise.
func round(v float64) float64 { return math.Round(v*10) / 10 }

// millis is a latency as reports carry it, to three digits.
func millis(ns float64) reports.Float {
	ms := ns / 1e6
	if ms <= 0 {
		return 0
	}
	digits := math.Pow(10, 2-math.Floor(math.Log10(ms)))
	return reports.Float(math.Round(ms*digits) / digits)
}
