package scenarios

import (
	"testing"

	"plumbline/harness/spec"
)

// A profile that asks for no p99.9 has no limit of 0 ms that could be drawn.
func TestOnlyLimitsOfTheProfileAreDrawn(t *testing.T) {
	for _, c := range []struct {
		profile string
		lines   []string
	}{{"smoke", []string{"LAT-01", "LAT-02"}}, {"ci", []string{"LAT-01", "LAT-02", "LAT-03"}}} {
		p, err := spec.Catalogue().Load(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		steady, err := spec.List(p, "steady")
		if err != nil {
			t.Fatal(err)
		}
		k, err := spec.CaseOf(p, steady[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		got := (&judged{Case: k}).lines()
		if len(got) != len(c.lines) {
			t.Errorf("%s: %+v, want %v", c.profile, got, c.lines)
		}
		for i, line := range got {
			if i < len(c.lines) && line.Requirement != c.lines[i] || !(line.Value > 0) {
				t.Errorf("%s: %+v, want %v", c.profile, got, c.lines)
			}
		}
	}
}
