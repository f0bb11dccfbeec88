package scenarios

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// onlooking is a recording of the scenario "tenants": one device publishes and
// the witness sees it.
func onlooking() *recording {
	r := &recording{}
	r.Index = record.Index{
		Nodes:   []record.Node{{Name: "publisher", Role: "publisher"}, {Name: "witness", Role: "witness", Filters: []string{harness.AllTopics}}},
		Streams: []record.Stream{{Device: "d1", Topic: harness.Topic("d1"), QoS: 1}},
	}
	for i := range int64(100) {
		r.add(record.Sent, 0, 0, uint64(i+1), i*ms, i*ms, 100)
		r.add(record.Acked, 0, 0, uint64(i+1), 0, i*ms+1, 100)
		r.add(record.Witnessed, 1, 0, uint64(i+1), 0, i*ms+2, 100)
	}
	return r
}

func TestAViewerThatPublishesIsFound(t *testing.T) {
	refused := []published{{Verb: "pub", Topic: "bench/d1", Digest: 777, Asked: true}, {Verb: "POST /publish", Topic: "bench/d1", Digest: 778, Asked: true}}
	with := func(change func([]published)) []published {
		all := slices.Clone(refused)
		change(all)
		return all
	}
	leak := func(r *recording) { // it arrived under the topic of a device, as what no device would send
		r.Records = append(r.Records, record.Record{Kind: record.Witnessed, Node: 1, Stream: 0, At: 50 * ms, Digest: 778, Flags: record.FlagCorrupt})
	}
	none := func(*recording) {}
	for _, c := range []struct {
		name     string
		tamper   func(*recording)
		attempts []published
		verdict  reports.Verdict
		kind     string
	}{
		{"all refused", none, refused, reports.Pass, ""},
		{"F54 one reached the broker", leak, refused, reports.Fail, "published"},
		{"F54 one was confirmed", none, with(func(a []published) { a[0].Accepted = `{"type":"pubok"}` }), reports.Fail, "confirmed"},
		{"one was never answered", none, with(func(a []published) { a[1].Asked = false }), reports.Inconclusive, ""},
		{"no verb was tried", none, nil, reports.Inconclusive, ""},
		{"the witness was blind", func(r *recording) {
			r.Records = slices.DeleteFunc(r.Records, func(one record.Record) bool { return one.Kind == record.Witnessed })
		}, refused, reports.Inconclusive, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := onlooking()
			c.tamper(r)
			got := judgement(t, &r.Log, func(j *judged) { j.unpublished("SEC-08", verbFacts{Attempts: c.attempts}) })
			if got.Verdict != c.verdict {
				t.Fatalf("%s(%s) %s", got.Verdict, got.Reason, got.Sentence)
			}
			if c.kind != "" && (len(got.Findings) != 1 || got.Findings[0].Kind != c.kind) {
				t.Errorf("findings %+v", got.Findings)
			}
		})
	}
}

// A bridge that takes commands from everyone is told by its answer.
func TestAnswersToCommandsAreRead(t *testing.T) {
	way := serving(t, func(conn *websocket.Conn) {
		speak(conn, `{"type":"welcome"}`)
		_, _, _ = conn.ReadMessage() // hello
		_, data, _ := conn.ReadMessage()
		var pub struct{ Topic, Payload string }
		if json.Unmarshal(data, &pub) != nil || pub.Topic != "bench/d1" || pub.Payload != "on" {
			speak(conn, `{"type":"puberr","id":7}`)
		}
		speak(conn, `{"type":"pubok","id":7}`)
		listen(conn)
	})
	verb := verbsOf["plumbline"][0]
	asked, accepted := verb.answer(viewer.Probe(t.Context(), verb.try(way, "token", "bench/d1", "on")))
	if !asked || !strings.Contains(accepted, "pubok") {
		t.Errorf("asked %v, accepted %q", asked, accepted)
	}
	for name, r := range map[string]viewer.ProbeResult{
		"taken":   {Answer: []byte("x"), HTTPStatus: 200},
		"refused": {Answer: []byte("x"), HTTPStatus: 403},
		"silence": {Answer: []byte{}},
	} {
		asked, accepted := verbsOf["plumbline"][1].answer(r)
		if asked != (name != "silence") || (accepted != "") != (name == "taken") {
			t.Errorf("%s: asked %v, accepted %q", name, asked, accepted)
		}
	}
}

// Who is turned away at the door did not ask to publish: that nothing came of it
// proves nothing.
func TestWhoIsNotLetInDoesNotAsk(t *testing.T) {
	for name, c := range map[string]struct {
		verb  verb
		frame string
		asked bool
	}{
		"MQTT, let in":                  {verbsOf["mqtt"][0], "\x20\x02\x00\x00", true},
		"MQTT, not authorised":          {verbsOf["mqtt"][0], "\x20\x02\x00\x05", false},
		"plumbline.v1, let in":          {verbsOf["plumbline"][0], `{"type":"welcome"}`, true},
		"plumbline.v1, told to go away": {verbsOf["plumbline"][0], `{"type":"error","code":4001}`, false},
	} {
		if asked, _ := c.verb.answer(viewer.ProbeResult{Frames: [][]byte{[]byte(c.frame)}}); asked != c.asked {
			t.Errorf("%s: asked %v", name, asked)
		}
	}
}

func TestMQTTViewersTryToPublish(t *testing.T) {
	for i, retain := range []byte{0, 1} {
		way := verbsOf["mqtt"][i].try(viewer.ProbeSpec{}, "token", "bench/d1", "on")
		if len(way.Steps) != 3 || way.Subprotocols[0] != "mqtt" {
			t.Fatalf("%+v", way)
		}
		if got, want := string(way.Steps[2].Binary), string([]byte{0x30 | retain, 12})+"\x00\x08bench/d1on"; got != want {
			t.Errorf("PUBLISH is %q, want %q", got, want)
		}
		if !strings.HasSuffix(string(way.Steps[0].Binary), "\x00\x05token") {
			t.Errorf("CONNECT is %q", way.Steps[0].Binary)
		}
	}
}

func TestTokensInLogsAreFound(t *testing.T) {
	const signature = "TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ"
	const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ." + signature
	shown := func() *canaries {
		c := &canaries{}
		c.show(token)
		c.show("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.") // has no secret
		return c
	}
	if c := shown(); len(c.Sums) != 1 {
		t.Fatalf("%d secrets of one token with a signature", len(c.Sums))
	}
	text, err := json.Marshal(shown())
	if err != nil || strings.Contains(string(text), signature) {
		t.Errorf("what is kept holds the secret: %s, %v", text, err)
	}
	long := strings.Repeat("x", longestLine+100)
	for _, c := range []struct {
		name, log string
		pages     []string
		verdict   reports.Verdict
	}{
		{"nothing of it", "level=info msg=refused reason=signature\n" + long + "\n", nil, reports.Pass},
		{"its claims only", "sub=ada eyJzdWIiOiJhZGEifQ\n", nil, reports.Pass},
		{"F53 whole", "GET /ws?token=" + token + " 400\n", nil, reports.Fail},
		{"F53 in quotes, without an end of line", `{"authorization":"Bearer ` + token + `"}`, nil, reports.Fail},
		{"F53 with a tail", "cookie " + token + "_x\n", nil, reports.Fail},
		{"F53 behind a long line", long + "\n" + token + "\n", nil, reports.Fail},
		{"F53 on a page", "quiet\n", []string{"metrics"}, reports.Fail},
		{"no log", "", nil, reports.Inconclusive},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := shown()
			y.OnPages = c.pages
			k := caseOf(t, nil)
			y.judge(k, "SEC-09", fstest.MapFS{"bridge.log": {Data: []byte(c.log)}}, nil)
			if r := only(t, k); r.Verdict != c.verdict {
				t.Errorf("%s(%s) %s", r.Verdict, r.Reason, r.Sentence)
			} else if strings.Contains(r.Sentence, signature) {
				t.Error("the verdict holds the secret")
			}
		})
	}
	// What was not kept of a log was not looked through.
	for log, want := range map[string]reports.Verdict{"quiet\n": reports.Inconclusive, token + "\n": reports.Fail} {
		k := caseOf(t, nil)
		shown().judge(k, "SEC-09", fstest.MapFS{"bridge.log": {Data: []byte(log)}}, []sut.Omission{{File: "bridge.log", Bytes: 4711}})
		if r := only(t, k); r.Verdict != want || want == reports.Inconclusive && (r.Reason != reports.ReasonSamples || !strings.Contains(r.Sentence, "4711 bytes of its log bridge.log")) {
			t.Errorf("%.5s…, and more that was not kept: %s(%s) %s", log, r.Verdict, r.Reason, r.Sentence)
		}
	}
}

func TestASiegeIsJudged(t *testing.T) {
	good := func() siegeFacts {
		return siegeFacts{From: 1000 * ms, To: 7000 * ms, Kinds: []siegeKind{
			{Name: "connections that say nothing", Made: 60, Slowest: 5 * time.Second}, {Name: "half a request", Made: 60, Slowest: 5 * time.Second},
		}}
	}
	usage := func(most uint64) []harness.Usage {
		return []harness.Usage{{At: 900 * ms, RSS: 30 << 20}, {At: 3000 * ms, RSS: most << 20}, {At: 8000 * ms, RSS: 900 << 20}}
	}
	for _, c := range []struct {
		name    string
		change  func(*siegeFacts)
		usage   []harness.Usage
		verdict reports.Verdict
		kind    string
	}{
		{"all closed", func(*siegeFacts) {}, usage(40), reports.Pass, ""},
		{"some held open", func(f *siegeFacts) { f.Kinds[1].Open = 3 }, usage(40), reports.Fail, "held-open"},
		{"closed late", func(f *siegeFacts) { f.Kinds[0].Slowest = 11 * time.Second }, usage(40), reports.Fail, ""},
		{"others crowded out", func(f *siegeFacts) { f.CrowdedOut = "HTTP status 503" }, usage(40), reports.Fail, "crowded-out"},
		{"nobody served, siege or not", func(f *siegeFacts) { f.Control, f.CrowdedOut = "HTTP status 403", "HTTP status 403" }, usage(40), reports.Inconclusive, ""},
		{"memory without bound", func(*siegeFacts) {}, usage(400), reports.Fail, "memory"},
		{"no siege", func(f *siegeFacts) { *f = siegeFacts{} }, usage(40), reports.Inconclusive, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good()
			c.change(&f)
			k := caseOf(t, nil)
			f.judge(k, "SEC-11", c.usage, oracle.Standstills{})
			r := only(t, k)
			if r.Verdict != c.verdict {
				t.Fatalf("%s(%s) %s", r.Verdict, r.Reason, r.Sentence)
			}
			if c.kind != "" && (len(r.Findings) != 1 || r.Findings[0].Kind != c.kind) {
				t.Errorf("findings %+v", r.Findings)
			}
		})
	}
}
