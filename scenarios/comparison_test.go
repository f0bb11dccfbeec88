package scenarios

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/octets"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// comparedParts are two approaches in one round, and the part without viewers: one device, 100
// messages a second of 50 bytes. The WebSocket shows each after 1 ms; polling shows after
// 500 ms what was due before.
func comparedParts() (*recording, approachFacts) {
	r := &recording{}
	r.Index = record.Index{
		Nodes: []record.Node{
			{Name: "publisher", Role: "publisher"}, {Name: "ws-1-01", Role: "viewer", Filters: []string{harness.AllTopics}},
			{Name: "poll-often-1-01", Role: "viewer", Filters: []string{harness.AllTopics}},
		},
		Streams: []record.Stream{{Device: "d1", Topic: harness.Topic("d1"), QoS: 1}},
	}
	const part = 2000 // ms
	facts := approachFacts{
		Cores: 2, Load: profile.Load{Devices: 1, Rate: 100, Viewers: 1, Cycles: 1, Window: time.Second},
		Approaches: []approachFact{{ID: wayWS, Name: "a"}, {ID: wayPollOften, Name: "b"}},
	}
	for i, p := range []approachPart{
		{Bridge: 100 * time.Millisecond, Client: 50 * time.Millisecond},
		{
			Approach: wayWS, Viewers: []string{"ws-1-01"}, Bridge: 101 * time.Millisecond, Client: 52 * time.Millisecond,
			Wire: octets.Counts{Told: true, Up: octets.Way{Segments: 50}, Down: octets.Way{TCP: 10_400 + 2200, Plain: 10_400, Records: 100, Segments: 100}},
			Seen: viewer.Counters{Messages: 100, Bytes: 10_000}, Session: octets.Counts{Connections: 1},
		},
		{
			Approach: wayPollOften, Viewers: []string{"poll-often-1-01"}, Bridge: 110 * time.Millisecond, Client: 58 * time.Millisecond,
			Wire: octets.Counts{Told: true, Up: octets.Way{TCP: 7220, Plain: 7000, Segments: 20}, Down: octets.Way{TCP: 9220, Plain: 9000, Segments: 30}},
			Seen: viewer.Counters{Messages: 10, Requests: 10, Bytes: 7000}, Session: octets.Counts{Connections: 1},
		},
	} {
		from := int64(i) * part * ms
		p.Round, p.Over, p.Window, p.Opened, p.Closed = 1, time.Second, p.Approach+"-1", from+500*ms, from+1500*ms
		facts.Parts = append(facts.Parts, p)
		if p.Approach == "" {
			continue
		}
		r.event(from, record.Connected, p.Viewers[0])
		r.event(from, record.Subscribed, p.Viewers[0])
		r.event(p.Opened, record.WindowOpen, p.Window)
		r.event(p.Closed, record.WindowClose, p.Window)
	}
	for i := range int64(600) {
		due := (i + 1) * 10 * ms
		seq := uint64(i + 1)
		r.add(record.Sent, 0, 0, seq, due, due, 50)
		r.add(record.Acked, 0, 0, seq, 0, due+ms/2, 50)
		if due >= part*ms && due < 2*part*ms {
			r.add(record.Received, 1, 0, seq, 0, due+ms, 50)
		}
	}
	for i := range int64(600) {
		if due := (i + 1) * 10 * ms; due >= 2*part*ms && due < 3*part*ms-500*ms {
			r.add(record.Received, 2, 0, uint64(i+1), 0, (due/(500*ms)+1)*500*ms, 50)
		}
	}
	r.event(7000*ms, record.DrainEnd, "approaches")
	return r, facts
}

// judgedComparison is that recording, by the profile that asks for it.
func judgedComparison(t *testing.T, r *recording) *judged {
	t.Helper()
	p, err := spec.Catalogue().Load("approaches")
	if err != nil {
		t.Fatal(err)
	}
	c, err := spec.CaseOf(p, spec.Scenario{ID: "approaches", Requirements: []string{"APP-01"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := oracle.Index(&r.Log)
	if err != nil {
		t.Fatal(err)
	}
	return &judged{Case: c, history: h, base: oracle.Options{BrokerInside: true}, health: goodRig}
}

// unshown leaves a reading of the WebSocket's window out.
func (r *recording) unshown() {
	r.Records = slices.DeleteFunc(r.Records, func(one record.Record) bool { return one.Kind == record.Received && one.Seq == 300 })
}

func TestWhatAnApproachDoesNotShowIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*recording, *approachFacts)
		want  reports.Verdict
	}{
		"everything": {func(*recording, *approachFacts) {}, reports.Pass},
		"one lost":   {func(r *recording, _ *approachFacts) { r.unshown() }, reports.Fail},
		"one twice":  {func(r *recording, _ *approachFacts) { r.add(record.Received, 1, 0, 300, 0, 3100*ms, 50) }, reports.Fail},
		"one that nobody sent": {func(r *recording, _ *approachFacts) {
			r.Records = append(r.Records, record.Record{Kind: record.Received, Node: 1, Stream: record.NoStream, At: 3000 * ms})
		}, reports.Fail},
		"declared to be left out": {func(r *recording, f *approachFacts) {
			r.unshown()
			f.Parts[1].Told = map[string]uint64{"ws-1-01": 1}
		}, reports.Pass},
		"left out before the window, lost within": {func(r *recording, f *approachFacts) {
			r.unshown()
			f.Parts[1].ToldBefore, f.Parts[1].Told = map[string]uint64{"ws-1-01": 10}, map[string]uint64{"ws-1-01": 10}
		}, reports.Fail},
		"declared to another viewer": {func(r *recording, f *approachFacts) {
			r.unshown()
			f.Parts[1].Viewers = append(f.Parts[1].Viewers, "ws-1-02")
			f.Parts[1].Told = map[string]uint64{"ws-1-02": 1}
		}, reports.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			r, facts := comparedParts()
			c.spoil(r, &facts)
			j := judgedComparison(t, r)
			j.Profile.Limits["APP-01"] = profile.Limit{Samples: 100}
			j.allShown("APP-01", facts)
			if got := only(t, j.Case); got.Verdict != c.want {
				t.Errorf("%s: %s, want %s", got.Verdict, got.Sentence, c.want)
			}
		})
	}
}

// TestWhatTheRigItselfHeldBackIsNoLoss: nor does it excuse what was lost in another part.
func TestWhatTheRigItselfHeldBackIsNoLoss(t *testing.T) {
	for part, want := range map[int]reports.Verdict{1: reports.Inconclusive, 2: reports.Fail} {
		r, facts := comparedParts()
		r.unshown()
		for i := range facts.Parts {
			facts.Parts[i].Left = facts.Parts[i].Closed + int64(approachTail)
		}
		j := judgedComparison(t, r)
		j.stood = oracle.Standstills{Gaps: []oracle.Gap{{At: facts.Parts[part].Closed + 10*ms, Length: 600 * time.Millisecond}}}
		j.Profile.Limits["APP-01"] = profile.Limit{Samples: 100}
		j.allShown("APP-01", facts)
		if got := only(t, j.Case); got.Verdict != want || want == reports.Inconclusive && got.Reason != reports.ReasonRig {
			t.Errorf("the rig stood still after part %d: %s(%s): %s, want %s", part, got.Verdict, got.Reason, got.Sentence, want)
		}
	}
}

func TestFiguresOfApproaches(t *testing.T) {
	r, facts := comparedParts()
	all := judgedComparison(t, r).measure(facts)
	if len(all) != 2 {
		t.Fatalf("%d approaches", len(all))
	}
	ws, poll := all[0], all[1]
	for _, f := range []struct {
		name string
		got  reports.Float
		want float64
	}{
		{"readings", reports.Float(ws.Readings), 100}, {"payload", ws.Bytes.Payload, 50}, {"message", ws.Bytes.Message, 100}, {"framing", ws.Bytes.Framing, 4},
		{"TLS", ws.Bytes.TLS, 22}, {"TCP/IP", ws.Bytes.TCPIP, 78}, {"wire", ws.Bytes.Wire, 204}, {"framing a message", ws.Overhead, 4},
		{"median latency", ws.LatencyP50, 1}, {"age", ws.AgeP50, 6}, {"bridge", ws.Bridge.PerReading, 10}, {"client", ws.Client.PerReading, 20},
		{"ratio", ws.Bridge.Ratio, 1}, {"connections", ws.Connections, 1}, {"requests", ws.Requests, 0},
		{"requests of polling", poll.Requests, 10}, {"framing of an answer", poll.Overhead, 900}, {"ratio of polling", poll.Bridge.Ratio, 10},
		{"median latency of polling", poll.LatencyP50, 250}, {"most of any round", poll.Client.Most, 4},
	} {
		if math.Abs(float64(f.got)-f.want) > 1e-6 {
			t.Errorf("%s is %v, want %v", f.name, f.got, f.want)
		}
	}
	for id, want := range map[string]reports.Standing{
		"framing": reports.Holds, "headers": reports.Holds, "latency": reports.Holds, "cpu": reports.HoldsOpen, "bytes": reports.HoldsNot,
	} {
		for _, claim := range claimsOf(all) {
			if claim.ID == id && (claim.Standing != want || claim.Figure == "") {
				t.Errorf("%s: %s (%s), want %s", id, claim.Standing, claim.Figure, want)
			}
		}
	}
}

// TestClaimsFollowTheFigures: each rule says each of its words when the figures ask for it.
func TestClaimsFollowTheFigures(t *testing.T) {
	way := func(id string, change func(*measured)) measured {
		m := measured{Approach: reports.Approach{ID: id, Readings: 1}}
		change(&m)
		return m
	}
	rounds := func(id string, us ...float64) measured {
		return way(id, func(m *measured) {
			m.perBridge = map[int]float64{}
			for i, v := range us {
				m.perBridge[i] = v
				m.Bridge.PerReading += reports.Float(v / float64(len(us)))
			}
		})
	}
	cost := func(id string, us float64) measured { return rounds(id, us, us, us) }
	heads := func(id string, bytes float64) measured {
		return way(id, func(m *measured) { m.Overhead = reports.Float(bytes) })
	}
	late := func(p50, p99 float64) measured {
		return way(wayWS, func(m *measured) { m.LatencyP50, m.LatencyP99 = reports.Float(p50), reports.Float(p99) })
	}
	framed := func(bytes int64) measured {
		return way(wayWS, func(m *measured) { m.wire.Down.Plain, m.seen.Messages = bytes, 1 })
	}
	for _, c := range []struct {
		claim string
		all   []measured
		want  reports.Standing
	}{
		{"framing", nil, reports.HoldsOpen}, {"framing", []measured{framed(2)}, reports.Holds}, {"framing", []measured{framed(15)}, reports.HoldsNot}, {"framing", []measured{framed(1)}, reports.HoldsNot},
		{"headers", nil, reports.HoldsOpen}, {"headers", []measured{heads(wayPollOften, 799)}, reports.HoldsNot}, {"headers", []measured{heads(wayPollOften, 800)}, reports.Holds},
		{"headers", []measured{heads(wayPollOften, 900), heads(wayOftenH2, 80)}, reports.HoldsPartly},
		{"latency", nil, reports.HoldsOpen}, {"latency", []measured{late(1, 16)}, reports.Holds}, {"latency", []measured{late(1, 17)}, reports.HoldsPartly},
		{"latency", []measured{late(17, 18)}, reports.HoldsNot}, {"latency", []measured{late(1, math.Inf(1))}, reports.HoldsPartly},
		{"cpu", nil, reports.HoldsOpen}, {"cpu", []measured{cost(wayWS, 1)}, reports.HoldsOpen}, {"cpu", []measured{cost(wayWS, 1), cost(wayPoll, 2)}, reports.Holds},
		{"cpu", []measured{cost(wayWS, 2), cost(wayPoll, 1)}, reports.HoldsNot}, {"cpu", []measured{cost(wayWS, 2), cost(wayPoll, 1), cost(wayLong, 3)}, reports.HoldsPartly},
		{"cpu", []measured{rounds(wayWS, 2, 2), rounds(wayPoll, 3, 4)}, reports.Holds}, {"cpu", []measured{rounds(wayWS, 2, 2), rounds(wayPoll, 1, 1.5)}, reports.HoldsNot},
		{"cpu", []measured{rounds(wayWS, 2, 2), rounds(wayPoll, 1, 4)}, reports.HoldsOpen}, {"cpu", []measured{rounds(wayWS, 2), rounds(wayPoll, 4)}, reports.HoldsOpen},
		{"cpu", []measured{rounds(wayWS, -1, 1), rounds(wayPoll, 4, 4)}, reports.HoldsOpen},
		{"cpu", []measured{rounds(wayWS, 2, 2), rounds(wayPoll, 1, 4), rounds(wayLong, 5, 6)}, reports.HoldsPartly},
		{"cpu", []measured{rounds(wayWS, 2, 2), rounds(wayPoll, 1, 4), rounds(wayPollOften, 1, 1)}, reports.HoldsPartly},
	} {
		for _, claim := range claimsOf(c.all) {
			if claim.ID == c.claim && claim.Standing != c.want {
				t.Errorf("%s of %v: %s (%s), want %s", c.claim, c.all, claim.Standing, claim.Figure, c.want)
			}
		}
	}
}

// TestApproachesAreToldApart: ids are those that claims look for, and each once.
func TestApproachesAreToldApart(t *testing.T) {
	var ids []string
	for _, a := range polled("https://127.0.0.1:1") {
		ids = append(ids, a.id)
	}
	for _, id := range []string{wayPoll, wayPollH2, wayPollOften, wayOftenH2, wayLong, wayLongH2, waySSE, waySSEH2} {
		if n := strings.Count(" "+strings.Join(ids, " ")+" ", " "+id+" "); n != 1 {
			t.Errorf("%s is there %d times: %v", id, n, ids)
		}
	}
	if text := fmt.Sprint(conditionsOf(approachFacts{})); strings.Contains(text, "%!") {
		t.Error(text)
	}
}
