package viewer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

// offline returns a viewer that is subscribed to a/# from (e1, 10] on and has
// no connection: frames are given to it by hand.
func offline(r *recording) (*plumbline, *plumblineSession) {
	v := &Viewer{
		cfg: Config{Name: "v", Recorder: r.Recorder, Filters: []string{"a/#", "b"}}, clock: r.Clock(), changed: make(chan struct{}),
	}
	p := newPlumbline(v)
	v.dialect = p
	s := &plumblineSession{socket: &socket{}, p: p, welcome: true}
	p.handle(s, 1, websocket.TextMessage, []byte(`{"type":"subok","id":1,"filter":"a/#","epoch":"e1","offset":10,"recovered":true}`))
	return p, s
}

const one = `{"o":11,"t":1,"topic":"a/x","qos":1,"payload":"p"}`

func batchJSON(id int, epoch string, from, to int, readings string) string {
	return fmt.Sprintf(`{"type":"batch","id":%d,"epoch":%q,"from":%d,"to":%d,"readings":[%s]}`, id, epoch, from, to, readings)
}

func heartbeatJSON(cursor, delivered, gaps int) string {
	return fmt.Sprintf(`{"type":"heartbeat","epoch":"e1","head":30,"cursors":{"1":%d},"delivered":{"1":%d},"gaps":{"1":%d}}`, cursor, delivered, gaps)
}

func TestChain(t *testing.T) {
	for _, c := range []struct {
		name      string
		frames    []string
		received  uint64
		broken    uint64
		malformed uint64
		at        Cursor
	}{
		{"whole", []string{batchJSON(1, "e1", 10, 12, one), batchJSON(1, "e1", 12, 12, ""), batchJSON(1, "e1", 12, 20, "")}, 1, 0, 0, Cursor{"e1", 20}},
		{"hole between batches", []string{batchJSON(1, "e1", 10, 12, one), batchJSON(1, "e1", 13, 14, "")}, 1, 1, 0, Cursor{"e1", 14}},
		{"overlap of batches", []string{batchJSON(1, "e1", 10, 12, one), batchJSON(1, "e1", 11, 14, "")}, 1, 1, 0, Cursor{"e1", 14}},
		{"hole at the start", []string{batchJSON(1, "e1", 11, 12, "")}, 0, 1, 0, Cursor{"e1", 12}},
		{"declared gap", []string{`{"type":"gap","id":1,"from":10,"to":15,"count":5,"reason":"evicted"}`, batchJSON(1, "e1", 15, 16, "")}, 0, 0, 0, Cursor{"e1", 16}},
		{"gap that leaves a hole", []string{`{"type":"gap","id":1,"from":12,"to":15,"count":3,"reason":"evicted"}`}, 0, 1, 0, Cursor{"e1", 15}},
		{"epoch without a word", []string{batchJSON(1, "e2", 10, 12, one)}, 1, 1, 0, Cursor{"e2", 12}},
		{"epoch with a gap", []string{`{"type":"gap","id":1,"from":10,"to":0,"count":0,"reason":"epoch"}`, batchJSON(1, "e2", 0, 12, one)}, 1, 0, 0, Cursor{"e2", 12}},
		{"reading outside", []string{batchJSON(1, "e1", 10, 12, strings.Replace(one, "11", "13", 1))}, 1, 1, 0, Cursor{"e1", 12}},
		{"reading before", []string{batchJSON(1, "e1", 10, 12, strings.Replace(one, "11", "10", 1))}, 1, 1, 0, Cursor{"e1", 12}},
		{"reading twice", []string{batchJSON(1, "e1", 10, 12, one+","+one)}, 2, 1, 0, Cursor{"e1", 12}},
		{"heartbeat agrees", []string{batchJSON(1, "e1", 10, 12, one), `{"type":"gap","id":1,"from":12,"to":15,"count":3,"reason":"evicted"}`, heartbeatJSON(15, 1, 3)}, 1, 0, 0, Cursor{"e1", 15}},
		{"heartbeat tells another cursor", []string{heartbeatJSON(25, 0, 0), batchJSON(1, "e1", 25, 26, "")}, 0, 2, 0, Cursor{"e1", 26}},
		{"heartbeat counts more readings", []string{heartbeatJSON(10, 1, 0)}, 0, 1, 0, Cursor{"e1", 10}},
		{"heartbeat counts more missing", []string{heartbeatJSON(10, 0, 2)}, 0, 1, 0, Cursor{"e1", 10}},
		{"heartbeat of others", []string{`{"type":"heartbeat","epoch":"e1","head":20,"cursors":{"2":5,"7":9}}`}, 0, 0, 0, Cursor{"e1", 10}},
		{"members in any order", []string{`{"readings":[` + one + `],"to":12,"epoch":"e1","id":1,"from":10,"type":"batch"}`}, 1, 0, 0, Cursor{"e1", 12}},
		{"unknown members", []string{`{"type":"batch","new":{"a":[1,{"b":null}]},"id":1,"epoch":"e1","from":10,"to":12,"readings":[` + one + `],"more":true}`}, 1, 0, 0, Cursor{"e1", 12}},
		{"before subok", []string{batchJSON(2, "e1", 10, 12, strings.Replace(one, "a/x", "b", 1))}, 1, 1, 0, Cursor{"e1", 10}},
		{"after suberr", []string{`{"type":"suberr","id":1,"reason":"forbidden"}`, batchJSON(1, "e1", 10, 12, one)}, 1, 1, 0, Cursor{"e1", 10}},
		{"second subok", []string{subokJSON(12), batchJSON(1, "e1", 12, 14, "")}, 0, 1, 0, Cursor{"e1", 14}},
		{"gap that goes back", []string{`{"type":"gap","id":1,"from":10,"to":5,"count":0,"reason":"evicted"}`, batchJSON(1, "e1", 5, 12, one)}, 1, 1, 0, Cursor{"e1", 12}},
		{"gap that counts less than it covers", []string{`{"type":"gap","id":1,"from":10,"to":15,"count":1,"reason":"evicted"}`}, 0, 1, 0, Cursor{"e1", 15}},
		{"gap before subok", []string{`{"type":"gap","id":2,"from":0,"to":15,"count":15,"reason":"evicted"}`}, 0, 1, 0, Cursor{"e1", 10}},
		{"hole behind an epoch's gap", []string{`{"type":"gap","id":1,"from":10,"to":0,"count":0,"reason":"epoch"}`, batchJSON(1, "e2", 3, 12, one)}, 1, 1, 0, Cursor{"e2", 12}},
		{"names in another case", []string{`{"type":"gap","id":1,"from":10,"to":15,"count":5,"reason":"evicted","TO":99,"Count":1,"fRom":3,"rea\u017fon":"epoch"}`}, 0, 0, 0, Cursor{"e1", 15}},
		{"second welcome", []string{`{"type":"welcome","session":"t","protocol":1,"heartbeat_ms":1000}`}, 0, 0, 1, Cursor{"e1", 10}},
		{"offset beyond 2^53", []string{`{"type":"batch","id":1,"epoch":"e1","from":10,"to":9007199254740993,"readings":[]}`}, 0, 0, 1, Cursor{"e1", 10}},
		{"unknown subscription", []string{batchJSON(3, "e1", 10, 12, "")}, 0, 0, 1, Cursor{"e1", 10}},
		{"backwards interval", []string{batchJSON(1, "e1", 12, 10, "")}, 0, 0, 1, Cursor{"e1", 10}},
		{"no topic", []string{batchJSON(1, "e1", 10, 12, `{"o":11,"payload":"p"}`)}, 0, 0, 1, Cursor{"e1", 12}},
		{"no offset", []string{batchJSON(1, "e1", 10, 12, `{"topic":"a","payload":"p"}`)}, 0, 0, 1, Cursor{"e1", 12}},
		{"no payload", []string{batchJSON(1, "e1", 10, 12, `{"o":11,"topic":"a"}`)}, 0, 0, 1, Cursor{"e1", 12}},
		{"two payloads", []string{batchJSON(1, "e1", 10, 12, `{"o":11,"topic":"a","payload":"p","base64":"cA=="}`)}, 0, 0, 1, Cursor{"e1", 12}},
		{"wrong base64", []string{batchJSON(1, "e1", 10, 12, `{"o":11,"topic":"a","base64":"cA="}`)}, 0, 0, 1, Cursor{"e1", 12}},
		{"lacks to", []string{`{"type":"batch","id":1,"epoch":"e1","from":10,"readings":[]}`}, 0, 0, 1, Cursor{"e1", 10}},
		{"lacks readings", []string{`{"type":"batch","id":1,"epoch":"e1","from":10,"to":12}`}, 0, 0, 1, Cursor{"e1", 10}},
		{"cut", []string{batchJSON(1, "e1", 10, 12, one)[:80]}, 0, 0, 1, Cursor{"e1", 12}},
		{"more behind", []string{batchJSON(1, "e1", 10, 10, "") + "x"}, 0, 0, 1, Cursor{"e1", 10}},
		{"no type", []string{`{"id":1}`}, 0, 0, 1, Cursor{"e1", 10}},
		{"unknown type", []string{`{"type":"news"}`}, 0, 0, 1, Cursor{"e1", 10}},
		{"no object", []string{`[]`, `null`, ``, `{"type":"gap","id":{}}`}, 0, 0, 4, Cursor{"e1", 10}},
		{"not UTF-8", []string{"{\"type\":\"pong\",\"id\":\"\xff\"}"}, 0, 0, 1, Cursor{"e1", 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRecording(t)
			v, s := offline(r)
			for i, f := range c.frames {
				v.handle(s, int64(i+2), websocket.TextMessage, []byte(f))
			}
			got := v.Counters()
			if got.Received != c.received || got.Broken != c.broken || got.Malformed != c.malformed || v.Cursor("a/#") != c.at {
				t.Fatalf("counters %+v, cursor %+v", got, v.Cursor("a/#"))
			}
			log := r.log()
			if n := len(events(log, record.ChainBroken)); uint64(n) != c.broken {
				t.Errorf("%d breaks were recorded", n)
			}
		})
	}
}

func subokJSON(offset int) string {
	return fmt.Sprintf(`{"type":"subok","id":1,"filter":"a/#","epoch":"e1","offset":%d,"recovered":false,"reason":"no-cursor"}`, offset)
}

func snapshotJSON(part, parts int, readings string) string {
	return fmt.Sprintf(`{"type":"snapshot","id":1,"part":%d,"parts":%d,"readings":[%s]}`, part, parts, readings)
}

func TestSnapshotKeepsItsPlace(t *testing.T) {
	nine := strings.Replace(one, "11", "9", 1)
	for _, c := range []struct {
		name     string
		frames   []string
		restored uint64
		broken   uint64
	}{
		{"whole", []string{snapshotJSON(1, 2, nine), snapshotJSON(2, 2, ""), batchJSON(1, "e1", 10, 12, one)}, 1, 0},
		{"of nothing", []string{snapshotJSON(1, 1, ""), batchJSON(1, "e1", 10, 12, one)}, 0, 0},
		{"left out", []string{batchJSON(1, "e1", 10, 12, one), batchJSON(1, "e1", 12, 13, "")}, 0, 1},
		{"a part left out", []string{snapshotJSON(1, 3, nine), snapshotJSON(3, 3, ""), batchJSON(1, "e1", 10, 12, one)}, 1, 1},
		{"a part behind the first batch", []string{snapshotJSON(1, 2, nine), batchJSON(1, "e1", 10, 12, one), snapshotJSON(2, 2, "")}, 1, 2},
		{"younger than the subscription", []string{snapshotJSON(1, 1, one), batchJSON(1, "e1", 10, 12, one)}, 1, 1},
		{"twice", []string{snapshotJSON(1, 1, nine), snapshotJSON(1, 1, nine)}, 2, 1},
		{"no part", []string{`{"type":"snapshot","id":1,"readings":[]}`}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRecording(t)
			v, s := offline(r)
			v.cfg.Snapshot = true
			v.subs[0].begin()
			for i, f := range append([]string{subokJSON(10)}, c.frames...) {
				v.handle(s, int64(i+2), websocket.TextMessage, []byte(f))
			}
			got := v.Counters()
			// What lies outside of the rules is recorded all the same, never as live.
			if got.Restored != c.restored || got.Broken != c.broken || (got.Malformed != 0) != (c.name == "no part") {
				t.Fatalf("counters %+v", got)
			}
		})
	}
}

func TestSnapshotThatNobodyAskedFor(t *testing.T) {
	r := newRecording(t)
	v, s := offline(r)
	v.handle(s, 2, websocket.TextMessage, []byte(snapshotJSON(1, 1, strings.Replace(one, "11", "9", 1))))
	if c := v.Counters(); c.Broken != 1 || c.Restored != 1 || c.Received != 0 {
		t.Fatalf("counters are %+v", c)
	}
}

func TestResumeElsewhereIsABreak(t *testing.T) {
	r := newRecording(t)
	v, s := offline(r)
	v.subs[0].begin()
	v.handle(s, 2, websocket.TextMessage, []byte(`{"type":"subok","id":1,"filter":"a/#","epoch":"e1","offset":12,"recovered":true}`))
	if c := v.Counters(); c.Broken != 1 {
		t.Fatalf("counters are %+v", c)
	}
}

func TestForeignTopicAndBinaryFrameAreNoted(t *testing.T) {
	r := newRecording(t)
	v, s := offline(r)
	v.handle(s, 2, websocket.TextMessage, []byte(batchJSON(1, "e1", 10, 12, `{"o":11,"topic":"c","payload":""},{"o":12,"topic":"c","payload":""}`)))
	v.handle(s, 3, websocket.BinaryMessage, []byte{1})
	if c := v.Counters(); c.Received != 2 || c.Malformed != 1 {
		t.Fatalf("counters are %+v", c)
	}
	notes := events(r.log(), record.Note)
	if len(notes) != 2 || notes[0].Fields["topic"] != "c" {
		t.Fatalf("notes are %+v", notes)
	}
}

func TestPayloadsKeepTheirBytes(t *testing.T) {
	for _, payload := range []string{
		"", "plain", `{"run":"x","v":{"t":1.5}}`, "tab\t\nline \\ \" / \b\f\r", "ünïcödé ☃ 😀", "\u0000\u001f\u2028", strings.Repeat(`\"`, 1000), "\xff\x00binary",
	} {
		content := fmt.Sprintf(`"base64":%q`, base64.StdEncoding.EncodeToString([]byte(payload)))
		if utf8.ValidString(payload) {
			text, err := json.Marshal(payload)
			must(t, err)
			content = `"payload":` + string(text)
		}
		r := newRecording(t)
		v, s := offline(r)
		v.handle(s, 2, websocket.TextMessage, []byte(batchJSON(1, "e1", 10, 11, `{"o":11,"topic":"a/ü\"\\","qos":0,`+content+`}`)))
		log := r.log()
		if len(log.Records) != 1 || log.Records[0].Digest != record.Digest([]byte(payload)) || int(log.Records[0].Bytes) != len(payload) {
			t.Errorf("%.40q came out as %+v", payload, log.Records)
		}
		if !slices.Contains(keys(v.subs[0].topics), `a/ü"\`) {
			t.Errorf("topics are %v", v.subs[0].topics)
		}
	}
}

func keys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// FuzzText compares the scanner with encoding/json on strings of any kind.
func FuzzText(f *testing.F) {
	for _, s := range []string{`""`, `"a"`, `"\u00e9\ud83d\ude00\n"`, `"\ud800"`, `"\x"`, `"`, "\"\x01\"", `"\\\""`, `"\u12"`, `"a"b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if !utf8.ValidString(in) {
			t.Skip("frames are checked for UTF-8 before")
		}
		var scratch []byte
		scan := scanner{buf: []byte(in)}
		got := string(scan.text(&scratch))
		ok := scan.end() == nil
		var want string
		err := json.Unmarshal([]byte(in), &want)
		switch {
		case err == nil && !strings.HasPrefix(strings.TrimLeft(in, " \t\r\n"), `"`):
			return // null decodes into a string as well
		case ok && err != nil:
			t.Fatalf("%q was accepted as %q; encoding/json says %v", in, got, err)
		case ok && got != want:
			t.Fatalf("%q gave %q, want %q", in, got, want)
		case !ok && err == nil && !strings.ContainsRune(want, utf8.RuneError):
			t.Fatalf("%q was refused, want %q", in, want)
		}
	})
}

// FuzzFrame looks for frames that make a viewer panic or accept what is not JSON.
func FuzzFrame(f *testing.F) {
	f.Add(batchJSON(1, "e1", 10, 12, one))
	f.Add(`{"type":"snapshot","id":1,"part":1,"parts":1,"readings":[` + one + `]}`)
	f.Add(`{"type":"batch","readings":[[[[[[`)
	for _, value := range []string{"1.", "01", "-", "1e", "+1", "1e+-2", `"\q"`, `"\u12"`, "-0.5E+07", `"\u00e9\/"`} {
		f.Add(strings.Replace(batchJSON(1, "e1", 10, 12, one), `"t":1`, `"t":`+value, 1))
	}
	f.Fuzz(func(t *testing.T, in string) {
		rec, err := record.NewRecorder(t.TempDir(), record.NewClock())
		must(t, err)
		defer rec.Close()
		v, s := offline(&recording{rec, t})
		v.handle(s, 2, websocket.TextMessage, []byte(in))
		if c := v.Counters(); c.Batches > 0 && !json.Valid([]byte(in)) {
			t.Fatalf("%q is not JSON and was taken for a batch", in)
		}
	})
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/+", "a/b", true}, {"a/+", "a", false}, {"a/+", "a/b/c", false}, {"#", "a", true},
		{"+", "/a", false}, {"+/+", "/a", true}, {"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"a", "a/", false}, {"a/", "a", false},
	} {
		if got := matches(c.filter, c.topic); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}

// BenchmarkBatch decodes and records batches of readings as own devices send
// them. Aim: below 2 µs for each reading.
func BenchmarkBatch(b *testing.B) {
	const readings = 50
	rec, err := record.NewRecorder(b.TempDir(), record.NewClock())
	if err != nil {
		b.Fatal(err)
	}
	defer rec.Close()
	resolver := record.NewResolver("0a1b2c3d")
	var parts []string
	for i := range readings {
		dev := fmt.Sprintf("dev-%d", i)
		resolver.Add(uint32(i), record.Stream{Device: dev, Topic: "a/plant/" + dev})
		payload, err := json.Marshal(string(record.Encode("0a1b2c3d", dev, uint64(i+1), nil)))
		if err != nil {
			b.Fatal(err)
		}
		parts = append(parts, fmt.Sprintf(`{"o":%d,"t":1732332000123456,"topic":"a/plant/%s","qos":1,"payload":%s}`, 11+i, dev, payload))
	}
	frame := []byte(batchJSON(1, "e1", 10, 10+readings, strings.Join(parts, ",")))
	v, s := offline(&recording{rec, nil})
	v.cfg.Resolve = resolver.Resolve
	b.ReportAllocs()
	for b.Loop() {
		v.subs[0].at.Offset = 10
		v.handle(s, 1, websocket.TextMessage, frame)
	}
	if c := v.Counters(); c.Malformed+c.Broken != 0 || c.Received == 0 {
		b.Fatalf("counters are %+v", c)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*readings), "ns/reading")
}
