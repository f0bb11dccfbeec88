package scenarios

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"plumbline/harness"
	"plumbline/harness/mqttwire"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// mailLog is of a bridge that carries every payload and every topic as it should.
func mailLog() *record.Log {
	log := emptyLog()
	send := func(device, topic string, foreign bool, payload []byte, seq uint64) {
		m := record.Record{Stream: uint32(len(log.Index.Streams)), Seq: seq, Digest: record.Digest(payload), Due: int64(len(log.Records)) * int64(time.Millisecond)}
		if n := len(log.Index.Streams); seq > 1 {
			m.Stream = uint32(n - 1)
		} else {
			log.Index.Streams = append(log.Index.Streams, record.Stream{Device: device, Topic: topic, Mode: "sim", QoS: 1, Foreign: foreign})
		}
		if foreign {
			m.Flags = record.FlagForeign
		}
		publish(log, m)
	}
	sizes, _ := ladder(1, true, 70_000)
	for part, items := range map[string][]item{sizePart: sizes, textPart: contents()} {
		for _, it := range items {
			send(part+it.name, harness.Topic(part+it.name), true, it.payload, 1)
		}
	}
	for i, topic := range topicNames() {
		device := topicPart + string(rune('A'+i))
		for seq := uint64(1); seq <= 2; seq++ {
			send(device, harness.Topic(topic), false, record.Encode("0a1b2c3d", device, seq, nil), seq)
		}
	}
	return log
}

// arrivalOf returns the arrival of the first message of a device at the viewer.
func arrivalOf(log *record.Log, device string) *record.Record {
	for i := range log.Records {
		r := &log.Records[i]
		if r.Kind == record.Received && log.Index.Streams[r.Stream].Device == device {
			return r
		}
	}
	panic("no such record")
}

func TestPayloadsAndTopicsAreJudged(t *testing.T) {
	judge := func(id, part string) func(*judged) { return func(j *judged) { j.intact(id, part, "things", 18) } }
	sizes, texts, topics := judge("INT-01", sizePart), judge("INT-02", textPart), judge("INT-04", topicPart)
	change := func(device string) func(*record.Log) { return func(l *record.Log) { arrivalOf(l, device).Digest++ } }
	drop := func(device string) func(*record.Log) {
		return func(l *record.Log) { arrivalOf(l, device).Kind = record.Restored }
	}
	refuse := func(device, how, value string) func(*record.Log) {
		return func(l *record.Log) { // the message was written, and nothing came of it
			r := *arrivalOf(l, device)
			l.Records = slices.DeleteFunc(l.Records, func(other record.Record) bool {
				return other.Kind != record.Sent && other.Stream == r.Stream && other.Seq == r.Seq
			})
			l.Events = append(l.Events, record.Event{
				At: r.At, Kind: record.Refused, Subject: "publisher hand",
				Fields: map[string]string{how: value, "topic": l.Index.Streams[r.Stream].Topic, "seq": "1"},
			})
		}
	}
	verdictsOf(t, "ci", mailLog, []seeded{
		{"none, INT-01", nil, sizes, reports.Pass, ""},
		{"none, INT-02", nil, texts, reports.Pass, ""},
		{"none, INT-04", nil, topics, reports.Pass, ""},
		{"F30 cuts at 126 bytes", change("size-text-126"), sizes, reports.Fail, "phantom"},
		{"F30 drops the empty payload", drop("size-text-0"), sizes, reports.Fail, "lost"},
		{"F31 cuts at 65536 bytes", change("size-text-65536"), sizes, reports.Fail, "phantom"},
		{"F32 cuts at 16385 bytes", change("size-text-16385"), sizes, reports.Fail, "phantom"},
		{"F34 takes bytes for text", change("size-bytes-124"), sizes, reports.Fail, "lost"},
		{"F34 is not held against the texts", change("size-bytes-124"), texts, reports.Pass, ""},
		{"F33 cuts a character in two", change("content-straddling-2"), texts, reports.Fail, "phantom"},
		{"F33 drops NUL", change("content-nul"), texts, reports.Fail, "lost"},
		{"F35 rounds a number", change("content-number-05"), texts, reports.Fail, "phantom"},
		{"F38 takes two topics for one", func(l *record.Log) { arrivalOf(l, topicPart+"C").Flags |= record.FlagMisrouted }, topics, reports.Fail, "misrouted"},
		{"F38 loses a topic", drop(topicPart + "D"), topics, reports.Fail, "lost"},
		{"the broker does not take a topic", refuse(topicPart+"D", "tries", "3"), topics, reports.Fail, "refused"},
		{"the broker refuses a payload", refuse("size-text-65536", "code", "0x95"), sizes, reports.Fail, "refused"},
		{"the broker is somebody else's", refuse(topicPart+"D", "tries", "3"), func(j *judged) {
			j.base.BrokerInside = false
			topics(j)
		}, reports.Inconclusive, "refused"},
		{"a topic that is not taken is not held against the texts", refuse(topicPart+"D", "tries", "3"), texts, reports.Pass, ""},
		{"viewers are told no topics", nil, func(j *judged) {
			j.unmet = append(j.unmet, stats.Gate{Reason: reports.ReasonEnvironment})
			topics(j)
		}, reports.Inconclusive, ""},
		{"a part that was never sent", nil, judge("INT-01", "nothing-"), reports.Inconclusive, ""},
	})
}

// What messages say about themselves is held against what was sent, whatever a
// server on the way adds.
func TestPropertiesAreJudged(t *testing.T) {
	mail := func() *record.Log {
		log := emptyLog()
		for i, n := range log.Index.Nodes {
			if n.Role == "viewer" {
				log.Index.Nodes[i].Name = saidViewer
			}
		}
		for name := range properties() {
			log.Index.Streams = append(log.Index.Streams, record.Stream{Device: saidPart + name, Topic: harness.Topic(saidPart + name), Mode: "sim", QoS: 1, Foreign: true})
			publish(log, record.Record{
				Stream: uint32(len(log.Index.Streams) - 1), Seq: 1, Digest: record.Digest([]byte(name)), Flags: record.FlagForeign,
				Due: int64(len(log.Records)) * int64(time.Millisecond),
			})
		}
		return log
	}
	judge := func(change func(name string, p *mqttwire.Properties)) func(*judged) {
		return func(j *judged) {
			l := &listener{all: map[string]*said{}}
			for name, sent := range properties() {
				l.announce(saidPart+name, sent)
			}
			for name, came := range properties() { // of its own memory
				came.User = append(came.User, [2]string{"added", "on the way"})
				change(name, &came)
				l.hear(harness.Topic(saidPart+name), nil, came)
			}
			j.unaltered("INT-03", l.heard(), 13)
		}
	}
	none := func(string, *mqttwire.Properties) {}
	verdictsOf(t, "ci", mail, []seeded{
		{"none", nil, judge(none), reports.Pass, ""},
		{"F37 drops the content type", nil, judge(func(_ string, p *mqttwire.Properties) { p.ContentType = "" }), reports.Fail, "altered"},
		{"F37 drops user properties", nil, judge(func(_ string, p *mqttwire.Properties) { p.User = nil }), reports.Fail, "altered"},
		{"F37 keeps them in a map", nil, judge(func(name string, p *mqttwire.Properties) {
			if name == "twice" {
				p.User = p.User[1:]
			}
		}), reports.Fail, "altered"},
		{"says what nobody said", nil, judge(func(name string, p *mqttwire.Properties) {
			if name == "nothing" {
				p.Text = true
			}
		}), reports.Fail, "altered"},
		{"says more than is kept", nil, judge(func(name string, p *mqttwire.Properties) {
			if name == "unit" {
				p.User = [][2]string{{"unit", strings.Repeat("x", mostSaid+1)}}
			}
		}), reports.Fail, "altered"},
		{"loses one of the messages", func(l *record.Log) { arrivalOf(l, saidPart+"unit").Kind = record.Restored }, judge(none), reports.Fail, "lost"},
		{"was not asked", nil, func(j *judged) { j.unaltered("INT-03", nil, 13) }, reports.Inconclusive, ""},
	})
	l := &listener{all: map[string]*said{}}
	l.announce("a", mqttwire.Properties{})
	for range 10 {
		l.hear(harness.Topic("a"), nil, mqttwire.Properties{})
		l.hear(harness.Topic("b"), nil, mqttwire.Properties{})
	}
	if all := l.heard(); len(all) != 1 || len(all[0].Came) != mostCame {
		t.Errorf("kept are %+v", all)
	}
}

// What came over a connection that compresses is judged by what could be read,
// and not at all where hardly anything was compressed.
func TestCompressionIsJudged(t *testing.T) {
	mail := func() *record.Log {
		log := mailLog()
		for i, n := range log.Index.Nodes {
			if n.Role == "viewer" {
				log.Index.Nodes[i].Name = squeezedViewer
			}
		}
		return log
	}
	judge := func(squeezed, unreadable uint64) func(*judged) {
		return func(j *judged) { j.expanded("INT-05", payloadFacts{Squeezed: squeezed, Unreadable: unreadable}, 100) }
	}
	without := func(agreed bool) func(*judged) {
		return func(j *judged) { j.expanded("INT-05", payloadFacts{Unlet: "no", Unagreed: !agreed}, 100) }
	}
	change := func(l *record.Log) { arrivalOf(l, "content-nul").Digest++ }
	verdictsOf(t, "ci", mail, []seeded{
		{"none", nil, judge(100, 0), reports.Pass, ""},
		{"F66 damages a payload", change, judge(100, 0), reports.Fail, "phantom"},
		{"F66 damages what stands round the payloads", nil, judge(100, 1), reports.Fail, "unreadable"},
		{"it chooses what it was not offered", nil, without(false), reports.Fail, "not-negotiated"},
		{"it does not let in who offers compression", nil, without(true), reports.Inconclusive, ""},
		{"hardly anything was compressed", nil, judge(leastSqueezed-1, 0), reports.Inconclusive, ""},
		{"another viewer", func(l *record.Log) {
			for i := range l.Index.Nodes {
				l.Index.Nodes[i].Name = "viewer-01"
			}
		}, judge(100, 0), reports.Inconclusive, ""},
	})
	size := 0
	for _, it := range alike() {
		size += len(it.payload)
	}
	if size < 64<<10 || len(alike()[0].payload) < 512 {
		t.Errorf("%d bytes are alike, in messages of %d", size, len(alike()[0].payload))
	}
}

// The corpora are what they are said to be, or they would prove nothing.
func TestTheCorporaAreSound(t *testing.T) {
	names, topics := map[string]bool{}, map[string]bool{}
	sizes, left := ladder(1, true, 0)
	if len(sizes) != 2*len(rungs)-1 || len(left) != 0 {
		t.Errorf("%d rungs, left out %v", len(sizes), left)
	}
	for _, it := range sizes {
		if text := strings.HasPrefix(it.name, "text-"); utf8.Valid(it.payload) != text {
			t.Errorf("%s is text: %v", it.name, !text)
		}
	}
	for _, it := range append(sizes, contents()...) {
		if names[it.name] || strings.ContainsAny(it.name, "+#/") {
			t.Errorf("%q is used twice, or no level of a topic", it.name)
		}
		names[it.name] = true
	}
	for _, it := range contents() {
		if !utf8.Valid(it.payload) {
			t.Errorf("%s is not UTF-8", it.name)
		}
		if number := strings.HasPrefix(it.name, "number-"); number && !json.Valid(it.payload) {
			t.Errorf("%s is not JSON: %s", it.name, it.payload)
		}
	}
	for _, topic := range topicNames() {
		if topics[topic] || strings.ContainsAny(topic, "+#\x00") || !utf8.ValidString(topic) || len(harness.Topic(topic)) > 65535 {
			t.Errorf("topic %q is used twice or unsound", topic)
		}
		topics[topic] = true
	}
	again, _ := ladder(1, true, 0)
	if other, _ := ladder(2, true, 0); !bytes.Equal(again[8].payload, sizes[8].payload) || bytes.Equal(other[8].payload, sizes[8].payload) {
		t.Error("the bytes do not follow from the seed")
	}
	// What a profile asks for can be brought by a system for text of up to 64 KiB.
	plain, left := ladder(1, false, 1<<16)
	if len(plain) != len(rungs)-1 || len(left) != 2 {
		t.Errorf("%d rungs of at most 64 KiB, left out %v", len(plain), left)
	}
	for _, name := range []string{"smoke", "ci", "bench"} {
		p, err := spec.Catalogue().Load(name)
		if err != nil {
			t.Fatal(err)
		}
		viewers := int64(p.Loads["payloads"].Viewers)
		for id, n := range map[string]int{"INT-01": len(plain), "INT-02": len(contents()), "INT-04": 2 * len(topics)} {
			if p.Limits[id].Samples > int64(n)*viewers {
				t.Errorf("profile %s asks for %d of %s, the corpus brings %d", name, p.Limits[id].Samples, id, int64(n)*viewers)
			}
		}
	}
}

func TestPayloadBounds(t *testing.T) {
	for _, c := range []struct{ packet, declared, want int64 }{
		{0, 0, 0}, {0, 1000, 1000}, {4096, 0, 4096 - payloadOverhead}, {4096, 1000, 1000}, {4096, 9000, 4096 - payloadOverhead},
	} {
		if got := payloadBound(c.packet, c.declared); got != c.want {
			t.Errorf("packets of %d, declared %d: %d, want %d", c.packet, c.declared, got, c.want)
		}
	}
	for _, c := range []struct {
		viewer sut.Viewer
		told   bool
	}{
		{sut.Viewer{Protocol: viewer.Plumbline}, true}, {sut.Viewer{Protocol: viewer.MQTT}, true},
		{sut.Viewer{Protocol: viewer.JSON}, false}, {sut.Viewer{Protocol: viewer.JSON, Message: sut.Message{Topic: "/topic"}}, true},
	} {
		if got := tellsTopics(c.viewer); got != c.told {
			t.Errorf("%+v tells topics: %v", c.viewer, got)
		}
	}
}

func TestOrderOverQualitiesIsJudged(t *testing.T) {
	judge := func(j *judged) { j.base.Devices = []string{"d1"}; j.ordered("ORD-03", j.samples("ORD-03")) }
	verdictsOf(t, "ci", goodLog, []seeded{
		{"none", nil, judge, reports.Pass, ""},
		{"F13 lets QoS 0 overtake QoS 1", func(l *record.Log) {
			for n := 5; ; n++ {
				if i := where(l, 2, int64(time.Second), n); l.Records[i].Stream == 0 {
					swap(l, i)
					return
				}
			}
		}, judge, reports.Fail, "reordered"},
	})
}

// downLog is the good recording with two restarts of the broker.
func downLog() *record.Log {
	log := goodLog()
	for _, at := range []time.Duration{5 * time.Second, 9 * time.Second} {
		log.Events = append(log.Events, record.Event{At: int64(at), Kind: record.Disconnected, Subject: "witness", Fields: map[string]string{"error": "EOF"}})
	}
	return log
}

func TestDeliveryOverTheBrokerIsJudged(t *testing.T) {
	judge := func(j *judged) {
		j.base.BrokerInside = false
		j.restarted(2)
		j.passedOn("DEL-03", j.samples("DEL-03"))
	}
	missed := func(l *record.Log) { // neither the witness nor the bridge was there
		gone := l.Records[where(l, 2, int64(5*time.Second), 3)]
		l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool {
			return r.Stream == gone.Stream && r.Seq == gone.Seq && (r.Kind == record.Witnessed || r.Kind == record.Received)
		})
	}
	verdictsOf(t, "ci", downLog, []seeded{
		{"none", nil, judge, reports.Pass, ""},
		{"F61 forgets its subscription", func(l *record.Log) {
			l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool {
				return r.Kind == record.Received && r.At > int64(9*time.Second)
			})
		}, judge, reports.Fail, "lost"},
		{"F62 forgets one of its subscriptions", func(l *record.Log) {
			l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool {
				return r.Kind == record.Received && r.Stream == 1 && r.At > int64(9*time.Second)
			})
		}, judge, reports.Fail, "lost"},
		{"the broker itself lost one", missed, judge, reports.Pass, ""},
		{"a broker that was not restarted", func(l *record.Log) { *l = *goodLog() }, judge, reports.Inconclusive, ""},
	})
}

// The ceiling takes n that ci does not bring; profiles of that size ask for it.
func TestCeilingAndDriftAreJudged(t *testing.T) {
	slow := func(every int) oracle.Latencies {
		l := oracle.Latencies{}
		for i := range 400_000 {
			v := 10.0
			if every > 0 && i%every == 0 {
				v = 1500
			}
			l.Series.Due = append(l.Series.Due, int64(i)*int64(time.Millisecond)+1)
			l.Series.Value = append(l.Series.Value, v)
			l.Stream, l.Viewer, l.Seq = append(l.Stream, 0), append(l.Viewer, 0), append(l.Seq, uint64(i+1))
		}
		return l
	}
	ceiling := func(every int) func(*judged) {
		return func(j *judged) { j.ceiling("LAT-04", slow(every), nil) }
	}
	creep := func(l *record.Log) {
		for i := range l.Records {
			if r := &l.Records[i]; r.Kind == record.Received {
				r.At += r.At / 2000 // 20 ms in 40 s
			}
		}
	}
	drift := func(j *judged) { j.creeping("LAT-09", []string{"w", "w", "w", "w", "w"}) }
	verdictsOf(t, "bench", goodLog, []seeded{
		{"none, LAT-04", nil, ceiling(0), reports.Pass, ""},
		{"F22 delays one in a thousand", nil, ceiling(1000), reports.Fail, "late"},
		{"none, LAT-09", nil, drift, reports.Pass, ""},
		{"F29 creeps", creep, drift, reports.Fail, ""},
		{"one run of five", nil, func(j *judged) { j.creeping("LAT-09", []string{"w"}) }, reports.Inconclusive, ""},
	})
	h, err := oracle.Index(goodLog())
	if err != nil {
		t.Fatal(err)
	}
	j := judgedIn(t, h, "ci")
	drift(j)
	ceiling(0)(j)
	if n := len(j.Results()); n != 0 {
		t.Errorf("ci does not ask for the ceiling, nor for stationarity, and has %d results of them", n)
	}
}

// What no viewer can read is not for compression to answer for.
func TestOnlyCompressedMessagesAreUnreadable(t *testing.T) {
	for _, c := range []struct{ squeezed, plain, want uint64 }{{0, 0, 0}, {3, 0, 3}, {1, 1, 0}, {5, 2, 3}, {0, 1, 0}} {
		if got := unreadable(c.squeezed, c.plain); got != c.want {
			t.Errorf("%d malformed, %d of them without compression too: %d, want %d", c.squeezed, c.plain, got, c.want)
		}
	}
}
