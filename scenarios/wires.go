package scenarios

// Many wires: does every line that a device says on its wire come to the screen,
// and no damaged one?
//
// Requirements: HW-01, HW-02.
//
// Procedure "wires":
//  1. Stand up computed nodes, each on a port of its own that the real driver
//     opens; the clocks of one in three run 2 % fast and of one in three 2 % slow.
//     Wait until every viewer shows every one.
//  2. For the window flip one bit in one line in ten.
//  3. End the noise, wait for one more line of each, let all fall silent and wait
//     until every viewer shows the last line of each.
//  4. Hold what viewers were shown against what the wires carried, and what the
//     drivers counted against what was damaged.

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/reports"
)

var _ = spec.Describe("Many wires", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "wires", Title: "shows every line of every serial device once and in order, and counts the damaged ones",
		Requirements: []string{"HW-01", "HW-02"}, Loads: []string{"wires"},
		Drive: driveWires, Judge: judgeWires,
	})
})

const (
	// wireBaud is the speed of a node's line: 110 bytes take 10 ms.
	wireBaud = 115_200
	// wireNoise is the share of lines that is damaged in the window.
	wireNoise = 0.1
	// wireDrift is how far the clocks of nodes are off.
	wireDrift = 0.02
)

// wiresFacts is what the wires carried, what screens showed and what it took.
type wiresFacts struct {
	Absent  string                             `json:"absent"` // why nothing was tried, "" when it was
	Wires   []oracle.Wire                      `json:"wires"`
	Shown   map[string]map[string]harness.Roll `json:"shown"` // by viewer and device; Passed is what the broker passed on
	Burdens []harness.Burden                   `json:"burdens"`
}

// wires are devices on serial lines, and the screens that are to show them.
type wires struct {
	*harness.Bench
	specs   []harness.DeviceSpec
	names   []string
	screens []*harness.Screen
	passed  *harness.Screen
	lost    map[string]bool // devices that nobody waits for any more
}

// passedName is under which facts hold what the broker passed on.
const passedName = "broker"

// noPorts says why there can be no wires here, "" where there can.
func noPorts() string {
	if runtime.GOOS == "windows" {
		return "this system has no pseudo terminals for node twins to stand on"
	}
	return ""
}

// wiresOf returns the devices that the rig declares for it, else as many node
// twins as the load says.
func wiresOf(t *spec.Trial, l profile.Load) []harness.DeviceSpec {
	if declared := t.Rig.Wired(); len(declared) > 0 {
		t.Step("take the %d devices of kind %s that the rig declares in place of %d node twins", len(declared), harness.KindGuestTwin, l.Devices)
		return declared
	}
	var text strings.Builder
	text.WriteString("apiVersion: plumbline/v1\nkind: Rig\nname: wires\ndevices:\n")
	period := periodOf(t, l.Devices, l.Rate)
	for i := range l.Devices {
		fmt.Fprintf(&text, "  - {id: wire-%03d, kind: %s, period: %s, baud: %d, drift: %v}\n", i+1, harness.KindNodeTwin, period, wireBaud, wireDrift*float64(i%3-1))
	}
	specs, err := harness.ParseDevices("wires", []byte(text.String()))
	t.Check(err)
	return specs
}

// periodOf returns how often each of so many nodes has to say a line to come to the
// rate together, as far as nodes can.
func periodOf(t *spec.Trial, devices int, rate float64) time.Duration {
	period := time.Duration(float64(devices) / rate * float64(time.Second)).Truncate(time.Millisecond)
	able := min(max(period, 10*time.Millisecond), time.Minute)
	if able != period {
		t.Step("let each node say a line every %s in place of %s, which nodes cannot: %.3g lines a second in all", able, period, float64(devices)/able.Seconds())
	}
	return able
}

// openWires opens the devices and as many viewers with screens as the load says.
func openWires(ctx context.Context, t *spec.Trial, l profile.Load) *wires {
	return openScreens(ctx, t, l, harness.Plan{Sources: wiresOf(t, l)})
}

// openScreens opens what the plan says, with as many viewers with screens as the
// load says.
func openScreens(ctx context.Context, t *spec.Trial, l profile.Load, plan harness.Plan) *wires {
	w := &wires{specs: plan.Sources, passed: &harness.Screen{}, lost: map[string]bool{}}
	plan.Load, plan.Passed = l, w.passed
	plan.Load.Viewers = 0 // ours have screens
	w.Bench = t.Open(ctx, plan)
	for i := range l.Viewers {
		w.names = append(w.names, fmt.Sprintf("viewer-%02d", i+1))
		w.screens = append(w.screens, &harness.Screen{})
		_, err := w.AddViewer(ctx, w.screens[i].Watch(harness.ViewerConfig(w.Bench, w.names[i])))
		t.Check(err)
	}
	return w
}

// shown waits until every screen shows of every device that is not lost what ok
// wants, at most for limit. Who does not is for the judgement; it fails only when ctx ends.
func (w *wires) shown(ctx context.Context, limit time.Duration, ok func(device string, total, last uint64) bool) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, screen := range w.screens {
		for _, d := range w.specs {
			if !w.lost[d.ID] {
				screen.Rolled(limited, d.ID, func(total, last uint64) bool { return ok(d.ID, total, last) })
			}
		}
	}
	return ctx.Err()
}

// impair does the same to all devices.
func (w *wires) impair(ctx context.Context, i harness.Impairment) error {
	for n, d := range w.specs {
		fixture, err := w.Fixture(d.ID)
		if err != nil {
			return err
		}
		i.Seed++
		if err := fixture.Impair(ctx, i); err != nil {
			return fmt.Errorf("%w: device %d: %w", harness.ErrBench, n+1, err)
		}
	}
	return nil
}

// settle ends the noise, lets every device say one line more, which says that its
// driver has read all before it, and then nothing; it returns when every screen
// shows the last lines, or limit is over.
func (w *wires) settle(ctx context.Context, limit time.Duration) error {
	if err := w.impair(ctx, harness.Impairment{}); err != nil {
		return err
	}
	// Openings and damage may follow the last whole line, hence one beyond it.
	last := w.said()
	if err := w.shown(ctx, limit, func(device string, _, n uint64) bool { return n > last[device] }); err != nil {
		return err
	}
	if err := w.impair(ctx, harness.Impairment{Frozen: true}); err != nil {
		return err
	}
	return w.shown(ctx, limit, func(device string, _, n uint64) bool { return n >= w.Serial[device].Ledger.Last() })
}

// since returns how many lines of a device each screen was shown since before, that
// of what passed the broker last. It is the last to be read, and waits a moment for
// the witness to have as much: what reached a viewer passed the broker.
func (w *wires) since(ctx context.Context, device string, before []uint64) []uint64 {
	shown, most := make([]uint64, len(before)), uint64(0)
	for i, s := range w.screens {
		shown[i] = s.Roll(device).Total - before[i]
		most = max(most, shown[i])
	}
	n := len(w.screens)
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	w.passed.Rolled(limited, device, func(total, _ uint64) bool { return total-before[n] >= most })
	shown[n] = w.passed.Roll(device).Total - before[n]
	return shown
}

// said returns the number of the last line that each device said.
func (w *wires) said() map[string]uint64 {
	last := map[string]uint64{}
	for _, d := range w.specs {
		if spoken, _ := w.Serial[d.ID].Ledger.Spoken(); len(spoken) > 0 {
			last[d.ID] = spoken[len(spoken)-1].Last
		}
	}
	return last
}

// facts keeps what the judgement needs. The bench is finished.
func (w *wires) facts() wiresFacts {
	f := wiresFacts{Shown: map[string]map[string]harness.Roll{}}
	for _, d := range w.specs {
		line := w.Serial[d.ID]
		spoken, damaged := line.Ledger.Spoken()
		wire := oracle.Wire{Device: d.ID, Serial: line.Serial, Damaged: damaged, Spoken: []oracle.Spoken{}}
		for _, s := range spoken {
			wire.Spoken = append(wire.Spoken, oracle.Spoken{First: s.First, Last: s.Last, Whole: s.Fate == harness.Whole, Opening: s.Opening})
		}
		if c, known := w.Counted(d.ID); known {
			wire.Refused, wire.Partial, wire.Counted = c.Damaged+c.Unchecked, c.Partial, true
			wire.Overrun = line.Port.Stats().Overrun
		}
		f.Wires = append(f.Wires, wire)
	}
	for i, name := range w.names {
		f.Shown[name] = w.roll(w.screens[i])
	}
	f.Shown[passedName] = w.roll(w.passed)
	return f
}

func (w *wires) roll(s *harness.Screen) map[string]harness.Roll {
	m := map[string]harness.Roll{}
	for _, d := range w.specs {
		m[d.ID] = s.Roll(d.ID)
	}
	return m
}

func driveWires(ctx context.Context, t *spec.Trial) {
	l := t.Load("wires")
	if why := noPorts(); why != "" {
		t.Keep(wiresFacts{Absent: why})
		return
	}
	t.Step("start the system with %d viewers; stand up %d nodes on ports of their own, two in three with a clock that is off by %.0f %%", l.Viewers, l.Devices, 100*wireDrift)
	w := openWires(ctx, t, l)
	var burdens []harness.Burden
	t.Step("for %s flip one bit in %.0f %% of the lines", l.Window, 100*wireNoise)
	t.Check(w.Around(ctx, "wires", 0, 0, func(ctx context.Context) error {
		if err := w.shown(ctx, l.Drain, func(_ string, total, _ uint64) bool { return total > 0 }); err != nil {
			return err
		}
		used := w.Burdens(ctx)
		if err := w.impair(ctx, harness.Impairment{Noise: wireNoise, Seed: t.Rig.Seed()}); err != nil {
			return err
		}
		if err := harness.Wait(ctx, l.Window); err != nil {
			return err
		}
		burdens = used(ctx)
		return w.settle(ctx, l.Drain)
	}))
	for _, b := range burdens {
		t.Step("%s: %.1f %% of a core, %d threads, %d descriptors, %d MiB", b.Part, 100*b.CPU.Seconds()/b.Over.Seconds(), b.Threads, b.Files, b.RSS>>20)
	}
	t.Step("drain, end everything and hold the screens against the wires")
	t.Check(w.Finish(ctx))
	facts := w.facts()
	facts.Burdens = burdens
	t.Keep(facts)
}

func judgeWires(c *spec.Case) {
	facts := spec.Facts[wiresFacts](c)
	if absent(c, facts.Absent) {
		return
	}
	j := newJudged(c)
	j.carried("HW-01", facts)
	j.counted("HW-02", facts)
	j.show("t0i→t4, many wires", slotOf(c.Load("wires").Window))
}

// screens returns what the screens showed, in the form that oracles take.
func (f wiresFacts) screens() map[string]map[string]oracle.Screened {
	m := map[string]map[string]oracle.Screened{}
	for name, rolls := range f.Shown {
		m[name] = map[string]oracle.Screened{}
		for device, r := range rolls {
			m[name][device] = oracle.Screened{Lines: r.Lines, Serials: r.Serials, Cut: r.Cut}
		}
	}
	return m
}

// carried judges that every line that a wire carried whole came to every screen
// once and in order. What the broker never passed on is not held against the system.
func (j *judged) carried(id string, facts wiresFacts) {
	h := oracle.Carried(j.options(id), facts.Wires, facts.screens(), passedName)
	j.none(id, "line/lines missing, doubled, out of order or made up", "lines owed to screens", h.Owed, h.Harm, h.Unpublished, h.Findings, j.samples(id))
}

// counted judges that drivers counted exactly the lines that were damaged.
func (j *judged) counted(id string, facts wiresFacts) {
	var found []reports.Finding
	var n, wrong, unknown int64
	say := func(w oracle.Wire, kind, detail string, confirmed bool) {
		found = append(found, reports.Finding{Requirement: id, Kind: kind, Subject: w.Device, Detail: detail, Confirmed: confirmed, Evidence: j.base.Evidence})
	}
	for _, w := range facts.Wires {
		n += int64(w.Damaged)
		switch {
		case !w.Counted:
			unknown++
			say(w, "not-counted", "nobody knows what its driver counted", false)
		case w.Overrun > 0: // it rightly refused those as well, or has seen fewer
			unknown++
			say(w, "overrun", fmt.Sprintf("%d lines were damaged, its driver refused %d, and %d were torn because nobody read the port in time", w.Damaged, w.Refused, w.Overrun), false)
		case w.Refused != w.Damaged:
			wrong += max(1, int64(w.Refused)-int64(w.Damaged), int64(w.Damaged)-int64(w.Refused))
			say(w, "miscounted", fmt.Sprintf("%d lines were damaged, its driver refused %d", w.Damaged, w.Refused), true)
		}
	}
	h := oracle.Carried(j.options(id), facts.Wires, facts.screens(), passedName)
	found = append(found, ofKind(h.Findings, "made-up")...)
	wrong += h.MadeUp
	j.none(id, "damaged line/damaged lines shown or not counted", "damaged lines", n, wrong, unknown, found, j.samples(id))
}
