package oracle

import (
	"time"

	"plumbline/harness/record"
	"plumbline/harness/stats"
	"plumbline/reports"
)

// Options narrow what an oracle looks at. The zero value is: every viewer,
// every stream, messages intended inside any judged window, the broker outside
// the system under test.
type Options struct {
	Viewers      []string // names of nodes; empty means all with role viewer
	Devices      []string // device ids; empty means all
	Window       string   // Subject of the WindowOpen event; "" means all windows
	From, To     int64    // when To > 0: replaces the windows, ns on the run clock
	BrokerInside bool     // the broker belongs to the system: the witness is no excuse
	Requirement  string   // id put into findings
}

// History is an indexed recording. It is read-only and safe for concurrent use.
type History struct{ log *record.Log }

// Index prepares log for the oracles. It takes memory of about 40 bytes per
// message and 8 bytes per message and viewer.
func Index(log *record.Log) (*History, error) { return &History{log: log}, nil }

// Log returns the recording behind h.
func (h *History) Log() *record.Log { return h.log }

// Latencies are intended-to-arrival times of all owed deliveries.
type Latencies struct {
	Series  stats.Series // by intended time; +Inf for what never came
	Stream  []uint32     // parallel to Series
	Viewer  []uint16     // parallel to Series: node
	Lost    int64        // how many are +Inf because they never came
	Blocked int64        // how many are +Inf because they could not be sent
	Clock   int64        // latencies below zero: the clock cannot be trusted
}

// Delivery is the account of owed deliveries, as Jepsen's total-queue keeps it.
type Delivery struct {
	Messages    int64 // sent in the window
	Owed        int64 // confirmed messages × viewers whose filters take them
	Delivered   int64 // distinct deliveries
	Lost        int64 // confirmed and not delivered
	Unconfirmed int64 // not delivered, and neither acknowledged nor witnessed
	Declared    int64 // of Lost: inside a gap that was declared to the viewer
	Duplicated  int64
	Corrupted   int64
	Phantom     int64
	Misrouted   int64
}

// Resumption is one way back of one viewer: from the loss of its connection
// (or from the fault that made it) to fresh data.
type Resumption struct {
	Viewer     string
	Onset      int64  // onset of the fault before Lost, 0 when none was injected
	FaultEnd   int64  // end of that fault, 0 when none
	LastBefore int64  // last arrival before Lost, 0 when none
	Lost       int64  // the viewer noticed: Disconnected
	Back       int64  // Connected again, 0 when never
	Subscribed int64  // live again from here, 0 when never
	Fresh      int64  // arrival of the first message intended after Subscribed, 0 when never
	Recovered  bool   // the system said that nothing was lost
	Reason     string // why not
}

// ToFresh returns the time from the end of the fault (or from Lost when the
// fault ended before it) to fresh data; false when there never was any.
func (r Resumption) ToFresh() (time.Duration, bool) {
	if r.Fresh == 0 {
		return 0, false
	}
	return time.Duration(r.Fresh - max(r.Lost, r.FaultEnd)), true
}

// Detection returns the time from the onset of the fault to Lost; false when
// no fault was injected.
func (r Resumption) Detection() (time.Duration, bool) {
	if r.Onset == 0 {
		return 0, false
	}
	return time.Duration(r.Lost - r.Onset), true
}

// Silence returns the time without any data that a person at the viewer saw;
// false when data never came back or never had come.
func (r Resumption) Silence() (time.Duration, bool) {
	if r.Fresh == 0 || r.LastBefore == 0 {
		return 0, false
	}
	return time.Duration(r.Fresh - r.LastBefore), true
}

// LatencyInput is what JudgeLatency needs besides the requirement.
type LatencyInput struct {
	Scenario string
	Profile  string // "ci 1.0"
	Section  string // of the report that states item and conditions, for example "5"
	Latency  Latencies
	Limit    time.Duration
	Guard    time.Duration // U, k=2; zero is replaced by the rig's own, never by nothing
	Bias     time.Duration
	Rule     stats.Rule // zero: DR-2 at 95 % and 99 %, blocks of 1 s
	Rig      reports.RigHealth
	Gates    []stats.Gate // more gates, for example from Gates
	Steady   bool         // test for stationarity
	Started  time.Time
	Duration time.Duration
}

// ZeroInput is what JudgeZero needs besides the requirement.
type ZeroInput struct {
	Scenario   string
	Profile    string
	Noun       string // what must not happen, plural: "losses"
	Unit       string // what was counted, plural: "QoS 1 messages"
	N          int64
	Findings   []reports.Finding // confirmed ones decide; unconfirmed ones make it ENV
	Events     int64             // confirmed violations; at least the confirmed findings
	Suspicions int64             // unconfirmed ones; at least the unconfirmed findings
	Confidence float64           // 0 means 0.99
	MinN       int64             // fewer: INCONCLUSIVE(N); 0 means Requirement.MinSamples
	Gates      []stats.Gate
	Seed       uint64
	Started    time.Time
	Duration   time.Duration
}

// DeterministicInput is what JudgeDeterministic needs besides the requirement.
type DeterministicInput struct {
	Scenario string
	Profile  string
	Checks   int64 // how often the guarantee was exercised
	Findings []reports.Finding
	Gates    []stats.Gate
	Seed     uint64
	Started  time.Time
	Duration time.Duration
	// Figure is an optional figure with a limit, for example a time to fresh
	// data. Estimate above Limit is a violation by itself.
	Figure *reports.Measurement
}
