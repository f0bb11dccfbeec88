package scenarios

// Protocol: does the system keep the standards that clients of others rely on?
//
// Requirements: PRO-01, PRO-03.
//
// Procedure "standards":
//  1. Start the bridge.
//  2. Give its WebSocket server every case of RFC 6455 and RFC 7692, and its
//     broker every case of MQTT 3.1.1 and 5.0, side by side.
//  3. When it dies of that, run the cases that were at work alone to find the one
//     that ends it, and go on with a fresh bridge.
//  4. Each case that must pass and can be applied is one check, and fails when it
//     is broken; one that ends the bridge fails whether it must pass or not.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/conform"
	"plumbline/harness/conform/mqtt"
	"plumbline/harness/conform/ws"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var _ = spec.Describe("Protocol", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "standards", Title: "keeps RFC 6455 and RFC 7692 towards viewers and MQTT 3.1.1 and 5.0 towards devices",
		Requirements: []string{"PRO-01", "PRO-03"}, Loads: []string{"security"}, Timeout: 5 * time.Minute,
		Drive: driveStandards, Judge: judgeStandards,
	})
})

// conformance is what the suites found; nil where one was not asked for.
type conformance struct {
	WebSocket *examined       `json:"websocket"`
	MQTT      *examined       `json:"mqtt"`
	Deaths    []conform.Death `json:"deaths"`
}

// examined is what came of one suite.
type examined struct {
	Cases []conform.Case `json:"cases"`
	// Absent says why the suite does not apply, Trouble why it showed nothing.
	Absent  string `json:"absent"`
	Trouble string `json:"trouble"`
	// Spans says when those that failed were at work.
	Spans map[string]caseSpan `json:"spans,omitempty"`
}

// caseSpan is when a case was at work, on the run clock of a bench.
type caseSpan struct {
	Bench string `json:"bench"` // its folder
	From  int64  `json:"from_ns"`
	To    int64  `json:"to_ns"`
}

// casePatience is how long a case waits for what ought to come at once. Also what it
// is to see within a longer time, a rig that stood still for a tenth of this may have
// missed, or not have done in time itself.
const casePatience = min(ws.DefaultPatience, mqtt.DefaultPatience)

// still reports whether the rig itself stood still while the case was at work. Of
// what was sent wrongly (a standing rule), and of what ended the system, time is no part.
func (e *examined) still(k conform.Case, stood map[string]oracle.Standstills) bool {
	at, known := e.Spans[k.ID]
	return known && !k.Killed && stood[at.Bench].Still(casePatience, at.From, at.To)
}

func driveStandards(ctx context.Context, t *spec.Trial) {
	x := &examination{step: t.Step, open: func(ctx context.Context) (*harness.Bench, error) {
		return t.OpenMortal(ctx, harness.Plan{Load: t.Load("security")})
	}}
	if t.Applies("PRO-01") {
		x.found.WebSocket = &examined{}
	}
	if t.Applies("PRO-03") {
		x.found.MQTT = &examined{}
	}
	t.Step("run %d cases of WebSocket and %d of MQTT", len(ws.Rules()), len(mqtt.Rules()))
	t.Check(x.examine(ctx))
	t.Keep(x.found)
}

// examine runs what was asked for. Its error is that of a system that never came.
func (x *examination) examine(ctx context.Context) error {
	cases, deaths, err := conform.Outlive(ctx, x.rules(), x.start)
	if len(x.benches) == 0 {
		return err
	}
	x.keep(cases, deaths, err)
	return nil
}

// examination is the suites at work on one system after the other.
type examination struct {
	open    func(context.Context) (*harness.Bench, error)
	step    func(format string, args ...any)
	benches []*harness.Bench
	found   conformance
	ran     map[caseRun]caseSpan
}

// caseRun is one run of a case; it may have several.
type caseRun struct {
	id    string
	began time.Time
}

// note keeps when cases were at work.
func (x *examination) note(b *harness.Bench, cases []conform.Case) {
	if x.ran == nil {
		x.ran = map[caseRun]caseSpan{}
	}
	for _, k := range cases {
		if began, ended := k.Span(); !began.IsZero() {
			x.ran[caseRun{k.ID, began}] = caseSpan{b.Folder(), int64(began.Sub(b.Clock.Epoch())), int64(ended.Sub(b.Clock.Epoch()))}
		}
	}
}

// enter adds a case to those of its suite.
func (x *examination) enter(e *examined, k conform.Case) {
	e.Cases = append(e.Cases, k)
	began, _ := k.Span()
	if at, known := x.ran[caseRun{k.ID, began}]; known && k.Verdict == conform.Fail {
		if e.Spans == nil {
			e.Spans = map[string]caseSpan{}
		}
		e.Spans[k.ID] = at
	}
}

// rules returns those of the suites that were asked for.
func (x *examination) rules() (all []conform.Rule) {
	if x.found.WebSocket != nil {
		all = append(all, ws.Rules()...)
	}
	if x.found.MQTT != nil {
		all = append(all, mqtt.Rules()...)
	}
	return all
}

// start puts a fresh system in the place of the one before.
func (x *examination) start(ctx context.Context) (conform.Server, error) {
	if n := len(x.benches); n > 0 {
		x.step("start a fresh bridge: %s", why(x.benches[n-1].SUT.Err()))
		_ = x.benches[n-1].Close() // what it could not say any more is no news
	} else {
		x.step("start the bridge")
	}
	b, err := x.open(ctx)
	if err != nil {
		return conform.Server{}, err
	}
	x.benches = append(x.benches, b)
	return conform.Server{
		Exited: b.SUT.Exited(), Why: b.SUT.Err,
		Run: func(ctx context.Context, only []string) ([]conform.Case, error) { return x.run(ctx, b, only) },
	}, nil
}

// why says in a line why a system is replaced.
func why(gone error) string {
	if gone == nil {
		return "the one before lives, and runs no more cases"
	}
	return fmt.Sprintf("%.200s", strings.Join(strings.Fields(gone.Error()), " "))
}

// run gives the suites that were asked for their part of the cases, side by side.
func (x *examination) run(ctx context.Context, b *harness.Bench, only []string) ([]conform.Case, error) {
	var both sync.WaitGroup
	var web, broker conform.Report
	var webErr, brokerErr error
	if e := x.found.WebSocket; e != nil {
		target, o, absent, err := webServer(b)
		e.Absent, webErr = absent, err
		if absent == "" && err == nil {
			o.Only = partOf(only, "WS-")
			both.Go(func() { web, webErr = ws.Run(ctx, target, o) })
		}
	}
	if x.found.MQTT != nil {
		target := brokerServer(b)
		o := mqtt.Options{Topics: harness.TopicRoot + "-conform", Only: partOf(only, "MQTT")}
		both.Go(func() { broker, brokerErr = mqtt.Run(ctx, target, o) })
	}
	both.Wait()
	x.found.WebSocket.trouble(webErr)
	x.found.MQTT.trouble(brokerErr)
	cases := slices.Concat(web.Cases, broker.Cases)
	x.note(b, cases)
	return cases, errors.Join(webErr, brokerErr)
}

// trouble keeps what a suite came to, the last time.
func (e *examined) trouble(err error) {
	if e == nil {
		return
	}
	if e.Trouble = ""; err != nil {
		e.Trouble = err.Error()
	}
}

// partOf returns the ids of one suite.
func partOf(ids []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, prefix) })
}

// keep sorts what came by suites, and keeps the evidence of what failed only.
func (x *examination) keep(cases []conform.Case, deaths []conform.Death, err error) {
	x.found.Deaths = deaths
	for _, c := range cases {
		if c.Verdict != conform.Fail {
			c.Evidence = nil
		}
		if e := x.found.WebSocket; e != nil && strings.HasPrefix(c.ID, "WS-") {
			x.enter(e, c)
		}
		if e := x.found.MQTT; e != nil && strings.HasPrefix(c.ID, "MQTT") {
			x.enter(e, c)
		}
	}
	for _, e := range []*examined{x.found.WebSocket, x.found.MQTT} {
		if e == nil {
			continue
		}
		open := slices.ContainsFunc(e.Cases, func(c conform.Case) bool { return c.Verdict == conform.NotRun })
		switch {
		case e.Absent != "":
			e.Cases = nil
		case !open && errors.Is(err, conform.ErrUnreachable): // it lives and serves nobody any more: its trouble stays
		case !open:
			e.Trouble = "" // of a server that the last case ended: that case says so
		case err != nil && e.Trouble == "":
			e.Trouble = err.Error()
		}
	}
}

func judgeStandards(c *spec.Case) {
	found, stood := spec.Facts[conformance](c), map[string]oracle.Standstills{}
	for _, r := range c.Benches() {
		stood[r.Folder()] = r.Standstills()
	}
	found.WebSocket.judge(c, "PRO-01", found.Deaths, stood)
	found.MQTT.judge(c, "PRO-03", found.Deaths, stood)
}

// judge makes of each case that binds and was decided one check, and of each
// that ended the system, whether it binds or not. stood is when the rig itself did
// not run, by bench: what failed then is not held against the system.
func (e *examined) judge(c *spec.Case, id string, deaths []conform.Death, stood map[string]oracle.Standstills) {
	if e == nil || !c.Applies(id) {
		return
	}
	if e.Absent != "" {
		notAsked(c, id, e.Absent)
		return
	}
	in := oracle.DeterministicInput{Scenario: c.Scenario.ID, Profile: c.Title(), Seed: c.Seed(), MinN: c.Limit(id).Samples}
	if e.Trouble != "" {
		in.Gates = append(in.Gates, stats.Gate{Reason: reports.ReasonEnvironment, Detail: e.Trouble, Cure: "a server that takes a correct client"})
	}
	for _, d := range deaths {
		if d.Case == "" {
			in.Gates = append(in.Gates, stats.Gate{Reason: reports.ReasonSUT, Detail: d.String(), Cure: "a system that lives"})
		}
	}
	var open []string
	doubts, untold := int64(0), ""
	for _, k := range e.Cases {
		switch {
		case k.Level != conform.Must && !k.Killed:
		case k.Verdict == conform.Fail:
			in.Checks++
			still := e.still(k, stood)
			if still {
				doubts++
				untold = stood[e.Spans[k.ID].Bench].Untold(casePatience)
			}
			in.Findings = append(in.Findings, reports.Finding{
				Requirement: id, Kind: k.ID, Subject: k.Section, Confirmed: !still, Detail: fmt.Sprintf("%s %s", k.Text, k.Detail), Context: told(k.Evidence),
			})
		case k.Verdict == conform.Pass:
			in.Checks++
		case k.Verdict != conform.NotApplicable:
			open = append(open, k.ID+": "+k.Detail)
		}
	}
	in.Gates = append(in.Gates, rigStill(doubts, "cases failed", untold)...)
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
			line += fmt.Sprintf(" sends %d bytes", x.Length)
		}
		if len(x.Bytes) > 0 {
			line += fmt.Sprintf(": %s", x.Bytes[:min(len(x.Bytes), 48)])
		}
		if x.Note != "" {
			line += ": " + x.Note
		}
		lines = append(lines, line)
	}
	return lines
}
