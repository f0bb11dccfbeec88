package virtual

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
)

// startLimit bounds how long the emulator may take to open its connections; a
// busy machine was seen to take 1.3 s.
const startLimit = 30 * time.Second

// process is the running emulator.
type process struct {
	cmd    *exec.Cmd
	said   tail
	dir    string
	exited chan struct{} // closed when it was waited for
	err    error         // of Wait; read it after exited
}

// launch starts the emulator, its board held at the first instruction, and
// returns the two connections that it opened to us. On an error nothing is left.
func launch(ctx context.Context, opts Options) (*process, net.Conn, net.Conn, error) {
	program, err := exec.LookPath(Emulator)
	if err != nil {
		return nil, nil, nil, ErrNoEmulator
	}
	dir, err := os.MkdirTemp("", "plumbline-vm-")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("folder of the machine: %w", err)
	}
	image := filepath.Join(dir, "node.elf")
	if err := os.WriteFile(image, firmware.Image(), 0o600); err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("program of the machine: %w", err), os.RemoveAll(dir))
	}
	p := &process{dir: dir, exited: make(chan struct{})}
	conns, err := p.launch(ctx, program, arguments(dir, image, opts), "qmp", "uart")
	if err != nil {
		return nil, nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, conns[0], conns[1], nil
}

// launch listens on sockets of these names in the machine's folder, starts the
// program and accepts a connection to each. On an error everything is ended again.
func (p *process) launch(ctx context.Context, program string, args []string, sockets ...string) ([]net.Conn, error) {
	var doors []*net.UnixListener
	defer func() {
		for _, door := range doors {
			_ = door.Close()
		}
	}()
	for _, name := range sockets {
		door, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(p.dir, name), Net: "unix"})
		if err != nil {
			return nil, fmt.Errorf("socket of the machine: %w", err)
		}
		doors = append(doors, door)
	}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, args...) // found on the PATH by its name; it outlives the start
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.begin(); err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	var conns []net.Conn
	for _, door := range doors {
		conn, err := p.accept(ctx, door)
		if err != nil {
			for _, c := range conns {
				_ = c.Close()
			}
			return nil, errors.Join(p.explain(err), p.kill())
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// arguments is the board: everything that it has, nothing by default.
func arguments(dir, image string, opts Options) []string {
	args := []string{
		"-M", "lm3s6965evb", "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none", "-S", "-kernel", image,
		"-chardev", "socket,id=qmp,path=" + filepath.Join(dir, "qmp"), "-mon", "chardev=qmp,mode=control",
		"-chardev", "socket,id=uart,path=" + filepath.Join(dir, "uart"), "-serial", "chardev:uart",
		"-device", "tmp105,id=t0,bus=i2c,address=0x48", "-device", "pca9552,id=out,bus=i2c,address=0x60",
		// The part's serial number is its network address (data sheet 5.5, USER0 and USER1).
		"-net", fmt.Sprintf("nic,macaddr=52:54:00:%02x:%02x:%02x", byte(opts.Number>>16), byte(opts.Number>>8), byte(opts.Number)),
	}
	if opts.Time == devices.FastForward {
		// A fixed time for each instruction, and no waiting for the host while the board sleeps.
		args = append(args, "-icount", "shift=5,sleep=off")
	}
	return args
}

// begin starts the process and waits for it, both on one thread that lives as
// long: on Linux a child that is to die with its parent dies with the thread that
// started it.
func (p *process) begin() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.exited)
		}
	}()
	return <-started
}

// accept waits for one connection of the emulator; its end or ctx's ends the wait.
func (p *process) accept(ctx context.Context, door *net.UnixListener) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var watch sync.WaitGroup
	accepted := make(chan struct{})
	watch.Go(func() {
		select {
		case <-p.exited:
		case <-ctx.Done():
		case <-accepted:
			return
		}
		_ = door.SetDeadline(time.Now()) // wakes Accept
	})
	conn, err := door.Accept()
	close(accepted)
	watch.Wait()
	if err != nil {
		return nil, fmt.Errorf("the emulator did not connect: %w", errors.Join(ctx.Err(), err))
	}
	return conn, nil
}

// explain adds what the emulator said when it has ended.
func (p *process) explain(err error) error {
	select {
	case <-p.exited:
		return fmt.Errorf("%w (%s ended: %w; it said: %q)", err, filepath.Base(p.cmd.Path), p.err, p.said.String())
	default:
		return err
	}
}

// forgetFiles removes the folder: sockets and program are open, and nothing is
// left behind when we are killed.
func (p *process) forgetFiles() { _ = os.RemoveAll(p.dir) }

// kill ends the emulator and waits for it. It may be called again.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-p.exited
	return errors.Join(err, os.RemoveAll(p.dir))
}

// maxSaid is how much of the emulator's output is kept.
const maxSaid = 4096

// tail keeps the last bytes that were written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - maxSaid; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
