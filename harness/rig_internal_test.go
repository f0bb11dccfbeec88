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

// As many processes make a load as its devices take descriptors for, or as were asked for:
// never more than there are devices, and one where devices are opened or there is no program.
func TestGeneratorsOfAPlan(t *testing.T) {
	for _, c := range []struct {
		devices, asked, want int
		program              []string
		sources              int
	}{
		{devices: 0, want: 1, program: []string{"x"}},
		{devices: perGenerator, want: 1, program: []string{"x"}},
		{devices: perGenerator + 1, want: 2, program: []string{"x"}},
		{devices: 4 * perGenerator, want: 1},
		{devices: 10, asked: 3, want: 3, program: []string{"x"}},
		{devices: 2, asked: 3, want: 2, program: []string{"x"}},
		{devices: 10, asked: 3, want: 1, program: []string{"x"}, sources: 1},
	} {
		r, err := NewRig(Config{Profile: &profile.Profile{}, Dir: t.TempDir(), Generator: c.program, Generators: c.asked})
		if err != nil {
			t.Fatal(err)
		}
		plan := Plan{Load: profile.Load{Devices: c.devices}, Sources: make([]DeviceSpec, c.sources)}
		if got := r.generators(&plan); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
