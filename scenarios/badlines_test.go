package scenarios

import (
	"io"
	"slices"
	"testing"
	"time"

	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// unharmed judges REC-07 over a recording, by a profile that asks for it, after
// prepare; once says that the system claims to deliver once.
func unharmed(t *testing.T, log *record.Log, once bool, prepare func(*judged)) reports.Result {
	t.Helper()
	p, err := spec.Catalogue().Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	c, err := spec.CaseOf(p, spec.Scenario{ID: "badlines"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := oracle.Index(log)
	if err != nil {
		t.Fatal(err)
	}
	j := &judged{Case: c, history: h, base: oracle.Options{BrokerInside: true}, health: goodRig}
	prepare(j)
	j.unharmed("REC-07", once, 1000)
	return only(t, c)
}

func asItIs(*judged) {}

func TestHarmOfBadLinesIsFailed(t *testing.T) {
	const middle = 10 * int64(time.Second)
	twice := func(l *record.Log) {
		again := l.Records[where(l, 2, middle, 5)]
		again.At += int64(time.Millisecond)
		l.Records = append(l.Records, again)
	}
	for name, c := range map[string]struct {
		tamper func(*record.Log)
		once   bool
		kind   string // of the finding; "" when it must pass
	}{
		"no harm":                           {func(*record.Log) {}, true, ""},
		"a loss":                            {func(l *record.Log) { remove(l, where(l, 2, middle, 5)) }, false, "lost"},
		"another order":                     {func(l *record.Log) { swap(l, where(l, 2, middle, 5)) }, false, "reordered"},
		"damage":                            {func(l *record.Log) { l.Records[where(l, 2, middle, 5)].Flags |= record.FlagCorrupt }, false, "corrupt"},
		"twice, where once is claimed":      {twice, true, "duplicate"},
		"twice, where the broker is inside": {twice, false, ""}, // the device may have sent it twice
	} {
		log := goodLog()
		c.tamper(log)
		r := unharmed(t, log, c.once, asItIs)
		if c.kind == "" {
			if r.Verdict != reports.Pass {
				t.Errorf("%s: %s(%s) %s", name, r.Verdict, r.Reason, r.Sentence)
			}
			continue
		}
		if r.Verdict != reports.Fail || !slices.ContainsFunc(r.Findings, func(f reports.Finding) bool { return f.Kind == c.kind }) {
			t.Errorf("%s: %s(%s) %s, %+v", name, r.Verdict, r.Reason, r.Sentence, r.Findings)
		}
	}
	// A broker of its own shows what it passed on: then twice is harm.
	log := goodLog()
	twice(log)
	if r := unharmed(t, log, false, func(j *judged) { j.base.BrokerInside = false }); r.Verdict != reports.Fail {
		t.Errorf("twice, though the broker passed it on once: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// Lines that were hardly touched prove nothing.
func TestFaultsThatDidNothingProveNothing(t *testing.T) {
	ends := func(fired ...string) *record.Log {
		log := goodLog()
		for i, n := range fired {
			e := record.Event{At: int64(i + 1), Kind: record.FaultEnd, Subject: "line", Fields: map[string]string{}}
			if n != "" {
				e.Fields["fired"] = n
			}
			log.Events = append(log.Events, e)
		}
		return log
	}
	for name, c := range map[string]struct {
		log  *record.Log
		want reports.Verdict
	}{
		"all fired":             {ends("3", "1", "4"), reports.Pass},
		"half fired":            {ends("3", "0", "0", "7", ""), reports.Pass},
		"fewer than half fired": {ends("3", "0", "0", "", ""), reports.Inconclusive},
		"too few were applied":  {ends("3"), reports.Inconclusive},
	} {
		r := unharmed(t, c.log, true, func(j *judged) { j.disturbed(3) })
		if r.Verdict != c.want || c.want == reports.Inconclusive && r.Reason != reports.ReasonSamples {
			t.Errorf("%s: %s(%s) %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
}

// No fault of the serial line is over before the device has said a whole line,
// whatever the seed draws and however shortly faults are held.
func TestEveryFaultOfTheSerialLineHasSomethingToActOn(t *testing.T) {
	line := 150 * time.Second * 10 / wireBaud // longer than any of a node, at ten bits a byte
	loads := map[string]profile.Load{"prove": {Cycles: 80, Hold: 200 * time.Millisecond}}
	for _, name := range profile.Names() {
		p, err := spec.Catalogue().Load(name)
		if err != nil {
			t.Fatal(err)
		}
		loads[name] = p.Loads["badlines"]
	}
	wire := fault.NewSerial(io.Discard, fault.SerialOptions{})
	faults := []fault.Fault{wire.NoiseFault(0.05, 1), wire.SplitFault(7, 3*time.Millisecond, 1), wire.StallFault()}
	for name, l := range loads {
		for seed := range uint64(200) {
			steps, err := fault.Plan(seed+1, faults, l.Cycles, time.Duration(l.Cycles)*l.Hold*3/2, l.Hold)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				if s.Hold < serialPeriod+line {
					t.Fatalf("%s, seed %d: %s, and the device says a line every %s that takes %s", name, seed+1, s, serialPeriod, line)
				}
			}
		}
	}
}
