package capacity

import (
	"fmt"
	"path/filepath"

	"plumbline/harness/record"
	"plumbline/reports"
)

// maxFile bounds what is read of a capacity: it holds figures only.
const maxFile = 16 << 20

// Read reads the capacity that Climb left in a folder. Costs, growth and projections are
// made anew from the steps. Errors wrap ErrUsage.
func Read(dir string) (*reports.Capacity, error) {
	path := filepath.Join(dir, File)
	var c reports.Capacity
	if err := record.ReadEvidence(path, maxFile, reports.CapacityFormat, &c); err != nil {
		return nil, fmt.Errorf("capacity: %w: %w", ErrUsage, err)
	}
	if len(c.Steps) == 0 {
		return nil, fmt.Errorf("capacity: %w: %q is damaged: it has no step", ErrUsage, path)
	}
	Model(&c)
	return &c, nil
}
