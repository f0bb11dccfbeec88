package generator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/harness/remote"
)

// ErrDied marks a generator that ended by itself, fell silent or broke the
// protocol: a fault of the harness. The message has what it said last.
var ErrDied = errors.New("the load generator died")

const (
	// meeting bounds how long a generator may take to greet.
	meeting = 60 * time.Second
	// farewell is how long its process may take to end once it was let go.
	farewell = 10 * time.Second
	// patience is how long it may take to end a call that was cancelled: much
	// longer than any call needs, for machines that stand still for a while.
	patience = 30 * time.Second
)

// Options say how a generator is launched. The zero value is one within this
// process that opens no devices.
type Options struct {
	// Command is a program and its arguments that does Serve over its standard
	// streams. Empty means within this process.
	Command []string
	Open    Opener       // of devices, within this process
	Log     *slog.Logger // nil discards
}

// Generator is a generator as the harness sees it. Its methods may be called
// from any goroutine. A call to one that died wraps ErrDied.
type Generator struct {
	cmd    *exec.Cmd // nil within this process
	inside *server   // nil in a process of its own
	said   *Words

	ready chan struct{}   // the link is there, or never will be
	done  chan struct{}   // everything of it has ended
	let   context.Context // ends when its owner lets it go
	leave context.CancelFunc

	link   *remote.Link // after ready; nil when there is none
	taking atomic.Pointer[desk]
	final  atomic.Pointer[ended]

	mu   sync.Mutex
	died error

	closing sync.Once
	failed  error // of closing
}

// Start launches a generator. It does not wait for it: Open does. Close ends it.
// The error is that of a program that cannot be started.
func Start(opts Options) (*Generator, error) {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	g := &Generator{
		said:  NewWords(log),
		ready: make(chan struct{}), done: make(chan struct{}),
	}
	g.let, g.leave = context.WithCancel(context.Background())
	var in io.ReadCloser
	var out io.WriteCloser
	var wait func() error
	if len(opts.Command) == 0 {
		in, out, wait = g.within(opts.Open, log)
	} else {
		var err error
		if in, out, wait, err = g.launch(opts.Command); err != nil {
			g.leave()
			return nil, fmt.Errorf("generator: start %q: %w", opts.Command[0], err)
		}
	}
	go g.attend(in, out, wait)
	return g, nil
}

// within starts a generator within this process.
func (g *Generator) within(open Opener, log *slog.Logger) (in io.ReadCloser, out io.WriteCloser, wait func() error) {
	g.inside = newServer(open, log, nil)
	in, toHarness := io.Pipe()
	fromHarness, out := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- g.inside.serve(context.Background(), fromHarness, toHarness) }()
	return in, out, func() error { return <-served }
}

// launch starts a process.
func (g *Generator) launch(command []string) (in io.ReadCloser, out io.WriteCloser, wait func() error, err error) {
	g.cmd = exec.Command(command[0], command[1:]...) //nolint:noctx // its standard input ends it, and attend
	g.cmd.SysProcAttr = OwnGroup()
	g.cmd.Stderr, g.cmd.WaitDelay = g.said, farewell
	if out, err = g.cmd.StdinPipe(); err != nil {
		return nil, nil, nil, err
	}
	if in, err = g.cmd.StdoutPipe(); err != nil {
		return nil, nil, nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, nil, nil, err
	}
	return in, out, g.cmd.Wait, nil
}

// attend greets the generator, and sees to its end.
func (g *Generator) attend(in io.ReadCloser, out io.WriteCloser, wait func() error) {
	defer close(g.done)
	ctx, cancel := context.WithTimeout(g.let, meeting)
	link, err := remote.Open(ctx, in, out, remote.Config{Cast: g.cast, MaxFrame: maxFrame, Patience: patience})
	cancel()
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("it did not greet within %v", meeting)
	}
	g.link = link
	close(g.ready)
	if link != nil {
		select {
		case <-link.Done():
		case <-g.let.Done():
		}
		if err = link.Err(); err == nil { // let go
			_ = link.Close()
		}
	}
	ended := g.await(wait)
	if g.let.Err() != nil && (link == nil || err == nil && ended == nil) {
		return // as its owner wanted
	}
	g.mourn(err, ended)
}

// await lets the process end, and kills it when it does not.
func (g *Generator) await(wait func() error) error {
	if g.cmd == nil {
		return wait()
	}
	late := time.AfterFunc(farewell, func() { _ = g.cmd.Process.Kill() }) // it is gone already when that fails
	defer late.Stop()
	return wait()
}

// mourn keeps why the generator died, and in the recording that something is
// missing.
func (g *Generator) mourn(link, process error) {
	var how []string
	for _, err := range []error{process, link} {
		if err != nil && (process == nil || !errors.Is(err, remote.ErrClosed) && !errors.Is(err, io.EOF)) {
			how = append(how, err.Error())
		}
	}
	if len(how) == 0 {
		how = []string{"it ended by itself"}
	}
	died := fmt.Errorf("%w: %s%s", ErrDied, strings.Join(how, "; "), g.said.Last())
	g.mu.Lock()
	g.died = died
	g.mu.Unlock()
	if d := g.taking.Load(); d != nil {
		d.recorder.Torn(died)
	}
}

// Done is closed when the generator has ended.
func (g *Generator) Done() <-chan struct{} { return g.done }

// Err returns how the generator died, nil while it lives and after an end that
// Close brought about.
func (g *Generator) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.died
}

// cast takes what the generator casts.
func (g *Generator) cast(name string, body []byte) error {
	d := g.taking.Load()
	if d == nil {
		return fmt.Errorf("%w: a cast before it was opened", remote.ErrProtocol)
	}
	return d.take(name, body)
}

// call makes the generator do something.
func (g *Generator) call(ctx context.Context, verb string, argument, answer any) error {
	select {
	case <-g.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.link == nil {
		<-g.done
		return g.Err()
	}
	err := g.link.Call(ctx, verb, argument, answer)
	if err == nil || g.link.Err() == nil {
		return err
	}
	<-g.done // at most farewell
	if died := g.Err(); died != nil {
		return died
	}
	return err
}
