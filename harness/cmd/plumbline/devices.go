package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"plumbline/harness/bench"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
)

func newDevices(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "devices", Short: "Show what is plugged in, as YAML to paste into a rig file", Args: noArgs,
		Long: `Lists the serial ports of this machine as entries of a rig file (see --rig of run and certify).
Ports that cannot be opened are listed as comments, with the mend.`,
		RunE: func(*cobra.Command, []string) error {
			ports, err := bench.Ports()
			if err != nil {
				return exit.With(reports.ExitUnavailable, err, "plumbline doctor checks this machine")
			}
			return showPorts(s.out, ports)
		},
	}
}

// showPorts prints every port; the output as a whole stays valid YAML.
func showPorts(w io.Writer, ports []bench.Port) error {
	if len(ports) == 0 {
		_, err := fmt.Fprintln(w, `# no serial port is plugged in
# simulated devices, recordings and this machine's own sensors need none: try "plumbline watch host:"
devices: []`)
		return err
	}
	usable := 0
	for _, p := range ports {
		if p.Problem == "" {
			usable++
		}
	}
	fmt.Fprintf(w, "# %d of %d serial ports can be opened\n", usable, len(ports))
	if usable == 0 {
		fmt.Fprintln(w, "devices: []")
	} else {
		fmt.Fprintln(w, "devices:")
	}
	for _, p := range ports {
		if p.Problem == "" {
			fmt.Fprint(w, p.YAML())
			continue
		}
		fmt.Fprintf(w, "# %s: %s", p.Path, console.Clean(p.Problem))
		if p.Mend != "" {
			fmt.Fprintf(w, " (mend: %s)", console.Clean(p.Mend))
		}
		fmt.Fprintln(w)
	}
	return nil
}
