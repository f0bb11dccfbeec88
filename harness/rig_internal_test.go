package harness

import (
	"testing"

	"plumbline/harness/profile"
)

// A noise floor that voided an attempt must not void every repetition as well.
func TestARepetitionGetsANoiseFloorOfItsOwn(t *testing.T) {
	t.Parallel()
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
