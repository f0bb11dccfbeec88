package scenarios

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/mqttwire"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// verb is one way in which a viewer may try to publish. It turns the way in into
// an attempt to publish payload to topic with a token.
type verb struct {
	name  string
	letIn func(frame []byte) bool // the viewer was let in, so that what follows is an answer to what it tries; nil for a request on its own
	try   func(way viewer.ProbeSpec, token, topic, payload string) viewer.ProbeSpec
}

// verbsOf are the verbs that a viewer protocol has; none for one that has none.
var verbsOf = map[string][]verb{
	"plumbline": {
		{"pub", func(frame []byte) bool { return typeOf(frame) == "welcome" }, func(way viewer.ProbeSpec, token, topic, payload string) viewer.ProbeSpec {
			pub := object(map[string]any{"type": "pub", "id": 7, "topic": topic, "payload": payload, "qos": 1})
			way.Steps = []viewer.Step{{Text: hello(token)}, {Expect: `"welcome"`}, {Text: pub}}
			way.Until = func(frame []byte) bool { return typeOf(frame) == "pubok" || typeOf(frame) == "puberr" }
			return way
		}},
		{"POST /publish", nil, func(way viewer.ProbeSpec, token, topic, payload string) viewer.ProbeSpec {
			body := object(map[string]any{"topic": topic, "payload": payload, "qos": 1})
			way.Raw = posting(way.URL, token, body)
			return way
		}},
	},
	"mqtt": {
		{"PUBLISH", letInByMQTT, mqttPublishing(false)}, {"PUBLISH with retain", letInByMQTT, mqttPublishing(true)},
	},
}

// posting is a request that publishes, as the commands of plumbline.v1 are.
func posting(address, token string, body []byte) []byte {
	u, err := url.Parse(address)
	if err != nil {
		return nil // the way in was used before
	}
	return append(fmt.Appendf(nil, "POST /publish HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
		u.Host, token, len(body)), body...)
}

// connected is the CONNACK of a clean session that was accepted (MQTT 3.1.1
// section 3.2).
const connected = "\x20\x02\x00\x00"

func letInByMQTT(frame []byte) bool { return bytes.Contains(frame, []byte(connected)) }

// mqttPublishing publishes with QoS 0 over MQTT 3.1.1 in WebSocket frames
// (sections 3.1, 3.3 and 6).
func mqttPublishing(retain bool) func(way viewer.ProbeSpec, token, topic, payload string) viewer.ProbeSpec {
	return func(way viewer.ProbeSpec, token, topic, payload string) viewer.ProbeSpec {
		c := mqttwire.Connection{Version: mqttwire.V311, ClientID: "onlooker", Clean: true, KeepAlive: 60}
		if token != "" {
			c.Username, c.Password = "onlooker", token
		}
		connect, err := c.Packet()
		publish, failed := mqttwire.AppendMessage(nil, mqttwire.V311, mqttwire.Message{Topic: []byte(topic), Payload: []byte(payload), Retain: retain})
		if err != nil || failed != nil {
			return way // no token or topic is that long; without steps nothing is asked
		}
		way.Subprotocols = []string{"mqtt"}
		way.Steps = []viewer.Step{{Binary: connect}, {Expect: connected}, {Binary: publish}}
		return way
	}
}

// published is one attempt of a viewer to publish.
type published struct {
	Verb     string `json:"verb"`
	Topic    string `json:"topic"`
	Digest   uint64 `json:"digest"`   // of its payload
	Asked    bool   `json:"asked"`    // it came as far as to be refused or taken
	Accepted string `json:"accepted"` // the confirmation, "" for none
}

// verbFacts is what a viewer met that tried to publish.
type verbFacts struct {
	Attempts []published `json:"attempts"`
	Control  string      `json:"control"` // why refusals prove nothing
}

// verbsWait bounds the wait for an answer to one attempt.
const verbsWait = 700 * time.Millisecond

// publishAsViewer tries every verb of the protocol on topics of devices, with a
// token that grants seeing everything and publishing nothing.
func publishAsViewer(ctx context.Context, t *spec.Trial, b *harness.Bench, topics []string) (facts verbFacts, err error) {
	token := ""
	if b.SUT.Mints() {
		if token, err = b.SUT.Token(sut.TokenSpec{Subject: "onlooker", Grants: []string{harness.AllTopics}}); err != nil {
			return facts, err
		}
	}
	way := viewer.ProbeSpec{URL: b.SUT.ViewerURL(), TLS: b.SUT.TLS(), Origins: []string{b.SUT.Origin()}, Wait: verbsWait}
	for _, v := range verbsOf[b.SUT.Viewer().Protocol] {
		for _, topic := range topics {
			payload := fmt.Sprintf(`{"canary":"%d-%d"}`, t.Rig.Seed(), len(facts.Attempts))
			one := published{Verb: v.name, Topic: topic, Digest: b.Recorder.Digest([]byte(payload))}
			one.Asked, one.Accepted = v.answer(viewer.Probe(ctx, v.try(way, token, topic, payload)))
			facts.Attempts = append(facts.Attempts, one)
		}
	}
	return facts, ctx.Err()
}

// answer reports whether an attempt to publish came as far as to be answered,
// and the answer that confirms it. Who was turned away at the door never asked.
func (v verb) answer(r viewer.ProbeResult) (asked bool, accepted string) {
	if r.Answer != nil {
		if r.HTTPStatus/100 == 2 {
			accepted = fmt.Sprintf("HTTP status %d", r.HTTPStatus)
		}
		return r.HTTPStatus != 0, accepted
	}
	for _, frame := range r.Frames {
		if typeOf(frame) == "pubok" {
			accepted = string(frame[:min(len(frame), 120)])
		}
	}
	return v.letIn != nil && slices.ContainsFunc(r.Frames, v.letIn), accepted
}

// unpublished judges that nothing a viewer tried to publish was confirmed or
// came to the broker.
func (j *judged) unpublished(id string, facts verbFacts) {
	if !j.Applies(id) {
		return
	}
	passed := map[uint64]string{}
	witnessed := false
	for _, r := range j.history.Log().Records {
		switch r.Kind {
		case record.Witnessed:
			witnessed = true
			passed[r.Digest] = "the broker passed it on"
		case record.Received:
			if passed[r.Digest] == "" {
				passed[r.Digest] = "a viewer got it"
			}
		}
	}
	y := &tally{Control: facts.Control}
	var asked []string
	for _, a := range facts.Attempts {
		if a.Asked {
			y.Checks++
			asked = append(asked, a.Verb)
		}
		subject := a.Verb + " to " + a.Topic
		if a.Accepted != "" {
			y.violation(id, "confirmed", subject, "the bridge answered "+a.Accepted)
		}
		if how := passed[a.Digest]; how != "" {
			y.violation(id, "published", subject, how)
		}
	}
	gates := slices.Clone(j.unmet)
	if j.history.Log().Partial {
		gates = append(gates, stats.Gate{Reason: reports.ReasonInterrupted, Cure: "a run to its end", Detail: "the recording is not whole"})
	}
	if !witnessed {
		gates = append(gates, stats.Gate{Reason: reports.ReasonEnvironment, Cure: "a witness that sees the broker", Detail: "the witness saw nothing at all, so it would not have seen this either"})
	}
	if y.Control != "" {
		gates = append(gates, stats.Gate{Reason: reports.ReasonEnvironment, Cure: "a bridge that serves rightful viewers", Detail: y.Control})
	}
	if y.Checks < int64(len(facts.Attempts)) {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a bridge that answers what viewers ask",
			Detail: fmt.Sprintf("%d of %d attempts came as far as to be refused (%s)", y.Checks, len(facts.Attempts), strings.Join(asked, ", ")),
		})
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: y.Checks, Findings: y.Found, Seed: j.Seed(), Gates: gates,
	}))
}
