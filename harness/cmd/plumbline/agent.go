package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"plumbline/harness"
	"plumbline/harness/agent"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// agentListen is where an agent listens when nothing else is said: this host
// alone reaches it there.
const agentListen = "127.0.0.1:7477"

// agentFlags is what an agent takes.
type agentFlags struct {
	listen, token, certificate, spool, clock string
	most                                     int64
	once                                     bool
}

func newAgent(s streams) *cobra.Command {
	f := &agentFlags{}
	cmd := &cobra.Command{
		Use: "agent", Short: "Run viewers on this host for a plumbline on another one", Args: noArgs,
		Example: "plumbline agent --listen 192.0.2.7:7477 --token-file agent.token",
		Long: `Waits for plumbline run or certify --agent on another host and runs the viewers that they ask for here, until it
is interrupted, or has served once with --once. What viewers receive is stamped by the clock of this host, fetched by the harness and mapped to its
clock, with an uncertainty that the verdicts take into account.

The agent listens on loopback unless --listen names another address. Everything goes over TLS with a certificate that
the agent makes: it prints the fingerprint to be named in --agent. Both sides prove that they have the token of
--token-file, which is drawn when there is no such file and is never sent; copy the file to the other host.
Whoever has the token can let this host connect to any address.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.serve(cmd.Context(), s) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", agentListen, "address to listen on, HOST:PORT; port 0 takes a free one")
	flags.StringVar(&f.token, "token-file", "agent.token", "file with the secret that harness and agents share; drawn when it does not exist")
	flags.StringVar(&f.certificate, "certificate", "", "PEM file with certificate and key, made when it does not exist; without it a new one is made at each start")
	flags.StringVar(&f.spool, "spool-dir", "", "folder in which recordings wait to be fetched; by default that for temporary files")
	limit(flags, &f.most, "max-bytes", agent.DefaultMaxBytes, 1<<20, 1<<40, "bound of one recording, bytes; one that outgrows it is ended, and the run says so")
	flags.BoolVar(&f.once, "once", false, "end when the harness that came, and any other, has been gone for a quarter of an hour: for a job that has to come to an end")
	flags.StringVar(&f.clock, "test-clock", "", "OFFSET,PPM by which the clock of this agent is wrong on purpose, for tests of the mapping")
	_ = flags.MarkHidden("test-clock") // the flag exists
	return cmd
}

func (f *agentFlags) serve(ctx context.Context, s streams) error {
	cfg := agent.Config{Dir: f.spool, MaxBytes: f.most, Once: f.once, Version: thisBuild().Version, Log: slog.New(slog.NewTextHandler(s.err, nil))}
	var err error
	if cfg.Clock, err = testClock(f.clock); err != nil {
		return err
	}
	var made bool
	if cfg.Secret, made, err = agent.MakeSecret(f.token); err != nil {
		return exit.Usage(err, "name a file with --token-file that only you can read, or one that does not exist")
	}
	if cfg.Certificate, err = f.identity(); err != nil {
		return exit.Usage(err, "name a file with --certificate that plumbline agent made, or one that does not exist")
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return exit.With(reports.ExitUnavailable, fmt.Errorf("agent: %w", err), "name a free address of this host with --listen")
	}
	target := agent.Target{Address: listener.Addr().String(), Fingerprint: agent.FingerprintOf(cfg.Certificate)}
	if made {
		fmt.Fprintf(s.out, "a token was drawn: copy %s to the host of the harness, readable for its user alone\n", f.token)
	}
	fmt.Fprintf(s.out, "plumbline run --agent %s --agent-token %s\n", target, f.token)
	return agent.Serve(ctx, listener, cfg)
}

func (f *agentFlags) identity() (tls.Certificate, error) {
	if f.certificate == "" {
		return agent.NewCertificate(time.Now())
	}
	return agent.MakeCertificate(f.certificate, time.Now())
}

// testClock reads OFFSET,PPM; "" is an honest clock.
func testClock(text string) (*record.Clock, error) {
	if text == "" {
		return record.NewClock(), nil
	}
	offset, ppm, _ := strings.Cut(text, ",")
	by, err := time.ParseDuration(offset)
	drift, err2 := strconv.ParseFloat(ppm, 64)
	if err = errors.Join(err, err2); err != nil {
		return nil, exit.Usage(fmt.Errorf("--test-clock %q: %w", text, err), "for example 3s,200")
	}
	return record.Skewed(by, drift*1e-6), nil
}

// agentsFlags is what certify and run take to use agents, or processes of this host.
type agentsFlags struct {
	targets   []string
	token     string
	wait      time.Duration
	processes int
}

func (f *agentsFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.targets, "agent", nil, "HOST:PORT#FINGERPRINT of a plumbline agent on another host: it takes viewers of steady and load; may be repeated, and hold a range: 'agent-{0..9}.agents:7477#FINGERPRINT'")
	flags.StringVar(&f.token, "agent-token", "agent.token", "file with the secret that the agents have too")
	limit(flags, &f.wait, "agent-wait", 0, time.Second, 24*time.Hour, "for how long to wait for agents that are not there yet; by default not at all")
	limit(flags, &f.processes, "processes", 0, 1, harness.MaxProcesses, "processes of this host that take viewers, also those of kill, broker, brokerdown, soak and of clusters, so that they may outnumber the descriptors of one; by default they stay in this one")
}

// here enters the processes of this host that hold viewers. All errors are the user's.
func (f *agentsFlags) here(opts *spec.Options) error {
	switch {
	case f.processes == 0:
		return nil
	case len(f.targets) > 0:
		return exit.Usage(errors.New("--processes and --agent both take the viewers"), "name agents on this host beside the others in place of --processes")
	case viewingCommand() == nil:
		return exit.Usage(errors.New("--processes needs processes that share a clock, which this system has not"), "leave it out, or start plumbline agent and name it with --agent")
	}
	opts.Processes, opts.Viewing = f.processes, viewingCommand()
	return nil
}

// taken says of which scenarios the viewers are put elsewhere, "" when they are of all that
// were selected. That they are of none is the user's error: nothing is ignored in silence.
func (f *agentsFlags) taken(opts spec.Options, selected []spec.Scenario) (string, error) {
	flag, least := "--processes", harness.OwnProcesses
	switch {
	case len(f.targets) > 0:
		flag, least = "--agent", harness.OtherHosts
	case f.processes == 0:
		return "", nil
	}
	ids := apart(selected, least)
	if len(ids) > 0 && len(ids) == len(selected) {
		return "", nil
	}
	if len(ids) > 0 {
		return fmt.Sprintf("%s takes the viewers of %s; those of %d other scenarios stay in this process", flag, strings.Join(ids, ", "), len(selected)-len(ids)), nil
	}
	all, err := spec.List(opts.Profile, "")
	if err != nil {
		return "", classify(err)
	}
	return "", exit.Usage(fmt.Errorf("%s: none of the selected scenarios can put its viewers there", flag),
		fmt.Sprintf("leave %s out, or choose among %s with --label-filter", flag, strings.Join(apart(all, least), ", ")))
}

// apart names the scenarios whose viewers may be so far away.
func apart(all []spec.Scenario, least harness.Apart) (ids []string) {
	for _, sc := range all {
		if sc.Apart >= least {
			ids = append(ids, sc.ID)
		}
	}
	return ids
}

// dial connects to the agents, so that one that is not there is named before
// anything is measured. hangUp ends the connections.
func (f *agentsFlags) dial(ctx context.Context) (hosts []*agent.Host, hangUp func(), err error) {
	hangUp = func() {
		for _, h := range hosts {
			_ = h.Close() // always nil
		}
	}
	if len(f.targets) == 0 {
		return nil, hangUp, nil
	}
	targets, err := f.parse()
	if err != nil {
		return nil, hangUp, err
	}
	secret, err := agent.LoadSecret(f.token)
	if err != nil {
		return nil, hangUp, exit.Usage(err, "copy the token file of the agents here and name it with --agent-token")
	}
	until := time.Now().Add(f.wait)
	for _, target := range targets {
		host, err := reach(ctx, target, secret, until)
		if err != nil {
			return hosts, hangUp, exit.With(reports.ExitUnavailable, err, "start plumbline agent there, with the same token, and give the fingerprint that it prints; --agent-wait 2m waits for one that is still starting")
		}
		hosts = append(hosts, host)
	}
	return hosts, hangUp, nil
}

// parse reads the agents' addresses, all of them before a file is read or any is asked. All errors are the user's.
func (f *agentsFlags) parse() (all []agent.Target, err error) {
	for _, text := range f.targets {
		some, err := agent.ParseTargets(text)
		if err != nil {
			return nil, exit.Usage(fmt.Errorf("--agent: %w", err), "plumbline agent prints what to give")
		}
		all = append(all, some...)
	}
	return all, nil
}

// reach connects to an agent, and tries again until it is there or the time is over. One that
// is there and is another, or has another token, is not waited for.
func reach(ctx context.Context, target agent.Target, secret []byte, until time.Time) (*agent.Host, error) {
	for {
		host, err := agent.Dial(ctx, target, secret, nil)
		if err == nil || errors.Is(err, agent.ErrCertificate) || errors.Is(err, agent.ErrRefused) || ctx.Err() != nil || !time.Now().Before(until) {
			return host, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
