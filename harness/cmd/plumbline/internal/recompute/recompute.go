// Package recompute compares what a stored run says with what its own files
// give: it checks every file against the manifest, has the run judged again
// from conditions, facts and records, and compares the outcome bit for bit with
// summary.json.
//
// It writes nothing. What cannot follow from the files of the run (the machine,
// the program that judged, the time of the end) is taken from the summary and not
// compared; Check does not look at the signature either, which is for verify.
package recompute

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"plumbline/harness/spec"
	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/reports/seal"
)

// ErrNoRun says that a folder holds no run at all.
var ErrNoRun = errors.New("no run directory")

// Line is one requirement, or one part of the run beside its results.
type Line struct {
	Name    string           // "LAT-02", "figures"
	Verdict *reports.Verdict // as the summary says; nil for a part beside the results
	Reason  reports.Reason
	Differs []string // in what; empty when nothing does
}

// Comparison is the outcome of Check.
type Comparison struct {
	Run    *reports.Run // as summary.json says
	Lines  []Line       // one per requirement, then the parts of the summary
	Damage []error      // files that are missing, changed or damaged, and what could not be judged again
}

// Same reports whether the run can be trusted to be what its files give.
func (c *Comparison) Same() bool {
	return len(c.Damage) == 0 && !slices.ContainsFunc(c.Lines, func(l Line) bool { return len(l.Differs) > 0 })
}

// Check compares the run in dir with its own files. ErrNoRun is the only error
// beside that of ctx; whatever is wrong with a run is in the Comparison. It reads
// every file, and needs as much memory as the largest recording.
func Check(ctx context.Context, dir string) (*Comparison, error) {
	c := &Comparison{}
	if !isRun(dir) {
		return nil, fmt.Errorf("%q is %w: it holds no %s", dir, ErrNoRun, render.SummaryFile)
	}
	c.damaged(seal.CheckFiles(ctx, dir))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if !c.readable() {
		return c, nil
	}
	var err error
	if c.Run, err = render.Load(dir); err != nil {
		c.Damage = append(c.Damage, fmt.Errorf("%s: %w", render.SummaryFile, err))
		return c, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, render.SummaryFile)) // of bounded size: it was loaded
	if err != nil {
		c.Damage = append(c.Damage, err)
		return c, nil
	}
	again, err := spec.Recompute(dir)
	c.damaged(err)
	if again != nil {
		c.compare(dir, text, again)
	}
	return c, nil
}

// readable reports whether the directory holds plain files only, as far as its
// manifest was there to tell: a link or a pipe in the place of a record may lead
// anywhere and never end.
func (c *Comparison) readable() bool {
	return !slices.ContainsFunc(c.Damage, func(err error) bool {
		var known *seal.Error
		if !errors.As(err, &known) || known.File == seal.ManifestFile {
			return true
		}
		return known.Reason != seal.ReasonDigest && known.Reason != seal.ReasonMissing && known.Reason != seal.ReasonAdditional
	})
}

// isRun reports whether a folder is one of a run, be it damaged.
func isRun(dir string) bool {
	for _, name := range []string{render.SummaryFile, seal.ManifestFile, seal.EnvelopeFile, "records", "facts"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// damaged keeps joined errors one by one.
func (c *Comparison) damaged(err error) {
	var all interface{ Unwrap() []error }
	switch {
	case err == nil:
	case errors.As(err, &all):
		c.Damage = append(c.Damage, all.Unwrap()...)
	default:
		c.Damage = append(c.Damage, err)
	}
}

// compare enters a line per requirement and one per part of the summary.
func (c *Comparison) compare(dir string, text []byte, again *reports.Run) {
	c.complete(dir, again)
	told, found := c.Run.Judgements(), again.Judgements()
	for _, j := range told {
		i := slices.IndexFunc(found, func(f reports.Judgement) bool { return f.Requirement.ID == j.Requirement.ID })
		line := Line{Name: j.Requirement.ID, Verdict: &j.Verdict, Reason: j.Reason}
		if i < 0 {
			line.Differs = []string{"is not judged by the files"}
		} else {
			line.Differs = results(resultsOf(c.Run, j.Requirement.ID), resultsOf(again, j.Requirement.ID))
			found = slices.Delete(found, i, i+1)
		}
		c.Lines = append(c.Lines, line)
	}
	for _, f := range found {
		c.Lines = append(c.Lines, Line{Name: f.Requirement.ID, Differs: []string{"is judged by the files and not in the summary"}})
	}
	var rendered bytes.Buffer
	if err := render.JSON(&rendered, again); err != nil {
		c.Damage = append(c.Damage, err)
		return
	}
	c.parts(text, rendered.Bytes())
}

// complete takes from the summary what no file gives, and the digests from the
// files themselves. A run that calls itself partial, or without the certificate that
// it earned, although its files do not is believed: it can only be worse for that.
func (c *Comparison) complete(dir string, again *reports.Run) {
	again.Tool, again.Environment, again.Finished = c.Run.Tool, c.Run.Environment, c.Run.Finished
	evidence, err := spec.Evidence(dir)
	c.damaged(err)
	again.Evidence = evidence
	leaveOut(c.Run, again)
	if again.Partial == "" {
		again.Partial = c.Run.Partial
	}
	again.Overall = again.Judge()
	if again.Earned() {
		again.Uncertified = c.Run.Uncertified
	}
}

// leaveOut takes from again what a summary of an earlier version does not show at
// all. No verdict rests on it.
func leaveOut(told, again *reports.Run) {
	if told.Rasters == nil && told.Recoveries == nil && told.Resources == nil && told.Uncertainty == nil && told.Gates == nil {
		again.Rasters, again.Recoveries, again.Resources, again.Uncertainty, again.Gates = nil, nil, nil, nil, nil
	}
}

func resultsOf(run *reports.Run, requirement string) (all []reports.Result) {
	for _, r := range run.Results {
		if r.Requirement == requirement {
			all = append(all, r)
		}
	}
	return all
}

// results says in what the results of one requirement differ.
func results(told, found []reports.Result) (differs []string) {
	if len(told) != len(found) {
		return []string{fmt.Sprintf("%d results in the summary, %d from the files", len(told), len(found))}
	}
	for i := range told {
		a, b := told[i], found[i]
		where := fmt.Sprintf("scenario %s, attempt %d: ", a.Scenario, a.Attempt)
		if a.Verdict != b.Verdict || a.Reason != b.Reason {
			differs = append(differs, fmt.Sprintf("%sverdict %s in the summary, %s from the files", where, name(a), name(b)))
		}
		for _, key := range differing(encode(a), encode(b), "") {
			if key != "verdict" && key != "reason" {
				differs = append(differs, where+key)
			}
		}
	}
	return differs
}

func name(r reports.Result) string {
	if r.Reason != "" {
		return fmt.Sprintf("%s(%s)", r.Verdict, r.Reason)
	}
	return r.Verdict.String()
}

// encode returns the JSON form of a result; one that has none differs from
// everything.
func encode(r reports.Result) []byte {
	r.Started = r.Started.UTC().Round(0)
	text, err := json.Marshal(r)
	if err != nil {
		return []byte(`"` + err.Error() + `"`)
	}
	return text
}

// differing names the members in which two JSON objects differ, one level down
// for a member that is an object on both sides. Texts are compared byte by byte.
func differing(a, b []byte, prefix string) (keys []string) {
	var left, right map[string]json.RawMessage
	if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil {
		if !bytes.Equal(a, b) {
			keys = append(keys, prefix+"form")
		}
		return keys
	}
	for key := range right {
		if _, both := left[key]; !both {
			left[key] = nil
		}
	}
	for key, value := range left {
		switch other := right[key]; {
		case bytes.Equal(value, other):
		case prefix == "" && len(value) > 0 && len(other) > 0 && value[0] == '{' && other[0] == '{':
			keys = append(keys, differing(value, other, key+".")...)
		default:
			keys = append(keys, prefix+key)
		}
	}
	slices.Sort(keys)
	return keys
}

// parts compares the whole summary, so that nothing in it is left unseen.
// Results are named with their requirements already.
func (c *Comparison) parts(told, found []byte) {
	line := Line{Name: "figures and all else of the summary"}
	for _, key := range differing(told, found, "") {
		if key != "results" {
			line.Differs = append(line.Differs, key)
		}
	}
	resultsDiffer := slices.ContainsFunc(c.Lines, func(l Line) bool { return len(l.Differs) > 0 })
	if !bytes.Equal(told, found) && len(line.Differs) == 0 && !resultsDiffer {
		line.Differs = append(line.Differs, "the bytes of "+render.SummaryFile)
	}
	c.Lines = append(c.Lines, line)
}
