package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"plumbline/harness"
	"plumbline/harness/cmd/plumbline/internal/campaign"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/scenarios" // the catalogue registers itself
)

// conduct runs a campaign from flags to the last line of the console.
func conduct(ctx context.Context, s streams, f *campaignFlags, certify bool) error {
	opts, err := f.options(certify)
	if err != nil {
		return err
	}
	selected, err := spec.List(opts.Profile, opts.LabelFilter)
	if err != nil {
		return classify(err)
	}
	// Before there is a run directory: a refused run leaves none.
	kept, left, err := harness.LeaveOut(ctx, declared(opts.Devices))
	if err != nil {
		return classify(err)
	}
	if opts.LeftOut = left; len(left) > 0 {
		opts.Devices = kept
	}
	hosts, hangUp, err := f.agents.dial(ctx)
	defer hangUp()
	if err != nil {
		return err
	}
	opts.Agents, opts.Tool = hosts, tool()
	// A reader that goes away (| head) must not end a measurement.
	signal.Ignore(syscall.SIGPIPE)
	progress := console.NewProgress(s.out, s.style(), time.Now)
	progress.Head(head(opts, selected))
	for _, why := range left {
		fmt.Fprintln(s.err, "plumbline: left out, as the rig file allows:", console.Clean(why))
	}
	out, err := campaign.Run(ctx, campaign.Options{
		Root: f.output, Dir: f.runDir, Profile: opts.Profile.Name, Key: f.key, Now: time.Now,
		Customer: f.customer, Authoriser: f.authoriser, Method: methodOf,
	}, func(ctx context.Context, dir, id string) (*reports.Run, error) {
		return measure(ctx, opts, dir, id, f.effective(opts, certify), progress)
	})
	_ = progress.Close() // a reader that went away; the summary below meets it again
	if out == nil {
		return err
	}
	f.made = append(f.made, out.Dir)
	return finish(s, out, err)
}

// measure records what was asked for and runs the engine.
func measure(ctx context.Context, opts spec.Options, dir, id string, asked effective, progress *console.Progress) (*reports.Run, error) {
	if err := asked.write(dir); err != nil {
		return nil, campaign.WriteError(dir, err)
	}
	events, err := openEvents(filepath.Join(dir, eventsFile))
	if err != nil {
		return nil, campaign.WriteError(dir, err)
	}
	opts.Dir, opts.ID = dir, id
	opts.Progress = func(ev spec.Event) {
		events.add(ev)
		show(progress, ev)
	}
	run, err := spec.Execute(ctx, opts)
	if written := events.close(); err == nil {
		err = campaign.WriteError(dir, written)
	}
	if err != nil && exit.Code(context.Cause(ctx)) == reports.ExitInterrupted && ctx.Err() != nil {
		return run, context.Cause(ctx)
	}
	return run, classify(err)
}

// finish prints the end of a run that is on disk and returns its exit code.
func finish(s streams, out *campaign.Outcome, err error) error {
	code := exit.OfRun(out.Run)
	if err != nil {
		code = exit.Worst(code, exit.Code(err))
		complain(s.err, err)
	}
	if out.NewKey {
		fmt.Fprintf(s.out, "\na signing key was made for you: %s\n", out.Key)
	}
	certificate(s, out, err)
	if werr := console.Summary(s.out, s.style(), out.Run, console.Ending{
		Code: code, Report: out.Report,
	}); werr != nil {
		complain(s.err, fmt.Errorf("print the summary: %w (the report is %s)", werr, out.Report))
	}
	return leave(code)
}

// certificate says where the certificate is, and of a run that was to certify
// and passed why there is none.
func certificate(s streams, out *campaign.Outcome, err error) {
	switch {
	case out.Issued == nil || err != nil:
	case out.Issued.Certificate != nil:
		fmt.Fprintf(s.out, "certificate %s: %s\n", console.Clean(out.Issued.ID), filepath.Join(out.Dir, render.CertificateFile))
	case out.Run.Certified():
		fmt.Fprintf(s.out, "no certificate: %s\n", console.Clean(out.Issued.Why))
	}
}

// methodOf names by digest what judged the run in dir; a run that was cut short
// before it began states none.
func methodOf(dir string) reports.Method {
	c, err := spec.ReadConditions(dir)
	if err != nil {
		return reports.Method{}
	}
	return reports.Method{Rule: c.Rule, RuleDigest: c.RuleDigest, CatalogueDigest: c.Catalogue, ProofDigest: scenarios.ProofDigest()}
}

// head is the first line of the run. Devices are named only when a selected
// scenario opens them.
func head(opts spec.Options, selected []spec.Scenario) console.Head {
	descriptor := opts.SUT.Descriptor
	if descriptor == nil {
		descriptor = sut.Default()
	}
	name := descriptor.Name
	if descriptor.Version != "" {
		name += " " + descriptor.Version
	}
	var part []reports.Device
	h := console.Head{SUT: name, Profile: opts.Profile.Name, Seed: opts.Seed, Scenarios: len(selected)}
	for _, sc := range selected {
		if !sc.Declared {
			part = append(part, reports.Device{Mode: reports.ModeSim})
			continue
		}
		for _, d := range declared(opts.Devices) {
			part = append(part, reports.Device{Mode: modeOf(d)})
		}
		h.Devices = len(declared(opts.Devices))
	}
	h.Modes = console.Modes(part)
	return h
}

// show passes an event of the engine on to the console.
func show(p *console.Progress, ev spec.Event) {
	switch ev.Kind {
	case spec.ScenarioBegan:
		p.Begin(ev.Scenario)
	case spec.StepBegan:
		p.Phase(ev.Scenario, ev.Step)
	case spec.ScenarioFinished:
		p.Done(ev.Scenario, ev.Elapsed, ev.Results)
	}
}

// tool identifies this program in reports; the digest is of the executable.
func tool() reports.Tool {
	b := thisBuild()
	t := reports.Tool{Name: "plumbline", Version: b.Version, Commit: b.Commit}
	if path, err := os.Executable(); err == nil {
		if f, err := os.Open(path); err == nil {
			t.Digest = digest(f)
			_ = f.Close() // only read from
		}
	}
	return t
}

// Names of the files that the command adds to a run directory.
const (
	eventsFile   = "events.jsonl"
	configFolder = "config"
)
