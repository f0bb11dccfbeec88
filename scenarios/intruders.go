package scenarios

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// attempt is one try to get in that must be refused.
type attempt struct {
	name  string
	spec  viewer.ProbeSpec
	guise *viewer.Config // a viewer of the system's own protocol in place of spec; nil for plumbline.v1
	codes []int          // documented close codes, or HTTP statuses below 1000; empty when TLS itself refuses
	asked bool           // elsewhere: SEC-11 asks how long who does nothing may stay
}

// tally counts attempts and keeps those that were wrongly served.
type tally struct {
	Checks  int64             `json:"checks"`
	Found   []reports.Finding `json:"found"`
	Control string            `json:"control"` // why refusals prove nothing: a rightful viewer was refused too
	// Waits says of findings, by their place in Found, when an answer was waited for that
	// did not come, or not as it should: a rig that stood still then may have brought
	// that about.
	Waits map[int]stretch `json:"waits,omitempty"`
}

func (y *tally) violation(id, kind, subject, detail string) {
	y.found(id, kind, subject, detail, true)
}

// found is violation for what may not be the system's doing: confirmed says that it is.
func (y *tally) found(id, kind, subject, detail string, confirmed bool) {
	y.Found = append(y.Found, reports.Finding{Requirement: id, Kind: kind, Subject: subject, Detail: detail, Confirmed: confirmed})
}

// waited is violation for what was waited for, in vain or not.
func (y *tally) waited(id, kind, subject, detail string, at stretch) {
	if y.Waits == nil {
		y.Waits = map[int]stretch{}
	}
	y.Waits[len(y.Found)] = at
	y.violation(id, kind, subject, detail)
}

// judge judges the attempts; stood is when the rig itself did not run.
func (y *tally) judge(c *spec.Case, id string, stood oracle.Standstills) {
	if y == nil || !c.Applies(id) {
		return
	}
	found, doubts := slices.Clone(y.Found), int64(0)
	for i, at := range y.Waits {
		if stood.Still(attemptWait, at.From, at.From+int64(at.Took)) {
			found[i].Confirmed = false
			doubts++
		}
	}
	gates := rigStill(doubts, "attempts were not answered as they must be", stood.Untold(attemptWait))
	if y.Control != "" {
		gates = append(gates, stats.Gate{Reason: reports.ReasonEnvironment, Detail: y.Control, Cure: "a bridge that serves rightful viewers"})
	}
	c.Judge(oracle.JudgeDeterministic(c.Requirement(id), oracle.DeterministicInput{
		Scenario: c.Scenario.ID, Profile: c.Title(), Checks: y.Checks, Findings: found, Seed: c.Seed(), Gates: gates,
	}))
}

// rightful proves that the bridge serves who may come in; else its refusals
// would prove nothing. It returns what is wrong, "" when nothing is.
func rightful(ctx context.Context, b *harness.Bench) (string, error) {
	if foreign(b) {
		return rightfulGuise(ctx, b)
	}
	token, err := b.SUT.Token(sut.TokenSpec{Subject: "rightful", Grants: []string{harness.AllTopics}})
	if err != nil {
		return "", err
	}
	r := viewer.Probe(ctx, viewer.ProbeSpec{
		URL: b.SUT.ViewerURL(), TLS: b.SUT.TLS(), Origins: []string{b.SUT.Origin()}, Steps: text(hello(token), sub(harness.AllTopics)),
		Until: func(frame []byte) bool { return typeOf(frame) == "batch" },
	})
	for _, frame := range r.Frames {
		if typeOf(frame) == "batch" {
			return "", ctx.Err()
		}
	}
	return "a rightful viewer was not served: " + how(r.HTTPStatus, r.CloseCode, r.CloseReason, r.Err), ctx.Err()
}

// how words what came of a connection: the HTTP status unless it was the switch
// to WebSocket, the close frame, and what went wrong; each where there was one.
func how(status, code int, reason string, err error) string {
	var parts []string
	if status != 0 && status != http.StatusSwitchingProtocols {
		parts = append(parts, fmt.Sprintf("HTTP status %d", status))
	}
	switch {
	case code != 0 && reason != "":
		parts = append(parts, fmt.Sprintf("close code %d %q", code, reason))
	case code != 0:
		parts = append(parts, fmt.Sprintf("close code %d", code))
	}
	if err != nil {
		parts = append(parts, err.Error())
	}
	if len(parts) == 0 {
		return "neither data nor a refusal came"
	}
	return strings.Join(parts, ", ")
}

// try makes the attempt and enters it under its requirement, and under SEC-10
// whether it was told why.
func (a attempt) try(ctx context.Context, clock *record.Clock, id string, verdicts map[string]*tally) {
	var at stretch // of the last try
	o := a.insist(func() outcome {
		at.From = clock.Now()
		return a.make(ctx)
	})
	at.Took = time.Duration(clock.Now() - at.From)
	if ctx.Err() != nil {
		return // interrupted: no statement
	}
	own := verdictOf(verdicts, id)
	if id != "SEC-10" {
		own.Checks++
		if o.served != "" {
			own.violation(id, "served", a.name, o.served)
		} else if !o.ended && a.mustEnd() {
			own.waited(id, "not-refused", a.name, "the connection was neither refused nor closed within "+attemptWait.String(), at)
		}
	}
	if len(a.codes) == 0 || a.asked && !o.ended {
		return
	}
	why := verdictOf(verdicts, "SEC-10")
	why.Checks++
	if !slices.Contains(a.codes, o.code) && !slices.Contains(a.codes, o.status) {
		why.waited("SEC-10", "wrong-code", a.name, fmt.Sprintf("%s; documented are %v", how(o.status, o.code, o.reason, nil), a.codes), at)
	}
}

// attemptWait is how long an attempt waits for its end.
const attemptWait = 2 * time.Second

// mustEnd reports whether the attempt must be refused within attemptWait. The other
// protocols do not say that it must.
func (a attempt) mustEnd() bool { return a.guise == nil && !a.asked }

// insist makes the attempt again when nobody ended it in time: a rig that stood
// still meanwhile is no system that does not refuse.
func (a attempt) insist(try func() outcome) outcome {
	o := try()
	if o.served == "" && !o.ended && a.mustEnd() {
		o = try()
	}
	return o
}

// make makes the attempt.
func (a attempt) make(ctx context.Context) outcome {
	if a.guise != nil {
		return knock(ctx, *a.guise, attemptWait)
	}
	a.spec.Wait = attemptWait
	return outcomeOf(viewer.Probe(ctx, a.spec))
}

func verdictOf(verdicts map[string]*tally, id string) *tally {
	if verdicts[id] == nil {
		verdicts[id] = &tally{}
	}
	return verdicts[id]
}

// served returns the first frame that only an admitted viewer may see.
func served(r viewer.ProbeResult) string {
	for _, frame := range r.Frames {
		switch typeOf(frame) {
		case "welcome", "subok", "snapshot", "batch":
			return string(frame[:min(len(frame), 120)])
		}
	}
	return ""
}

// ended reports whether the attempt was refused or closed by the bridge.
func ended(r viewer.ProbeResult) bool {
	return r.Err != nil || r.EOF || r.CloseCode != 0 || (r.HTTPStatus != 0 && r.HTTPStatus != http.StatusSwitchingProtocols)
}

func typeOf(frame []byte) string {
	var head struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(frame, &head) != nil {
		return ""
	}
	return head.Type
}

// hello is the first frame with a token.
func hello(token string) []byte {
	return object(map[string]any{"type": "hello", "token": token, "client": "probe"})
}

func sub(filter string) []byte {
	return object(map[string]any{"type": "sub", "id": 1, "filter": filter, "mode": "all", "snapshot": true})
}

// object encodes a frame; strings, numbers and maps of them always encode.
func object(v map[string]any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return data
}

func text(frames ...[]byte) []viewer.Step {
	steps := make([]viewer.Step, 0, len(frames))
	for _, f := range frames {
		steps = append(steps, viewer.Step{Text: f})
	}
	return steps
}

// foreign reports whether viewers speak another protocol than plumbline.v1.
func foreign(b *harness.Bench) bool { return b.SUT.Viewer().Protocol != viewer.Plumbline }

// intruders returns the attempts by requirement, and notes the tokens that they
// show.
func intruders(b *harness.Bench, shown *canaries) (map[string][]attempt, error) {
	if foreign(b) {
		return inGuise(b, shown)
	}
	good, err := b.SUT.Token(sut.TokenSpec{Subject: "intruder", Grants: []string{harness.AllTopics}})
	if err != nil {
		return nil, err
	}
	shown.show(good)
	base := viewer.ProbeSpec{URL: b.SUT.ViewerURL(), TLS: b.SUT.TLS(), Origins: []string{b.SUT.Origin()}}
	all := map[string][]attempt{
		"SEC-01": transports(base, good),
		"SEC-02": strangers(base),
		"SEC-06": origins(base, good),
		"SEC-10": misuse(base, good),
	}
	for _, m := range sut.Mutations() {
		token, err := b.SUT.Token(sut.TokenSpec{Subject: "intruder", Grants: []string{harness.AllTopics}, Mutate: m})
		if err != nil {
			return nil, fmt.Errorf("token %q: %w", m, err)
		}
		shown.show(token)
		p := base
		p.Steps = text(hello(token), sub(harness.AllTopics))
		all["SEC-03"] = append(all["SEC-03"], attempt{name: "token " + string(m), spec: p, codes: []int{4001, 4002, 4005, 1009, 4200}})
	}
	return all, nil
}

// transports tries to speak without TLS and with old versions of it, where the
// system has any.
func transports(base viewer.ProbeSpec, good string) []attempt {
	if base.TLS == nil {
		return nil
	}
	plain := base
	plain.URL, plain.TLS = strings.Replace(base.URL, "wss://", "ws://", 1), nil
	plain.Steps = text(hello(good), sub(harness.AllTopics))
	all := []attempt{{name: "plaintext on the TLS port", spec: plain}}
	for name, version := range map[string]uint16{"TLS 1.0": tls.VersionTLS10, "TLS 1.1": tls.VersionTLS11} {
		old := base
		old.TLS = base.TLS.Clone()
		old.TLS.MinVersion, old.TLS.MaxVersion = version, version
		old.Steps = plain.Steps
		all = append(all, attempt{name: name, spec: old})
	}
	return all
}

// strangers try to see something without a token.
func strangers(base viewer.ProbeSpec) []attempt {
	silent, early, empty := base, base, base
	early.Steps = text(sub(harness.AllTopics))
	empty.Steps = text(hello(""), sub(harness.AllTopics))
	return []attempt{
		{name: "silence after the handshake", spec: silent, codes: []int{4103, 4001}, asked: true},
		{name: "a subscription before hello", spec: early, codes: []int{4001, 4005}},
		{name: "hello with an empty token", spec: empty, codes: []int{4001, 4002, 4005}},
	}
}

// origins tries pages that are not on the list, and look-alikes of the one
// that is.
func origins(base viewer.ProbeSpec, good string) []attempt {
	own := base.Origins[0]
	host := strings.TrimPrefix(own, "https://")
	var all []attempt
	for name, list := range map[string][]string{
		"foreign": {"https://evil.example"}, "null": {"null"}, "suffix": {own + ".evil.example"}, "prefix": {"https://evil" + host},
		"sub-domain": {"https://evil." + host}, "other port": {own + ":8443"}, "plain scheme": {"http://" + host},
		"trailing dot": {own + "."}, "user part": {"https://" + host + "@evil.example"}, "path": {own + "/"},
		"good, then bad": {own, "https://evil.example"}, "bad, then good": {"https://evil.example", own}, "two in one line": {own + ", https://evil.example"},
	} {
		p := base
		p.Origins = list
		p.Steps = text(hello(good), sub(harness.AllTopics))
		all = append(all, attempt{name: "origin " + name, spec: p, codes: []int{http.StatusForbidden, http.StatusBadRequest}})
	}
	slices.SortFunc(all, func(a, b attempt) int { return strings.Compare(a.name, b.name) })
	return all
}

// misuse breaks the protocol in ways whose answer is documented.
func misuse(base viewer.ProbeSpec, good string) []attempt {
	with := func(name string, change func(*viewer.ProbeSpec), codes ...int) attempt {
		p := base
		change(&p)
		return attempt{name: name, spec: p, codes: codes}
	}
	admitted := []viewer.Step{{Text: hello(good)}, {Expect: `"welcome"`}}
	then := func(steps ...viewer.Step) func(*viewer.ProbeSpec) {
		return func(p *viewer.ProbeSpec) { p.Steps = append(slices.Clone(admitted), steps...) }
	}
	return []attempt{
		with("no subprotocol", func(p *viewer.ProbeSpec) { p.Subprotocols = []string{} }, http.StatusBadRequest),
		with("unknown subprotocol", func(p *viewer.ProbeSpec) { p.Subprotocols = []string{"chat"} }, http.StatusBadRequest),
		with("token in the address", func(p *viewer.ProbeSpec) { p.Query = "token=" + good }, http.StatusBadRequest),
		with("malformed JSON", then(viewer.Step{Text: []byte(`{"type":`)}), 4005),
		with("unknown command", then(viewer.Step{Text: []byte(`{"type":"reboot"}`)}), 4005),
		with("binary frame", then(viewer.Step{Binary: []byte{1, 2, 3}}), 1003),
		with("invalid UTF-8", then(viewer.Step{Text: []byte{'{', 0xff, 0xfe, '}'}}), 1007),
		with("frame over the limit", then(viewer.Step{Text: []byte(`{"type":"ping","id":"` + strings.Repeat("x", 70_000) + `"}`)}), 1009),
	}
}
