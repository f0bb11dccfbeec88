package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"plumbline/scenarios/defects"
)

// trialLimit bounds one trial in its process.
const trialLimit = 8 * time.Minute

// one runs a single trial in this process and leaves its outcome in the folder.
func one(ctx context.Context, o options) error {
	with := defects.Programs{Flawed: o.flawed, Bridged: o.bridged}
	var out defects.Outcome
	var err error
	if d, ok := defects.Find(o.one); ok {
		if o.param != "" {
			d.Param = o.param
		}
		out, err = defects.Try(ctx, with, d, o.dir, o.seed)
	} else if c, ok := defects.FindControl(o.one); ok {
		out, err = defects.Hold(ctx, with, c, o.dir, o.seed)
	} else {
		return fmt.Errorf("%w: there is no defect or control %q", errUsage, o.one)
	}
	text, failed := json.MarshalIndent(out, "", "  ")
	if failed == nil {
		failed = os.WriteFile(filepath.Join(o.dir, outcomeFile), text, 0o644) //nolint:gosec // there to be read by others
	}
	return errors.Join(err, failed)
}

const outcomeFile = "outcome.json"

// prove runs what was chosen, each trial in a process of its own.
func prove(ctx context.Context, o options) error {
	began := time.Now()
	ids, err := chosen(o)
	if err != nil {
		return err
	}
	if o.out == "" {
		if o.out, err = os.MkdirTemp("", "plumbline-prove-"); err != nil {
			return err
		}
	}
	if err := build(ctx, &o); err != nil {
		return err
	}
	outcomes := make([]defects.Outcome, len(ids))
	var running sync.RWMutex // held for writing by a trial that must be alone
	var printing sync.Mutex
	places := make(chan struct{}, max(o.parallel, 1))
	var all sync.WaitGroup
	for i, id := range ids {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			unlock := enter(&running, id)
			outcomes[i] = child(ctx, o, id, i)
			unlock()
			printing.Lock()
			defer printing.Unlock()
			fmt.Println(line(outcomes[i]))
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	return report(o, outcomes, time.Since(began))
}

// enter waits until the trial may run.
func enter(running *sync.RWMutex, id string) (leave func()) {
	if defects.Alone(id) {
		running.Lock()
		return running.Unlock
	}
	running.RLock()
	return running.RUnlock
}

// chosen returns the ids of what is to be run.
func chosen(o options) (ids []string, err error) {
	if o.clean > 0 {
		return slices.Repeat([]string{"none"}, o.clean), nil
	}
	ids = defects.IDs()
	if o.only == "" {
		return ids, nil
	}
	var only []string
	for id := range strings.SplitSeq(o.only, ",") {
		if !slices.Contains(ids, id) {
			return nil, fmt.Errorf("%w: --only: there is no defect or control %q; known are %s", errUsage, id, strings.Join(ids, ", "))
		}
		only = append(only, id)
	}
	return only, nil
}

// build makes the programs that were not named.
func build(ctx context.Context, o *options) error {
	for path, into := range map[string]*string{"plumbline/scenarios/defects/flawed": &o.flawed, "plumbline/bridge/cmd/bridged": &o.bridged} {
		if *into == "" {
			*into = filepath.Join(o.out, filepath.Base(path))
			cmd := exec.CommandContext(ctx, "go", "build", "-o", *into, path)
			if text, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("build %s: %w\n%s", path, err, text)
			}
		}
		full, err := filepath.Abs(*into)
		if err != nil {
			return err
		}
		*into = full
	}
	return nil
}

// child runs one trial in a process of its own.
func child(ctx context.Context, o options, id string, n int) defects.Outcome {
	dir := filepath.Join(o.out, fmt.Sprintf("%02d-%s", n+1, id))
	failed := func(err error, text []byte) defects.Outcome {
		return defects.Outcome{ID: id, Status: defects.Broken, Why: strings.TrimSpace(err.Error() + " " + string(text))}
	}
	self, err := os.Executable()
	if err != nil {
		return failed(err, nil)
	}
	if err := os.RemoveAll(dir); err != nil {
		return failed(err, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, trialLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "--one", id, "--dir", dir, "--flawed", o.flawed, "--bridged", o.bridged, "--param", o.param, "--seed", strconv.FormatUint(o.seed+uint64(n), 10))
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
	if out.Good() && !o.keep {
		_ = os.RemoveAll(filepath.Join(dir, "records")) // takes room and proves nothing more
	}
	return out
}

// line is one outcome on the console.
func line(o defects.Outcome) string {
	text := fmt.Sprintf("%-12s %-9s %-7s %5.1f s  fired %-7d %s", o.Status, o.ID, o.Kills, o.Seconds, o.Fired, o.Title)
	if !o.Good() {
		text += "\n             " + o.Why
	}
	return text
}

// report prints the sum and keeps the record.
func report(o options, outcomes []defects.Outcome, took time.Duration) error {
	sum := defects.Sum(outcomes)
	fmt.Println(sum)
	fmt.Printf("wall time %s; runs in %s\n", took.Round(time.Second), o.out)
	if o.record != "" {
		if err := defects.WriteRecord(o.record, outcomes); err != nil {
			return err
		}
	}
	if sum.Good() {
		return nil
	}
	return errMissed
}
