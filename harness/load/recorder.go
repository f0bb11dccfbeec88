package load

import "plumbline/harness/record"

// Recorder takes what publishers did: a *record.Recorder, or what stands for one
// in a process that keeps no recording of its own. Add and Event must not wait
// for whoever reads them. All methods are safe for concurrent use, and mean what
// they mean there.
type Recorder interface {
	Clock() *record.Clock
	Stream(s record.Stream) uint32
	Node(n record.Node) uint16
	Add(r record.Record)
	Event(e record.Event)
	Digest(payload []byte) uint64
}

var _ Recorder = (*record.Recorder)(nil)
