package calibrate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"time"

	"plumbline/harness/load"
)

const (
	// announcement opens the line in which R0 says where it listens.
	announcement = "plumbline-reference-bridge "
	// meeting is how long R0 and the rig wait for each other.
	meeting = 10 * time.Second
	// farewell is how long R0 may take to end.
	farewell = 5 * time.Second
)

// Serve is R0: it listens on the loopback interface, writes its address to out
// in one line, takes two connections, the way in first, and passes frames from
// the one to the other after the delay that each names (see
// load.ServeReference). It returns when the way in ends or with ctx.
func Serve(ctx context.Context, out io.Writer) error {
	in, to, err := meet(ctx, out)
	if err != nil {
		return fmt.Errorf("calibrate: reference bridge: %w", err)
	}
	end := func() {
		_ = in.Close()
		_ = to.Close()
	}
	defer end()
	defer context.AfterFunc(ctx, end)()
	defer load.Quiet(quietBytes)()
	return load.ServeReference(ctx, in, to)
}

// meet waits for both connections.
func meet(ctx context.Context, out io.Writer) (in, to net.Conn, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = listener.Close() }() // both have come, or nobody is waited for any more
	if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(meeting)); err != nil {
		return nil, nil, err
	}
	if _, err := fmt.Fprintln(out, announcement+listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	if in, err = listener.Accept(); err != nil {
		return nil, nil, err
	}
	if to, err = listener.Accept(); err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	return in, to, nil
}

// bridge is R0 as the rig sees it.
type bridge struct {
	cmd      *exec.Cmd
	kill     context.CancelFunc
	said     *words
	to, from net.Conn
}

// start starts R0 and connects to it.
func start(ctx context.Context, command []string) (*bridge, error) {
	if len(command) == 0 {
		return nil, errors.New("calibrate: no command for the reference bridge")
	}
	ctx, kill := context.WithCancel(ctx)
	b := &bridge{cmd: exec.CommandContext(ctx, command[0], command[1:]...), kill: kill, said: &words{}}
	b.cmd.Stderr, b.cmd.WaitDelay = b.said, farewell
	out, err := b.cmd.StdoutPipe()
	if err == nil {
		err = b.cmd.Start()
	}
	if err != nil {
		kill()
		return nil, fmt.Errorf("calibrate: start the reference bridge: %w", err)
	}
	if err := b.connect(ctx, out); err != nil {
		kill()
		return nil, b.blame(fmt.Errorf("calibrate: reference bridge: %w", errors.Join(err, ignoreKilled(b.cmd.Wait()))))
	}
	return b, nil
}

// connect reads where R0 listens and opens both ways.
func (b *bridge) connect(ctx context.Context, out io.Reader) error {
	if pipe, ok := out.(interface{ SetReadDeadline(t time.Time) error }); ok {
		if err := pipe.SetReadDeadline(time.Now().Add(meeting)); err != nil {
			return err
		}
	}
	line, err := bufio.NewReaderSize(out, 256).ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("it did not say where it listens: %w", err)
	}
	address, found := strings.CutPrefix(strings.TrimSpace(string(line)), announcement)
	if !found {
		return fmt.Errorf("it said %q in place of where it listens", line)
	}
	dialer := net.Dialer{Timeout: meeting}
	if b.to, err = dialer.DialContext(ctx, "tcp", address); err != nil {
		return err
	}
	if b.from, err = dialer.DialContext(ctx, "tcp", address); err != nil {
		return errors.Join(err, b.to.Close())
	}
	return nil
}

// close ends R0, by its way in at first.
func (b *bridge) close() error {
	defer b.kill()
	_ = b.to.Close() // all that was asked for is there
	late := time.AfterFunc(farewell, b.kill)
	defer late.Stop()
	err := b.cmd.Wait()
	_ = b.from.Close()
	return b.blame(ignoreKilled(err))
}

// ignoreKilled drops how a process ended that was told to.
func ignoreKilled(err error) error {
	var exit *exec.ExitError
	if errors.Is(err, context.Canceled) || errors.As(err, &exit) && exit.ExitCode() < 0 {
		return nil
	}
	return err
}

// blame adds what R0 said last.
func (b *bridge) blame(err error) error {
	if said := b.said.String(); err != nil && said != "" {
		return fmt.Errorf("%w (it said %q)", err, said)
	}
	return err
}

// words keeps the beginning of what a process says.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer. It never fails.
func (t *words) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p[:min(len(p), max(0, 4096-t.text.Len()))])
	return len(p), nil
}

// String returns what was said so far.
func (t *words) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.text.String())
}
