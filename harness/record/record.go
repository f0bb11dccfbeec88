// Package record is the append-only evidence of a run: fixed-size records and
// events on one monotonic clock, written first and judged later.
//
// Nothing here decides anything. Oracles read what this package wrote, from
// memory or from a run directory, and see nothing else.
package record

import "time"

// Kind says what a Record witnesses.
type Kind uint8

// The kinds of records.
const (
	_         Kind = iota
	Sent           // the generator wrote a PUBLISH: Due planned, At before write, End after write
	Acked          // PUBACK arrived at the generator: At
	Blocked        // not written: the in-flight window was full or the link down at Due
	Witnessed      // the witness at the broker received it: At
	Received       // a viewer received it live: At, Offset
	Restored       // a viewer received it as part of a snapshot: At, Offset
)

// Flags of a Record.
const (
	FlagRetained  uint8 = 1 << iota // MQTT retain flag seen
	FlagDup                         // MQTT DUP: a retransmission
	FlagForeign                     // payload is not ours: followed by topic and digest
	FlagCorrupt                     // our payload failed its own check on arrival
	FlagCatchUp                     // delivered while the viewer was behind (resume or catch-up)
	FlagMisrouted                   // our payload under the topic of another device
)

// Size is the size of an encoded Record in bytes.
const Size = 64

// Record is one observation of one message. Times are nanoseconds since the
// run epoch on one monotonic clock.
type Record struct {
	Kind   Kind
	Flags  uint8
	Node   uint16 // which viewer, witness or publisher; index into Index.Nodes
	Stream uint32 // which device; index into Index.Streams. NoStream when unknown
	Seq    uint64 // position in the stream from 1; 0 when unknown
	Due    int64  // intended time of the message (Sent, Blocked), else 0
	At     int64  // when it happened
	End    int64  // when the write returned (Sent), else 0
	Digest uint64 // of the payload, see Recorder.Digest
	Offset uint64 // journal offset told by the system under test, 0 when none
	Bytes  uint32 // payload size
	Aux    uint32 // Sent: attempt from 1. Received: index of the epoch in Index.Epochs
}

// NoStream marks a record whose device could not be told from topic and payload.
const NoStream = ^uint32(0)

// Latency returns the time from the intended instant due to the observation.
func (r Record) Latency(due int64) time.Duration { return time.Duration(r.At - due) }

// Stream describes one source of messages.
type Stream struct {
	Device  string        `json:"device"`
	Topic   string        `json:"topic"`
	Mode    string        `json:"mode"` // sim, replay, real
	QoS     uint8         `json:"qos"`
	Foreign bool          `json:"foreign,omitempty"` // publishes by itself
	Period  time.Duration `json:"period_ns,omitempty"`
}

// Node describes one observer or publisher.
type Node struct {
	Name    string   `json:"name"`              // "viewer-03", "witness", "publisher-017"
	Role    string   `json:"role"`              // viewer, witness, publisher
	Filters []string `json:"filters,omitempty"` // what a viewer subscribed to

	// Of a node that was recorded by another clock, see Merge: whose, and how far
	// any of its instants may be off. Neither is part of a recording.
	Clock       string        `json:"-"`
	Uncertainty time.Duration `json:"-"`
}

// Event is anything that is not a message: faults, connections, gaps, closes.
type Event struct {
	At      int64             `json:"at_ns"`
	Kind    EventKind         `json:"kind"`
	Subject string            `json:"subject"` // node, device or fault
	Detail  string            `json:"detail,omitempty"`
	Fields  map[string]string `json:"fields,omitempty"`
}

// EventKind names an event; the words are part of the published format.
type EventKind string

// The kinds of events.
const (
	FaultOnset   EventKind = "fault-onset"
	FaultEnd     EventKind = "fault-end"    // fields: error, fired
	FaultAction  EventKind = "fault-action" // fields: link, way, n
	WindowOpen   EventKind = "window-open"  // start of the judged window
	WindowClose  EventKind = "window-close" // end of the judged window
	DrainEnd     EventKind = "drain-end"    // nothing later counts as delivered
	Connected    EventKind = "connected"
	Disconnected EventKind = "disconnected" // fields: code, reason, error
	Subscribed   EventKind = "subscribed"   // fields: epoch, offset, recovered, reason
	GapDeclared  EventKind = "gap"          // fields: from, to, count, reason
	ChainBroken  EventKind = "chain-broken" // a batch's from did not equal the last to
	Refused      EventKind = "refused"      // fields: status, code; of a message: code or tries, topic, seq
	PortChanged  EventKind = "port"         // a driver lost its port, has it back, or says why it has not; fields: plugged
	Note         EventKind = "note"
)

// ReasonClosed is the reason of a Disconnected event of a viewer that was closed
// on the harness's side, for good.
const ReasonClosed = "closed by the viewer"

// Index names what the numbers in records mean.
type Index struct {
	Streams []Stream `json:"streams"`
	Nodes   []Node   `json:"nodes"`
	Epochs  []string `json:"epochs"` // journal epochs in order of appearance
}

// Log is a whole recording in memory. Oracles treat it as read-only.
type Log struct {
	Index   Index
	Records []Record // ascending by file, not necessarily by At across nodes
	Events  []Event
	Partial bool // the recorder was not closed cleanly; what is here is whole records
}
