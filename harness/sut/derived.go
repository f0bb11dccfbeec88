package sut

import (
	"slices"

	"plumbline/harness/fault"
)

// Capabilities of the harness over a system. They follow from the rest of the
// descriptor and cannot be claimed in it: a requirement that needs one is N/A
// for a system that it cannot be asked of.
const (
	CapProcesses = "processes"    // its processes run here, so that their memory, descriptors and threads can be counted
	CapRestart   = "restart"      // the bridge can be stopped and started again
	CapPublish   = "viewer-verbs" // viewers have a way to try to publish, and it is known who they are
	CapClock     = "clock-step"   // its wall clock can be stepped and nobody else's: by the hook stepClock, or where the harness can do that to a process and a page under ops tells its time
	CapPage      = "page"         // it has a page of its own, which a browser can open
	CapBrowser   = "browser"      // the same, or a page of the harness stands in for it
	CapCookie    = "page-cookie"  // its page knows people by a cookie, on this machine, and a script can speak what its viewers speak: a page of somebody else can try what that cookie opens
	CapSession   = "page-session" // its page is opened with a token, at whose expiry a session is said to end
	CapLogs      = "token-logs"   // it is shown tokens, and what its processes log is kept here

	CapCluster  = "cluster"          // several bridges that run here serve as one
	CapRelay    = "cluster-relay"    // a process that runs here joins them, and it is known where that keeps what it knows
	CapStandby  = "cluster-standby"  // another process takes over from that one
	CapLinks    = "cluster-links"    // the harness stands between each of them and what joins them
	CapBalancer = "cluster-balancer" // viewers reach them through a process that runs here
	CapRenewal  = "cluster-tls"      // the harness makes the certificate that they show viewers, and can renew it
)

// Derived returns the names of all capabilities that follow from a descriptor.
func Derived() []string {
	return []string{CapProcesses, CapRestart, CapPublish, CapClock, CapPage, CapBrowser, CapCookie, CapSession, CapLogs, CapCluster, CapRelay, CapStandby, CapLinks, CapBalancer, CapRenewal}
}

// Lacking says why a system lacks a capability that follows from its descriptor; "" for one that is claimed.
func Lacking(capability string) string {
	return map[string]string{
		CapProcesses: "its processes do not run here (start)",
		CapRestart:   "nothing says how to restart it (start, hooks.restartBridge)",
		CapPublish:   "its viewers have no way to publish, or nothing tells who they are (viewer.protocol, capability " + CapAuth + ")",
		CapClock:     "its clock cannot be stepped and nobody else's (hooks.stepClock; on Linux as root, ops)",
		CapPage:      "its descriptor names no page of its own (viewer.page)",
		CapBrowser:   "its descriptor names no page of its own, nor lets one of the harness stand in for it (viewer.page, viewer.page.ours)",
		CapSession:   "its descriptor names no page that is opened with a token (viewer.page), or does not claim the capability " + CapTokenExpiry,
		CapCookie:    "its descriptor names no page that knows people by a cookie, on this machine, with viewers whose protocol a script speaks (viewer.page.signIn)",
		CapLogs:      "it is shown no tokens, or what it logs is not kept here (auth.jwt, start)",
		CapCluster:   "its descriptor names no bridges that serve as one (cluster)",
		CapRelay:     "its descriptor names no process that joins several bridges, or not where that keeps what it knows (cluster.relay, cluster.relayState)",
		CapStandby:   "its descriptor names no process that takes over from the one that joins its bridges (cluster.standby)",
		CapLinks:     "the harness does not stand between its bridges and what joins them (cluster.nodes.link)",
		CapBalancer:  "its descriptor names no balancer before several bridges (cluster.balancer)",
		CapRenewal:   "its descriptor names no folder for the certificate of several bridges (cluster.tls)",
	}[capability]
}

// All returns what the descriptor claims and what follows from it.
func (d *Descriptor) All() []string {
	all := slices.Clone(d.Capabilities)
	for capability, holds := range map[string]bool{
		CapProcesses: !d.Remote(),
		CapRestart:   !d.Remote() || len(d.Hooks.RestartBridge) > 0,
		CapClock:     len(d.Hooks.StepClock) > 0 || (!d.Remote() && d.Ops.Metrics+d.Ops.Ready != "" && fault.NoClockStep() == nil),
		CapPage:      d.Viewer.Page.URL != "",
		CapBrowser:   d.Viewer.Page.URL != "" || d.Viewer.Page.Ours,
		CapCookie:    d.Viewer.NoIntrusion() == "",
		CapSession:   d.Viewer.Page.Opened() && slices.Contains(d.Capabilities, CapTokenExpiry),
		CapCluster:   d.Cluster != nil,
		CapRelay:     d.Cluster != nil && d.Cluster.Relay != "" && d.Cluster.RelayState != "",
		CapStandby:   d.Cluster != nil && d.Cluster.Standby != "",
		CapLinks:     d.everyNode(func(n Node) bool { return n.Link != nil }),
		CapBalancer:  d.Cluster != nil && d.Cluster.Balancer != "",
		CapRenewal:   d.Cluster != nil && d.Cluster.TLS != "",
		CapLogs:      !d.Remote() && d.Auth != nil && d.Auth.JWT != nil,
		CapPublish:   slices.Contains(d.Capabilities, CapAuth) && slices.Contains([]string{"plumbline", "mqtt"}, d.Viewer.Protocol),
	} {
		if holds && !slices.Contains(all, capability) {
			all = append(all, capability)
		}
	}
	slices.Sort(all[len(d.Capabilities):])
	return all
}
