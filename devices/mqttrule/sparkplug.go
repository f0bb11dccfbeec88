package mqttrule

import (
	"fmt"
	"maps"
	"math"
	"strings"

	"plumbline/devices"
	"plumbline/devices/codec"
)

// SparkplugB is Eclipse Sparkplug B (specification 3.0.0): births name the
// metrics of an edge node and its devices and give them aliases, later messages
// use these, a sequence number over all messages of the node tells lost ones, and
// the node's death comes as its last will.
//
// A message is not a reading as long as no birth has said what it means: it is
// Unchecked, and the node should be asked for a rebirth. A message out of
// sequence is a reading that says how many are missing before it. Null metrics
// are left out, and so are data sets, templates and bytes.
type SparkplugB struct {
	nodes map[string]*edgeNode // by group and node
	known int                  // entries of all nodes; see edgeNode.size
}

// Bounds of what is remembered: births come from outside.
const (
	maxNodes   = 10_000
	maxMetrics = 10_000  // in one birth
	maxKnown   = 100_000 // metrics, aliases and devices of all nodes together
	maxTopic   = 512     // bytes
)

// edgeNode is what a node has said of itself.
type edgeNode struct {
	born    bool
	birth   uint64 // bdSeq of the birth
	hasBD   bool
	seq     uint64              // of the last message
	metrics map[uint64]metric   // by alias
	named   map[string]metric   // by device and name
	devices map[string]struct{} // those that are there
}

// metric is what a birth declares.
type metric struct {
	device, name string
	datatype     uint32
}

// NewSparkplugB returns a rule that knows no node yet.
func NewSparkplugB() *SparkplugB { return &SparkplugB{nodes: map[string]*edgeNode{}} }

var _ Rule = (*SparkplugB)(nil)

// Name implements Rule.
func (*SparkplugB) Name() string { return "sparkplug-b" }

// Filters implements Rule.
func (*SparkplugB) Filters() []string { return []string{"spBv1.0/#"} }

// Decode implements Rule.
func (s *SparkplugB) Decode(topic string, payload []byte) (Reading, error) {
	if len(topic) > maxTopic {
		return Reading{}, reject(codec.Damaged, "a topic of %d bytes; the bound is %d", len(topic), maxTopic)
	}
	levels := strings.Split(topic, "/")
	if levels[0] != "spBv1.0" || len(levels) < 3 {
		return Reading{}, reject(codec.Control, "not a topic of Sparkplug B")
	}
	if levels[1] == "STATE" {
		return hostState(levels[2], payload)
	}
	if len(levels) != 4 && len(levels) != 5 {
		return Reading{}, reject(codec.Damaged, "a topic with %d levels", len(levels))
	}
	group, kind, node, device := levels[1], levels[2], levels[3], ""
	if len(levels) == 5 {
		device = levels[4]
	}
	switch {
	case kind == "NCMD" || kind == "DCMD":
		return Reading{}, reject(codec.Control, "a command")
	case len(kind) < 2 || (kind[0] != 'N' && kind[0] != 'D') || (kind[0] == 'D') != (device != ""):
		return Reading{}, reject(codec.Damaged, "message type %q does not fit the topic", clip(kind))
	}
	p, err := readPayload(payload)
	if err != nil {
		return Reading{}, err
	}
	return s.take(group+"/"+node, kind, device, p)
}

// hostState reads the state of a host application, {"online":true,…} (6.4.23).
func hostState(host string, payload []byte) (Reading, error) {
	r, err := object(host, payload, nil)
	if err != nil {
		return Reading{}, err
	}
	for _, v := range r.Values {
		if v.Name == "online" && !v.IsText {
			return presence(host, v.Number == 1), nil
		}
	}
	return Reading{}, reject(codec.Damaged, "a state without \"online\"")
}

// take applies a message to what is known of its node.
func (s *SparkplugB) take(id, kind, device string, p payloadB) (Reading, error) {
	name := id
	if device != "" {
		name += "/" + device
	}
	n := s.nodes[id]
	if kind == "NBIRTH" {
		return s.birth(id, p)
	}
	if kind == "NDEATH" {
		return s.death(id, p)
	}
	if n == nil || !n.born {
		return Reading{}, reject(codec.Unchecked, "no birth of node %s has come: nobody knows what its metrics mean; ask it for a rebirth", clip(id))
	}
	lost, err := n.follow(p)
	if err != nil {
		return Reading{}, err
	}
	r := Reading{Device: name, Lost: lost}
	if lost > 0 {
		r.Missing = fmt.Sprintf("%d messages before sequence number %d did not come", lost, *p.seq)
	}
	switch kind {
	case "DBIRTH":
		if err := s.declare(n, device, p); err != nil {
			return Reading{}, err
		}
		there := presence(name, true)
		r.Online, r.Values = there.Online, there.Values
	case "DDEATH":
		s.known -= n.size()
		n.forget(device)
		s.known += n.size()
		there := presence(name, false)
		r.Online, r.Values = there.Online, there.Values
		return r, nil
	case "NDATA", "DDATA":
		if _, there := n.devices[device]; device != "" && !there {
			return Reading{}, reject(codec.Unchecked, "no birth of device %s has come; ask its node for a rebirth", clip(name))
		}
	default:
		return Reading{}, reject(codec.Damaged, "message type %q is unknown", clip(kind))
	}
	values, err := n.values(device, p)
	r.Values = append(r.Values, values...)
	return r, err
}

// birth begins the life of a node (6.4.19): sequence 0, and its bdSeq is that of
// the death that its broker would publish.
func (s *SparkplugB) birth(id string, p payloadB) (Reading, error) {
	if p.seq == nil || *p.seq != 0 {
		return Reading{}, reject(codec.Damaged, "a birth whose sequence number is not 0")
	}
	if s.nodes[id] == nil && len(s.nodes) >= maxNodes {
		return Reading{}, reject(codec.Damaged, "more than %d nodes", maxNodes)
	}
	s.remove(id) // the life before has ended, whatever this birth is worth
	n := &edgeNode{born: true, metrics: map[uint64]metric{}, named: map[string]metric{}, devices: map[string]struct{}{}}
	n.birth, n.hasBD = p.birthNumber()
	if err := s.declare(n, "", p); err != nil {
		return Reading{}, err
	}
	s.nodes[id] = n
	r := presence(id, true)
	values, err := n.values("", p)
	r.Values = append(r.Values, values...)
	return r, err
}

// death ends it, if it is the death of the life that is known (6.4.20). It also
// ends the devices of the node.
func (s *SparkplugB) death(id string, p payloadB) (Reading, error) {
	if n := s.nodes[id]; n != nil {
		if number, has := p.birthNumber(); has && n.hasBD && number != n.birth {
			return Reading{}, reject(codec.Control, "the death of an earlier life, %d; the node was born again as %d", number, n.birth)
		}
	}
	s.remove(id)
	return presence(id, false), nil
}

// remove forgets a node.
func (s *SparkplugB) remove(id string) {
	if n := s.nodes[id]; n != nil {
		s.known -= n.size()
		delete(s.nodes, id)
	}
}

// follow checks the sequence number, which goes from 0 to 255 and round (6.4.6),
// and returns how many messages lack before this one.
func (n *edgeNode) follow(p payloadB) (lost uint64, err error) {
	if p.seq == nil || *p.seq > 255 {
		return 0, reject(codec.Damaged, "a message without a sequence number of 0 to 255")
	}
	if lost = (*p.seq - n.seq - 1) & 255; lost == 255 {
		return 0, reject(codec.Damaged, "sequence number %d comes twice", *p.seq)
	}
	n.seq = *p.seq
	return lost, nil
}

// size is how many entries are kept of a node.
func (n *edgeNode) size() int { return len(n.metrics) + len(n.named) + len(n.devices) }

// forget removes a device and what it declared.
func (n *edgeNode) forget(device string) {
	mine := func(m metric) bool { return m.device == device }
	maps.DeleteFunc(n.named, func(_ string, m metric) bool { return mine(m) })
	maps.DeleteFunc(n.metrics, func(_ uint64, m metric) bool { return mine(m) })
	delete(n.devices, device)
}

// declare keeps what a birth says of the metrics of a device, or of the node
// itself, in the place of what an earlier birth of it said: that has ended,
// whether the new one is taken or refused.
func (s *SparkplugB) declare(n *edgeNode, device string, p payloadB) error {
	s.known -= n.size()
	n.forget(device)
	s.known += n.size()
	named, aliases := map[string]metric{}, map[uint64]metric{}
	for _, m := range p.metrics {
		if m.name == "" {
			return reject(codec.Damaged, "a birth with a metric without a name")
		}
		known := metric{device, m.name, m.datatype}
		named[device+"\x00"+m.name] = known
		if m.alias == nil {
			continue
		}
		other, taken := aliases[*m.alias]
		if !taken {
			other, taken = n.metrics[*m.alias]
		}
		if taken && (other.name != m.name || other.device != device) {
			return reject(codec.Damaged, "alias %d means %q and %q", *m.alias, clip(other.name), clip(m.name))
		}
		aliases[*m.alias] = known
	}
	if s.known+len(named)+len(aliases)+1 > maxKnown {
		return reject(codec.Damaged, "more than %d metrics, aliases and devices of all nodes", maxKnown)
	}
	s.known -= n.size()
	maps.Copy(n.named, named)
	maps.Copy(n.metrics, aliases)
	if device != "" {
		n.devices[device] = struct{}{}
	}
	s.known += n.size()
	return nil
}

// values reads the metrics of a message.
func (n *edgeNode) values(device string, p payloadB) ([]devices.Value, error) {
	var out []devices.Value
	for _, m := range p.metrics {
		known, ok := n.named[device+"\x00"+m.name]
		if m.name == "" && m.alias != nil {
			known, ok = n.metrics[*m.alias]
			ok = ok && known.device == device
		}
		switch {
		case !ok && m.name == "" && m.alias != nil:
			return nil, reject(codec.Damaged, "alias %d was not declared in the birth", *m.alias)
		case !ok:
			return nil, reject(codec.Damaged, "metric %q was not declared in the birth", clip(m.name))
		}
		if known.name == "bdSeq" || m.historical {
			continue
		}
		if v, good := m.value(known); good {
			out = append(out, v)
		}
	}
	if len(out) > maxValues {
		return out[:maxValues:maxValues], nil
	}
	return out, nil
}

// The data types of 6.4.16 that are read.
const (
	typeInt8   = 1
	typeInt16  = 2
	typeInt32  = 3
	typeInt64  = 4
	typeString = 12
	typeText   = 14
	typeUUID   = 15
)

// value makes the value of a metric by its declared type; false when it is null,
// no number, or of a kind that is not read.
func (m metricB) value(known metric) (devices.Value, bool) {
	v := devices.Value{Name: known.name}
	if m.null || !m.set {
		return v, false
	}
	switch t := known.datatype; {
	case t == typeString || t == typeText || t == typeUUID:
		v.Text, v.IsText = strings.ToValidUTF8(string(m.bytes), "\uFFFD"), true
		return v, m.field == fieldString
	case m.field == fieldString || m.field > fieldString:
		return v, false
	case t == typeInt8 || t == typeInt16 || t == typeInt32:
		v.Number = float64(int32(m.bits))
	case t == typeInt64:
		v.Number = float64(int64(m.bits))
	case m.field == fieldFloat:
		v.Number = float64(math.Float32frombits(uint32(m.bits)))
	case m.field == fieldDouble:
		v.Number = math.Float64frombits(m.bits)
	default:
		v.Number = float64(m.bits)
	}
	return v, !math.IsNaN(v.Number) && !math.IsInf(v.Number, 0)
}
