package defects

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
	"plumbline/reports/render"
)

// Programs names the executables of a trial.
type Programs struct {
	Flawed  string
	Bridged string
}

// Try runs the scenario of a defect against it. dir must be empty; the records
// stay there. Killed says that the named requirement said FAIL; whether it would
// have done so anyhow see Sober and Outcome.Against. The error is of the trial.
func Try(ctx context.Context, with Programs, d Defect, dir string, seed uint64) (Outcome, error) {
	out := d.outcome()
	run, err := trial(ctx, with, &out, d.run(d.ID, d.Param, d.asked(), dir, seed))
	if err != nil {
		out.Status, out.Why = Broken, err.Error()
		return out, err
	}
	for _, j := range run.Judgements() {
		if j.Requirement.ID == d.Kills {
			out.Status, out.Why = statusOf(j, out.Fired)
		}
	}
	if out.Status == "" {
		out.Status, out.Why = Broken, "the run does not list requirement "+d.Kills
	}
	return out, nil
}

// Sober runs the scenario of a defect without it, under its conditions and with
// the requirements of all defects that share them. dir must be empty.
func Sober(ctx context.Context, with Programs, d Defect, dir string, seed uint64) (Outcome, error) {
	asked := d.asked()
	for _, other := range All() {
		if other.Condition() == d.Condition() && !slices.Contains(asked.named, other.Kills) {
			asked.named = append(asked.named, other.Kills)
		}
	}
	out := Outcome{ID: none, Title: "without " + d.ID, Scenario: d.Scenario}
	run, err := trial(ctx, with, &out, d.run(none, "", asked, dir, seed))
	if err != nil {
		out.Status, out.Why = Broken, err.Error()
		return out, err
	}
	out.Status, out.Why = hold(run, asked.named, false)
	for _, j := range run.Judgements() {
		if slices.Contains(asked.named, j.Requirement.ID) {
			out.Verdicts[j.Requirement.ID] = soberly(j)
		}
	}
	return out, nil
}

// Hold runs a control. dir must be empty.
func Hold(ctx context.Context, with Programs, c Control, dir string, seed uint64) (Outcome, error) {
	out := c.outcome()
	run, err := trial(ctx, with, &out, run{
		id: c.ID, param: c.Param, filter: strings.Join(c.Scenario, " || "), dir: dir, seed: seed, asks: c.asked(),
	})
	if err != nil {
		out.Status, out.Why = Broken, err.Error()
		return out, err
	}
	out.Status, out.Why = hold(run, c.Green, len(c.Scenario) == 0)
	if out.Status == Green && c.ID != none && out.Fired == 0 {
		out.Status, out.Why = NeverFired, "the control did not show itself"
	}
	return out, nil
}

// hold says what a run makes of a control of which these requirements count; all
// that the run judged when there are none, all that the profile asks for when
// whole is set. What says nothing is not green.
func hold(run *reports.Run, named []string, whole bool) (Status, string) {
	var red, broken, open []string
	green := 0
	for _, j := range run.Judgements() {
		if len(named) > 0 && !slices.Contains(named, j.Requirement.ID) {
			continue
		}
		switch j.Verdict {
		case reports.Pass:
			green++
		case reports.Fail, reports.ConditionalFail:
			red = append(red, sentence(j))
		case reports.Error:
			broken = append(broken, sentence(j))
		case reports.NotApplicable:
			if len(named) > 0 {
				open = append(open, sentence(j))
			}
		case reports.NotRun:
			if len(named) > 0 || whole {
				open = append(open, sentence(j))
			}
		default:
			open = append(open, sentence(j))
		}
	}
	switch {
	case len(red) > 0:
		return FalseFail, strings.Join(red, " | ")
	case len(broken) > 0:
		return Broken, strings.Join(broken, " | ")
	case len(open) > 0:
		// The machine was too busy for a statement: neither green nor a false FAIL.
		return Inconclusive, strings.Join(open, " | ")
	case green == 0 || green < len(named):
		return Broken, fmt.Sprintf("%d requirements said PASS, %d are in question", green, len(named))
	}
	return Green, ""
}

// none is the defect that is none, and the control of it.
const none = "none"

// run is what a trial runs.
type run struct {
	asks
	id, param, filter string
	dir               string
	seed              uint64
	bare              bool // bridged alone
	rs256, mqtt       bool
	squeeze           bool
	claims            []string
	nodes             int
	cluster           bool
}

// run is a trial under the conditions of a defect.
func (d Defect) run(id, param string, asked asks, dir string, seed uint64) run {
	return run{
		asks: asked, id: id, param: param, filter: d.Scenario, dir: dir, seed: seed, rs256: d.RS256, mqtt: d.MQTT, squeeze: d.Squeeze, claims: d.Claims, nodes: d.Nodes, cluster: d.Cluster,
	}
}

// trial runs scenarios against flawed and fills in what is alike for all.
func trial(ctx context.Context, with Programs, out *Outcome, r run) (*reports.Run, error) {
	began := time.Now()
	out.Date = began.UTC().Format(time.DateOnly)
	defer func() { out.Seconds = time.Since(began).Round(100 * time.Millisecond).Seconds() }()
	p, err := r.profile()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil { //nolint:gosec // reports are there to be read by others
		return nil, fmt.Errorf("defects: %w", err)
	}
	counter, err := filepath.Abs(filepath.Join(r.dir, "fired"))
	if err != nil {
		return nil, fmt.Errorf("defects: %w", err)
	}
	system, err := descriptor(with, r, counter)
	if err != nil {
		return nil, err
	}
	result, err := spec.Execute(ctx, spec.Options{
		Profile: p, SUT: sut.Options{Binary: with.Bridged, Descriptor: system}, LabelFilter: r.filter,
		Devices: declared(r.nodes), Dir: r.dir, ID: r.id, Seed: r.seed, Tool: reports.Tool{Name: "prove"},
	})
	switch {
	case result == nil:
		return nil, errors.Join(err, errors.New("defects: nothing was judged"))
	case err != nil && !errors.Is(err, sut.ErrUnavailable): // of a system that was not there verdicts tell
		return nil, err
	}
	if err := render.All(r.dir, result); err != nil {
		return nil, err
	}
	if out.Fired, err = fired(counter); err != nil {
		return nil, err
	}
	out.Verdicts = map[string]string{}
	for _, j := range result.Judgements() {
		if j.Verdict != reports.NotRun && j.Verdict != reports.NotApplicable {
			out.Verdicts[j.Requirement.ID] = j.Verdict.String()
		}
	}
	return result, nil
}

// declared are so many nodes that a rig declares, at a speed that takes all they say;
// the built-in mix for none.
func declared(nodes int) (list []harness.DeviceSpec) {
	for i := range nodes {
		list = append(list, harness.DeviceSpec{ID: fmt.Sprintf("node-%d", i+1), Kind: harness.KindNodeTwin, Baud: 115_200})
	}
	return list
}

// wallFile tells flawed by how much the hook has stepped its wall clock.
const wallFile = "{{dir}}/wall"

// descriptor is bridged behind flawed, or bridged as it ships.
func descriptor(with Programs, r run, counter string) (*sut.Descriptor, error) {
	if r.bare {
		return sut.Default(), nil
	}
	front := []string{with.Flawed, "--defect", r.id, "--param", r.param, "--seed", strconv.FormatUint(r.seed, 10), "--counter", counter}
	if r.cluster {
		d, err := sut.Load(ClusterFile)
		if err == nil {
			err = behind(d, func(node string) []string { return append(slices.Clone(front), "--counter", counter+"-"+node) }) // the last one counts
		}
		return d, err
	}
	if r.rs256 {
		front = append(front, "--rsa", "{{dir}}/viewers.pem")
	}
	if r.clock {
		front = append(front, "--clock", wallFile)
	}
	if r.mqtt {
		front = append(front, "--mqtt")
	}
	if r.squeeze {
		front = append(front, "--compress")
	}
	d := sut.Fronted(front...)
	d.Name = "bridged behind flawed: " + r.id
	d.Description = "the bridge of this repository behind a relay with one seeded defect"
	d.Capabilities = append(d.Capabilities, r.claims...)
	d.Viewer.Page = sut.Page{
		URL:    "https://127.0.0.1:{{port:front-viewers}}/plain#ws=wss://127.0.0.1:{{port:front-viewers}}/ws&filter={{filter}}",
		SignIn: sut.SignIn{Post: "https://127.0.0.1:{{port:front-viewers}}/session", Body: `{"token":"{{token}}"}`},
	}
	if r.rs256 {
		d.Auth.JWT.Alg, d.Auth.JWT.PrivateKeyFile = "RS256", "{{dir}}/viewers.pem"
	}
	if r.mqtt {
		d.Viewer = sut.Viewer{Protocol: viewer.MQTT, URL: d.Viewer.URL, MQTTVersion: "5", Origin: d.Viewer.Origin, CA: d.Viewer.CA}
		d.Auth, d.Capabilities = nil, []string{sut.CapQoS1, sut.CapTLS, sut.CapBinary, sut.CapProperties}
	}
	if r.clock {
		d.Hooks.StepClock = []string{with.Flawed, "--step", wallFile}
		d.Ops = sut.Ops{} // those pages are bridged's and tell the time of the machine
	}
	return d, nil
}

// fired reads how often the defect showed itself, at each bridge where there are several; 0 when it was never started.
func fired(path string) (all uint64, err error) {
	files, err := filepath.Glob(path + "*")
	for _, file := range files {
		n, bad := counted(file)
		all, err = all+n, errors.Join(err, bad)
	}
	return all, err
}

func counted(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("defects: counter: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("defects: counter: %w", err)
	}
	return n, nil
}
