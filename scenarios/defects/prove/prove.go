package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/scenarios/defects"
)

// prover runs trials, each in a process of its own.
type prover struct {
	options
	self   string // executable of this program
	commit string // that is tried; "" when nobody knows
	start  time.Time
	begun  atomic.Int64 // trials
}

// prepare makes the folder and the programs that were not named.
func prepare(ctx context.Context, o options) (*prover, error) {
	p := &prover{options: o, start: time.Now(), commit: commitOf(ctx)}
	var err error
	if p.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if p.out == "" {
		if p.out, err = os.MkdirTemp("", "plumbline-prove-"); err != nil {
			return nil, err
		}
	}
	if p.out, err = filepath.Abs(p.out); err != nil {
		return nil, err
	}
	for path, into := range map[string]*string{"plumbline/scenarios/defects/flawed": &p.flawed, "plumbline/bridge/cmd/bridged": &p.bridged} {
		if *into == "" {
			*into = filepath.Join(p.out, filepath.Base(path))
			cmd := exec.CommandContext(ctx, "go", "build", "-o", *into, path)
			if text, err := cmd.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("build %s: %w\n%s", path, err, text)
			}
		}
		if *into, err = filepath.Abs(*into); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// commitOf names what is checked out; "" where that is no working copy.
func commitOf(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// prove tries what was chosen. First come the trials without a defect, so that
// each with one can be held against them.
func (p *prover) prove(ctx context.Context) error {
	ids, err := p.chosen()
	if err != nil {
		return err
	}
	var outcomes []defects.Outcome
	without := verdicts{}
	for _, s := range p.plan(ids) {
		for i, out := range p.run(ctx, s, without) {
			if s.jobs[i].how != sober {
				outcomes = append(outcomes, out)
			}
		}
	}
	outcomes = ended(ctx, outcomes)
	sum := defects.Sum(outcomes)
	fmt.Println(sum)
	if err := p.keepRecord(func(r *defects.Record) { r.Add(outcomes) }); err != nil {
		return err
	}
	return result(ctx, sum.Good())
}

// ended returns the outcomes that an interruption did not make what they are.
func ended(ctx context.Context, all []defects.Outcome) []defects.Outcome {
	if ctx.Err() == nil {
		return all
	}
	return slices.DeleteFunc(all, func(o defects.Outcome) bool { return o.Status == defects.Broken })
}

// result is how the program ends.
func result(ctx context.Context, good bool) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted; what had ended is kept: %w", context.Cause(ctx))
	case !good:
		return errMissed
	}
	return nil
}

// run runs the trials of a stage and prints each when it has ended. The outcomes
// come in the order of the jobs; those that a cancelled context kept from
// beginning are errors.
func (p *prover) run(ctx context.Context, s stage, without verdicts) []defects.Outcome {
	outcomes := make([]defects.Outcome, len(s.jobs))
	places := make(chan struct{}, max(s.places, 1))
	var all sync.WaitGroup
	var ended sync.Mutex
	for i, j := range s.jobs {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			out := defects.Untried(j.id, "interrupted")
			if ctx.Err() == nil {
				out = p.child(ctx, j)
			}
			ended.Lock()
			defer ended.Unlock()
			outcomes[i] = without.settle(j, out)
			if ctx.Err() == nil {
				fmt.Println(line(outcomes[i]))
			}
		})
	}
	all.Wait()
	return outcomes
}

// chosen returns the ids of what is to be run.
func (p *prover) chosen() ([]string, error) {
	ids := defects.IDs()
	if p.only == "" {
		return ids, nil
	}
	only := strings.Split(p.only, ",")
	for _, id := range only {
		if !slices.Contains(ids, id) {
			return nil, fmt.Errorf("%w: --only: there is no defect or control %q; known are %s", errUsage, id, strings.Join(ids, ", "))
		}
	}
	return only, nil
}

// line is one outcome on the console.
func line(o defects.Outcome) string {
	text := fmt.Sprintf("%-12s %-10s %-7s %5.1f s  fired %-7d %s", o.Status, o.ID, o.Kills, o.Seconds, o.Fired, o.Title)
	if !o.Good() {
		text += "\n             " + o.Why
	}
	return text
}

// keepRecord changes the record, where one is kept, and says how long all took.
func (p *prover) keepRecord(change func(*defects.Record)) error {
	fmt.Printf("wall time %s; runs in %s\n", time.Since(p.start).Round(time.Second), p.out)
	if p.record == "" {
		return nil
	}
	r, err := defects.ReadRecord(p.record)
	if err != nil {
		return err
	}
	change(&r)
	return r.Write(p.record)
}

// campaignsAtOnce is how many campaigns may run side by side: most of their time
// they wait, and a machine that is a little busy gives false alarms a chance.
const campaignsAtOnce = 2

// clean runs campaigns of the bridge as it ships. One that was interrupted does
// not count; those before it do.
func (p *prover) clean(ctx context.Context) error {
	s := stage{places: min(p.parallel, campaignsAtOnce)}
	for i := range p.options.clean {
		s.jobs = append(s.jobs, job{id: campaign, how: campaign, seed: p.seed + uint64(i)})
	}
	sum := defects.CleanOf(ended(ctx, p.run(ctx, s, nil)))
	fmt.Println(sum)
	if sum.Campaigns == 0 {
		return result(ctx, false)
	}
	if err := p.keepRecord(func(r *defects.Record) { r.Clean = &sum }); err != nil {
		return err
	}
	return result(ctx, sum.Good())
}

// limits runs the sweeps, or those of the defects that were chosen. What was found
// before one that went wrong is kept.
func (p *prover) limits(ctx context.Context) error {
	only, err := p.chosen()
	if err != nil {
		return err
	}
	var found []defects.Limit
	for _, sweep := range defects.Sweeps() {
		if !slices.Contains(only, sweep.ID) {
			continue
		}
		var l defects.Limit
		if l, err = p.sweep(ctx, sweep); err != nil {
			break
		}
		found = append(found, l)
	}
	return errors.Join(err, p.keepRecord(func(r *defects.Record) { r.AddLimits(found) }))
}

// sweep looks for the limit of one defect. First comes a trial without it: a FAIL
// that comes anyhow finds nothing, however small.
func (p *prover) sweep(ctx context.Context, s defects.Sweep) (defects.Limit, error) {
	without := verdicts{}
	try := func(j job) defects.Outcome { return p.run(ctx, stage{places: 1, jobs: []job{j}}, without)[0] }
	try(job{id: s.ID, how: sober, seed: p.seed})
	l, err := s.Search(func(size defects.Size, n int) (bool, error) {
		out := try(job{id: s.ID, param: size.Param, seed: p.seed + uint64(n)})
		switch {
		case ctx.Err() != nil:
			return false, fmt.Errorf("interrupted: %w", context.Cause(ctx))
		case out.Status == defects.Broken || out.Status == defects.Unproven:
			return false, errors.New(out.Why)
		}
		return out.Status == defects.Killed, nil
	})
	if err != nil {
		return l, err
	}
	l.Date, l.Commit = time.Now().UTC().Format(time.DateOnly), p.commit
	fmt.Printf("%s, %s: found from %s on; not always %s (%d trials)\n", l.ID, l.What, l.Found, l.Missed, l.Trials)
	return l, nil
}
