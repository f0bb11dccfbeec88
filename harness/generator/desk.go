package generator

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"plumbline/harness/record"
	"plumbline/harness/remote"
)

// maxNodes is how many nodes a recording can number.
const maxNodes = 1 << 16

// desk takes what a generator casts and enters it into the recording, under the
// numbers that nodes and streams have there.
type desk struct {
	recorder *record.Recorder
	resolver *record.Resolver

	sent, acked atomic.Int64

	mu        sync.Mutex
	nodes     []uint16 // by the generator's number
	streams   []uint32
	metronome []uint32                // of the recording: what the metronome drives
	ports     map[string]record.Event // by device: what its driver said last of its port
}

func newDesk(recorder *record.Recorder, resolver *record.Resolver) *desk {
	return &desk{recorder: recorder, resolver: resolver, ports: map[string]record.Event{}}
}

// take is the handler of casts. An error ends the link: what a generator says
// that contradicts itself is worth nothing.
func (d *desk) take(name string, body []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch name {
	case castNode:
		var n record.Node
		if len(d.nodes) == maxNodes {
			return fmt.Errorf("%w: a node more than the %d that there are numbers for", remote.ErrProtocol, maxNodes)
		}
		if err := json.Unmarshal(body, &n); err != nil {
			return fmt.Errorf("%w: node %d cannot be registered: %w", remote.ErrProtocol, len(d.nodes), err)
		}
		d.nodes = append(d.nodes, d.recorder.Node(n))
	case castStream:
		var s record.Stream
		if err := json.Unmarshal(body, &s); err != nil {
			return fmt.Errorf("%w: a stream: %w", remote.ErrProtocol, err)
		}
		id := d.recorder.Stream(s)
		d.resolver.Add(id, s)
		d.streams = append(d.streams, id)
	case castRecords:
		return d.records(body)
	case castEvents:
		var events []record.Event
		if err := json.Unmarshal(body, &events); err != nil {
			return fmt.Errorf("%w: events: %w", remote.ErrProtocol, err)
		}
		for _, e := range events {
			if _, known := d.ports[e.Subject]; e.Kind == record.PortChanged && (known || len(d.ports) < maxNodes) {
				d.ports[e.Subject] = e
			}
			d.recorder.Event(e)
		}
	default:
		return fmt.Errorf("%w: a cast named %q", remote.ErrProtocol, name)
	}
	return nil
}

// records enters records; the caller holds mu.
func (d *desk) records(body []byte) error {
	for ; len(body) > 0; body = body[record.Size:] {
		r, err := record.Decode(body)
		if err != nil {
			return fmt.Errorf("%w: %w", remote.ErrProtocol, err)
		}
		if int(r.Node) >= len(d.nodes) {
			return fmt.Errorf("%w: a record of node %d of %d", remote.ErrProtocol, r.Node, len(d.nodes))
		}
		r.Node = d.nodes[r.Node]
		if r.Stream != record.NoStream {
			if uint64(r.Stream) >= uint64(len(d.streams)) {
				return fmt.Errorf("%w: a record of stream %d of %d", remote.ErrProtocol, r.Stream, len(d.streams))
			}
			r.Stream = d.streams[r.Stream]
		}
		switch r.Kind {
		case record.Sent:
			d.sent.Add(1)
		case record.Acked:
			d.acked.Add(1)
		case record.Blocked:
		default:
			return fmt.Errorf("%w: a record of kind %d, which no publisher makes", remote.ErrProtocol, r.Kind)
		}
		d.recorder.Add(r)
	}
	return nil
}

// port returns what the driver of a device said last of its port.
func (d *desk) port(device string) record.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ports[device]
}

// driven keeps which streams the metronome drives.
func (d *desk) driven(streams []uint32) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range streams {
		if uint64(s) >= uint64(len(d.streams)) {
			return fmt.Errorf("generator: %w: it drives stream %d of %d", remote.ErrProtocol, s, len(d.streams))
		}
		d.metronome = append(d.metronome, d.streams[s])
	}
	return nil
}

// stream returns the number in the recording of a stream of the generator.
func (d *desk) stream(own uint32) (uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if uint64(own) >= uint64(len(d.streams)) {
		return 0, fmt.Errorf("generator: %w: stream %d of %d", remote.ErrProtocol, own, len(d.streams))
	}
	return d.streams[own], nil
}
