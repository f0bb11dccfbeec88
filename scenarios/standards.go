package scenarios

// Protocol: does the system keep the standards that clients of others rely on?
//
// Requirements: PRO-01, PRO-03.
//
// Procedure "standards":
//  1. Start the bridge.
//  2. Give its WebSocket server every case of RFC 6455 and RFC 7692, and its
//     broker every case of MQTT 3.1.1 and 5.0, side by side.
//  3. Each case that must pass and can be applied is one check.

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"plumbline/harness"
	"plumbline/harness/conform"
	"plumbline/harness/conform/mqtt"
	"plumbline/harness/conform/ws"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/reports"
)

var _ = spec.Describe("Protocol", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "standards", Title: "keeps RFC 6455 and RFC 7692 towards viewers and MQTT 3.1.1 and 5.0 towards devices",
		Requirements: []string{"PRO-01", "PRO-03"}, Loads: []string{"security"},
		Drive: driveStandards, Judge: judgeStandards,
	})
})

// conformance is what the suites found; nil where one was not asked for.
type conformance struct {
	WebSocket *examined `json:"websocket"`
	MQTT      *examined `json:"mqtt"`
}

// examined is what came of one suite.
type examined struct {
	Cases []conform.Case `json:"cases"`
	// Absent says why the suite does not apply, Trouble why it showed nothing.
	Absent  string `json:"absent"`
	Trouble string `json:"trouble"`
}

func driveStandards(ctx context.Context, t *spec.Trial) {
	t.Step("start the bridge")
	b := t.Open(ctx, harness.Plan{Load: t.Load("security")})
	var found conformance
	t.Step("run %d cases of WebSocket and %d of MQTT", len(ws.Rules()), len(mqtt.Rules()))
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) error {
		var both sync.WaitGroup
		if t.Applies("PRO-01") {
			both.Go(func() { found.WebSocket = examineWebSocket(ctx, b) })
		}
		if t.Applies("PRO-03") {
			both.Go(func() { found.MQTT = examineBroker(ctx, b) })
		}
		both.Wait()
		return ctx.Err()
	}))
	t.Keep(found)
}

func examineWebSocket(ctx context.Context, b *harness.Bench) *examined {
	target, o, absent := webServer(b)
	if absent != "" {
		return &examined{Absent: absent}
	}
	r, err := ws.Run(ctx, target, o)
	return examine(r, err)
}

func examineBroker(ctx context.Context, b *harness.Bench) *examined {
	target := mqtt.Target{URL: b.SUT.Broker().String(), TLS: b.SUT.BrokerTLS()}
	target.Username, target.Password = b.SUT.BrokerAuth()
	r, err := mqtt.Run(ctx, target, mqtt.Options{Topics: harness.TopicRoot + "-conform"})
	return examine(r, err)
}

// examine keeps the evidence of what was not kept only.
func examine(r conform.Report, err error) *examined {
	if err != nil {
		return &examined{Trouble: err.Error()}
	}
	for i, c := range r.Cases {
		if c.Verdict != conform.Fail {
			r.Cases[i].Evidence = nil
		}
	}
	return &examined{Cases: r.Cases}
}

// webServer says how the descriptor's viewers come in; absent is not "" when
// they do not use WebSocket.
func webServer(b *harness.Bench) (target ws.Target, o ws.Options, absent string) {
	v := b.SUT.Viewer()
	target = ws.Target{URL: v.URL, TLS: b.SUT.TLS()}
	var serial atomic.Int64
	// A subject of its own for each session: sins of one are not held against others.
	token := func() (string, error) {
		if !b.SUT.Mints() {
			return "", nil
		}
		return b.SUT.Token(sut.TokenSpec{Subject: fmt.Sprintf("conform-%d", serial.Add(1)), Grants: []string{harness.AllTopics}})
	}
	secret, err := token()
	if err != nil {
		return target, o, "" // Start has minted tokens already; the suite says what is wrong
	}
	switch v.Protocol {
	case "plumbline":
		o = ws.Plumbline(token)
	case "mqtt":
		o = ws.MQTT(v.Token.Name, secret)
	case "json":
		o = ws.Options{Hello: func() ([]ws.Frame, error) {
			var frames []ws.Frame
			for _, h := range v.Hello {
				frames = append(frames, ws.Text([]byte(strings.NewReplacer("{{filter}}", harness.AllTopics, "{{token}}", secret).Replace(h))))
			}
			return frames, err
		}}
	default:
		return target, o, fmt.Sprintf("viewers of the protocol %s do not use WebSocket", v.Protocol)
	}
	if o.Subprotocol == "" {
		o.Subprotocol = v.Subprotocol
	}
	o.Header = http.Header{}
	if v.Origin != "" {
		o.Header.Set("Origin", v.Origin)
	}
	place(&target, &o, v.Token, secret)
	return target, o, ""
}

// place shows the token where the descriptor says, in the handshake.
func place(target *ws.Target, o *ws.Options, at sut.Token, secret string) {
	name := at.Name
	or := func(fallback string) string {
		if name == "" {
			return fallback
		}
		return name
	}
	switch {
	case secret == "":
	case at.In == "header" && (name == "" || strings.EqualFold(name, "Authorization")):
		o.Header.Set("Authorization", "Bearer "+secret)
	case at.In == "header":
		o.Header.Set(name, secret)
	case at.In == "cookie":
		o.Header.Set("Cookie", or("token")+"="+secret)
	case at.In == "query":
		mark := "?"
		if strings.Contains(target.URL, "?") {
			mark = "&"
		}
		target.URL += mark + or("access_token") + "=" + secret
	}
}

func judgeStandards(c *spec.Case) {
	found := spec.Facts[conformance](c)
	found.WebSocket.judge(c, "PRO-01")
	found.MQTT.judge(c, "PRO-03")
}

// judge makes of each case that binds and was decided one check.
func (e *examined) judge(c *spec.Case, id string) {
	if e == nil || !c.Applies(id) {
		return
	}
	if e.Absent != "" {
		c.Judge(reports.Result{
			Requirement: id, Scenario: c.Scenario.ID, Verdict: reports.NotApplicable, Headline: e.Absent,
			Sentence: fmt.Sprintf("%s: %s. Verdict N/A.", id, e.Absent),
		})
		return
	}
	in := oracle.DeterministicInput{Scenario: c.Scenario.ID, Profile: c.Title(), Seed: c.Seed(), MinN: c.Limit(id).Samples}
	if e.Trouble != "" {
		in.Gates = append(in.Gates, stats.Gate{Reason: reports.ReasonEnvironment, Detail: e.Trouble, Cure: "a server that takes a correct client"})
	}
	var open []string
	for _, k := range e.Cases {
		switch {
		case k.Level != conform.Must:
		case k.Verdict == conform.Fail:
			in.Checks++
			in.Findings = append(in.Findings, reports.Finding{
				Requirement: id, Kind: k.ID, Subject: k.Section, Confirmed: true, Detail: fmt.Sprintf("%s %s", k.Text, k.Detail), Context: told(k.Evidence),
			})
		case k.Verdict == conform.Pass:
			in.Checks++
		case k.Verdict != conform.NotApplicable:
			open = append(open, k.ID+": "+k.Detail)
		}
	}
	if len(open) > 0 {
		in.Gates = append(in.Gates, stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "a less busy machine, or a server that answers what the case begins with",
			Detail: fmt.Sprintf("%d cases came to no verdict, the first is %s", len(open), open[0]),
		})
	}
	c.Judge(oracle.JudgeDeterministic(c.Requirement(id), in))
}

// told puts a transcript into the lines of a report.
func told(steps []conform.Exchange) (lines []string) {
	for _, x := range steps[max(0, len(steps)-12):] {
		line := fmt.Sprintf("%.3f s, connection %d, %s", x.At.Seconds(), x.Conn, x.From)
		if x.Length > 0 {
			line += fmt.Sprintf(" sends %d bytes: %s", x.Length, x.Bytes[:min(len(x.Bytes), 48)])
		}
		if x.Note != "" {
			line += ": " + x.Note
		}
		lines = append(lines, line)
	}
	return lines
}
