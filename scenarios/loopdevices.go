package scenarios

import (
	"context"
	"fmt"

	"plumbline/harness"
)

// setting is a value of a reading, and how far what shows it may be from it.
type setting struct {
	name          string
	value, within float64
}

// String is how records name it.
func (s setting) String() string {
	if s.within == 0 {
		return fmt.Sprintf("%s = %v", s.name, s.value)
	}
	return fmt.Sprintf("%s = %v ± %v", s.name, s.value, s.within)
}

// settings is how many readings of a device can be set.
func settings(d harness.DeviceSpec) int {
	if d.IsNode() {
		return 1
	}
	return len(d.Set)
}

// settingOf is the k-th value that a device is given: of all its readings in turn, and
// each time another one of that reading.
func settingOf(d harness.DeviceSpec, k int) setting {
	if d.IsNode() {
		return setting{name: harness.NodeTemperature, value: loopValue(k)}
	}
	names := d.Settings()
	name := names[k%len(names)]
	s := d.Set[name]
	return setting{name, s.Value(k / len(names)), s.Tolerance}
}

// loopValue is another temperature each time, in the steps of the sensor of a node and
// within its range, up to 2 400 times.
func loopValue(k int) float64 { return -30 + float64(k%2400+1)/16 }

// prime gives every reading of a real device the value before its first, so that
// the first is a change, and waits until it is shown, as long as for any other. A
// node begins with a value that is none of ours.
func (x *loop) prime(ctx context.Context, d harness.DeviceSpec) error {
	if d.IsNode() {
		return nil
	}
	for _, name := range d.Settings() {
		s := d.Set[name]
		to := setting{name, s.Value(-1), s.Tolerance}
		sought := x.seek(d.ID, to)
		at, err := x.set(ctx, d.ID, to)
		if err != nil {
			return err
		}
		_ = sought.told(ctx, x.wait("HIL-02"), at) // what is never shown the next one tells
	}
	return ctx.Err()
}

// instruction is a command that a viewer sends: what it says, what tells that the actuator
// has moved, and what viewers show of it.
type instruction struct {
	device   string
	text     string
	actuator string
	state    setting // of the actuator
	read     setting
}

// instructionOf is the number-th command, counted from 0, of which a device gets each one
// whose turn it is: to its actuators one after the other, and then off again.
func instructionOf(d harness.DeviceSpec, turn, number int) instruction {
	if d.IsNode() {
		output, on := turn%4, 1-turn/4%2
		actuator := fmt.Sprintf("%s%d", harness.NodeOutput, output)
		return instruction{
			device: d.ID, text: fmt.Sprintf("out %d %d %d", output, on, number+1), actuator: actuator,
			state: setting{name: actuator, value: float64(on)}, read: setting{name: harness.NodeDone, value: float64(number + 1)},
		}
	}
	names := d.Commands()
	return switching(d, names[turn%len(names)], turn/len(names)%2 == 0)
}

// switching is the command that switches an actuator of a real device.
func switching(d harness.DeviceSpec, actuator string, on bool) instruction {
	a := d.Actuators[actuator]
	name, value, within := a.Shown(actuator, on)
	shown := setting{name, value, within}
	return instruction{device: d.ID, text: a.Command(on), actuator: actuator, state: shown, read: shown}
}

// atRest switches all actuators of a real device off, past the system, so that the
// first command of a viewer moves one; those of a node are off.
func (x *loop) atRest(ctx context.Context, d harness.DeviceSpec) error {
	if d.IsNode() {
		return nil
	}
	for _, name := range d.Commands() {
		if _, err := x.past(ctx, switching(d, name, false)); err != nil { // what does not move is told by the first command
			return err
		}
	}
	return nil
}

// obeys reports whether a device has actuators.
func obeys(d harness.DeviceSpec) bool { return d.IsNode() || len(d.Actuators) > 0 }
