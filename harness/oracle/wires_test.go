package oracle

import (
	"testing"
)

// What screens showed is held against what a wire carried: each way to be wrong
// is one of its own, and what nobody could have shown is held against nobody.
func TestCarriedHoldsScreensAgainstWires(t *testing.T) {
	wire := Wire{Device: "d", Serial: "SN", Spoken: []Spoken{
		{First: 1, Last: 5, Whole: true}, {First: 6, Last: 6}, {First: 7, Last: 10, Whole: true}, // 6 was damaged
		{First: 11, Last: 12, Opening: 1},              // while it was unplugged
		{First: 13, Last: 20, Whole: true, Opening: 2}, // the driver came in time for 15
		{First: 1, Last: 4, Whole: true, Opening: 3},   // power came back
	}}
	good := [][2]uint64{{1, 5}, {7, 10}, {15, 20}, {1, 4}}
	for name, c := range map[string]struct {
		broker, viewer         [][2]uint64
		serials                []string
		missing, again, madeUp int64
		unpublished            int64
		cut                    bool
	}{
		"all of it":                     {broker: good, viewer: good},
		"one lost":                      {broker: good, viewer: [][2]uint64{{1, 3}, {5, 5}, {7, 10}, {15, 20}, {1, 4}}, missing: 1},
		"one twice":                     {broker: good, viewer: [][2]uint64{{1, 5}, {5, 5}, {7, 10}, {15, 20}, {1, 4}}, again: 1},
		"an older one after the seam":   {broker: good, viewer: [][2]uint64{{1, 5}, {7, 10}, {15, 20}, {20, 20}, {1, 4}}, again: 1},
		"two change places":             {broker: good, viewer: [][2]uint64{{1, 5}, {7, 10}, {15, 16}, {18, 18}, {17, 17}, {19, 20}, {1, 4}}, missing: 1, again: 1},
		"a damaged one is shown":        {broker: good, viewer: [][2]uint64{{1, 10}, {15, 20}, {1, 4}}, madeUp: 1},
		"one of the time without port":  {broker: good, viewer: [][2]uint64{{1, 5}, {7, 11}, {15, 20}, {1, 4}}, madeUp: 1},
		"nobody said it":                {broker: good, viewer: [][2]uint64{{1, 5}, {7, 10}, {15, 20}, {1, 4}, {99, 99}}, madeUp: 1},
		"nothing is shown":              {broker: good, viewer: nil, missing: 19},
		"another device":                {broker: good, viewer: good, serials: []string{"SN", "OTHER"}, madeUp: 1},
		"the driver lost one":           {broker: [][2]uint64{{1, 2}, {4, 5}, {7, 10}, {15, 20}, {1, 4}}, viewer: [][2]uint64{{1, 2}, {4, 5}, {7, 10}, {15, 20}, {1, 4}}, unpublished: 1},
		"the witness missed one":        {broker: [][2]uint64{{1, 2}, {4, 5}, {7, 10}, {15, 20}, {1, 4}}, viewer: good, unpublished: 1},
		"the broker had it twice":       {broker: [][2]uint64{{1, 5}, {5, 5}, {7, 10}, {15, 20}, {1, 4}}, viewer: [][2]uint64{{1, 5}, {5, 5}, {7, 10}, {15, 20}, {1, 4}}, unpublished: 1},
		"more than is kept":             {broker: good, viewer: good, cut: true, unpublished: 1},
		"a screen of endless numbers":   {broker: good, viewer: [][2]uint64{{1, 5}, {7, 10}, {15, 20}, {1, 4}, {1 << 40, 1 << 60}}, madeUp: 1},
		"what lies before is not owed":  {broker: [][2]uint64{{3, 5}, {7, 10}, {18, 20}, {2, 4}}, viewer: [][2]uint64{{3, 5}, {7, 10}, {18, 20}, {2, 4}}},
		"nor what a broker never began": {broker: [][2]uint64{{1, 5}, {7, 10}}, viewer: [][2]uint64{{1, 5}, {7, 10}}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.serials == nil {
				c.serials = []string{"SN"}
			}
			got := Carried(Options{Requirement: "HW-01"}, []Wire{wire}, map[string]map[string]Screened{
				"broker": {"d": {Lines: c.broker, Serials: []string{"SN"}}}, "v": {"d": {Lines: c.viewer, Serials: c.serials, Cut: c.cut}},
			}, "broker")
			if got.Missing != c.missing || got.Again != c.again || got.MadeUp != c.madeUp || got.Unpublished != c.unpublished || got.Harm != c.missing+c.again+c.madeUp {
				t.Errorf("%+v", got)
			}
			confirmed := int64(0)
			for _, f := range got.Findings {
				if f.Requirement != "HW-01" || f.Detail == "" {
					t.Errorf("finding %+v", f)
				}
				if f.Confirmed {
					confirmed++
				}
			}
			if confirmed != got.Harm {
				t.Errorf("%d of %d harms are findings", confirmed, got.Harm)
			}
		})
	}
}
