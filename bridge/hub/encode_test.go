package hub

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"plumbline/bridge/journal"
)

// reading is what a client reads.
type reading struct {
	O       uint64  `json:"o"`
	T       int64   `json:"t"`
	Topic   string  `json:"topic"`
	QoS     byte    `json:"qos"`
	Retain  bool    `json:"retain,omitempty"`
	Payload *string `json:"payload,omitempty"`
	Base64  []byte  `json:"base64,omitempty"`
}

func readingOf(e journal.Entry) reading {
	r := reading{O: e.Offset, T: e.Time.UnixMicro(), Topic: e.Topic, QoS: e.QoS, Retain: e.Retain}
	if utf8.Valid(e.Payload) {
		text := string(e.Payload)
		r.Payload = &text
	} else {
		r.Base64 = e.Payload
	}
	return r
}

// standard is the encoding that AppendReading has to equal byte for byte.
func standard(tb testing.TB, v any) []byte {
	tb.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		tb.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func entry(offset uint64, topic string, payload []byte, qos byte, retain bool, micros int64) journal.Entry {
	return journal.Entry{Offset: offset, Message: journal.Message{
		Topic: topic, Payload: payload, QoS: qos, Retain: retain, Time: time.UnixMicro(micros).UTC(),
	}}
}

func TestReadingText(t *testing.T) {
	for want, e := range map[string]journal.Entry{
		`{"o":124,"t":1732332000123456,"topic":"a/b","qos":1,"payload":"text"}`: entry(124, "a/b", []byte("text"), 1, false, 1732332000123456),
		`{"o":1,"t":-1,"topic":"a","qos":0,"retain":true,"payload":""}`:         entry(1, "a", nil, 0, true, -1),
		`{"o":2,"t":0,"topic":"\"","qos":2,"payload":"{\"v\":1}\n<&>"}`:         entry(2, `"`, []byte("{\"v\":1}\n<&>"), 2, false, 0),
		`{"o":3,"t":0,"topic":"ü","qos":0,"base64":"/wA="}`:                     entry(3, "ü", []byte{0xff, 0}, 0, false, 0),
		`{"o":4,"t":0,"topic":"a","qos":0,"payload":"\u2028é\u2029\u001f€"}`:    entry(4, "a", []byte("\u2028é\u2029\x1f€"), 0, false, 0),
	} {
		if got := AppendReading(nil, e); string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Every rune, alone and surrounded, is escaped as encoding/json does.
func TestReadingEveryRune(t *testing.T) {
	var buf []byte
	for r := range rune(0x11000) {
		if !utf8.ValidRune(r) {
			continue
		}
		e := entry(1, "a", []byte("x"+string(r)+"y"), 0, false, 0)
		if buf = AppendReading(buf[:0], e); !bytes.Equal(buf, standard(t, readingOf(e))) {
			t.Fatalf("%U: got %s, want %s", r, buf, standard(t, readingOf(e)))
		}
	}
}

func FuzzReading(f *testing.F) {
	f.Add(uint64(1), "a/b", []byte(`{"v":1}`), byte(1), true, int64(1732332000123456))
	f.Add(uint64(1<<63), "\u2028", []byte{0xe2, 0x80}, byte(0), false, int64(-5))
	f.Add(uint64(0), "\x00\x7f\\", []byte("\xe2\x80\xa8\xe2\x80\xa9\b\f\r\t"), byte(2), false, int64(0))
	f.Fuzz(func(t *testing.T, offset uint64, topic string, payload []byte, qos byte, retain bool, micros int64) {
		if !utf8.ValidString(topic) {
			return // refused by topic.ValidName long before
		}
		e := entry(offset, topic, payload, qos%3, retain, micros)
		got := AppendReading([]byte("kept"), e)
		if want := append([]byte("kept"), standard(t, readingOf(e))...); !bytes.Equal(got, want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

func TestBody(t *testing.T) {
	read := func(f Format, base uint64, entries ...journal.Entry) *Readings {
		var n names
		r := &Readings{Format: f, base: base}
		for i := range entries {
			name := n.of(entries[i].Topic)
			r.add(&entries[i], f.shared(nil, &entries[i], appendTopic(nil, entries[i].Topic), name), name)
		}
		return r
	}
	two := []journal.Entry{entry(4, "a/b", []byte("21"), 1, false, 1000), entry(9, "c", []byte{0xff}, 0, true, 990)}
	for _, c := range []struct {
		name string
		got  Batch
		want string
	}{
		{"json", newBatch("e1", span{from: 3, to: 9}, read(JSON, 3, two[0])), `"epoch":"e1","from":3,"to":9,"readings":[{"o":4,"t":1000,"topic":"a/b","qos":1,"payload":"21"}]}`},
		{"json empty", newBatch("e1", span{from: 0, to: 1<<64 - 1}, read(JSON, 0)), `"epoch":"e1","from":0,"to":18446744073709551615,"readings":[]}`},
		{"json conflated", newBatch("e1", span{from: 3, to: 9, conflates: true, conflated: 7}, read(JSON, 3)), `"epoch":"e1","from":3,"to":9,"conflated":7,"readings":[]}`},
		{"json open", newBatch("e1", span{from: 3, to: 9, conflates: true, open: true}, read(JSON, 3)), `"epoch":"e1","from":3,"to":9,"open":true,"readings":[]}`},
		{"compact", newBatch("e1", span{from: 3, to: 9}, read(Compact, 3, two...)), `"from":3,"to":9,"t":1000,"readings":[[1,0,1,1,"21"],[5,-10,2,12,"/w=="]]}`},
		{"compact empty", newBatch("e1", span{from: 3, to: 9, conflates: true}, read(Compact, 3)), `"from":3,"to":9,"conflated":0,"readings":[]}`},
		{"cbor", newBatch("e1", span{from: 3, to: 9, conflates: true, conflated: 2}, read(CBOR, 3, two...)), `{"from":3,"to":9,"conflated":2,"t":1000,"readings":[[1,0,1,1,"MjE="],[5,-10,2,4,"/w=="]]}`},
		{"cbor empty", newBatch("e1", span{from: 3, to: 500, conflates: true, open: true}, read(CBOR, 3)), `{"from":3,"to":500,"open":true,"readings":[]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(c.got.Body)
			if strings.HasPrefix(c.name, "cbor") {
				got = cborAsJSON(t, append(AppendCBOR(nil, CBORMap, uint64(c.got.Members)), c.got.Body...))
				var a, b any
				if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(c.want), &b) != nil || !reflect.DeepEqual(a, b) {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				return
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// cborAsJSON decodes with a library that is not ours; bytes become base64.
func cborAsJSON(t *testing.T, data []byte) string {
	t.Helper()
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := mode.Unmarshal(data, &v); err != nil {
		t.Fatalf("%x: %v", data, err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestNamesRunOut: topics beyond the bound stand by name, and numbers never change.
func TestNamesRunOut(t *testing.T) {
	n := names{bytes: nameBytes - 300}
	a, b := n.of("a"), n.of(strings.Repeat("x", 300))
	if a == nil || b == nil || a.ID == b.ID || n.of("a") != a {
		t.Fatalf("%v %v", a, b)
	}
	if c := n.of("c"); c != nil {
		t.Fatalf("%v beyond the bound", c)
	}
	e := entry(1, "c", nil, 0, false, 0)
	if got := string(Compact.shared(nil, &e, nil, nil)); got != `"c",0,""]` {
		t.Errorf("%s", got)
	}
	if got := CBOR.shared(nil, &e, nil, nil); string(got) != "\x61c\x00\x40" {
		t.Errorf("%x", got)
	}
}

func TestAppendCBOR(t *testing.T) {
	for _, n := range []int64{0, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<63 - 1, -1, -24, -25, -1 << 40, -1 << 63} {
		var got int64
		if err := cbor.Unmarshal(AppendCBORInt(nil, n), &got); err != nil || got != n {
			t.Errorf("%d: %d %v", n, got, err)
		}
		if want, err := cbor.Marshal(n); err != nil || string(want) != string(AppendCBORInt(nil, n)) {
			t.Errorf("%d: %x, want %x", n, AppendCBORInt(nil, n), want)
		}
	}
}

func BenchmarkAppendReading(b *testing.B) {
	e := entry(123456, "plant/line1/machine7/temperature", bytes.Repeat([]byte(`{"seq":12,"v":1}`), 8), 1, false, 1732332000123456)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendReading(buf[:0], e)
	}
}
