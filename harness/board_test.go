package harness_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/board"
	"plumbline/devices/devicetest"
	"plumbline/devices/ptytwin"
	"plumbline/harness"
	"plumbline/harness/load"
	"plumbline/harness/record"
)

// rigOf is a rig file with these devices.
func rigOf(devices ...string) []byte {
	return []byte("apiVersion: plumbline/v1\nkind: Rig\nname: lab\ndevices:\n" + strings.Join(devices, ""))
}

// boards stands up a twin of a board on a pseudo terminal and another with modem
// lines, and declares them and what can be done to them.
func boards(t *testing.T) (specs []harness.DeviceSpec, relay *ptytwin.Twin) {
	t.Helper()
	var paths []string
	for _, modem := range []bool{false, true} {
		twin, err := board.NewTwin(t.Context(), board.TwinOptions{Modem: modem, Period: 10 * time.Millisecond})
		if errors.Is(err, ptytwin.ErrUnsupported) {
			t.Skip("no pseudo terminals on this system")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = twin.Close() })
		paths = append(paths, twin.Path())
	}
	relay, err := ptytwin.NewPair(t.Context(), ptytwin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = relay.Close() })
	specs, err = harness.ParseDevices("lab.yaml", rigOf(fmt.Sprintf(`  - id: heater
    kind: serial
    port: %q
    baud: 115200
    codec: linejson
    set:
      temperature: {write: "T {value}", answer: "OK T {value}", from: 15, to: 30, step: 0.5}
    actuators:
      relay: {on: "R 1", off: "R 0", answer: "OK R {value}"}
    power: {relay: %q, channel: 2}
`, paths[0], relay.Path()), fmt.Sprintf(`  - id: lamp
    kind: serial
    port: %q
    codec: linejson
    modemReadings: true
    set:
      lamp: {line: dtr, low: 10, high: 805, tolerance: 20}
      door: {line: break, pulse: 1ms, low: 0, high: 1}
    actuators:
      contact: {on: "R 1", off: "R 0", answer: "OK R {value}", reads: modem_cts}
`, paths[1])))
	if err != nil {
		t.Fatal(err)
	}
	return specs, relay
}

// What was declared of real boards is done to them: commands, lines of the port and
// a relay, each seen at a viewer of the real bridge or at the port; and a command of
// a viewer comes to the actuator, nothing else to the board.
func TestRealBoardsAreStimulated(t *testing.T) {
	specs, relay := boards(t)
	if err := harness.CheckDevices(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	rig := newRig(t, func(c *harness.Config) { c.Devices = specs })
	if len(rig.Stimulable()) != 2 {
		t.Errorf("something can be done to %+v", rig.Stimulable())
	}
	var screen harness.Screen
	quiet := small
	quiet.Viewers = 0
	b := open(t, rig, harness.Plan{Name: "boards", Load: quiet, Sources: specs})
	if _, err := b.AddViewer(t.Context(), screen.Watch(harness.ViewerConfig(b, "viewer-01"))); err != nil {
		t.Fatal(err)
	}
	if err := b.Around(t.Context(), "boards", 0, 0, func(ctx context.Context) error { return useBoards(ctx, t, b, &screen) }); err != nil {
		t.Fatal(err)
	}
	// Twice on, before the run and at its beginning; then off and on.
	const want = "\xa0\x02\x01\xa3\xa0\x02\x01\xa3\xa0\x02\x00\xa2\xa0\x02\x01\xa3"
	devicetest.Eventually(t, "the relay board to hear all", func() bool { return len(relay.Received()) >= len(want) })
	if got := string(relay.Received()); got != want {
		t.Errorf("the relay board heard %x, want %x", got, want)
	}
	r, _ := finish(t, b)
	for _, d := range r.Devices {
		if d.Tier != 0 || d.Mode != "real" || d.Damaged != 0 {
			t.Errorf("evidence %+v", d)
		}
	}
}

// useBoards does to the boards what was declared.
func useBoards(ctx context.Context, t *testing.T, b *harness.Bench, screen *harness.Screen) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	heater, err := b.Fixture("heater")
	if err != nil {
		return err
	}
	lamp, err := b.Fixture("lamp")
	if err != nil {
		return err
	}
	for _, c := range []struct {
		fixture       devices.Fixture
		device, name  string
		value, within float64
	}{
		{heater, "heater", "temperature", 25.5, 0}, {lamp, "lamp", "lamp", 805, 20}, {lamp, "lamp", "lamp", 10, 20}, {lamp, "lamp", "door", 1, 0}, {lamp, "lamp", "door", 0, 0},
	} {
		sought := screen.Seek(c.device, c.name, c.value, c.within)
		if err := untilAnswered(ctx, func() error { return c.fixture.Stimulate(ctx, c.name, c.value) }); err != nil {
			return err
		}
		if seq, ok := sought.Wait(ctx); !ok || seq == 0 {
			return fmt.Errorf("%s = %v never came to the screen", c.name, c.value)
		}
	}
	if err := lamp.Stimulate(ctx, "door", 0); err != nil { // which it is
		return err
	}
	if err := commandBoards(ctx, b); err != nil {
		return err
	}
	for _, on := range []bool{false, true} {
		if err := heater.Power(ctx, on); err != nil {
			return err
		}
	}
	for what, err := range map[string]error{
		"power": lamp.Power(ctx, true), "unplug": heater.Unplug(ctx), "plug": heater.Plug(ctx), "noise": lamp.Impair(ctx, devices.Impairment{Noise: 0.1}),
		"a reading of another": heater.Stimulate(ctx, "humidity", 1), "a value between": lamp.Stimulate(ctx, "lamp", 400),
	} {
		if !errors.Is(err, devices.ErrUnable) {
			t.Errorf("%s: %v, want ErrUnable", what, err)
		}
	}
	if v, err := heater.Observe(ctx, "humidity"); err != nil || !math.IsNaN(v) {
		t.Errorf("a reading that nobody told is %v, %v", v, err)
	}
	return errors.Join(lamp.Impair(ctx, devices.Impairment{}), lamp.Advance(ctx, time.Millisecond))
}

// untilAnswered does something to a board again while no answer comes: on a busy machine
// it may take longer than the product waits. The context ends it.
func untilAnswered(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), board.ErrNoAnswer.Error()) { // it comes as text from the generator
			return err
		}
	}
}

// commandBoards sends commands as viewers do, some of which no actuator has.
func commandBoards(ctx context.Context, b *harness.Bench) error {
	for _, c := range []struct{ device, actuator string }{{"heater", "relay"}, {"lamp", "contact"}} {
		fixture, err := b.Fixture(c.device)
		if err != nil {
			return err
		}
		hand, err := b.Hand(ctx, "operator of "+c.device, nil)
		if err != nil {
			return err
		}
		line, err := hand.Line(ctx, record.Stream{Device: "operator of " + c.device, Topic: harness.CommandTopic(c.device), Mode: "sim", QoS: 1, Foreign: true})
		if err != nil {
			return err
		}
		for _, text := range []string{"T 99", "R 1\nT 99", "R 1"} {
			if _, err := line.Send(ctx, load.Parcel{Raw: []byte(text), QoS: 1}); err != nil {
				return err
			}
		}
		var state float64
		if err := harness.Until(ctx, time.Minute, "the actuator of "+c.device, func() bool {
			state, err = fixture.Observe(ctx, c.actuator)
			return err != nil || state == 1
		}); err != nil {
			return err
		}
		if t, err := fixture.Observe(ctx, "temperature"); err != nil || t > 50 {
			return fmt.Errorf("%s: a command that nobody declared came to the board: %v, %w", c.device, t, err)
		}
	}
	return nil
}

// The entry of a board that the README shows can be pasted into a rig file.
func TestTheBoardOfTheReadmeIsOne(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```yaml\n  - id: board\n")
	entry, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("the README shows no board")
	}
	specs, err := harness.ParseDevices("lab.yaml", rigOf("  - id: board\n"+entry))
	if err != nil || len(specs) != 1 || len(specs[0].Set) != 2 || len(specs[0].Actuators) != 2 || specs[0].Power == nil {
		t.Errorf("it is read as %+v, %v", specs, err)
	}
}

func TestWhatCanBeDoneToABoardIsChecked(t *testing.T) {
	const head = "  - id: a\n    kind: serial\n    port: \"usb:2341:0043:SN-7\"\n    codec: linejson\n"
	for text, want := range map[string]string{
		"    set: {t: {}}\n": "lab.yaml:9: devices[0].set.t: needs one of write",
		"    set: {t: {write: \"T {value}\", line: dtr}}\n":                           "needs one of write",
		"    set:\n      t: {write: \"T\", from: 1, to: 2, step: 1}\n":                `lab.yaml:10: devices[0].set.t.write: "T" must have {value} in it`,
		"    set: {t: {write: \"T {value}\"}}\n":                                      "devices[0].set.t.step: must be above 0",
		"    set: {t: {write: \"T {value}\", from: 2, to: 1, step: 1}}\n":             "devices[0].set.t.to: 1 is not at least a step above from",
		"    set: {t: {write: \"T {value}\", to: 1e8, step: 1e-3}}\n":                 "10000 are the most",
		"    set: {t: {write: \"T {value}\", to: 2, step: 1, tolerance: 0.5}}\n":      "devices[0].set.t.tolerance: 0.5 must be below half",
		"    set: {t: {write: \"T {value}\", to: 2, step: .nan}}\n":                   "within ±1e9",
		"    set: {t: {write: \"T {value}\", to: 2, step: 1, low: 3}}\n":              "low, high and pulse belong to line",
		"    set: {t: {write: \"T {value}\", to: 2, step: 1, answer: \"{value}\"}}\n": "devices[0].set.t.answer: must have more in it",
		"    set: {t: {write: \"T {value}\", to: 2, steps: 1}}\n":                     `unknown key "steps"; did you mean "step"?`,
		"    set: {t: {line: cts, high: 1}}\n":                                        `devices[0].set.t.line: "cts" is no line that can be set; choose dtr, rts or break`,
		"    set: {t: {line: dtr}}\n":                                                 "devices[0].set.t.high: must be another value than low",
		"    set: {t: {line: dtr, high: 1, pulse: 1s}}\n":                             "devices[0].set.t.pulse: is of a break",
		"    set: {t: {line: break, high: 1, pulse: 6s}}\n":                           "devices[0].set.t.pulse: 6s is not up to 5 s",
		"    set: {t: {line: rts, high: 1, answer: OK}}\n":                            "belong to write",
		"    set: {\"\": {line: rts, high: 1}}\n":                                     "a reading has a name",
		"    actuators: {r: {on: \"R 1\"}}\n":                                         "devices[0].actuators.r.off: must have more in it",
		"    actuators: {r: {on: \"R 1\", off: \"R 1\"}}\n":                           "devices[0].actuators.r.off: is the same command as on",
		"    actuators: {r: {on: \"R {value}\", off: \"R 0\"}}\n":                     "devices[0].actuators.r.on: is the whole command",
		"    actuators: {r: {on: \"R 1\", off: \"R 0\", reads: modem_cts}}\n":         "add modemReadings: true",
		"    actuators: {r: {on: \"R 1\", off: \"R 0\", low: 3, high: 3}}\n":          "devices[0].actuators.r.high: must be another value than low",
		"    power: {}\n": "devices[0].power: power: wrong settings: it needs one of relay",
		"    power: {relay: \"usb:1a86:7523\", uhubctl: 1-1, port: 2}\n": "it needs one of relay",
		"    power: {relay: /dev/ttyUSB3}\n":                             "after the next replug",
		"    power: {relay: \"usb:1a86:7523\", channel: 99}\n":           "relay 99 is not between 1 and 32",
		"    power: {relay: \"usb:1a86:7523\", port: 1}\n":               "a relay is chosen by channel",
		"    power: {relay: \"usb:1a86\"}\n":                             "wrong selector",
		"    power: {uhubctl: \"1-1; ls\", port: 2}\n":                   `"1-1; ls" is no place of a USB hub`,
		"    power: {uhubctl: 1-1}\n":                                    "port 0 of hub 1-1",
		"    power: {uhubctl: 1-1, port: 2, channel: 1}\n":               "takes its port and nothing else",
	} {
		if _, err := harness.ParseDevices("lab.yaml", rigOf(head+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"  - {id: a, kind: twin, set: {t: {line: dtr, high: 1}}}\n":                                                                             "devices[0].set: a device of kind \"twin\" has no such setting",
		"  - {id: a, kind: node-twin, power: {uhubctl: 1-1, port: 1}}\n":                                                                        "devices[0].power: a device of kind",
		"  - {id: a, kind: serial, port: \"usb:2341:0043:S\", codec: sds011, actuators: {r: {on: a, off: b, answer: c}}}\n":                     "sds011 is no protocol of text lines",
		"  - {id: a, kind: serial, port: \"usb:2341:0043:S\", codec: codecfile/testdata/supply.yaml, actuators: {r: {on: a, off: b}}}\n":        "takes no other commands",
		"  - {id: a, kind: serial, port: \"usb:2341:0043:S\", power: {uhubctl: 1-1, port: 2}, set: {t: {line: dtr, low: 1}}, codec: pms5003}\n": "fine",
	} {
		_, err := harness.ParseDevices("lab.yaml", rigOf(text))
		if want == "fine" && err != nil || want != "fine" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
