// Command flawed stands in front of a correct bridge and is wrong in one way on
// purpose. Devices and viewers reach it in place of the bridge, which it starts
// as a child; to the bridge it is an honest device and viewer. With the defect
// none it changes nothing and takes the same ways through its own code.
//
// It is never shipped. It exists so that a bench can prove what it detects.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"
)

// options are the command line; see sut.Fronted for what the harness fills in.
type options struct {
	defect, param, counter    string
	seed                      uint64
	viewers, viewersTo        string
	broker, brokerTo          string
	tls, secret, revoked, rsa string
	clock                     string
	mqtt                      bool // viewers speak MQTT over WebSocket
	compress                  bool // compress for viewers that offer it
	issuer, audience          string
	command                   []string
}

func main() {
	debug.SetMemoryLimit(memoryLimit)
	os.Exit(run(os.Args[1:])) //nolint:forbidigo // only main exits
}

// memoryLimit is from where on the collector works harder, so that what it leaves
// lying does not pass for what a bridge keeps. What a flaw keeps may go beyond.
const memoryLimit = 32 << 20

// run returns the exit code of the bridge, or 2 for wrong arguments, 4 for an
// address that is taken and 5 for anything else.
func run(args []string) int {
	code, err := work(args)
	if err == nil {
		return code
	}
	fmt.Fprintln(os.Stderr, "flawed:", err)
	switch {
	case errors.Is(err, errUsage):
		return 2
	case errors.Is(err, syscall.EADDRINUSE):
		return 4
	}
	return 5
}

func work(args []string) (int, error) {
	if len(args) > 0 && args[0] == "--step" {
		return 0, stepClock(args[1:])
	}
	opts, err := parse(args)
	if err != nil {
		return 0, err
	}
	return serve(opts)
}

var errUsage = errors.New("wrong arguments")

func parse(args []string) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("flawed", flag.ContinueOnError)
	for name, into := range map[string]*string{
		"defect": &o.defect, "param": &o.param, "counter": &o.counter, "viewers": &o.viewers, "viewers-to": &o.viewersTo,
		"broker": &o.broker, "broker-to": &o.brokerTo, "tls": &o.tls, "secret": &o.secret, "revoked": &o.revoked, "rsa": &o.rsa,
		"issuer": &o.issuer, "audience": &o.audience, "clock": &o.clock,
	} {
		set.StringVar(into, name, "", "")
	}
	set.BoolVar(&o.mqtt, "mqtt", false, "")
	set.BoolVar(&o.compress, "compress", false, "")
	set.Uint64Var(&o.seed, "seed", 1, "of everything drawn")
	if err := set.Parse(args); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	o.command = set.Args()
	if len(o.command) == 0 || o.viewers == "" || o.viewersTo == "" || o.broker == "" || o.brokerTo == "" || o.tls == "" || o.counter == "" {
		return nil, fmt.Errorf("%w: --viewers, --viewers-to, --broker, --broker-to, --tls, --counter and a command are needed", errUsage)
	}
	return o, nil
}

// serve runs the bridge with the relays before it until the bridge ends.
func serve(o *options) (int, error) {
	count, err := openCounter(o.counter)
	if err != nil {
		return 0, err
	}
	defer func() { _ = count.close() }()
	f := &front{opts: o, count: count, wall: wall{path: o.clock}, keys: keys{secret: o.secret, revoked: o.revoked, issuer: o.issuer, audience: o.audience}}
	starts := mark(filepath.Join(filepath.Dir(o.secret), "flawed.starts"))
	f.restarted, f.drawn = starts > 0, uint64(starts)<<32 // no start draws as another did
	if f.flaw, err = flawOf(o.defect, o.param, f); err != nil {
		return 0, fmt.Errorf("%w: %w", errUsage, err)
	}
	if err := f.keys.makeRSA(o.rsa); err != nil {
		return 0, err
	}
	if f.restarted {
		vacated(o.viewersTo, o.brokerTo)
	}
	child := exec.CommandContext(context.Background(), o.command[0], o.command[1:]...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	if err := child.Start(); err != nil {
		return 0, fmt.Errorf("start the bridge: %w", err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = child.Wait() }() // its state says it all
	stop := func() { _ = child.Process.Signal(syscall.SIGTERM) }
	err = await(o.viewersTo, ended)
	if err == nil {
		err = f.open()
	}
	if err != nil {
		stop()
		<-ended
		if child.ProcessState.Exited() && child.ProcessState.ExitCode() > 0 {
			return child.ProcessState.ExitCode(), nil
		}
		return 0, err
	}
	for {
		select {
		case <-signals:
			stop()
		case <-ended:
			f.close()
			return max(child.ProcessState.ExitCode(), 0), nil
		}
	}
}

// vacated waits until addresses are free: after a SIGKILL of the whole group the
// bridge of the last start may take a moment longer to go than we did.
func vacated(addresses ...string) {
	for _, address := range addresses {
		for range 200 {
			l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
			if err == nil {
				_ = l.Close() // it was only tried
				break
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

// mark counts the starts of this system in the length of a file beside its keys
// and returns how many there were before.
func mark(path string) (before int64) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil {
		before = info.Size()
	}
	_, _ = file.WriteString(".") // what cannot be counted counts as the first
	return before
}

// await waits until the bridge serves viewers: then it has made its certificate.
func await(address string, ended <-chan struct{}) error {
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ended:
			return errors.New("the bridge ended before it served")
		case <-limit.C:
			return fmt.Errorf("the bridge does not listen on %s after 20 s", address)
		case <-tick.C:
		}
	}
}
