package simulated

import (
	"fmt"
	"time"

	"plumbline/devices"
)

// FleetOptions change a fleet; the zero value is useful.
type FleetOptions struct {
	Prefix string        // of the ids; "" = the kind's name
	Period time.Duration // of every twin; 0 = the kind's usual period
	Dither time.Duration // as in Options
	Kinds  []Kind        // in rotation; nil = the first five of Kinds()
}

// Fleet returns n twins, the kinds in rotation, each with a seed of its own
// drawn from seed and a phase within its period, so that they do not all speak
// at once. Ids are unique: "temperature-001" … It errs as New does.
func Fleet(n int, seed uint64, opts FleetOptions) ([]devices.Scheduled, error) {
	if n < 0 {
		return nil, fmt.Errorf("simulated: fleet of %d twins: must not be negative", n)
	}
	kinds := opts.Kinds
	if len(kinds) == 0 {
		kinds = rotation()
	}
	fleet := make([]devices.Scheduled, 0, n)
	for i := range n {
		kind := kinds[i%len(kinds)]
		prefix := opts.Prefix
		if prefix == "" {
			prefix = string(kind)
		}
		twin, err := New(kind, fmt.Sprintf("%s-%03d", prefix, i+1), devices.Mix(seed, uint64(i)+1),
			Options{Period: opts.Period, Dither: opts.Dither})
		if err != nil {
			return nil, err
		}
		fleet = append(fleet, twin)
	}
	return fleet, nil
}
