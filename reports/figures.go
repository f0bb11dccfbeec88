package reports

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Float is a float64 whose JSON form keeps what JSON numbers cannot: NaN (not
// established) is null and infinities are the strings "+Inf" and "-Inf".
type Float float64

// MarshalJSON implements json.Marshaler.
func (f Float) MarshalJSON() ([]byte, error) {
	switch v := float64(f); {
	case math.IsNaN(v):
		return []byte("null"), nil
	case math.IsInf(v, 1):
		return []byte(`"+Inf"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Inf"`), nil
	default:
		return json.Marshal(v)
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Float) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "null":
		*f = Float(math.NaN())
		return nil
	case `"+Inf"`:
		*f = Float(math.Inf(1))
		return nil
	case `"-Inf"`:
		*f = Float(math.Inf(-1))
		return nil
	}
	var v float64
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("reports: number %q: %w", data, err)
	}
	*f = Float(v)
	return nil
}

// Distribution is a latency distribution ready to draw: a log-spaced histogram
// and the percentile curve. Lost messages count in N and in Lost, not in Buckets.
type Distribution struct {
	Name        string       `json:"name"` // for example "t0i→t4, steady"
	Scenario    string       `json:"scenario"`
	N           int64        `json:"n"`
	Lost        int64        `json:"lost"`
	Min         Float        `json:"min_ms"`
	Mean        Float        `json:"mean_ms"`
	Max         Float        `json:"max_ms"`
	Buckets     []Bucket     `json:"buckets"`
	Percentiles []Percentile `json:"percentiles"`
	Limits      []Limit      `json:"limits,omitempty"`
	HDR         string       `json:"hdr,omitempty"` // all N latencies in ns, in the encoding of package reports/hdr, lost ones at its highest value; "" when not kept
}

// Bucket counts samples in [Low, High).
type Bucket struct {
	Low   float64 `json:"low_ms"`
	High  float64 `json:"high_ms"`
	Count int64   `json:"count"`
}

// Percentile is one point of the percentile curve.
type Percentile struct {
	Q     float64 `json:"q"`
	Value Float   `json:"value_ms"`
}

// Limit is a line to draw into a distribution.
type Limit struct {
	Requirement string  `json:"requirement"`
	Q           float64 `json:"q"`
	Value       float64 `json:"value_ms"`
}

// Timeline is latency over the run, in equal slots, with fault windows.
type Timeline struct {
	Name     string        `json:"name"`
	Scenario string        `json:"scenario"`
	Slot     time.Duration `json:"slot_ns"`
	Points   []Point       `json:"points"`
	Faults   []FaultWindow `json:"faults"`
}

// Point summarises the messages intended in one slot.
type Point struct {
	At    time.Duration `json:"at_ns"` // start of the slot from the start of the timeline
	Count int64         `json:"count"`
	Lost  int64         `json:"lost"`
	P50   Float         `json:"p50_ms"`
	P99   Float         `json:"p99_ms"`
	Max   Float         `json:"max_ms"`
}

// FaultWindow is the time between the onset and the end of an injected fault.
type FaultWindow struct {
	Name  string        `json:"name"`
	Onset time.Duration `json:"onset_ns"`
	End   time.Duration `json:"end_ns"`
}

// Hop is one leg of the way of a message.
type Hop struct {
	Name     string `json:"name"` // for example "broker → viewer"
	From     string `json:"from"` // metrology point, for example "t1"
	To       string `json:"to"`
	Scenario string `json:"scenario"`
	N        int64  `json:"n"`
	P50      Float  `json:"p50_ms"`
	P99      Float  `json:"p99_ms"`
	Note     string `json:"note,omitempty"`
}

// Integrity is the account of one device: every message is in exactly one of
// delivered-to-all, lost or unconfirmed.
type Integrity struct {
	Device     string `json:"device"`
	Scenario   string `json:"scenario"`
	Mode       Mode   `json:"mode"`
	Sent       int64  `json:"sent"`
	Acked      int64  `json:"acked"`
	Blocked    int64  `json:"blocked"`
	Witnessed  int64  `json:"witnessed"`
	Expected   int64  `json:"expected"`  // deliveries owed: messages × viewers
	Delivered  int64  `json:"delivered"` // distinct deliveries seen
	Lost       int64  `json:"lost"`
	Duplicated int64  `json:"duplicated"`
	Reordered  int64  `json:"reordered"`
	Corrupted  int64  `json:"corrupted"`
	Phantom    int64  `json:"phantom"`
}

// RigHealth says how good the test equipment itself was during the run.
type RigHealth struct {
	SlipP50     Float  `json:"slip_p50_ms"` // actual − intended send
	SlipP99     Float  `json:"slip_p99_ms"`
	SlipMax     Float  `json:"slip_max_ms"`
	Offered     int64  `json:"offered"`       // messages the schedule asked for
	Achieved    int64  `json:"achieved"`      // messages written to the wire
	HiccupP99   Float  `json:"hiccup_p99_ms"` // lateness of a 1 ms wake-up thread
	HiccupMax   Float  `json:"hiccup_max_ms"`
	FloorP50    Float  `json:"floor_p50_ms"` // noise floor: null bridge of the same rig
	FloorP99    Float  `json:"floor_p99_ms"`
	FloorP999   Float  `json:"floor_p999_ms"`
	ClockRead   Float  `json:"clock_read_ns"`
	ClockSource string `json:"clock_source"`
	GCPauseMax  Float  `json:"gc_pause_max_ms"`
	Uncertainty Float  `json:"uncertainty_ms"` // U, k=2
}

// Grouped writes n with a narrow no-break space every three digits, as ISO 80000-1
// groups them: 342 000.
func Grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	var b strings.Builder
	for i, digit := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(digit)
	}
	return sign + b.String()
}
