package scenarios

import (
	"crypto/tls"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// permissive serves everyone everything: what each SEC requirement is there to
// find out.
func permissive(t *testing.T) viewer.ProbeSpec {
	t.Helper()
	return serving(t, func(conn *websocket.Conn) {
		speak(conn, `{"type":"welcome"}`, `{"type":"subok","id":1}`, `{"type":"batch","id":1,"readings":[{"topic":"bench/other"}]}`)
		listen(conn)
	})
}

// serving returns the way to a bridge that treats every connection alike; the
// connection is closed when session returns.
func serving(t *testing.T, session func(*websocket.Conn)) viewer.ProbeSpec {
	t.Helper()
	return servingAs(t, nil, session)
}

// servingAs is serving with subprotocols to choose from.
func servingAs(t *testing.T, subprotocols []string, session func(*websocket.Conn)) viewer.ProbeSpec {
	t.Helper()
	return servingBehind(t, func(h http.Handler) http.Handler { return h }, subprotocols, session)
}

// servingBehind is servingAs with something before the server.
func servingBehind(t *testing.T, before func(http.Handler) http.Handler, subprotocols []string, session func(*websocket.Conn)) viewer.ProbeSpec {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: subprotocols, CheckOrigin: func(*http.Request) bool { return true }}
	server := httptest.NewUnstartedServer(before(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		session(conn)
	})))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10}
	server.StartTLS()
	t.Cleanup(server.Close)
	client := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	return viewer.ProbeSpec{
		URL: strings.Replace(server.URL, "https://", "wss://", 1), TLS: client, Origins: []string{"https://dashboard.test"}, Subprotocols: []string{},
	}
}

// speak writes frames; one that nobody takes any more ends it.
func speak(conn *websocket.Conn, frames ...string) {
	for _, frame := range frames {
		if conn.WriteMessage(websocket.TextMessage, []byte(frame)) != nil {
			return
		}
	}
}

// listen reads until the peer has gone.
func listen(conn *websocket.Conn) {
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

// until ends probes of the permissive server as soon as it has served them.
func until(list []attempt) []attempt {
	for i := range list {
		list[i].spec.Until = func(frame []byte) bool { return typeOf(frame) == "batch" }
	}
	return list
}

func only(t *testing.T, c *spec.Case) reports.Result {
	t.Helper()
	results := c.Results()
	if len(results) != 1 {
		t.Fatalf("%d results", len(results))
	}
	return results[0]
}

func TestAPermissiveBridgeIsFailed(t *testing.T) {
	base := permissive(t)
	old := transports(base, "token")[1:3] // TLS 1.0 and 1.1
	for id, attempts := range map[string][]attempt{
		"SEC-01": old, "SEC-02": strangers(base)[:1], "SEC-06": origins(base, "token")[:3],
		"SEC-03": {{name: "token alg-none", spec: base, codes: []int{4002}}},
		"SEC-10": strangers(base)[1:2],
	} {
		t.Run(id, func(t *testing.T) {
			verdicts := map[string]*tally{}
			for _, a := range until(attempts) {
				a.try(t.Context(), record.NewClock(), id, verdicts)
			}
			c := caseOf(t, nil)
			verdicts[id].judge(c, id, oracle.Standstills{})
			r := only(t, c)
			if r.Verdict != reports.Fail || len(r.Findings) != len(attempts) {
				t.Errorf("%s: %s %s with %d findings of %d attempts", id, r.Verdict, r.Sentence, len(r.Findings), len(attempts))
			}
		})
	}
}

// A system that did not refuse in time is asked a second time: the rig may have
// stood still.
func TestWhoDidNotRefuseIsAskedTwice(t *testing.T) {
	for name, c := range map[string]struct {
		a     attempt
		tries []outcome
		want  int
	}{
		"refused":                      {attempt{}, []outcome{{ended: true}}, 0},
		"served":                       {attempt{}, []outcome{{served: "batch"}}, 0},
		"held up once":                 {attempt{}, []outcome{{}, {ended: true}}, 1},
		"never ended":                  {attempt{}, []outcome{{}, {}}, 1},
		"asked elsewhere":              {attempt{asked: true}, []outcome{{}}, 0},
		"a protocol that need not end": {attempt{guise: &viewer.Config{}}, []outcome{{}}, 0},
	} {
		n := 0
		got := c.a.insist(func() outcome { n++; return c.tries[n-1] })
		if n != len(c.tries) || got != c.tries[c.want] {
			t.Errorf("%s: %d tries, %+v", name, n, got)
		}
	}
}

// A system without TLS has no old versions of it.
func TestWhatIsNotThereIsNotAsked(t *testing.T) {
	base := permissive(t)
	base.TLS = nil
	if got := transports(base, "token"); len(got) != 0 {
		t.Errorf("without TLS there are %d attempts to get round it", len(got))
	}
}

// A bridge that refuses everyone proves nothing by refusing strangers.
func TestRefusingEveryoneIsNoPass(t *testing.T) {
	c := caseOf(t, nil)
	(&tally{Checks: 3, Control: "a rightful viewer was not served"}).judge(c, "SEC-02", oracle.Standstills{})
	if r := only(t, c); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonEnvironment {
		t.Errorf("%s(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
	c = caseOf(t, nil)
	y := &tally{Checks: 1}
	y.violation("SEC-07", "leak", "filter", "delivered bench/other")
	y.judge(c, "SEC-07", oracle.Standstills{})
	if r := only(t, c); r.Verdict != reports.Fail {
		t.Errorf("%s: %s", r.Verdict, r.Sentence)
	}
}

// A bridge may refuse a filter in words and deliver all the same, at the next
// message that somebody publishes.
func TestALeakAfterARefusalIsFailed(t *testing.T) {
	way := door{own: "bench/own", token: "token", way: serving(t, func(conn *websocket.Conn) {
		speak(conn, `{"type":"welcome"}`)
		_, _, _ = conn.ReadMessage() // hello
		_, _, _ = conn.ReadMessage() // sub
		speak(conn, `{"type":"suberr","id":1}`, `{"type":"batch","readings":[{"topic":"bench/own"}]}`, `{"type":"batch","readings":[{"topic":"bench/other"}]}`)
		listen(conn)
	})}
	result := &tally{}
	way.askOutside(t.Context(), []string{"#"}, result)
	c := caseOf(t, nil)
	result.judge(c, "SEC-07", oracle.Standstills{})
	if r := only(t, c); r.Verdict != reports.Fail || len(r.Findings) != 2 {
		t.Errorf("%s: %s, %d findings of two attempts", r.Verdict, r.Sentence, len(r.Findings))
	}
}

// A session that was never admitted asked for nothing.
func TestATenantThatIsNotAdmittedProvesNothing(t *testing.T) {
	way := door{own: "bench/own", token: "token", way: serving(t, func(*websocket.Conn) {})}
	result := &tally{}
	way.askOutside(t.Context(), []string{"#"}, result)
	c := caseOf(t, nil)
	result.judge(c, "SEC-07", oracle.Standstills{})
	if r := only(t, c); r.Verdict != reports.Inconclusive {
		t.Errorf("%s: %s", r.Verdict, r.Sentence)
	}
}

// A session that ends by itself says nothing about expiry or revocation.
func TestASessionThatEndsBeforeItMustProvesNothing(t *testing.T) {
	way := serving(t, func(conn *websocket.Conn) {
		speak(conn, `{"type":"welcome"}`, `{"type":"batch","readings":[]}`)
	})
	l, err := outlived(t.Context(), way, "SEC-04", func() (due, error) { return due{time.Now().Add(time.Minute), time.Now().Add(time.Minute)}, nil })
	if err != nil {
		t.Fatal(err)
	}
	c := caseOf(t, nil)
	l.judge(c, "SEC-04", "life", oracle.Standstills{})
	if r := only(t, c); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonEnvironment {
		t.Errorf("%s(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// dueNow says that a session has to end now.
func dueNow() (due, error) { return due{time.Now(), time.Now()}, nil }

// How long it takes to revoke is no life of the session: it may end while that is on
// its way, and counts from when that is done.
func TestTheTimeThatRevokingTakesIsNotHeldAgainstTheSession(t *testing.T) {
	for name, c := range map[string]struct {
		ended time.Duration // before it was done; it took a minute
		want  lifetime
	}{
		"after it":      {-time.Second, lifetime{After: time.Second}},
		"while it was":  {time.Second, lifetime{}},
		"before it was": {61 * time.Second, lifetime{Early: 61 * time.Second}},
	} {
		done := time.Now()
		if got := (due{done.Add(-time.Minute), done}).ended(done.Add(-c.ended)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("it ended %s: %+v, want %+v", name, got, c.want)
		}
	}
	revoked := make(chan struct{})
	way := serving(t, func(conn *websocket.Conn) {
		speak(conn, `{"type":"welcome"}`, `{"type":"batch","readings":[]}`)
		<-revoked
	})
	l, err := outlived(t.Context(), way, "SEC-05", func() (due, error) {
		defer close(revoked)
		return due{time.Now().Add(-time.Minute), time.Now()}, nil
	})
	if err != nil || l.After <= 0 || l.After >= time.Minute || l.Early != 0 {
		t.Errorf("a session that ended at once: %+v, %v", l, err)
	}
}

func TestSessionsThatLiveOnAreFailed(t *testing.T) {
	for _, id := range []string{"SEC-04", "SEC-05"} {
		for name, l := range map[string]lifetime{
			"too long": {After: time.Minute},
			"for ever": {Found: []reports.Finding{{Requirement: id, Kind: "outlived", Confirmed: true}}},
		} {
			c := caseOf(t, nil)
			l.judge(c, id, "life", oracle.Standstills{})
			if r := only(t, c); r.Verdict != reports.Fail {
				t.Errorf("%s %s: %s %s", id, name, r.Verdict, r.Sentence)
			}
		}
		c := caseOf(t, nil)
		lifetime{After: time.Millisecond}.judge(c, id, "life", oracle.Standstills{})
		if r := only(t, c); r.Verdict != reports.Pass {
			t.Errorf("%s in time: %s %s", id, r.Verdict, r.Sentence)
		}
	}
}

func TestHalfOpenConnectionsAreFailed(t *testing.T) {
	for name, c := range map[string]struct {
		times []stretch
		found []reports.Finding
	}{
		"a minute": {times: []stretch{{Took: time.Second}, {Took: time.Minute}}},
		"never":    {found: []reports.Finding{{Requirement: "REC-03", Kind: "half-open", Confirmed: true}}},
	} {
		r := judgement(t, goodLog(), func(j *judged) { j.within("REC-03", "silence", c.times, c.found, 2) })
		if r.Verdict != reports.Fail {
			t.Errorf("%s: %s %s", name, r.Verdict, r.Sentence)
		}
	}
}

// What was above a limit while the rig itself did not run is no doing of the
// bridge, whatever is timed; the same beside such a stretch is.
func TestALateRigIsNoLateBridge(t *testing.T) {
	second := int64(time.Second)
	asleep := []oracle.Gap{{At: 30 * second, Length: 20 * time.Second}}
	for name, c := range map[string]struct {
		judge func(*judged)
		id    string
		want  reports.Verdict
	}{
		"a way back meanwhile": {func(j *judged) {
			j.within("REC-01", "way back", []stretch{{0, time.Second}, {29 * second, 25 * time.Second}}, nil, 1)
		}, "REC-01", reports.Inconclusive},
		"a way back before": {func(j *judged) {
			j.within("REC-01", "way back", []stretch{{0, 10 * time.Second}, {29 * second, 25 * time.Second}}, nil, 1)
		}, "REC-01", reports.Fail},
		"far more than the rig held up": {func(j *judged) { j.within("REC-01", "way back", []stretch{{29 * second, time.Minute}}, nil, 1) }, "REC-01", reports.Fail},
		"a session before": {func(j *judged) {
			lifetime{From: second, After: 21 * time.Second}.judge(j.Case, "SEC-05", "life", j.stood)
		}, "SEC-05", reports.Fail},
		"a way back in time": {func(j *judged) { j.within("REC-01", "way back", []stretch{{29 * second, time.Second}}, nil, 1) }, "REC-01", reports.Pass},
		"a session": {func(j *judged) {
			lifetime{From: 29 * second, After: 21 * time.Second}.judge(j.Case, "SEC-05", "life", j.stood)
		}, "SEC-05", reports.Inconclusive},
		"a session that never ended": {func(j *judged) {
			lifetime{Found: []reports.Finding{{Kind: "outlived", Confirmed: true}}}.judge(j.Case, "SEC-05", "life", j.stood)
		}, "SEC-05", reports.Fail},
		"a siege": {func(j *judged) {
			siegeFacts{From: 1, To: 60 * second, Kinds: []siegeKind{{Name: "half a request", Made: 100, Slowest: 25 * time.Second}}}.judge(j.Case, "SEC-11", nil, j.stood)
		}, "SEC-11", reports.Inconclusive},
		"a siege before": {func(j *judged) {
			siegeFacts{From: 1, To: 29 * second, Kinds: []siegeKind{{Name: "half a request", Made: 100, Slowest: 25 * time.Second}}}.judge(j.Case, "SEC-11", nil, j.stood)
		}, "SEC-11", reports.Fail},
		"a takeover": {func(j *judged) {
			j.taken("REC-06", takeoverFacts{Tried: true, Closed: true, From: 31 * second, After: 5 * time.Second, Second: 1})
		}, "REC-06", reports.Inconclusive},
	} {
		r := judgement(t, goodLog(), func(j *judged) {
			j.stood.Gaps = asleep
			c.judge(j)
		})
		if r.Requirement != c.id || r.Verdict != c.want || (c.want == reports.Inconclusive && r.Reason != reports.ReasonRig) {
			t.Errorf("%s: %s %s(%s), want %s: %s", name, r.Requirement, r.Verdict, r.Reason, c.want, r.Sentence)
		}
	}
}

// The slow first message of F28, and a harness that would wait for the bridge:
// the freeze check must see both.
func TestSlowFirstMessageAndCoordinatedOmissionAreFailed(t *testing.T) {
	for name, c := range map[string]struct {
		slow   func(i int) bool
		took   float64 // ms
		want   reports.Verdict
		visits int
	}{
		"all fast":                         {func(int) bool { return false }, 1, reports.Pass, 540},
		"every fifth slow":                 {func(i int) bool { return i%5 == 0 }, 2000, reports.Fail, 540},
		"a few that took half of the time": {func(i int) bool { return i%180 == 7 }, 5000, reports.Pass, 540}, // blocks of time between them would be empty
		"some that never came":             {func(i int) bool { return i%4 == 0 }, math.Inf(1), reports.Fail, 540},
		"none came, as many as end it":     {func(int) bool { return true }, math.Inf(1), reports.Fail, visitsDark},
		"a tenth, each longer than all":    {func(i int) bool { return i%10 == 3 }, 20_000, reports.Fail, 540},
	} {
		var first oracle.Latencies
		at := int64(0)
		for i := range c.visits {
			value := 1.0
			if c.slow(i) {
				value = c.took
			}
			first.Series.Due, first.Series.Value = append(first.Series.Due, at), append(first.Series.Value, value)
			at += int64((min(value, 30_000) + 24) * 1e6)
		}
		j := judgedOf(t, nil)
		j.latency("LAT-08", first, visitRule(j.Profile, 540))
		if r := only(t, j.Case); r.Verdict != c.want {
			t.Errorf("LAT-08 %s: %s(%s) %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
	h, err := oracle.Index(goodLog()) // nothing is late in it, though a "stop" of a second is on record
	if err != nil {
		t.Fatal(err)
	}
	j := judgedOf(t, h)
	j.arithmetic("RIG-01", h.Latencies(oracle.Options{Viewers: []string{"viewer-01"}}), time.Second, 2*time.Second)
	if r := only(t, j.Case); r.Verdict != reports.Fail {
		t.Errorf("RIG-01: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// What never came to an end is told as such and not as a time of 0.
func TestWhatNeverEndedHasNoTime(t *testing.T) {
	never := []reports.Finding{{Kind: "half-open", Subject: "viewer-01", Confirmed: true, Detail: "the connection was still open"}}
	for id, judge := range map[string]func(*judged){
		"REC-03": func(j *judged) { j.within("REC-03", "silence", nil, never, 1) },
		"SEC-04": func(j *judged) { lifetime{Found: never}.judge(j.Case, "SEC-04", "life", oracle.Standstills{}) },
		"REC-06": func(j *judged) { j.taken("REC-06", takeoverFacts{Tried: true, Second: 1}) },
	} {
		r := judgement(t, goodLog(), judge)
		if r.Requirement != id || r.Verdict != reports.Fail || strings.Contains(r.Headline, "0 ms") || !strings.Contains(r.Headline, "; first: ") {
			t.Errorf("%s %s: %s", r.Requirement, r.Verdict, r.Headline)
		}
	}
}

// A session that was never served is the doing of the system or its environment,
// no fault of the harness.
func TestASessionThatWasNeverServedProvesNothing(t *testing.T) {
	way := serving(t, func(conn *websocket.Conn) { speak(conn, `{"type":"error"}`) })
	l, err := outlived(t.Context(), way, "SEC-05", dueNow)
	if err != nil || l.Unserved == "" {
		t.Fatalf("%+v, %v", l, err)
	}
	c := caseOf(t, nil)
	l.judge(c, "SEC-05", "life", oracle.Standstills{})
	if r := only(t, c); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonEnvironment || strings.Contains(r.Sentence, "<nil>") {
		t.Errorf("%s(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
}
