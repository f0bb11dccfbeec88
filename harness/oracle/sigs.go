package oracle

import (
	"time"

	"plumbline/harness/stats"
	"plumbline/reports"
)

// Order is the account of the order of deliveries.
type Order struct {
	Pairs     int64 // neighbouring deliveries of one stream at one viewer that were compared
	Reordered int64 // deliveries after a later message of the same stream
	Excused   int64 // of those: the witness saw that order too
	Stale     int64 // snapshots older than what the viewer already had
	Backwards int64 // journal offsets that went back within one epoch
}

// Chain is the account of what the system declared about itself.
type Chain struct {
	Broken       int64 // batches that did not begin where the last one ended
	Gaps         int64 // declared gaps
	DeclaredLost int64 // messages those gaps admit
	SilentLost   int64 // confirmed losses outside every declared gap
}

// FirstMessage is the latency of the first message intended after one viewer
// had subscribed.
type FirstMessage struct {
	Viewer  string
	At      int64   // when it subscribed
	Latency float64 // ms, +Inf when it never came
}

func (h *History) Latencies(o Options) Latencies                       { return Latencies{} }
func (h *History) Delivery(o Options) (Delivery, []reports.Finding)    { return Delivery{}, nil }
func (h *History) Order(o Options) (Order, []reports.Finding)          { return Order{}, nil }
func (h *History) Chain(o Options) (Chain, []reports.Finding)          { return Chain{}, nil }
func (h *History) Resumptions(o Options) []Resumption                  { return nil }
func (h *History) Seam(o Options) (Delivery, Order, []reports.Finding) { return Delivery{}, Order{}, nil }
func (h *History) FirstMessages(o Options) []FirstMessage              { return nil }

// Leaks: what viewers received although allowed says no.
func (h *History) Leaks(o Options, allowed func(viewer, topic string) bool) []reports.Finding {
	return nil
}

// Distribution draws latencies; Timeline, Hops, Integrity and Rig likewise.
func Distribution(name, scenario string, l Latencies, limits []reports.Limit) reports.Distribution {
	return reports.Distribution{}
}
func (h *History) Timeline(name, scenario string, slot time.Duration, o Options) reports.Timeline {
	return reports.Timeline{}
}
func (h *History) Hops(scenario string, o Options) []reports.Hop            { return nil }
func (h *History) Integrity(scenario string, o Options) []reports.Integrity { return nil }

// RigHealth computes slip, offered and achieved from the records; the caller
// fills in what only the live rig knows (hiccups, floor, clock, GC).
func (h *History) RigHealth(o Options) reports.RigHealth { return reports.RigHealth{} }

// Gates returns the validity gates of metrology that do not hold for a limit.
func Gates(rig reports.RigHealth, limit time.Duration, q float64) []stats.Gate { return nil }

func JudgeLatency(req reports.Requirement, in LatencyInput) reports.Result { return reports.Result{} }
func JudgeZero(req reports.Requirement, in ZeroInput) reports.Result       { return reports.Result{} }
func JudgeDeterministic(req reports.Requirement, in DeterministicInput) reports.Result {
	return reports.Result{}
}
