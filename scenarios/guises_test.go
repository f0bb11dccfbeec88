package scenarios

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// disguised returns a viewer of the bridge behind a way in; streams are told by
// topic: 0 is bench/own, 1 anything else.
func disguised(t *testing.T, way viewer.ProbeSpec) viewer.Config {
	t.Helper()
	r, err := record.NewRecorder(t.TempDir(), record.NewClock())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return viewer.Config{
		Name: "guise", URL: way.URL, TLS: way.TLS, Filters: []string{"#"}, Recorder: r,
		Token: func(context.Context) (string, error) { return "token", nil },
		Resolve: func(topic string, _ []byte) (uint32, uint64, uint8) {
			if topic == "bench/own" {
				return 0, 1, 0
			}
			return 1, 1, 0
		},
	}
}

// lettingIn serves whoever says hello with what topics say, and closes with a
// code when that is not 0.
func lettingIn(code int, topics ...string) func(*websocket.Conn) {
	return func(conn *websocket.Conn) {
		_, _, _ = conn.ReadMessage() // hello
		if len(topics) > 0 {
			speak(conn, `{"type":"welcome","session":"s","protocol":1,"node":"n","epoch":"e","head":0,"heartbeat_ms":25000}`)
			_, _, _ = conn.ReadMessage() // sub
			speak(conn, `{"type":"subok","id":1,"filter":"#","epoch":"e","offset":0,"recovered":false,"reason":"no-cursor"}`)
		}
		for i, topic := range topics {
			speak(conn, `{"type":"batch","id":1,"epoch":"e","from":`+string(rune('0'+i))+`,"to":`+string(rune('1'+i))+
				`,"readings":[{"o":`+string(rune('1'+i))+`,"t":1,"topic":"`+topic+`","qos":1,"payload":"1"}]}`)
		}
		if code != 0 {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "no"), time.Now().Add(time.Second))
		}
		listen(conn)
	}
}

func way(t *testing.T, session func(*websocket.Conn)) viewer.ProbeSpec {
	t.Helper()
	return servingAs(t, []string{viewer.Subprotocol}, session)
}

func TestIntrudersInGuiseAreJudged(t *testing.T) {
	for _, c := range []struct {
		name    string
		session func(*websocket.Conn)
		served  bool
		ended   bool
		code    int
	}{
		{"served", lettingIn(0, "bench/own"), true, false, 0},
		{"served and then closed", lettingIn(4002, "bench/own"), true, true, 4002},
		{"refused", lettingIn(4002), false, true, 4002},
		{"left standing", lettingIn(0), false, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := disguised(t, way(t, c.session))
			verdicts := map[string]*tally{}
			wait := time.Minute // in which something happens
			if !c.served && !c.ended {
				wait = 500 * time.Millisecond
			}
			o := knock(t.Context(), cfg, wait)
			if (o.served != "") != c.served || (!c.served && (o.ended != c.ended || o.code != c.code)) {
				t.Errorf("%+v", o)
			}
			attempt{name: c.name, guise: &cfg}.try(t.Context(), record.NewClock(), "SEC-02", verdicts)
			k := caseOf(t, nil)
			verdicts["SEC-02"].judge(k, "SEC-02", oracle.Standstills{})
			want := reports.Pass
			if c.served {
				want = reports.Fail
			}
			if r := only(t, k); r.Verdict != want {
				t.Errorf("%s(%s) %s", r.Verdict, r.Reason, r.Sentence)
			}
		})
	}
}

func TestTenantsInGuiseAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		topics  []string
		verdict reports.Verdict
	}{
		"only its own":         {[]string{"bench/own"}, reports.Pass},
		"F39 those of another": {[]string{"bench/own", "bench/other"}, reports.Fail},
		"nothing at all":       {nil, reports.Inconclusive},
	} {
		base := disguised(t, way(t, lettingIn(0, c.topics...)))
		result := &tally{}
		askAs(t.Context(), func(string) viewer.Config { return base }, 0, "bench/own", []string{"#", "bench/+"}, time.Minute, result)
		k := caseOf(t, nil)
		result.judge(k, "SEC-07", oracle.Standstills{})
		if r := only(t, k); r.Verdict != c.verdict {
			t.Errorf("%s: %s(%s) %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
}

// oneAtATime puts off whoever comes while another one is served.
func oneAtATime(h http.Handler) http.Handler {
	place := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case place <- struct{}{}:
			defer func() { <-place }()
			h.ServeHTTP(w, r)
		default:
			http.Error(w, "too many", http.StatusTooManyRequests)
		}
	})
}

// A limit of the rate is no excuse for what is shown to those that were put off,
// and none to judge nothing.
func TestTenantsThatArePutOffAreAskedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		topics  []string
		verdict reports.Verdict
	}{
		"one at a time":                {[]string{"bench/own"}, reports.Pass},
		"F39 with a limit of the rate": {[]string{"bench/own", "bench/other"}, reports.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := disguised(t, servingBehind(t, oneAtATime, []string{viewer.Subprotocol}, lettingIn(0, c.topics...)))
			result := &tally{}
			askAs(t.Context(), func(string) viewer.Config { return base }, 0, "bench/own", []string{"#", "bench/+", "+/+"}, time.Minute, result)
			k := caseOf(t, nil)
			result.judge(k, "SEC-07", oracle.Standstills{})
			if r := only(t, k); r.Verdict != c.verdict {
				t.Errorf("%s(%s) %s", r.Verdict, r.Reason, r.Sentence)
			}
		})
	}
}

// A limit that lets nobody in for long does not take the time of all that follows:
// with no patience left each filter is asked for once, and what that shows is kept.
func TestTenantsThatArePutOffAreNotAskedForEver(t *testing.T) {
	var tries atomic.Int64
	never := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			tries.Add(1)
			w.WriteHeader(http.StatusTooManyRequests)
		})
	}
	base := disguised(t, servingBehind(t, never, []string{viewer.Subprotocol}, lettingIn(0)))
	result := &tally{}
	askAs(t.Context(), func(string) viewer.Config { return base }, 0, "bench/own", []string{"#", "bench/+", "+/+"}, 0, result)
	// Three at once, the first of them again, and the own topic.
	if n := tries.Load(); n != 5 || result.Control == "" {
		t.Errorf("%d tries, control %q", n, result.Control)
	}
}

func TestSessionsInGuiseAreJudged(t *testing.T) {
	ended := make(chan struct{}) // by the operator
	closes := func(conn *websocket.Conn) {
		lettingInAndBack(conn)
		<-ended
	}
	stays := func(conn *websocket.Conn) {
		lettingInAndBack(conn)
		listen(conn)
	}
	end := func() (due, error) { close(ended); return dueNow() }
	l, err := outlivedAs(t.Context(), disguised(t, way(t, closes)), "SEC-05", time.Minute, end)
	if err != nil || len(l.Found) > 0 {
		t.Errorf("a session that was closed: %+v, %v", l, err)
	}
	end = dueNow
	l, err = outlivedAs(t.Context(), disguised(t, way(t, stays)), "SEC-05", 50*time.Millisecond, end)
	if err != nil || len(l.Found) != 1 {
		t.Errorf("F48 a session that lives on: %+v, %v", l, err)
	}
	l, err = outlivedAs(t.Context(), disguised(t, way(t, lettingIn(4002))), "SEC-05", time.Second, end)
	if err != nil || !strings.Contains(l.Unserved, "4002") {
		t.Errorf("a session that was never served: %+v, %v", l, err)
	}
}

// lettingInAndBack serves one reading and returns.
func lettingInAndBack(conn *websocket.Conn) {
	_, _, _ = conn.ReadMessage()
	speak(conn, `{"type":"welcome","session":"s","protocol":1,"node":"n","epoch":"e","head":0,"heartbeat_ms":25000}`)
	_, _, _ = conn.ReadMessage()
	speak(conn, `{"type":"subok","id":1,"filter":"#","epoch":"e","offset":0,"recovered":false,"reason":"no-cursor"}`,
		`{"type":"batch","id":1,"epoch":"e","from":0,"to":1,"readings":[{"o":1,"t":1,"topic":"bench/own","qos":1,"payload":"1"}]}`)
}

func TestOriginsInGuiseAreForeign(t *testing.T) {
	all := foreignOrigins("https://dashboard.test")
	for name, origin := range all {
		if origin == "https://dashboard.test" || (name != "null" && !strings.Contains(origin, "://")) {
			t.Errorf("%s: %q", name, origin)
		}
	}
	if len(all) < 8 || !slices.Contains([]string{"http://dashboard.test"}, all["other scheme"]) {
		t.Errorf("%v", all)
	}
}
