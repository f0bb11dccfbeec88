package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// defaultOutput is the ignored folder of generated reports.
const defaultOutput = "reports/out"

// campaignFlags is everything that certify and run take.
type campaignFlags struct {
	profile  string
	sut      string // descriptor file
	rig      string // rig file
	devices  []string
	bridged  string
	filter   string
	output   string
	runDir   string
	key      string
	seed     string
	timeout  time.Duration
	rate     float64
	duration time.Duration
	made     []string // run directories that were written

	customer   string
	authoriser string

	calibration calibration
	agents      agentsFlags
	show        showFlags
}

func (f *campaignFlags) add(cmd *cobra.Command) {
	addProfile(cmd, &f.profile)
	flags := cmd.Flags()
	flags.StringVar(&f.sut, "sut", "", "descriptor of the system under test (YAML); without it the bridge of this project")
	flags.StringVar(&f.rig, "rig", "", "rig file with the devices of this bench (YAML); plumbline devices writes its entries")
	flags.StringArrayVar(&f.devices, "device", nil, "a device in the short form of watch, for example serial:usb:0403:6001:SN-A?baud=9600; may be repeated")
	flags.StringVar(&f.bridged, "bridged", "", "bridged executable; by default beside plumbline, then in $PATH")
	flags.StringVar(&f.output, "output-dir", defaultOutput, "folder in which the run directory is made")
	flags.StringVar(&f.runDir, "run-dir", "", "exactly this run directory, which must be empty or not exist")
	flags.StringVar(&f.key, "key", "", "signing key (Ed25519, PEM), made on first use, or a folder of plumbline key; by default the user's")
	flags.StringVar(&f.customer, "customer", "", "for whom this is done, name and contact; stated in report and certificate")
	flags.StringVar(&f.authoriser, "authoriser", "", "person who authorises the report; stated in report and certificate")
	flags.StringVar(&f.seed, "seed", "random", "seed of twins, dither and faults")
	f.calibration.addHistory(cmd)
	f.agents.add(flags)
	f.show.add(flags)
	limit(flags, &f.timeout, "timeout", 0, 0, longest, "time limit of the whole run, for example 10m; 0 is what the scenarios may take together")
}

// options turns the flags into what the engine takes. All errors are the user's.
func (f *campaignFlags) options(certify bool) (spec.Options, error) {
	var opts spec.Options
	p, err := loadProfile(f.profile)
	if err != nil {
		return opts, err
	}
	opts = spec.Options{Profile: p, LabelFilter: f.filter, Certify: certify, Timeout: f.timeout}
	if certify && !p.Certifies {
		return opts, exit.Usage(fmt.Errorf("profile %q never certifies", p.Name), "use plumbline run, or certify with --profile "+profile.Default)
	}
	if isFile(f.profile) {
		opts.ProfilePath = f.profile
	}
	if opts.Seed, err = parseSeed(f.seed); err != nil {
		return opts, err
	}
	if opts.Deviations, err = f.override(&opts); err != nil {
		return opts, err
	}
	if _, err = f.agents.parse(); err != nil { // what is typed wrong is said before anything is looked for
		return opts, err
	}
	if opts.SUT, err = f.system(); err != nil {
		return opts, err
	}
	if err := f.calibration.prepare(&opts); err != nil {
		return opts, err
	}
	if err := f.agents.here(&opts); err != nil {
		return opts, err
	}
	opts.Generator = generatorCommand()
	opts.Devices, err = f.inputs()
	opts.Command = f.again()
	return opts, err
}

// isFile tells a profile's path from its name, by the rule of Catalogue.Load.
func isFile(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || strings.ContainsAny(name, `/\`)
}

// parseSeed reads a seed; "random" draws one that is short enough to be typed.
func parseSeed(text string) (uint64, error) {
	if text == "random" {
		var b [4]byte
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("draw a seed: %w", err)
		}
		return uint64(binary.BigEndian.Uint32(b[:])), nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		err = fmt.Errorf("--seed %q is no seed", text)
	}
	return seed, exit.Usage(err, `--seed takes a whole number from 0 on, or "random"`)
}

// override puts --rate and --duration in place of the profile's, and says so
// as a deviation. A profile that certifies allows neither: its loads are what
// its sample counts rest on.
func (f *campaignFlags) override(opts *spec.Options) ([]reports.Deviation, error) {
	if f.rate == 0 && f.duration == 0 {
		return nil, nil
	}
	if opts.Profile.Certifies {
		return nil, exit.Usage(fmt.Errorf("profile %q certifies and allows neither --rate nor --duration", opts.Profile.Name),
			"use --profile smoke, or copy the profile to a file and change it there")
	}
	changed := *opts.Profile
	changed.Loads = make(map[string]profile.Load, len(opts.Profile.Loads))
	for name, load := range opts.Profile.Loads {
		if f.rate > 0 && load.Rate > 0 {
			load.Rate = f.rate
		}
		if f.duration > 0 && load.Window > 0 {
			load.Window = f.duration
		}
		changed.Loads[name] = load
	}
	opts.Profile = &changed
	text := "loads of the profile changed on the command line:"
	if f.rate > 0 {
		text += fmt.Sprintf(" rate %g messages/s", f.rate)
	}
	if f.duration > 0 {
		text += fmt.Sprintf(" window %s", f.duration)
	}
	return []reports.Deviation{{ID: "load-override", Text: text}}, nil
}

// system reads the descriptor and finds the executable, so that what is
// missing is said before anything is measured.
func (f *campaignFlags) system() (sut.Options, error) {
	opts := sut.Options{Binary: f.bridged}
	if f.sut != "" {
		descriptor, err := sut.Load(f.sut)
		if err != nil {
			return opts, exit.Usage(err, "correct the descriptor of the system under test, or leave --sut out for the bridge of this project")
		}
		opts.Descriptor = descriptor
		return opts, nil
	}
	found, err := sut.FindBridged(f.bridged)
	if err != nil {
		return opts, exit.With(reports.ExitUnavailable, err, "make build, or name the executable with --bridged")
	}
	opts.Binary = found
	return opts, nil
}

// again is the command that a report prints to repeat one scenario; the engine
// adds profile, seed and filter. A certification is repeated in parts by run.
func (f *campaignFlags) again() string {
	words := []string{"plumbline run"}
	for _, flag := range []struct{ name, value string }{
		{"sut", f.sut}, {"rig", f.rig}, {"bridged", f.bridged},
	} {
		if flag.value != "" {
			words = append(words, "--"+flag.name, spec.Quote(flag.value))
		}
	}
	for _, d := range f.devices {
		words = append(words, "--device", spec.Quote(d))
	}
	for _, a := range f.agents.targets {
		words = append(words, "--agent", spec.Quote(a))
	}
	if len(f.agents.targets) > 0 {
		words = append(words, "--agent-token", spec.Quote(f.agents.token))
	}
	if f.agents.processes > 0 {
		words = append(words, "--processes", strconv.Itoa(f.agents.processes))
	}
	if f.rate > 0 {
		words = append(words, "--rate", strconv.FormatFloat(f.rate, 'g', -1, 64))
	}
	if f.duration > 0 {
		words = append(words, "--duration", f.duration.String())
	}
	return strings.Join(words, " ")
}
