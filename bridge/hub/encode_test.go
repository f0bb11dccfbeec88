package hub

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

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
	b := newBatch("e1", 3, 9, 2, []byte(`{"o":4},{"o":9}`))
	const want = `"epoch":"e1","from":3,"to":9,"readings":[{"o":4},{"o":9}]}`
	if string(b.Body) != want || b.From != 3 || b.To != 9 || b.Count != 2 {
		t.Fatalf("batch %+v, body %s", b, b.Body)
	}
	if b = newBatch("e1", 0, 1<<64-1, 0, nil); cap(b.Body) < len(b.Body) || !json.Valid(append([]byte("{"), b.Body...)) {
		t.Fatalf("empty batch %s", b.Body)
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
