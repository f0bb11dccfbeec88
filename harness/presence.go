package harness

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"plumbline/devices"
	"plumbline/devices/mqttrule"
	"plumbline/harness/record"
)

// Sensors returns the declared sensors that publish by themselves and are known to
// say whether they are there: those with a rule or an availability topic, and twins.
func (r *Rig) Sensors() []DeviceSpec {
	var list []DeviceSpec
	for _, d := range r.cfg.Devices {
		if len(d.StateTopics()) > 0 {
			list = append(list, d)
		}
	}
	return list
}

// StateTopics returns where a sensor that publishes by itself says that it is
// there or gone; none for any other device.
func (d *DeviceSpec) StateTopics() []string {
	switch {
	case d.Kind == KindMQTTTwin:
		if voice, err := d.voice(); err == nil { // else the file was refused for it
			return voice.StateTopics()
		}
		return nil
	case d.Kind != KindMQTT:
		return nil
	case d.Availability != "":
		return []string{d.Availability}
	case d.Rule == "":
		return nil
	}
	rule, err := mqttrule.ByName(d.Rule)
	if err != nil {
		return nil // the file was refused for it
	}
	return mqttrule.StateTopics(rule, d.Topic)
}

// StateDevice is what the records call the stream of a sensor's state.
func StateDevice(id string) string { return id + " (state)" }

// Change is a sensor that said that it is there or gone, as the broker passed it on.
type Change struct {
	Device string // see StateDevice
	Online bool
	Digest uint64 // of the message, see record.Recorder.Digest
	At     int64  // the witness had it, on the run clock
}

// presence follows the states of sensors at the witness.
type presence struct {
	mu      sync.Mutex
	readers map[string]reader // by topic; written by follow only, read under mu
	taken   bool              // changes count from now on
	changes []Change
}

// reader understands the state messages of one sensor.
type reader struct {
	device string
	read   func(topic string, payload []byte) (online, ok bool)
}

// maxChanges bounds what a sensor that says nothing else may fill.
const maxChanges = 10_000

// follow makes the state topics of the plan's sensors known. A system that does
// not tell the topic of a message shows one twin only, by its words.
func (b *Bench) follow() {
	b.presence = &presence{readers: map[string]reader{}}
	rules := map[string]mqttrule.Rule{} // one of each: devices of one Sparkplug node share its births
	tells := !rewrites(b.SUT.Viewer().Protocol) || b.SUT.Viewer().Message.Topic != ""
	for _, d := range b.plan.Sensors {
		twin := d.Kind == KindMQTTTwin
		if !tells && (!twin || d.StateWord(true) == nil || len(b.presence.readers) > 0) {
			continue
		}
		mode := devices.Real
		if twin {
			mode = devices.Sim
		}
		r := reader{StateDevice(d.ID), stateReader(d, rules)}
		for _, topic := range d.StateTopics() {
			s := record.Stream{Device: r.device, Topic: topic, Mode: string(mode), QoS: 1, Foreign: true}
			id := b.Recorder.Stream(s)
			b.resolver.Add(id, s)
			b.presence.readers[topic] = r
			if !tells {
				b.resolver.AddPayload(id, d.StateWord(true))
				b.resolver.AddPayload(id, d.StateWord(false))
			}
		}
	}
}

// stateReader returns how the state messages of a sensor are read.
func stateReader(d DeviceSpec, rules map[string]mqttrule.Rule) func(string, []byte) (bool, bool) {
	name := d.Rule
	if d.Kind == KindMQTTTwin {
		name = cmp.Or(name, tasmota)
	}
	bare := d.Availability != "" || name == mqttrule.NewHomeAssistant().Name() // whose discovery nobody here has followed
	if !bare && rules[name] == nil {
		rules[name], _ = mqttrule.ByName(name) // StateTopics has found it
	}
	rule := rules[name]
	return func(topic string, payload []byte) (online, ok bool) {
		if bare {
			on, err := mqttrule.State(payload)
			return on, err == nil
		}
		r, err := rule.Decode(topic, payload)
		if err != nil || r.Online == nil {
			return false, false
		}
		return *r.Online, true
	}
}

// over lets it see what the witness resolves.
func (p *presence) over(b *Bench, resolve func(string, []byte) (uint32, uint64, uint8)) func(string, []byte) (uint32, uint64, uint8) {
	return func(topic string, payload []byte) (uint32, uint64, uint8) {
		stream, seq, flags := resolve(topic, payload)
		p.mu.Lock()
		defer p.mu.Unlock()
		r, known := p.readers[topic]
		if !known {
			return stream, seq, flags
		}
		if online, ok := r.read(topic, payload); ok && p.taken && len(p.changes) < maxChanges {
			p.changes = append(p.changes, Change{Device: r.device, Online: online, Digest: b.Recorder.Digest(payload), At: b.Clock.Now()})
		}
		return stream, seq, flags
	}
}

// begin lets changes count from now on: what came before was said before the
// viewers were open.
func (p *presence) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = true
}

// Changes returns what the sensors of the plan have said of being there since the
// viewers were open, in the order in which the broker passed it on.
func (b *Bench) Changes() []Change {
	b.presence.mu.Lock()
	defer b.presence.mu.Unlock()
	return append([]Change(nil), b.presence.changes...)
}

// follows reports whether the states of a sensor are followed.
func (b *Bench) follows(id string) bool {
	for _, r := range b.presence.readers { // written by Open only
		if r.device == StateDevice(id) {
			return true
		}
	}
	return false
}

// Live connects the twin of a sensor that publishes by itself, calls seen, which
// waits as long as the twin shall live, and ends it, so that its will says that it
// is gone. It blocks so long, or until ctx ends. False means that d is
// no twin, or is not followed, and that nothing was done.
func (b *Bench) Live(ctx context.Context, d DeviceSpec, seen func() error) (lived bool, err error) {
	if d.Kind != KindMQTTTwin || !b.follows(d.ID) {
		return false, nil
	}
	twin, _, err := b.newSensor(d)
	if err != nil {
		return true, fmt.Errorf("harness: device %q: %w", d.ID, err)
	}
	life, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- twin.Run(life) }()
	err = seen()
	end()
	if gone := <-ended; err == nil {
		err = gone
	}
	return true, err
}
