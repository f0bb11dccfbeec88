package harness

import (
	"slices"
	"testing"

	"plumbline/harness/oracle"
	"plumbline/harness/profile"
)

// A noise floor that voided an attempt must not void every repetition as well.
func TestARepetitionGetsANoiseFloorOfItsOwn(t *testing.T) {
	r, err := NewRig(Config{Profile: &profile.Profile{}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		scenario string
		fresh    bool
	}{{"steady", true}, {"connect", false}, {"steady", true}, {"steady", true}, {"late", false}} {
		if _, _, err := r.folder(c.scenario); err != nil {
			t.Fatal(err)
		}
		before := r.floor
		if _, err := r.noiseFloor(t.Context(), c.scenario); err != nil {
			t.Fatal(err)
		}
		if fresh := r.floor != before; fresh != c.fresh {
			t.Errorf("opening %d, of %q: measured: %v, want %v", i+1, c.scenario, fresh, c.fresh)
		}
	}
}

// A stretch in which two processes did not run excuses nothing twice.
func TestUnionOfGaps(t *testing.T) {
	got := union([]oracle.Gap{{At: 50, Length: 10}, {At: 0, Length: 10}, {At: 5, Length: 10}, {At: 7, Length: 2}, {At: 15, Length: 1}, {At: 55, Length: 20}})
	if want := []oracle.Gap{{At: 0, Length: 16}, {At: 50, Length: 25}}; !slices.Equal(got, want) {
		t.Errorf("the union is %v, want %v", got, want)
	}
	if got := union([]oracle.Gap{}); got == nil || len(got) != 0 {
		t.Errorf("of nothing it is %v", got)
	}
}
