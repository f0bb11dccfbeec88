package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"plumbline/devices/mqttdev"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/fleet"
	"plumbline/harness/generator"
	"plumbline/reports"
)

// fleetFlags are the flags of fleet.
type fleetFlags struct {
	broker, mix, prefix, user, passwordFile string
	mark                                    string // of the messages of this run
	size                                    int
	limit                                   time.Duration
	seed                                    uint64
	alone                                   bool // this process is the generator
}

// fleetLine is one line of a generator: that all are connected, or the end.
type fleetLine struct {
	Connected bool                `json:"connected,omitempty"`
	Took      time.Duration       `json:"took,omitempty"` // from then to the end, in ns
	Stats     *mqttdev.FleetStats `json:"stats,omitempty"`
	Sent      []uint32            `json:"sent,omitempty"`
}

func newFleet(s streams) *cobra.Command {
	var f fleetFlags
	cmd := &cobra.Command{
		Use: "fleet", Short: "Let thousands of simulated MQTT devices talk to a broker or bridge and count what is lost",
		Example: "plumbline fleet --broker mqtt://127.0.0.1:1883 --devices 10000 --for 2m",
		Long: `Connects so many devices, each by a connection of its own, and lets them publish by a declared mix of rates,
QoS, payload sizes, reconnect habits and last wills (--mix FILE; the default is in the README). The devices are a process of
their own, of which memory and processor are told; this process subscribes and holds what comes against what was
published. A lost message or will is a failure (exit code 1). The far end must let one client subscribe to PREFIX/#.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !f.alone {
				var mark [4]byte
				_, _ = rand.Read(mark[:]) // never fails: crypto/rand ends the program instead
				f.mark = hex.EncodeToString(mark[:])
			}
			cfg, err := f.config()
			if err != nil {
				return err
			}
			if f.alone {
				return f.generate(cmd.Context(), s.out, cfg)
			}
			return f.run(cmd.Context(), s, cfg)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.broker, "broker", "mqtt://127.0.0.1:1883", "where the devices publish")
	flags.StringVar(&f.mix, "mix", "", "file that declares what the devices do")
	flags.StringVar(&f.prefix, "prefix", "fleet", "of topics and client ids")
	limit(flags, &f.size, "devices", 10_000, 1, mqttdev.MaxFleet, "how many")
	limit(flags, &f.limit, "for", time.Minute, time.Millisecond, longest, "how long they publish, once all are connected")
	limit(flags, &f.seed, "seed", 1, 0, math.MaxUint64, "of phases and sizes")
	flags.StringVar(&f.user, "username", "", "for the broker")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with the broker's password")
	flags.BoolVar(&f.alone, "generator", false, "")
	flags.StringVar(&f.mark, "run", "", "")
	_ = flags.MarkHidden("generator")
	_ = flags.MarkHidden("run")
	return cmd
}

func (f *fleetFlags) config() (mqttdev.FleetConfig, error) {
	broker, err := brokerOf("--broker", f.broker)
	if err != nil {
		return mqttdev.FleetConfig{}, err
	}
	groups, err := fleet.Load(f.mix)
	if err != nil {
		return mqttdev.FleetConfig{}, exit.Usage(err, "the README shows a mix")
	}
	cfg := mqttdev.FleetConfig{Broker: broker, Username: f.user, Prefix: f.prefix, Run: f.mark, Devices: f.size, Groups: groups, Seed: f.seed}
	if f.passwordFile != "" {
		password, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return cfg, exit.Usage(err, "")
		}
		cfg.Password = bytes.TrimRight(password, "\r\n")
	}
	if _, err := mqttdev.NewFleet(cfg); err != nil {
		return cfg, exit.Usage(err, "")
	}
	return cfg, nil
}

// generate is the process of the devices.
func (f *fleetFlags) generate(ctx context.Context, w io.Writer, cfg mqttdev.FleetConfig) error {
	devices, err := mqttdev.NewFleet(cfg)
	if err != nil {
		return exit.Usage(err, "")
	}
	out := json.NewEncoder(w)
	run, end := context.WithCancel(ctx)
	defer end()
	var over *time.Timer
	var began time.Time
	err = devices.Run(run, func() {
		began = time.Now()
		_ = out.Encode(fleetLine{Connected: true})
		over = time.AfterFunc(f.limit, end)
	})
	if over != nil {
		over.Stop()
	}
	if err != nil {
		return exit.With(reports.ExitUnavailable, err, "is the broker running, and may so many connect? See ulimit -n on both sides")
	}
	stats := devices.Stats()
	return out.Encode(fleetLine{Took: time.Since(began), Stats: &stats, Sent: devices.Sent()})
}

// Bounds of what is waited for.
const (
	fleetSettle = 30 * time.Second // without a further message, after the end
)

// run subscribes, starts the devices and judges.
func (f *fleetFlags) run(ctx context.Context, s streams, cfg mqttdev.FleetConfig) error {
	audit := mqttdev.NewFleetAudit(cfg.Prefix, cfg.Run, cfg.Devices)
	opening, opened := context.WithTimeout(ctx, openLimit)
	ear, err := mqttdev.Open(opening, mqttdev.Config{Broker: cfg.Broker, Username: cfg.Username, Password: cfg.Password,
		Filter: audit.Filter(), QoS: 1, Tap: audit.Take, KeepRetained: true})
	opened()
	if err != nil {
		return unusable(ctx, "mqtt", err)
	}
	defer func() { _ = ear.Close() }()
	cmd := exec.CommandContext(ctx, self, f.arguments()...)
	cmd.SysProcAttr = generator.OwnGroup() // a second interrupt means "at once"
	cmd.Cancel = func() error {
		_ = cmd.Process.Signal(os.Interrupt)
		return os.ErrProcessDone // so that Wait says how it ended: an interrupted generator ends well
	}
	cmd.WaitDelay = 2 * fleetSettle
	cmd.Stderr = s.err
	lines, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("start the devices: %w", err)
	}
	last, failed := f.follow(s.out, lines)
	if err := cmd.Wait(); err != nil {
		return exit.With(reports.ExitUnavailable, errors.Join(fmt.Errorf("the devices ended: %w", err), context.Cause(ctx)), "")
	}
	if failed != nil || last.Stats == nil {
		return errors.Join(errors.New("the devices did not say what they published"), failed)
	}
	settle(audit, last.Stats)
	showFleet(s.out, last, audit.Received(), usageOf(cmd.ProcessState))
	// An interrupted run is told, and is no verdict.
	verdict := judgeFleet(s.out, last, audit, ear.Stats())
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return verdict
}

// judgeFleet says what is missing.
func judgeFleet(w io.Writer, last fleetLine, audit *mqttdev.FleetAudit, ear mqttdev.Stats) error {
	lost, first := audit.Lost(last.Sent)
	came := min(audit.Received().Offline, last.Stats.Wills)
	switch wills := last.Stats.Wills - came; {
	case lost == 0 && wills == 0:
		fmt.Fprintln(w, "lost 0")
		return nil
	case ear.Lost > 0:
		return exit.With(reports.ExitUnavailable, fmt.Errorf("%d messages and %d wills did not come, but the connection that listens was lost %d times itself: nobody knows whether they were published", lost, wills, ear.Lost),
			"let the broker bear a client that reads everything: see its bound of waiting messages for one client")
	case lost > 0:
		fmt.Fprintf(w, "LOST %d of %d, first %v\n", lost, last.Stats.Published, first)
	default:
		fmt.Fprintf(w, "LOST %d of %d wills\n", wills, last.Stats.Wills)
	}
	return leave(reports.ExitFail)
}

// arguments start this program as the generator.
func (f *fleetFlags) arguments() []string {
	return []string{"fleet", "--generator", "--broker", f.broker, "--mix", f.mix, "--prefix", f.prefix, "--devices", strconv.Itoa(f.size),
		"--for", f.limit.String(), "--seed", strconv.FormatUint(f.seed, 10), "--run", f.mark, "--username", f.user, "--password-file", f.passwordFile}
}

// follow reads what the generator says.
func (f *fleetFlags) follow(w io.Writer, lines io.Reader) (last fleetLine, err error) {
	started := time.Now()
	in := bufio.NewReaderSize(lines, 1<<16)
	for dec := json.NewDecoder(in); ; {
		var l fleetLine
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return last, nil
		} else if err != nil {
			return last, err
		}
		if l.Connected {
			fmt.Fprintf(w, "%d devices are connected after %.1f s; they publish for %v\n", f.size, time.Since(started).Seconds(), f.limit)
		}
		last = l
	}
}

// settle waits until all that was published has come, or nothing comes any more: also
// after an interrupt, or what is on its way would be lost.
func settle(audit *mqttdev.FleetAudit, sent *mqttdev.FleetStats) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	before, since := uint64(0), time.Now()
	for {
		r := audit.Received()
		if r.Messages != before {
			before, since = r.Messages, time.Now()
		}
		if r.Messages >= sent.Published && r.Offline >= sent.Wills || time.Since(since) > fleetSettle {
			return
		}
		<-tick.C
	}
}

// fleetUsage is what the process of the devices took.
type fleetUsage struct {
	cpu time.Duration
	rss string
}

func showFleet(w io.Writer, last fleetLine, r mqttdev.FleetReceived, u fleetUsage) {
	s := last.Stats
	fmt.Fprintf(w, "published %d messages, %d bytes, in %v (%.0f a second); received %d, %d again, %d out of order; %d of others or of an earlier run\n",
		s.Published, s.Bytes, last.Took.Round(100*time.Millisecond), float64(s.Published)/last.Took.Seconds(), r.Messages, r.Again, r.Older, r.Foreign)
	fmt.Fprintf(w, "connections %d, of which %d by habit; %d refused, %d broken, %d messages sent again; wills %d left, %d received\n",
		s.Connects, s.Reconnects, s.Refused, s.Broken, s.Again, s.Wills, r.Offline)
	fmt.Fprintf(w, "the devices took %.2f s of processor (connecting included) and %s\n", u.cpu.Seconds(), u.rss)
}

// usageOf tells what an ended process took.
func usageOf(p *os.ProcessState) fleetUsage {
	return fleetUsage{cpu: p.UserTime() + p.SystemTime(), rss: peakMemory(p)}
}
