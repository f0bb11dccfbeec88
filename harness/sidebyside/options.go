// Package sidebyside measures several systems under one load on one machine, in
// rounds that take each of them once and in another order each: what changes slowly
// on the machine meets all alike, and the round is the unit of every statement.
//
// Figures of a part are taken from what its benches recorded. Nothing is judged
// against a limit: a comparison certifies nothing.
package sidebyside

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"plumbline/harness/profile"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// Options say what is measured. Systems, Load and Dir are required.
type Options struct {
	Systems     []sut.Options // the first is the one that the others are held against; Dir and Config are set here
	Load        reports.BesideLoad
	Seed        uint64
	Dir         string   // receives a folder for each system, with all records, and File
	Generator   []string // see harness.Config
	Tool        reports.Tool
	Environment map[string]string
	Log         *slog.Logger             // nil discards
	Told        func(reports.BesidePart) // is called after each part; nil for nobody
}

// File is where a comparison is kept in its folder.
const File = "peers.json"

// Default is the load where nothing else is asked for: what two cores carry with the
// slowest of the peers, in as many rounds as decide.
func Default() reports.BesideLoad {
	return reports.BesideLoad{
		Rounds: stats.CompareRuns, Devices: 20, Rate: 200, Viewers: 40, WarmUp: time.Second, Window: 5 * time.Second,
		Crowd: 300, Settle: 2 * time.Second, Calm: 20, Few: 5, Dead: 200 * time.Millisecond,
	}
}

// Bounds of a load, which keep a recording within memory.
const (
	MaxRounds   = 200
	MaxViewers  = 5000 // of one process
	LeastWindow = 100 * time.Millisecond

	maxDeliveries = 20_000_000 // of one part
)

// Errors that callers branch on, beside those of sut.
var (
	// ErrUsage marks options that cannot be measured.
	ErrUsage = errors.New("the comparison cannot be made")
)

// Check finds what cannot be measured; its errors wrap ErrUsage. Run does so as well.
func (o *Options) Check() error {
	l := o.Load
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("sidebyside: %w: %s", ErrUsage, fmt.Sprintf(format, args...))
	}
	switch {
	case len(o.Systems) < 2:
		return refuse("%d system; name one at least that is to stand beside the first", len(o.Systems))
	case l.Rounds < 1 || l.Rounds > MaxRounds:
		return refuse("%d rounds; between 1 and %d can be made, and %d decide", l.Rounds, MaxRounds, stats.CompareRuns)
	case l.Devices < 1 || l.Viewers < 1 || l.Crowd < 1 || l.Few < 1:
		return refuse("%d devices, %d viewers, %d of them in the crowd, %d at the kill: one of each at least", l.Devices, l.Viewers, l.Crowd, l.Few)
	case l.Viewers > MaxViewers || l.Crowd > MaxViewers:
		return refuse("%d viewers and a crowd of %d; one process holds %d", l.Viewers, l.Crowd, MaxViewers)
	case !(l.Rate > 0) || !(l.Calm > 0) || math.IsInf(l.Rate, 0) || l.Rate > profile.MaxRate || l.Calm > profile.MaxRate:
		return refuse("rates of %v and %v messages a second; they must be above 0 and at most %v", l.Rate, l.Calm, float64(profile.MaxRate))
	case l.Window < LeastWindow:
		return refuse("a window of %v; %v at least", l.Window, LeastWindow)
	case l.Rate*(l.WarmUp+l.Window).Seconds()*float64(l.Viewers) > maxDeliveries:
		return refuse("%v messages a second at %d viewers for %v are more than the %d deliveries that are recorded at a time; ask for less of one of them", l.Rate, l.Viewers, l.WarmUp+l.Window, maxDeliveries)
	}
	seen := map[string]bool{}
	for _, s := range o.Systems {
		name := nameOf(s)
		if seen[name] {
			return refuse("two systems are called %q; give one of them another name in its descriptor", name)
		}
		seen[name] = true
	}
	return nil
}

func nameOf(s sut.Options) string { return descriptorOf(s).Name }

func descriptorOf(s sut.Options) *sut.Descriptor {
	if s.Descriptor == nil {
		return sut.Default()
	}
	return s.Descriptor
}

// present starts and ends every system once, so that one that is not there is told
// of before anything is measured.
func (o *Options) present(ctx context.Context) error {
	for i, opts := range o.Systems {
		opts.Dir = filepath.Join(o.folder(i), "first")
		if err := os.MkdirAll(opts.Dir, 0o755); err != nil { //nolint:gosec // artifacts are there to be read by others
			return fmt.Errorf("sidebyside: %w", err)
		}
		system, err := sut.New(opts)
		if err != nil {
			return err
		}
		if err := errors.Join(system.Start(ctx), system.Close()); err != nil {
			return err
		}
	}
	return nil
}

// folder is where what a system leaves is kept. Names of systems may hold anything.
func (o *Options) folder(i int) string { return filepath.Join(o.Dir, fmt.Sprintf("system-%d", i+1)) }
