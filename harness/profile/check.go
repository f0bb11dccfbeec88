package profile

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"plumbline/harness/strictyaml"
)

// apiVersion and kind open every profile file.
const (
	apiVersion = "plumbline/v1"
	kind       = "Profile"
)

// mostReference bounds the delay of the reference bridge.
const mostReference = time.Second

type rawProfile struct {
	APIVersion string              `yaml:"apiVersion"`
	Kind       string              `yaml:"kind"`
	Name       string              `yaml:"name"`
	Version    string              `yaml:"version"`
	Purpose    string              `yaml:"purpose"`
	Certifies  bool                `yaml:"certifies"`
	Gates      rawGates            `yaml:"gates"`
	Limits     map[string]rawLimit `yaml:"limits"`
	Loads      map[string]rawLoad  `yaml:"loads"`
}

type rawGates struct {
	Offered   string `yaml:"offered"`
	Slip      string `yaml:"slip"`
	Blocks    int    `yaml:"blocks"`
	MinBlock  string `yaml:"minBlock"`
	MaxBlock  string `yaml:"maxBlock"`
	Steady    bool   `yaml:"stationary"`
	Attempts  int    `yaml:"attempts"`
	Guard     string `yaml:"guard"`
	GuardNote string `yaml:"guardSource"`
	Reference string `yaml:"reference"`
}

type rawLimit struct {
	Limit   string `yaml:"limit"`
	Samples int64  `yaml:"samples"`
	Source  string `yaml:"source"`
}

type rawLoad struct {
	Runs    int    `yaml:"runs"`
	Extend  int    `yaml:"extend"`
	Devices int    `yaml:"devices"`
	Rate    string `yaml:"rate"`
	Viewers int    `yaml:"viewers"`
	Burst   int    `yaml:"burst"`
	WarmUp  string `yaml:"warmUp"`
	Window  string `yaml:"window"`
	Drain   string `yaml:"drain"`
	Cycles  int    `yaml:"cycles"`
	Hold    string `yaml:"hold"`
}

// checker turns what was written into a Profile, or says what is wrong.
type checker struct {
	doc       *strictyaml.Document
	catalogue Catalogue
	raw       *rawProfile
	profile   *Profile
}

func (k *checker) run() error {
	for _, step := range []func() error{k.head, k.gates, k.loads, k.limits, k.quantiles} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (k *checker) head() error {
	switch {
	case k.raw.APIVersion != apiVersion:
		return k.doc.Errorf([]any{"apiVersion"}, "is %q; this program reads %q", k.raw.APIVersion, apiVersion)
	case k.raw.Kind != kind:
		return k.doc.Errorf([]any{"kind"}, "is %q; a profile says %q", k.raw.Kind, kind)
	case k.raw.Name == "":
		return k.doc.Errorf([]any{"name"}, "must be given")
	case k.raw.Version == "":
		return k.doc.Errorf([]any{"version"}, "must be given; results name it")
	}
	return nil
}

// certifyingBlocks is the least number of time blocks behind the variance factor
// of rule DR-2.
const certifyingBlocks = 30

func (k *checker) gates() error {
	g := &k.profile.Gates
	var err error
	if g.Offered, err = k.share([]any{"gates", "offered"}, k.raw.Gates.Offered); err != nil {
		return err
	}
	if g.Slip, err = k.share([]any{"gates", "slip"}, k.raw.Gates.Slip); err != nil {
		return err
	}
	if g.MinBlock, err = k.time([]any{"gates", "minBlock"}, k.raw.Gates.MinBlock); err != nil {
		return err
	}
	if g.MaxBlock, err = k.time([]any{"gates", "maxBlock"}, k.raw.Gates.MaxBlock); err != nil {
		return err
	}
	if g.MaxBlock > 0 && g.MaxBlock < g.MinBlock {
		return k.doc.Errorf([]any{"gates", "maxBlock"}, "%s is shorter than minBlock, %s", g.MaxBlock, g.MinBlock)
	}
	if g.Guard, err = k.time([]any{"gates", "guard"}, k.raw.Gates.Guard); err != nil {
		return err
	}
	if g.Reference, err = k.time([]any{"gates", "reference"}, k.raw.Gates.Reference); err != nil {
		return err
	}
	g.Blocks, g.Steady, g.Attempts, g.GuardNote = k.raw.Gates.Blocks, k.raw.Gates.Steady, k.raw.Gates.Attempts, k.raw.Gates.GuardNote
	switch {
	case g.Offered <= 0 || g.Slip <= 0 || g.MinBlock <= 0 || g.Guard <= 0:
		return k.doc.Errorf([]any{"gates"}, "offered, slip, minBlock and guard must all be given and above zero; a gate that is always open is no gate")
	case g.Offered < 0.999:
		return k.doc.Errorf([]any{"gates", "offered"}, "%q is looser than the rule: less than 99.9 %% sent is no valid run (metrology 1.1)", k.raw.Gates.Offered)
	case g.Slip > 0.05:
		return k.doc.Errorf([]any{"gates", "slip"}, "%q is looser than the rule: a send slip above a twentieth of the limit is no valid run (metrology 0)", k.raw.Gates.Slip)
	case g.Reference < 0 || g.Reference > mostReference:
		return k.doc.Errorf([]any{"gates", "reference"}, "%q is not between 0 and %s: choose a delay near the limits that matter most", k.raw.Gates.Reference, mostReference)
	case g.Attempts < 1 || g.Attempts > 3:
		return k.doc.Errorf([]any{"gates", "attempts"}, "%d is not between 1 and 3: what a gate voided may be repeated twice at most (metrology 0)", g.Attempts)
	case g.Blocks < 2:
		return k.doc.Errorf([]any{"gates", "blocks"}, "is %d; fewer than 2 blocks say nothing about autocorrelation (metrology asks for 30)", g.Blocks)
	case k.profile.Certifies && g.Blocks < certifyingBlocks:
		return k.doc.Errorf([]any{"gates", "blocks"}, "%d are too few to certify: the variance factor takes at least %d (metrology 2.3)", g.Blocks, certifyingBlocks)
	}
	return nil
}

func (k *checker) loads() error {
	known := make([]string, 0, len(k.catalogue.Loads))
	for name := range k.catalogue.Loads {
		known = append(known, name)
	}
	slices.Sort(known)
	for _, name := range sortedKeys(k.raw.Loads) {
		needs, found := k.catalogue.Loads[name]
		if !found {
			return k.doc.Errorf([]any{"loads", name}, "no scenario uses this load%s; known are %s", meant(name, known), strings.Join(known, ", "))
		}
		load, err := k.load(name, k.raw.Loads[name])
		if err != nil {
			return err
		}
		for _, need := range needs {
			field, than := parsedNeed(need)
			switch {
			case load.above(field, than):
			case than > 0:
				return k.doc.Errorf([]any{"loads", name, field}, "must be given and above %d: a scenario of this load takes more", than)
			default:
				return k.doc.Errorf([]any{"loads", name, field}, "must be given and above zero")
			}
		}
		k.profile.Loads[name] = load
	}
	for _, name := range known {
		if _, given := k.raw.Loads[name]; !given {
			return k.doc.Errorf([]any{"loads"}, "load %q is missing", name)
		}
	}
	return nil
}

func (k *checker) load(name string, raw rawLoad) (Load, error) {
	at := func(field string) []any { return []any{"loads", name, field} }
	l := Load{Runs: raw.Runs, Extend: raw.Extend, Devices: raw.Devices, Viewers: raw.Viewers, Burst: max(raw.Burst, 1), Cycles: raw.Cycles}
	for _, n := range []struct {
		field string
		value int
		most  int
	}{{"runs", raw.Runs, 1000}, {"extend", raw.Extend, 1000}, {"devices", raw.Devices, 100_000}, {"viewers", raw.Viewers, 100_000}, {"burst", raw.Burst, 10_000}, {"cycles", raw.Cycles, 100_000}} {
		if n.value < 0 || n.value > n.most {
			return l, k.doc.Errorf(at(n.field), "%d is not between 0 and %d", n.value, n.most)
		}
	}
	if raw.Rate != "" {
		q, err := ParseQuantity(raw.Rate)
		if err == nil {
			l.Rate, err = q.Rate()
		}
		if err != nil {
			return l, k.doc.Errorf(at("rate"), "%v", err)
		}
		if l.Rate <= 0 || l.Rate > MaxRate {
			return l, k.doc.Errorf(at("rate"), "%q is not between 0 and 1 000 000 /s", raw.Rate)
		}
	}
	for _, d := range []struct {
		field string
		value string
		into  *time.Duration
	}{{"warmUp", raw.WarmUp, &l.WarmUp}, {"window", raw.Window, &l.Window}, {"drain", raw.Drain, &l.Drain}, {"hold", raw.Hold, &l.Hold}} {
		value, err := k.time(at(d.field), d.value)
		if err != nil {
			return l, err
		}
		*d.into = value
	}
	return l, nil
}

// parsedNeed splits what Catalogue.Loads says into a field and what it must be above.
func parsedNeed(need string) (field string, than int) {
	field, text, told := strings.Cut(need, ">")
	if !told {
		return field, 0
	}
	than, err := strconv.Atoi(text)
	if err != nil {
		return need, 0 // which no load has
	}
	return field, than
}

// above reports whether the field of that name is above a number; a burst of one is none.
func (l Load) above(field string, than int) bool {
	return map[string]bool{
		"runs": l.Runs > than, "devices": l.Devices > than, "rate": l.Rate > float64(than), "viewers": l.Viewers > than, "burst": l.Burst > max(than, 1),
		"warmUp": l.WarmUp > 0, "window": l.Window > 0, "drain": l.Drain > 0, "cycles": l.Cycles > than, "hold": l.Hold > 0,
	}[field]
}

func (k *checker) limits() error {
	var ids []string
	byID := map[string]Known{}
	for _, known := range k.catalogue.Requirements {
		ids = append(ids, known.Requirement.ID)
		byID[known.Requirement.ID] = known
	}
	for _, id := range sortedKeys(k.raw.Limits) {
		known, found := byID[id]
		if !found {
			return k.doc.Errorf([]any{"limits", id}, "the catalogue holds no such requirement%s", meant(id, ids))
		}
		limit, err := k.limit(known, k.raw.Limits[id])
		if err != nil {
			return err
		}
		k.profile.Limits[id] = limit
	}
	for _, id := range ids {
		if _, given := k.raw.Limits[id]; !given && k.profile.Asks(byID[id].Requirement) {
			return k.doc.Errorf([]any{"limits"}, "requirement %s has no limit; a profile that certifies may leave out optional ones only", id)
		}
	}
	return nil
}

func (k *checker) limit(known Known, raw rawLimit) (Limit, error) {
	at := func(field string) []any { return []any{"limits", known.Requirement.ID, field} }
	limit := Limit{Samples: raw.Samples, Source: raw.Source}
	quantity, err := ParseQuantity(raw.Limit)
	if err != nil {
		return limit, k.doc.Errorf(at("limit"), "%v", err)
	}
	limit.Value = quantity
	if known.Unit == UnitShare {
		if limit.Share, err = quantity.Share(); err != nil {
			return limit, k.doc.Errorf(at("limit"), "%v", err)
		}
	} else if known.Unit == UnitTime {
		if limit.Time, err = quantity.Duration(); err != nil {
			return limit, k.doc.Errorf(at("limit"), "%v", err)
		}
		if limit.Time <= k.profile.Gates.Guard {
			return limit, k.doc.Errorf(at("limit"), "%q is impossible: it must be above zero and above the measurement uncertainty U = %s", raw.Limit, k.profile.Gates.Guard)
		}
	} else if limit.Count, err = quantity.Count(known.Unit, strings.TrimSuffix(known.Unit, "s")); err != nil {
		return limit, k.doc.Errorf(at("limit"), "%v; write for example \"0 %s\"", err, known.Unit)
	}
	if raw.Source == "" {
		return limit, k.doc.Errorf(at("source"), "must be given: a standard, a document, or \"judgement\"")
	}
	return limit, k.samples(known, raw, at)
}

// samples refuses a sample count that cannot carry the verdict: too few for
// the decision rule, fewer than the catalogue demands, or more than the load
// sends.
func (k *checker) samples(known Known, raw rawLimit, at func(string) []any) error {
	least := max(known.Requirement.MinSamples, 1)
	if q := known.Requirement.Quantile; q > 0 {
		least = max(least, LeastSamples(q, 0.95))
	}
	if raw.Samples < least {
		return k.doc.Errorf(at("samples"), "%d effective samples cannot decide %s; at least %d are needed", raw.Samples, known.Requirement.ID, least)
	}
	load, found := k.profile.Loads[known.Load]
	if found && load.Rate > 0 && load.Window > 0 && float64(raw.Samples) > load.Messages()*float64(max(load.Viewers, 1)) {
		return k.doc.Errorf(at("samples"), "%d samples are more than load %q can bring (%.0f)", raw.Samples, known.Load, load.Messages()*float64(max(load.Viewers, 1)))
	}
	if found && load.Window == 0 && load.Cycles > 0 && raw.Samples > int64(load.Cycles) {
		return k.doc.Errorf(at("samples"), "%d samples are more than load %q can bring: %d cycles, one in each", raw.Samples, known.Load, load.Cycles)
	}
	return nil
}

// LeastSamples returns the smallest n with q^n ≤ 1−confidence: below it no
// upper bound of the q-quantile exists (metrology 2.1).
func LeastSamples(q, confidence float64) int64 {
	return int64(math.Ceil(math.Log(1-confidence) / math.Log(q)))
}

// quantiles refuses limits in the wrong order: a higher quantile can never
// be lower.
func (k *checker) quantiles() error {
	families := map[string]Known{}
	ordered := slices.Clone(k.catalogue.Requirements)
	slices.SortStableFunc(ordered, func(a, b Known) int {
		return cmp.Compare(a.Requirement.Quantile, b.Requirement.Quantile)
	})
	for _, known := range ordered {
		r := known.Requirement
		if r.Quantile == 0 || known.Unit != UnitTime || known.Load == "" || !k.profile.Asks(r) {
			continue
		}
		key := r.Measurand
		if lower, seen := families[key]; seen && k.profile.Limits[lower.Requirement.ID].Time > k.profile.Limits[r.ID].Time {
			return k.doc.Errorf([]any{"limits", r.ID, "limit"}, "%s is impossible: the lower quantile of %s may take %s",
				k.profile.Limits[r.ID].Value, lower.Requirement.ID, k.profile.Limits[lower.Requirement.ID].Value)
		}
		families[key] = known
	}
	return nil
}

func (k *checker) time(path []any, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	q, err := ParseQuantity(text)
	if err != nil {
		return 0, k.doc.Errorf(path, "%v", err)
	}
	d, err := q.Duration()
	if err != nil {
		return 0, k.doc.Errorf(path, "%v", err)
	}
	if d < 0 {
		return 0, k.doc.Errorf(path, "%q is negative", text)
	}
	return d, nil
}

func (k *checker) share(path []any, text string) (float64, error) {
	q, err := ParseQuantity(text)
	if err != nil {
		return 0, k.doc.Errorf(path, "%v", err)
	}
	s, err := q.Share()
	if err != nil {
		return 0, k.doc.Errorf(path, "%v", err)
	}
	return s, nil
}

func meant(word string, candidates []string) string {
	if near := strictyaml.Nearest(word, candidates); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
