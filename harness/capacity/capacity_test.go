package capacity

import (
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness/sut"
	"plumbline/reports"
)

func options() Options {
	return Options{
		System: sut.Options{}, Axis: "viewers", From: 10, To: 1000, Factor: 2, Refine: 3, LatencyMost: 500 * time.Millisecond, Cores: 2,
		Load: Load{Devices: 20, Rate: 100, Viewers: 1, Window: time.Second},
	}
}

// TestClimb: steps rise by the factor until one does not hold, then close in on the
// knee; each load is asked for once.
func TestClimb(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
		knee   float64
		want   []float64
	}{
		{"a knee", func(*Options) {}, 100, []float64{10, 20, 40, 80, 160, 113, 95, 104}},
		{"all holds", func(*Options) {}, 1e9, []float64{10, 20, 40, 80, 160, 320, 640, 1000}},
		{"nothing holds", func(*Options) {}, 1, []float64{10}},
		{"nothing between", func(o *Options) { o.From, o.To, o.Factor = 1, 8, 1.1 }, 2, []float64{1, 2, 3}},
		{"one load", func(o *Options) { o.To = o.From }, 1e9, []float64{10}},
		{"no refining", func(o *Options) { o.Refine = 0 }, 30, []float64{10, 20, 40}},
		{"a rate below ten", func(o *Options) { o.Axis, o.From, o.To, o.Refine = "rate", 1, 3, 1 }, 2.5, []float64{1, 2, 3, 2.4}},
	} {
		o := options()
		c.change(&o)
		var got []float64
		if err := o.climb(func(v float64) (s reports.CapacityStep, _ error) {
			if got = append(got, v); v > c.knee {
				s.Limit = "it gave way"
			}
			return s, nil
		}); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: steps %v (%v), want %v", c.name, got, err, c.want)
		}
	}
	o := options()
	if err := o.climb(func(float64) (reports.CapacityStep, error) { return reports.CapacityStep{}, errors.ErrUnsupported }); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an error of a step is %v", err)
	}
}

// TestLimit: what gave way is named, and whose the processor was.
func TestLimit(t *testing.T) {
	sound := Point{Offered: 10_000, Achieved: 10_000, Deliveries: 100, P50: 1, P99: 499, System: time.Second, Bench: 200 * time.Millisecond, Over: 2 * time.Second}
	for _, c := range []struct {
		name   string
		change func(*Point)
		want   []string
	}{
		{"sound", func(*Point) {}, nil},
		{"late", func(p *Point) { p.P99 = 501 }, []string{"p99 is 501 ms, above 500 ms", "the system used 0.50, the bench 0.10 and all else 0.00 of 2 cores, so the processor was not"}},
		{"a bench that stood still", func(p *Point) { p.P99, p.Hiccup = 900, 400 }, []string{"the bench itself stood still for up to 400 ms"}},
		{"never", func(p *Point) { p.P99 = math.Inf(1) }, []string{"more than one in a hundred never came"}},
		{"cut", func(p *Point) { p.Dropped = 2 }, []string{"2 of the viewers that only wait were cut"}},
		{"lost", func(p *Point) { p.Lost = 3 }, []string{"3 deliveries never came"}},
		{"unsent", func(p *Point) { p.Achieved = 9_900 }, []string{"99.0 % of what was due was written;"}},
		{"held back", func(p *Point) { p.Achieved, p.Blocked = 9_900, 100 }, []string{"99.0 % of what was due was written: 100 messages found as many unacknowledged"}},
		{"a machine that does not tell", func(p *Point) { p.Lost, p.Others = 1, -1 }, []string{"the system used 0.50 and the bench 0.10 of 2 cores, so"}},
		{"a busy machine", func(p *Point) { p.Lost, p.Others = 1, 3*time.Second }, []string{"the processor was full of other work", "all else 1.50 of 2 cores", "of the machine and not of the system"}},
		{"nothing came", func(p *Point) { p.Deliveries, p.P99 = 0, math.NaN() }, []string{"nothing came to any viewer"}},
		{"nothing went", func(p *Point) { p.Offered, p.Achieved = 0, 0 }, []string{"nothing was published"}},
		{"a full machine", func(p *Point) { p.Lost, p.System = 1, 3800*time.Millisecond }, []string{"1 deliveries never came; the processor was full: the system used 1.90"}},
		{"a busy bench", func(p *Point) { p.Lost, p.Bench = 1, 3*time.Second }, []string{"the processor was full", "the bench bounds this more than the system"}},
		{"unseen processes", func(p *Point) { p.Lost, p.Over = 1, 0 }, []string{"1 deliveries never came"}},
	} {
		p := sound
		c.change(&p)
		got := p.limit(500*time.Millisecond, 2)
		if (len(c.want) == 0) != (got == "") {
			t.Errorf("%s: %q", c.name, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q lacks %q", c.name, got, want)
			}
		}
	}
}

// steps makes steps whose costs follow known laws.
func steps(values ...float64) *reports.Capacity {
	c := &reports.Capacity{Format: reports.CapacityFormat, Axis: "viewers", Cores: 2}
	for _, v := range values {
		c.Steps = append(c.Steps, reports.CapacityStep{Value: v, Cores: reports.Float(0.001 * v), RSS: reports.Float(40 + 0.03*v), LatencyP99: reports.Float(0.01 * v * v)})
	}
	return c
}

func TestModel(t *testing.T) {
	near := func(got reports.Float, want float64) bool { return math.Abs(float64(got)-want) <= 1e-6*math.Abs(want) }
	c := steps(10, 20, 22, 80)
	c.Steps = append(c.Steps, reports.CapacityStep{Value: 160, Cores: 9, RSS: 9, LatencyP99: 9, Limit: "it gave way"}) // tells nothing of what was carried
	Model(c)
	if len(c.Growth) != 3 || c.Growth[0].Steps != 4 {
		t.Errorf("growth %+v", c.Growth)
	}
	for i, want := range []float64{1, 1, 2} { // what 40 MiB without any load are is not in it
		if g := c.Growth[i]; !near(g.Exponent, want) || !near(g.Least, want) || !near(g.Most, want) {
			t.Errorf("growth %d is %+v, want %v", i, g, want)
		}
	}
	if len(c.Each) != 2 || !near(c.Each[0].Value, 1000) || !near(c.Each[1].Value, 0.03*1024) || !near(c.Each[1].Least, 0.03*1024) {
		t.Errorf("each %+v", c.Each)
	}
	if len(c.Projections) != 4 {
		t.Fatalf("projections %+v", c.Projections)
	}
	for i, want := range []float64{100, 1000, 40 + 3000, 40 + 30_000} {
		if p := c.Projections[i]; !near(p.Value, want) || !near(p.Least, want) || !near(p.Most, want) || !near(p.Ratio, p.At/80) {
			t.Errorf("projection %d is %+v, want %v", i, p, want)
		}
	}
	c = steps(10, 20, 40)
	c.Steps[2].RSS += 6 // noise makes the bounds part
	Model(c)
	if p := c.Projections[2]; !(p.Least < p.Value && p.Value < p.Most) {
		t.Errorf("with noise the projection is %+v", p)
	}
	for name, few := range map[string]*reports.Capacity{"two steps": steps(10, 20), "none": steps()} {
		Model(few)
		if len(few.Growth)+len(few.Projections) != 0 {
			t.Errorf("%s give %+v", name, few)
		}
	}
	c = steps(10, 20, 40)
	for axis, each := range map[string]float64{"rate": 1000, "payload": 1000 * 1024} {
		c.Axis = axis
		if Model(c); len(c.Growth) != 3 || len(c.Projections) != 0 || len(c.Each) != 2 || !near(c.Each[0].Value, each) {
			t.Errorf("along %s: %+v", axis, c)
		}
	}
}

// TestExponent: powers are found again, whatever is below them, and none is made up.
func TestExponent(t *testing.T) {
	for _, e := range []float64{-3, -0.5, 1e-9, 0.5, 1, 2.5, 7} {
		y := func(x float64) float64 { return 5 + math.Copysign(3, e)*math.Pow(x, e) }
		all := exponents([]float64{3, 8, 40}, []float64{y(3), y(8), y(40)})
		if len(all) != 1 || math.Abs(all[0]-e) > 1e-5 {
			t.Errorf("%v is found as %v", e, all)
		}
	}
	for name, y := range map[string][]float64{"falls": {3, 2, 1}, "stands": {1, 1, 1}, "rises and falls": {1, 3, 2}, "not known": {1, math.NaN(), 3}} {
		if all := exponents([]float64{1, 2, 4}, y); len(all) != 0 {
			t.Errorf("what %s gives %v", name, all)
		}
	}
	if median, _, _ := spread(exponents([]float64{1, 2, 4}, []float64{1, 1 + 1e-12, 9})); !math.IsNaN(float64(median)) {
		t.Errorf("a wall is %v", median)
	}
	if all := exponents([]float64{1, 1.5, 4}, []float64{1, 2, 3}); len(all) != 0 {
		t.Errorf("near steps give %v", all)
	}
}

// TestNotCarried: a step at which the system was not there has no latency of 0 and no memory of 0.
func TestNotCarried(t *testing.T) {
	s := stepOf(21_527, Load{Window: time.Second}, Point{})
	notCarried(&s, sut.ErrUnavailable)
	raw, err := json.Marshal(s)
	var back reports.CapacityStep
	if err := errors.Join(err, json.Unmarshal(raw, &back)); err != nil {
		t.Fatal(err)
	}
	if back.Held() || !math.IsInf(float64(back.LatencyP50), 1) || !math.IsInf(float64(back.LatencyP99), 1) || !math.IsNaN(float64(back.RSS)) || !math.IsNaN(float64(back.BenchRSS)) {
		t.Errorf("it reads %s", raw)
	}
}

// TestUsual: what an axis is raised along when nothing is said can be measured.
func TestUsual(t *testing.T) {
	for _, axis := range Axes {
		o := Usual(axis)
		o.Viewing = []string{"x"}
		if err := o.Check(); err != nil || o.Axis != axis {
			t.Errorf("%s: %v", axis, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*Options)
	}{
		{"", func(*Options) {}},
		{`did you mean "viewers"?`, func(o *Options) { o.Axis = "viewer" }},
		{"from 0 to", func(o *Options) { o.From = 0 }},
		{"from 10 to 5", func(o *Options) { o.To = 5 }},
		{"to +Inf", func(o *Options) { o.To = math.Inf(1) }},
		{"from NaN", func(o *Options) { o.From = math.NaN() }},
		{"a factor of 1", func(o *Options) { o.Factor = 1 }},
		{"more than 60 steps", func(o *Options) { o.To, o.Factor = 1e6, 1.1 }},
		{"more than 60 steps", func(o *Options) { o.Refine = -1 }},
		{"a window of 0s", func(o *Options) { o.Load.Window = 0 }},
		{"a p99 of at most 0s", func(o *Options) { o.LatencyMost = 0 }},
		{"viewers 80000: 80000 viewers", func(o *Options) { o.To = 80_000 }},
		{"30000 viewers in 1 processes, each of which holds 19000 at most; give --processes", func(o *Options) { o.To, o.Load.Rate = 30_000, 10 }},
		{"", func(o *Options) { o.To, o.Load.Rate, o.Viewing = 30_000, 10, []string{"x"} }}, // as many as it takes
		{"30000 viewers in 1 processes", func(o *Options) { o.To, o.Load.Rate, o.Viewing, o.Processes = 30_000, 10, []string{"x"}, 1 }},
		{"1 processes of viewers", func(o *Options) { o.Processes = 1 }},
		{"65 processes of viewers", func(o *Options) { o.Processes, o.Viewing = 65, []string{"x"} }},
		{"2 processes that publish", func(o *Options) { o.Generators = 2 }},
		{"65 processes that publish", func(o *Options) { o.Generators, o.Generator = 65, []string{"x"} }},
		{"", func(o *Options) { o.Generators, o.Generator = 2, []string{"x"} }},
		{"70000 devices and viewers", func(o *Options) { o.Axis, o.To, o.Viewing, o.Load.Devices = "idle", 49_999, []string{"x"}, 20_000 }},
		{"no process to hold them", func(o *Options) { o.Axis = "idle" }},
		{"", func(o *Options) { o.Axis, o.To, o.Viewing = "idle", 50_000, []string{"x"} }},
		{"between 0 and 65000", func(o *Options) { o.Axis, o.To, o.Viewing = "idle", 65_000, []string{"x"} }},
		{"0 devices", func(o *Options) { o.Load.Devices = 0 }},
		{"payloads longer by 4194304", func(o *Options) { o.Axis, o.To = "payload", 4<<20 }},
		{"0 messages a second", func(o *Options) { o.Load.Rate = 0 }},
		{"deliveries that are recorded", func(o *Options) { o.Load.Rate = 100_000 }},
	} {
		o := options()
		c.change(&o)
		err := o.Check()
		if (c.want == "") != (err == nil) || (err != nil && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want))) {
			t.Errorf("%q: %v", c.want, err)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	c := steps(10, 20, 40)
	if err := write(filepath.Join(dir, File), c); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	Model(c)
	want, _ := json.Marshal(c)
	if text, _ := json.Marshal(got); string(text) != string(want) {
		t.Errorf("read\n%s\nwant\n%s", text, want)
	}
	c.Format = "other/v1"
	if err := write(filepath.Join(dir, File), c); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), `has format "other/v1"`) {
		t.Errorf("another format: %v", err)
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, ErrUsage) {
		t.Errorf("an empty folder: %v", err)
	}
}
