package scenarios

// Hardware in the loop: does what happens to a device come to the screen, and does
// what is said at the screen come to the device?
//
// Requirements: HIL-01, HIL-02, HIL-03.
//
// Procedure "loop":
//  1. Power up every declared device that something can be done to; start the
//     system with its viewers. A rig without such a device: not applicable.
//  2. Again and again set the physical value that a device measures, each time to
//     another, at an instant drawn by the seed, and wait until every viewer shows
//     it; all devices at the same time. Of a real device nobody knows what it
//     measures at first: its values are gone round once before.
//  3. A viewer sends commands, one after the other; look at the actuator itself,
//     and wait until viewers read the command back. Where a command does nothing,
//     publish it past the system: a device that obeys that one was not reached.
//  4. Judge the times by the records.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/generator"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var _ = spec.Describe("Hardware in the loop", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "loop", Title: "shows what is done to a device, and brings commands of viewers to its actuator",
		Requirements: []string{"HIL-01", "HIL-02", "HIL-03"}, Loads: []string{"loop"}, Declared: true,
		Drive: driveLoop, Judge: judgeLoop,
	})
})

const (
	// loopSpread is the time within which the instant of a stimulus is drawn: two
	// periods of a node, so that it falls anywhere between two samples.
	loopSpread = 100 * time.Millisecond
	// loopPatience is how long a stimulus or a command is waited for at least.
	loopPatience = 5 * time.Second
	// loopCommands are sent at least; more where the profile asks for more.
	loopCommands = 20
	// loopDark is how many stimuli in a row, shown by no viewer, are the last of a device.
	loopDark = 40
)

// loopFacts is what was done to devices and seen at the screens.
type loopFacts struct {
	Absent   string            `json:"absent"`          // why nothing could be done, "" when it could
	Still    string            `json:"still,omitempty"` // why no value could be set, "" when one could
	Mute     string            `json:"mute"`            // why viewers could send no command, "" when they could
	Stimuli  []oracle.Stimulus `json:"stimuli"`
	Commands []loopCommand     `json:"commands"`
}

// loop is the scenario at work.
type loop struct {
	*harness.Bench
	t       *spec.Trial
	names   []string
	screens []*harness.Screen          // of the viewers, in the order of names
	passed  *harness.Screen            // of the witness
	hands   map[string]*generator.Line // by device: past the system
	mu      sync.Mutex
	facts   loopFacts // owned by mu while devices are stimulated
}

func driveLoop(ctx context.Context, t *spec.Trial) {
	nodes, l := t.Rig.Stimulable(), t.Load("loop")
	if len(nodes) == 0 {
		t.Step("look for devices that something can be done to")
		t.Keep(loopFacts{Absent: "the rig declares no device that something can be done to, such as one of kind " + harness.KindFirmware + ", or of kind " + harness.KindSerial + " with set or actuators"})
		return
	}
	x := &loop{t: t, passed: &harness.Screen{}, hands: map[string]*generator.Line{}}
	t.Step("power up %d devices; start the system with %d viewers", len(nodes), l.Viewers)
	quiet := l
	quiet.Viewers = 0 // ours have screens
	x.Bench = t.Open(ctx, harness.Plan{Load: quiet, Sources: nodes, Floor: true, Passed: x.passed})
	for i := range l.Viewers {
		x.names = append(x.names, fmt.Sprintf("viewer-%02d", i+1))
		x.screens = append(x.screens, &harness.Screen{})
		_, err := x.AddViewer(ctx, x.screens[i].Watch(harness.ViewerConfig(x.Bench, x.names[i])))
		t.Check(err)
	}
	t.Step("%d times: set what a device measures and wait until every viewer shows it; then %d commands of a viewer", l.Cycles, x.commands())
	t.Check(x.Around(ctx, "loop", 0, loopSpread, func(ctx context.Context) error {
		if tiers := tiersOf(x.Devices()); !oneTier(tiers) {
			t.Step("do nothing: devices stand in %s", strings.Join(tiers, " and ")) // nothing of it would count
			return nil
		}
		if err := x.stimulate(ctx, nodes, l.Cycles); err != nil {
			return err
		}
		return x.command(ctx, nodes)
	}))
	t.Keep(x.facts)
	t.Step("drain, end everything and judge the times")
	t.Check(x.Finish(ctx))
}

// commands returns how many commands are sent.
func (x *loop) commands() int { return max(loopCommands, int(x.t.Limit("HIL-03").Samples)) }

// wait is how long something is waited for whose limit is that of a requirement.
func (x *loop) wait(id string) time.Duration { return max(2*x.t.Limit(id).Time, loopPatience) }

// stimulate does it to all devices at the same time.
func (x *loop) stimulate(ctx context.Context, all []harness.DeviceSpec, cycles int) error {
	moved := slices.DeleteFunc(slices.Clone(all), func(d harness.DeviceSpec) bool { return settings(d) == 0 })
	if len(moved) == 0 {
		x.facts.Still = "no declared device says how a value that it measures is set"
		return nil
	}
	errs := make([]error, len(moved))
	var group sync.WaitGroup
	for i, d := range moved {
		group.Go(func() {
			draw := rand.New(rand.NewPCG(x.t.Rig.Seed(), uint64(i))) //nolint:gosec // G404: seeded, to be the same again
			if errs[i] = x.prime(ctx, d); errs[i] != nil {
				return
			}
			errs[i] = untilDark(cycles, loopDark, func(k int) (bool, error) {
				if err := harness.Wait(ctx, time.Duration(draw.Int64N(int64(loopSpread)))); err != nil {
					return false, err
				}
				return x.once(ctx, d.ID, settingOf(d, k))
			})
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// untilDark does once so many times, until it fails or shows nothing for dark
// times in a row: whoever shows nothing for so long is judged by that, and waiting
// on for each of hundreds takes hours.
func untilDark(times, dark int, once func(k int) (shown bool, err error)) error {
	for k, in := 0, 0; k < times && in < dark; k++ {
		shown, err := once(k)
		if err != nil {
			return err
		}
		if in++; shown {
			in = 0
		}
	}
	return nil
}

// once sets a value of one device, waits until every viewer shows it and reports
// whether any did.
func (x *loop) once(ctx context.Context, device string, to setting) (shown bool, err error) {
	sought := x.seek(device, to)
	at, err := x.set(ctx, device, to)
	if err != nil {
		return false, err
	}
	told := sought.told(ctx, x.wait("HIL-02"), at)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.facts.Stimuli = append(x.facts.Stimuli, told...)
	return slices.ContainsFunc(told, func(s oracle.Stimulus) bool { return s.Seq != 0 }), ctx.Err()
}

// set sets a value of one device and returns when that began.
func (x *loop) set(ctx context.Context, device string, to setting) (at int64, err error) {
	fixture, err := x.Fixture(device)
	if err != nil {
		return 0, err
	}
	at = x.Clock.Now()
	if err := fixture.Stimulate(ctx, to.name, to.value); err != nil {
		return 0, fmt.Errorf("%w: %w", harness.ErrBench, err)
	}
	return at, nil
}

// sought is a value that all screens are asked for before it is set.
type sought struct {
	device  string
	to      setting
	viewers []string
	screens []*harness.Sought // in the order of viewers
	passed  *harness.Sought   // at the witness
}

// seek asks all screens for a value.
func (x *loop) seek(device string, to setting) sought {
	s := sought{device: device, to: to, viewers: x.names, passed: x.passed.Seek(device, to.name, to.value, to.within)}
	for _, screen := range x.screens {
		s.screens = append(s.screens, screen.Seek(device, to.name, to.value, to.within))
	}
	return s
}

// forget ends the search.
func (s sought) forget() {
	s.passed.Forget()
	for _, screen := range s.screens {
		screen.Forget()
	}
}

// told waits until every viewer shows it and returns which messages did it.
func (s sought) told(ctx context.Context, limit time.Duration, at int64) []oracle.Stimulus {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer s.passed.Forget()
	var list []oracle.Stimulus
	for i, screen := range s.screens {
		one := oracle.Stimulus{Device: s.device, Viewer: s.viewers[i], What: s.to.String(), At: at}
		one.Seq, one.Passed = screen.Wait(limited)
		one.Passed = one.Passed || s.passed.Found()
		list = append(list, one)
	}
	return list
}

func judgeLoop(c *spec.Case) {
	facts := spec.Facts[loopFacts](c)
	if absent(c, facts.Absent) {
		return
	}
	j := newJudged(c)
	var shown oracle.Latencies
	for _, id := range []string{"HIL-01", "HIL-02"} {
		if facts.Still != "" {
			notAsked(c, id, facts.Still)
			continue
		}
		shown = j.responses(id, facts.Stimuli)
	}
	if facts.Mute != "" {
		notAsked(c, "HIL-03", facts.Mute)
	} else {
		j.obeyed("HIL-03", facts.Commands)
	}
	if facts.Still == "" {
		j.showOnly("stimulus to screen", shown)
	}
}

// responses judges the time from stimuli to screens.
func (j *judged) responses(id string, stimuli []oracle.Stimulus) oracle.Latencies {
	l, found := j.history.Responses(j.options(id), stimuli)
	j.unmet = append(j.mixedTiers(), astray(found, "changes of a value")...)
	j.latency(id, l, j.rule(j.samples(id)))
	return l
}

// mixedTiers is the gate of devices whose latencies are not to be compared, because
// they do not stand in one tier of the virtual bench and in live time.
func (j *judged) mixedTiers() []stats.Gate {
	names := tiersOf(j.devices)
	if oneTier(names) {
		return nil
	}
	return []stats.Gate{{
		Reason: reports.ReasonEnvironment, Cure: "devices of one tier, in live time", Detail: "devices stand in " + strings.Join(names, " and "),
	}}
}

// tiersOf names where devices stand, and in what time.
func tiersOf(devices []reports.Device) []string {
	tiers := map[string]bool{}
	for _, d := range devices {
		tiers[fmt.Sprintf("tier %d, %s", d.Tier, cmp.Or(d.Time, "live"))] = true
	}
	return slices.Sorted(maps.Keys(tiers))
}

// oneTier reports whether latencies of devices that stand there may be compared.
func oneTier(tiers []string) bool { return len(tiers) == 1 && strings.HasSuffix(tiers[0], ", live") }

// astray is the gate of what came to no broker or to no record, for which the
// system is not to blame.
func astray(found []reports.Finding, what string) []stats.Gate {
	n, first := 0, ""
	for _, f := range found {
		if !f.Confirmed {
			n++
			first = cmp.Or(first, f.Subject+": "+f.Detail)
		}
	}
	if n == 0 {
		return nil
	}
	return []stats.Gate{{
		Reason: reports.ReasonEnvironment, Cure: "devices that tell whatever happens to them", Detail: fmt.Sprintf("%d %s are not on record; first: %s", n, what, first),
	}}
}

// obeyed judges that commands of a viewer moved the actuators they were for, and
// were read back.
func (j *judged) obeyed(id string, commands []loopCommand) {
	var times []stretch
	var found []reports.Finding
	var read []oracle.Stimulus
	say := func(c loopCommand, kind, detail string, confirmed bool) {
		found = append(found, reports.Finding{
			Requirement: id, Kind: kind, Subject: c.Device, At: time.Duration(c.At), Detail: fmt.Sprintf("%q: %s", c.Text, detail), Confirmed: confirmed, Evidence: j.base.Evidence,
		})
	}
	for _, c := range commands {
		switch {
		case c.Acted != 0:
			times = append(times, stretch{c.At, time.Duration(c.Acted - c.At)})
			read = append(read, c.Read...)
		case c.Refused != "":
			say(c, "refused", "the system did not take it: "+c.Refused, true)
		case c.Unheard != "":
			say(c, "unheard", c.Unheard, false)
		case c.Reached:
			say(c, "not-obeyed", "the actuator did not move, and did when the command was published past the system", true)
		default:
			say(c, "unreachable", "the actuator did not move, nor when the command was published past the system", false)
		}
	}
	l, odd := j.history.Responses(j.options(id), read)
	for i, ms := range l.Series.Value {
		if !math.IsInf(ms, 1) {
			times = append(times, stretch{l.Series.Due[i], time.Duration(ms * 1e6)})
		}
	}
	found = append(found, odd...)
	j.unmet = append(j.mixedTiers(), astray(found, "commands or their traces")...)
	j.within(id, "command to actuator and back to the screen", times, ofKind(found, "refused", "not-obeyed", "not-shown"), j.samples(id))
}
