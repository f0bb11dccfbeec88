package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline/devices/mqttdev"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/feed"
	"plumbline/reports"
)

// feedFlags are the flags of feed.
type feedFlags struct {
	broker, user, passwordFile string
	limit                      time.Duration
	seed                       uint64
}

func newFeed(s streams) *cobra.Command {
	var f feedFlags
	cmd := &cobra.Command{
		Use: "feed SCENE…", Short: "Let the simulated devices of a scene talk, for the presets of the dashboard",
		Example: "plumbline feed railway building --broker mqtt://127.0.0.1:1883",
		Long: `Connects the devices of the scenes (` + strings.Join(feed.Scenes(), ", ") + `), each by a connection of its own with a last will, and lets them
publish SITE/AREA/DEVICE/state as JSON and SITE/AREA/DEVICE/availability until it is interrupted. What comes to
command/#, of whatever site, is printed.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(args)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if f.limit > 0 {
				limited, over := context.WithTimeout(ctx, f.limit)
				defer over()
				ctx = limited
			}
			return f.run(ctx, s, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.broker, "broker", "mqtt://127.0.0.1:1883", "where the devices publish")
	limit(flags, &f.limit, "for", 0, 0, longest, "how long; 0 = until it is interrupted")
	limit(flags, &f.seed, "seed", 1, 0, math.MaxUint64, "of what they measure")
	flags.StringVar(&f.user, "username", "", "for the broker")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with the broker's password")
	return cmd
}

func (f *feedFlags) options(scenes []string) (feed.Options, error) {
	if len(scenes) == 0 {
		return feed.Options{}, exit.Usage(fmt.Errorf("no scene is named"), "known are "+strings.Join(feed.Scenes(), ", "))
	}
	broker, err := brokerOf("--broker", f.broker)
	if err != nil {
		return feed.Options{}, err
	}
	o := feed.Options{Broker: broker, Username: f.user, Seed: f.seed}
	for _, name := range scenes {
		devices, err := feed.Scene(name)
		if err != nil {
			return o, exit.Usage(err, "")
		}
		o.Devices = append(o.Devices, devices...)
	}
	if f.passwordFile != "" {
		password, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return o, exit.Usage(err, "")
		}
		o.Password = bytes.TrimRight(password, "\r\n")
	}
	return o, nil
}

// run listens to commands and lets the devices speak. The broker must be there at the beginning.
func (f *feedFlags) run(ctx context.Context, s streams, o feed.Options) error {
	opening, opened := context.WithTimeout(ctx, openLimit)
	defer opened()
	ear, err := mqttdev.Open(opening, mqttdev.Config{Broker: o.Broker, Username: o.Username, Password: o.Password, Filter: "command/#", QoS: 1,
		Tap: func(m mqttdev.Message) { fmt.Fprintf(s.out, "command %q: %q\n", m.Topic, m.Payload) }})
	if err != nil {
		return unusable(ctx, "mqtt", err)
	}
	defer func() { _ = ear.Close() }()
	fmt.Fprintf(s.out, "%d devices speak to %s; Ctrl-C ends it\n", len(o.Devices), o.Broker.Host)
	return exit.With(reports.ExitUnavailable, feed.Run(ctx, o), "")
}
