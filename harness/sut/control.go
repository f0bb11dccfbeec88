package sut

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"
)

// portAttempts is how often Start picks new ports when one was taken between
// the picking and the start.
const portAttempts = 4

// Start starts every process that does not run, in the order of the
// descriptor, and returns when all are ready. When one fails, those that were
// started are killed. Errors wrap ErrUnavailable, or ErrUsage for a setting that
// bridged refuses, and show the last log lines.
func (s *SUT) Start(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	fresh := !s.startedOnce()
	for attempt := 1; ; attempt++ {
		err := errors.Join(s.certify(), s.openLinks(), s.startAll(ctx))
		if err == nil {
			break
		}
		s.killAll()
		var exited *exitedError
		if fresh && attempt < portAttempts && errors.As(err, &exited) && exited.portTaken() {
			s.log.Info("a port was taken meanwhile; trying others", "attempt", attempt)
			s.ports.forget()
			s.closeLinks()
			if err := s.prepare(); err != nil {
				return err
			}
			continue
		}
		kind := ErrUnavailable
		if s.source.builtin && errors.As(err, &exited) && exited.code == 2 {
			kind = ErrUsage // what bridged says about a wrong setting
		}
		return fmt.Errorf("sut: start %q: %w: %w", s.source.Name, kind, err)
	}
	t, err := loadTrust(s.descriptor())
	if err != nil {
		s.killAll()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trust = t
	return nil
}

func (s *SUT) startedOnce() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.children {
		if c != nil {
			return true
		}
	}
	return false
}

func (s *SUT) startAll(ctx context.Context) error {
	for i := range s.descriptor().Start {
		if err := s.startOne(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// startOne starts process i when it does not run and waits until it is ready.
func (s *SUT) startOne(ctx context.Context, i int) error {
	s.mu.Lock()
	closed, old, spec := s.closed, s.children[i], s.desc.Start[i]
	s.mu.Unlock()
	switch {
	case closed:
		return errors.New("it was closed")
	case old != nil && old.running():
		return nil
	}
	if taken(ctx, spec.Ready.TCP) {
		return fmt.Errorf("process %q was not started: something listens on %s already and would be taken for it; end that program or choose another port", spec.Name, spec.Ready.TCP)
	}
	c, err := launch(spec, s.dir, s.opts.Uptime, s.log, s.ended)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.children[i] = c
	s.mu.Unlock()
	err = c.waitReady(ctx)
	if err != nil {
		return errors.Join(err, c.kill())
	}
	// From here on an end that nobody asked for is a death.
	c.ready.Store(true)
	if !c.running() {
		s.ended(c)
	}
	return nil
}

// taken reports whether something accepts connections at the address.
func taken(ctx context.Context, address string) bool {
	if address == "" {
		return false
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// ended is called by the goroutine of a child when its process is gone.
func (s *SUT) ended(c *child) {
	if c.wanted.Load() || !c.ready.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.failure = fmt.Errorf("sut: process %q died: %w: %s%s", c.spec.Name, ErrUnavailable, c.end(), quoteLines(c.lines(10)))
		s.log.Error("a process of the system under test died", "name", c.spec.Name, "state", c.end())
		close(s.died)
	}
}

// Stop ends every process, the last started first: SIGTERM, then SIGKILL when
// StopLimit is over or ctx ends, which is an error. What a process does wrong
// when it is told to end is none: Lapses tells it.
func (s *SUT) Stop(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	children := s.processes()
	var failed error
	for i := len(children) - 1; i >= 0; i-- {
		failed = errors.Join(failed, s.stopOne(ctx, children[i]))
	}
	return failed
}

func (s *SUT) stopOne(ctx context.Context, c *child) error {
	if c == nil || !c.running() {
		return nil
	}
	obeyed, err := c.stop(ctx.Done(), s.opts.StopLimit)
	switch {
	case err != nil:
		return err
	case !obeyed && ctx.Err() != nil:
		return fmt.Errorf("sut: stop %q: it was killed: %w%s", c.spec.Name, context.Cause(ctx), quoteLines(c.lines(5)))
	case !obeyed:
		s.lapsed(c, fmt.Sprintf("was told to end (SIGTERM), had not ended %v later and was killed", s.opts.StopLimit))
	case !obeyedWell(c.state):
		s.lapsed(c, "was told to end (SIGTERM) and ended with "+c.end())
	}
	return nil
}

// Kill ends the bridge at once with SIGKILL, or by the hook killBridge, and
// returns when it is gone. With neither the error wraps ErrNoControl.
func (s *SUT) Kill() error {
	s.life.Lock()
	defer s.life.Unlock()
	d := s.descriptor()
	if len(d.Hooks.KillBridge) > 0 {
		return s.hook(context.Background(), "killBridge", d.Hooks.KillBridge)
	}
	c, err := s.bridge()
	if err != nil {
		return err
	}
	return c.kill()
}

// Kills reports whether Kill and Start can end the bridge and bring it back.
func (s *SUT) Kills() bool { return !s.source.Remote() && len(s.source.Hooks.KillBridge) == 0 }

// BrokerApart reports whether there is a broker that is no part of the bridge
// and that RestartBroker can restart.
func (s *SUT) BrokerApart() bool {
	broker := s.source.brokerIndex()
	return len(s.source.Hooks.RestartBroker) > 0 || (broker >= 0 && broker != s.source.bridgeIndex())
}

// Restart stops the bridge when it runs and starts it again on the same ports
// and data, or runs the hook restartBridge. It returns when the bridge is ready.
func (s *SUT) Restart(ctx context.Context) error {
	d := s.descriptor()
	return s.restart(ctx, "restartBridge", d.Hooks.RestartBridge, d.bridgeIndex())
}

// RestartBroker is Restart for the broker. Where broker and bridge are one
// process, as in bridged, that process is restarted.
func (s *SUT) RestartBroker(ctx context.Context) error {
	d := s.descriptor()
	return s.restart(ctx, "restartBroker", d.Hooks.RestartBroker, d.brokerIndex())
}

func (s *SUT) restart(ctx context.Context, name string, hook []string, i int) error {
	s.life.Lock()
	defer s.life.Unlock()
	if len(hook) > 0 {
		return s.hook(ctx, name, hook)
	}
	if i < 0 {
		return fmt.Errorf("sut: restart of %q: %w: give the descriptor a hook %s", s.source.Name, ErrNoControl, name)
	}
	if err := s.stopOne(ctx, s.processes()[i]); err != nil {
		return err
	}
	if err := s.startOne(ctx, i); err != nil {
		return fmt.Errorf("sut: restart of %q: %w: %w", s.source.Name, ErrUnavailable, err)
	}
	return nil
}

// StepClock sets the wall clock of the system ahead, or back when by is below
// zero, with the hook stepClock. Without one the error wraps ErrNoControl.
func (s *SUT) StepClock(ctx context.Context, by time.Duration) error {
	s.life.Lock()
	defer s.life.Unlock()
	hook := s.descriptor().Hooks.StepClock
	if len(hook) == 0 {
		return fmt.Errorf("sut: step the clock of %q: %w: give the descriptor a hook stepClock", s.source.Name, ErrNoControl)
	}
	return s.hook(ctx, "stepClock", append(slices.Clone(hook), strconv.Itoa(int(by/time.Second))))
}

// stopPatience is how long a process may take to come to a halt.
const stopPatience = 5 * time.Second

// Pause freezes the bridge with SIGSTOP and returns when it has come to a
// halt. The error wraps ErrNoControl where that cannot be done.
func (s *SUT) Pause() error {
	c, err := s.bridge()
	if err != nil {
		return err
	}
	return c.pause()
}

// pause freezes the process and all that it started.
func (c *child) pause() error {
	if err := signalGroup(c.process, sigStop); err != nil {
		return fmt.Errorf("sut: pause %q: %w", c.spec.Name, err)
	}
	for deadline := time.Now().Add(stopPatience); !stopped(c.process.Pid); {
		if !c.running() || time.Now().After(deadline) {
			return fmt.Errorf("sut: pause %q: it did not come to a halt: %w", c.spec.Name, ErrUnavailable)
		}
		<-time.After(100 * time.Microsecond)
	}
	return nil
}

// Resume thaws the bridge with SIGCONT.
func (s *SUT) Resume() error {
	c, err := s.bridge()
	if err != nil {
		return err
	}
	return c.resume()
}

// resume thaws what pause froze.
func (c *child) resume() error {
	if err := signalGroup(c.process, sigContinue); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sut: resume %q: %w", c.spec.Name, err)
	}
	return nil
}

// Close stops everything and removes keys and state; logs in Options.Dir stay.
// It is idempotent; every call returns after all is done, with the same error.
func (s *SUT) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		if s.sampler != nil {
			s.sampler.close()
		}
		err := s.Stop(context.Background())
		s.closeLinks()
		s.logs.close()
		s.closeErr = errors.Join(err, os.RemoveAll(s.private))
	})
	return s.closeErr
}

// killAll ends what is left after a start that failed.
func (s *SUT) killAll() {
	for _, c := range s.processes() {
		if c != nil && c.running() {
			_ = c.kill() // the start has failed already, for a better reason
		}
	}
}
