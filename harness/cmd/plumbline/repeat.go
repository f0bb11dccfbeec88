package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"plumbline/harness/cmd/plumbline/internal/compare"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/stats"
	"plumbline/reports"
)

// repetition is how often a run is made, and what it is compared with.
type repetition struct {
	times    int
	baseline string // a run directory or a folder of them; "" for none
}

// maxRepeat bounds --repeat: more runs than ever decide a comparison.
const maxRepeat = stats.CompareMost

func (r *repetition) add(flags *pflag.FlagSet) {
	limit(flags, &r.times, "repeat", 1, 1, maxRepeat, "whole runs to make, each in a run directory of its own; the exit code is the worst of all")
	flags.StringVar(&r.baseline, "baseline", "", fmt.Sprintf("run directory, or folder of run directories, to compare with afterwards, as compare does; %d runs of each decide, so it goes with --repeat", stats.CompareRuns))
}

// check refuses what cannot be done before anything is measured.
func (r *repetition) check(f *campaignFlags) error {
	if r.times > 1 && f.runDir != "" {
		return exit.Usage(errors.New("--run-dir names one directory, and --repeat makes several"), "name a folder for all of them with --output-dir")
	}
	if r.baseline == "" {
		return nil
	}
	return exit.Usage(compare.Readable(r.baseline), "--baseline names a run directory, or a folder of run directories")
}

// repeat makes the runs one after the other, and then compares. What a run could not
// do at all the next one cannot either, so such an end is the end.
func repeat(ctx context.Context, s streams, f *campaignFlags, r repetition) error {
	if err := r.check(f); err != nil {
		return err
	}
	defer f.show.end()
	var codes []int
	for i := 1; i <= r.times; i++ {
		err := conduct(ctx, s, f, false)
		var quiet *finished
		if err != nil && !errors.As(err, &quiet) {
			return err
		}
		code := reports.ExitPass
		if quiet != nil {
			code = quiet.code
		}
		codes = append(codes, code)
		if r.times > 1 {
			fmt.Fprintf(f.show.people(s).out, "repeat: run %d of %d; exit %d; so far %d\n\n", i, r.times, code, exit.Worst(codes...))
		}
		if code != reports.ExitPass && code != reports.ExitFail && code != reports.ExitInconclusive {
			break
		}
	}
	if r.baseline != "" && len(f.made) > 0 && ctx.Err() == nil {
		codes = append(codes, against(f.show.people(s), r.baseline, f.made))
	}
	return leave(exit.Worst(codes...))
}

// against compares the runs just made with the baseline, prints that and returns the
// exit code of it.
func against(s streams, baseline string, made []string) int {
	c, err := compare.OfEach([]string{baseline}, made)
	if err != nil {
		err = exit.With(reports.ExitInconclusive, fmt.Errorf("compare with the baseline: %w", err), "the runs are kept; plumbline compare tells what differs")
		complain(s.err, err)
		return exit.Code(err)
	}
	code := compareCodes[c.Outcome]
	if err := printComparison(s.out, c, code); err != nil {
		complain(s.err, err)
		return exit.Worst(code, exit.Code(err))
	}
	return code
}
