package scenarios

import (
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/reports"
)

// Another device that is taken for the one that was expected fails when something is
// shown of that one. A driver of the bench that says nothing of it, or opens one of
// two, leaves the question open.
func TestAnotherDeviceIsHeldAgainstDriversAndScreens(t *testing.T) {
	facts := func(shown uint64, said ...string) func(j *judged) {
		return func(j *judged) {
			var f identityFacts
			for range 50 {
				f.Silences = append(f.Silences, silence{Device: "left", Viewer: "viewer-01", What: "replaced by another device"})
			}
			f.Silences[7].Shown = shown
			for _, s := range said {
				f.Refusals = append(f.Refusals, portWord{Who: "left", Said: s, Must: []string{"usb:10c4:ea60:0001", "another device"}})
			}
			j.mistaken("HW-07", f)
		}
	}
	right := "another device is plugged in there: usb:10c4:ea60:0001"
	verdictsOf(t, "hardware", goodLog, []seeded{
		{defect: "none", judge: facts(0, right), verdict: reports.Pass},
		{defect: "a line is shown", judge: facts(1, right), verdict: reports.Fail, kind: "not-silent"},
		{defect: "the driver does not name it", judge: facts(0, right, "another device is plugged in there"), verdict: reports.Inconclusive, kind: "not-told"},
		{defect: "it was opened", judge: facts(0, ""), verdict: reports.Inconclusive, kind: "not-told"},
	})
}

// Lines of one device that are shown as those of another fail.
func TestLinesOfAnotherDeviceFail(t *testing.T) {
	facts := func(serials ...string) func(j *judged) {
		return func(j *judged) {
			roll := harness.Roll{Lines: [][2]uint64{{1, 5000}}, Serials: serials}
			j.carried("HW-06", wiresFacts{
				Wires: []oracle.Wire{{Device: "first", Serial: "A", Spoken: []oracle.Spoken{{First: 1, Last: 5000, Whole: true}}}},
				Shown: map[string]map[string]harness.Roll{"viewer-01": {"first": roll}, passedName: {"first": {Lines: roll.Lines, Serials: []string{"A"}}}},
			})
		}
	}
	verdictsOf(t, "hardware", goodLog, []seeded{
		{defect: "none", judge: facts("A"), verdict: reports.Pass},
		{defect: "lines of another", judge: facts("A", "B"), verdict: reports.Fail, kind: "made-up"},
	})
}

// What was said in an hour without a cable may not be shown, and an hour that did
// not pass proves nothing.
func TestAnHourWithoutACableLeavesNoTrace(t *testing.T) {
	facts := func(lines uint64, shown [][2]uint64, silences ...silence) func(j *judged) {
		return func(j *judged) {
			whole := [][2]uint64{{1, 500}, {501 + lines, 1000 + lines}}
			if shown == nil {
				shown = whole
			}
			j.untouched("HW-09", seamsFacts{
				Silences: silences, Periods: []time.Duration{time.Second},
				wiresFacts: wiresFacts{
					Wires: []oracle.Wire{{Device: "d", Serial: "A", Spoken: []oracle.Spoken{
						{First: 1, Last: 500, Whole: true}, {First: 501, Last: 500 + lines, Opening: 1}, {First: 501 + lines, Last: 1000 + lines, Whole: true, Opening: 2},
					}}},
					Shown: map[string]map[string]harness.Roll{"viewer-01": {"d": {Lines: shown, Serials: []string{"A"}}}, passedName: {"d": {Lines: whole, Serials: []string{"A"}}}},
				},
			})
		}
	}
	verdictsOf(t, "hardware", goodLog, []seeded{
		{defect: "none", judge: facts(3600, nil), verdict: reports.Pass},
		{defect: "a line of the hour", judge: facts(3600, [][2]uint64{{1, 501}, {4101, 4600}}), verdict: reports.Fail, kind: "made-up"},
		{defect: "a line before it is lost", judge: facts(3600, [][2]uint64{{1, 499}, {4101, 4600}}), verdict: reports.Fail, kind: "missing"},
		{defect: "something meanwhile", judge: facts(3600, nil, silence{Device: "d", Shown: 1}), verdict: reports.Fail, kind: "not-silent"},
		{defect: "a minute passed", judge: facts(60, nil), verdict: reports.Inconclusive},
	})
}

// Each of the cast is chosen by what only it is.
func TestNeighboursAreTheCastOfTheProcedure(t *testing.T) {
	nodes := map[string]bool{}
	for _, n := range neighbours {
		if nodes[n.adapter.Node] || !strings.HasPrefix(n.port, "usb:"+n.adapter.VID+":"+n.adapter.PID) {
			t.Errorf("%+v", n)
		}
		nodes[n.adapter.Node] = true
		switch byPlace := strings.Contains(n.port, "@"); {
		case byPlace && (n.adapter.Serial != "" || !strings.HasSuffix(n.port, "@"+n.adapter.Place) || !strings.HasPrefix(n.port, ambiguous)):
			t.Errorf("%+v is to be one of those alike", n)
		case !byPlace && !strings.HasSuffix(n.port, ":"+n.adapter.Serial):
			t.Errorf("%+v is not chosen by its serial number", n)
		}
	}
}
