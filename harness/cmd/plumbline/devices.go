package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"plumbline/devices/inventory"
	"plumbline/devices/lock"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
)

func newDevices(s streams) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "devices", Short: "Show what is plugged in, as YAML to paste into a rig file", Args: noArgs,
		Long: `Lists the serial ports of this machine as entries of a rig file (see --rig of run and certify).
Each is named by vendor, product and serial number, or by its USB place, and so keeps its name when it is
plugged in again. Ports that cannot be opened are listed as comments, with the mend.`,
		RunE: func(*cobra.Command, []string) error {
			ports, err := inventory.Inventory{Locks: &lock.Dir{}}.Ports()
			if err != nil {
				return exit.With(reports.ExitUnavailable, err, "plumbline doctor checks this machine")
			}
			if asJSON {
				return showPortsJSON(s.out, ports)
			}
			return showPorts(s.out, ports)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array, one object a port")
	return cmd
}

// showPortsJSON prints everything that is known, for programs.
func showPortsJSON(w io.Writer, ports []inventory.Port) error {
	if ports == nil {
		ports = []inventory.Port{} // an empty list, not null
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(ports)
}

// showPorts prints every port; the output as a whole stays valid YAML.
func showPorts(w io.Writer, ports []inventory.Port) error {
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
	if unseen := ports[0].Unseen; unseen != "" {
		fmt.Fprintf(w, "# who holds a port is not fully known: %s\n", console.Clean(unseen))
	}
	if usable == 0 {
		fmt.Fprintln(w, "devices: []")
	} else {
		fmt.Fprintln(w, "devices:")
	}
	names := inventory.Names(ports)
	for i, p := range ports {
		if p.Problem == "" {
			fmt.Fprint(w, p.YAML(names[i]))
			continue
		}
		fmt.Fprintf(w, "# %s", p.Path)
		if title := console.Clean(p.Title()); title != "" {
			fmt.Fprintf(w, ", %s", title)
		}
		fmt.Fprintf(w, ": %s", console.Clean(p.Problem))
		if p.Mend != "" {
			fmt.Fprintf(w, " (mend: %s)", console.Clean(p.Mend))
		}
		fmt.Fprintln(w)
	}
	return nil
}
