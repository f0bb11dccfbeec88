package sidebyside

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plumbline/harness/oracle"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// TestOrder: a round takes every system once, and rounds differ; a seed gives the
// same order again.
func TestOrder(t *testing.T) {
	seen := map[string]bool{}
	for round := range 20 {
		order := Order(7, round, 5)
		if got := slices.Sorted(slices.Values(order)); !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
			t.Fatalf("round %d takes %v", round, order)
		}
		if !slices.Equal(order, Order(7, round, 5)) {
			t.Errorf("round %d has two orders", round)
		}
		text, _ := json.Marshal(order)
		seen[string(text)] = true
	}
	if len(seen) < 10 {
		t.Errorf("20 rounds have %d orders", len(seen))
	}
	if slices.Equal(Order(7, 0, 8), Order(8, 0, 8)) && slices.Equal(Order(7, 1, 8), Order(8, 1, 8)) {
		t.Error("two seeds give one order")
	}
}

// compared makes a comparison of two systems: the figures of the second are those of
// the first times a factor, in so many rounds.
func compared(rounds int, factor float64) *reports.SideBySide {
	c := &reports.SideBySide{
		Format: reports.SideBySideFormat, Seed: 3, Load: Default(), Systems: []reports.Beside{{Name: "ours"}, {Name: "theirs"}},
	}
	for round := range rounds {
		for system, by := range []float64{1, factor} {
			v := reports.Float((100 + float64(round)) * by)
			c.Parts = append(c.Parts, reports.BesidePart{
				Round: round + 1, System: system, Deliveries: 40_000, LatencyP50: v, LatencyP99: v, CPU: v, Memory: v, Storm: v * 10, Back: v, Hiccup: 1,
				Owed: 1000, Lost: int64(system), Doubtful: 2, Doubled: 3,
			})
		}
	}
	Summarise(c)
	return c
}

// TestStanding: what is less, more, alike and undecided is told apart for every figure.
func TestStanding(t *testing.T) {
	for _, c := range []struct {
		name   string
		rounds int
		factor float64
		want   reports.Abreast
	}{
		{"half", 10, 0.5, reports.AbreastLess}, {"twice", 10, 2, reports.AbreastMore}, {"the same", 10, 1, reports.AbreastAlike},
		{"less than what counts", 10, 1.02, reports.AbreastAlike}, {"too few rounds", 9, 2, reports.AbreastOpen},
	} {
		got := compared(c.rounds, c.factor)
		for k, m := range reports.BesideMeasures() {
			first, f := got.Systems[0].Figures[k], got.Systems[1].Figures[k]
			if f.Standing != c.want || first.Standing != reports.AbreastItself || f.Rounds != c.rounds {
				t.Errorf("%s: %s is %+v beside %+v, want %q", c.name, m.Name, f, first, c.want)
			}
			if ratio := float64(f.Ratio); math.Abs(ratio-c.factor) > 0.01*c.factor || f.RatioLow > f.Ratio || f.RatioHi < f.Ratio || !math.IsNaN(float64(first.Ratio)) {
				t.Errorf("%s: ratio of %s is %v (%v to %v)", c.name, m.Name, f.Ratio, f.RatioLow, f.RatioHi)
			}
			if f.Low > f.Median || f.High < f.Median {
				t.Errorf("%s: the median of %s is %v in [%v, %v]", c.name, m.Name, f.Median, f.Low, f.High)
			}
		}
	}
}

// TestHolm: what one comparison alone would show is not shown by one of many, and what
// is shown by far is.
func TestHolm(t *testing.T) {
	nan := reports.Float(math.NaN())
	c := &reports.SideBySide{Systems: []reports.Beside{{Figures: []reports.BesideFigure{{P: nan}, {P: nan}}}, {}, {}}}
	c.Systems[1].Figures = []reports.BesideFigure{{P: 0.009, Standing: reports.AbreastLess}, {P: 1e-5, Standing: reports.AbreastMore}}
	c.Systems[2].Figures = []reports.BesideFigure{{P: 0.002, Standing: reports.AbreastMore}, {P: nan, Standing: reports.AbreastOpen}}
	holm(c)
	got := []reports.Abreast{c.Systems[1].Figures[0].Standing, c.Systems[1].Figures[1].Standing, c.Systems[2].Figures[0].Standing}
	if want := []reports.Abreast{reports.AbreastLess, reports.AbreastMore, reports.AbreastMore}; !slices.Equal(got, want) { // 1e-5 < 1/3 %, 0.2 % < 1/2 %, 0.9 % < 1 %
		t.Errorf("of three tests %v, want %v", got, want)
	}
	c.Systems[2].Figures[0].P = 0.006
	holm(c)
	if f := c.Systems[2].Figures[0]; f.Standing != reports.AbreastOpen || c.Systems[1].Figures[0].Standing != reports.AbreastOpen || c.Systems[1].Figures[1].Standing != reports.AbreastMore {
		t.Errorf("with 0.6 %%: %+v, then %+v", f, c.Systems[1].Figures)
	}
}

// TestUnequalRounds: what never came is worse than anything, what was not measured counts for nothing,
// and what was lost is summed over all rounds.
func TestUnequalRounds(t *testing.T) {
	c := compared(12, 1)
	inf, nan := reports.Float(math.Inf(1)), reports.Float(math.NaN())
	for i := range c.Parts {
		if p := &c.Parts[i]; p.System == 1 {
			p.Storm, p.Memory = inf, nan
			if p.Round > 10 {
				p.Failed, p.Back = "it died", nan
			}
		}
	}
	Summarise(c)
	s := c.Systems[1]
	by := map[string]reports.BesideFigure{}
	for k, m := range reports.BesideMeasures() {
		by[m.ID] = s.Figures[k]
	}
	if f := by["storm"]; f.Standing != reports.AbreastMore || !math.IsInf(float64(f.Median), 1) {
		t.Errorf("a storm without an end is %+v", f)
	}
	if f := by["memory"]; f.Standing != reports.AbreastOpen || f.Rounds != 0 || !math.IsNaN(float64(f.Median)) {
		t.Errorf("what was not measured is %+v", f)
	}
	if f := by["back"]; f.Rounds != 10 || f.Standing != reports.AbreastAlike {
		t.Errorf("ten rounds of twelve are %+v", f)
	}
	if s.Rounds != 10 || s.Failed != "it died" || s.Kills != 12 || s.Lost != 12 || s.Owed != 12_000 || s.Doubtful != 24 || s.Doubled != 36 {
		t.Errorf("system is %+v", s)
	}
}

// TestLastBack: the last of all counts, and one that never had anything fresh is late for ever.
func TestLastBack(t *testing.T) {
	list := []oracle.Resumption{{Viewer: "a", Fresh: 5e6}, {Viewer: "b", Fresh: 0}, {Viewer: "b", Fresh: 9e6}}
	if got := lastBack(list, 2, 1e6); got != 8 {
		t.Errorf("the last was back after %v ms", got)
	}
	for name, got := range map[string]reports.Float{
		"missing": lastBack(list, 3, 0), "never fresh": lastBack(append(list, oracle.Resumption{Viewer: "a"}), 2, 0), "none": lastBack(nil, 1, 0),
	} {
		if !math.IsInf(float64(got), 1) {
			t.Errorf("%s gives %v", name, got)
		}
	}
}

func TestCheck(t *testing.T) {
	named := func(name string) sut.Options { return sut.Options{Descriptor: &sut.Descriptor{Name: name}} }
	for _, c := range []struct {
		want   string
		change func(*Options)
	}{
		{"", func(*Options) {}},
		{"1 system", func(o *Options) { o.Systems = o.Systems[:1] }},
		{`two systems are called "b"`, func(o *Options) { o.Systems = append(o.Systems, named("b")) }},
		{`two systems are called "bridged"`, func(o *Options) { o.Systems = append(o.Systems, sut.Options{}, sut.Options{}) }},
		{"0 rounds", func(o *Options) { o.Load.Rounds = 0 }},
		{"-1 viewers", func(o *Options) { o.Load.Viewers = -1 }},
		{"a crowd of 100000", func(o *Options) { o.Load.Crowd = 100_000 }},
		{"rates of NaN", func(o *Options) { o.Load.Rate = math.NaN() }},
		{"rates of +Inf", func(o *Options) { o.Load.Rate = math.Inf(1) }},
		{"a window of 0s", func(o *Options) { o.Load.Window = 0 }},
		{"deliveries that are recorded", func(o *Options) { o.Load.Rate, o.Load.Viewers = 100_000, 1000 }},
	} {
		o := Options{Systems: []sut.Options{named("a"), named("b")}, Load: Default()}
		c.change(&o)
		err := o.Check()
		if (c.want == "") != (err == nil) || (err != nil && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want))) {
			t.Errorf("%q: %v", c.want, err)
		}
	}
}

// TestRead: a comparison comes back as it was kept, its figures made anew, and a
// damaged one is refused.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	c := compared(10, 0.5)
	kept := *c
	kept.Systems = slices.Clone(c.Systems)
	kept.Systems[1].Lost, kept.Systems[1].Figures = 0, nil // somebody flatters
	if err := write(filepath.Join(dir, File), &kept); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(c)
	if text, _ := json.Marshal(got); string(text) != string(want) {
		t.Errorf("read\n%s\nwant\n%s", text, want)
	}
	whole, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []struct{ name, old, new, want string }{
		{"another program", `plumbline.peers/v1`, `other/v1`, `has format "other/v1"`},
		{"unknown field", `"seed"`, `"sead"`, "unknown field"},
		{"no such system", `"system": 1`, `"system": 2`, "of system 3, and there are 2"},
		{"cut short", "}", "", "damaged"},
	} {
		text := strings.Replace(string(whole), d.old, d.new, 1)
		if err := os.WriteFile(filepath.Join(dir, File), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), d.want) {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, ErrUsage) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
}
