package scenarios

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// clusterRun is a recording of two viewers and two devices at two bridges: a message of each every 10 ms for 6 s, shown by both
// viewers after 1 ms. The bridge "left" is killed at 2 s and back at 3 s: its device says nothing for that time, its viewer is shown
// after half a second what it missed.
func clusterRun() (*recording, clusterFacts) {
	r := &recording{}
	r.Index = record.Index{
		Nodes: []record.Node{
			{Name: "publisher d1", Role: "publisher"}, {Name: "publisher d2", Role: "publisher"},
			{Name: "v1", Role: "viewer", Filters: []string{harness.AllTopics}}, {Name: "v2", Role: "viewer", Filters: []string{harness.AllTopics}},
		},
		Streams: []record.Stream{{Device: "d1", Topic: harness.Topic("d1"), QoS: 1}, {Device: "d2", Topic: harness.Topic("d2"), QoS: 1}},
	}
	at := func(name, key, place string, ns int64) {
		r.Events = append(r.Events, record.Event{At: ns, Kind: record.Connected, Subject: name, Fields: map[string]string{key: place}})
	}
	at("publisher d1", "address", "127.0.0.1:1", 0)
	at("publisher d2", "address", "127.0.0.1:2", 0)
	for viewer, node := range map[string]string{"v1": "left", "v2": "right"} {
		at(viewer, "node", node, 0)
		r.event(0, record.Subscribed, viewer)
	}
	r.event(1*ms, record.WindowOpen, "node-killed")
	r.event(2000*ms, record.FaultOnset, "SIGKILL of left")
	r.event(2001*ms, record.Disconnected, "v1")
	at("v1", "node", "right", 2500*ms)
	r.event(2500*ms, record.Subscribed, "v1")
	r.event(3000*ms, record.FaultEnd, "SIGKILL of left")
	for i := range int64(600) {
		due, seq := (i+1)*10*ms, uint64(i+1)
		for device := range uint16(2) {
			if device == 0 && due >= 2000*ms && due < 3000*ms {
				continue // it could not be sent
			}
			r.add(record.Sent, device, uint32(device), seq, due, due, 50)
			r.add(record.Acked, device, uint32(device), seq, 0, due+ms/2, 50)
			shown := due + ms
			if shown > 2000*ms && shown < 2500*ms {
				shown = 2500 * ms
			}
			r.add(record.Received, 2, uint32(device), seq, 0, shown, 50)
			r.add(record.Received, 3, uint32(device), seq, 0, due+ms, 50)
		}
	}
	r.event(6001*ms, record.WindowClose, "node-killed")
	r.event(7000*ms, record.DrainEnd, "node-killed")
	slices.SortStableFunc(r.Events, func(a, b record.Event) int { return int(a.At - b.At) })
	return r, clusterFacts{Struck: map[string]string{"SIGKILL of left": "left"}, Brokers: map[string]string{"127.0.0.1:1": "left", "127.0.0.1:2": "right"}, Made: 1}
}

// verdicts judges the recording as the scenario "node-killed" does, by limits of 600 ms and 100 ms.
func verdicts(t *testing.T, r *recording, seen clusterFacts) map[string]reports.Result {
	t.Helper()
	return judgedBy(t, r, "cluster", map[string]time.Duration{"SCA-01": 0, "SCA-12": 600 * time.Millisecond, "SCA-13": 100 * time.Millisecond}, func(j *judged) {
		all := faultsOf(j.history.Log())
		j.costless("SCA-01", j.renewed(all, seen.Renewals)...)
		j.freshSoon("SCA-12", all, true)
		j.spared("SCA-13", all, seen)
	})
}

// judgedBy judges a recording by a profile with other limits, of which each takes one sample or two.
func judgedBy(t *testing.T, r *recording, name string, limits map[string]time.Duration, judge func(*judged)) map[string]reports.Result {
	t.Helper()
	p, err := spec.Catalogue().Load(name)
	if err != nil {
		t.Fatal(err)
	}
	for id, limit := range limits {
		l := p.Limits[id]
		l.Samples, l.Time = max(min(l.Samples/5, 2), 1), limit
		p.Limits[id] = l
	}
	c, err := spec.CaseOf(p, spec.Scenario{ID: name, Requirements: slices.Sorted(maps.Keys(limits))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := oracle.Index(&r.Log)
	if err != nil {
		t.Fatal(err)
	}
	judge(&judged{Case: c, history: h, base: oracle.Options{BrokerInside: true}, health: reports.RigHealth{SlipP99: reports.Float(0.1)}})
	by := map[string]reports.Result{}
	for _, result := range c.Results() {
		by[result.Requirement] = result
	}
	return by
}

// unseen takes from the viewer v1 what d2 sent between two numbers.
func (r *recording) unseen(after, before uint64) {
	r.Records = slices.DeleteFunc(r.Records, func(x record.Record) bool {
		return x.Kind == record.Received && x.Node == 2 && x.Stream == 1 && x.Seq > after && x.Seq < before
	})
}

// late shows a viewer at until what it was shown since from.
func (r *recording) late(node uint16, from, until int64) {
	for i, x := range r.Records {
		if x.Kind == record.Received && x.Node == node && x.At > from && x.At < until {
			r.Records[i].At = until
		}
	}
}

// blind takes from the viewer v1 all that it was shown since from.
func (r *recording) blind(from int64) {
	r.Records = slices.DeleteFunc(r.Records, func(x record.Record) bool { return x.Kind == record.Received && x.Node == 2 && x.At > from })
}

// sentenced holds verdicts against those wanted, PASS where none is named, and looks for a finding of a kind, unless that is "".
func sentenced(t *testing.T, got map[string]reports.Result, ids []string, want map[string]reports.Verdict, kind string) {
	t.Helper()
	var kinds []string
	for _, id := range ids {
		verdict := reports.Pass
		if other, told := want[id]; told {
			verdict = other
		}
		if got[id].Verdict != verdict {
			t.Errorf("%s is %s, want %s: %s", id, got[id].Verdict, verdict, got[id].Sentence)
		}
		for _, f := range got[id].Findings {
			kinds = append(kinds, f.Kind)
		}
	}
	if kind != "" && !slices.Contains(kinds, kind) {
		t.Errorf("findings are %s, want %q", strings.Join(kinds, ", "), kind)
	}
}

func TestClusterIsJudged(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(r *recording, seen *clusterFacts)
		want  map[string]reports.Verdict // where not PASS
		kind  string                     // of a finding
	}{
		{name: "sound", spoil: func(*recording, *clusterFacts) {}},
		{"a batch is dropped and not healed", func(r *recording, _ *clusterFacts) { r.unseen(210, 220) }, map[string]reports.Verdict{"SCA-01": reports.Fail}, "lost"},
		{"a batch comes twice", func(r *recording, _ *clusterFacts) {
			for _, x := range slices.Clone(r.Records) {
				if x.Kind == record.Received && x.Node == 3 && x.Stream == 1 && x.Seq == 300 {
					x.At += ms / 4
					r.Records = append(r.Records, x)
				}
			}
		}, map[string]reports.Verdict{"SCA-01": reports.Fail}, "duplicate"},
		{"a viewer is back late", func(r *recording, _ *clusterFacts) { r.late(2, 2000*ms, 2700*ms) }, map[string]reports.Verdict{"SCA-12": reports.Fail}, ""},
		{"a viewer never comes back", func(r *recording, _ *clusterFacts) { r.blind(2000 * ms) }, map[string]reports.Verdict{"SCA-01": reports.Fail, "SCA-12": reports.Fail}, "never-back"},
		{"who is elsewhere has to wait", func(r *recording, _ *clusterFacts) { r.late(3, 2100*ms, 2300*ms) }, map[string]reports.Verdict{"SCA-13": reports.Fail}, ""},
		{"what was on its way through the bridge is refused", func(r *recording, _ *clusterFacts) {
			r.Records = slices.DeleteFunc(r.Records, func(x record.Record) bool {
				return x.Stream == 0 && x.Seq >= 190 && x.Seq < 200 && (x.Kind == record.Acked || x.Kind == record.Received)
			})
		}, nil, ""},
		{"no viewer was elsewhere", func(r *recording, seen *clusterFacts) {
			for _, e := range r.Events {
				if e.Kind == record.Connected && e.Fields["node"] != "" {
					e.Fields["node"] = "left"
				}
			}
		}, map[string]reports.Verdict{"SCA-13": reports.Inconclusive}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, seen := clusterRun()
			c.spoil(r, &seen)
			slices.SortStableFunc(r.Records, func(a, b record.Record) int { return int(a.At - b.At) })
			sentenced(t, verdicts(t, r, seen), []string{"SCA-01", "SCA-12", "SCA-13"}, c.want, c.kind)
		})
	}
}

// TestStormIsJudged: of a crowd of one that was cut off at 2 s and whose balancer is there again at 3 s, beside a viewer whom that does not
// concern, each thing that may go wrong fails.
func TestStormIsJudged(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(r *recording, facts *crowdFacts)
		want  map[string]reports.Verdict // where not PASS
		kind  string                     // of a finding
	}{
		{name: "sound", spoil: func(*recording, *crowdFacts) {}},
		{"what was sent meanwhile is left out", func(r *recording, _ *crowdFacts) { r.unseen(210, 220) }, map[string]reports.Verdict{"SCA-14": reports.Fail}, "lost"},
		{"it is shown again what it had", func(r *recording, _ *crowdFacts) {
			for _, x := range slices.Clone(r.Records) {
				if x.Kind == record.Received && x.Node == 2 && x.Stream == 1 && x.Seq == 190 {
					x.At = 2500 * ms
					r.Records = append(r.Records, x)
				}
			}
		}, map[string]reports.Verdict{"SCA-14": reports.Fail}, "duplicate"},
		{"one of the crowd is late", func(r *recording, _ *crowdFacts) { r.late(2, 3000*ms, 3700*ms) }, map[string]reports.Verdict{"SCA-15": reports.Fail}, ""},
		{"one of the crowd never comes back", func(r *recording, _ *crowdFacts) { r.blind(2000 * ms) }, map[string]reports.Verdict{"SCA-14": reports.Fail, "SCA-15": reports.Fail}, "never-back"},
		{"who was at the bridge itself has to wait while the crowd comes back", func(r *recording, _ *crowdFacts) { r.late(3, 3100*ms, 3300*ms) }, map[string]reports.Verdict{"SCA-16": reports.Fail}, ""},
		{"who was at the bridge itself has to wait when all are back", func(r *recording, _ *crowdFacts) { r.late(3, 4100*ms, 4300*ms) }, nil, ""},
		{"nobody is at a bridge itself", func(_ *recording, facts *crowdFacts) { facts.Beside = nil }, map[string]reports.Verdict{"SCA-16": reports.NotApplicable}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := clusterRun()
			facts := crowdFacts{Beside: []string{"v2"}, Storms: []crowdStorm{{Fresh: 3500 * ms}}}
			c.spoil(r, &facts)
			slices.SortStableFunc(r.Records, func(a, b record.Record) int { return int(a.At - b.At) })
			sentenced(t, stormVerdicts(t, r, facts), []string{"SCA-14", "SCA-15", "SCA-16"}, c.want, c.kind)
		})
	}
}

// stormVerdicts judges a recording as the scenario "reconnect-storm" does, by limits of 600 ms and 100 ms.
func stormVerdicts(t *testing.T, r *recording, facts crowdFacts) map[string]reports.Result {
	t.Helper()
	return judgedBy(t, r, "crowd", map[string]time.Duration{"SCA-14": 0, "SCA-15": 600 * time.Millisecond, "SCA-16": 100 * time.Millisecond}, func(j *judged) {
		all := faultsOf(j.history.Log())
		j.costless("SCA-14")
		j.crowdFresh("SCA-15", all, facts)
		j.besideSpared("SCA-16", all, facts)
	})
}

// TestRenewalIsJudged: of a certificate that is renewed at 2 s, and seen to be in force at 2.4 s, each thing that may go wrong fails.
func TestRenewalIsJudged(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(r *recording, n *renewal)
		want  string // kind of the one finding
	}{
		{name: "sound", spoil: func(*recording, *renewal) {}},
		{"the old one is shown again", func(_ *recording, n *renewal) { n.Shown[3].Serial = "a" }, "old-certificate"},
		{"it never comes into force", func(_ *recording, n *renewal) { n.Shown, n.InForce = n.Shown[:1], false }, "old-certificate"},
		{"a handshake fails", func(_ *recording, n *renewal) { n.Shown[2].Serial, n.Shown[2].Error = "", "connection reset by peer" }, "refused"},
		{"a viewer is cut off", func(r *recording, _ *renewal) { r.event(2500*ms, record.Disconnected, "v2") }, "cut-off"},
		{"a viewer goes when all is over", func(r *recording, _ *renewal) { r.event(6500*ms, record.Disconnected, "v2") }, ""},
		{"somebody else is cut off", func(r *recording, _ *renewal) { r.event(2500*ms, record.Disconnected, "publisher d1") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, seen := clusterRun()
			r.Events = slices.DeleteFunc(r.Events, func(e record.Event) bool { return e.Kind == record.Disconnected })
			n := renewal{Serial: "b", InForce: true, Shown: []shownCert{
				{At: 2100 * ms, Address: "front", Serial: "a"}, {At: 2400 * ms, Address: "front", Serial: "b"},
				{At: 2500 * ms, Address: "front", Serial: "b", Settled: true}, {At: 2600 * ms, Address: "front", Serial: "b", Settled: true},
			}}
			c.spoil(r, &n)
			seen.Renewals = []renewal{n}
			slices.SortStableFunc(r.Events, func(a, b record.Event) int { return int(a.At - b.At) })
			got := verdicts(t, r, seen)["SCA-01"]
			var kinds []string
			for _, f := range got.Findings {
				kinds = append(kinds, f.Kind)
			}
			want := reports.Pass
			if c.want != "" {
				want = reports.Fail
			}
			if got.Verdict != want || strings.Join(kinds, " ") != c.want {
				t.Errorf("%s with findings %q, want %s with %q: %s", got.Verdict, kinds, want, c.want, got.Sentence)
			}
		})
	}
}

func TestLongestDark(t *testing.T) {
	arrived := []stretch{{5, 1}, {12, 1}, {20, 9}, {31, 1}, {60, 1}}
	for _, c := range []struct {
		from, end int64
		want      stretch
		ended     bool
	}{
		{10, 15, stretch{20, 11}, true}, // what comes at 20 is older than the end
		{5, 11, stretch{5, 7}, true},
		{32, 40, stretch{32, 28}, true},
		{10, 60, stretch{31, 29}, false},
		{math.MaxInt64, math.MaxInt64, stretch{}, false},
	} {
		if got, ended := longestDark(arrived, c.from, c.end); got != c.want || ended != c.ended {
			t.Errorf("from %d to %d: %v, %v; want %v, %v", c.from, c.end, got, ended, c.want, c.ended)
		}
	}
}
