package scenarios

import (
	"plumbline/harness/profile"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// clustered is asked by the profiles "cluster" and "crowd" of several bridges that serve as one: of each thing that may befall them what it cost
// their viewers, how long they saw nothing new, and what those noticed whom it did not concern.
var clustered = []profile.Known{
	costless("SCA-01", "a bridge that is killed costs nothing", sut.CapCluster, "A SIGKILL of one bridge", "around SIGKILLs of one bridge after the other", "F87"),
	costless("SCA-02", "a bridge that drains costs nothing", sut.CapCluster, "An orderly end of one bridge", "around orderly ends of one bridge after the other", "F88"),
	costless("SCA-03", "a bridge that is paused beyond its lease costs nothing", sut.CapCluster, "A pause of one bridge beyond its lease", "around pauses (SIGSTOP) of one bridge after the other, three leases long"),
	costless("SCA-04", "a relay that is killed costs nothing", sut.CapRelay, "A SIGKILL of what joins the bridges", "around SIGKILLs of what joins the bridges, which comes back with what it had kept"),
	costless("SCA-05", "a relay that comes back empty costs nothing", sut.CapRelay, "A loss of all that what joins the bridges has kept", "around SIGKILLs of what joins the bridges, which comes back empty"),
	costless("SCA-06", "a bridge that is cut off costs nothing", sut.CapLinks, "A partition between one bridge and what joins it with the others", "around black holes between one bridge and what joins it with the others, three leases long"),
	costless("SCA-07", "a relay that fails over costs nothing", sut.CapStandby, "A fail-over of what joins the bridges", "around SIGKILLs of what joins the bridges, from which another process takes over"),
	costless("SCA-08", "a balancer that restarts costs nothing", sut.CapBalancer, "A restart or reload of the balancer", "around restarts of the balancer, and reloads where the descriptor has the hook reloadBalancer"),
	costless("SCA-09", "a rolling upgrade costs nothing", sut.CapCluster, "A restart of all bridges, one after the other,", "around orderly restarts of all bridges, one after the other"),
	counted("cases", "", reports.Requirement{
		ID: "SCA-10", Title: "a certificate that is renewed costs nothing", Class: reports.Optional, Capability: sut.CapRenewal, MinSamples: 100, Rule: zero,
		Measurand: "deliveries around renewals of the certificate that were left out, declared or not, came twice, out of order, damaged or were made up; viewers that were cut off; handshakes that failed, or showed another certificate once all had shown the new one",
		Text:      "A renewal of the certificate shall be in force at every address without the loss of a message or of a connection, and leave none that shows the old one.",
		Source:    "metrology 2.4 (RPO 0); RFC 5280 section 4.1.2.5, validity",
	}),
	costless("SCA-11", "a crowd that comes back at once costs nothing", sut.CapBalancer, "A reconnection of all viewers at once", "around cuts of all viewers at once"),
	timed("", reports.Requirement{
		ID: "SCA-12", Title: "a cluster shows fresh data soon", Class: reports.Optional, Capability: sut.CapCluster, MinSamples: 2, Rule: fixed,
		Measurand: "longest time in which a viewer was shown nothing new, from the onset of a fault that something else can stand in for until something newer than its end; of other faults: from their end",
		Text:      "A viewer of several bridges shall be shown fresh data within the limit, whichever of the processes that serve it goes away.",
		Source:    "metrology 4 (reconnect gaps)",
	}),
	timed("", reports.Requirement{
		ID: "SCA-13", Title: "who is elsewhere notices nothing", Class: reports.Optional, Capability: sut.CapCluster, MinSamples: 299, Rule: fixed,
		Measurand: "99th percentile of the time from the intended instant of a sample, of a device at one bridge, to its arrival at a viewer of one, while another bridge is killed, drains, is paused, cut off or restarted",
		Text:      "While something befalls one bridge the 99th percentile of the latency between devices and viewers of the others shall not exceed the limit.",
		Source:    "metrology 5 F58, between processes",
	}),
	costless("SCA-14", "a storm of reconnections costs nothing", sut.CapBalancer, "A restart of the balancer that cuts a crowd off", "around restarts of the balancer, each of which cuts a crowd off at once"),
	timed("", reports.Requirement{
		ID: "SCA-15", Title: "a crowd is shown fresh data soon", Class: reports.Optional, Capability: sut.CapBalancer, MinSamples: 1, Rule: fixed,
		Measurand: "longest time in which a viewer of a crowd was shown nothing new, from when the balancer that had cut all of them off was there again until something newer than that",
		Text:      "Every viewer of a crowd that was cut off at once shall be shown fresh data within the limit.",
		Source:    "metrology 4 (reconnect gaps)",
	}),
	timed("", reports.Requirement{
		ID: "SCA-16", Title: "a storm of reconnections disturbs nobody else", Class: reports.Optional, Capability: sut.CapBalancer, MinSamples: 299, Rule: fixed,
		Measurand: "99th percentile of the time from the intended instant of a sample to its arrival at viewers that came to a bridge itself, from when a crowd was cut off until all of it had something new",
		Text:      "While a crowd comes back through the balancer the 99th percentile of the latency at the viewers whom that does not concern shall not exceed the limit.",
		Source:    "metrology 5 F58, between processes",
	}),
}

// costless makes a requirement that a fault costs nobody a message, doubles none and puts none out of order.
func costless(id, title, capability, what, around string, faults ...string) profile.Known {
	return counted("messages", "", reports.Requirement{
		ID: id, Title: title, Class: reports.Optional, Capability: capability, MinSamples: 100, Rule: zero,
		Measurand: "deliveries " + around + " that were left out, declared or not, came twice, out of order, damaged or were made up",
		Text:      what + " shall lose no acknowledged message, double none, damage none and put none out of order at any viewer.",
		Source:    "metrology 2.4 (RPO 0); attack list N95, N96, N102, N103", Faults: faults,
	})
}
