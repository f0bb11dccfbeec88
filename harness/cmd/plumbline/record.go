package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"plumbline/devices/anonymise"
	"plumbline/devices/lock"
	"plumbline/devices/mqttdev"
	"plumbline/devices/recorder"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/source"
	"plumbline/harness/codecfile"
)

// recordFlags are the flags of record.
type recordFlags struct {
	recorder.Options

	hide                        bool
	keyFile, user, passwordFile string
}

func newRecord(s streams) *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use: "record DEVICE", Short: "Keep what a device says in a file that plays again",
		Example: "plumbline record 'serial:usb:0403:6001:SN-A?baud=9600&codec=nmea0183' --out gps.rec --for 10m",
		Long: `Keeps the bytes of a port as they come, with their instants, the modem lines, breaks and line errors where
the kernel tells them, or the messages of an MQTT topic filter with QoS and retained flag, together with the
device's identity and settings, until Ctrl-C, --for or --until. DEVICE is a port or a filter as for watch:
  serial:usb:0403:6001:SN-A?baud=9600&codec=nmea0183     a selector that plumbline devices prints, or a path
  serial:rfc2217://HOST:PORT?baud=9600                   a port of another machine
  mqtt://127.0.0.1:1883#tele/+/SENSOR
A serial device needs no codec; with one, frames are counted, too. The file is readable up to where it was cut,
whatever ends this program. --anonymise replaces serial numbers, positions, meters' identities and parts of
topics alike wherever they stand; what it leaves alone is listed in the README.`,
		Args: oneArg("a device"),
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := source.Parse(args[0])
			if err != nil {
				return exit.Usage(err, "")
			}
			if err := f.check(want); err != nil {
				return err
			}
			f.Patience = openLimit
			f.Started = func() { fmt.Fprintf(s.out, "recording %s to %s; Ctrl-C ends\n", console.Clean(args[0]), f.Path) }
			sum, err := f.record(cmd.Context(), want)
			if err != nil {
				return unusable(cmd.Context(), want.Kind, err)
			}
			return showRecorded(s.out, f.Path, sum)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.Path, "out", "o", "", "file to make; one that exists is left alone")
	limit(flags, &f.For, "for", 0, 0, longest, "end after this time, for example 10m; 0 goes on")
	limit(flags, &f.Until, "until", 0, 0, math.MaxUint64, "end after so many good frames, or messages; 0 goes on")
	limit(flags, &f.Limit, "max-bytes", replay.MaxBytes, replay.MinLimit, replay.MaxBytes, "end when the file would be larger")
	flags.StringVar(&f.Note, "note", "", "a word for those who read the recording")
	flags.BoolVar(&f.hide, "anonymise", false, "replace who and where by a keyed hash; the key is thrown away")
	flags.StringVar(&f.keyFile, "key-file", "", "secret for --anonymise, so that several recordings replace alike")
	flags.StringVar(&f.user, "username", "", "for the broker")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with the broker's password")
	return cmd
}

// check refuses what cannot be recorded before anything is opened.
func (f *recordFlags) check(want source.Spec) error {
	switch {
	case want.Kind != "serial" && want.Kind != "mqtt":
		return exit.Usage(fmt.Errorf("record %s: only ports and MQTT filters are recorded", want.Kind), "give serial:… or mqtt://…; a twin says the same with the same seed")
	case want.Rule != "":
		return exit.Usage(fmt.Errorf("record with rule %q: messages are kept as they are, whatever family they are of", want.Rule), "leave the rule out; give it to watch")
	case want.Line.ModemReadings:
		return exit.Usage(errors.New("record: modemReadings would be readings among the bytes"), "leave it out: the modem lines are always recorded")
	case f.Path == "":
		return exit.Usage(errors.New("record: no file"), "give --out FILE")
	case f.keyFile != "" && !f.hide:
		return exit.Usage(errors.New("--key-file without --anonymise"), "give both, or neither")
	}
	return f.key()
}

// key makes the key of --anonymise.
func (f *recordFlags) key() error {
	if !f.hide {
		return nil
	}
	if f.keyFile == "" {
		f.Anonymise = anonymise.NewKey()
		return nil
	}
	secret, err := os.ReadFile(f.keyFile)
	if err != nil {
		return exit.Usage(err, "make the secret with: openssl rand -hex 32")
	}
	if f.Anonymise, err = anonymise.KeyFrom(bytes.TrimSpace(secret)); err != nil {
		return exit.Usage(fmt.Errorf("--key-file %s: %w", f.keyFile, err), "")
	}
	return nil
}

func (f *recordFlags) record(ctx context.Context, want source.Spec) (recorder.Summary, error) {
	if want.Kind == "mqtt" {
		return f.recordMQTT(ctx, want)
	}
	cfg := serialline.Config{ID: want.ID, Port: want.What, Baud: want.Baud, Locks: &lock.Dir{}, Owner: "plumbline", Purpose: "record"}
	want.Line.Configure(&cfg)
	if want.Codec != "" {
		p, err := codecfile.Choose(want.Codec)
		if err != nil {
			return recorder.Summary{}, exit.Usage(err, "")
		}
		if cfg.Codec, err = p.Played(); err != nil {
			return recorder.Summary{}, exit.Usage(err, "leave the codec out to listen to what others ask")
		}
	}
	if f.Anonymise != nil {
		if err := anonymise.Check(cfg.Codec); err != nil {
			return recorder.Summary{}, exit.Usage(err, "")
		}
	}
	if f.Until > 0 && cfg.Codec == nil {
		return recorder.Summary{}, exit.Usage(fmt.Errorf("--until %d frames, and no codec that says what a frame is", f.Until), "name the codec in DEVICE, or give --for")
	}
	return recorder.Serial(ctx, cfg, f.Options)
}

func (f *recordFlags) recordMQTT(ctx context.Context, want source.Spec) (recorder.Summary, error) {
	cfg := mqttdev.Config{ID: want.ID, Broker: want.URL, Filter: want.What, Username: f.user}
	if f.passwordFile != "" {
		password, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return recorder.Summary{}, exit.Usage(err, "")
		}
		cfg.Password = bytes.TrimRight(password, "\r\n")
	}
	return recorder.MQTT(ctx, cfg, f.Options)
}

// showRecorded says what the file holds.
func showRecorded(w io.Writer, path string, sum recorder.Summary) error {
	fmt.Fprintf(w, "%s: %d pieces, %d bytes in %v, %d events; %s\n", path, sum.Pieces, sum.Bytes, sum.Length.Round(time.Millisecond), sum.Events, sum.Why)
	if n := sum.Counters; n.Good+n.Rejected() > 0 {
		fmt.Fprintf(w, "%d good frames, %d refused\n", n.Good, n.Rejected())
	}
	if sum.Lost > 0 {
		fmt.Fprintf(w, "%d pieces came faster than the disk took them and are missing; the recording says where\n", sum.Lost)
	}
	if sum.Breaks > 0 {
		fmt.Fprintf(w, "the connection was lost %d times: what was published meanwhile is missing; the recording says when\n", sum.Breaks)
	}
	if sum.Withheld > 0 {
		fmt.Fprintf(w, "%d messages were withheld: their payload is neither text nor JSON, so nobody knows who is in it\n", sum.Withheld)
	}
	return nil
}
