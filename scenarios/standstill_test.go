package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness"
	"plumbline/harness/conform"
	"plumbline/harness/conform/ws"
	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// What never came to an end, or came too late, while the rig itself stood still is no
// doing of the system; the same beside such a stretch is.
func TestWhatIsWaitedForInVainIsAskedOfTheRigToo(t *testing.T) {
	second := int64(time.Second)
	asleep := []oracle.Gap{{At: 30 * second, Length: 20 * time.Second}}
	const before, meanwhile = 1, 31 // seconds
	siege := func(at int64, change func(*siegeFacts)) func(*judged) {
		f := siegeFacts{From: at * second, To: at*second + 16*second, Kinds: []siegeKind{{Name: "half a request", Made: 100}}}
		change(&f)
		return func(j *judged) { f.judge(j.Case, "SEC-11", nil, j.stood) }
	}
	session := func(at int64) func(*judged) {
		l := stillOpen("SEC-05", 21*time.Second)
		l.From = at * second
		return func(j *judged) { l.judge(j.Case, "SEC-05", "life", j.stood) }
	}
	ghost := func(at int64, f takeoverFacts) func(*judged) {
		f.Tried, f.Second, f.From = true, 1, at*second
		return func(j *judged) { j.taken("REC-06", f) }
	}
	open := func(f *siegeFacts) { f.Kinds[0].Open = 3 }
	crowded := func(f *siegeFacts) {
		f.CrowdedOut, f.Came = "nothing came", stretch{f.From + second, 5 * time.Second}
	}
	stays := takeoverFacts{Watched: 5 * time.Second}
	served := takeoverFacts{Closed: true, Served: 3, Last: 400 * time.Millisecond}
	h, err := oracle.Index(goodLog())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		judge func(at int64) func(*judged)
		kind  string
	}{
		"a siege that is not ended":  {func(at int64) func(*judged) { return siege(at, open) }, "held-open"},
		"a viewer that is kept out":  {func(at int64) func(*judged) { return siege(at, crowded) }, "crowded-out"},
		"a session that lives on":    {session, "outlived"},
		"a ghost that stays":         {func(at int64) func(*judged) { return ghost(at, stays) }, "ghost"},
		"a ghost that is served yet": {func(at int64) func(*judged) { return ghost(at, served) }, "ghost-served"},
	} {
		for what, w := range map[string]struct {
			at    int64
			stood oracle.Standstills
			want  reports.Verdict
		}{
			"before":               {before, oracle.Standstills{Gaps: asleep}, reports.Fail},
			"meanwhile":            {meanwhile, oracle.Standstills{Gaps: asleep}, reports.Inconclusive},
			"too often to be kept": {before, oracle.Standstills{Gaps: asleep, From: 4 * time.Second}, reports.Inconclusive},
		} {
			j := judgedOf(t, h)
			j.stood = w.stood
			c.judge(w.at)(j)
			r := only(t, j.Case)
			if r.Verdict != w.want || (w.want == reports.Inconclusive && r.Reason != reports.ReasonRig) {
				t.Errorf("%s, %s: %s(%s): %s", name, what, r.Verdict, r.Reason, r.Sentence)
			}
			if told := strings.Contains(r.Sentence, "up to 4s were not kept"); told != (w.stood.From > 0) {
				t.Errorf("%s, %s: %s", name, what, r.Sentence)
			}
			if len(r.Findings) != 1 || r.Findings[0].Kind != c.kind || r.Findings[0].Confirmed != (w.want == reports.Fail) {
				t.Errorf("%s, %s: %+v", name, what, r.Findings)
			}
		}
	}
}

// An intruder that was not refused, and one that was told the wrong thing, are asked of
// the rig; one that was served is none of its doing.
func TestIntrudersAreAskedOfTheRigToo(t *testing.T) {
	silent := serving(t, func(conn *websocket.Conn) { listen(conn) })
	wrong := serving(t, func(conn *websocket.Conn) {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "late"), time.Now().Add(time.Minute))
	})
	for name, c := range map[string]struct {
		id, kind string
		attempt  attempt
		asked    bool // of the rig
	}{
		"not refused":       {"SEC-03", "not-refused", attempt{name: "token", spec: silent}, true},
		"told another code": {"SEC-10", "wrong-code", attempt{name: "malformed", spec: wrong, codes: []int{4005}}, true},
		"served":            {"SEC-03", "served", until([]attempt{{name: "token", spec: permissive(t)}})[0], false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock, verdicts := record.NewClock(), map[string]*tally{}
			before := clock.Now()
			c.attempt.try(t.Context(), clock, c.id, verdicts)
			after := clock.Now()
			late := after
			if at, waited := verdicts[c.id].Waits[0]; waited { // this machine may have stood still between the try and the look at the clock
				late = at.From + int64(at.Took)/2
			}
			for what, w := range map[string]struct {
				stood oracle.Standstills
				open  bool
			}{
				"never":                  {},
				"before":                 {stood: oracle.Standstills{Gaps: []oracle.Gap{{At: before - int64(time.Second), Length: time.Second}}}},
				"after":                  {stood: oracle.Standstills{Gaps: []oracle.Gap{{At: after, Length: time.Second}}}},
				"meanwhile":              {oracle.Standstills{Gaps: []oracle.Gap{{At: late, Length: time.Second}}}, c.asked},
				"for a moment meanwhile": {stood: oracle.Standstills{Gaps: []oracle.Gap{{At: late, Length: attemptWait / 20}}}},
				"nobody knows when":      {oracle.Standstills{From: attemptWait / 2}, c.asked},
			} {
				k, want := caseOf(t, nil), reports.Fail
				if w.open {
					want = reports.Inconclusive
				}
				verdicts[c.id].judge(k, c.id, w.stood)
				r := only(t, k)
				if r.Verdict != want || w.open && r.Reason != reports.ReasonRig {
					t.Errorf("the rig stood still %s: %s(%s): %s", what, r.Verdict, r.Reason, r.Sentence)
				}
				if len(r.Findings) != 1 || r.Findings[0].Kind != c.kind || r.Findings[0].Confirmed == w.open {
					t.Errorf("the rig stood still %s: %+v", what, r.Findings)
				}
			}
		})
	}
}

// A filter that brought nothing is asked of the rig from when it owed something on,
// until the drain ended.
func TestLostFiltersAreAskedOfTheRigToo(t *testing.T) {
	for name, c := range map[string]struct {
		stood oracle.Standstills
		want  reports.Verdict
	}{
		"nearly all the time": {oracle.Standstills{Gaps: []oracle.Gap{{At: 5000 * ms, Length: 1900 * time.Millisecond}}}, reports.Inconclusive},
		"before":              {oracle.Standstills{Gaps: []oracle.Gap{{At: 2500 * ms, Length: 1900 * time.Millisecond}}}, reports.Fail},
		"for a moment":        {oracle.Standstills{Gaps: []oracle.Gap{{At: 5000 * ms, Length: 200 * time.Millisecond}}}, reports.Fail},
		"nobody knows when":   {oracle.Standstills{From: time.Second}, reports.Inconclusive},
	} {
		r := refilledLog()
		r.Records = slices.DeleteFunc(r.Records, func(one record.Record) bool {
			return one.Kind == record.Received && one.At > 4000*ms && one.Stream == 17 // it owes from 4501 ms on
		})
		got := judgement(t, &r.Log, func(j *judged) {
			j.stood = c.stood
			j.refilled("REC-05", refillViewer, 2, 100, true)
		})
		if got.Verdict != c.want || c.want == reports.Inconclusive && got.Reason != reports.ReasonRig ||
			len(got.Findings) != 1 || got.Findings[0].Confirmed != (c.want == reports.Fail) {
			t.Errorf("the rig stood still %s: %s(%s) %s, %+v", name, got.Verdict, got.Reason, got.Sentence, got.Findings)
		}
	}
}

// What a ghost said counts by when it said it.
func TestAGhostThatIsHeardIsAskedOfTheRigToo(t *testing.T) {
	log := goodLog()
	witness := -1
	for n, node := range log.Index.Nodes {
		if node.Role == "witness" {
			witness = n
		}
	}
	if witness < 0 {
		witness = len(log.Index.Nodes)
		log.Index.Nodes = append(log.Index.Nodes, record.Node{Name: "witness", Role: "witness"})
	}
	log.Records = append(log.Records, record.Record{Kind: record.Witnessed, Node: uint16(witness), Stream: record.NoStream, Digest: 4711, At: 32 * int64(time.Second)})
	f := takeoverFacts{Tried: true, Closed: true, Second: 1, From: 31 * int64(time.Second), Digest: 4711, Wrote: 300 * time.Millisecond}
	for at, want := range map[int64]reports.Verdict{10: reports.Fail, 31: reports.Inconclusive} {
		r := judgement(t, log, func(j *judged) {
			j.stood.Gaps = []oracle.Gap{{At: at * int64(time.Second), Length: 200 * time.Millisecond}}
			j.taken("REC-06", f)
		})
		if r.Verdict != want || len(r.Findings) != 1 || r.Findings[0].Kind != "ghost-heard" {
			t.Errorf("the rig stood still in second %d: %s(%s): %s", at, r.Verdict, r.Reason, r.Sentence)
		}
	}
}

// A case that failed while the rig stood still fails no system, one that failed at
// another time does, and so does one that ended the system.
func TestCasesAreAskedOfTheRigToo(t *testing.T) {
	second := int64(time.Second)
	stood := map[string]oracle.Standstills{"standards": {Gaps: []oracle.Gap{{At: 30 * second, Length: time.Second}}}, "standards-2": {}}
	for name, c := range map[string]struct {
		spans  map[string]caseSpan
		killed bool
		want   reports.Verdict
	}{
		"nobody knows when":          {nil, false, reports.Fail},
		"meanwhile":                  {map[string]caseSpan{"WS-4.2.2-1": {"standards", 29 * second, 33 * second}}, false, reports.Inconclusive},
		"before":                     {map[string]caseSpan{"WS-4.2.2-1": {"standards", 20 * second, 29 * second}}, false, reports.Fail},
		"at another system":          {map[string]caseSpan{"WS-4.2.2-1": {"standards-2", 29 * second, 33 * second}}, false, reports.Fail},
		"another case was meanwhile": {map[string]caseSpan{"WS-5.2-32": {"standards", 29 * second, 33 * second}}, false, reports.Fail},
		"it ended the system":        {map[string]caseSpan{"WS-4.2.2-1": {"standards", 29 * second, 33 * second}}, true, reports.Fail},
	} {
		cases := decided(ws.Rules(), func(int) conform.Verdict { return conform.Pass })
		for i := range cases {
			if cases[i].ID == "WS-4.2.2-1" {
				cases[i].Verdict, cases[i].Killed = conform.Fail, c.killed
			}
		}
		k := caseOf(t, nil)
		(&examined{Cases: cases, Spans: c.spans}).judge(k, "PRO-01", nil, stood)
		if r := only(t, k); r.Verdict != c.want || c.want == reports.Inconclusive && r.Reason != reports.ReasonRig {
			t.Errorf("%s: %s(%s): %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
}

// When a case was at work is kept of those that failed.
func TestExaminedKeepsWhenCasesFailed(t *testing.T) {
	checks := []conform.Check{
		{Rule: ws.Rules()[0], Run: func(t *conform.Trial) { t.Failf("broken") }},
		{Rule: ws.Rules()[1], Run: func(*conform.Trial) {}},
	}
	b := &harness.Bench{Clock: record.NewClock()}
	cases := conform.Execute(t.Context(), checks, conform.Settings{})
	x := &examination{found: conformance{WebSocket: &examined{}}}
	x.note(b, cases)
	x.keep(cases, nil, nil)
	spans := x.found.WebSocket.Spans
	if at := spans[checks[0].ID]; len(spans) != 1 || at.Bench != b.Folder() || at.From <= 0 || at.To < at.From {
		t.Errorf("%+v", spans)
	}
}

// A bridge that sends without end while a session is watched neither fills the memory
// of the harness nor is taken for one that keeps the session.
func TestASessionThatBringsMuchIsWatchedToItsEnd(t *testing.T) {
	ended := make(chan struct{})
	bulk := `{"type":"batch","id":1,"readings":[],"more":"` + strings.Repeat("x", 64<<10) + `"}`
	way := serving(t, func(conn *websocket.Conn) {
		speak(conn, `{"type":"welcome"}`, `{"type":"batch","readings":[]}`)
		<-ended
		for range 32 {
			speak(conn, bulk)
			_ = conn.WriteControl(websocket.PingMessage, []byte(strings.Repeat("p", 125)), time.Now().Add(time.Minute))
		}
	})
	way.MaxBytes, way.Wait = 128<<10, time.Minute
	l, err := outlived(t.Context(), way, "SEC-05", func() (due, error) { defer close(ended); return dueNow() })
	if err != nil || l.After <= 0 || len(l.Found) > 0 || l.Unwatched != "" {
		t.Errorf("%+v, %v", l, err)
	}
}

// What the harness could not watch to its end says nothing about the session, neither
// that it lived on nor that it ended, as long as it was rightly open: one that was open
// for longer lived on.
func TestASessionThatCannotBeWatchedProvesNothing(t *testing.T) {
	after := func(ended chan struct{}) func() (due, error) {
		return func() (due, error) { defer close(ended); return dueNow() }
	}
	ended := make(chan struct{})
	way := serving(t, func(conn *websocket.Conn) {
		speak(conn, `{"type":"welcome"}`, `{"type":"batch","readings":[]}`)
		<-ended
		_, _ = conn.NetConn().Write([]byte{0xC1, 0x00}) // a bit that nobody agreed on
		listen(conn)
	})
	way.Wait = time.Minute
	broken, err := outlived(t.Context(), way, "SEC-05", after(ended))
	if err != nil {
		t.Fatal(err)
	}
	flooded := make(chan struct{})
	cfg := disguised(t, servingAs(t, []string{"plumbline.v1.json"}, func(conn *websocket.Conn) {
		lettingInAndBack(conn)
		<-flooded
		var many strings.Builder
		for n := range 10_000 {
			fmt.Fprintf(&many, `,{"o":%d,"t":1,"topic":"bench/own","qos":1,"payload":"1"}`, n+2)
		}
		speak(conn, `{"type":"batch","id":1,"epoch":"e","from":1,"to":10001,"readings":[`+many.String()[1:]+`]}`)
		listen(conn)
	}))
	cfg.Plausible = func() uint64 { return 1 }
	flood, err := outlivedAs(t.Context(), cfg, "SEC-05", time.Minute, after(flooded))
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]lifetime{"a broken frame": broken, "a flood": flood} {
		if l.Unwatched == "" || l.Watched <= 0 {
			t.Errorf("%s: %+v", name, l)
		}
		c := caseOf(t, nil)
		l.Watched = time.Millisecond // or more, on a busy machine
		l.judge(c, "SEC-05", "life", oracle.Standstills{})
		if r := only(t, c); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonEnvironment || len(r.Findings) != 0 {
			t.Errorf("%s: %+v: %s(%s): %s", name, l, r.Verdict, r.Reason, r.Sentence)
		}
		c = caseOf(t, nil)
		l.Watched = 21 * time.Second
		l.judge(c, "SEC-05", "life", oracle.Standstills{})
		if r := only(t, c); r.Verdict != reports.Fail || len(r.Findings) != 1 || !r.Findings[0].Confirmed || !strings.Contains(r.Findings[0].Detail, l.Unwatched) {
			t.Errorf("%s, later: %+v: %s(%s): %s", name, l, r.Verdict, r.Reason, r.Sentence)
		}
	}
	short := stillOpen("SEC-05", time.Millisecond) // its hook took all the time
	c := caseOf(t, nil)
	short.judge(c, "SEC-05", "life", oracle.Standstills{})
	if r := only(t, c); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonSamples {
		t.Errorf("watched too shortly: %s(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// A system that is no more lets nobody step its clock: that it died is what happened,
// and no reason not to ask.
func TestADeadSystemIsNotBeyondTheHarness(t *testing.T) {
	refused := fmt.Errorf("clock of process 4711: %w: it has no vDSO", fault.ErrUnavailable)
	died := fmt.Errorf("sut: process %q died: %w", "bridge", sut.ErrUnavailable)
	ended := make(chan struct{})
	close(ended)
	for name, err := range map[string]error{"refused": refused, "gone meanwhile": errors.New("process already finished")} {
		var seen clockFacts
		if got := seen.failed(t.Context(), err, false, ended, func() error { return died }); !errors.Is(got, sut.ErrUnavailable) || seen.Refused != "" || seen.beyond() != "" {
			t.Errorf("%s: %v, %+v", name, got, seen)
		}
	}
	var seen clockFacts
	if err := seen.failed(t.Context(), refused, true, nil, nil); err != nil || !strings.Contains(seen.Refused, "vDSO") || !seen.Hook {
		t.Errorf("a live one that refuses: %v, %+v", err, seen)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(died)
	if err := seen.failed(gone, refused, false, nil, nil); !errors.Is(err, sut.ErrUnavailable) {
		t.Errorf("the bench told of the death: %v", err)
	}
}

// watchedUntil is the good recording, watched until a second, in which a viewer or two lost
// nothing.
func watchedUntil(until int64) *record.Log {
	log := calm()
	log.Events = slices.DeleteFunc(log.Events, func(e record.Event) bool { return e.Kind == record.DrainEnd })
	log.Events = append(log.Events, record.Event{At: until * int64(time.Second), Kind: record.DrainEnd, Subject: "negative"})
	return log
}

// What never came back is asked of the rig over all the time in which it was watched,
// and what was watched for a while over that.
func TestWhatNeverCameIsAskedOfTheRigToo(t *testing.T) {
	second := time.Second
	never := []reports.Finding{{Requirement: "REC-01", Kind: "never-back", At: 30 * second, Confirmed: true}}
	for name, c := range map[string]struct {
		gap  oracle.Gap
		want reports.Verdict
	}{
		"nearly all the time": {oracle.Gap{At: int64(31 * second), Length: 7 * second}, reports.Inconclusive},
		"before":              {oracle.Gap{At: int64(20 * second), Length: 9 * second}, reports.Fail},
		"for a moment":        {oracle.Gap{At: int64(31 * second), Length: second}, reports.Fail},
	} {
		r := judgement(t, watchedUntil(40), func(j *judged) {
			j.stood.Gaps = []oracle.Gap{c.gap}
			j.within("REC-01", "way back", nil, never, 1)
		})
		if r.Verdict != c.want || c.want == reports.Inconclusive && r.Reason != reports.ReasonRig {
			t.Errorf("%s: %s(%s): %s", name, r.Verdict, r.Reason, r.Sentence)
		}
		if !never[0].Confirmed {
			t.Fatal("the caller's findings were changed")
		}
	}
	// Twenty seconds are watched, and much later the recording ends.
	r := judgement(t, watchedUntil(300), func(j *judged) {
		j.stood.Gaps = []oracle.Gap{{At: int64(31 * second), Length: 10 * second}}
		j.within("REC-03", "silence", nil, j.watchedFor("REC-03", never, 2*j.Limit("REC-03").Time), 1)
	})
	if r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonRig {
		t.Errorf("watched for a while: %s(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// A session that ends after the rig stood still for some heartbeats was ended by that.
func TestASessionThatTheRigBrokeIsNotHeldAgainstAStepOfTheClock(t *testing.T) {
	for before, want := range map[time.Duration]reports.Verdict{2 * time.Second: reports.Inconclusive, 20 * time.Second: reports.Fail} {
		r := judgement(t, goodLog(), func(j *judged) {
			j.stood.Gaps = []oracle.Gap{{At: cutAt - int64(before), Length: 1500 * time.Millisecond}}
			j.steady("RES-06", "effect of the step/effects of the step")
		})
		if r.Verdict != want || want == reports.Inconclusive && r.Reason != reports.ReasonRig {
			t.Errorf("%s before: %s(%s): %s", before, r.Verdict, r.Reason, r.Sentence)
		}
	}
}
