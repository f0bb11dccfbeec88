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
	"plumbline/reports/events"
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
	taken, err := f.agents.taken(opts, selected)
	if err != nil {
		return err
	}
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
	shown, err := f.show.start(ctx, s, about(opts, certify))
	if err != nil {
		return err
	}
	defer shown.close()
	s = shown.streams
	shown.progress.Head(head(opts, selected))
	if taken != "" {
		fmt.Fprintln(s.err, "plumbline:", taken)
	}
	for _, why := range left {
		fmt.Fprintln(s.err, "plumbline: left out, as the rig file allows:", console.Clean(why))
	}
	out, err := campaign.Run(ctx, campaign.Options{
		Root: f.output, Dir: f.runDir, Profile: opts.Profile.Name, Key: f.key, Now: time.Now,
		Customer: f.customer, Authoriser: f.authoriser, Method: methodOf,
	}, func(ctx context.Context, dir, id string) (*reports.Run, error) {
		return measure(ctx, opts, dir, id, f.effective(opts, certify), shown)
	})
	if out != nil {
		shown.course.Reported(out.Report)
	}
	shown.close()
	if out == nil {
		return err
	}
	f.made = append(f.made, out.Dir)
	return finish(s, shown.style, out, f.sut, err)
}

// measure records what was asked for and runs the engine.
func measure(ctx context.Context, opts spec.Options, dir, id string, asked effective, shown *showing) (*reports.Run, error) {
	if err := asked.write(dir); err != nil {
		return nil, campaign.WriteError(dir, err)
	}
	file, err := openEvents(dir)
	if err != nil {
		return nil, campaign.WriteError(dir, err)
	}
	shown.course.Identify(id)
	shown.course.Keep(file)
	opts.Dir, opts.ID, opts.Progress = dir, id, shown.tell
	run, err := spec.Execute(ctx, opts)
	if err != nil && exit.Code(context.Cause(ctx)) == reports.ExitInterrupted && ctx.Err() != nil {
		err = context.Cause(ctx)
	} else {
		err = classify(err)
	}
	if written := shown.course.End(run, ending(run, err)); err == nil {
		err = campaign.WriteError(dir, written)
	}
	return run, err
}

// ending is the exit code of a run that ended with err, as finish says it.
func ending(run *reports.Run, err error) int {
	switch {
	case run == nil:
		return exit.Code(err)
	case err != nil:
		return exit.Worst(exit.OfRun(run), exit.Code(err))
	}
	return exit.OfRun(run)
}

// finish prints the end of a run that is on disk and returns its exit code. The
// last line names the report, wherever the program runs. descriptor is where
// annotations of a job are shown; "" is nowhere.
func finish(s streams, style console.Style, out *campaign.Outcome, descriptor string, err error) error {
	code := ending(out.Run, err)
	if err != nil {
		complain(s.err, err)
	}
	if out.NewKey {
		fmt.Fprintf(s.out, "\na signing key was made for you: %s\n", out.Key)
	}
	certificate(s, out, err)
	annotate(s, out.Run, descriptor)
	if werr := console.Summary(s.out, style, out.Run, console.Ending{
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
	case out.Run.Uncertified != "":
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
	var part []reports.Device
	h := console.Head{SUT: systemName(opts), Profile: opts.Profile.Name, Seed: opts.Seed, Scenarios: len(selected)}
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

// systemName is name and version of the system under test as it is declared.
func systemName(opts spec.Options) string {
	descriptor := opts.SUT.Descriptor
	if descriptor == nil {
		descriptor = sut.Default()
	}
	if descriptor.Version != "" {
		return descriptor.Name + " " + descriptor.Version
	}
	return descriptor.Name
}

// about is what is known of a run before it begins.
func about(opts spec.Options, certify bool) events.Run {
	return events.Run{SUT: systemName(opts), Profile: opts.Profile.Name, Seed: opts.Seed, Certifying: certify}
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

// configFolder is where the command adds to a run directory what it was asked for.
const configFolder = "config"
