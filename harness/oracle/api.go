package oracle

import (
	"time"

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
	Evidence     string   // file named by findings, "" means the records file
}

// Latencies are intended-to-arrival times in milliseconds of all deliveries
// that were due.
type Latencies struct {
	Series   stats.Series // by intended time; +Inf for what never came
	Stream   []uint32     // parallel to Series
	Viewer   []uint16     // parallel to Series: node
	Seq      []uint64     // parallel to Series
	Lost     int64        // how many are +Inf because they never came
	Blocked  int64        // how many are +Inf because they could not be sent in time
	Negative int64        // arrived before they were intended or written: the clock cannot be trusted
	Clocks   ClockUse     // of viewers on other hosts

	history *History // to name messages in findings
	options Options
	also    []Options // of the selections that And has put to it
}

// Delivery is the account of owed deliveries, as Jepsen's total-queue keeps it.
// Every pair of a message and a viewer that is to get it is in exactly one of
// Delivered, Lost and Unconfirmed.
type Delivery struct {
	Messages    int64 // written in the window
	Blocked     int64 // due in the window, never written
	Owed        int64 // messages × viewers whose filters take them
	Delivered   int64 // distinct deliveries before the end of the drain
	Lost        int64 // not delivered, though the broker had it: the system's loss
	Unconfirmed int64 // not delivered, perhaps not the system's loss
	Duplicated  int64 // deliveries beyond the first of the same message
	Repeated    int64 // the same, but perhaps the broker had it twice, or sent again over a new connection as QoS 1 has it: not in Duplicated
	Corrupted   int64
	Phantom     int64 // of another run, of nobody, or never sent
	Misrouted   int64 // under the topic of another device
}

// Order is the account of the order of deliveries.
type Order struct {
	Deliveries int64 // first deliveries that were compared with their predecessor
	Reordered  int64 // deliveries after a later message of the same stream
	Excused    int64 // the same, but the witness saw that order too: not the bridge's, not in Reordered
	Stale      int64 // snapshots older than what the viewer already had, or live older than its snapshot
	Backwards  int64 // journal offsets that went back within one epoch
}

// Chain is the account of what the system declared about itself.
type Chain struct {
	Broken       int64 // batches that did not begin where the last one ended
	Gaps         int64 // declared gaps
	Admitted     int64 // messages those gaps admit to have left out
	DeclaredLost int64 // confirmed losses inside a declared gap
	SilentLost   int64 // confirmed losses outside every declared gap
}

// Resumption is one way back of one viewer: from the loss of its connection
// (or from the fault that made it) to fresh data. Instants are ns on the run
// clock, 0 when there was none.
type Resumption struct {
	Viewer     string
	Onset      int64  // onset of the fault before Lost
	FaultEnd   int64  // end of that fault
	LastBefore int64  // last arrival before Lost
	Lost       int64  // the viewer noticed: Disconnected
	Back       int64  // Connected again
	Subscribed int64  // live again from here
	Fresh      int64  // arrival of the first message intended after Subscribed
	Recovered  bool   // the system said that nothing was lost
	Reason     string // why not
}

// ToFresh returns the time from the end of the fault (or from Lost when the
// fault ended before it) to fresh data, 0 when fresh data came while the fault
// still was on; false when there never was any.
func (r Resumption) ToFresh() (time.Duration, bool) {
	if r.Fresh == 0 {
		return 0, false
	}
	return time.Duration(max(r.Fresh-max(r.Lost, r.FaultEnd), 0)), true
}

// Detection returns the time from the onset of the fault to Lost; false when
// no fault was injected. For a half-open connection it is the time the viewer
// needed to notice.
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

// FirstMessage is the latency of the first message intended after a viewer had
// subscribed.
type FirstMessage struct {
	Viewer  string
	Device  string
	At      int64   // when it subscribed
	Latency float64 // ms, +Inf when it never came
	Watched int64   // ns from the instant it was intended for until the viewer left by itself or the recording ended
}

// Gap is a time in which the rig itself did not run, from its hiccup thread.
type Gap struct {
	At     int64         `json:"at_ns"` // start, on the run clock
	Length time.Duration `json:"length_ns"`
}

// LatencyInput is what JudgeLatency needs besides the requirement.
type LatencyInput struct {
	Scenario string
	Profile  string // for example "ci 1.0"
	Section  string // of the report that states item and conditions; "" means "5"
	Latency  Latencies
	Limit    time.Duration
	Guard    time.Duration // U, k=2; the rig's own uncertainty when that is larger; that of Latency.Clocks is added
	Bias     time.Duration // at the quantile; the rig's noise floor when that is larger
	Rule     stats.Rule    // zero: DR-2 at 95 % and 99 %, blocks of 1 s
	Rig      reports.RigHealth
	Stood    Standstills  // of the hiccup thread
	Gates    []stats.Gate // beyond those that JudgeLatency finds from Rig itself
	Steady   bool         // test for stationarity
	RunFails bool         // a single run of the campaign is FAIL
	Runs     []float64    // ms, the estimate of each independent run
	Started  time.Time
	Duration time.Duration
}

// ZeroInput is what JudgeZero needs besides the requirement.
type ZeroInput struct {
	Scenario   string
	Profile    string
	Noun       string // what must not happen, singular and plural: "loss/losses"
	Unit       string // what was counted, plural: "QoS 1 messages"
	N          int64
	Findings   []reports.Finding // confirmed ones decide; unconfirmed ones make it ENV
	Events     int64             // confirmed violations; raised to the confirmed findings
	Suspicions int64             // unconfirmed ones; raised to the unconfirmed findings
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
	Checks   int64 // how often the guarantee was exercised; 0 is INCONCLUSIVE(N)
	MinN     int64 // fewer: INCONCLUSIVE(N); 0 means Requirement.MinSamples
	Findings []reports.Finding
	Gates    []stats.Gate
	Seed     uint64
	// Figure is an optional figure with a limit, for example a time to fresh
	// data. An estimate above the limit is a violation by itself; an estimate or
	// a limit that is NaN is INCONCLUSIVE(N). Its Guard is what clocks on other hosts
	// leave open: an estimate that is nearer to the limit is INCONCLUSIVE(CLK).
	Figure   *reports.Measurement
	Started  time.Time
	Duration time.Duration
}
