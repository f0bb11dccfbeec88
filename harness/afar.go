package harness

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// Apart says how far from the bench the viewers of a plan may be.
type Apart int

// From one to the next there is more that a judgement has to bear.
const (
	Together     Apart = iota // in this process
	OwnProcesses              // also in others of this host, which keep its clock: see Config.Processes
	OtherHosts                // also at agents, whose clocks are mapped with an uncertainty: see Config.Agents
)

// afar reports whether the viewers of the plan are opened at agents or in processes of
// their own.
func (b *Bench) afar() bool {
	there := b.plan.Apart >= OwnProcesses && b.rig.cfg.Processes > 0 || b.plan.Apart >= OtherHosts && len(b.rig.cfg.Agents) > 0
	return there && b.ViewerProxy == nil && b.plan.Load.Viewers > 0
}

// startAgents begins a session at every agent. The viewers of the plan are
// spread over them.
func (b *Bench) startAgents(ctx context.Context) error {
	if err := reachable(b.SUT.ViewerURL(), b.rig.cfg.Agents); err != nil { // a process of this host reaches all that this one does
		return err
	}
	hosts := b.rig.cfg.Agents
	for i := range b.rig.cfg.Processes {
		host, err := agent.Launch(ctx, fmt.Sprintf("process %d", i+1), b.rig.cfg.Viewing, b.log)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrBench, err)
		}
		b.hosts = append(b.hosts, host)
	}
	hosts = append(hosts[:len(hosts):len(hosts)], b.hosts...)
	for i, host := range hosts {
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

// atOnce is how many viewers connect at a time at each agent.
const atOnce = 8

// openAfar opens the viewers of the plan at the agents, several at a time, each within
// 30 s. They are in the order of the plan, whoever came first.
func (b *Bench) openAfar(ctx context.Context) error {
	var ca []byte
	if file := b.SUT.Viewer().CA; file != "" {
		var err error
		if ca, err = os.ReadFile(file); err != nil {
			return fmt.Errorf("harness: authority of the system under test: %w", err)
		}
	}
	n := b.plan.Load.Viewers
	b.Viewers, b.before = make([]Viewer, n), make([]accepted, n)
	for i := range b.plan.Idle {
		b.idle = append(b.idle, fmt.Sprintf("idle-%05d", i+1))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for at := range b.sessions {
		var next atomic.Int64 // of its own viewers: one that is slow keeps nobody else's waiting
		for range atOnce {
			all.Go(func() {
				for ctx.Err() == nil {
					i := at + len(b.sessions)*int(next.Add(1)-1)
					if i >= n+b.plan.Idle {
						return
					}
					if err := b.addAfar(ctx, i, ca); err != nil {
						cancel(err)
					}
				}
			})
		}
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		b.Viewers = nil // those that came end with their sessions
		return err
	}
	return nil
}

// addAfar opens viewer i of the plan, of which those that only wait come last.
func (b *Bench) addAfar(ctx context.Context, i int, ca []byte) error {
	at := i % len(b.sessions)
	cfg := b.planned(i)
	if local := b.source(cfg.URL, at); local != "" {
		cfg.Local = local
	}
	limited, cancel := context.WithTimeoutCause(ctx, viewerLimit, fmt.Errorf("no viewer got in within %v", viewerLimit))
	defer cancel()
	v, err := b.sessions[at].View(limited, cfg, ca)
	switch {
	case errors.Is(err, agent.ErrLost):
		return fmt.Errorf("%w: %w", ErrBench, err)
	case err != nil:
		return b.unreachable(ctx, fmt.Errorf("harness: viewer %q: %w", cfg.Name, err))
	}
	if i < len(b.Viewers) {
		b.Viewers[i], b.before[i] = v, b.accepted(ctx)
	}
	return nil
}

// source is the address of loopback from which the viewers of a process of this host
// connect to one of loopback, "" for none: each has ports of its own, of which there are
// some 28,000 an address. Linux has all of 127.0.0.0/8.
func (b *Bench) source(address string, process int) string {
	u, err := url.Parse(address)
	if err != nil || len(b.hosts) < 2 || runtime.GOOS != "linux" || !strings.HasPrefix(u.Hostname(), "127.") {
		return ""
	}
	return fmt.Sprintf("127.0.0.%d", 1+process%250)
}

// arrivedAfar waits for all viewers at agents at once, as Arrived and Fresh do for others:
// each is to have what came to the broker since it was opened, and so many more; then, where
// quiet is more than 0, nothing is to come for so long. It returns those that are not at any.
func (b *Bench) arrivedAfar(ctx context.Context, now accepted, more uint64, quiet time.Duration) (others []int) {
	waits := map[*agent.Session]map[string]uint64{}
	for i, v := range b.Viewers {
		there, is := v.(*agent.Viewer)
		if !is {
			others = append(others, i)
			continue
		}
		if waits[there.Session()] == nil {
			waits[there.Session()] = map[string]uint64{}
		}
		waits[there.Session()][there.Name()] = now.since(b.before[i]) + more
	}
	var all sync.WaitGroup
	for s, distinct := range waits {
		all.Go(func() { _ = s.Arrived(ctx, distinct, quiet) }) // what is missing is for the oracles to judge
	}
	all.Wait()
	return others
}

// settledAfar waits until all viewers at agents are connected, for limit at most, and returns the others.
func (b *Bench) settledAfar(ctx context.Context, limit time.Duration) (others []Viewer, err error) {
	names := map[*agent.Session][]string{}
	for _, v := range b.Viewers {
		if there, is := v.(*agent.Viewer); is {
			names[there.Session()] = append(names[there.Session()], there.Name())
		} else {
			others = append(others, v)
		}
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var mu sync.Mutex
	var away []string
	var errs []error
	var all sync.WaitGroup
	for s, list := range names {
		all.Go(func() {
			missing, err := s.Settled(limited, list)
			mu.Lock()
			defer mu.Unlock()
			away = append(away, missing...)
			if err != nil {
				errs = append(errs, fmt.Errorf("%w: %w", ErrBench, err))
			}
		})
	}
	all.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	case len(away) > 0:
		return nil, fmt.Errorf("%w: harness: waited %s in vain: %d of %d viewers at agents are connected again; %q is not", ErrAway, limit, len(b.Viewers)-len(others)-len(away), len(b.Viewers)-len(others), away[0])
	}
	return others, nil
}

// Dropped counts the viewers that only wait and were cut, or are not there any more.
func (b *Bench) Dropped(ctx context.Context) (int, error) {
	dropped := 0
	for at, s := range b.sessions {
		var names []string
		for i, name := range b.idle {
			if (b.plan.Load.Viewers+i)%len(b.sessions) == at {
				names = append(names, name)
			}
		}
		n, err := s.Lost(ctx, names)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrBench, err)
		}
		dropped += n
	}
	return dropped, nil
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
	for _, host := range b.hosts {
		_ = host.Close() // always nil
	}
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
	if m.Shared() {
		return text + fmt.Sprintf(": a process of this host, which kept the clock of the run; hiccups p99 %v, at most %v",
			e.HiccupP99.Round(time.Microsecond), e.HiccupMax.Round(time.Microsecond))
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
