package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/strictyaml"
	"plumbline/reports"
)

// envPrefix names the environment variables that stand in for flags:
// PLUMBLINE_OUTPUT_DIR for --output-dir. The command line wins over them.
const envPrefix = "PLUMBLINE_"

// envName annotates a flag whose variable has another name.
const envName = "plumbline-environment"

// streams is what the process is connected to.
type streams struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string
	last   *farewell // nil for nobody who could be told to leave at once
}

func (s streams) style() console.Style { return console.StyleOf(s.out, s.getenv) }

// execute runs one command line and returns its exit code. Errors are written
// to the error stream: what, where, and the mend.
// A panic is a fault of the harness: Go's own code for it would say "usage".
func execute(ctx context.Context, s streams, args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(s.err, "plumbline: fault of the harness, please report it: %v\n%s", p, debug.Stack())
			code = reports.ExitFault
		}
	}()
	started := false
	root := newRoot(s)
	root.SetArgs(args)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := flagsFromEnv(cmd.Flags(), s.getenv); err != nil {
			return err
		}
		started = true
		return nil
	}
	err := root.ExecuteContext(ctx)
	if err != nil && !started {
		// Nothing of ours ran yet: the command line itself is wrong.
		err = exit.Usage(err, "plumbline help lists the verbs, plumbline VERB --help the flags")
	}
	if err != nil && ctx.Err() != nil && errors.Is(context.Cause(ctx), exit.ErrInterrupted) {
		err = interrupted(err)
	}
	var quiet *finished
	if errors.As(err, &quiet) {
		return quiet.code
	}
	if err != nil {
		complain(s.err, err)
	}
	return exit.Code(err)
}

// interrupted keeps what err says when it says more than "cancelled".
func interrupted(err error) error {
	var quiet *finished
	if errors.As(err, &quiet) || errors.Is(err, exit.ErrInterrupted) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return exit.ErrInterrupted
	}
	return fmt.Errorf("%w: %w", exit.ErrInterrupted, err)
}

// finished ends a command with a code when everything has been said already.
type finished struct{ code int }

func (f *finished) Error() string { return fmt.Sprintf("finished with exit code %d", f.code) }

func leave(code int) error {
	if code == reports.ExitPass {
		return nil
	}
	return &finished{code: code}
}

func complain(w io.Writer, err error) {
	fmt.Fprintf(w, "plumbline: %s\n", console.Block(err.Error()))
	if mend := exit.Mend(err); mend != "" {
		fmt.Fprintf(w, "  mend: %s\n", console.Clean(mend))
	}
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "plumbline",
		Short: "Test and certify a real-time IoT pipeline, from the sensor's wire to the browser's pixel",
		Long: `Plumbline measures the whole path sensor → MQTT broker → bridge → WebSocket viewer,
injects the faults of real life, decides with statistics and signs what it found.

Exit codes: 0 all required passed, 1 a FAIL, 2 usage or configuration, 3 inconclusive,
conditional or nothing run, 4 bench or system under test unavailable, 5 fault of the harness,
6 verification failed, 130 interrupted. When several apply: 5 > 4 > 1 > 3 > 0.
Every flag may also come from the environment: PLUMBLINE_OUTPUT_DIR stands for --output-dir.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newCertify(s), newRun(s), newList(s), newExplain(s), newDevices(s), newWatch(s), newRecord(s), newReplay(s), newFleet(s), newFeed(s),
		newReport(s), newExport(s), newCompare(s), newPeers(s), newCapacity(s), newHistory(s), newPublish(s), newServe(s), newVerify(s), newKey(s), newConform(s), newDoctor(s), newInit(s), newAgent(s), newVersion(s), newReferenceBridge(s), newGenerate(s), newView(s),
	)
	return root
}

func unknownVerb(root *cobra.Command, verb string) error {
	names := []string{"help", "completion"}
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	mend := "plumbline help lists the verbs"
	if near := strictyaml.Nearest(verb, names); near != "" {
		mend = fmt.Sprintf("did you mean %q? %s", "plumbline "+near, mend)
	}
	return exit.Usage(fmt.Errorf("unknown verb %q", verb), mend)
}

// flagError adds the nearest known flag to the complaint about an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	mend := fmt.Sprintf("%s --help lists the flags", cmd.CommandPath())
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		names := []string{}
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := strictyaml.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			mend = fmt.Sprintf("did you mean --%s? %s", near, mend)
		}
	}
	return exit.Usage(err, mend)
}

// flagsFromEnv fills every flag that the command line left alone.
func flagsFromEnv(flags *pflag.FlagSet, getenv func(string) string) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if other := f.Annotations[envName]; len(other) > 0 {
			name = other[0]
		}
		value := getenv(name)
		if f.Changed || value == "" || f.Name == "help" || failed != nil {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = exit.Usage(fmt.Errorf("environment variable %s=%q: %w", name, value, err),
				fmt.Sprintf("unset %s or give it what --%s takes", name, f.Name))
		}
	})
	return failed
}

// noArgs refuses arguments in words that fit a verb without any.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return exit.Usage(fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0]),
			fmt.Sprintf("%s --help shows how it is used", cmd.CommandPath()))
	}
	return nil
}

// oneArg asks for exactly one argument and says what it is.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return exit.Usage(fmt.Errorf("%s needs %s, got %d arguments", cmd.CommandPath(), what, len(args)),
			example(cmd))
	}
}

// example shows the first of a verb's examples.
func example(cmd *cobra.Command) string {
	first, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
	return "for example: " + first
}
