package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// stimuli are as many as the recording of a good bridge can hold, at device d1
// every 100 ms, each told to viewer-01 by the message that came so long after it.
func stimuli(after time.Duration) (list []oracle.Stimulus) {
	for seq := uint64(600); seq < messages; seq += 25 {
		due := int64(2*seq-1) * every // d1 has every other message, from the first
		list = append(list, oracle.Stimulus{Device: "d1", Viewer: "viewer-01", What: "t = 1", At: due + int64(time.Millisecond) - int64(after), Seq: seq, Passed: true})
	}
	return list
}

// sparse are so many of them, as far apart as they can be: each is waited for in vain.
func sparse(list []oracle.Stimulus, n int) (some []oracle.Stimulus) {
	for i := range n {
		some = append(some, list[i*len(list)/n])
	}
	return some
}

// commanded are commands that moved their actuator and were read back, after so long.
func commanded(after time.Duration) (list []loopCommand) {
	for _, s := range stimuli(after)[:20] {
		list = append(list, loopCommand{Device: "d1", Text: "out 0 1 7", At: s.At, Acted: s.At + int64(after), Read: []oracle.Stimulus{s}})
	}
	return list
}

// nodes are devices as reports name them.
func nodesIn(tiers ...int) (list []reports.Device) {
	for _, tier := range tiers {
		list = append(list, reports.Device{ID: "d", Tier: tier, Time: "live"})
	}
	return list
}

func TestTheLoopIsJudgedByWhatTheRecordsBearOut(t *testing.T) {
	const quick, slow = 40 * time.Millisecond, 1100 * time.Millisecond
	with := func(list []oracle.Stimulus, change func(i int, s *oracle.Stimulus)) []oracle.Stimulus {
		for i := range list {
			change(i, &list[i])
		}
		return list
	}
	spoiled := func(change func(c *loopCommand)) []loopCommand {
		list := commanded(quick)
		change(&list[3])
		return list
	}
	fast := nodesIn(2, 2)
	fast[1].Time = "fast-forward"
	for name, c := range map[string]struct {
		stimuli  []oracle.Stimulus
		commands []loopCommand
		devices  []reports.Device
		verdict  reports.Verdict
		reason   reports.Reason
		kind     string
	}{
		"in time": {stimuli: stimuli(quick), verdict: reports.Pass},
		"late":    {stimuli: stimuli(slow), verdict: reports.Fail, kind: "late"},
		"never shown": {stimuli: with(stimuli(quick), func(i int, s *oracle.Stimulus) {
			if i%10 == 0 {
				s.Seq = 0
			}
		}), verdict: reports.Fail, kind: "missing"},
		"all is dark": {stimuli: with(sparse(stimuli(quick), loopDark), func(_ int, s *oracle.Stimulus) { s.Seq = 0 }), verdict: reports.Fail, kind: "missing"},
		"never published": {stimuli: with(stimuli(quick), func(i int, s *oracle.Stimulus) {
			if i == 7 {
				s.Seq, s.Passed = 0, false
			}
		}), verdict: reports.Inconclusive, reason: reports.ReasonEnvironment},
		"not on record": {stimuli: with(stimuli(quick), func(i int, s *oracle.Stimulus) {
			if i == 7 {
				s.Seq = messages + 1
			}
		}), verdict: reports.Inconclusive, reason: reports.ReasonEnvironment},
		"before it was set": {stimuli: stimuli(-time.Second), verdict: reports.Inconclusive, reason: reports.ReasonClock},
		"too few":           {stimuli: stimuli(quick)[:100], verdict: reports.Inconclusive, reason: reports.ReasonSamples},
		"two tiers":         {stimuli: stimuli(quick), devices: nodesIn(1, 2), verdict: reports.Inconclusive, reason: reports.ReasonEnvironment},
		"two times":         {stimuli: stimuli(quick), devices: fast, verdict: reports.Inconclusive, reason: reports.ReasonEnvironment},

		"obeyed":         {commands: commanded(quick), verdict: reports.Pass},
		"obeyed late":    {commands: commanded(2100 * time.Millisecond), verdict: reports.Fail},
		"refused":        {commands: spoiled(func(c *loopCommand) { c.Acted, c.Refused, c.Read = 0, "no", nil }), verdict: reports.Fail, kind: "refused"},
		"swallowed":      {commands: spoiled(func(c *loopCommand) { c.Acted, c.Reached, c.Read = 0, true, nil }), verdict: reports.Fail, kind: "not-obeyed"},
		"not read back":  {commands: spoiled(func(c *loopCommand) { c.Read[0].Seq = 0 }), verdict: reports.Fail, kind: "not-shown"},
		"never heard":    {commands: spoiled(func(c *loopCommand) { c.Acted, c.Unheard, c.Read = 0, "no answer", nil }), verdict: reports.Inconclusive, reason: reports.ReasonEnvironment},
		"broken device":  {commands: spoiled(func(c *loopCommand) { c.Acted, c.Read = 0, nil }), verdict: reports.Inconclusive, reason: reports.ReasonEnvironment},
		"a few commands": {commands: commanded(quick)[:5], verdict: reports.Inconclusive, reason: reports.ReasonSamples},
	} {
		t.Run(name, func(t *testing.T) {
			r := judgement(t, goodLog(), func(j *judged) {
				if j.devices = c.devices; c.devices == nil {
					j.devices = nodesIn(2)
				}
				if c.commands != nil {
					j.obeyed("HIL-03", c.commands)
				} else {
					j.responses("HIL-02", c.stimuli)
				}
			})
			if r.Verdict != c.verdict || r.Reason != c.reason {
				t.Fatalf("%s(%s) %s", r.Verdict, r.Reason, r.Sentence)
			}
			if c.kind != "" && !slices.ContainsFunc(r.Findings, func(f reports.Finding) bool { return f.Kind == c.kind }) {
				t.Errorf("no finding of kind %q: %+v", c.kind, r.Findings)
			}
		})
	}
}

// Nobody waits for hours where nothing is ever shown, and what is shown now and
// then goes on.
func TestWhereNothingIsShownTheLoopEnds(t *testing.T) {
	broken := errors.New("no device")
	for name, c := range map[string]struct {
		shown func(k int) bool
		fails int
		want  int
	}{
		"all":      {func(int) bool { return true }, 1000, 320},
		"none":     {func(int) bool { return false }, 1000, loopDark},
		"some":     {func(k int) bool { return k%loopDark == loopDark-1 }, 1000, 320},
		"no more":  {func(k int) bool { return k < 100 }, 1000, 100 + loopDark},
		"an error": {func(int) bool { return false }, 3, 4},
	} {
		n := 0
		err := untilDark(320, loopDark, func(k int) (bool, error) {
			n++
			if k == c.fails {
				return false, broken
			}
			return c.shown(k), nil
		})
		if n != c.want || errors.Is(err, broken) != (c.fails < 1000) {
			t.Errorf("%s: %d stimuli, not %d: %v", name, n, c.want, err)
		}
	}
}

// Only what a system says is a refusal: that it was slow, or not there, is none.
func TestOnlyWhatIsSaidIsARefusal(t *testing.T) {
	pub := verbsOf[viewer.Plumbline][0]
	frames := func(list ...string) (r viewer.ProbeResult) {
		for _, f := range list {
			r.Frames = append(r.Frames, []byte(f))
		}
		r.HTTPStatus = 101
		return r
	}
	closed := frames()
	closed.CloseCode = 4002
	for name, c := range map[string]struct {
		r                viewer.ProbeResult
		refused, unheard bool
	}{
		"taken":            {frames(`{"type":"welcome"}`, `{"type":"pubok"}`), false, false},
		"no answer":        {frames(`{"type":"welcome"}`), false, false},
		"refused":          {frames(`{"type":"welcome"}`, `{"type":"puberr"}`), true, false},
		"closed":           {closed, true, false},
		"status 401":       {viewer.ProbeResult{HTTPStatus: 401}, true, false},
		"status 429":       {viewer.ProbeResult{HTTPStatus: 429}, false, true},
		"status 503":       {viewer.ProbeResult{HTTPStatus: 503}, false, true},
		"let in too late":  {frames(), false, true},
		"nobody was there": {viewer.ProbeResult{Err: errors.New("connection refused")}, false, true},
	} {
		var got loopCommand
		got.hear(pub, c.r)
		if (got.Refused != "") != c.refused || (got.Unheard != "") != c.unheard {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Nothing is held against a system whose tokens for publishing nobody described.
func TestASystemWithoutAWayToSendIsMute(t *testing.T) {
	grants := &sut.Auth{JWT: &sut.JWT{GrantsClaim: "topics"}}
	for name, c := range map[string]struct {
		protocol string
		auth     *sut.Auth
		mute     bool
	}{
		"ours":                      {viewer.Plumbline, grants, false},
		"MQTT without tokens":       {viewer.MQTT, nil, false},
		"MQTT, tokens for all":      {viewer.MQTT, &sut.Auth{JWT: &sut.JWT{}}, false},
		"MQTT, tokens with grants":  {viewer.MQTT, grants, true},
		"a protocol without a verb": {"poll", nil, true},
	} {
		if got := mute(sut.Descriptor{Viewer: sut.Viewer{Protocol: c.protocol}, Auth: c.auth}); (got != "") != c.mute {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A rig without such devices is not blamed, and nothing is made up for it.
func TestWithoutDevicesTheLoopIsNotApplicable(t *testing.T) {
	c := caseOf(t, loopFacts{Absent: "there are none"})
	c.Scenario.Requirements = []string{"HIL-01", "HIL-02", "HIL-03"}
	judgeLoop(c)
	if len(c.Results()) != 3 {
		t.Fatalf("%d results", len(c.Results()))
	}
	for _, r := range c.Results() {
		if r.Verdict != reports.NotApplicable {
			t.Errorf("%s: %s", r.Requirement, r.Verdict)
		}
	}
}

func TestEveryStimulusIsAnotherValueOfTheSensor(t *testing.T) {
	seen := map[float64]bool{}
	for k := range 2400 {
		v := loopValue(k)
		if seen[v] || v < -40 || v > 127.9 || v*16 != float64(int(v*16)) {
			t.Fatalf("stimulus %d: %v", k, v)
		}
		seen[v] = true
	}
}

// A real board is set to all its values in turn, each time to another, and its
// actuators are moved each time.
func TestABoardIsGoneThroughInTurn(t *testing.T) {
	specs, err := harness.ParseDevices("lab.yaml", []byte(`apiVersion: plumbline/v1
kind: Rig
name: lab
devices:
  - id: board
    kind: serial
    port: "usb:2341:0043:SN-7"
    codec: linejson
    modemReadings: true
    set:
      temperature: {write: "T {value}", from: 15, to: 16, step: 0.5, tolerance: 0.1}
      lamp: {line: dtr, low: 10, high: 800}
    actuators:
      contact: {on: "C 1", off: "C 0", reads: modem_cts}
      valve: {on: "V OPEN\r\n", off: "V SHUT\r\n", low: 4, high: 20, tolerance: 1}
  - {id: fan, kind: serial, port: "usb:2341:0043:SN-8", codec: linejson, actuators: {fan: {on: "F 1", off: "F 0"}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	d := specs[0]
	var got []string
	for k := range 8 {
		got = append(got, settingOf(d, k).String())
	}
	if want := []string{"lamp = 10", "temperature = 15 ± 0.1", "lamp = 800", "temperature = 15.5 ± 0.1", "lamp = 10", "temperature = 16 ± 0.1", "lamp = 800", "temperature = 15 ± 0.1"}; !slices.Equal(got, want) {
		t.Errorf("it is set to %q, want %q", got, want)
	}
	for name, before := range map[string]float64{"lamp": 800, "temperature": 16} {
		if v := d.Set[name].Value(-1); v != before {
			t.Errorf("%s begins with %v, want %v", name, v, before)
		}
	}
	got = nil
	for turn := range 5 {
		o := instructionOf(d, turn, 100)
		got = append(got, fmt.Sprintf("%s moves %s: %s", o.text, o.actuator, o.read))
	}
	if want := []string{
		"C 1 moves contact: modem_cts = 1", "V OPEN moves valve: valve = 20 ± 1", "C 0 moves contact: modem_cts = 0", "V SHUT moves valve: valve = 4 ± 1", "C 1 moves contact: modem_cts = 1",
	}; !slices.Equal(got, want) {
		t.Errorf("it is told %q, want %q", got, want)
	}
	node := harness.DeviceSpec{ID: "node-1", Kind: harness.KindNodeTwin}
	if o := instructionOf(node, 5, 16); o.text != "out 1 0 17" || o.actuator != harness.NodeOutput+"1" || o.read != (setting{name: harness.NodeDone, value: 17}) || o.state.value != 0 {
		t.Errorf("a node is told %+v", o)
	}
	for i, want := range []struct {
		settings int
		obeys    bool
	}{{2, true}, {0, true}} {
		if settings(specs[i]) != want.settings || obeys(specs[i]) != want.obeys {
			t.Errorf("%s has %d settings, obeys %v", specs[i].ID, settings(specs[i]), obeys(specs[i]))
		}
	}
}
