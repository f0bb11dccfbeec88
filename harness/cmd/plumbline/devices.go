package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"plumbline/devices/inventory"
	"plumbline/devices/lock"
	"plumbline/devices/serialline"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
)

func newDevices(s streams) *cobra.Command {
	asJSON, follow, listen, patience, broker := false, false, "usb", time.Duration(0), ""
	cmd := &cobra.Command{
		Use: "devices", Short: "Show what is plugged in, as YAML to paste into a rig file", Args: noArgs,
		Long: `Lists the serial ports of this machine as entries of a rig file (see --rig of run and certify).
Each is named by vendor, product and serial number, or by its USB place, and so keeps its name when it is
plugged in again. Ports that cannot be opened are listed as comments, with the mend.
Ports of USB adapters that nobody uses are listened to, at the usual speeds, to tell what they speak;
nothing is sent, but some boards start anew when their port is opened. It takes from 3 s, for ports that
are silent, to half a minute.
With --mqtt it listens to a broker instead and lists the sensors that publish there, with the family that
their topics and payloads fit.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			want, known := listened[listen]
			if !known {
				return exit.Usage(fmt.Errorf("--listen %q", listen), "give usb, all or none")
			}
			if broker != "" && (follow || cmd.Flags().Changed("listen")) {
				return exit.Usage(errors.New("--mqtt looks at a broker, --watch and --listen at serial ports"), "give one of them")
			}
			if broker != "" {
				return listSensors(cmd.Context(), s.out, broker, patience, asJSON)
			}
			if follow {
				return unusable(cmd.Context(), "serial", followPorts(cmd.Context(), s.out, asJSON))
			}
			ports, err := inventory.Inventory{Locks: &lock.Dir{}}.Ports()
			if err != nil {
				return exit.With(reports.ExitUnavailable, err, "plumbline doctor checks this machine")
			}
			serialline.ListenAll(cmd.Context(), ports, want, serialline.Listening{Silence: patience, Dwell: patience})
			if asJSON {
				return showPortsJSON(s.out, ports)
			}
			return showPorts(s.out, ports)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array, one object a port")
	cmd.Flags().BoolVar(&follow, "watch", false, "print what is plugged in and out from now on, until Ctrl-C")
	cmd.Flags().StringVar(&listen, "listen", listen, "ports to listen to: usb, all or none")
	limit(cmd.Flags(), &patience, "listen-for", 0, 0, time.Hour, "how long to listen at each speed, for devices that speak seldom; 0 is 1.5 to 2.5 s, 5 s at a broker")
	cmd.Flags().StringVar(&broker, "mqtt", "", "list the sensors that publish to this broker, such as mqtt://127.0.0.1:1883, with #FILTER for a part")
	return cmd
}

// listened says which ports each choice of --listen means.
var listened = map[string]func(inventory.Port) bool{
	"usb":  func(p inventory.Port) bool { return p.USB },
	"all":  func(inventory.Port) bool { return true },
	"none": func(inventory.Port) bool { return false },
}

// followPorts prints what comes and goes until ctx ends.
func followPorts(ctx context.Context, w io.Writer, asJSON bool) error {
	enc := json.NewEncoder(w)
	if !asJSON {
		fmt.Fprintln(w, "# waiting for something to be plugged in or out; Ctrl-C ends")
	}
	return inventory.Inventory{}.Watch(ctx, func(e inventory.Event) {
		if asJSON {
			_ = enc.Encode(e) // a reader that has gone ends the program
			return
		}
		fmt.Fprintf(w, "%s %s  %s", e.Change, e.Port.Select, e.Port.Path)
		if title := console.Clean(e.Port.Title()); title != "" {
			fmt.Fprintf(w, ", %s", title)
		}
		if e.Port.Problem != "" {
			fmt.Fprintf(w, ": %s (mend: %s)", console.Clean(e.Port.Problem), console.Clean(e.Port.Mend))
		}
		fmt.Fprintln(w)
	})
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
