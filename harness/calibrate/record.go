package calibrate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"

	"plumbline/harness/record"
)

// Schema names the JSON form of a Record.
const Schema = "plumbline.calibration/v1"

// Record is one calibration of a rig.
type Record struct {
	Schema  string    `json:"schema"`
	Started time.Time `json:"started"`
	Rig     Rig       `json:"rig"`
	Rate    float64   `json:"rate_per_s"`
	Levels  []Level   `json:"levels"`
	Outside string    `json:"out_of_control,omitempty"` // why a control chart refused it; it then forms no limits
}

// Rig is what a calibration holds for. Neither host name nor user is in it.
type Rig struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Clock  string `json:"clock_source"`
}

// Level is what was measured at one delay of R0: by how much messages came later
// than intended plus the delay. All of it is the rig's own.
type Level struct {
	Delay time.Duration `json:"delay_ns"`
	N     int           `json:"n"`
	P50   time.Duration `json:"beyond_p50_ns"`
	P99   time.Duration `json:"beyond_p99_ns"`
	P999  time.Duration `json:"beyond_p999_ns"`
	Max   time.Duration `json:"beyond_max_ns"`
}

// ThisRig describes this machine. What cannot be found out is "unknown".
func ThisRig() Rig {
	r := Rig{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Clock: record.ClockSource()}
	if info, err := host.Info(); err == nil {
		r.Kernel = info.KernelVersion
	}
	if infos, err := cpu.Info(); err == nil && len(infos) > 0 {
		r.CPU = infos[0].ModelName
	}
	r.Kernel, r.CPU = cmp.Or(r.Kernel, "unknown"), cmp.Or(r.CPU, "unknown")
	return r
}

// String names what tells one rig from another.
func (r Rig) String() string {
	return fmt.Sprintf("%s/%s %s, %d × %s, clock %s", r.OS, r.Arch, r.Kernel, r.Cores, r.CPU, r.Clock)
}

// WriteFile writes the record as JSON.
func (r *Record) WriteFile(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // G306: evidence is for others to read
}

// decode reads one record strictly.
func decode(text []byte) (*Record, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	r := &Record{}
	if err := decoder.Decode(r); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one record")
	}
	return r, r.check()
}

func (r *Record) check() error {
	if r.Schema != Schema {
		return fmt.Errorf("schema %q, this program reads %q", r.Schema, Schema)
	}
	if len(r.Levels) == 0 {
		return errors.New("it holds no level")
	}
	for _, l := range r.Levels {
		if l.Delay < 0 || l.N < 1 || l.P50 < 0 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
			return fmt.Errorf("the figures at a delay of %v contradict each other", l.Delay)
		}
	}
	return nil
}

// Worst returns by how much messages came later than their delay at the quantile,
// at the worst of all levels: the next quantile that was measured above it, beyond
// the last that one. It is 0 of a nil record.
func (r *Record) Worst(quantile float64) (worst time.Duration) {
	if r == nil {
		return 0
	}
	for _, l := range r.Levels {
		at := l.P999
		switch {
		case quantile <= 0.5:
			at = l.P50
		case quantile <= 0.99:
			at = l.P99
		}
		worst = max(worst, at)
	}
	return worst
}
