package harness

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"plumbline/harness/load"
	"plumbline/reports"
)

// DataVariable names the environment variable that points to a folder with
// recordings of real devices.
const DataVariable = "PLUMBLINE_DATA"

// dataFile returns a recording of a real receiver from the folder named by
// DataVariable, "" when there is none.
func dataFile() string {
	root := os.Getenv(DataVariable)
	if root == "" {
		return ""
	}
	files, err := filepath.Glob(filepath.Join(root, "nmea", "*ublox*nmea.log"))
	if err != nil || len(files) == 0 {
		return ""
	}
	return files[0]
}

type sources struct{ scheduled []load.Source }

func openSources(ctx context.Context, b *Bench, specs []DeviceSpec) (*sources, error) { return nil, nil }
func (s *sources) close() error                                                       { return nil }
func (s *sources) run(ctx context.Context, b *Bench, length time.Duration) error      { return nil }
func (s *sources) describe() []reports.Device                                         { return nil }
