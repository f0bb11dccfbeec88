package hub

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"plumbline/bridge/journal"
)

// Options configures a hub. The zero value is useful.
type Options struct {
	BatchBytes int           // soft size of a batch body, default 16 KiB
	BatchDelay time.Duration // longest wait to join readings when busy, default 5 ms
	RingBytes  int64         // encoded batches kept per group, default 1 MiB
	TotalBytes int64         // encoded batches kept over all groups, default 64 MiB
	FrameRate  int           // frames a second that go out at once; beyond, readings are joined
	Progress   time.Duration // a quiet group is moved on by an empty batch this often, default 10 s
	Log        *slog.Logger  // default discards
}

// Access says what a subscriber may see at the moment of delivery.
type Access struct {
	Key   string                  // equal keys mean equal access lists; "" with a nil Allow
	Allow func(topic string) bool // nil allows everything; called per delivery, must be safe for concurrent use
}

// SubscribeOptions describes a subscription.
type SubscribeOptions struct {
	Filter   string          // a valid topic filter
	Since    *journal.Cursor // where an earlier subscription ended; nil starts now
	Snapshot bool            // deliver last values, unless Since was recovered
	Access   Access
	Notify   func() // called when Pull may have something; must not block. Not called again until Pull returned more == false
}

// Subscribed is the answer to Subscribe.
type Subscribed struct {
	Cursor    journal.Cursor // delivery continues right after it
	Recovered bool           // everything after Since will come
	Reason    string         // why not: "no-cursor", "epoch", "ahead", "evicted"; "" when recovered
	Snapshot  []journal.Entry
}

// Batch is a part of the stream that covers the journal interval (From, To].
type Batch struct {
	From, To uint64
	Count    int    // readings in it; 0 when the filter left nothing
	Body     []byte // `"epoch":"…","from":1,"to":9,"readings":[…]}`; shared, must not be changed
}

// Gap declares the journal interval (From, To] that cannot be delivered.
type Gap struct {
	From, To uint64
	Count    uint64 // entries of the journal in the interval, whatever the filter
	Reason   string // "evicted"
}

// ErrClosed: the hub has ended.
var ErrClosed = errors.New("hub: closed")

// Hub is the fan-out of one journal.
type Hub struct{}

// Subscription is one viewer's place in one filter's stream.
type Subscription struct{}

// Stats are counters and sizes for metrics.
type Stats struct {
	Groups, Subscriptions int
	RingBytes             int64
	Position              uint64 // offset up to which the journal was fanned out
	Rounds                uint64
	Batches               uint64
	Readings              uint64
	Notified              uint64
	CatchUps              uint64
	Gaps                  uint64
	Denied                uint64
}

// New makes a hub that starts at the journal's head.
func New(j *journal.Journal, opts Options) *Hub { return &Hub{} }

// Run fans out until ctx ends.
func (h *Hub) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Subscribe adds a subscription.
func (h *Hub) Subscribe(o SubscribeOptions) (*Subscription, Subscribed, error) {
	return nil, Subscribed{}, ErrClosed
}

// Stats returns the present counters.
func (h *Hub) Stats() Stats { return Stats{} }

// Pull takes what is ready, at least one batch and otherwise up to maxBytes. A
// gap comes alone and precedes what follows. It never waits; more says that
// another Pull would give something, and when it is false Notify fires later.
func (s *Subscription) Pull(maxBytes int) (batches []Batch, gap *Gap, more bool) {
	return nil, nil, false
}

// PullInto is Pull that appends to dst.
func (s *Subscription) PullInto(dst []Batch, maxBytes int) (batches []Batch, gap *Gap, more bool) {
	return dst, nil, false
}

// Cursor returns the offset up to which everything was pulled.
func (s *Subscription) Cursor() uint64 { return 0 }

// Lag returns how many entries the cursor is behind the journal's head.
func (s *Subscription) Lag() uint64 { return 0 }

// Close ends the subscription. Notify may fire once more while it runs.
func (s *Subscription) Close() {}

// AppendReading appends the JSON object of one entry to dst, as in a batch and a snapshot.
func AppendReading(dst []byte, e journal.Entry) []byte { return dst }
