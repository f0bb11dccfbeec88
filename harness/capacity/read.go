package capacity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"

	"plumbline/harness/record"
	"plumbline/reports"
)

// maxFile bounds what is read of a capacity: it holds figures only.
const maxFile = 16 << 20

// Read reads the capacity that Climb left in a folder. Growth and projections are made
// anew from the steps. Errors wrap ErrUsage.
func Read(dir string) (*reports.Capacity, error) {
	path := filepath.Join(dir, File)
	text, err := record.ReadPlain(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("capacity: %w: %w", ErrUsage, err)
	}
	var c reports.Capacity
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	switch err := dec.Decode(&c); {
	case err != nil:
		return nil, fmt.Errorf("capacity: %w: %q is damaged: %w", ErrUsage, path, err)
	case c.Format != reports.CapacityFormat:
		return nil, fmt.Errorf("capacity: %w: %q has format %q, this program reads %q", ErrUsage, path, c.Format, reports.CapacityFormat)
	case len(c.Steps) == 0:
		return nil, fmt.Errorf("capacity: %w: %q is damaged: it has no step", ErrUsage, path)
	}
	Model(&c)
	return &c, nil
}
