package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"plumbline/scenarios/defects"
)

// trialLimit bounds one trial in its process.
const trialLimit = 8 * time.Minute

// What a trial is beside that of a defect or of a control.
const (
	sober    = "sober"    // the conditions of a defect without it
	campaign = "campaign" // the bridge as it ships
)

const outcomeFile = "outcome.json"

// job is one trial to be run.
type job struct {
	id, how, param string
	seed           uint64
}

// folder names the folder of the n-th trial.
func (j job) folder(n int) string {
	return fmt.Sprintf("%03d-%s", n, strings.Trim(j.id+"-"+j.how, "-"))
}

// one runs a single trial in this process and leaves its outcome in the folder.
func one(ctx context.Context, o options) error {
	out, err := try(ctx, o, defects.Programs{Flawed: o.flawed, Bridged: o.bridged})
	if out.ID == "" {
		return err
	}
	text, failed := json.MarshalIndent(out, "", "  ")
	if failed == nil {
		failed = os.WriteFile(filepath.Join(o.dir, outcomeFile), text, 0o644) //nolint:gosec // there to be read by others
	}
	return errors.Join(err, failed)
}

func try(ctx context.Context, o options, with defects.Programs) (defects.Outcome, error) {
	if o.how == campaign {
		return defects.Campaign(ctx, with, o.dir, o.seed)
	}
	d, ok := defects.Find(o.one)
	if ok && o.how == sober {
		return defects.Sober(ctx, with, d, o.dir, o.seed)
	}
	if ok {
		if o.param != "" {
			d.Param = o.param
		}
		return defects.Try(ctx, with, d, o.dir, o.seed)
	}
	if c, ok := defects.FindControl(o.one); ok {
		return defects.Hold(ctx, with, c, o.dir, o.seed)
	}
	return defects.Outcome{}, fmt.Errorf("%w: there is no defect or control %q", errUsage, o.one)
}

// child runs one trial in a process of its own: Ginkgo is one per process, and
// no trial is to find anything that another left.
func (p *prover) child(ctx context.Context, j job) defects.Outcome {
	dir := filepath.Join(p.out, j.folder(int(p.begun.Add(1))))
	failed := func(err error, text []byte) defects.Outcome {
		return defects.Untried(j.id, strings.TrimSpace(err.Error()+" "+string(text)))
	}
	if err := os.RemoveAll(dir); err != nil {
		return failed(err, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, trialLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.self, "--one", j.id, "--how", j.how, "--dir", dir, "--flawed", p.flawed, "--bridged", p.bridged,
		"--param", j.param, "--seed", strconv.FormatUint(j.seed, 10))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	text, err := cmd.CombinedOutput()
	data, unread := os.ReadFile(filepath.Join(dir, outcomeFile))
	if unread != nil {
		return failed(errors.Join(err, unread), text)
	}
	var out defects.Outcome
	if err := json.Unmarshal(data, &out); err != nil {
		return failed(err, text)
	}
	out.Commit = p.commit
	if !p.keep && out.Good() {
		_ = os.RemoveAll(filepath.Join(dir, "records")) // takes room; the report says what was found
	}
	return out
}
