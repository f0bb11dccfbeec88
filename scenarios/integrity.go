package scenarios

// Integrity: does every payload and every topic arrive as it was sent?
//
// Requirements: INT-01 to INT-05.
//
// Procedure "payloads":
//  1. Start the bridge. No device speaks; everything is sent by hand, one
//     message after the acknowledgement of the other, each on a topic of its own.
//  2. Send text and numbers that careless software damages.
//  3. Send under topics that careless software confuses, each twice.
//  4. Where viewers may ask for compression one of them does: send messages that
//     are alike, to far beyond the window of its compression.
//  5. Where the system claims to carry what a message says about itself (MQTT 5
//     properties), send messages that say what careless software leaves out.
//  6. Send the ladder of sizes, as text and, where the system claims to carry
//     them, as random bytes, as far up as the broker and the descriptor allow. It
//     comes last: what a large payload holds up is no damage of what follows.
//  7. Count: what arrives must be what was sent, to the byte, under its topic. A
//     system that writes JSON anew is held to what the JSON says. What a broker
//     of the system refuses, by PUBACK or by ending the connection over it again
//     and again, does not arrive.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/generator"
	"plumbline/harness/load"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

var _ = spec.Describe("Integrity", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "payloads", Title: "carries payloads of every size and kind unchanged, under the topic that they were sent to",
		Requirements: []string{"INT-01", "INT-02", "INT-03", "INT-04", "INT-05"}, Loads: []string{"payloads"},
		Drive: drivePayloads, Judge: judgePayloads,
	})
})

// The devices of the three parts begin with these.
const (
	sizePart  = "size-"
	textPart  = "content-"
	topicPart = "topic-"
)

// forPayloads lets the default bridge take the whole ladder, and compress.
var forPayloads = map[string]any{"mqtt.maxPacketBytes": "2MiB", "viewers.compression": "on"}

// payloadFacts is what a judge must know of what was sent.
type payloadFacts struct {
	Topics  bool     `json:"topics"`   // viewers are told the topic of a message
	LeftOut []string `json:"left_out"` // of the ladder, with the reason
	Stuck   string   `json:"stuck"`    // why nothing more was sent, "" when all was
	Said    []said   `json:"said"`     // what messages said about themselves; none where that was not asked

	Squeezed   uint64 `json:"squeezed"`   // messages that came compressed
	Unreadable uint64 `json:"unreadable"` // to the viewer that takes those
	Unlet      string `json:"unlet"`      // why that viewer did not get in, though others did; "" when it did
	Unagreed   bool   `json:"unagreed"`   // as the system negotiated what it had not been offered
}

func drivePayloads(ctx context.Context, t *spec.Trial) {
	l := t.Load("payloads")
	t.Step("start the bridge with %d viewers", l.Viewers)
	b := t.Open(ctx, harness.Plan{Load: l, Config: forPayloads})
	hand, err := b.Hand(ctx, "hand", nil)
	t.Check(err)
	facts := payloadFacts{Topics: tellsTopics(b.SUT.Viewer())}
	var sizes []item
	sizes, facts.LeftOut = ladder(t.Rig.Seed(), t.Rig.Has(sut.CapBinary), payloadBound(hand.MaxPacket(), b.SUT.Descriptor().Limits.MaxPayload))
	var heard *listener
	if t.Applies("INT-03") {
		heard, err = listenIn(ctx, b)
		t.Check(err)
	}
	var squeezed *viewer.Viewer
	if t.Applies("INT-05") {
		squeezed, err = squeezeIn(ctx, b, &facts)
		t.Check(err)
	}
	t.Check(b.Around(ctx, "payloads", 0, 0, func(ctx context.Context) error {
		t.Step("send %d texts, numbers and times that careless software damages", len(contents()))
		err := mail(ctx, hand, textPart, contents())
		if err == nil {
			t.Step("send twice under %d topics that careless software confuses", len(topicNames()))
			err = mailTopics(ctx, hand)
		}
		if err == nil && squeezed != nil {
			t.Step("send %d messages that are alike", alikeMessages)
			err = mail(ctx, hand, alikePart, alike())
		}
		if err == nil && heard != nil {
			t.Step("send %d messages that say something about themselves", len(properties()))
			err = mailSaid(ctx, hand, heard)
		}
		if err == nil {
			t.Step("send payloads of %d sizes and kinds%s", len(sizes), leftOut(facts.LeftOut))
			err = mail(ctx, hand, sizePart, sizes)
		}
		if errors.Is(err, errStuck) {
			facts.Stuck, err = err.Error(), nil
		}
		return err
	}))
	t.Step("drain, end everything and compare")
	t.Check(b.Finish(ctx))
	if heard != nil {
		facts.Said = heard.heard()
	}
	if squeezed != nil {
		c := squeezed.Counters()
		facts.Squeezed, facts.Unreadable = c.Squeezed, unreadable(c.Malformed, b.Viewers[0].Counters().Malformed)
	}
	t.Keep(facts)
}

func judgePayloads(c *spec.Case) {
	j, facts := newJudged(c), spec.Facts[payloadFacts](c)
	if facts.Stuck != "" {
		j.unmet = append(j.unmet, stats.Gate{Reason: reports.ReasonEnvironment, Cure: "a broker that takes these messages", Detail: facts.Stuck})
	}
	j.intact("INT-01", sizePart, "payloads of the ladder", j.samples("INT-01"))
	j.intact("INT-02", textPart, "texts, numbers and times", j.samples("INT-02"))
	j.unaltered("INT-03", facts.Said, j.samples("INT-03"))
	j.expanded("INT-05", facts, j.samples("INT-05"))
	if !facts.Topics {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "a descriptor that says where a viewer finds the topic of a message",
			Detail: "the system does not tell viewers the topic of a message",
		})
	}
	j.intact("INT-04", topicPart, "messages under like topics", j.samples("INT-04"))
	j.show("t0i→t4, payloads of every size and kind", 100*time.Millisecond)
}

// intact judges that what was sent by the devices of one part arrived unchanged
// where nothing is compressed, which INT-05 judges.
func (j *judged) intact(id, part, unit string, least int64) {
	o := j.options(id)
	for _, n := range j.history.Log().Index.Nodes {
		if n.Role == "viewer" && n.Name != squeezedViewer {
			o.Viewers = append(o.Viewers, n.Name)
		}
	}
	for _, s := range j.history.Log().Index.Streams {
		if strings.HasPrefix(s.Device, part) {
			o.Devices = append(o.Devices, s.Device)
		}
	}
	if len(o.Devices) == 0 {
		o.Devices = []string{part} // nobody has that name: a gate says so
	}
	d, found := j.history.Delivery(o)
	found = ofKind(found, "lost", "phantom", "misrouted", "corrupt")
	refused := j.refused(o)
	n := int64(len(refused))
	if n > 0 { // what the broker did not take reached no viewer: that is said once
		found = slices.Concat(refused, slices.DeleteFunc(found, func(f reports.Finding) bool { return f.Kind == "lost" && !f.Confirmed }))
	}
	in := oracle.ZeroInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Noun: "damage/damages", Unit: unit, N: d.Owed,
		Events: d.Lost + d.Phantom + d.Misrouted + d.Corrupted, Suspicions: d.Unconfirmed,
		Findings: found, MinN: least, Seed: j.Seed(),
		Gates: append(j.history.Gates(o), j.unmet...),
	}
	if j.base.BrokerInside {
		in.Events += n
	}
	j.Judge(oracle.JudgeZero(j.Requirement(id), in))
}

// refused returns what the broker did not take of the judged devices. A broker that is no part of the system is not its fault.
func (j *judged) refused(o oracle.Options) (found []reports.Finding) {
	topics := map[string]string{}
	for _, s := range j.history.Log().Index.Streams {
		if slices.Contains(o.Devices, s.Device) {
			topics[s.Topic] = s.Device
		}
	}
	for _, e := range j.history.Log().Events {
		device, ours := topics[e.Fields["topic"]]
		if e.Kind != record.Refused || !ours {
			continue
		}
		how := "PUBACK has the code " + e.Fields["code"]
		if tries := e.Fields["tries"]; tries != "" {
			how = "the broker ended the connection over it, " + tries + " times of " + tries
		}
		found = append(found, reports.Finding{
			Requirement: o.Requirement, Kind: "refused", Subject: device, At: time.Duration(e.At), Confirmed: j.base.BrokerInside, Evidence: j.base.Evidence,
			Detail: fmt.Sprintf("message %s to topic %q was not taken: %s", e.Fields["seq"], e.Fields["topic"], how),
		})
	}
	return found
}

// payloadOverhead is what a packet of the ladder holds beside its payload at
// most: header, topic, properties.
const payloadOverhead = 256

// payloadBound returns the largest payload that broker and descriptor allow, 0
// for no bound.
func payloadBound(packet, declared int64) int64 {
	bound := max(packet-payloadOverhead, 0)
	if declared > 0 && (bound == 0 || declared < bound) {
		bound = declared
	}
	return bound
}

// tellsTopics reports whether viewers are told the topic of a message.
func tellsTopics(v sut.Viewer) bool {
	return v.Protocol == viewer.Plumbline || v.Protocol == viewer.MQTT || v.Message.Topic != ""
}

func leftOut(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; left out: " + strings.Join(names, ", ")
}

// mail sends each item once on a topic of its own.
func mail(ctx context.Context, hand *generator.Hand, part string, items []item) error {
	for _, it := range items {
		line, err := hand.Line(ctx, record.Stream{Device: part + it.name, Topic: harness.Topic(part + it.name), Mode: string(reports.ModeSim), QoS: 1, Foreign: true})
		if err != nil {
			return err
		}
		if err := post(ctx, hand, line, load.Parcel{Raw: it.payload, QoS: 1}); err != nil {
			return fmt.Errorf("%w: %s", err, part+it.name)
		}
	}
	return nil
}

// mailTopics sends two messages under each of the topics, all in turn, so that
// two that are taken for one show at once.
func mailTopics(ctx context.Context, hand *generator.Hand) error {
	var lines []*generator.Line
	for i, topic := range topicNames() {
		line, err := hand.Line(ctx, record.Stream{Device: fmt.Sprintf("%s%02d", topicPart, i+1), Topic: harness.Topic(topic), Mode: string(reports.ModeSim), QoS: 1})
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	for round := range 2 {
		for i, line := range lines {
			if err := post(ctx, hand, line, load.Parcel{QoS: 1, Value: float64(round)}); err != nil {
				return fmt.Errorf("%w: topic %q", err, topicNames()[i])
			}
		}
	}
	return nil
}

// errStuck says that the broker took a message and never said so. The recording
// shows it too; what was to follow it is not sent.
var errStuck = errors.New("a message was not acknowledged")

// ackPatience is how long an acknowledgement may take.
const ackPatience = 10 * time.Second

// post sends one message and waits for its acknowledgement.
func post(ctx context.Context, hand *generator.Hand, line *generator.Line, p load.Parcel) error {
	if _, err := line.Send(ctx, p); err != nil { // a message that could not be written is recorded as blocked
		return err
	}
	return acked(ctx, hand)
}

// acked waits until the broker has acknowledged all that was sent by hand.
func acked(ctx context.Context, hand *generator.Hand) error {
	limited, cancel := context.WithTimeout(ctx, ackPatience)
	defer cancel()
	err := hand.WaitAcked(limited)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return errStuck
	default:
		return err
	}
}
