package sidebyside

import (
	"fmt"
	"path/filepath"

	"plumbline/harness/record"
	"plumbline/reports"
)

// maxFile bounds what is read of a comparison: it holds figures only.
const maxFile = 16 << 20

// Read reads the comparison that Run left in a folder. The figures over all rounds
// are made anew from the parts. Errors wrap ErrUsage.
func Read(dir string) (*reports.SideBySide, error) {
	path := filepath.Join(dir, File)
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("sidebyside: %w: %q %s", ErrUsage, path, fmt.Sprintf(format, args...))
	}
	var c reports.SideBySide
	if err := record.ReadEvidence(path, maxFile, reports.SideBySideFormat, &c); err != nil {
		return nil, fmt.Errorf("sidebyside: %w: %w", ErrUsage, err)
	}
	if len(c.Systems) < 2 || len(c.Parts) == 0 || !(c.Load.Rate > 0) || !(c.Load.Calm > 0) {
		return nil, refuse("is damaged: it compares %d systems in %d parts", len(c.Systems), len(c.Parts))
	}
	for i, p := range c.Parts {
		if p.System < 0 || p.System >= len(c.Systems) {
			return nil, refuse("is damaged: part %d is of system %d, and there are %d", i+1, p.System+1, len(c.Systems))
		}
	}
	Summarise(&c)
	return &c, nil
}
