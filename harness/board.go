package harness

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"plumbline/devices"
	"plumbline/devices/board"
	"plumbline/devices/inventory"
	"plumbline/devices/lock"
	"plumbline/devices/power"
	"plumbline/devices/remoteport"
	"plumbline/devices/serialline"
	"plumbline/harness/generator"
)

// Settings returns the names of the readings whose value can be set, sorted.
func (s BoardSpec) Settings() []string { return slices.Sorted(maps.Keys(s.Set)) }

// Commands returns the names of the actuators, sorted.
func (s BoardSpec) Commands() []string { return slices.Sorted(maps.Keys(s.Actuators)) }

// values is how many values there are.
func (s Setting) values() int {
	if s.Line != "" {
		return 2
	}
	return int(math.Min((s.To-s.From)/s.Step+1e-6, 1e9)) + 1
}

// Value returns the k-th value, counted from 0 and round: it is never the one before
// it.
func (s Setting) Value(k int) float64 {
	n := s.values()
	k = (k%n + n) % n
	if s.Line == "" {
		return s.From + float64(k)*s.Step
	}
	if k == 0 {
		return s.Low
	}
	return s.High
}

// Command returns the line that switches the actuator, as a viewer sends it.
func (a Actuator) Command(on bool) string {
	text := a.Off
	if on {
		text = a.On
	}
	return strings.TrimRight(text, "\r\n")
}

// Shown returns the reading that says whether an actuator of that name is on or off,
// what it says then, and how far it may be from that.
func (a Actuator) Shown(name string, on bool) (reading string, value, tolerance float64) {
	low, high := a.states()
	if on {
		return a.reading(name), high, a.Tolerance
	}
	return a.reading(name), low, a.Tolerance
}

// answers are what the device says to commands; nil for nothing.
func (s BoardSpec) answers() (list []board.Template) {
	var texts []string
	for _, name := range s.Settings() {
		texts = append(texts, s.Set[name].Answer)
	}
	for _, name := range s.Commands() {
		texts = append(texts, s.Actuators[name].Answer)
	}
	for _, text := range texts {
		if t, err := board.ParseTemplate(text); text != "" && err == nil { // the file was refused for another
			list = append(list, t)
		}
	}
	return list
}

// command returns the line that a text under CommandTopic asks for; false for one
// that no actuator has: nothing but what was declared is written to a real device.
func (s BoardSpec) command(text string) (line string, known bool) {
	text = strings.TrimRight(text, "\r\n")
	for _, name := range s.Commands() {
		a := s.Actuators[name]
		for _, on := range []bool{true, false} {
			if text != a.Command(on) {
				continue
			}
			declared := a.Off
			if on {
				declared = a.On
			}
			t, err := board.ParseTemplate(declared)
			return t.Command(0), err == nil
		}
	}
	return "", false
}

// action is what sets a value.
func (s Setting) action(value float64) (board.Action, error) {
	if s.Line != "" {
		return board.Action{Wire: board.Wire(s.Line), High: value == s.High, Pulse: s.Pulse}, nil
	}
	t, err := board.ParseTemplate(s.Write)
	a := board.Action{Line: t.Command(value)}
	if err == nil && s.Answer != "" {
		t, err = board.ParseTemplate(s.Answer)
		a.Answer = t.Line(value)
	}
	return a, err
}

// deed is what the bench asks of the driver of a board: an action, or a look at a
// reading.
type deed struct {
	Do   *board.Action `json:"do,omitempty"`
	Read string        `json:"read,omitempty"`
}

// told is what a reading says; Told is false while the device has told nothing.
type told struct {
	Value float64 `json:"value"`
	Told  bool    `json:"told"`
}

// openBoardLine opens the port of a device to which something can be done.
func openBoardLine(ctx context.Context, cfg serialline.Config, d DeviceSpec) (generator.Device, error) {
	chosen, err := protocolOf(d.Codec)
	if err != nil {
		return generator.Device{}, err
	}
	ear := board.NewEar(d.answers())
	if board.OfLines(chosen.Codec) {
		chosen.Codec = ear.On(chosen.Codec)
	}
	opened, err := chosen.Open(ctx, cfg)
	if err != nil {
		return generator.Device{}, err
	}
	line, is := opened.(board.Port)
	if !is {
		return generator.Device{}, errors.Join(errors.New("nothing can be done to a device that is asked for its readings"), opened.Close())
	}
	device := board.New(line, ear)
	return generator.Device{Stream: device, Closer: device, Act: func(ctx context.Context, text json.RawMessage) (any, error) {
		var asked deed
		if err := json.Unmarshal(text, &asked); err != nil {
			return nil, fmt.Errorf("harness: what is to be done to device %q: %w", d.ID, err)
		}
		if asked.Do != nil {
			return nil, device.Do(ctx, *asked.Do)
		}
		value, err := device.Observe(asked.Read)
		if errors.Is(err, board.ErrUntold) {
			return told{}, nil
		}
		return told{value, err == nil}, err
	}}, nil
}

// openSerialDevice leaves a real device to the generator, and makes what can be done
// to it known.
func openSerialDevice(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error {
	if !d.Acts() && d.Power == nil {
		return orderDevice(ctx, s, b, d)
	}
	fixture := &realBoard{spec: d, place: len(s.orders), generator: b.Generator.Generator}
	if d.Power != nil {
		var err error
		if s.relays == nil {
			s.relays = &power.Bank{}
			s.closers = append(s.closers, s.relays)
		}
		if fixture.power, err = powered(ctx, s.relays, d); err != nil {
			return err
		}
	}
	if err := orderDevice(ctx, s, b, d); err != nil {
		return err
	}
	if b.Fixtures == nil {
		b.Fixtures = map[string]devices.Fixture{}
	}
	b.Fixtures[d.ID] = fixture
	if len(d.Actuators) == 0 {
		return nil
	}
	commands, err := openCommands(ctx, b, d.ID)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, commands)
	s.players = append(s.players, func(ctx context.Context) error {
		return passCommands(ctx, commands, func(text []byte) {
			line, known := d.command(string(text))
			if !known {
				b.log.Warn("a command that no actuator of the device has", "device", d.ID, "command", fmt.Sprintf("%.64q", text))
				return
			}
			if err := fixture.do(ctx, board.Action{Line: line}); err != nil {
				b.log.Warn("command did not come to the device", "device", d.ID, "error", err)
			}
		})
	})
	return nil
}

// powerPatience bounds how long a device may take to appear once it has power: USB
// devices start, and are enumerated.
const powerPatience = 10 * time.Second

// powered opens the switch of a device, gives it power and waits for its port.
func powered(ctx context.Context, relays *power.Bank, d DeviceSpec) (s power.Switch, err error) {
	if d.Power.Uhubctl != "" {
		s, err = power.OpenHub(d.Power.hub())
	} else {
		r := d.Power.relay()
		r.Locks, r.Purpose = &lock.Dir{}, "power of device "+d.ID
		s, err = relays.Open(ctx, r)
	}
	if err == nil {
		err = s.Set(ctx, true)
	}
	if err == nil {
		err = appear(ctx, d.Port)
	}
	return s, err
}

// appear waits for the port of a device. What cannot be looked up is there, or its
// opening says that it is not.
func appear(ctx context.Context, port string) error {
	selector, err := inventory.ParseSelector(port)
	if err != nil || remoteport.Is(port) {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, powerPatience)
	defer cancel()
	for {
		_, err := inventory.Inventory{}.Find(selector)
		if err == nil {
			return nil
		}
		if Wait(limited, 50*time.Millisecond) != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("harness: it was given power %v ago: %w", powerPatience, err))
		}
	}
}

// realBoard is the fixture of a real device.
type realBoard struct {
	spec      DeviceSpec
	place     int // of its order in the generator
	generator *generator.Generator
	power     power.Switch // nil: nobody switches it
}

var _ devices.Fixture = (*realBoard)(nil)

// unable says that there is no means for something, and how to declare one.
func (f *realBoard) unable(what, mend string) error {
	return fmt.Errorf("harness: %s of device %q: %w; %s", what, f.spec.ID, devices.ErrUnable, mend)
}

// do lets the driver of the device do something.
func (f *realBoard) do(ctx context.Context, a board.Action) error {
	return f.generator.Act(ctx, f.place, deed{Do: &a}, nil)
}

// Unplug implements devices.Fixture: a hub that cuts the power of a port has pulled
// its device out.
func (f *realBoard) Unplug(ctx context.Context) error {
	if f.spec.Power == nil || f.spec.Power.Uhubctl == "" {
		return f.unable("unplugging", "a USB hub that switches its ports does it: declare power: {uhubctl: LOCATION, port: N}")
	}
	return f.power.Set(ctx, false)
}

// Plug implements devices.Fixture.
func (f *realBoard) Plug(ctx context.Context) error {
	if f.spec.Power == nil || f.spec.Power.Uhubctl == "" {
		return f.unable("plugging in", "a USB hub that switches its ports does it: declare power: {uhubctl: LOCATION, port: N}")
	}
	return f.power.Set(ctx, true)
}

// Power implements devices.Fixture.
func (f *realBoard) Power(ctx context.Context, on bool) error {
	if f.power == nil {
		return f.unable("power", "declare power with relay or uhubctl")
	}
	return f.power.Set(ctx, on)
}

// Stimulate implements devices.Fixture.
func (f *realBoard) Stimulate(ctx context.Context, quantity string, value float64) error {
	s, can := f.spec.Set[quantity]
	if !can {
		return f.unable(fmt.Sprintf("setting %q", quantity), fmt.Sprintf("it can set %s: declare set: {%s: …}", cmp.Or(strings.Join(f.spec.Settings(), ", "), "nothing"), quantity))
	}
	if s.Line != "" && value != s.Low && value != s.High {
		return f.unable(fmt.Sprintf("setting %q to %v", quantity, value), fmt.Sprintf("its line makes it %v or %v", s.Low, s.High))
	}
	if s.Line == string(board.Break) { // which turns it over
		now, err := f.known(ctx, quantity)
		if err != nil || math.Abs(now-value) <= s.Tolerance {
			return err
		}
	}
	a, err := s.action(value)
	if err != nil {
		return err
	}
	return f.do(ctx, a)
}

// Observe implements devices.Fixture: what the device, or its port, says of an
// actuator, or of any reading. What it has not told yet is NaN.
func (f *realBoard) Observe(ctx context.Context, actuator string) (float64, error) {
	reading := actuator
	if a, known := f.spec.Actuators[actuator]; known {
		reading = a.reading(actuator)
	}
	var answer told
	if err := f.generator.Act(ctx, f.place, deed{Read: reading}, &answer); err != nil {
		return 0, err
	}
	if !answer.Told {
		return math.NaN(), nil
	}
	return answer.Value, nil
}

// toldPatience is how long the first word of a device is waited for.
const toldPatience = 5 * time.Second

// known waits until the device has told a reading.
func (f *realBoard) known(ctx context.Context, reading string) (float64, error) {
	limited, cancel := context.WithTimeout(ctx, toldPatience)
	defer cancel()
	for {
		value, err := f.Observe(limited, reading)
		if err == nil && !math.IsNaN(value) {
			return value, nil
		}
		if err == nil {
			err = Wait(limited, 10*time.Millisecond)
		}
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case limited.Err() != nil:
			return 0, fmt.Errorf("harness: device %q has told no %q within %v; is that the name of the reading, and its codec the right one?", f.spec.ID, reading, toldPatience)
		case err != nil:
			return 0, err
		}
	}
}

// Impair implements devices.Fixture: a real line is as good as it is.
func (f *realBoard) Impair(_ context.Context, i devices.Impairment) error {
	if i == (devices.Impairment{}) {
		return nil
	}
	return f.unable("impairing the line", "a node-twin or a guest-twin stands in for it")
}

// Advance implements devices.Fixture: the time of a real device passes as ours does.
func (f *realBoard) Advance(ctx context.Context, d time.Duration) error { return Wait(ctx, d) }
