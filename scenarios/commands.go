package scenarios

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/generator"
	"plumbline/harness/load"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// loopCommand is one command of a viewer and what became of it.
type loopCommand struct {
	Device  string            `json:"device"`
	Text    string            `json:"text"`
	At      int64             `json:"at_ns"`    // the viewer began to send it
	Refused string            `json:"refused"`  // what the system answered instead of taking it
	Unheard string            `json:"unheard"`  // why it was never asked, though nobody said no; "" when it was
	Acted   int64             `json:"acted_ns"` // the actuator was seen to have moved, 0 when it never was
	Reached bool              `json:"reached"`  // it moved when the command was published past the system
	Read    []oracle.Stimulus `json:"read"`     // reading back, for each viewer
}

// command lets a viewer send commands to the devices in turn, each to one actuator.
func (x *loop) command(ctx context.Context, all []harness.DeviceSpec) error {
	verbs := verbsOf[x.SUT.Viewer().Protocol]
	if x.facts.Mute = mute(x.SUT.Descriptor()); x.facts.Mute != "" {
		return nil
	}
	obedient := slices.DeleteFunc(slices.Clone(all), func(d harness.DeviceSpec) bool { return !obeys(d) })
	if len(obedient) == 0 {
		x.facts.Mute = "no declared device has an actuator"
		return nil
	}
	for _, d := range obedient {
		if err := x.atRest(ctx, d); err != nil {
			return err
		}
	}
	for n := range x.commands() {
		c, err := x.say(ctx, verbs[0], instructionOf(obedient[n%len(obedient)], n/len(obedient), n))
		if err != nil {
			return err
		}
		x.facts.Commands = append(x.facts.Commands, c)
	}
	return nil
}

// mute returns why viewers of a system cannot send a command, "" when they can.
func mute(d sut.Descriptor) string {
	switch protocol := d.Viewer.Protocol; {
	case len(verbsOf[protocol]) == 0:
		return "viewers that speak " + protocol + " have no way to send a command"
	case protocol != viewer.Plumbline && d.Auth != nil && d.Auth.JWT != nil && d.Auth.JWT.GrantsClaim != "":
		return "the descriptor says how a token grants seeing a topic (auth.jwt.grantsClaim), and nothing says how one grants publishing to it"
	}
	return ""
}

// say lets a viewer send one command and looks at what becomes of it.
func (x *loop) say(ctx context.Context, v verb, o instruction) (loopCommand, error) {
	c := loopCommand{Device: o.device, Text: o.text}
	topic := harness.CommandTopic(o.device)
	token := ""
	if x.SUT.Mints() {
		var err error
		if token, err = x.SUT.Token(sut.TokenSpec{Subject: "operator", Grants: []string{harness.AllTopics}, Publish: []string{topic}}); err != nil {
			return c, err
		}
	}
	way := viewer.ProbeSpec{URL: x.SUT.ViewerURL(), TLS: x.SUT.TLS(), Origins: []string{x.SUT.Origin()}, Wait: x.wait("HIL-03")}
	trying, enough := context.WithCancel(ctx)
	defer enough()
	var sending sync.WaitGroup
	sought := x.seek(o.device, o.read)
	c.At = x.Clock.Now()
	sending.Go(func() { c.hear(v, viewer.Probe(trying, v.try(way, token, topic, c.Text))) })
	moved, err := x.moved(ctx, o)
	if moved != 0 {
		enough() // no answer says more
	}
	sending.Wait()
	if c.Acted = moved; moved != 0 {
		c.Read = sought.told(ctx, x.wait("HIL-03"), c.At)
		return c, ctx.Err()
	}
	sought.forget()
	if err == nil && c.Refused+c.Unheard == "" {
		c.Reached, err = x.past(ctx, o)
	}
	return c, err
}

// hear keeps what the system answered. Only what it said itself is a refusal.
func (c *loopCommand) hear(v verb, r viewer.ProbeResult) {
	switch asked, _ := v.answer(r); {
	case asked:
		c.Refused = refusal(r)
	case r.CloseCode != 0, r.HTTPStatus/100 == 4 && r.HTTPStatus != http.StatusRequestTimeout && r.HTTPStatus != http.StatusTooManyRequests:
		c.Refused = fmt.Sprintf("the viewer was not let in (HTTP status %d, close code %d)", r.HTTPStatus, r.CloseCode)
	default:
		c.Unheard = fmt.Sprintf("the viewer did not get in (HTTP status %d, error %v)", r.HTTPStatus, r.Err)
	}
}

// refusal returns the frame that says no, "" for none.
func refusal(r viewer.ProbeResult) string {
	for _, frame := range r.Frames {
		if typeOf(frame) == "puberr" {
			return string(frame[:min(len(frame), 200)])
		}
	}
	return ""
}

// moved waits until an actuator is in a state and returns when it was seen to be; 0
// when it did not come to be in time.
func (x *loop) moved(ctx context.Context, o instruction) (int64, error) {
	fixture, err := x.Fixture(o.device)
	if err != nil {
		return 0, err
	}
	for until := x.Clock.Now() + int64(x.wait("HIL-03")); x.Clock.Now() < until; {
		state, err := fixture.Observe(ctx, o.actuator)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%w: %w", harness.ErrBench, err)
		case math.Abs(state-o.state.value) <= o.state.within:
			return x.Clock.Now(), nil
		}
		if err := harness.Wait(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// past publishes a command past the system under test and reports whether the
// device obeyed: then it was the system that did not bring the viewer's.
func (x *loop) past(ctx context.Context, o instruction) (bool, error) {
	line, err := x.hand(ctx, o.device)
	if err != nil {
		return false, err
	}
	if _, err := line.Send(ctx, load.Parcel{Raw: []byte(o.text), QoS: 1}); err != nil {
		return false, err
	}
	moved, err := x.moved(ctx, o)
	return moved != 0, err
}

// hand returns what publishes commands for a device past the system: one for each,
// for a second of the same name would take over from the first.
func (x *loop) hand(ctx context.Context, device string) (*generator.Line, error) {
	if line := x.hands[device]; line != nil {
		return line, nil
	}
	hand, err := x.Hand(ctx, "control of "+device, nil)
	if err != nil {
		return nil, err
	}
	line, err := hand.Line(ctx, record.Stream{
		Device: "control of " + device, Topic: harness.CommandTopic(device), Mode: string(reports.ModeSim), QoS: 1, Foreign: true,
	})
	x.hands[device] = line
	return line, err
}
