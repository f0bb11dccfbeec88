package main

import (
	"github.com/spf13/cobra"
	"plumbline/harness/profile"
	"time"
)

func newCertify(s streams) *cobra.Command {
	f := &campaignFlags{}
	cmd := &cobra.Command{
		Use: "certify", Short: "Run everything that the system under test declares, and seal the verdict", Args: noArgs,
		Long: `Runs every scenario; nothing can be deselected, focused or repeated towards green. Without --sut the bridge
of this project is certified, as a process on free ports of this machine.
The run directory holds the report, all records, logs and a signed statement; plumbline verify checks it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer f.show.end()
			return conduct(cmd.Context(), s, f, true)
		},
	}
	f.add(cmd)
	return cmd
}

func newRun(s streams) *cobra.Command {
	f := &campaignFlags{}
	var again repetition
	cmd := &cobra.Command{
		Use: "run", Short: "Run chosen scenarios; judges them, certifies nothing", Args: noArgs,
		Example: `plumbline run --profile smoke --label-filter "LAT || req:DEL-01"`,
		Long: `Runs the scenarios that --label-filter selects and judges them. Verdict and exit code are about
the selection; the report names what was left out and is never a certificate.

--repeat makes several whole runs, and --baseline compares them with runs of another version; the exit code is the
worst of all: 5 > 4 > 1 > 3 > 0.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return repeat(cmd.Context(), s, f, again)
		},
	}
	f.add(cmd)
	addFilter(cmd, &f.filter)
	again.add(cmd.Flags())
	limit(cmd.Flags(), &f.rate, "rate", 0, leastHz, profile.MaxRate, "messages per second in place of the profile's; not with a profile that certifies")
	limit(cmd.Flags(), &f.duration, "duration", 0, time.Millisecond, longest, "judged window in place of the profile's; not with a profile that certifies")
	return cmd
}
