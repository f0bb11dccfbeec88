package scenarios

// Past one machine: what becomes of viewers when one of the processes that serve them goes away?
//
// Requirements: SCA-01 to SCA-13.
//
// Procedure, the same for each of the scenarios "node-killed" to "crowd-back":
//  1. Start the cluster: its bridges, what joins them and the balancer. Devices publish to all
//     bridges in turn, and go to the next one while theirs refuses them; viewers come through
//     the balancer.
//  2. Again and again do one thing to one process, each bridge in its turn, let everybody
//     come back, and be for a window.
//  3. Count over all viewers what was left out, doubled, reordered or made up; how long each was shown
//     nothing new; and how late others got what others said meanwhile.

import (
	"context"
	"fmt"
	"slices"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
)

// disruption is one thing that may befall a cluster.
type disruption struct {
	id, requirement, title string
	node                   bool // it befalls one bridge, for which the others can stand in
	spare                  bool // it befalls what something else stands in for
	strike                 func(s *striker, cycle int) ([]struck, error)
	faults                 int // of one cycle at most; 0 is one
	proxied                bool
}

// struck is a fault, the bridge that it befalls if it is one, and how long it is to last.
type struck struct {
	fault.Fault
	node string
	hold time.Duration
	// during is what is done beyond hold before it ends, for limit at most where something is waited for; nil: nothing.
	during func(ctx context.Context, limit time.Duration) error
}

// striker makes the faults of one bench.
type striker struct {
	*harness.Bench
	cluster sut.Cluster
	load    profile.Load
	seen    *clusterFacts
}

// long is how many leases something lasts that is to outlast one.
const leases = 3

var disruptions = []disruption{
	{id: "node-killed", requirement: "SCA-01", title: "loses nothing when a bridge is killed, and shows fresh data soon", node: true, strike: (*striker).kill},
	{id: "node-drained", requirement: "SCA-02", title: "loses nothing when a bridge ends in good order", node: true, strike: (*striker).drain},
	{id: "node-paused", requirement: "SCA-03", title: "loses nothing when a bridge stands still beyond its lease", node: true, strike: (*striker).pause},
	{id: "relay-killed", requirement: "SCA-04", title: "loses nothing when what joins the bridges is killed", strike: (*striker).killRelay},
	{id: "relay-emptied", requirement: "SCA-05", title: "loses nothing when what joins the bridges comes back empty", strike: (*striker).emptyRelay},
	{id: "node-cut-off", requirement: "SCA-06", title: "loses nothing when a bridge is cut off from the others", node: true, strike: (*striker).cutOff},
	{id: "relay-failed-over", requirement: "SCA-07", title: "loses nothing when what joins the bridges is killed and something else takes over", spare: true, strike: (*striker).failOver},
	{id: "balancer-restarted", requirement: "SCA-08", title: "loses nothing when the balancer restarts or reloads", strike: (*striker).balancer, faults: 2},
	{id: "rolling-upgrade", requirement: "SCA-09", title: "loses nothing while one bridge after the other is restarted", node: true, strike: (*striker).roll, faults: 3},
	{id: "certificate-renewed", requirement: "SCA-10", title: "loses nobody and nothing when the certificate is renewed, and shows the new one alone", spare: true, strike: (*striker).renew},
	{id: "crowd-back", requirement: "SCA-11", title: "loses nothing when all viewers come back at once", strike: (*striker).crowd, proxied: true},
}

var _ = spec.Describe("Several bridges", func(s *spec.Suite) {
	for _, d := range disruptions {
		s.Scenario(spec.Scenario{
			ID: d.id, Title: d.title, Needs: d.needs(), Requirements: d.requirements(), Loads: []string{"cluster"}, Faults: max(d.faults, 1), Apart: d.apart(),
			Drive: d.drive, Judge: d.judge,
		})
	}
})

// needs returns what a system must have for this to befall it: what the requirement asks for that is only about that.
func (d disruption) needs() string {
	i := slices.IndexFunc(clustered, func(k profile.Known) bool { return k.Requirement.ID == d.requirement })
	return clustered[i].Requirement.Capability
}

// apart is where the viewers may be: a proxy that cuts them reaches those of this process.
func (d disruption) apart() harness.Apart {
	if d.proxied {
		return harness.Together
	}
	return harness.OwnProcesses
}

func (d disruption) requirements() []string {
	if d.node {
		return []string{d.requirement, "SCA-12", "SCA-13"}
	}
	return []string{d.requirement, "SCA-12"}
}

func (s *striker) turn(cycle int) string { return s.cluster.Nodes[cycle%len(s.cluster.Nodes)].Process }

// one returns a fault of the bridge whose turn it is.
func (s *striker) one(cycle int, hold time.Duration, make func(name string, p sut.Part) fault.Fault) ([]struck, error) {
	node := s.turn(cycle)
	p, err := s.SUT.Part(node)
	return []struck{{Fault: make(node, p), node: node, hold: hold}}, err
}

func (s *striker) kill(cycle int) ([]struck, error) {
	return s.one(cycle, s.load.Hold, func(name string, p sut.Part) fault.Fault { return fault.Kill("SIGKILL of "+name, p) })
}

func (s *striker) drain(cycle int) ([]struck, error) {
	return s.one(cycle, s.load.Hold, func(name string, p sut.Part) fault.Fault { return fault.Stop("drain of "+name, p) })
}

func (s *striker) pause(cycle int) ([]struck, error) {
	return s.one(cycle, leases*s.cluster.Lease, func(name string, p sut.Part) fault.Fault { return fault.Freeze("SIGSTOP of "+name, p) })
}

func (s *striker) roll(int) (all []struck, err error) {
	for i := range s.cluster.Nodes {
		one, err := s.one(i, 0, func(name string, p sut.Part) fault.Fault { return fault.Stop("restart of "+name, p) })
		if err != nil {
			return nil, err
		}
		all = append(all, one...)
	}
	return all, nil
}

func (s *striker) cutOff(cycle int) ([]struck, error) {
	node := s.turn(cycle)
	link := s.SUT.Link(node)
	if link == nil {
		return nil, fmt.Errorf("%w: nothing stands between %s and what joins it with the others", sut.ErrNoControl, node)
	}
	hole := link.BlackHoleFault(fault.Both)
	return []struck{{Fault: restart{"partition of " + node, hole.Inject, hole.Revert}, node: node, hold: leases * s.cluster.Lease}}, nil
}

func (s *striker) killRelay(int) ([]struck, error) {
	p, err := s.SUT.Part(s.cluster.Relay)
	return []struck{{Fault: fault.Kill("SIGKILL of "+s.cluster.Relay, p), hold: s.load.Hold}}, err
}

func (s *striker) emptyRelay(int) ([]struck, error) {
	p, err := s.SUT.Part(s.cluster.Relay)
	loss := restart{"loss of all that " + s.cluster.Relay + " had", func(context.Context) error {
		if err := p.Kill(); err != nil {
			return err
		}
		return s.SUT.EmptyRelay()
	}, p.Start}
	return []struck{{Fault: loss, hold: s.load.Hold}}, err
}

// failOver kills what joins the bridges, which then stands by for what took over from it: the next time it is the other's turn. That
// something did take over shows in fresh data while it is gone; what was on its way when it was killed has come within the hold.
func (s *striker) failOver(cycle int) ([]struck, error) {
	name := []string{s.cluster.Relay, s.cluster.Standby}[cycle%2]
	p, err := s.SUT.Part(name)
	return []struck{{Fault: fault.Kill("SIGKILL of "+name, p), hold: s.load.Hold, during: s.Fresh}}, err
}

func (s *striker) balancer(int) ([]struck, error) {
	p, err := s.SUT.Part(s.cluster.Balancer)
	all := []struck{{Fault: fault.Stop("restart of "+s.cluster.Balancer, p), hold: s.load.Hold}}
	if s.SUT.Reloads() {
		nothing := func(context.Context) error { return nil }
		all = append(all, struck{Fault: restart{"reload of " + s.cluster.Balancer, s.SUT.ReloadBalancer, nothing}, hold: s.load.Hold})
	}
	return all, err
}

func (s *striker) crowd(cycle int) ([]struck, error) {
	return []struck{{Fault: s.ViewerProxy.CutFault(cycle%2 == 1), hold: s.load.Hold}}, nil
}

// clusterFacts is what no record holds of a cluster and what was done to it.
type clusterFacts struct {
	Struck  map[string]string `json:"struck"`  // by fault: the bridge that it befell, "" for none
	Brokers map[string]string `json:"brokers"` // by host:port: the bridge whose broker that is
	Made    int               `json:"made"`    // how many faults were to be made

	Renewals []renewal `json:"renewals,omitempty"` // of the certificate
}

func (d disruption) drive(ctx context.Context, t *spec.Trial) {
	l := t.Load("cluster")
	t.Step("start the cluster; %d viewers through its balancer, %d devices with %.0f messages/s at all bridges", l.Viewers, l.Devices, l.Rate)
	b := t.Open(ctx, harness.Plan{Load: l, ViewerFault: d.proxied})
	seen := clusterFacts{Struck: map[string]string{}, Brokers: map[string]string{}}
	s := &striker{Bench: b, cluster: b.SUT.Cluster(), load: l, seen: &seen}
	for i, address := range b.SUT.Brokers() {
		seen.Brokers[address] = s.cluster.Nodes[i].Process
	}
	t.Step("%d times: %s", l.Cycles, d.title)
	t.Check(b.Around(ctx, d.id, time.Second, time.Second, func(ctx context.Context) error {
		for i := range l.Cycles {
			all, err := d.strike(s, i)
			if err != nil {
				return err
			}
			for _, one := range all {
				seen.Struck[one.Name()] = one.node
				seen.Made++
				if came, err := s.befall(ctx, one, patient(t.Limit("SCA-12"), patience)); !came {
					return err
				}
			}
		}
		return nil
	}))
	t.Keep(seen)
	t.Step("drain, end everything and count over all viewers")
	t.Check(b.Finish(ctx))
}

// befall lets one fault happen and everybody come back; false without an error when somebody does not.
func (s *striker) befall(ctx context.Context, one struck, limit time.Duration) (bool, error) {
	if err := fault.During(ctx, s.Recorder, one, func(ctx context.Context) error {
		if err := harness.Wait(ctx, one.hold); err != nil || one.during == nil {
			return err
		}
		return one.during(ctx, limit)
	}); err != nil {
		return false, err
	}
	if came, err := back(ctx, s.Bench, limit); !came {
		return false, err
	}
	if err := s.Fresh(ctx, limit); err != nil {
		return false, err
	}
	err := harness.Wait(ctx, s.load.Window)
	return err == nil, err
}
