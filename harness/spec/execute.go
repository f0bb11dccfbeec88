package spec

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/extensions/globals"
	"github.com/onsi/ginkgo/v2/formatter"
	"github.com/onsi/ginkgo/v2/types"

	"plumbline/harness"
	"plumbline/harness/agent"
	"plumbline/harness/profile"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// Options say what to run. Profile and Dir are required.
type Options struct {
	Profile     *profile.Profile
	ProfilePath string               // when the profile is a file: its path, for the reproduction command
	SUT         sut.Options          // Binary, Descriptor; Dir and Config are set per scenario
	Devices     []harness.DeviceSpec // of the rig file; empty means the built-in mix
	LeftOut     []string             // optional devices that are not there, with the reason, for the report
	Agents      []*agent.Host        // on other hosts; the caller closes them
	Processes   int                  // of this host that hold viewers, see harness.Config.Processes; started by Viewing. Not beside Agents
	Viewing     []string
	LabelFilter string   // "" selects everything
	Generator   []string // program that makes the load, see harness.Config.Generator; empty means this process
	Certify     bool     // refuse a filter and a profile that does not certify
	Dir         string   // run directory; records/ and sut/ are made in it
	ID          string   // of the run; "" means the base name of Dir
	Seed        uint64   // of twins, dither and order; 0 is a seed like any other
	Tool        reports.Tool
	Deviations  []reports.Deviation
	Command     string        // what "how to repeat it" starts with; "" means "plumbline run"
	Progress    func(Event)   // called on other goroutines, one at a time, one of which writes the recording; must not block
	Output      io.Writer     // Ginkgo's own words; nil discards
	Timeout     time.Duration // of everything; 0 means what the scenarios may take together
	Reference   time.Duration // delay of the reference bridge to calibrate with; 0 means that of the profile
	Calibrate   Calibrator    // needed where there is a reference
	Log         *slog.Logger  // nil discards
}

// process guards Ginkgo, which is one per process by construction: its tree,
// its configuration and the writer of its console are package variables.
var process sync.Mutex

// Execute runs the selected scenarios one after the other in this process and
// composes the run. It never exits the process and writes nothing but records
// and logs below Dir.
//
// Whenever scenarios were selected a run comes back, also beside an error;
// Run.Partial says what is missing then. Errors wrap ErrUsage, ErrEmpty,
// ErrInterrupted, ErrFault, harness.ErrBench or sut.ErrUnavailable.
func Execute(ctx context.Context, opts Options) (*reports.Run, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	process.Lock()
	defer process.Unlock()
	tell := newTeller(opts.Progress, opts.Profile)
	defer tell.follow()()
	rig, err := harness.NewRig(harness.Config{
		Profile: opts.Profile, ProfilePath: opts.ProfilePath, Seed: opts.Seed, Dir: opts.Dir,
		SUT: opts.SUT, Devices: opts.Devices, Agents: opts.Agents, Generator: opts.Generator, Processes: opts.Processes, Viewing: opts.Viewing, Log: opts.Log, Recording: tell.recording(),
	})
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	all, err := Bind(rig)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFault, err)
	}
	selected, left, err := choose(all, opts.LabelFilter)
	if err != nil {
		return nil, err
	}
	if err := harness.CheckDevices(ctx, rig.Devices()); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	judging, err := convene(rig, opts, selected)
	if err != nil {
		return nil, err
	}
	c := composer{court: judging, selected: selected, left: left}
	var report types.Report
	judging.conditions.Calibration, err = opts.calibrated(ctx, func() (err error) {
		report, err = runGinkgo(ctx, rig, opts, selected, judging, tell)
		return err
	})
	if err != nil {
		return nil, err
	}
	run, err := c.compose(ctx, report)
	run.Tool = opts.Tool
	if len(opts.LeftOut) > 0 {
		run.Environment["devices_left_out"] = strings.Join(opts.LeftOut, "; ")
	}
	if len(opts.Agents)+opts.Processes > 0 {
		run.Environment["agents"] = engaged(opts)
	}
	return run, err
}

// engaged says which agents or processes were named and whether any scenario had work for
// them, so that none is named in vain unnoticed.
func engaged(opts Options) string {
	var names []string
	for _, a := range opts.Agents {
		names = append(names, a.Target().Address)
	}
	if opts.Processes > 0 {
		names = append(names, fmt.Sprintf("%d processes of this host", opts.Processes))
	}
	used, err := harness.Agents(opts.Dir)
	if err != nil {
		return err.Error()
	}
	if len(used) == 0 {
		return strings.Join(names, ", ") + ": took no viewers; no scenario came to put any there"
	}
	return fmt.Sprintf("%s: took the viewers of %d recordings", strings.Join(names, ", "), len(used))
}

// convene keeps the conditions of the run and returns the court that judges by
// what was kept.
func convene(rig *harness.Rig, opts Options, selected []Scenario) (*court, error) {
	c := conditionsOf(rig, opts.Command)
	c.Run, c.Started, c.LabelFilter, c.Deviations = opts.ID, time.Now().UTC().Round(0), opts.LabelFilter, opts.Deviations
	if c.Run == "" {
		c.Run = filepath.Base(opts.Dir)
	}
	for _, sc := range selected {
		c.Scenarios = append(c.Scenarios, sc.ID)
	}
	if err := c.begin(opts.Dir, rig.Profile()); err != nil {
		var how ending
		if how.note(err, opts.Dir); how.NoSpace {
			return nil, fmt.Errorf("spec: %w (%w)", harness.ErrSpace, err)
		}
		return nil, fmt.Errorf("spec: run directory: %w: %w", ErrUsage, err)
	}
	kept, p, err := readConditions(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFault, err)
	}
	return &court{dir: opts.Dir, conditions: kept, profile: p}, nil
}

func (o Options) check() error {
	switch {
	case o.Profile == nil:
		return fmt.Errorf("spec: no profile: %w", ErrUsage)
	case o.Dir == "":
		return fmt.Errorf("spec: no run directory: %w", ErrUsage)
	case o.Certify && o.LabelFilter != "":
		return fmt.Errorf("spec: a certification deselects nothing; leave the label filter out or use run: %w", ErrUsage)
	case o.Certify && !o.Profile.Certifies:
		return fmt.Errorf("spec: profile %q never certifies; use run, or another profile: %w", o.Profile.Name, ErrUsage)
	case o.reference() > 0 && o.Calibrate == nil:
		return fmt.Errorf("spec: profile %q asks for a calibration, and nothing is given that makes one: %w", o.Profile.Name, ErrUsage)
	}
	return nil
}

// verdictTaker is what RunSpecs wants of a *testing.T. Colours decide nothing.
type verdictTaker struct{}

func (verdictTaker) Fail() {}

// runGinkgo runs the specs and returns Ginkgo's report of them.
func runGinkgo(ctx context.Context, rig *harness.Rig, opts Options, selected []Scenario, judging *court, tell *teller) (types.Report, error) {
	globals.Reset()
	defer globals.Reset()
	defer redirect(opts.Output)()
	e, err := emit(rig, EmitOptions{Context: ctx, Command: opts.Command}, judging, tell)
	if err != nil {
		return types.Report{}, fmt.Errorf("%w: %w", ErrFault, err)
	}
	e.total.Store(int64(len(selected)))
	var final types.Report
	ginkgo.ReportAfterSuite("collect", func(report ginkgo.Report) {
		if !report.SuiteConfig.DryRun { // PreviewSpecs runs this node too
			final = report
		}
	})
	suite, reporter := configuration(opts, selected, e)
	preview := ginkgo.PreviewSpecs("plumbline", suite, reporter)
	switch {
	case preview.SuiteHasProgrammaticFocus:
		return final, fmt.Errorf("%w: a scenario is focused in the source; a focused suite proves nothing", ErrFault)
	case preview.PreRunStats.SpecsThatWillRun != len(selected):
		return final, fmt.Errorf("%w: %d scenarios are selected, Ginkgo would run %d", ErrFault, len(selected), preview.PreRunStats.SpecsThatWillRun)
	}
	e.progress(Event{Kind: RunBegan, Total: len(selected), Plan: planned(rig, selected)})
	ginkgo.RunSpecs(verdictTaker{}, "plumbline", suite, reporter)
	if len(final.SpecReports) == 0 {
		return final, fmt.Errorf("%w: Ginkgo reported no spec at all", ErrFault)
	}
	return final, nil
}

// redirect sends Ginkgo's console to w, or nowhere, until the returned
// function is called.
func redirect(w io.Writer) (restore func()) {
	if w == nil {
		w = io.Discard
	}
	was := formatter.ColorableStdOut
	formatter.ColorableStdOut = w
	return func() { formatter.ColorableStdOut = was }
}

// configuration makes Ginkgo strict: in declared order, nothing repeated
// towards green, an empty selection is a failure.
func configuration(opts Options, selected []Scenario, e *emitter) (types.SuiteConfig, types.ReporterConfig) {
	suite, reporter := types.NewDefaultSuiteConfig(), types.ReporterConfig{NoColor: true, Succinct: true}
	suite.RandomSeed = int64(opts.Seed >> 1) // Ginkgo's seed is signed
	suite.LabelFilter = opts.LabelFilter
	suite.FailOnEmpty, suite.FailOnPending = true, true
	suite.Timeout = opts.Timeout
	if suite.Timeout == 0 {
		suite.Timeout = time.Minute
		for _, sc := range selected {
			suite.Timeout += e.timeout(sc)
		}
	}
	return suite, reporter
}
