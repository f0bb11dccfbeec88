package compare

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"

	"plumbline/harness/spec"
	"plumbline/reports"
	"plumbline/reports/render"
)

// ErrNoRun says that a path holds no run at all.
var ErrNoRun = errors.New("no run")

// ErrNotComparable says that the runs answer different questions.
var ErrNotComparable = errors.New("the runs cannot be compared")

// run is a stored run with the conditions under which it was made.
type run struct {
	*reports.Run
	dir        string
	conditions *spec.Conditions
}

// Readable reports what keeps the runs below a path from being a side of a
// comparison, as an error that wraps ErrNoRun; nil when nothing does.
func Readable(path string) error {
	_, err := load(path)
	return err
}

// loadAll reads the runs of one side.
func loadAll(paths []string) (all []run, err error) {
	for _, path := range paths {
		runs, err := load(path)
		if err != nil {
			return nil, err
		}
		all = append(all, runs...)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Started.Before(all[j].Started) })
	return all, nil
}

// load reads the run in a directory, or every run in the directories of a folder,
// in the order in which they were made. Links, such as latest, are not followed.
func load(path string) ([]run, error) {
	var dirs []string
	if isRun(path) {
		dirs = []string{path}
	} else {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("compare: %w: %w", ErrNoRun, err)
		}
		for _, e := range entries {
			if dir := filepath.Join(path, e.Name()); e.IsDir() && isRun(dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("compare: %w: neither %q nor a folder in it holds %s", ErrNoRun, path, render.SummaryFile)
	}
	runs := make([]run, 0, len(dirs))
	for _, dir := range dirs {
		summary, err := render.Load(dir)
		if err != nil {
			return nil, fmt.Errorf("compare: %w: %w", ErrNoRun, err)
		}
		conditions, err := spec.ReadConditions(dir)
		if err != nil {
			return nil, fmt.Errorf("compare: %w: %q: %w", ErrNoRun, dir, err)
		}
		runs = append(runs, run{Run: summary, dir: dir, conditions: conditions})
	}
	return runs, nil
}

func isRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, render.SummaryFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// fit reports everything that keeps the runs from being compared: they
// must differ in the version of the system and in nothing else that was chosen.
func fit(before, after []run) error {
	first, seen := before[0], map[string]string{}
	var errs []error
	say := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("compare: %w: "+format, append([]any{ErrNotComparable}, args...)...))
	}
	for _, r := range append(slices.Clone(before), after...) {
		if r.Partial != "" {
			say("%q is partial: %s", r.dir, r.Partial)
		}
		if other, twice := seen[r.ID]; twice {
			say("%q and %q are the same run", other, r.dir)
		}
		seen[r.ID] = r.dir
		for _, what := range first.differs(r) {
			say("%q and %q differ in %s", first.dir, r.dir, what)
		}
	}
	for _, side := range [][]run{before, after} {
		for _, r := range side {
			if what, other := side[0].program(), r.program(); what != other {
				say("%q and %q stand on one side and are different programs: %s and %s", side[0].dir, r.dir, what, other)
			}
		}
	}
	return errors.Join(errs...)
}

// differs says in what of all that was chosen two runs differ.
func (r run) differs(other run) (what []string) {
	add := func(name, a, b string) {
		if a != b {
			what = append(what, fmt.Sprintf("%s: %s against %s", name, a, b))
		}
	}
	profile := func(p reports.Profile) string {
		return fmt.Sprintf("%s %s (SHA-256 %.12s)", p.Name, p.Version, p.Digest)
	}
	add("the system under test", r.SUT.Name, other.SUT.Name)
	add("the profile", profile(r.Profile), profile(other.Profile))
	add("the decision rule", r.conditions.Rule, other.conditions.Rule)
	add("the devices", devices(r.Run), devices(other.Run))
	if !slices.Equal(r.Tiers(), other.Tiers()) {
		add("the tier or the time of devices, and live latency is only ever compared within one", r.Places(), other.Places())
	}
	names := map[string]bool{}
	for name := range r.conditions.Loads {
		names[name] = true
	}
	for name := range other.conditions.Loads {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if a, b := r.conditions.Loads[name], other.conditions.Loads[name]; !reflect.DeepEqual(a, b) {
			what = append(what, fmt.Sprintf("the schedule, load %q: %+v against %+v", name, a, b))
		}
	}
	return what
}

// devices says what kinds of devices took part, by their modes: a twin is not
// compared with a real one.
func devices(r *reports.Run) string {
	kinds := map[string]int{}
	for _, d := range r.Devices {
		kinds[string(d.Mode)+" "+d.Kind]++
	}
	if len(kinds) == 0 {
		return "none"
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", kinds[kind], kind))
	}
	return strings.Join(parts, ", ")
}

// program identifies what was tested: version, and digests of the executables.
// Configurations hold ports, which differ from run to run.
func (r run) program() string {
	parts := []string{r.SUT.Version}
	for _, a := range r.SUT.Artifacts {
		if !strings.HasSuffix(a.Path, ".yaml") {
			parts = append(parts, fmt.Sprintf("%s %.12s", a.Path, a.SHA256))
		}
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

// version describes one side.
func version(runs []run) Version {
	v := Version{Version: runs[0].program()}
	for _, r := range runs {
		v.Directories = append(v.Directories, r.dir)
	}
	return v
}

// warnings says what makes the outcome worth less without keeping it back.
func warnings(before, after []run) []string {
	out := []string{}
	a, b := before[0], after[0]
	if a.program() == b.program() {
		out = append(out, "both sides are the same program: whatever differs is chance or the machine")
	}
	if made := order(before, after); !interleaved(made) {
		out = append(out, "the runs of the two versions were not made in turn (old A, new B: "+short(made)+"): a change of the machine looks like one of the system")
	}
	if differ := machine(append(slices.Clone(before), after...)); len(differ) > 0 {
		out = append(out, "the runs were made on different machines: "+strings.Join(differ, ", "))
	}
	if a.Tool.Digest != b.Tool.Digest || a.Tool.Version != b.Tool.Version {
		out = append(out, fmt.Sprintf("the two versions were judged by different builds of plumbline: %s and %s", a.Tool.Version, b.Tool.Version))
	}
	if has, had := strings.Join(b.SUT.Capabilities, ", "), strings.Join(a.SUT.Capabilities, ", "); has != had {
		out = append(out, fmt.Sprintf("the descriptors claim different capabilities: %s; then %s", had, has))
	}
	return out
}

// order writes the runs in the order in which they were made, A an old and B a new one.
func order(before, after []run) string {
	type made struct {
		at   time.Time
		side byte
	}
	var all []made
	for _, r := range before {
		all = append(all, made{r.Started, 'A'})
	}
	for _, r := range after {
		all = append(all, made{r.Started, 'B'})
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].at.Before(all[j].at) })
	var b strings.Builder
	for _, m := range all {
		b.WriteByte(m.side)
	}
	return b.String()
}

// interleaved reports whether the versions took turns as often as in A B B A A B B A,
// by which a drift of the machine bears on both alike.
func interleaved(order string) bool {
	turns := 0
	for i := 1; i < len(order); i++ {
		if order[i] != order[i-1] {
			turns++
		}
	}
	fewer := min(strings.Count(order, "A"), strings.Count(order, "B"))
	return turns >= max(fewer, 2)
}

// short keeps an order readable that has many runs.
func short(order string) string {
	const most = 40
	if len(order) <= most {
		return order
	}
	return order[:most] + "…"
}

// machine names what differs between the machines of the runs. Load is no
// property of one.
func machine(runs []run) (differ []string) {
	for _, r := range runs[1:] {
		for _, key := range slices.Sorted(maps.Keys(r.Environment)) {
			a, b := runs[0].Environment[key], r.Environment[key]
			if text := fmt.Sprintf("%s %q against %q", key, a, b); a != b && !strings.HasPrefix(key, "load") && !slices.Contains(differ, text) {
				differ = append(differ, text)
			}
		}
	}
	return differ
}
