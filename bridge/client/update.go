package client

import "time"

// Kind says what an Update is.
type Kind string

// The kinds of Update.
const (
	KindStart    Kind = "start"    // the subscription stands, at first and again after each reconnect
	KindSnapshot Kind = "snapshot" // last values of topics: state, not news
	KindData     Kind = "data"     // new readings in journal order, or none: then only the cursor moved
	KindGap      Kind = "gap"      // messages that cannot be delivered
)

// Update is one step of a Subscription.
type Update struct {
	Kind Kind
	// Cursor is what the consumer has once it has taken this update. Stored in the same step as the update's effects it makes
	// each reading take effect once, also across restarts. It is zero while a snapshot is incomplete: who stops then starts over.
	Cursor    Cursor
	Readings  []Reading // of KindSnapshot and KindData
	Gap       Gap       // of KindGap
	Conflated uint64    // of KindData with ModeLatest or ModeSample: messages that newer ones of their topics replaced
	Open      bool      // of KindData: how many were replaced comes with the next one that is not open, if no gap comes first
	Recovered bool      // of KindStart: everything after the earlier cursor will come
	Last      bool      // of KindSnapshot: it is complete now
}

// Reading is one message.
type Reading struct {
	Offset  uint64    // in the journal. In KindData, with the update's epoch, a cursor right behind this reading
	Time    time.Time // when the bridge took it, to the microsecond
	Topic   string
	QoS     int // as published
	Retain  bool
	Payload []byte
}

// Gap declares that the journal from From to To, To included, cannot be delivered to the subscription.
type Gap struct {
	From, To Cursor
	Count    uint64 // entries of the journal in it, matching or not; 0 = not known, since From is of another journal
	Reason   string // the bridge's (PROTOCOL.md sections 2.2 and 2.4), or ReasonSnapshot
}

// ReasonSnapshot is the reason of a Gap that this package declares: the connection broke within a snapshot, and a newer snapshot
// stands for what came between.
const ReasonSnapshot = "snapshot"

// Stats are the counters of one Subscription.
type Stats struct {
	Delivered uint64 // readings in KindData updates
	Conflated uint64 // messages that a newer one of the same topic replaced, as declared
	Gaps      uint64 // entries of the journal declared missing; those of gaps of unknown size are not in it
	Resumes   uint64 // times that the bridge proved to go on where it had ended
	Broken    uint64 // times that something undeclared was missing or did not add up, and was asked for again
}

// EventKind says what happened to the connection.
type EventKind string

// The kinds of Event.
const (
	EventConnected     EventKind = "connected"      // welcome: Node and Session are set
	EventDisconnected  EventKind = "disconnected"   // Err says why; the next attempt comes after Wait
	EventEnded         EventKind = "ended"          // Err says why no further attempt will come
	EventDraining      EventKind = "draining"       // the bridge is about to restart; it wants us back after Wait
	EventRefreshed     EventKind = "refreshed"      // the bridge took a new token
	EventRefreshFailed EventKind = "refresh-failed" // Err says why there is no new token; asked again after Wait
	EventBroken        EventKind = "broken"         // Err says what of Filter was missing or did not add up; EventDisconnected follows
	EventRefused       EventKind = "refused"        // Err says why the subscription of Filter has ended
)

// Event is something that happened to the connection. It holds no token.
type Event struct {
	Kind          EventKind
	Node, Session string
	Filter        string
	Err           error
	Wait          time.Duration
}
