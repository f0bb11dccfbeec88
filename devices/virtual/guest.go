package virtual

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"plumbline/devices/guest"
	"plumbline/devices/usbip"
)

// bootLimit bounds how long a guest may take until its agent answers: some 4 s on
// a quiet machine, a quarter of a minute on a busy one.
const bootLimit = 2 * time.Minute

// GuestOptions of a guest. Agent is required.
type GuestOptions struct {
	ID    string // names the guest in errors; "" = "guest"
	Agent string // a program of devices/guest/cmd/guestinit for Linux on amd64, linked statically
	// State is a file of Guest.Save: the guest goes on from there instead of booting,
	// which takes a second less than four. "" = boot.
	State string
	Log   *slog.Logger // nil = discard
}

// Guest is an emulated PC whose Linux has USB serial drivers and the agent of
// package guest. It has no disk and reaches nothing; only its agent can be reached,
// on loopback. Its methods may be called by any goroutine. It ends with Close, and
// where the system is Linux also with the process that started it.
type Guest struct {
	opts    GuestOptions
	process *process
	control *monitor
	address string // of the agent, on the host
	status  guest.Status

	mu     sync.Mutex
	cables map[*usbip.Adapter]*cable // owned by mu
	taken  map[int]bool              // sockets of adapters; owned by mu

	closing  sync.Once
	closeErr error
}

// cable is an adapter that is plugged in.
type cable struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // read it after done
}

// StartGuest starts a guest and returns when its agent answers. ctx bounds the
// start only. The error wraps ErrNoGuest where there is no emulator or kernel.
func StartGuest(ctx context.Context, opts GuestOptions) (*Guest, error) {
	if err := GuestAvailable(); err != nil {
		return nil, err
	}
	if opts.ID == "" {
		opts.ID = "guest"
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := os.MkdirTemp("", "plumbline-guest-")
	if err != nil {
		return nil, fmt.Errorf("virtual: start %q: %w", opts.ID, err)
	}
	g := &Guest{opts: opts, cables: map[*usbip.Adapter]*cable{}, taken: map[int]bool{}}
	if err := g.start(ctx, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("virtual: start %q: %w", opts.ID, err), g.Close(), os.RemoveAll(dir))
	}
	return g, nil
}

func (g *Guest) start(ctx context.Context, dir string) error {
	kernel := guestKernel{GuestFolder()}
	modules, err := kernel.modules(guestModules)
	if err != nil {
		return err
	}
	image := filepath.Join(dir, "image.cpio")
	if err := writeGuestImage(image, g.opts.Agent, modules); err != nil {
		return err
	}
	program, err := exec.LookPath(GuestEmulator)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoGuest, err)
	}
	args, err := guestArguments(dir, kernel.image(), image, g.opts.State)
	if err != nil {
		return err
	}
	p := &process{dir: dir, exited: make(chan struct{})}
	conns, err := p.launch(ctx, program, args, "qmp")
	if err != nil {
		return err
	}
	g.process = p
	g.control, err = newMonitor(ctx, conns[0], func(event string, data json.RawMessage) {
		g.opts.Log.Debug("guest", "machine", g.opts.ID, "event", event, "data", string(data))
	})
	if err == nil {
		g.address, err = g.forwarded(ctx)
	}
	if err == nil {
		err = g.await(ctx)
	}
	if err != nil {
		return p.explain(err)
	}
	return nil
}

// guestArguments is the machine: a PC with a console and a network card, nothing
// else.
func guestArguments(dir, kernel, image, state string) ([]string, error) {
	args := []string{
		// Not KVM, wherever: where it is there without what it needs, a guest hangs.
		"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "256",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", image,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on tsc=reliable no_timer_check",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-netdev", fmt.Sprintf("user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:0-:%d", guest.AgentPort),
		"-device", "virtio-net-pci,netdev=n0,romfile=",
		"-chardev", "socket,id=qmp,path=" + filepath.Join(dir, "qmp"), "-mon", "chardev=qmp,mode=control",
	}
	if state == "" {
		return args, nil
	}
	source, err := shellQuoted(state)
	return append(args, "-incoming", "exec:cat "+source), err
}

// shellQuoted is a path for the emulator's shell.
func shellQuoted(path string) (string, error) {
	if strings.ContainsAny(path, "'\n") {
		return "", fmt.Errorf("state of the guest: the path %q holds a quote", path)
	}
	return "'" + path + "'", nil
}

// hostForward is the line of the emulator that says where the agent is.
var hostForward = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s`)

// forwarded asks the emulator which port of the host it took.
func (g *Guest) forwarded(ctx context.Context) (string, error) {
	var text string
	if err := g.control.execute(ctx, "human-monitor-command", map[string]any{"command-line": "info usernet"}, &text); err != nil {
		return "", err
	}
	found := hostForward.FindStringSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("virtual: the emulator does not say where it forwards to: %q", text)
	}
	return net.JoinHostPort("127.0.0.1", found[1]), nil
}

// await asks the agent until it answers: the emulator takes connections long
// before the guest does.
func (g *Guest) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for patience := 300 * time.Millisecond; ; patience = min(patience*3/2, 10*time.Second) {
		try, stop := context.WithTimeout(ctx, patience)
		status, err := guest.Ask(try, g.Dial)
		stop()
		if err == nil {
			g.status = status
			return nil
		}
		select {
		case <-g.process.exited:
			return ErrGone
		case <-ctx.Done():
			return fmt.Errorf("virtual: the agent does not answer: %w; the console says: %q", err, g.process.said.String())
		case <-tick.C:
		}
	}
}

// Dial connects to the agent; see guest.Dialer.
func (g *Guest) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", g.address)
}

// Address is where Dial goes to, host:port, for who dials in another process.
func (g *Guest) Address() string { return g.address }

// Kernel is the release of the guest's kernel.
func (g *Guest) Kernel() string { return g.status.Kernel }

// Plug puts an adapter into a socket of the guest's hub, from 0 to 14. It returns
// at once; the guest's kernel takes some half a second to know it. An adapter that
// comes off by itself counts as plugged in until Unplug, which says why it did.
func (g *Guest) Plug(slot int, a *usbip.Adapter) error {
	_, err := g.plug(slot, a)
	return err
}

func (g *Guest) plug(slot int, a *usbip.Adapter) (*cable, error) {
	if slot < 0 || slot >= GuestSockets {
		return nil, fmt.Errorf("virtual: plug %s: socket %d of %q is not between 0 and %d", a.Select(), slot, g.opts.ID, GuestSockets-1)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cables[a] != nil {
		return nil, fmt.Errorf("virtual: plug %s: %w", a.Select(), usbip.ErrPlugged)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &cable{cancel: cancel, done: make(chan struct{})}
	g.cables[a], g.taken[slot] = c, true
	go func() {
		defer close(c.done)
		if c.err = guest.Plug(ctx, g.Dial, slot, a); c.err != nil {
			g.opts.Log.Warn("adapter came off the guest", "machine", g.opts.ID, "adapter", a.Select(), "error", c.err)
		}
	}()
	return c, nil
}

// Unplug pulls an adapter out and returns when it is. The error is that of the
// cable while it was in; none is for one that is not plugged in.
func (g *Guest) Unplug(a *usbip.Adapter) error {
	g.mu.Lock()
	c := g.cables[a]
	delete(g.cables, a)
	g.mu.Unlock()
	if c == nil {
		return nil
	}
	c.cancel()
	<-c.done
	return c.err
}

// Save writes the guest's state into a file, whose content it replaces, and ends the
// guest: from it, others can start. Adapters must not be plugged in.
func (g *Guest) Save(ctx context.Context, path string) error {
	g.mu.Lock()
	busy := len(g.cables)
	g.mu.Unlock()
	if busy > 0 {
		return fmt.Errorf("virtual: save %q: %d adapters are plugged in; a state has no cables", g.opts.ID, busy)
	}
	target, err := shellQuoted(path)
	if err != nil {
		return err
	}
	if err := g.control.execute(ctx, "migrate", map[string]any{"uri": "exec:cat > " + target}, nil); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var m struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := g.control.execute(ctx, "query-migrate", nil, &m); err != nil {
			return err
		}
		switch m.Status {
		case "completed":
			return g.Close()
		case "failed", "cancelled":
			return fmt.Errorf("virtual: save %q: %s: %s", g.opts.ID, m.Status, m.Error)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("virtual: save %q: %w", g.opts.ID, ctx.Err())
		case <-tick.C:
		}
	}
}

// Close pulls all adapters out, ends the guest at once and waits. It is idempotent.
func (g *Guest) Close() error {
	g.closing.Do(func() {
		g.mu.Lock()
		cables := g.cables
		g.cables = map[*usbip.Adapter]*cable{}
		g.mu.Unlock()
		for _, c := range cables {
			c.cancel()
			<-c.done
		}
		if g.process != nil {
			g.closeErr = g.process.kill()
		}
		if g.control != nil {
			g.control.close()
		}
	})
	return g.closeErr
}
