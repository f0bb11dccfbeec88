package hub

import (
	"log/slog"
	"runtime"
	"time"

	"plumbline/bridge/journal"
)

// The defaults of [Options].
const (
	DefaultBatchBytes = 16 << 10
	DefaultBatchDelay = 5 * time.Millisecond
	DefaultRingBytes  = 1 << 20
	DefaultTotalBytes = 64 << 20
	DefaultProgress   = 10 * time.Second
	// DefaultFrameRate is for each processor: about an eighth of what one can write.
	// A higher one costs processor time for each delivery, a lower one latency (BenchmarkFanOut of bridge/yardstick).
	DefaultFrameRate = 15_000
)

// Options configures a hub. The zero value is useful; fields at or below zero
// take their default.
type Options struct {
	// BatchBytes is the size of readings beyond which a batch is closed. A single
	// larger reading is a batch of its own.
	BatchBytes int
	// BatchDelay is the longest time that a reading waits to share a frame, once
	// more frames are wanted than FrameRate gives.
	BatchDelay time.Duration
	// RingBytes bounds the encoded batches that a group keeps for its viewers, and
	// TotalBytes those of all groups, of which each gets an equal share. A group
	// keeps its newest batch in any case.
	RingBytes, TotalBytes int64
	// FrameRate is how many frames a second may go out before readings are joined;
	// default [DefaultFrameRate] for each processor.
	FrameRate int
	// Progress is how often a group that saw nothing is moved on by an empty batch. Its
	// subscriptions are told of that one after the other, until the next.
	Progress time.Duration
	// CatchUps is how many subscriptions may read the journal at the same time;
	// default half the processors, at least one. The others wait their turn, so
	// that a crowd that comes back does not starve live delivery.
	CatchUps int
	// Packer compresses bodies for viewers that want it; nil for none.
	Packer *Packer
	// Tell is given a function that calls Notify of all subscriptions that have something in a round, and calls it once: so it knows when
	// the last has been told. It is called by one goroutine at a time, that of Run or one that has appended, and must not wait for a
	// viewer. Default: call it.
	Tell func(all func())
	// Fanout is told how long each round took that gave new entries to the subscriptions; default nobody.
	Fanout func(time.Duration)
	// Await is called before a cursor of this epoch beyond the head is refused, for a journal that may be about to get there; it
	// returns in seconds. Default: nothing to wait for.
	Await func(offset uint64)
	// Log receives what an operator should know; default none.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.BatchBytes <= 0 {
		o.BatchBytes = DefaultBatchBytes
	}
	if o.BatchDelay <= 0 {
		o.BatchDelay = DefaultBatchDelay
	}
	if o.RingBytes <= 0 {
		o.RingBytes = DefaultRingBytes
	}
	if o.TotalBytes <= 0 {
		o.TotalBytes = DefaultTotalBytes
	}
	if o.FrameRate <= 0 {
		o.FrameRate = DefaultFrameRate * runtime.GOMAXPROCS(0)
	}
	if o.Progress <= 0 {
		o.Progress = DefaultProgress
	}
	if o.CatchUps <= 0 {
		o.CatchUps = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.Tell == nil {
		o.Tell = func(all func()) { all() }
	}
	if o.Fanout == nil {
		o.Fanout = func(time.Duration) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Access says what a subscriber may see at the moment of delivery.
type Access struct {
	// Key names the access list: subscriptions with equal keys and filters share
	// their batches, so equal keys must mean equal lists. Required with Allow.
	Key string
	// Allow is asked for every delivery, live, snapshot and backlog; nil allows
	// everything. It must be quick, safe for concurrent use and not call the hub.
	Allow func(topic string) bool
}

// SubscribeOptions describes a subscription.
type SubscribeOptions struct {
	Filter   string          // a valid topic filter
	Since    *journal.Cursor // where an earlier subscription ended; nil for none
	Snapshot bool            // give last values, unless Since is recovered
	// Every conflates: of each topic the newest value at most once in this time.
	// Zero gives every entry.
	Every  time.Duration
	Format Format // of the bodies
	Access Access
	// Notify is called when Pull may give something: once, and again only after a
	// Pull that returned more == false. It may fire without need and even before
	// Subscribe has returned. It must not block and must not call the hub.
	Notify func()
}

// Subscribed is the answer to Subscribe.
type Subscribed struct {
	Cursor    journal.Cursor  // delivery continues right after it
	Recovered bool            // Since was given and everything after it will come
	Reason    string          // why not recovered, one of the Reason constants; else ""
	Snapshot  []journal.Entry // last values exactly at Cursor, by ascending offset
}

// Why a subscription does not continue an earlier one, and why a gap is declared.
const (
	ReasonNoCursor = "no-cursor" // none was shown
	ReasonEpoch    = "epoch"     // the log was begun anew since
	ReasonAhead    = "ahead"     // the cursor is beyond the head
	ReasonEvicted  = "evicted"   // what follows the cursor is gone
)

// Batch is a part of a stream. It covers the journal interval (From, To]: all
// that the filter and the access list let through there is in it.
//
// Of a subscription that conflates, each entry let through is in exactly one of
// Count and Conflated. Where Open is set, Conflated is not known yet: it comes with
// the next batch that is not open, for all open ones before it; a gap, whose
// interval may be empty, says that it will not come.
type Batch struct {
	From, To  uint64
	Count     int     // readings in it; 0 when nothing was let through
	Conflated uint64  // entries left out for newer ones of their topics
	Open      bool    // Conflated comes later
	Members   int     // members in Body
	Names     []*Name // of topics that stand by number in Body; one may come more than once
	Packed    *Packed // Body compressed, on demand; nil when it is too small or nobody may want it
	Body      []byte  // `"epoch":"…","from":1,"to":9,"readings":[…]}`, or the members as CBOR; shared, must not be changed
}

// Gap declares that the journal interval (From, To] cannot be delivered.
type Gap struct {
	From, To uint64
	Count    uint64 // entries of the journal in it, whatever the filter
	Reason   string // ReasonEvicted
}
