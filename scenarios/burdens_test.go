package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/reports"
)

const ms = int64(time.Millisecond)

// recording makes recordings by hand.
type recording struct{ record.Log }

func (r *recording) add(kind record.Kind, node uint16, stream uint32, seq uint64, due, at int64, bytes uint32) {
	r.Records = append(r.Records, record.Record{
		Kind: kind, Node: node, Stream: stream, Seq: seq, Due: due, At: at, End: at, Digest: uint64(stream)<<32 | seq, Bytes: bytes, Aux: 1,
	})
}

func (r *recording) event(at int64, kind record.EventKind, subject string) {
	r.Events = append(r.Events, record.Event{At: at, Kind: kind, Subject: subject, Fields: map[string]string{"recovered": "true"}})
}

// stalled is a recording of the scenario "stall" in which everything is as it
// should be: two viewers of one device, 500 messages/s, for 4 s; from 2 s on
// the slow viewer does not read while 66 MiB are published to it.
func stalled() *recording {
	r := &recording{}
	r.Index = record.Index{
		Nodes: []record.Node{
			{Name: "publisher", Role: "publisher"}, {Name: "viewer-01", Role: "viewer", Filters: []string{harness.AllTopics}},
			{Name: "viewer-02", Role: "viewer", Filters: []string{harness.AllTopics}}, {Name: slowViewer, Role: "viewer", Filters: []string{bulkTopic}},
		},
		Streams: []record.Stream{{Device: "d1", Topic: harness.Topic("d1"), QoS: 1}, {Device: bulkDevice, Topic: bulkTopic, QoS: 1}},
	}
	for _, v := range r.Index.Nodes[1:] {
		r.event(0, record.Connected, v.Name)
		r.event(0, record.Subscribed, v.Name)
	}
	for i := range int64(2000) {
		due := (i + 1) * 2 * ms
		r.add(record.Sent, 0, 0, uint64(i+1), due, due, 100)
		r.add(record.Acked, 0, 0, uint64(i+1), 0, due+ms/2, 100)
		r.add(record.Received, 1, 0, uint64(i+1), 0, due+ms, 100)
		r.add(record.Received, 2, 0, uint64(i+1), 0, due+ms, 100)
	}
	for i := range int64(1056) {
		due := 2000*ms + (i+1)*ms
		r.add(record.Sent, 0, 1, uint64(i+1), due, due, bulkBytes)
		r.add(record.Acked, 0, 1, uint64(i+1), 0, due+ms/2, bulkBytes)
		r.add(record.Received, 3, 1, uint64(i+1), 0, 4100*ms+i, bulkBytes)
	}
	stall := (&harness.Tap{}).Stall().Name()
	for _, e := range []struct {
		at      int64
		kind    record.EventKind
		subject string
	}{
		{0, record.WindowOpen, aloneWindow}, {1000 * ms, record.WindowClose, aloneWindow},
		{1000 * ms, record.WindowOpen, aloneWindow}, {2000 * ms, record.WindowClose, aloneWindow},
		{2000 * ms, record.WindowOpen, besideWindow}, {2000 * ms, record.FaultOnset, stall}, {4000 * ms, record.FaultEnd, stall},
		{4001 * ms, record.WindowClose, besideWindow}, {8000 * ms, record.DrainEnd, "stall"},
	} {
		r.event(e.at, e.kind, e.subject)
	}
	return r
}

// caching is used of a system that took more already while all read.
func caching(before, later, most uint64) []harness.Usage {
	all := used(before, most)
	for i := range all {
		if all[i].At > 1000*ms && all[i].At <= 3000*ms {
			all[i].RSS = later << 20
		}
	}
	return all
}

// used is what the processes used while that was recorded: most in the stall.
func used(before, most uint64) (all []harness.Usage) {
	for at := int64(0); at < 5000; at += 100 {
		u := harness.Usage{At: at * ms, RSS: before << 20}
		if at > 3000 && at < 4000 {
			u.RSS = most << 20
		}
		all = append(all, u)
	}
	return all
}

// judgedWith judges a recording by one step.
func judgedWith(t *testing.T, r *recording, usage []harness.Usage, step func(*judged)) reports.Result {
	t.Helper()
	return judgement(t, &r.Log, func(j *judged) {
		j.usage = usage
		step(j)
	})
}

var stallSteps = map[string]func(*judged){
	"RES-04": func(j *judged) {
		j.undisturbed("RES-04", oracle.Options{BrokerInside: true, Viewers: []string{"viewer-01", "viewer-02"}})
	},
	"RES-05": func(j *judged) { j.bounded("RES-05") },
}

func TestASlowViewerIsJudged(t *testing.T) {
	late := func(r *recording) { // F58: nothing reaches the others for the last second of the stall
		for i := range r.Records {
			if one := &r.Records[i]; one.Kind == record.Received && one.Stream == 0 && one.At > 3000*ms && one.At < 4000*ms {
				one.At = 4000*ms + int64(i)
			}
		}
	}
	last := func(r *recording) { // F19: the slow viewer gets the oldest and never the newest
		r.Records = slices.DeleteFunc(r.Records, func(one record.Record) bool {
			return one.Kind == record.Received && one.Stream == 1 && one.Seq > 500
		})
	}
	evicted := func(r *recording) { // the slow viewer is thrown out and never let in again
		last(r)
		r.event(4602*ms, record.Disconnected, slowViewer)
	}
	slowly := func(r *recording) { // what was not read comes bit by bit until nobody looks any more
		last(r)
		for i := range r.Records {
			if one := &r.Records[i]; one.Kind == record.Received && one.Stream == 1 {
				one.At = 4100*ms + int64(one.Seq)*7*ms
			}
		}
	}
	both := func(r *recording) { // the others wait all the time, so it is not for the one
		for i := range r.Records {
			if one := &r.Records[i]; one.Kind == record.Received && one.Stream == 0 {
				one.At += 500 * ms
			}
		}
	}
	few := func(r *recording) { // too little was published to fill any buffer
		r.Records = slices.DeleteFunc(r.Records, func(one record.Record) bool { return one.Stream == 1 && one.Seq > 200 })
	}
	none := func(*recording) {}
	for _, c := range []struct {
		name, requirement string
		tamper            func(*recording)
		usage             []harness.Usage
		verdict           reports.Verdict
		kind              string
	}{
		{"nobody is disturbed", "RES-04", none, used(50, 55), reports.Pass, ""},
		{"F58 the others wait", "RES-04", late, used(50, 55), reports.Fail, ""},
		{"F58 they wait for something else", "RES-04", both, used(50, 55), reports.Inconclusive, ""},
		{"F58 it was no stall", "RES-04", few, used(50, 55), reports.Inconclusive, ""},
		{"bounded memory, newest value", "RES-05", none, used(50, 65), reports.Pass, ""},
		{"F59 an unbounded queue", "RES-05", none, used(50, 116), reports.Fail, ""},
		{"a cache that fills with what is published", "RES-05", none, caching(50, 90, 120), reports.Inconclusive, ""},
		{"F59 an unbounded queue beside such a cache", "RES-05", none, caching(50, 60, 120), reports.Fail, ""},
		{"F19 the newest value never comes", "RES-05", last, used(50, 55), reports.Fail, "stale"},
		{"F19 it is thrown out and never let in again", "RES-05", evicted, used(50, 55), reports.Fail, "stale"},
		{"the newest value is on its way", "RES-05", slowly, used(50, 55), reports.Inconclusive, ""},
		{"too few bytes", "RES-05", few, used(50, 55), reports.Inconclusive, ""},
		{"too few bytes, and much memory", "RES-05", few, used(50, 116), reports.Inconclusive, ""},
		{"nobody looked at the memory", "RES-05", none, nil, reports.Inconclusive, ""},
	} {
		t.Run(c.requirement+" "+c.name, func(t *testing.T) {
			r := stalled()
			c.tamper(r)
			got := judgedWith(t, r, c.usage, stallSteps[c.requirement])
			if got.Verdict != c.verdict {
				t.Fatalf("%s(%s) %s", got.Verdict, got.Reason, got.Sentence)
			}
			if c.kind != "" && !slices.ContainsFunc(got.Findings, func(f reports.Finding) bool { return f.Kind == c.kind }) {
				t.Errorf("no finding of kind %q: %+v", c.kind, got.Findings)
			}
		})
	}
}

func TestWhatViewersLeaveBehindIsJudged(t *testing.T) {
	base := census{Files: 40, Threads: 12, Tasks: map[string]int64{"go_goroutines": 60}}
	wave := func(files, threads int, tasks int64) churned {
		return churned{Came: 250, Left: census{Files: files, Threads: threads, Tasks: map[string]int64{"go_goroutines": tasks}}}
	}
	good := wave(41, 13, 61)
	blind := base
	blind.Files = -1
	refused := good
	refused.Came, refused.Failed, refused.Why = 240, 10, "HTTP status 503"
	for _, c := range []struct {
		name, requirement string
		facts             churnFacts
		verdict           reports.Verdict
		reason            reports.Reason
	}{
		{"all is back", "RES-02", churnFacts{Base: base, Orderly: good}, reports.Pass, ""},
		{"F56 a descriptor per connection", "RES-02", churnFacts{Base: base, Orderly: wave(290, 12, 60)}, reports.Fail, ""},
		{"F56 one in ten", "RES-02", churnFacts{Base: base, Orderly: wave(65, 12, 60)}, reports.Fail, ""},
		{"descriptors cannot be counted", "RES-02", churnFacts{Base: blind, Orderly: good}, reports.Inconclusive, reports.ReasonSamples},
		{"some were not let in", "RES-02", churnFacts{Base: base, Orderly: refused}, reports.Inconclusive, reports.ReasonEnvironment},
		{"all is back", "RES-03", churnFacts{Middle: base, Vanished: good}, reports.Pass, ""},
		{"F57 a goroutine per connection", "RES-03", churnFacts{Middle: base, Vanished: wave(41, 12, 310)}, reports.Fail, ""},
		{"F57 a thread per connection", "RES-03", churnFacts{Middle: base, Vanished: wave(41, 262, 60)}, reports.Fail, ""},
	} {
		t.Run(c.requirement+" "+c.name, func(t *testing.T) {
			k := caseOf(t, c.facts)
			c.facts.judge(k, 250, c.requirement)
			if r := only(t, k); r.Verdict != c.verdict || r.Reason != c.reason {
				t.Errorf("%s(%s) %s", r.Verdict, r.Reason, r.Sentence)
			}
		})
	}
}

// refilledLog is a recording of the scenario "refill": 60 devices with a message
// each 100 ms for 6 s, a bridge that restarts after 2 s and after 4 s, and a
// viewer that misses half a second each time and then has every filter again.
func refilledLog() *recording {
	r := &recording{}
	r.Index.Nodes = []record.Node{{Name: "publisher", Role: "publisher"}, {Name: refillViewer, Role: "viewer"}}
	for d := range 60 {
		id := fmt.Sprintf("d%d", d+1)
		r.Index.Streams = append(r.Index.Streams, record.Stream{Device: id, Topic: harness.Topic(id), QoS: 1})
		r.Index.Nodes[1].Filters = append(r.Index.Nodes[1].Filters, harness.Topic(id))
	}
	r.event(0, record.Connected, refillViewer)
	r.event(0, record.Subscribed, refillViewer)
	r.event(0, record.WindowOpen, "refill")
	for i := range int64(60) {
		due := (i + 1) * 100 * ms
		for s := range uint32(60) {
			r.add(record.Sent, 0, s, uint64(i+1), due, due, 100)
			r.add(record.Acked, 0, s, uint64(i+1), 0, due+ms, 100)
			if away := due%(2000*ms) < 500*ms && due >= 2000*ms && due < 4500*ms; !away {
				r.add(record.Received, 1, s, uint64(i+1), 0, due+2*ms, 100)
			}
		}
	}
	for _, at := range []int64{2000 * ms, 4000 * ms} {
		r.event(at-ms, record.FaultOnset, "restart of the bridge")
		r.event(at, record.Disconnected, refillViewer)
		r.event(at+300*ms, record.FaultEnd, "restart of the bridge")
		r.event(at+400*ms, record.Connected, refillViewer)
		r.event(at+450*ms, record.Subscribed, refillViewer)
	}
	r.event(6001*ms, record.WindowClose, "refill")
	r.event(7000*ms, record.DrainEnd, "refill")
	r.event(7001*ms, record.Disconnected, refillViewer)
	return r
}

func TestLostFiltersAreJudged(t *testing.T) {
	drop := func(r *recording, from int64, streams ...uint32) {
		r.Records = slices.DeleteFunc(r.Records, func(one record.Record) bool {
			return one.Kind == record.Received && one.At > from && (len(streams) == 0 || slices.Contains(streams, one.Stream))
		})
	}
	for _, c := range []struct {
		name    string
		tamper  func(*recording)
		cycles  int
		verdict reports.Verdict
		kind    string
		found   int
	}{
		{"every filter is back", func(*recording) {}, 2, reports.Pass, "", 0},
		{"F62 one filter is lost", func(r *recording) { drop(r, 4000*ms, 17) }, 2, reports.Fail, "filter-lost", 1},
		{"F61 all are lost", func(r *recording) { drop(r, 4000*ms) }, 2, reports.Fail, "filter-lost", 60},
		{"F62 one is lost for one restart", func(r *recording) {
			r.Records = slices.DeleteFunc(r.Records, func(one record.Record) bool {
				return one.Kind == record.Received && one.Stream == 3 && one.At > 2000*ms && one.At < 4000*ms
			})
		}, 2, reports.Fail, "filter-lost", 1},
		{"never back", func(r *recording) {
			r.Events = slices.DeleteFunc(r.Events, func(e record.Event) bool {
				return e.At > 4000*ms && e.At < 5000*ms && e.Subject == refillViewer
			})
			r.event(4400*ms, record.Disconnected, refillViewer)
			slices.SortStableFunc(r.Events, func(a, b record.Event) int { return int(a.At - b.At) })
		}, 2, reports.Fail, "never-back", 1},
		{"fewer restarts than planned", func(*recording) {}, 4, reports.Inconclusive, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := refilledLog()
			c.tamper(r)
			got := judgement(t, &r.Log, func(j *judged) { j.refilled("REC-05", refillViewer, c.cycles, 100, true) })
			if got.Verdict != c.verdict || len(got.Findings) != c.found {
				t.Fatalf("%s(%s) %s, %d findings", got.Verdict, got.Reason, got.Sentence, len(got.Findings))
			}
			for _, f := range got.Findings {
				if f.Kind != c.kind {
					t.Errorf("finding %+v", f)
				}
			}
		})
	}
}

func TestAStormIsJudged(t *testing.T) {
	back := func(j *judged) { j.weathered("REC-04", 1, 1) }
	if r := judgement(t, goodLog(), back); r.Verdict != reports.Pass {
		t.Errorf("all came back: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
	never := goodLog()
	never.Records = slices.DeleteFunc(never.Records, func(r record.Record) bool { return r.Kind == record.Received && r.Node == 3 && r.At >= backAt })
	if r := judgement(t, never, back); r.Verdict != reports.Fail || r.Findings[0].Kind != "never-back" {
		t.Errorf("F63 one never came back: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
	late := goodLog()
	for i := range late.Records {
		if r := &late.Records[i]; r.Kind == record.Received && r.Node == 3 && r.At >= backAt {
			r.At += int64(7 * time.Second)
		}
	}
	if r := judgement(t, late, back); r.Verdict != reports.Fail {
		t.Errorf("F63 one came back late: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// A sawtooth of a collector must not look like a leak, and a leak must not hide
// in it.
func TestMemoryIsJudged(t *testing.T) {
	saw := func(leak float64, n int) (all []harness.Usage) { // KiB/s; a tooth of 8 MiB each 300 ms
		for i := range n {
			at := int64(i) * 50 * ms
			tooth := float64(at%(300*ms)) / float64(300*ms) * 8192
			all = append(all, harness.Usage{At: at, RSS: uint64((40960 + tooth + leak*time.Duration(at).Seconds()) * 1024)})
		}
		return all
	}
	for _, c := range []struct {
		name    string
		usage   []harness.Usage
		verdict reports.Verdict
		says    string
	}{
		{"level", saw(0, 80), reports.Pass, "bounds 0.00 and 0.00 KiB/s"},
		{"a small leak, below the limit", saw(100, 80), reports.Pass, "bounds 100 and 100 KiB/s"},
		{"one that is smaller still", saw(0.74, 80), reports.Pass, "bounds 0.74 and 0.74 KiB/s"},
		{"F55 a leak of 8 MiB/s", saw(8192, 80), reports.Fail, "bounds 8192 and 8192 KiB/s"},
		{"F55 in the half that was looked at", saw(8192, 40), reports.Fail, "bounds 6242"},
		{"only half was looked at", saw(100, 40), reports.Inconclusive, ""},
		{"too few looks", saw(0, 10), reports.Inconclusive, ""},
		{"nobody looked", nil, reports.Inconclusive, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := stalled()
			r.Events = slices.DeleteFunc(r.Events, func(e record.Event) bool { return e.Kind == record.WindowOpen || e.Kind == record.WindowClose })
			r.event(0, record.WindowOpen, "soak")
			r.event(4000*ms, record.WindowClose, "soak")
			got := judgedWith(t, r, c.usage, func(j *judged) { j.level("RES-01") })
			if figure := fmt.Sprintf("%+v", got.Measurement); got.Verdict != c.verdict || !strings.Contains(figure, c.says) {
				t.Errorf("%s(%s) %s, of %s", got.Verdict, got.Reason, got.Sentence, figure)
			}
		})
	}
}

func TestGhostsAreJudged(t *testing.T) {
	good := takeoverFacts{Tried: true, Closed: true, After: time.Millisecond, Second: 9, Digest: 4711}
	with := func(change func(*takeoverFacts)) takeoverFacts {
		f := good
		change(&f)
		return f
	}
	heard := refilledLog()
	heard.Index.Nodes = append(heard.Index.Nodes, record.Node{Name: "witness", Role: "witness"})
	heard.Records = append(heard.Records, record.Record{Kind: record.Witnessed, Node: 2, Stream: 0, At: 5000 * ms, Digest: 4711, Flags: record.FlagCorrupt})
	for _, c := range []struct {
		name    string
		log     *recording
		facts   takeoverFacts
		verdict reports.Verdict
		kind    string
	}{
		{"the first is over", refilledLog(), good, reports.Pass, ""},
		{"F64 the first stays", refilledLog(), with(func(f *takeoverFacts) { f.Closed = false }), reports.Fail, "ghost"},
		{"F64 the first is served", refilledLog(), with(func(f *takeoverFacts) { f.Served = 3 }), reports.Fail, "ghost-served"},
		{"F64 the first is heard", heard, good, reports.Fail, "ghost-heard"},
		{"too late", refilledLog(), with(func(f *takeoverFacts) { f.After = 2 * time.Second }), reports.Fail, ""},
		{"nobody is served", refilledLog(), with(func(f *takeoverFacts) { f.Second = 0 }), reports.Inconclusive, ""},
		{"not tried", refilledLog(), takeoverFacts{}, reports.Inconclusive, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := judgement(t, &c.log.Log, func(j *judged) { j.taken("REC-06", c.facts) })
			if got.Verdict != c.verdict {
				t.Fatalf("%s(%s) %s", got.Verdict, got.Reason, got.Sentence)
			}
			if c.kind != "" && (len(got.Findings) != 1 || got.Findings[0].Kind != c.kind) {
				t.Errorf("findings %+v", got.Findings)
			}
		})
	}
}

// calm is the good recording without the cut of viewer-02 and what follows from it.
func calm() *record.Log {
	log := goodLog()
	log.Events = slices.DeleteFunc(log.Events, func(e record.Event) bool { return e.At == cutAt || e.At == backAt })
	return log
}

func TestAStepOfTheClockIsJudged(t *testing.T) {
	step := func(j *judged) { j.steady("RES-06", "effect of the step/effects of the step") }
	if r := judgement(t, calm(), step); r.Verdict != reports.Pass {
		t.Errorf("nothing happened: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
	if r := judgement(t, goodLog(), step); r.Verdict != reports.Fail || r.Findings[0].Kind != "session-ended" {
		t.Errorf("F68 a session ended: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
	lossy := calm()
	remove(lossy, where(lossy, 2, 10*int64(time.Second), 5))
	if r := judgement(t, lossy, step); r.Verdict != reports.Fail {
		t.Errorf("F68 a message was lost: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
	// That nothing happened is no wonder where the clock never stepped.
	for name, c := range map[string]struct {
		facts clockFacts
		want  reports.Verdict
	}{
		"seen":             {clockFacts{Offsets: []time.Duration{0, time.Hour + 2*time.Second, -time.Second}}, reports.Pass},
		"a hook for show":  {clockFacts{Offsets: []time.Duration{0, time.Second, 0}}, reports.Inconclusive},
		"never set back":   {clockFacts{Offsets: []time.Duration{0, time.Hour, time.Hour}}, reports.Inconclusive},
		"it does not tell": {clockFacts{Unknown: "no page tells it"}, reports.Inconclusive},
		"it died":          {clockFacts{Offsets: []time.Duration{0, time.Hour}}, reports.Inconclusive},
		// What was seen before the kernel refused stays seen, and proves too little.
		"nobody may step it": {clockFacts{Offsets: []time.Duration{0}, Refused: "the kernel lets nobody change its vDSO"}, reports.Inconclusive},
		"nor set it back":    {clockFacts{Offsets: []time.Duration{0, time.Hour}, Refused: "the kernel lets nobody change its vDSO"}, reports.Inconclusive},
	} {
		r := judgement(t, calm(), func(j *judged) {
			j.unmet = c.facts.unseen(1)
			step(j)
		})
		if r.Verdict != c.want {
			t.Errorf("%s: %s(%s) %s", name, r.Verdict, r.Reason, r.Sentence)
		}
		if c.want == reports.Inconclusive && !strings.Contains(r.Sentence, "a hook stepClock") {
			t.Errorf("%s: it does not say what would cure it: %s", name, r.Sentence)
		}
	}
}
