// Command prove seeds every defect into a correct bridge and counts which of
// them the bench notices by the requirement that is named for it; see package
// defects. It exits 0 when all do and no control raises a false alarm.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"plumbline/scenarios/defects"

	_ "plumbline/scenarios" // the catalogue registers itself
)

// options are the command line.
type options struct {
	only     string
	param    string
	clean    int
	limits   bool
	out      string
	record   string
	readme   bool
	parallel int
	seed     uint64
	keep     bool

	// Of a child: one trial.
	one, how, dir   string
	flawed, bridged string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(exitCode(err)) //nolint:forbidigo // only main exits
	}
}

var (
	errUsage  = errors.New("wrong arguments")
	errMissed = errors.New("not every defect was caught, or a control was not green")
)

func exitCode(err error) int {
	switch {
	case errors.Is(err, errMissed):
		return 1
	case errors.Is(err, errUsage):
		return 2
	}
	return 5
}

func run(ctx context.Context, args []string) error {
	o := options{}
	set := flag.NewFlagSet("prove", flag.ContinueOnError)
	set.StringVar(&o.only, "only", "", "ids of defects and controls, separated by commas; everything else is left out")
	set.StringVar(&o.param, "param", "", "of the defects in place of their own, for a curve of detection; only with --only")
	set.IntVar(&o.clean, "clean", 0, "run so many campaigns of every scenario against the bridge as it ships, and nothing else")
	set.BoolVar(&o.limits, "limits", false, "look for the smallest sizes of some defects that are found, and do nothing else")
	set.StringVar(&o.out, "out", "", "folder for runs; \"\" is a temporary one")
	set.StringVar(&o.record, "record", "", "write the result to this file")
	set.BoolVar(&o.readme, "readme", false, "run nothing; write the table of the stored result into README.md")
	set.IntVar(&o.parallel, "parallel", 3, "trials at a time; those that measure time or memory are always alone, campaigns run two at a time at most")
	set.Uint64Var(&o.seed, "seed", 1, "of twins, dither and defects")
	set.BoolVar(&o.keep, "keep", false, "keep the records of trials that came out as they must")
	set.StringVar(&o.one, "one", "", "run one trial in this process (of prove itself)")
	set.StringVar(&o.how, "how", "", "what the trial is (of prove itself)")
	set.StringVar(&o.dir, "dir", "", "folder of the trial (of prove itself)")
	set.StringVar(&o.flawed, "flawed", "", "executable of flawed; \"\" builds it")
	set.StringVar(&o.bridged, "bridged", "", "executable of bridged; \"\" builds it")
	if err := set.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if set.NArg() > 0 {
		return fmt.Errorf("%w: %q is not understood", errUsage, strings.Join(set.Args(), " "))
	}
	if o.param != "" && o.only == "" && o.one == "" {
		return fmt.Errorf("%w: --param needs --only", errUsage)
	}
	if o.clean < 0 || o.parallel < 1 {
		return fmt.Errorf("%w: --clean %d, --parallel %d: neither may be less than nothing", errUsage, o.clean, o.parallel)
	}
	switch {
	case o.readme:
		return defects.WriteReadme(".")
	case o.one != "":
		return one(ctx, o)
	}
	p, err := prepare(ctx, o)
	switch {
	case err != nil:
		return err
	case o.clean > 0:
		return p.clean(ctx)
	case o.limits:
		return p.limits(ctx)
	default:
		return p.prove(ctx)
	}
}
