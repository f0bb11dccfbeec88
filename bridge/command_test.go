package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	dto "github.com/prometheus/client_model/go"
)

// operator may send commands below command/.
func operator() map[string]any {
	return map[string]any{"grants": map[string]any{"live": []string{"#"}, "publish": []string{"command/#"}}}
}

// device subscribes to its commands by MQTT with QoS 1.
func (r *running) device(id, filter string) <-chan *paho.Publish {
	r.t.Helper()
	got := make(chan *paho.Publish, 1000)
	c := r.publisher(id)
	c.AddOnPublishReceived(func(p paho.PublishReceived) (bool, error) {
		got <- p.Packet
		return true, nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}}); err != nil {
		r.t.Fatal(err)
	}
	return got
}

// commands returns how many commands had a result.
func (r *running) commands(result string) float64 {
	r.t.Helper()
	var m dto.Metric
	if err := r.b.m.Commands.WithLabelValues(result).Write(&m); err != nil {
		r.t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// answer is pubok or puberr, by the id of its pub.
func (v *viewer) answer(kind, id string) message {
	v.t.Helper()
	m, err := v.next()
	for ; err == nil && m.Type != kind && m.Type != "suberr"; m, err = v.next() {
		if m.Type == "batch" { // what is asked for may come to its viewers before the answer: it is kept for collect
			v.early = append(v.early, m)
		}
	}
	if err != nil || m.Type != kind {
		v.t.Fatalf("waiting for %s: %s %s %v", kind, m.Type, m.Reason, err)
	}
	if string(m.ID) != id {
		v.t.Fatalf("%s for %s, want %s", kind, m.ID, id)
	}
	return m
}

// TestCommandReachesDeviceAndViewers: it goes the way of a publish, in order, as text and as bytes, with its QoS.
func TestCommandReachesDeviceAndViewers(t *testing.T) {
	r := run(t, nil)
	got := r.device("press-7", "command/press-7/#")
	v := r.open(operator())
	ok := v.sub(1, "command/#", nil)
	v.sendText(`{"type":"pub","id":5,"topic":"command/press-7/speed","payload":"17 m/s","qos":1}`)
	v.answer("pubok", "5")
	v.sendText(`{"type":"pub","id":6,"topic":"command/press-7/raw","base64":"AAH/"}`)
	for i, want := range []struct {
		topic, payload string
		qos            byte
	}{{"command/press-7/speed", "17 m/s", 1}, {"command/press-7/raw", "\x00\x01\xff", 0}} {
		p := <-got
		if p.Topic != want.topic || string(p.Payload) != want.payload || p.QoS != want.qos {
			t.Errorf("the device got %s %q with QoS %d as number %d, want %+v", p.Topic, p.Payload, p.QoS, i, want)
		}
	}
	seen, _ := v.collect(2, ok.Offset)
	if seen[0].Payload != "17 m/s" || seen[0].QoS != 1 || seen[1].Base64 != "AAH/" {
		t.Errorf("viewers got %+v", seen)
	}
	if n := r.commands("ok"); n != 2 {
		t.Errorf("%v commands counted, want 2", n)
	}
}

// TestN16CommandBeforeAuth: it is not executed.
func TestN16CommandBeforeAuth(t *testing.T) {
	r := run(t, nil)
	head := r.b.journal.Head()
	v := r.dial()
	v.sendText(`{"type":"pub","id":1,"topic":"command/1","payload":"on"}`)
	v.wantClose(4001, "hello first")
	if r.b.journal.Head() != head {
		t.Error("it is in the journal")
	}
}

// TestN49CommandWithoutGrant: denied, by every way and for every topic that is not granted, and neither journal nor broker see it.
func TestN49CommandWithoutGrant(t *testing.T) {
	r := run(t, nil)
	got := r.device("d", "#")
	for name, tc := range map[string]struct {
		change map[string]any
		topic  string
		reason string
	}{
		"a list of grants is for looking only": {map[string]any{"grants": []string{"#"}}, "command/1", "forbidden"},
		"another topic":                        {operator(), "plant/1", "forbidden"},
		"the parent":                           {map[string]any{"grants": map[string]any{"publish": []string{"command/+/a"}}}, "command/1", "forbidden"},
		"denied": {map[string]any{"grants": map[string]any{"publish": []string{"#"}}, "denies": map[string]any{"publish": []string{"command/#"}}},
			"command/1", "forbidden"},
		"a filter":          {operator(), "command/+", "topic"},
		"everything":        {operator(), "#", "topic"},
		"the broker's own":  {map[string]any{"grants": map[string]any{"publish": []string{"#", "$SYS/#"}}}, "$SYS/x", "topic"},
		"no topic":          {operator(), "", "topic"},
		"control character": {operator(), "command/\x01", "topic"},
	} {
		head := r.b.journal.Head()
		v := r.open(tc.change)
		v.send(map[string]any{"type": "pub", "id": 3, "topic": tc.topic, "payload": "on", "qos": 1})
		if m := v.answer("puberr", "3"); m.Reason != tc.reason {
			t.Errorf("%s: %s, want %s", name, m.Reason, tc.reason)
		}
		status, body := r.follower(tc.change).command(map[string]any{"topic": tc.topic, "payload": "on"})
		if body.Reason != tc.reason || status != map[string]int{"forbidden": 403, "topic": 400}[tc.reason] {
			t.Errorf("%s: over HTTP %d %+v, want %s", name, status, body, tc.reason)
		}
		if now := r.b.journal.Head(); now != head {
			t.Errorf("%s: the journal has it", name)
		}
	}
	r.publish(r.publisher("dev"), "last", "")
	if p := <-got; p.Topic != "last" {
		t.Errorf("a device got %s", p.Topic)
	}
}

// TestN80CommandFlood: beyond the rate commands are refused, whatever the session, and the session lives.
func TestN80CommandFlood(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Commands.Rate, c.Viewers.Commands.Burst = 1, 5 })
	one, two := r.open(operator()), r.open(operator())
	const each = 100
	sent, begin := 0, time.Now()
	for _, v := range []*viewer{one, two} {
		for i := range each {
			v.sendText(fmt.Sprintf(`{"type":"pub","id":%d,"topic":"command/1","payload":"on"}`, i))
		}
		for range each {
			m, err := v.next()
			switch {
			case err != nil:
				t.Fatal(err)
			case m.Type == "pubok":
				sent++
			case m.Type != "puberr" || m.Reason != "rate":
				t.Fatalf("%+v, want puberr rate", m)
			}
		}
		v.send(map[string]any{"type": "ping", "id": "still here"})
		v.want("pong")
	}
	if most := 6 + int(time.Since(begin).Seconds()); sent < 5 || sent > most || float64(sent) != r.commands("ok") {
		t.Errorf("%d commands sent, %v counted, want at most %d: a burst of 5 and one a second, whatever the session", sent, r.commands("ok"), most)
	}
	if status, body := r.follower(operator()).command(map[string]any{"topic": "command/1", "payload": "on"}); body.Type != "pubok" && status != http.StatusTooManyRequests {
		t.Errorf("over HTTP: %d %+v", status, body)
	}
	other := r.open(map[string]any{"sub": "ben", "grants": operator()["grants"]})
	other.sendText(`{"type":"pub","id":1,"topic":"command/1","payload":"on"}`)
	other.answer("pubok", "1")
}

// TestMalformedCommands: what breaks the protocol ends the session; over HTTP it is refused with what is wrong.
func TestMalformedCommands(t *testing.T) {
	r := run(t, nil)
	head := r.b.journal.Head()
	for _, text := range []string{
		`"id":1,"topic":"command/1"`, `"id":1,"topic":"command/1","payload":"a","base64":"AA=="`, `"id":1,"topic":"command/1","base64":"A"`,
		`"id":-1,"topic":"command/1","payload":"a"`, `"topic":"command/1","payload":"a"`, `"id":1,"topic":7,"payload":"a"`, `"id":1,"topic":"command/1","payload":"a","qos":"1"`,
	} {
		v := r.open(operator())
		v.sendText(`{"type":"pub",` + text + `}`)
		v.wantClose(4005, "")
	}
	v := r.open(operator())
	v.sendText(`{"type":"pub","id":1,"topic":"command/1","payload":"a","qos":2}`)
	if m := v.answer("puberr", "1"); m.Reason != "qos" {
		t.Errorf("%+v, want qos", m)
	}
	f := r.follower(operator())
	for _, body := range []any{"x", map[string]any{"topic": "command/1"}, map[string]any{"topic": "command/1", "base64": "A"}} {
		if status, got := f.command(body); status != http.StatusBadRequest || got.Error != "body" {
			t.Errorf("%v: %d %+v, want 400 body", body, status, got)
		}
	}
	if status, got := f.command(map[string]any{"topic": "command/1", "payload": strings.Repeat("x", 1<<20)}); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a long body: %d %+v", status, got)
	}
	if r.b.journal.Head() != head {
		t.Error("one of them is in the journal")
	}
}

// TestCommandsOff: rate 0 takes none, whatever the grants.
func TestCommandsOff(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Commands.Rate = 0 })
	if status, body := r.follower(operator()).command(map[string]any{"topic": "command/1", "payload": "on"}); status != http.StatusServiceUnavailable || body.Reason != "refused" {
		t.Errorf("%d %+v, want refused", status, body)
	}
}

// TestCommandSentAgain: a command with a number that is stored already is answered and not stored again, whatever the way and after a
// restart; another's numbers do not count, and a number that is none is refused.
func TestCommandSentAgain(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Commands.Burst = 100 })
	stored := func(r *running, sub string, seq any, producer string) (again bool, reason string) {
		t.Helper()
		who := operator()
		who["sub"] = sub
		_, got := r.follower(who).command(map[string]any{"topic": "command/1", "payload": "on", "qos": 1, "seq": seq, "producer": producer})
		v := r.open(who)
		v.send(map[string]any{"type": "pub", "id": 1, "topic": "command/1", "payload": "on", "qos": 1, "seq": seq, "producer": producer})
		m, err := v.next()
		if err != nil || m.Reason != got.Reason || m.Type == "pubok" && !m.Duplicate {
			t.Fatalf("%v %q: over HTTP %+v, then %+v %v, want the same again", seq, producer, got, m, err)
		}
		return got.Duplicate, got.Reason
	}
	for round := range 2 {
		for _, tc := range []struct {
			sub      string
			seq      any
			producer string
			reason   string
			again    bool
		}{
			{"anna", 1, "", "", false}, {"anna", 1, "a", "", false}, {"anna", 3, "a", "", false}, {"anna", 2, "a", "seq", false}, {"anna", 3, "a", "", true},
			{"ben", 2, "a", "", false}, {"ben", uint64(1 << 53), "b", "", false},
			{"ben", 0, "b", "seq", false}, {"ben", uint64(1<<53 + 1), "b", "seq", false}, {"ben", nil, "b", "seq", false}, {"ben", 1, strings.Repeat("x", 129), "seq", false},
		} {
			want, first := tc.reason, round == 0 && !tc.again
			if round == 1 && tc.seq == 1 && tc.sub == "anna" && tc.producer == "a" { // 3 is stored
				want = "seq"
			}
			again, reason := stored(r, tc.sub, tc.seq, tc.producer)
			if reason != want || again != (want == "" && !first) {
				t.Errorf("round %d: %+v: again %v, %q", round, tc, again, reason)
			}
		}
		if head := r.b.journal.Head().Offset; head != 5 {
			t.Fatalf("round %d: %d commands are in the journal, want 5", round, head)
		}
		r.drain()
		r = runConfig(t, r.cfg)
	}
}

// commanded is the answer to a command over HTTP.
type commanded struct {
	Type, Reason, Detail, Error string
	Duplicate                   bool
}

func (f *follower) command(body any) (status int, got commanded) {
	f.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+f.r.b.Addresses().Viewers+"/publish", strings.NewReader(string(raw)))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	resp, err := f.http.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if raw, err = io.ReadAll(resp.Body); err == nil {
		err = json.Unmarshal(raw, &got)
	}
	if err != nil {
		f.t.Fatalf("%d %s: %v", resp.StatusCode, raw, err)
	}
	return resp.StatusCode, got
}
