package capacity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/strictyaml"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// Axes are what a load can be raised along.
var Axes = []string{"viewers", "idle", "rate", "devices", "payload"}

// Usual is a climb along an axis that finds the knee of a system of this project's kind on a
// small machine within some two minutes; what else an Options needs is not in it.
func Usual(axis string) Options {
	o := Options{
		Axis: axis, From: 50, To: 14_000, Factor: 2, Refine: 2, LatencyMost: 500 * time.Millisecond,
		Load: Load{Devices: 20, Rate: 20, Viewers: 20, WarmUp: time.Second, Window: 5 * time.Second},
	}
	switch axis {
	case "idle": // more only cost time: their end is that of the descriptors
		o.From, o.To, o.Refine, o.Load.Rate, o.Load.Viewers = 500, 8000, 0, 5, 10
	case "rate":
		o.From, o.To = 250, 64_000
	case "devices":
		o.From, o.To, o.Load.Rate, o.Load.Viewers = 100, 25_600, 400, 10
	case "payload":
		o.From, o.To, o.Factor, o.Load.Rate = 256, 1<<20, 4, 100
	}
	return o
}

// Options say what is raised, from where, and how far. System and Dir are required.
type Options struct {
	System      sut.Options
	Axis        string
	From, To    float64 // the first load and the largest
	Factor      float64 // from one step to the next
	Refine      int     // further steps between the last that held and the first that did not
	Load        Load    // all but what is on the axis
	LatencyMost time.Duration
	Cores       int // of this machine
	Seed        uint64
	Dir         string // receives all records, and File
	Generator   []string
	Viewing     []string // see harness.Config; nil leaves all viewers in this process
	Processes   int      // that hold the viewers; 0 for as many as the largest step takes
	Generators  int      // processes that publish; 0 for as many as the devices take
	Tool        reports.Tool
	Environment map[string]string
	Log         *slog.Logger                    // nil discards
	Told        func(step reports.CapacityStep) // is called after each step; nil for nobody
}

// File is where a capacity is kept in its folder.
const File = "capacity.json"

// ErrUsage marks options that cannot be measured.
var ErrUsage = errors.New("the capacity cannot be measured")

// Bounds of a step, which keep a recording within memory, and of a climb.
const (
	MaxViewers  = 65_000 // of both kinds
	MaxDevices  = 60_000
	MaxPayload  = 1 << 20
	MaxSteps    = 60
	LeastWindow = 100 * time.Millisecond

	maxDeliveries = 20_000_000
	maxNodes      = 65_500 // viewers and devices: a recording tells no more apart, and there are a witness and others
	perProcess    = 19_000 // viewers: of 20,000 descriptors
	ample         = 15_000 // viewers for which one process is taken where nothing is said
	maxProcesses  = harness.MaxProcesses
	achieved      = 0.999 // share of what was due that must have been written
	full          = 0.9   // share of the cores beyond which the machine counts as full
)

// Check finds what cannot be measured; its errors wrap ErrUsage.
func (o *Options) Check() error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("capacity: %w: %s", ErrUsage, fmt.Sprintf(format, args...))
	}
	l := o.Load
	switch {
	case !slices.Contains(Axes, o.Axis):
		near := ""
		if guess := strictyaml.Nearest(o.Axis, Axes); guess != "" {
			near = fmt.Sprintf("; did you mean %q?", guess)
		}
		return refuse("axis %q; a load is raised along %s%s", o.Axis, strings.Join(Axes, ", "), near)
	case !(o.From >= 1) || !(o.To >= o.From) || math.IsInf(o.To, 0):
		return refuse("from %v to %v; from 1 at least, and to no less than that", o.From, o.To)
	case !(o.Factor >= 1.1) || o.Factor > 100:
		return refuse("a factor of %v; between 1.1 and 100", o.Factor)
	case math.Log(o.To/o.From)/math.Log(o.Factor)+float64(o.Refine) > MaxSteps || o.Refine < 0:
		return refuse("from %v to %v by a factor of %v are more than %d steps", o.From, o.To, o.Factor, MaxSteps)
	case l.Window < LeastWindow || l.WarmUp < 0:
		return refuse("a window of %v; %v at least", l.Window, LeastWindow)
	case o.Processes < 0 || o.Processes > maxProcesses || (o.Processes > 0 && len(o.Viewing) == 0):
		return refuse("%d processes of viewers; between 0 and %d, and none where processes share no clock", o.Processes, maxProcesses)
	case o.Generators < 0 || o.Generators > maxProcesses || (o.Generators > 1 && len(o.Generator) == 0):
		return refuse("%d processes that publish; between 0 and %d, and one where processes share no clock", o.Generators, maxProcesses)
	case o.LatencyMost <= 0:
		return refuse("a p99 of at most %v; above 0", o.LatencyMost)
	}
	for _, value := range []float64{o.From, o.To} {
		l := o.at(value)
		if problem := l.problem(); problem != "" {
			return refuse("%s %v: %s", o.Axis, value, problem)
		}
		if n, most := l.Viewers+l.Idle, max(o.processes(), 1)*perProcess; n > most {
			return refuse("%s %v: %d viewers in %d processes, each of which holds %d at most; give --processes", o.Axis, value, n, max(o.processes(), 1), perProcess)
		}
		if l.Idle > 0 && o.processes() == 0 {
			return refuse("%d viewers that only wait, and no process to hold them; here processes share no clock", l.Idle)
		}
	}
	return nil
}

// processes is how many hold the viewers, in every step: 0 is this one.
func (o *Options) processes() int {
	if o.Processes > 0 || len(o.Viewing) == 0 {
		return o.Processes
	}
	l := o.at(o.To)
	return min((l.Viewers+l.Idle+ample-1)/ample, maxProcesses)
}

// problem says what of a load cannot be measured.
func (l Load) problem() string {
	switch {
	case l.Devices < 1 || l.Devices > MaxDevices:
		return fmt.Sprintf("%d devices; between 1 and %d", l.Devices, MaxDevices)
	case l.Viewers < 1 || l.Viewers > MaxViewers:
		return fmt.Sprintf("%d viewers; between 1 and %d", l.Viewers, MaxViewers)
	case l.Idle < 0 || l.Idle > MaxViewers-l.Viewers:
		return fmt.Sprintf("%d viewers that only wait; between 0 and %d, with the others", l.Idle, MaxViewers)
	case l.Devices+l.Viewers+l.Idle > maxNodes:
		return fmt.Sprintf("%d devices and viewers; at most %d of both, for a recording tells no more apart", l.Devices+l.Viewers+l.Idle, maxNodes)
	case l.Payload < 0 || l.Payload > MaxPayload:
		return fmt.Sprintf("payloads longer by %d bytes; at most %d", l.Payload, MaxPayload)
	case !(l.Rate > 0) || l.Rate > profile.MaxRate:
		return fmt.Sprintf("%v messages a second; above 0 and at most %v", l.Rate, float64(profile.MaxRate))
	case l.Rate*(l.WarmUp+l.Window).Seconds()*float64(l.Viewers) > maxDeliveries:
		return fmt.Sprintf("more than the %d deliveries that are recorded at a time; ask for less of one of rate, viewers and window", maxDeliveries)
	}
	return ""
}

// at is the load with so much on the axis.
func (o *Options) at(value float64) Load {
	l := o.Load
	switch whole := int(math.Round(value)); o.Axis {
	case "viewers":
		l.Viewers = whole
	case "idle":
		l.Idle = whole
	case "devices":
		l.Devices = whole
	case "payload":
		l.Payload = whole
	case "rate":
		l.Rate = value
	}
	return l
}

// next is the step after one that held.
func (o *Options) next(value float64) float64 {
	next := o.whole(value * o.Factor)
	if next <= value {
		next = value + 1 // of which a factor makes nothing more
	}
	return min(next, o.To)
}

// whole rounds a value as its axis has it.
func (o *Options) whole(value float64) float64 {
	if o.Axis == "rate" && value < 10 {
		return math.Round(10*value) / 10
	}
	return math.Round(value)
}

// Climb raises the load until a step does not hold or the largest was carried, then
// looks between. The system is started afresh for every step. What came of it is in
// File as well, after each step anew. Errors of a system that carries not even the first step
// because it is not there wrap sut.ErrUnavailable.
func Climb(ctx context.Context, o Options) (*reports.Capacity, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := o.System.Descriptor
	if d == nil {
		d = sut.Default()
	}
	out := &reports.Capacity{
		Format: reports.CapacityFormat, Tool: o.Tool, Started: time.Now().UTC(), Seed: o.Seed, Environment: o.Environment,
		SUT:  reports.SUT{Name: d.Name, Version: d.Version, Description: d.Description, Artifacts: []reports.Evidence{}, Capabilities: []string{}},
		Axis: o.Axis, Cores: o.Cores, Processes: o.processes(), Generators: o.Generators, LatencyMost: reports.Float(o.LatencyMost.Seconds() * 1e3), Steps: []reports.CapacityStep{},
	}
	rig, err := harness.NewRig(harness.Config{
		Profile: &profile.Profile{Name: "capacity", Version: "1"}, Dir: o.Dir, Seed: o.Seed, SUT: o.System, Generator: o.Generator, Generators: o.Generators, Viewing: o.Viewing, Processes: o.processes(), Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	step := func(value float64) (reports.CapacityStep, error) { return o.step(ctx, rig, out, value) }
	return out, o.climb(step)
}

// climb chooses the steps.
func (o *Options) climb(step func(value float64) (reports.CapacityStep, error)) error {
	low, high := math.NaN(), math.NaN() // the last that held, and the first that did not
	for value := o.From; ; value = o.next(value) {
		s, err := step(value)
		if err != nil {
			return err
		}
		if !s.Held() {
			high = value
			break
		}
		if low = value; value >= o.To {
			break
		}
	}
	for range o.Refine {
		between := o.whole(math.Sqrt(low * high))
		if !(between > low && between < high) {
			break // there is nothing between, or one of the two is missing
		}
		s, err := step(between)
		if err != nil {
			return err
		}
		if s.Held() {
			low = between
		} else {
			high = between
		}
	}
	return nil
}

// step measures one load and keeps what came of it.
func (o *Options) step(ctx context.Context, rig *harness.Rig, out *reports.Capacity, value float64) (reports.CapacityStep, error) {
	l := o.at(value)
	p, err := Measure(ctx, rig, "step", l)
	switch {
	case ctx.Err() != nil:
		return reports.CapacityStep{}, context.Cause(ctx)
	case err != nil && (len(out.Steps) == 0 || !errors.Is(err, sut.ErrUnavailable)):
		return reports.CapacityStep{}, fmt.Errorf("capacity: %s %v: %w", o.Axis, value, err)
	}
	if p.Version != "" {
		out.SUT.Version = p.Version
	}
	s := stepOf(value, l, p)
	if s.Limit = p.limit(o.LatencyMost, o.Cores); err != nil {
		notCarried(&s, err)
	}
	out.Steps = append(out.Steps, s)
	slices.SortStableFunc(out.Steps, func(a, b reports.CapacityStep) int {
		if a.Value < b.Value {
			return -1
		}
		return 1
	})
	Model(out)
	if err := write(filepath.Join(o.Dir, File), out); err != nil {
		return s, err
	}
	if o.Told != nil {
		o.Told(s)
	}
	return s, nil
}

// notCarried marks a step at which the system was not there, or did not stay: no figure of it is worth anything.
func notCarried(s *reports.CapacityStep, err error) {
	s.Limit = "the system did not carry it: " + err.Error()
	never, unknown := reports.Float(math.Inf(1)), reports.Float(math.NaN())
	s.LatencyP50, s.LatencyP99, s.RSS, s.BenchRSS = never, never, unknown, unknown
}

func stepOf(value float64, l Load, p Point) reports.CapacityStep {
	s := reports.CapacityStep{
		Value: value, Devices: l.Devices, Rate: l.Rate, Viewers: l.Viewers, Idle: l.Idle, Payload: l.Payload, Window: l.Window,
		Offered: p.Offered, Achieved: p.Achieved, Deliveries: p.Deliveries, Lost: p.Lost,
		LatencyP50: reports.Float(p.P50), LatencyP99: reports.Float(p.P99), CPU: reports.Float(p.PerDelivery()), RSS: reports.Float(float64(p.RSS) / (1 << 20)), BenchRSS: reports.Float(float64(p.BenchRSS) / (1 << 20)),
	}
	s.Cores, s.BenchCores, s.OtherCores = reports.Float(p.cores(p.System)), reports.Float(p.cores(p.Bench)), reports.Float(p.cores(p.Others))
	return s
}

// limit says what of a point gave way, "" when nothing did.
func (p Point) limit(most time.Duration, cores int) string {
	var gave []string
	if p.Offered == 0 {
		return "nothing was published"
	}
	if share := float64(p.Achieved) / float64(p.Offered); share < achieved {
		text := fmt.Sprintf("%.1f %% of what was due was written", 100*share)
		if p.Blocked > 0 {
			text += fmt.Sprintf(": %d messages found as many unacknowledged as the broker takes", p.Blocked)
		}
		gave = append(gave, text)
	}
	if p.Deliveries == 0 {
		gave = append(gave, "nothing came to any viewer")
	}
	if p.Lost > 0 {
		gave = append(gave, fmt.Sprintf("%d deliveries never came", p.Lost))
	}
	if p.Dropped > 0 {
		gave = append(gave, fmt.Sprintf("%d of the viewers that only wait were cut", p.Dropped))
	}
	switch ms := most.Seconds() * 1e3; {
	case math.IsInf(p.P99, 1):
		gave = append(gave, "more than one in a hundred never came")
	case p.P99 > ms:
		gave = append(gave, fmt.Sprintf("p99 is %.0f ms, above %.0f ms", p.P99, ms))
	}
	if len(gave) == 0 {
		return ""
	}
	text := strings.Join(gave, "; ")
	if ms := most.Seconds() * 1e3; p.P99 > ms && p.Hiccup > ms/10 {
		text += fmt.Sprintf("; the bench itself stood still for up to %.0f ms", p.Hiccup)
	}
	if p.Over <= 0 || cores < 1 {
		return text
	}
	system, bench, others := p.cores(p.System), p.cores(p.Bench), p.cores(p.Others)
	used := fmt.Sprintf("the system used %.2f, the bench %.2f and all else %.2f of %d cores", system, bench, others, cores)
	if math.IsNaN(others) {
		used, others = fmt.Sprintf("the system used %.2f and the bench %.2f of %d cores", system, bench, cores), 0
	}
	switch {
	case system+bench+others < full*float64(cores):
		return text + "; " + used + ", so the processor was not what gave way"
	case others > system+bench:
		return text + "; the processor was full of other work: " + used + ", so this tells of the machine and not of the system"
	case bench > system:
		return text + "; the processor was full: " + used + ", so the bench bounds this more than the system"
	}
	return text + "; the processor was full: " + used
}

// cores is how many cores some processor time is within the window; NaN where it is not known.
func (p Point) cores(used time.Duration) float64 {
	if p.Over <= 0 || used < 0 {
		return math.NaN()
	}
	return used.Seconds() / p.Over.Seconds()
}

// write keeps a capacity; the file is there whole at any time.
func write(path string, c *reports.Capacity) error {
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return fmt.Errorf("capacity: %w", err)
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil { //nolint:gosec // G306: a capacity is for others to read
		return fmt.Errorf("capacity: keep it: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("capacity: keep it: %w", err)
	}
	return nil
}
