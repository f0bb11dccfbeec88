package sut

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"plumbline/harness/fault"
)

// Cluster says which processes are bridges that serve as one, and what joins them.
type Cluster struct {
	Nodes      []Node        `yaml:"nodes"`                // two or more, in order
	Relay      string        `yaml:"relay,omitempty"`      // process that joins them
	RelayState string        `yaml:"relayState,omitempty"` // folder within {{dir}} in which that process keeps what it knows
	Standby    string        `yaml:"standby,omitempty"`    // process that takes over from it when it is gone, and the other way round; each of them is ready only when it would
	Balancer   string        `yaml:"balancer,omitempty"`   // process through which viewers reach them
	TLS        string        `yaml:"tls,omitempty"`        // folder within {{dir}} for their certificate: the harness writes ca.pem, server.pem and server-key.pem before it starts anything, and later a new pair
	Lease      time.Duration `yaml:"lease,omitempty"`      // after so long a silence the others take a node for gone; 0 is DefaultLease
}

// DefaultLease is how long a node of a cluster may be silent where the descriptor does not say.
const DefaultLease = 5 * time.Second

// Node is one bridge of a cluster.
type Node struct {
	Process string `yaml:"process"`           // its name under start, and in what it tells viewers of itself
	Broker  string `yaml:"broker,omitempty"`  // where devices publish at this node, as broker.url; devices go to all nodes in turn, and to the next one where theirs does not answer
	Viewers string `yaml:"viewers,omitempty"` // host:port at which it serves viewers over TLS, for its certificate to be looked at
	Link    *Link  `yaml:"link,omitempty"`    // its connections to what joins the nodes, for the harness to stand between
}

// Link is an address at which the harness listens before anything is started, and where it passes connections on to.
type Link struct {
	Listen string `yaml:"listen"` // host:port
	To     string `yaml:"to"`     // host:port
}

func (c *Cluster) clone() *Cluster {
	if c == nil {
		return nil
	}
	d := *c
	d.Nodes = slices.Clone(c.Nodes)
	for i, n := range d.Nodes {
		if n.Link != nil {
			link := *n.Link
			d.Nodes[i].Link = &link
		}
	}
	return &d
}

// texts returns every text that may hold templates.
func (c *Cluster) texts() []*string {
	out := []*string{&c.RelayState, &c.TLS}
	for i := range c.Nodes {
		out = append(out, &c.Nodes[i].Broker, &c.Nodes[i].Viewers)
		if link := c.Nodes[i].Link; link != nil {
			out = append(out, &link.Listen, &link.To)
		}
	}
	return out
}

// everyNode reports whether something holds of each node of a cluster.
func (d *Descriptor) everyNode(holds func(Node) bool) bool {
	return d.Cluster != nil && !slices.ContainsFunc(d.Cluster.Nodes, func(n Node) bool { return !holds(n) })
}

// BrokerAtNodes reports whether each node of a cluster is the broker of its devices.
func (d *Descriptor) BrokerAtNodes() bool {
	return d.everyNode(func(n Node) bool { return n.Broker != "" })
}

func (d *Descriptor) checkCluster(fault faultFunc) error {
	c := d.Cluster
	if c == nil {
		return nil
	}
	if len(c.Nodes) < 2 {
		return fault([]any{"cluster", "nodes"}, "are %d; a cluster has two or more, else leave cluster out", len(c.Nodes))
	}
	seen := map[string]bool{}
	for i, n := range c.Nodes {
		at := func(keys ...any) []any { return append([]any{"cluster", "nodes", i}, keys...) }
		switch s := scheme(n.Broker); {
		case d.index(n.Process) < 0:
			return fault(at("process"), "is %q, and no process under start has that name", n.Process)
		case seen[n.Process]:
			return fault(at("process"), "%q is there twice", n.Process)
		case n.Broker != "" && s != scheme(d.Broker.URL):
			return fault(at("broker"), "has scheme %q; devices reach all nodes alike, by %s:// as broker.url", s, scheme(d.Broker.URL))
		case (n.Broker == "") != (c.Nodes[0].Broker == ""):
			return fault(at("broker"), "is missing here or at another node; give it for all, or leave it out for devices to publish to broker.url")
		case n.Link != nil && (n.Link.Listen == "" || n.Link.To == ""):
			return fault(at("link"), "wants host:port for both listen and to")
		}
		seen[n.Process] = true
	}
	for _, other := range []struct{ key, name string }{{"relay", c.Relay}, {"standby", c.Standby}, {"balancer", c.Balancer}} {
		if other.name != "" && (d.index(other.name) < 0 || seen[other.name]) {
			return fault([]any{"cluster", other.key}, "is %q; name a process under start that is no node", other.name)
		}
	}
	switch {
	case c.Standby != "" && (c.Relay == "" || c.Relay == c.Standby):
		return fault([]any{"cluster", "standby"}, "is %q, and relay is %q; name two processes that take over from each other", c.Standby, c.Relay)
	case c.RelayState != "" && !strings.HasPrefix(c.RelayState, "{{dir}}/"):
		return fault([]any{"cluster", "relayState"}, "is %q, which the harness would empty; only a folder within {{dir}} is its own", c.RelayState)
	case c.TLS != "" && !strings.HasPrefix(c.TLS, "{{dir}}/"):
		return fault([]any{"cluster", "tls"}, "is %q, where the harness would write a certificate; only a folder within {{dir}} is its own", c.TLS)
	case c.TLS != "" && scheme(d.Viewer.URL) != "wss":
		return fault([]any{"cluster", "tls"}, "is there, and viewer.url is %q: serve viewers at wss:// with that certificate, or leave it out", d.Viewer.URL)
	case c.Lease < 0 || c.Lease > 0 && c.Lease < time.Millisecond:
		return fault([]any{"cluster", "lease"}, "is %v; write a time with its unit, for example 2s", c.Lease)
	}
	return nil
}

// Cluster returns the nodes of the system and what joins them, with all templates filled in and the default lease where none is
// given; none for one bridge.
func (s *SUT) Cluster() Cluster {
	c := s.descriptor().Cluster.clone()
	if c == nil {
		return Cluster{}
	}
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	return *c
}

// Brokers returns where devices publish at each node of a cluster, as host:port; none where all publish to Broker.
func (s *SUT) Brokers() []string {
	var hosts []string
	for _, n := range s.Cluster().Nodes {
		if _, host, found := strings.Cut(n.Broker, "://"); found {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// Part is one process of the system, by its name.
type Part struct {
	sut *SUT
	at  int // place in Descriptor.Start
}

var (
	_ fault.Killable  = Part{}
	_ fault.Freezable = Part{}
	_ fault.Stoppable = Part{}
)

// Part returns the process of that name. Without one the error wraps ErrNoControl.
func (s *SUT) Part(name string) (Part, error) {
	i := s.source.index(name)
	if i < 0 {
		return Part{}, fmt.Errorf("sut: %q: %w: it has no process %q", s.source.Name, ErrNoControl, name)
	}
	return Part{s, i}, nil
}

// Kill ends the process at once with SIGKILL and returns when it is gone.
func (p Part) Kill() error {
	p.sut.life.Lock()
	defer p.sut.life.Unlock()
	c, err := p.sut.running(p.at)
	if err != nil {
		return err
	}
	return c.kill()
}

// Stop tells the process to end, as SUT.Stop does with all of them.
func (p Part) Stop(ctx context.Context) error {
	p.sut.life.Lock()
	defer p.sut.life.Unlock()
	return p.sut.stopOne(ctx, p.sut.processes()[p.at])
}

// Start starts the process where it does not run and returns when it is ready.
func (p Part) Start(ctx context.Context) error { return p.sut.restartPart(ctx, p.at, false) }

// Restart stops the process when it runs and starts it again on the same ports and data. It returns when it is ready.
func (p Part) Restart(ctx context.Context) error { return p.sut.restartPart(ctx, p.at, true) }

func (s *SUT) restartPart(ctx context.Context, i int, stop bool) error {
	s.life.Lock()
	defer s.life.Unlock()
	if stop {
		if err := s.stopOne(ctx, s.processes()[i]); err != nil {
			return err
		}
	}
	if err := s.startOne(ctx, i); err != nil {
		return fmt.Errorf("sut: restart of %q: %w: %w", s.source.Name, ErrUnavailable, err)
	}
	return nil
}

// Pause freezes the process with SIGSTOP and returns when it has come to a halt.
func (p Part) Pause() error {
	c, err := p.sut.running(p.at)
	if err != nil {
		return err
	}
	return c.pause()
}

// Resume thaws the process with SIGCONT.
func (p Part) Resume() error {
	c, err := p.sut.running(p.at)
	if err != nil {
		return err
	}
	return c.resume()
}

// EmptyRelay removes all that the process which joins the nodes has kept. It must not run.
func (s *SUT) EmptyRelay() error {
	folder := s.Cluster().RelayState
	if within, err := filepath.Rel(s.private, folder); folder == "" || err != nil || within == "." || !filepath.IsLocal(within) {
		return fmt.Errorf("sut: %q: %w: its descriptor does not say where its relay keeps what it knows (cluster.relayState)", s.source.Name, ErrNoControl)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("sut: state of the relay: %w", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(folder, e.Name())); err != nil {
			return fmt.Errorf("sut: state of the relay: %w", err)
		}
	}
	return nil
}

// Reloads reports whether ReloadBalancer has its hook.
func (s *SUT) Reloads() bool { return len(s.source.Hooks.ReloadBalancer) > 0 }

// ReloadBalancer runs the hook of that name. Without one the error wraps ErrNoControl.
func (s *SUT) ReloadBalancer(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	hook := s.descriptor().Hooks.ReloadBalancer
	if len(hook) == 0 {
		return fmt.Errorf("sut: reload of the balancer of %q: %w: give the descriptor a hook reloadBalancer", s.source.Name, ErrNoControl)
	}
	return s.gently(ctx, "reloadBalancer", hook)
}

// Link returns what stands between a node of that name and what joins the nodes; nil for none, and before the first Start.
func (s *SUT) Link(node string) *fault.Proxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[node]
}

// openLinks listens for what nodes say to each other, before any of them runs.
func (s *SUT) openLinks() error {
	d := s.descriptor()
	if d.Cluster == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range d.Cluster.Nodes {
		if n.Link == nil || s.links[n.Process] != nil {
			continue
		}
		proxy, err := fault.NewProxy(n.Link.To, fault.ProxyOptions{Listen: n.Link.Listen, Log: s.log})
		if err != nil {
			return fmt.Errorf("sut: link of node %q: %w: %w", n.Process, ErrUnavailable, err)
		}
		if s.links == nil {
			s.links = map[string]*fault.Proxy{}
		}
		s.links[n.Process] = proxy
	}
	return nil
}

// closeLinks ends what openLinks opened.
func (s *SUT) closeLinks() {
	s.mu.Lock()
	links := s.links
	s.links = nil
	s.mu.Unlock()
	for _, proxy := range links {
		_ = proxy.Close() // connections of processes that have ended
	}
}
