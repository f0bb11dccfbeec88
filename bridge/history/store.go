package history

import (
	"context"
	"errors"
	"time"

	"plumbline/bridge/journal"
)

// ErrConflict is returned by [Store.Write] for a batch that does not begin at the store's cursor: it was stored before, or
// somebody else writes to the same store. Nothing was stored; ask for the cursor and go on from there.
var ErrConflict = errors.New("history: the batch does not begin at the store's cursor")

// Series names one sequence of numbers. Two units of one field are two series: their numbers must not be mixed.
type Series struct {
	Topic string // MQTT topic name
	Field string // which number of the payload, as the rule names it; "value" for a plain number
	Unit  string // as the rule or the payload says, "" when nobody did
}

// Point is one number of a series. Its key within the series is Time, Epoch and Offset.
type Point struct {
	Series
	Time   time.Time // microseconds, UTC: of the payload when a rule says so, else when the bridge took the message
	Epoch  string    // of the journal entry; in a [Batch] it is left empty, being that of Batch.To
	Offset uint64    // of the journal entry
	Value  float64   // never NaN or infinite
}

// Event is a payload, or one member of it, that is not a number.
type Event struct {
	Topic   string
	Field   string // "" for the whole payload
	Time    time.Time
	Epoch   string // as in [Point]
	Offset  uint64
	Payload []byte // any bytes; the beginning of it when Size is larger
	Size    int    // bytes of the whole
}

// Reasons of a [Gap].
const (
	GapEvicted = "evicted" // the journal's retention was faster than the store
	GapEpoch   = "epoch"   // the journal's continuity is not proven
)

// Gap says that journal entries may be missing in the store.
type Gap struct {
	Epoch    string // in which Offset counts
	From, To uint64 // entries (From, To] were not read; equal when it is not known which
	Count    uint64 // how many, 0 when not known
	Reason   string
	Begin    time.Time // time of the last message stored before, zero when there was none
	End      time.Time // time of the first message stored after, or of the discovery
}

// Batch is what one interval of the journal gave. It may hold nothing but the new cursor.
type Batch struct {
	From, To journal.Cursor // (From, To]; From is the store's cursor, whatever its epoch
	Points   []Point        // in journal order; one series has at most one point of an offset
	Events   []Event        // in journal order; one topic and field has at most one of an offset
	Gaps     []Gap
}

// Written says what became of a batch that was stored.
type Written struct {
	Points, Events int
	Refused        int // points and events of new series beyond the store's limit of series
}

// Store keeps points, events and gaps. All methods may be called concurrently, save Write and Expire, which one goroutine
// calls. They block for I/O, heed their context, and return what was committed before they began at the least. Times are
// microseconds; what is finer is cut. Every text that a valid topic, field or unit can be, and any payload, is kept and given
// back as it was. An error that does not wrap [ErrConflict] may pass: nothing was stored as far as the store knows, and the
// caller asks for the cursor before it writes again.
type Store interface {
	// Name is the kind of store, for logs and the label of metrics: "sqlite".
	Name() string
	// Cursor returns up to where the journal is stored; the zero value when nothing ever was.
	Cursor(ctx context.Context) (journal.Cursor, error)
	// Write stores the batch and its cursor, both or neither (a store without transactions: the cursor last, and points that
	// come again replace themselves). A From that is not the store's cursor is ErrConflict.
	Write(ctx context.Context, b *Batch) (Written, error)
	// Expire removes some of what retention no longer covers at now, and reports whether more is left.
	Expire(ctx context.Context, now time.Time) (more bool, err error)

	// List returns the series that were ever stored and have not expired, by topic, field, unit and kind in byte order.
	List(ctx context.Context, q ListQuery) (ListPage, error)
	// Latest returns, for each series of numbers of the query, the point with the greatest time (then epoch, then offset).
	Latest(ctx context.Context, q ListQuery) (PointPage, error)
	// Range returns the points of one series by time, epoch, offset.
	Range(ctx context.Context, q RangeQuery) (PointPage, error)
	// Aggregate returns statistics of one series per step. Buckets without points are left out.
	Aggregate(ctx context.Context, q AggregateQuery) (Aggregates, error)
	// Events returns events by time, epoch, offset, field.
	Events(ctx context.Context, q EventQuery) (EventPage, error)
	// Gaps returns the gaps that touch [from, to), oldest first, at most limit of the youngest.
	Gaps(ctx context.Context, from, to time.Time, limit int) ([]Gap, error)

	// Close ends the use of the store. It is idempotent and waits for calls under way.
	Close() error
}
