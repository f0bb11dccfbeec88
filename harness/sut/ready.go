package sut

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// readyPoll is how often readiness is asked for, and commandPoll how often where a program has to be started for it, for which
// it has commandLimit each time.
const (
	readyPoll    = 20 * time.Millisecond
	commandPoll  = 250 * time.Millisecond
	commandLimit = 5 * time.Second
)

func (r Ready) poll() time.Duration {
	if len(r.Command) > 0 {
		return commandPoll
	}
	return readyPoll
}

// exitedError tells of a process that ended before it was ready.
type exitedError struct {
	name  string
	state string
	code  int
	lines []string
}

func (e *exitedError) Error() string {
	return fmt.Sprintf("process %q ended (%s)%s", e.name, e.state, quoteLines(e.lines))
}

// portTaken reports whether the process ended because somebody else had its port.
func (e *exitedError) portTaken() bool {
	return e.code == 4 || strings.Contains(strings.Join(e.lines, "\n"), "address already in use")
}

// waitReady returns when the process is ready, has ended, or its time is over.
func (c *child) waitReady(ctx context.Context) error {
	limit := c.spec.Ready.Timeout
	if limit == 0 {
		limit = DefaultReadyTimeout
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	tick := time.NewTicker(c.spec.Ready.poll())
	defer tick.Stop()
	for {
		missing := c.missing(ctx)
		if missing == "" {
			return nil
		}
		select {
		case <-c.done:
			return &exitedError{name: c.spec.Name, state: c.end(), code: c.state.ExitCode(), lines: c.lines(10)}
		case <-ctx.Done():
			return fmt.Errorf("process %q was waiting for %s: %w", c.spec.Name, missing, context.Cause(ctx))
		case <-timer.C:
			return fmt.Errorf("process %q was not ready after %v: %s%s", c.spec.Name, limit, missing, quoteLines(c.lines(10)))
		case <-tick.C:
		}
	}
}

// missing says what readiness still waits for, "" when nothing.
func (c *child) missing(ctx context.Context) string {
	r := c.spec.Ready
	if r.Addresses != "" && !c.wroteAddresses() {
		return "the file " + r.Addresses
	}
	if r.TCP != "" && !taken(ctx, r.TCP) {
		return "a connection to " + r.TCP
	}
	if r.HTTP != "" {
		if err := answers(ctx, r.HTTP); err != nil {
			return "an answer from " + r.HTTP
		}
	}
	if len(r.Command) > 0 {
		if err := c.tell(ctx); err != nil {
			return fmt.Sprintf("%q to end with 0 (%v)", r.Command, err)
		}
	}
	return ""
}

// tell runs the program that tells whether the process is ready.
func (c *child) tell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.spec.Ready.Command[0], c.spec.Ready.Command[1:]...)
	cmd.Dir, cmd.Env = c.spec.Dir, append(environment(), c.spec.Env...)
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return signalGroup(cmd.Process, sigKill) }
	// The death signal is bound to the thread, see launch.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// wroteAddresses reports whether the file was written by this very process: one
// that was killed leaves its file behind.
func (c *child) wroteAddresses() bool {
	data, err := os.ReadFile(c.spec.Ready.Addresses)
	if err != nil {
		return false
	}
	var file struct {
		PID int `json:"pid"`
	}
	return json.Unmarshal(data, &file) == nil && file.PID == c.process.Pid
}

// Told returns where bridged listens beside what its descriptor names: an entry of the file of addresses
// that it writes when it serves, such as "mqtt_wss". An entry that is not there is an error.
func (s *SUT) Told(name string) (string, error) {
	for _, p := range s.descriptor().Start {
		if p.Ready.Addresses == "" {
			continue
		}
		data, err := os.ReadFile(p.Ready.Addresses)
		if err != nil {
			return "", fmt.Errorf("sut: addresses of %q: %w", p.Name, err)
		}
		var file map[string]any
		if err := json.Unmarshal(data, &file); err != nil {
			return "", fmt.Errorf("sut: addresses of %q: %w", p.Name, err)
		}
		if address, ok := file[name].(string); ok && address != "" {
			return address, nil
		}
	}
	return "", fmt.Errorf("sut: %q tells no address %q", s.source.Name, name)
}

func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}

func quoteLines(lines []string) string {
	if len(lines) == 0 {
		return "; it printed nothing"
	}
	return "; it printed last:\n    " + strings.Join(lines, "\n    ")
}
