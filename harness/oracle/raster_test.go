package oracle

import (
	"math"
	"strings"
	"testing"
	"time"

	"plumbline/harness/record"
)

// TestRaster has one fate in each slot of ten milliseconds.
func TestRaster(t *testing.T) {
	s := newStory("a", "b").viewer("v", "#").send(1, 2, 3, 4, 6).get("v", 1).get("v", 3, 3).get("v", 6, 4)
	s.add(record.Record{Kind: record.Blocked, Node: nodePublisher, Seq: 5, Due: due(5), At: due(5)})
	s.write(0, 7) // neither acknowledged nor witnessed: perhaps it never reached the broker
	s.sendOn(1, 1).getOn("v", 1, 1)
	raster := s.index(t).Raster("steady", 10*time.Millisecond, Options{})
	got := map[string]string{}
	for _, row := range raster.Rows {
		got[row.Device] = row.Cells
	}
	if raster.Scenario != "steady" || raster.Slot != 10*time.Millisecond || got["a"] != "oldrbou" || got["b"] != "o......" {
		t.Errorf("%+v", raster)
	}
}

// TestRasterAgreesWithIntegrity counts what only one of them shows.
func TestRasterAgreesWithIntegrity(t *testing.T) {
	h := frozen().index(t)
	raster := h.Raster("freeze", 0, Options{})
	if n := len(raster.Rows[0].Cells); n < 90 || n > rasterSlots+1 {
		t.Errorf("%d slots", n)
	}
	if bad := strings.Trim(raster.Rows[0].Cells, "o"); bad != "" || h.Integrity("freeze", Options{})[0].Lost != 0 {
		t.Errorf("a bridge that is late and loses nothing shows %q", bad)
	}
	if none := newStory().viewer("v", "#").index(t).Raster("x", 0, Options{}); len(none.Rows) != 0 {
		t.Errorf("no device has rows %+v", none.Rows)
	}
}

func TestRecovery(t *testing.T) {
	s := newStory("a").viewer("v", "#")
	s.event(0, record.WindowOpen, "w").event(due(100), record.WindowClose, "w").event(1, record.Subscribed, "v")
	s.event(due(10), record.FaultOnset, "cut").event(due(20), record.FaultEnd, "cut")
	s.event(due(11), record.Disconnected, "v").event(due(21), record.Connected, "v").event(due(22), record.Subscribed, "v", "recovered", "true")
	s.send(numbers(1, 50)...).get("v", numbers(1, 10)...).get("v", numbers(23, 50)...)
	s.event(due(60), record.FaultOnset, "cut").event(due(61), record.Disconnected, "v")
	got := s.index(t).Recovery("client", Options{}).Returns
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	if r := got[0]; r.Viewer != "v" || r.Fault != "cut" || r.Lost != time.Duration(due(11)) || r.Back != 100 || r.Subscribed != 110 || r.Fresh != 121 || !r.Recovered {
		t.Errorf("%+v", r)
	}
	if r := got[1]; !math.IsNaN(float64(r.Back)) || !math.IsNaN(float64(r.Fresh)) {
		t.Errorf("one that never came back: %+v", r)
	}
}

// TestBudget holds the published lines to the figure that the rule applies.
func TestBudget(t *testing.T) {
	u := Budget(OneHostUncertainty, 0, "one host")
	if one := toMillis(OneHostUncertainty); len(u.Components) != 4 || float64(u.Expanded) > one || float64(u.Expanded) < one-0.001 || float64(u.Applied) != one {
		t.Errorf("%+v, applied %v", u, OneHostUncertainty)
	}
	far := Budget(OneHostUncertainty, time.Millisecond, "agents")
	if len(far.Components) != 5 || math.Abs(float64(far.Expanded-u.Expanded)-1) > 1e-9 || math.Abs(float64(far.Applied-u.Applied)-1) > 1e-9 {
		t.Errorf("with agents %+v", far)
	}
}
