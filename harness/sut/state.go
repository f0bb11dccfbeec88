package sut

import (
	"fmt"
	"slices"
)

// bridgeIndex returns the process that is the bridge: the first node of a cluster,
// the one of that name, else the last; -1 for a remote system.
func (d *Descriptor) bridgeIndex() int {
	if d.Cluster != nil && len(d.Cluster.Nodes) > 0 {
		return d.index(d.Cluster.Nodes[0].Process)
	}
	if i := d.index("bridge"); i >= 0 {
		return i
	}
	return len(d.Start) - 1
}

// brokerIndex returns the process that is the broker: the one of that name,
// else the only process; -1 when it cannot be told.
func (d *Descriptor) brokerIndex() int {
	if i := d.index("broker"); i >= 0 || len(d.Start) != 1 {
		return i
	}
	return 0
}

func (d *Descriptor) index(name string) int {
	return slices.IndexFunc(d.Start, func(p Process) bool { return p.Name == name })
}

// processes returns the children, nil where nothing was started yet.
func (s *SUT) processes() []*child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.children)
}

// bridge returns the running bridge process.
func (s *SUT) bridge() (*child, error) {
	i := s.descriptor().bridgeIndex()
	if i < 0 {
		return nil, fmt.Errorf("sut: %q: %w: it was not started from here; give the descriptor hooks", s.source.Name, ErrNoControl)
	}
	return s.running(i)
}

// running returns process i, which must run.
func (s *SUT) running(i int) (*child, error) {
	c := s.processes()[i]
	if c == nil || !c.running() {
		return nil, fmt.Errorf("sut: process %q does not run: %w", s.source.Start[i].Name, ErrUnavailable)
	}
	return c, nil
}

// Pid returns the process id of the bridge, 0 when it does not run here.
func (s *SUT) Pid() int {
	c, err := s.bridge()
	if err != nil {
		return 0
	}
	return c.process.Pid
}

// Exited returns a channel that is closed when a process has ended although
// nobody asked for it; Err then says which. Stop, Kill and Restart do not close
// it, and it is never renewed: a system that died once is under suspicion.
func (s *SUT) Exited() <-chan struct{} { return s.died }

// Err tells of the first process that ended unasked, with its last log lines;
// else it is nil. It wraps ErrUnavailable.
func (s *SUT) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Lapse is what a process did wrong when it was told to end.
type Lapse struct {
	Process string `json:"process"`
	Detail  string `json:"detail"` // what it did, to go on with behind its name
}

// Lapses returns what processes did wrong when Stop, Restart, RestartBroker or
// Close told them to end, oldest first: had to be killed, or ended with a status
// other than 0 though not by the signal, as who crashes on the way out does.
func (s *SUT) Lapses() []Lapse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lapses)
}

func (s *SUT) lapsed(c *child, detail string) {
	s.log.Warn("a process did not end as it should", "name", c.spec.Name, "detail", detail)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lapses = append(s.lapses, Lapse{Process: c.spec.Name, Detail: detail})
}

// LastLog returns up to n of the last log lines of each process, the name of
// the process before each line when there are several.
func (s *SUT) LastLog(n int) []string {
	children := s.processes()
	var out []string
	for _, c := range children {
		if c == nil {
			continue
		}
		for _, line := range c.lines(n) {
			if len(children) > 1 {
				line = c.spec.Name + ": " + line
			}
			out = append(out, line)
		}
	}
	return out
}
