package scenarios

// Identity: is a serial device known by what it is, whatever port it has?
//
// Requirements: HW-06, HW-07.
//
// Procedure "identity":
//  1. Stand up five node twins behind USB adapters: two that are chosen by their
//     serial numbers, two alike without one that are chosen by their USB places, and
//     one more. A selector that fits both of those alike must be refused with a word
//     that tells them apart. Wait until every viewer shows all.
//  2. Again and again: pull the first two out and plug them in with their names and
//     places exchanged; wait until every viewer shows both.
//  3. Pull out another one each time and plug the fifth into its place, under its
//     name. Meanwhile no viewer may be shown anything of it as new, and its driver
//     must say why its port is not back. Put all back and wait until it is shown.
//  4. Hold what viewers were shown against what the wires carried, each as itself.

import (
	"context"
	"fmt"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/reports"
)

var _ = spec.Describe("Identity of serial devices", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "identity", Title: "shows each serial device as itself when ports exchange their names and when another one is plugged in in its place",
		Requirements: []string{"HW-06", "HW-07"}, Loads: []string{"identity"},
		Drive: driveIdentity, Judge: judgeIdentity,
	})
})

// neighbour is a node twin behind an adapter, and how its driver chooses it.
type neighbour struct {
	id      string
	port    string
	adapter harness.Adapter
}

// neighbours are the cast: two that exchange their names, two that are alike, and
// the one that is plugged in where others are expected.
var neighbours = []neighbour{
	{"first", "usb:0403:6001:SN-A", harness.Adapter{Node: "ttyUSB0", VID: "0403", PID: "6001", Serial: "SN-A", Product: "FT232R", Place: "1-1"}},
	{"second", "usb:0403:6001:SN-B", harness.Adapter{Node: "ttyUSB1", VID: "0403", PID: "6001", Serial: "SN-B", Product: "FT232R", Place: "1-2"}},
	{"left", "usb:1a86:7523@2-1", harness.Adapter{Node: "ttyUSB2", VID: "1a86", PID: "7523", Product: "USB Serial", Place: "2-1"}},
	{"right", "usb:1a86:7523@2-2", harness.Adapter{Node: "ttyUSB3", VID: "1a86", PID: "7523", Product: "USB Serial", Place: "2-2"}},
	{stranger, "usb:10c4:ea60:0001", harness.Adapter{Node: "ttyUSB4", VID: "10c4", PID: "ea60", Serial: "0001", Product: "CP2102", Place: "3-1"}},
}

const (
	stranger  = "stranger"
	ambiguous = "usb:1a86:7523" // fits left and right
)

// portWord is what a driver said where it was not to open what was there.
type portWord struct {
	Who  string   `json:"who"`  // the device, or the selector
	Said string   `json:"said"` // "" for nothing
	Must []string `json:"must"` // what it had to name
}

// identityFacts is what befell the neighbours.
type identityFacts struct {
	wiresFacts
	Silences []silence  `json:"silences"`
	Refusals []portWord `json:"refusals"`
}

// identity is the scenario at work.
type identity struct {
	*wires
	limit time.Duration
	at    map[string]harness.Adapter // where each is, and under which name
	facts identityFacts
}

// openNeighbours opens the cast.
func openNeighbours(ctx context.Context, t *spec.Trial, l profile.Load) *wires {
	var text strings.Builder
	text.WriteString("apiVersion: plumbline/v1\nkind: Rig\nname: identity\ndevices:\n")
	period := periodOf(t, len(neighbours), l.Rate)
	for _, n := range neighbours {
		fmt.Fprintf(&text, "  - {id: %s, kind: %s, period: %s, baud: %d}\n", n.id, harness.KindNodeTwin, period, wireBaud)
	}
	specs, err := harness.ParseDevices("identity", []byte(text.String()))
	t.Check(err)
	plan := harness.Plan{Sources: specs, Adapters: map[string]harness.Adapter{}}
	for i, n := range neighbours {
		specs[i].Port, plan.Adapters[n.id] = n.port, n.adapter
	}
	return openScreens(ctx, t, l, plan)
}

func driveIdentity(ctx context.Context, t *spec.Trial) {
	l := t.Load("identity")
	if why := harness.NoAdapters(); why != "" {
		t.Keep(identityFacts{wiresFacts: wiresFacts{Absent: why}})
		return
	}
	t.Step("start the system with %d viewers; stand up %d nodes behind USB adapters, two of them alike", l.Viewers, len(neighbours))
	x := &identity{wires: openNeighbours(ctx, t, l), limit: identityPatience, at: map[string]harness.Adapter{}}
	for _, n := range neighbours {
		x.at[n.id] = n.adapter
	}
	t.Step("%d times exchange the names of two, and plug a stranger in in the place of one for %s", l.Cycles, l.Hold)
	t.Check(x.Around(ctx, "identity", 0, 0, func(ctx context.Context) error {
		if err := x.shown(ctx, l.Drain, func(_ string, total, _ uint64) bool { return total > 0 }); err != nil {
			return err
		}
		x.choose(ctx)
		for cycle := range l.Cycles {
			if err := x.exchange(ctx); err != nil {
				return err
			}
			if err := x.replace(ctx, neighbours[(cycle+2)%4], l.Hold); err != nil {
				return err
			}
		}
		return x.settle(ctx, l.Drain)
	}))
	t.Step("drain, end everything and hold the screens against the wires")
	t.Check(x.Finish(ctx))
	x.facts.wiresFacts = x.wires.facts()
	t.Keep(x.facts)
}

// identityPatience is how long a device that is plugged in is waited for.
const identityPatience = 10 * time.Second

// choose asks for the one of two that are alike.
func (x *identity) choose(ctx context.Context) {
	r := portWord{Who: ambiguous, Must: []string{"more than one device fits", neighbours[2].port, neighbours[3].port}}
	if err := x.TryPort(ctx, ambiguous); err != nil {
		r.Said = err.Error()
	}
	x.facts.Refusals = append(x.facts.Refusals, r)
}

// exchange pulls the first two out and plugs them in, each where and under which
// name the other was.
func (x *identity) exchange(ctx context.Context) error {
	a, b := neighbours[0].id, neighbours[1].id
	if err := x.unplug(ctx, a, b); err != nil {
		return err
	}
	first, second := x.at[a], x.at[b]
	first.Node, first.Place, second.Node, second.Place = second.Node, second.Place, first.Node, first.Place
	x.at[a], x.at[b] = first, second
	return x.plug(ctx, b, a)
}

// replace plugs the stranger in in the place of a device for as long as hold.
func (x *identity) replace(ctx context.Context, n neighbour, hold time.Duration) error {
	screens := append(append([]*harness.Screen{}, x.screens...), x.passed)
	before := make([]uint64, len(screens))
	if err := x.freeze(ctx, n.id, true); err != nil {
		return err
	}
	settled, cancel := context.WithTimeout(ctx, x.limit)
	defer cancel()
	for i, s := range screens {
		s.Rolled(settled, n.id, func(_, last uint64) bool { return last >= x.Serial[n.id].Ledger.Last() })
		before[i] = s.Roll(n.id).Total
	}
	if err := x.unplug(ctx, n.id, stranger); err != nil {
		return err
	}
	since, own, place := x.Clock.Now(), x.at[stranger], x.at[n.id]
	disguised := own // what it is stays
	disguised.Node, disguised.Place = place.Node, place.Place
	x.at[stranger] = disguised
	if err := x.plug(ctx, stranger); err != nil {
		return err
	}
	if err := x.freeze(ctx, n.id, false); err != nil {
		return err
	}
	if err := harness.Wait(ctx, hold); err != nil {
		return err
	}
	if err := x.hearken(ctx, n); err != nil {
		return err
	}
	shown := x.since(ctx, n.id, before)
	for i, name := range x.names {
		x.facts.Silences = append(x.facts.Silences, silence{n.id, name, "replaced by another device", since, shown[i], shown[len(x.names)]})
	}
	if err := x.unplug(ctx, stranger); err != nil {
		return err
	}
	x.at[stranger] = own
	return x.plug(ctx, n.id, stranger)
}

// hearken waits until the driver of a device says why its port is not back.
func (x *identity) hearken(ctx context.Context, n neighbour) error {
	r := portWord{Who: n.id, Must: []string{n.port, "no such device is plugged in"}}
	if strings.Contains(n.port, "@") { // of a place it can say what is there
		r.Must = []string{n.port, "another device is plugged in there", neighbours[len(neighbours)-1].port}
	}
	limited, cancel := context.WithTimeout(ctx, x.limit)
	defer cancel()
	_ = harness.Until(limited, x.limit, "a word of a driver", func() bool { // what is missing is for the judgement
		r.Said = x.PortTold(n.id).Detail
		return r.lacks() == ""
	})
	x.facts.Refusals = append(x.facts.Refusals, r)
	return ctx.Err()
}

// lacks returns what was not said, "" when all was.
func (r portWord) lacks() string {
	for _, word := range r.Must {
		if !strings.Contains(r.Said, word) {
			return word
		}
	}
	return ""
}

func (x *identity) freeze(ctx context.Context, id string, frozen bool) error {
	fixture, err := x.Fixture(id)
	if err != nil {
		return err
	}
	return fixture.Impair(ctx, harness.Impairment{Frozen: frozen})
}

// unplug pulls devices out.
func (x *identity) unplug(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		fixture, err := x.Fixture(id)
		if err != nil {
			return err
		}
		if err := fixture.Unplug(ctx); err != nil {
			return fmt.Errorf("%w: unplug %q: %w", harness.ErrBench, id, err)
		}
	}
	return nil
}

// plug plugs devices in where they are to be, one after the other, and waits until
// every screen shows something newer of them.
func (x *identity) plug(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		fixture, err := x.Fixture(id)
		if err != nil {
			return err
		}
		usb, able := fixture.(harness.Adapted)
		if !able {
			return fmt.Errorf("%w: device %q is behind no adapter", harness.ErrBench, id)
		}
		if err := usb.PlugAs(ctx, x.at[id]); err != nil {
			return fmt.Errorf("%w: plug %q: %w", harness.ErrBench, id, err)
		}
	}
	said := x.said()
	limited, cancel := context.WithTimeout(ctx, x.limit)
	defer cancel()
	for _, screen := range x.screens {
		for _, id := range ids {
			screen.Rolled(limited, id, func(_, last uint64) bool { return last > said[id] })
		}
	}
	return ctx.Err()
}

func judgeIdentity(c *spec.Case) {
	facts := spec.Facts[identityFacts](c)
	if absent(c, facts.Absent) {
		return
	}
	j := newJudged(c)
	j.carried("HW-06", facts.wiresFacts)
	j.mistaken("HW-07", facts)
	j.show("t0i→t4, exchanged devices", time.Second)
}

// mistaken judges that nothing was shown of a device in whose place another one was,
// and that drivers said so. They are the bench's: that one says nothing leaves the
// question open, and is held against no system.
func (j *judged) mistaken(id string, facts identityFacts) {
	shown, late, found := j.broken(id, facts.Silences)
	for _, r := range facts.Refusals {
		if missing := r.lacks(); missing != "" {
			late++
			found = append(found, reports.Finding{
				Requirement: id, Kind: "not-told", Subject: r.Who, Evidence: j.base.Evidence,
				Detail: fmt.Sprintf("the bench's driver of it said %q, and nothing of %q", r.Said, missing),
			})
		}
	}
	j.none(id, "device/devices taken for another", "refusals, and silences of replaced devices at viewers",
		int64(len(facts.Silences)+len(facts.Refusals)), shown, late, found, j.samples(id))
}
