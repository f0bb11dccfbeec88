package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"plumbline/devices/mqttdev"
	"plumbline/devices/ptytwin"
	"plumbline/devices/replay"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/codecfile"
	"plumbline/reports"
)

// replayFlags are the flags of replay.
type replayFlags struct {
	replay.Options

	codec, link, broker, user, passwordFile string
	delay                                   time.Duration
}

func newReplay(s streams) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay FILE", Short: "Play a recording into a port or to a broker, as the device did",
		Example: "plumbline replay gps.rec --link /tmp/gps",
		Long: `Plays the bytes of a recording into a pseudo terminal, each read when it came, so that the driver under test
opens a port and is the real one; or its MQTT messages to a broker, in their order, with their QoS and
retained flags. FILE is what record has made, or a text log of NMEA 0183 or, with --codec, of another
protocol.`,
		Args: oneArg("a recording"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rec, err := f.load(args[0])
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if len(rec.Entries) > 0 && rec.Entries[0].Message != nil {
				return exit.With(reports.ExitUnavailable, f.publish(ctx, s, rec), "")
			}
			if f.broker != "" {
				return exit.Usage(fmt.Errorf("replay %s: bytes of a port are not published", args[0]), "leave --broker out")
			}
			return exit.With(reports.ExitUnavailable, f.feed(ctx, s, rec), "")
		},
	}
	flags := cmd.Flags()
	limit(flags, &f.Speed, "speed", 1, 0.001, math.Inf(1), "2 is twice as fast, inf without waiting")
	limit(flags, &f.Loops, "loops", 1, 1, 1_000_000_000, "how often")
	flags.StringVar(&f.codec, "codec", "", "of a text log: a name or a file, as in a rig file")
	flags.StringVar(&f.link, "link", "", "path under which the port appears; \"\" makes one")
	limit(flags, &f.delay, "delay", 0, 0, longest, "wait so long before the first byte, for the driver to open the port")
	flags.StringVar(&f.broker, "broker", "", "where messages are published, for example mqtt://127.0.0.1:1883")
	flags.StringVar(&f.user, "username", "", "for the broker")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with the broker's password")
	return cmd
}

func (f *replayFlags) load(path string) (*replay.Recording, error) {
	opts := replay.LoadOptions{}
	if f.codec != "" {
		p, err := codecfile.Choose(f.codec)
		if err == nil {
			opts.Codec, err = p.Played()
		}
		if err != nil {
			return nil, exit.Usage(err, "")
		}
	}
	rec, err := replay.Load(path, opts)
	if err != nil {
		return nil, exit.With(reports.ExitUnavailable, err, "name a recording that is there and whole")
	}
	return rec, nil
}

// feed plays into a pseudo terminal.
func (f *replayFlags) feed(ctx context.Context, s streams, rec *replay.Recording) error {
	// The pace of the wire is in the recorded instants already.
	twin, err := ptytwin.NewPair(ctx, ptytwin.Options{Link: f.link, Unpaced: true, Frames: true})
	if err != nil {
		return err
	}
	defer func() { _ = twin.Close() }()
	fmt.Fprintf(s.out, "playing %s on %s\n", rec.Path, twin.Path())
	if n := len(rec.Events); n > 0 {
		fmt.Fprintf(s.out, "%d events (unplugs, modem lines) of the recording are not played\n", n)
	}
	if err := pause(ctx, f.delay); err != nil {
		return err
	}
	if err := rec.Feed(ctx, patient{ctx, twin}, f.Options); err != nil {
		return err
	}
	if err := twin.Flush(ctx); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d pieces, %d bytes played\n", len(rec.Entries)*f.Loops, twin.Stats().Bytes)
	return nil
}

// patient writes into a port and waits for its reader where too much waits for it.
type patient struct {
	ctx  context.Context
	twin *ptytwin.Twin
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	n, err := p.twin.Write(b)
	if errors.Is(err, ptytwin.ErrBacklog) {
		if err := p.twin.Flush(p.ctx); err != nil {
			return 0, err
		}
		n, err = p.twin.Write(b)
	}
	return n, err
}

// publish plays to a broker.
func (f *replayFlags) publish(ctx context.Context, s streams, rec *replay.Recording) error {
	if f.broker == "" {
		return exit.Usage(fmt.Errorf("replay %s: it holds MQTT messages, and no broker is given", rec.Path), "give --broker mqtt://HOST:PORT")
	}
	broker, err := brokerOf("--broker", f.broker)
	if err != nil {
		return err
	}
	cfg := mqttdev.PublisherConfig{Broker: broker, Version: rec.Header.Settings.MQTT, Username: f.user}
	if f.passwordFile != "" {
		password, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return exit.Usage(err, "")
		}
		cfg.Password = bytes.TrimRight(password, "\r\n")
	}
	opening, opened := context.WithTimeout(ctx, openLimit)
	defer opened()
	p, err := mqttdev.NewPublisher(opening, cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	fmt.Fprintf(s.out, "playing %s to %s://%s\n", rec.Path, broker.Scheme, broker.Host)
	if err := pause(ctx, f.delay); err != nil {
		return err
	}
	sent := 0
	err = rec.Publish(ctx, func(m replay.Message, payload []byte) error {
		err := p.Publish(ctx, mqttdev.Message{Topic: m.Topic, Payload: payload, QoS: m.QoS, Retain: m.Retain})
		if err == nil {
			sent++
		}
		return err
	}, f.Options)
	fmt.Fprintf(s.out, "%d messages played\n", sent)
	return err
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
