package harness

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/harness/agent"
	"plumbline/harness/clocks"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// Viewer is a viewer of a bench, wherever it is: in this process, or at an
// agent on another host.
type Viewer interface {
	// Counters returns the totals so far. At an agent that takes a round trip.
	Counters() viewer.Counters
	// Connected reports whether all filters are subscribed at this moment.
	Connected() bool
	// WaitReceived waits until n live readings were received in total.
	WaitReceived(ctx context.Context, n uint64) error
	// WaitDistinct waits until n different messages were received live in total.
	WaitDistinct(ctx context.Context, n uint64) error
	// WaitIdle waits until no live reading has come for the time quiet.
	WaitIdle(ctx context.Context, quiet time.Duration) error
	// Close ends the viewer; one at an agent ends with the bench.
	Close() error
}

var (
	_ Viewer = (*viewer.Viewer)(nil)
	_ Viewer = (*agent.Viewer)(nil)
)

// ErrClock says that the clock of an agent or of a page cannot be mapped to that of
// the bench: what was seen there has no place in time.
var ErrClock = errors.New("harness: a clock cannot be mapped")

// afar reports whether the viewers of the plan are opened at agents.
func (b *Bench) afar() bool {
	return b.plan.Afar && b.ViewerProxy == nil && len(b.rig.cfg.Agents) > 0 && b.plan.Load.Viewers > 0
}

// startAgents begins a session at every agent. The viewers of the plan are
// spread over them.
func (b *Bench) startAgents(ctx context.Context) error {
	if err := reachable(b.SUT.ViewerURL(), b.rig.cfg.Agents); err != nil {
		return err
	}
	for i, host := range b.rig.cfg.Agents {
		name := fmt.Sprintf("agent-%d", i+1)
		s, err := host.Open(ctx, agent.SessionConfig{
			Run: b.run, ByMeaning: rewrites(b.SUT.Viewer().Protocol), Dir: filepath.Join(b.dir, name), Clock: b.Clock, Plausible: b.plausible,
		})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrBench, err)
		}
		b.sessions, b.agents = append(b.sessions, s), append(b.agents, name)
	}
	return nil
}

// reachable refuses agents on other hosts for a system that listens on loopback.
func reachable(address string, agents []*agent.Host) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("harness: address of viewers %q: %w", address, err)
	}
	if !agent.IsLoopback(u.Hostname()) {
		return nil
	}
	for _, a := range agents {
		if !a.Target().Loopback() {
			return fmt.Errorf("%w: viewers of the system under test connect to %s, which agent %s on another host cannot reach; "+
				"name a descriptor (--sut) whose viewer.url is an address of this host", ErrBench, u.Host, a.Target().Address)
		}
	}
	return nil
}

// addAfar opens a viewer of the plan at one of the agents, within 30 s.
func (b *Bench) addAfar(ctx context.Context, i int, cfg viewer.Config) error {
	var ca []byte
	if file := b.SUT.Viewer().CA; file != "" {
		var err error
		if ca, err = os.ReadFile(file); err != nil {
			return fmt.Errorf("harness: authority of the system under test: %w", err)
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, viewerLimit, fmt.Errorf("no viewer got in within %v", viewerLimit))
	defer cancel()
	v, err := b.sessions[i%len(b.sessions)].View(limited, cfg, ca)
	switch {
	case errors.Is(err, agent.ErrLost):
		return fmt.Errorf("%w: %w", ErrBench, err)
	case err != nil:
		return b.unreachable(ctx, fmt.Errorf("harness: viewer %q: %w", cfg.Name, err))
	}
	b.Viewers = append(b.Viewers, v)
	b.before = append(b.before, b.accepted(ctx))
	return nil
}

// stopAgents ends the viewers at agents and fetches what they recorded. What
// does not arrive is no news of the system under test: the error wraps ErrBench.
func (b *Bench) stopAgents() error {
	errs := make([]error, len(b.sessions))
	var all sync.WaitGroup
	for i, s := range b.sessions {
		all.Go(func() {
			if err := s.Close(); err != nil {
				errs[i] = fmt.Errorf("%w: %w", ErrBench, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// fetchAgents gets what the agents recorded so far.
func (b *Bench) fetchAgents(ctx context.Context) error {
	for _, s := range b.sessions {
		if err := s.Fetch(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrBench, err)
		}
	}
	return nil
}

// loadAll reads a recording together with those of the agents and pages in its
// folders. Each clock is mapped anew from the exchanges that were kept.
func loadAll(dir string, agents, pages []string) (*record.Log, error) {
	log, err := record.Load(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range agents {
		if _, err := agent.Load(filepath.Join(dir, name), log); err != nil {
			return nil, clockFault(name, err)
		}
	}
	return log, loadPages(dir, pages, log)
}

// clockFault tells a clock that cannot be mapped from a file that cannot be read.
func clockFault(name string, err error) error {
	for _, cause := range []error{clocks.ErrFew, clocks.ErrImpossible, clocks.ErrUnsteady} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%w: %s: %w", ErrClock, name, err)
		}
	}
	return fmt.Errorf("harness: %s: %w", name, err)
}

// agentGaps returns when agents themselves did not run, in the time of the bench.
func (r *Recorded) agentGaps() ([]oracle.Gap, error) {
	var all []oracle.Gap
	for _, name := range r.Agents {
		dir := filepath.Join(r.dir, name)
		e, err := agent.ReadEvidence(dir)
		if err != nil {
			return nil, err
		}
		m, err := agent.ReadClock(dir)
		if err != nil {
			return nil, clockFault(name, err)
		}
		for _, g := range e.Gaps {
			all = append(all, oracle.Gap{At: m.Local(g.At), Length: g.Length})
		}
		r.GapsFrom = max(r.GapsFrom, e.GapsFrom)
	}
	return all, nil
}

// Agents describes the agents that took part in a run, for the report: one line
// for each bench and agent, by its folder. What cannot be read is said in place of it.
func Agents(runDir string) (map[string]string, error) {
	folders, err := filepath.Glob(filepath.Join(runDir, RecordsFolder, "*", "agent-*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(folders)
	all := map[string]string{}
	for _, dir := range folders {
		name := strings.ReplaceAll(path.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir)), "/", "_")
		all[name] = describeAgent(dir)
	}
	return all, nil
}

func describeAgent(dir string) string {
	e, err := agent.ReadEvidence(dir)
	if err != nil {
		return "left no evidence: " + err.Error()
	}
	text := fmt.Sprintf("%s (%s/%s, %d cores, plumbline %s)", e.Address, e.About.OS, e.About.Arch, e.About.Cores, e.About.Version)
	if e.Lost != "" {
		return text + ": " + e.Lost
	}
	log := &record.Log{}
	m, err := agent.Load(dir, log)
	if err != nil {
		return text + ": " + err.Error()
	}
	u := m.RoundTrip() / 2
	for _, n := range log.Index.Nodes {
		u = max(u, n.Uncertainty)
	}
	low, high := m.Drift()
	return fmt.Sprintf("%s: clock mapped by %d exchanges, least round trip %v, drift %+.1f to %+.1f ppm, uncertainty ±%v; hiccups p99 %v, at most %v",
		text, m.Exchanges(), m.RoundTrip().Round(time.Microsecond), low*1e6, high*1e6, u.Round(time.Microsecond),
		e.HiccupP99.Round(time.Microsecond), e.HiccupMax.Round(time.Microsecond))
}

// worsened enters the hiccups of agents into the health of the rig.
func (r *Recorded) worsened(health *reports.RigHealth) {
	for _, name := range r.Agents {
		e, err := agent.ReadEvidence(filepath.Join(r.dir, name))
		if err != nil {
			continue // History has told of it
		}
		health.HiccupP99 = max(health.HiccupP99, reports.Float(e.HiccupP99.Seconds()*1e3))
		health.HiccupMax = max(health.HiccupMax, reports.Float(e.HiccupMax.Seconds()*1e3))
		health.ClockRead = max(health.ClockRead, reports.Float(e.About.ClockRead))
	}
}
