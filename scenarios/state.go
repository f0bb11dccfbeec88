package scenarios

// State: does a viewer show what is the case?
//
// Requirements: STA-01 with ORD-04; STA-02, STA-03 with LAT-07.
//
// Procedure "late":
//  1. Start the bridge; devices publish messages to be retained, then fall silent.
//  2. Viewers that come now must at once be given the newest value of each device.
//  3. Let the devices publish again; while they do, viewers come and go. None may
//     be given a value that is older than one it has already.
//
// Procedure "live":
//  1. Start the bridge. Again and again all devices publish a burst and fall silent.
//  2. Devices with a will, on connections of their own, end as in a crash, by RST.
//  3. Judge when the last value of each burst was shown, for how long viewers
//     showed an older one, and when they learned that a device is gone.

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"plumbline/harness"
	"plumbline/harness/load"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// burstLength is how long the devices speak in a burst.
const burstLength = 25 * time.Millisecond

var _ = spec.Describe("State", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "late", Title: "gives a viewer that comes late the newest value of each device, and never an older one after it",
		Requirements: []string{"STA-01", "ORD-04"}, Loads: []string{"late"},
		Drive: driveLate, Judge: judgeLate,
	})
	s.Scenario(spec.Scenario{
		ID: "live", Title: "shows the last value of every burst, and that a device is gone",
		Requirements: []string{"STA-02", "STA-03", "LAT-07"}, Loads: []string{"live"},
		Drive: driveLive, Judge: judgeLive,
	})
})

// quietVisitors are how many viewers come while the devices are silent.
const quietVisitors = 3

// lateFacts tells the visitors apart.
type lateFacts struct {
	Quiet  []string `json:"quiet"`  // came while the devices were silent
	Racing []string `json:"racing"` // came while they published
	Marks  bool     `json:"marks"`  // the viewers' protocol tells a last value from a live one
}

func driveLate(ctx context.Context, t *spec.Trial) {
	l := t.Load("late")
	t.Step("start the bridge with %d viewers; %d devices publish messages to be retained for %s", l.Viewers, l.Devices, filling)
	b := t.Open(ctx, harness.Plan{Load: l, Retain: true})
	t.Check(b.Window(ctx, "filling", 0, filling))
	t.Check(b.Arrived(ctx))
	stay := patient(t.Limit("STA-01"), lateStay)
	facts := lateFacts{Marks: marksLastValues(b.SUT.Viewer().Protocol)}
	t.Step("while the devices are silent %d viewers come, one after the other", quietVisitors)
	for i := range quietVisitors {
		facts.Quiet = append(facts.Quiet, fmt.Sprintf("late-%d", i+1))
		t.Check(comeLate(ctx, b, facts.Quiet[i], stay, func(c viewer.Counters) bool { return c.Restored+c.Received >= uint64(l.Devices) }))
	}
	t.Step("while the devices publish %.0f messages/s, %d viewers come and go", l.Rate, l.Cycles)
	t.Check(b.Around(ctx, "racing", 50*time.Millisecond, 50*time.Millisecond, func(ctx context.Context) error {
		for i := range l.Cycles {
			facts.Racing = append(facts.Racing, fmt.Sprintf("racing-%03d", i+1))
			// Some live messages behind the last values, so that one out of place shows.
			few := func(c viewer.Counters) bool { return c.Received >= 3 && c.Restored+c.Received >= uint64(l.Devices) }
			if err := comeLate(ctx, b, facts.Racing[i], stay, few); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Step("drain, end everything and judge what the viewers were given")
	t.Check(b.Finish(ctx))
	t.Keep(facts)
}

// filling is how long the devices publish before any viewer comes late.
const filling = 300 * time.Millisecond

// lateStay is how long a viewer waits at least for what it should be given at once.
const lateStay = 3 * time.Second

// comeLate opens a viewer that asks for the last values, waits until it has
// enough or stay is over, and closes it.
func comeLate(ctx context.Context, b *harness.Bench, name string, stay time.Duration, enough func(viewer.Counters) bool) error {
	cfg := harness.ViewerConfig(b, name)
	cfg.Snapshot = true
	v, err := b.AddViewer(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.RemoveViewer(v)
	err = harness.Until(ctx, stay, "the last values", func() bool { return enough(v.Counters()) })
	if err != nil && ctx.Err() != nil {
		return err // else it was given too little, as the recording shows
	}
	return v.Close()
}

// marksLastValues reports whether a viewers' protocol tells last values from
// live ones.
func marksLastValues(protocol string) bool {
	return protocol == viewer.Plumbline || protocol == viewer.MQTT
}

func judgeLate(c *spec.Case) {
	j, facts := newJudged(c), spec.Facts[lateFacts](c)
	j.lastValues("STA-01", facts, j.samples("STA-01"))
	j.neverOlder("ORD-04", facts.Racing, j.samples("ORD-04"))
	// Viewers that come and go are owed little of what is published: an account of losses would blame the system for it.
	c.Show(spec.Figures{Rig: &j.health, Devices: j.devices})
}

// lastValues judges what viewers were given that came while nothing was sent.
func (j *judged) lastValues(id string, facts lateFacts, least int64) {
	o := j.options(id)
	o.Viewers = facts.Quiet
	var times []stretch
	var found []reports.Finding
	for _, s := range j.history.Shown(o) {
		kind, detail := "", ""
		switch {
		case s.First == 0:
			kind, detail = "no-last-value", fmt.Sprintf("the viewer was never given a value, #%d was retained", s.Newest)
		case s.First < s.Newest:
			kind, detail = "old-last-value", fmt.Sprintf("the viewer was first given #%d, though #%d was retained", s.First, s.Newest)
		case facts.Marks && !s.Marked:
			kind, detail = "unmarked-last-value", fmt.Sprintf("#%d came as if it were live", s.First)
		}
		if kind != "" {
			found = append(found, reports.Finding{
				Requirement: id, Kind: kind, Subject: s.Viewer + " ← " + s.Device, Detail: detail, Seq: s.Newest,
				At: time.Duration(s.At), Confirmed: true, Evidence: o.Evidence,
			})
			continue
		}
		times = append(times, stretch{s.At, s.Took})
	}
	met := j.unmet
	found = j.watchedFor(id, found, patient(j.Limit(id), lateStay))
	j.within(id, "connection to the last value of a device", times, found, least)
	j.unmet = met
}

// neverOlder judges that no viewer was given a value older than one it had.
func (j *judged) neverOlder(id string, racing []string, least int64) {
	o := j.options(id)
	shown := o
	shown.Viewers = racing
	a, found := j.history.Order(o)
	n := int64(0)
	for _, s := range j.history.Shown(shown) {
		if s.Current {
			n++
		}
	}
	j.none(id, "older value/older values", "last values given while devices published", n, a.Stale, 0, ofKind(found, "stale"), least)
}

// liveFacts names the devices that ended as in a crash.
type liveFacts struct {
	Ends []end `json:"ends"`
}

// end is how one device ended.
type end struct {
	Device string `json:"device"`
	Digest uint64 `json:"digest,string"` // of its will
	At     int64  `json:"at_ns"`         // its connection was ended; of a sensor: the broker passed on what it said
	// Of a sensor: what it said, and from when on a viewer may have shown it.
	Said  string `json:"said,omitempty"`
	Since int64  `json:"since_ns,omitempty"`
}

func driveLive(ctx context.Context, t *spec.Trial) {
	l := t.Load("live")
	t.Step("start the bridge with %d viewers and %d devices", l.Viewers, l.Devices)
	sensors, filters := followed(t), []string{harness.AllTopics}
	for _, d := range sensors {
		for _, topic := range d.StateTopics() {
			if !slices.Contains(filters, topic) { // devices may share one
				filters = append(filters, topic)
			}
		}
	}
	b := t.Open(ctx, harness.Plan{Load: l, Sensors: sensors, Filters: filters})
	var facts liveFacts
	if t.Applies("STA-02") {
		t.Step("%d devices with a will end as in a crash, by RST and without DISCONNECT", wills)
		for i := range wills {
			ended, err := crash(ctx, b, fmt.Sprintf("mortal-%d", i+1), t.Limit("STA-02").Time)
			t.Check(err)
			facts.Ends = append(facts.Ends, ended)
		}
		if len(sensors) > 0 {
			t.Step("%d declared sensors that publish by themselves: the twins among them come and go", len(sensors))
			told, err := comeAndGo(ctx, b, sensors, t.Limit("STA-02").Time)
			t.Check(err)
			facts.Ends = append(facts.Ends, told...)
		}
	}
	t.Step("%d times: all devices publish for %s and are silent for %s", l.Cycles, burstLength, l.Hold)
	for i := range l.Cycles {
		from := b.Clock.Now()
		t.Check(b.Drive(ctx, burstLength, nil))
		b.Mark(fmt.Sprintf("burst-%02d", i+1), from, b.Clock.Now())
		t.Check(harness.Wait(ctx, l.Hold))
	}
	t.Step("drain, end everything and judge what the viewers showed")
	if t.Applies("STA-02") {
		facts.Ends = append(facts.Ends, saidByThemselves(b, sensors, t.Limit("STA-02").Time)...)
	}
	t.Check(b.Finish(ctx))
	t.Keep(facts)
}

// followed returns the sensors whose word of being there is asked for: none where
// nobody asks, and none of a system that is polled, whose viewers would look at
// everything else more seldom for each topic more.
func followed(t *spec.Trial) []harness.DeviceSpec {
	if !t.Applies("STA-02") || t.Rig.ViewerProtocol() == viewer.Poll {
		return nil
	}
	return t.Rig.Sensors()
}

// wills is how many devices end as in a crash.
const wills = 3

// crash connects a device with a will, ends its connection hard, and waits
// until the viewers know, at most twice the limit.
func crash(ctx context.Context, b *harness.Bench, name string, limit time.Duration) (end, error) {
	topic := harness.Topic(name + "/state")
	text := []byte("offline " + b.Run() + " " + name)
	hand, err := b.Hand(ctx, name, &load.Will{Topic: topic, Payload: text, QoS: 1, Retain: b.SUT.Has(sut.CapRetained)})
	if err != nil {
		return end{}, err
	}
	line, err := hand.Line(ctx, record.Stream{Device: name, Topic: topic, Mode: string(reports.ModeSim), QoS: 1, Foreign: true})
	if err != nil {
		return end{}, err
	}
	line.Expect(text)
	before := received(b)
	e := end{Device: name, Digest: b.Recorder.Digest(text), At: b.Clock.Now()}
	b.Recorder.Event(record.Event{At: e.At, Kind: record.FaultOnset, Subject: "crash of " + name})
	err = hand.Drop(ctx)
	b.Recorder.Event(record.Event{Kind: record.FaultEnd, Subject: "crash of " + name})
	if err != nil {
		return e, err
	}
	return e, anotherSeen(ctx, b, before, 2*limit)
}

func judgeLive(c *spec.Case) {
	l, j, facts := c.Load("live"), newJudged(c), spec.Facts[liveFacts](c)
	j.told("STA-02", facts.Ends, j.samples("STA-02"))
	j.finals("STA-03", j.samples("STA-03"))
	j.fresh("LAT-07", 1)
	j.show(fmt.Sprintf("t0i→t4, %d bursts of %s", l.Cycles, burstLength), 100*time.Millisecond)
}

// told judges how soon viewers learned that devices had ended.
func (j *judged) told(id string, ends []end, least int64) {
	var times []stretch
	var found []reports.Finding
	for _, e := range ends {
		sights, witnessed := j.history.Sights(j.options(id), e.Device, e.Digest, cmp.Or(e.Since, e.At))
		for _, s := range sights {
			if s.At != 0 {
				times = append(times, stretch{e.At, max(time.Duration(s.At-e.At), 0)}) // a viewer may be before the witness
				continue
			}
			found = append(found, reports.Finding{
				Requirement: id, Kind: "not-told", Subject: s.Viewer + " ← " + e.Device, At: time.Duration(e.At),
				Confirmed: witnessed || j.base.BrokerInside, Evidence: j.base.Evidence,
				Detail: cmp.Or(e.Said, "the device ended without DISCONNECT and its will") + " never reached the viewer",
			})
		}
	}
	j.within(id, "end of a device to its will at a viewer", times, found, least)
}

// finals judges how soon the last value of every burst was shown.
func (j *judged) finals(id string, least int64) {
	list, found := j.history.Finals(j.options(id))
	var times []stretch
	for _, f := range list {
		if f.Arrived {
			times = append(times, stretch{f.Due, f.Took})
		}
	}
	j.within(id, "last value of a burst to its arrival", times, found, least)
}

// fresh judges for how long a viewer showed an older value.
func (j *judged) fresh(id string, least int64) {
	limit := j.Limit(id)
	clock := j.history.Clocks(j.options(id)).Uncertainty
	s, found := j.history.Stale(j.options(id), limit.Time+clock, j.stood)
	figure := &reports.Measurement{
		Guard: clock.Seconds() * 1e3,
		Name:  "longest time that an older value was shown", Unit: "ms", Estimate: reports.Float(s.Longest.Seconds() * 1e3),
		Limit: reports.Float(limit.Time.Seconds() * 1e3), N: s.Values, NEff: s.Values, VIF: 1, Confidence: 0.99, Lower: nan, Upper: nan,
	}
	gates := append(j.sound(id), rigAway(s.Excused, j.stood.Untold(limit.Time+clock))...)
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: s.Values, MinN: least, Findings: found, Figure: figure, Seed: j.Seed(), Gates: gates,
	}))
}
