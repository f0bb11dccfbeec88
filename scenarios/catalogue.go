package scenarios

import (
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// The catalogue. Ids are never re-used; numbers in Faults are the seeded faults
// (F01 …) that the requirement must kill.
var _ = spec.Require(slicesOf(latency, page, delivery, pageWhole, order, integrity, state, recovery, hardshipsAsked, security, guests, pageSession, resources, protocol, hardware, wired, rig, claims, compared, clustered), loads)

// loads are the loads of a profile with the fields that scenarios need.
var loads = map[string][]string{
	"steady":     {"runs", "devices", "rate", "viewers", "burst", "warmUp", "window", "drain"},
	"connect":    {"devices", "rate", "cycles", "drain"},
	"client":     {"devices", "rate", "viewers", "cycles", "hold", "drain"},
	"broker":     {"devices", "rate", "viewers", "cycles", "hold", "drain"},
	"halfopen":   {"devices", "rate", "viewers", "cycles", "drain"},
	"kill":       {"devices", "rate", "viewers", "cycles", "drain"},
	"load":       {"devices", "rate", "viewers", "warmUp", "window", "drain"},
	"freeze":     {"devices", "rate", "viewers", "warmUp", "window", "hold", "drain"},
	"sources":    {"viewers", "window", "drain"},
	"security":   {"devices>1", "rate"}, // who may see one must not see another
	"storm":      {"devices", "rate", "viewers", "cycles", "hold", "drain"},
	"refill":     {"devices", "rate", "cycles", "hold", "drain"},
	"stall":      {"devices", "rate", "viewers", "warmUp", "window", "drain"},
	"churn":      {"devices", "rate", "cycles", "drain"},
	"clockstep":  {"devices", "rate", "viewers", "cycles", "hold", "drain"},
	"soak":       {"devices", "rate", "viewers", "warmUp", "window", "drain"},
	"payloads":   {"devices", "rate", "viewers", "drain"},
	"late":       {"devices", "rate", "viewers", "cycles", "drain"},
	"live":       {"devices", "rate", "viewers", "cycles", "hold", "drain"},
	"mixed":      {"devices", "rate", "viewers", "burst", "cycles", "drain"},
	"brokerdown": {"devices", "rate", "viewers", "cycles", "drain"},
	"badlines":   {"viewers", "cycles", "hold", "drain"},
	"loop":       {"viewers", "cycles", "drain"},
	"seams":      {"devices", "rate", "viewers", "cycles", "hold", "drain"},
	"identity":   {"rate", "viewers", "cycles", "hold", "drain"},
	"cable":      {"devices", "rate", "viewers", "hold", "drain"},
	"approaches": {"devices", "rate", "viewers", "warmUp", "window", "cycles", "drain"},
	"multitude":  {"devices", "rate", "viewers", "warmUp", "window", "hold", "drain"},
	"page":       {"devices", "rate", "viewers", "warmUp", "window", "drain"},
	"hardships":  {"devices", "rate", "cycles", "hold", "drain"},
	"cluster":    {"devices", "rate", "viewers", "window", "cycles", "hold", "drain"},
	"wires":      {"devices", "rate", "viewers", "window", "drain"},
}

const (
	since    = "1.0"
	steadyMs = "time from the intended instant of a sample (t0i) to its arrival at a headless viewer (t4), steady load"
	dr2      = "DR-2"
	zero     = "zero-event"
	fixed    = "deterministic"
)

var latency = []profile.Known{
	timed("steady", reports.Requirement{
		ID: "LAT-01", Title: "median latency", Quantile: 0.5, MinSamples: 100, Measurand: steadyMs, Rule: dr2,
		Text:   "The median time from the intended instant of a sample to its arrival at a viewer shall not exceed the limit.",
		Source: "metrology 2.2; limits of the profile", Faults: []string{"F20"},
	}),
	timed("steady", reports.Requirement{
		ID: "LAT-02", Title: "99th percentile of latency", Quantile: 0.99, MinSamples: 299, Measurand: steadyMs, Rule: dr2,
		Text:   "The 99th percentile of the time from the intended instant of a sample to its arrival at a viewer shall not exceed the limit.",
		Source: "metrology 2.2; limits of the profile", Faults: []string{"F20", "F24", "F26", "F27"},
	}),
	timed("steady", reports.Requirement{
		ID: "LAT-03", Title: "99.9th percentile of latency", Quantile: 0.999, MinSamples: 2995, Measurand: steadyMs, Rule: dr2,
		Text:   "The 99.9th percentile of the time from the intended instant of a sample to its arrival at a viewer shall not exceed the limit.",
		Source: "metrology 2.2; limits of the profile", Faults: []string{"F23", "F25"},
	}),
	timed("connect", reports.Requirement{
		ID: "LAT-08", Title: "first message after connecting", Quantile: 0.95, MinSamples: 59, Rule: dr2,
		Measurand: "time from the intended instant of the first sample after a subscription was confirmed to its arrival",
		Text:      "The 95th percentile of the latency of the first sample after connecting shall not exceed the limit.",
		Source:    "metrology 1.5; limits of the profile", Faults: []string{"F28"},
	}),
	timed("steady", reports.Requirement{
		ID: "LAT-04", Title: "hard ceiling of latency", Class: reports.Optional, Quantile: 0.9999, MinSamples: 46_050, Measurand: steadyMs, Rule: dr2,
		Text:   "The 99.99th percentile of the time from the intended instant of a sample to its arrival at a viewer shall not exceed the limit.",
		Source: "metrology 0, 2.1 (PASS at 99 %); limits of the profile", Faults: []string{"F22", "F25"},
	}),
	timed("", reports.Requirement{
		ID: "LAT-07", Title: "age of what is shown", MinSamples: 100, Rule: fixed,
		Measurand: "longest time from the intended instant of a sample until a viewer no longer showed an older one",
		Text:      "A viewer shall show no value for longer than the limit after a newer one was sampled.",
		Source:    "metrology 4 (staleness of the shown value)", Faults: []string{"F17", "F21"},
	}),
	known(profile.UnitShare, "", reports.Requirement{
		ID: "LAT-09", Title: "latency does not creep", Class: reports.Optional, MinSamples: 1, Rule: fixed,
		Measurand: "drift of the 99th percentile of latency over one run, as a share of the limit of LAT-02",
		Text:      "The 99th percentile of latency shall not drift over a run by more than the limit.",
		Source:    "metrology 1.5 (Mann–Whitney at 1 %, Theil–Sen at 95 %)", Faults: []string{"F29"},
	}),
}

var delivery = []profile.Known{
	counted("messages", "steady", reports.Requirement{
		ID: "DEL-01", Title: "no loss in steady state", MinSamples: 1000, Rule: zero,
		Measurand: "acknowledged messages that never reached a viewer subscribed to them",
		Text:      "Every acknowledged QoS 1 message shall reach every viewer whose subscription takes it.",
		Source:    "metrology 2.4, 4 (RPO 0)", Faults: []string{"F01", "F02", "F04", "F67"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "DEL-02", Title: "no loss over a viewer's reconnection", Class: reports.Conditional, Capability: sut.CapResume, MinSamples: 100, Rule: zero,
		Measurand: "messages acknowledged around a viewer's outage that it never got",
		Text:      "A viewer that resumes after losing its connection shall receive every message it missed.",
		Source:    "metrology 4 (RPO 0 by replay)", Faults: []string{"F03", "F05", "F06"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "DEL-03", Title: "no loss over a restart of the broker", Class: reports.Conditional, Capability: sut.CapBrokerRestart, MinSamples: 100, Rule: zero,
		Measurand: "messages that the broker passed on round its restart and that never reached a viewer",
		Text:      "Every message that the broker passes on before, during or after its restart shall reach every viewer whose subscription takes it.",
		Source:    "metrology 4 (reconnect gap broker), 5 F61", Faults: []string{"F61", "F62"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "DEL-04", Title: "no loss over a crash of the bridge", Class: reports.Conditional, Capability: sut.CapCrashSafe, MinSamples: 100, Rule: zero,
		Measurand: "messages acknowledged before or after a SIGKILL of the bridge that never reached a viewer",
		Text:      "Every message acknowledged before the bridge was killed shall reach the viewer after it resumes.",
		Source:    "metrology 5 F07; durability setting of the bridge", Faults: []string{"F07"},
	}),
	counted("messages", "steady", reports.Requirement{
		ID: "DEL-05", Title: "no duplicates", MinSamples: 1000, Rule: zero,
		Measurand: "second live deliveries of one message to one viewer",
		Text:      "No message shall be delivered to a viewer more than once.",
		Source:    "metrology 4 (duplicates at t4: 0 by id)", Faults: []string{"F08", "F09"},
	}),
	counted("messages", "steady", reports.Requirement{
		ID: "DEL-06", Title: "nothing made up, mixed up or damaged", MinSamples: 1000, Rule: zero,
		Measurand: "deliveries that nobody sent, under the topic of another device, or whose payload fails its check",
		Text:      "Every delivery shall be a message that was sent in this run, under its own topic, byte for byte.",
		Source:    "EN 50159 (insertion, corruption, masquerade); metrology 3.3", Faults: []string{"F10"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "DEL-07", Title: "what is left out is declared", Class: reports.Conditional, Capability: sut.CapGapMarker, MinSamples: 100, Rule: zero,
		Measurand: "breaks of the chain of intervals, and losses outside every declared gap",
		Text:      "The bridge shall declare to a viewer every message that it leaves out.",
		Source:    "metrology 4 (gap marker)", Faults: []string{"F04"},
	}),
}

var order = []profile.Known{
	counted("messages", "steady", reports.Requirement{
		ID: "ORD-01", Title: "order within a topic", MinSamples: 660, Rule: zero,
		Measurand: "deliveries that arrive after a later message of the same topic, under micro-bursts",
		Text:      "Messages of one topic shall reach each viewer in the order in which the broker accepted them.",
		Source:    "MQTT 5.0 section 4.6 [MQTT-4.6.0-6]", Faults: []string{"F11"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "ORD-02", Title: "order over the seam from replay to live", Class: reports.Conditional, Capability: sut.CapResume, MinSamples: 100, Rule: zero,
		Measurand: "deliveries out of order between the loss of a connection and steady live data after it",
		Text:      "A viewer that resumes shall receive what it missed before, and not among, the live messages that follow.",
		Source:    "metrology 4 (FIFO per topic including the seam)", Faults: []string{"F12"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "ORD-03", Title: "order over QoS 0 and QoS 1", Class: reports.Conditional, Capability: sut.CapMixedOrder, MinSamples: 132, Rule: zero,
		Measurand: "deliveries that arrive after a later message of the same topic, when its messages are of QoS 0 and QoS 1 in turn",
		Text:      "Messages of one topic shall reach each viewer in the order in which they were published, whatever their quality of service.",
		Source:    "metrology 5 F13; beyond MQTT 5.0 section 4.6, hence only if declared", Faults: []string{"F13"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "ORD-04", Title: "nothing older after something newer", Class: reports.Conditional, Capability: sut.CapRetained, MinSamples: 44, Rule: zero,
		Measurand: "last values, and live ones after them, that were older than what the viewer had been given of the same topic",
		Text:      "A viewer shall not be given a value that is older than one of the same topic that it has been given.",
		Source:    "metrology 5 F14 (44 subscriptions that race a publisher)", Faults: []string{"F14"},
	}),
}

var integrity = []profile.Known{
	counted("messages", "", reports.Requirement{
		ID: "INT-01", Title: "payloads of every size", MinSamples: 10, Rule: zero,
		Measurand: "payloads of the ladder of sizes that did not arrive byte for byte",
		Text:      "Every payload shall reach the viewer byte for byte, whatever its length and content.",
		Source:    "metrology 5 F30 to F34; RFC 6455 section 5.2; RFC 8446 section 5.1", Faults: []string{"F30", "F31", "F32", "F34"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "INT-02", Title: "text, numbers and times", MinSamples: 30, Rule: zero,
		Measurand: "texts, numbers and times of the corpus that did not arrive as they were sent",
		Text:      "Every text, every number and every time shall reach the viewer as it was published.",
		Source:    "metrology 5 F33, F35, F36; RFC 3629; RFC 8259 sections 6 and 7; RFC 3339 section 5.6", Faults: []string{"F33", "F35", "F36"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "INT-03", Title: "what a message says about itself", Class: reports.Conditional, Capability: sut.CapProperties, MinSamples: 13, Rule: zero,
		Measurand: "messages whose content type, payload format, response topic, correlation data or user properties did not arrive as they were sent, or that were lost",
		Text:      "What its sender says about a message shall reach the viewer unaltered, user properties in their order.",
		Source:    "MQTT 5.0 section 3.3.2.3 [MQTT-3.3.2-4, -15, -16, -17, -18, -20]; metrology 5 F37", Faults: []string{"F37"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "INT-05", Title: "compressed connections", Class: reports.Conditional, Capability: sut.CapCompression, MinSamples: 100, Rule: zero,
		Measurand: "payloads that did not arrive byte for byte at a viewer that takes compressed messages, and messages to it that could not be read",
		Text:      "Every payload shall reach a viewer byte for byte also over a connection that compresses, however many messages went before.",
		Source:    "RFC 7692 sections 7.1, 7.2; metrology 5 F66 (100 messages, 64 KiB in all)", Faults: []string{"F66"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "INT-04", Title: "topics are told apart", MinSamples: 60, Rule: zero,
		Measurand: "messages under like topics that were lost or came under another topic",
		Text:      "Every message shall reach the viewer under exactly the topic that it was published to.",
		Source:    "metrology 5 F38; MQTT 5.0 sections 4.7.1 and 4.7.3", Faults: []string{"F38"},
	}),
}

var state = []profile.Known{
	timed("", reports.Requirement{
		ID: "STA-01", Title: "a late viewer sees the last values", Class: reports.Conditional, Capability: sut.CapRetained, MinSamples: 1, Rule: fixed,
		Measurand: "time from a viewer's connection, while nothing is published, to the newest retained value of a device, marked as such where the protocol can",
		Text:      "A viewer that comes late shall be given the newest retained value of every topic within the limit.",
		Source:    "MQTT 5.0 section 3.3.1.3; metrology 5 F15", Faults: []string{"F15"},
	}),
	timed("", reports.Requirement{
		ID: "STA-02", Title: "a viewer learns that a device is gone", Class: reports.Conditional, Capability: sut.CapLastWill, MinSamples: 1, Rule: fixed,
		Measurand: "time from the end of a device's connection without DISCONNECT to the arrival of its will; of a declared sensor, from its availability message or will at the broker",
		Text:      "The will of a device that ended without a word, and what declared sensors say of being there, shall reach every viewer within the limit.",
		Source:    "MQTT 5.0 section 3.1.2.5; metrology 5 F16", Faults: []string{"F16"},
	}),
	timed("", reports.Requirement{
		ID: "STA-03", Title: "the last value of a burst is shown", MinSamples: 21, Rule: fixed,
		Measurand: "time from the intended instant of the last message of a device before it falls silent to its arrival",
		Text:      "The last value that a device publishes before it falls silent shall reach every viewer within the limit.",
		Source:    "metrology 5 F18 (21 bursts, then silence)", Faults: []string{"F17", "F18"},
	}),
}

var recovery = []profile.Known{
	timed("", reports.Requirement{
		ID: "REC-01", Title: "back after a viewer's connection was cut", MinSamples: 1, Rule: fixed,
		Measurand: "time from the end of the cut to the arrival of the first sample intended after the reconnection",
		Text:      "A viewer whose connection was cut shall see fresh data within the limit.",
		Source:    "metrology 4 (reconnect gap client)", Faults: []string{"F63"},
	}),
	timed("", reports.Requirement{
		ID: "REC-02", Title: "back after an outage between device and broker", MinSamples: 1, Rule: fixed,
		Measurand: "time from the end of the outage to the arrival of a sample intended after it at every viewer",
		Text:      "After an outage between devices and broker viewers shall see fresh data within the limit.",
		Source:    "metrology 4 (reconnect gap broker)", Faults: []string{"F61"},
	}),
	timed("", reports.Requirement{
		ID: "REC-03", Title: "half-open connections are noticed", Class: reports.Conditional, Capability: sut.CapHeartbeat, MinSamples: 1, Rule: fixed,
		Measurand: "time from the onset of a black hole between viewer and bridge until the bridge has dropped the connection",
		Text:      "The bridge shall drop a viewer's connection that has gone silent within the limit.",
		Source:    "metrology 4 (half-open detection); RFC 6455 section 5.5.2", Faults: []string{"F60"},
	}),
	timed("", reports.Requirement{
		ID: "REC-04", Title: "a storm of reconnections is weathered", MinSamples: 20, Rule: fixed,
		Measurand: "time from the end of a cut of all viewers at once to fresh data at each, over storms that follow each other",
		Text:      "After all viewers were cut off at once each of them shall see fresh data within the limit.",
		Source:    "metrology 5 F63; attack list N78, N79", Faults: []string{"F63"},
	}),
	counted("violations", "", reports.Requirement{
		ID: "REC-05", Title: "every filter is served again", Class: reports.Conditional, Capability: sut.CapRestart, MinSamples: 50, Rule: fixed,
		Measurand: "filters of one viewer that bring nothing more after a restart of the bridge, or of a broker that is no part of it, though their devices publish",
		Text:      "After a restart of bridge or broker every filter that a viewer had asked for shall bring data again.",
		Source:    "metrology 5 F61, F62 (set equality over at least 50 filters)", Faults: []string{"F61", "F62"},
	}),
	timed("", reports.Requirement{
		ID: "REC-06", Title: "a session has one client", Class: reports.Conditional, Capability: sut.CapTakeover, MinSamples: 1, Rule: fixed,
		Measurand: "time until the broker has ended a client whose client identifier another one uses; beside it whether that client still gets or sends messages",
		Text:      "A client of the broker whose session another one has taken shall be cut off within the limit.",
		Source:    "MQTT 5.0 section 3.1.4 [MQTT-3.1.4-3]; metrology 5 F64", Faults: []string{"F64"},
	}),
	counted("messages", "", reports.Requirement{
		ID: "REC-07", Title: "bad lines do no harm", Class: reports.Optional, MinSamples: 200, Rule: zero,
		Measurand: "acknowledged messages lost, damaged, out of order or doubled at a viewer while lines delayed, tore, repeated and broke off what they carried",
		Text:      "Lines that delay, tear, repeat or break off shall cost no acknowledged message, damage none, reorder none and double none that the broker passed on once.",
		Source:    "MQTT 5.0 sections 4.4, 4.6; RFC 6455 section 5.4; EN 50159 (delay, deletion, repetition)", Faults: []string{"F72", "F73", "F74"},
	}),
}

var security = []profile.Known{
	violation("SEC-01", "transport is protected", sut.CapTLS, "The bridge shall serve viewers over TLS 1.2 or later only.",
		"handshakes in plaintext or below TLS 1.2 that were served", "RFC 9325 sections 3 and 4", "F52"),
	violation("SEC-02", "who does not authenticate sees nothing", sut.CapAuth, "The bridge shall give no data to a viewer that has not authenticated.",
		"connections without a token that were served", "RFC 6455 section 10.5", "F49"),
	violation("SEC-03", "bad tokens are refused", sut.CapTokenValidity, "The bridge shall refuse every token that is forged, expired, not yet valid or meant for someone else.",
		"bad tokens that were accepted", "RFC 8725 sections 2 and 3", "F41", "F42", "F43", "F44", "F45", "F46"),
	timed("", reports.Requirement{
		ID: "SEC-04", Title: "a session ends with its token", Class: reports.Conditional, Capability: sut.CapTokenExpiry, MinSamples: 1, Rule: fixed,
		Measurand: "time from the expiry of a viewer's token until its session is closed",
		Text:      "A session whose token has expired shall be closed within the limit.",
		Source:    "RFC 8725 section 3.10; metrology 4 (mid-session cut)", Faults: []string{"F47"},
	}),
	timed("", reports.Requirement{
		ID: "SEC-05", Title: "revocation works on live sessions", Class: reports.Conditional, Capability: sut.CapRevocation, MinSamples: 1, Rule: fixed,
		Measurand: "time from the revocation of a subject until its live session is closed",
		Text:      "The live sessions of a revoked subject shall be closed within the limit.",
		Source:    "OWASP session management", Faults: []string{"F48"},
	}),
	violation("SEC-06", "foreign origins are refused", sut.CapOriginCheck, "The bridge shall refuse handshakes from origins that are not on its list.",
		"handshakes from foreign or look-alike origins that were served", "RFC 6455 sections 4.2.2 and 10.2", "F51"),
	violation("SEC-07", "tenants are isolated", sut.CapTenants, "A viewer shall receive no message outside its grants, whatever filter it asks for.",
		"messages delivered, or subscriptions accepted, outside the grants of a viewer", "metrology 5 F39; OWASP access control", "F39", "F40", "F50"),
	violation("SEC-08", "viewers do not publish", sut.CapPublish, "The bridge shall take no message for the topic of a device from a viewer that has no right to publish.",
		"messages of a viewer without that right that were confirmed or reached the broker, by every verb of the protocol", "metrology 5 F54; attack list N49", "F54"),
	violation("SEC-09", "tokens are kept out of logs", sut.CapLogs, "The bridge shall write no token that a viewer showed into a log or a page for operators.",
		"lines of the logs and pages for operators that hold the signature of a token that was shown, good, bad or misplaced", "metrology 5 F53; attack list N33, N99", "F53"),
	timed("", reports.Requirement{
		ID: "SEC-11", Title: "connections that get nowhere are closed", Class: reports.Conditional, Capability: sut.CapLimits, MinSamples: 50, Rule: fixed,
		Measurand: "time until connections are closed that say nothing, half a request, one byte at a time or a frame of a tebibyte; beside it whether others are served and that memory (RSS) grows by at most 64 MiB",
		Text:      "The bridge shall close every connection that does not get on within the limit.",
		Source:    "RFC 6455 section 10.4; attack list N14, N61, N72; 64 MiB: judgement, a quarter of one for each connection", Faults: []string{"F70"},
	}),
	violation("SEC-10", "refusals say why", sut.CapCloseCodes, "Every refusal shall carry the documented status or close code.",
		"refusals without the documented code", "RFC 6455 section 7.4; PROTOCOL.md of the bridge"),
}

var resources = []profile.Known{
	counted("KiB/s", "", reports.Requirement{
		ID: "RES-01", Title: "memory stays where it was", Class: reports.Conditional, Capability: sut.CapProcesses, MinSamples: soakLeast, Rule: fixed,
		Measurand: "slope of the minima of the memory (RSS) of all processes under steady load, by its 99 % bounds",
		Text:      "Under steady load the memory of the bridge shall grow no faster than the limit.",
		Source:    "metrology 5 F55", Faults: []string{"F55"},
	}),
	counted("descriptors", "", reports.Requirement{
		ID: "RES-02", Title: "no descriptor is kept of who has left", Class: reports.Conditional, Capability: sut.CapProcesses, MinSamples: 200, Rule: fixed,
		Measurand: "open descriptors of all processes after viewers have come and gone in good order, above those before",
		Text:      "After viewers have come and gone the bridge shall hold no more open descriptors than before, within the limit.",
		Source:    "metrology 5 F56", Faults: []string{"F56"},
	}),
	counted("threads", "", reports.Requirement{
		ID: "RES-03", Title: "nothing runs on for who has vanished", Class: reports.Conditional, Capability: sut.CapProcesses, MinSamples: 200, Rule: fixed,
		Measurand: "threads of all processes, and goroutines or their like where the metrics page tells them, after viewers have vanished with RST, above those before",
		Text:      "After viewers have vanished without a word the bridge shall run no more threads or goroutines than before, within the limit.",
		Source:    "metrology 5 F57", Faults: []string{"F57"},
	}),
	timed("stall", reports.Requirement{
		ID: "RES-04", Title: "a viewer that does not read disturbs nobody", MinSamples: 299, Rule: fixed,
		Measurand: "99th percentile of the time from the intended instant of a sample to its arrival at the other viewers, while one viewer does not read, beside that while all read",
		Text:      "While one viewer does not read the 99th percentile of the latency at the others shall not exceed the limit.",
		Source:    "metrology 5 F58; attack list N74", Faults: []string{"F58"},
	}),
	counted("MiB", "", reports.Requirement{
		ID: "RES-05", Title: "a viewer that does not read costs little and catches up", Class: reports.Conditional, Capability: sut.CapProcesses, MinSamples: 5, Rule: fixed,
		Measurand: "memory (RSS) of all processes while twice the limit waits for a viewer that does not read, above what it takes while as much is read, once that stands still; and the newest value once it reads again",
		Text:      "A viewer that does not read shall cost the bridge no more memory than the limit and have the newest value once it reads again.",
		Source:    "metrology 5 F04, F19, F59; attack list N74, N75", Faults: []string{"F19", "F59"},
	}),
	counted("effects", "", reports.Requirement{
		ID: "RES-06", Title: "steps of the wall clock do no harm", Class: reports.Conditional, Capability: sut.CapClock, MinSamples: 100, Rule: zero,
		Measurand: "sessions of viewers that ended, and messages lost or doubled, while the wall clock of the system stepped an hour ahead and back",
		Text:      "A step of its wall clock shall end no session and lose or double no message of the bridge.",
		Source:    "metrology 5 F68; attack list N100", Faults: []string{"F68"},
	}),
	counted("effects", "", reports.Requirement{
		ID: "RES-07", Title: "a long uptime does no harm", Class: reports.Optional, MinSamples: 100, Rule: zero,
		Measurand: "sessions of viewers that ended, and messages lost or doubled, while the milliseconds since the start of the machine left 31 and 32 bits (24.8 and 49.7 days)",
		Text:      "That the machine has been up for 24.8 or 49.7 days shall end no session and lose or double no message of the bridge.",
		Source:    "metrology 5 F69; time_namespaces(7)", Faults: []string{"F69"},
	}),
}

// Whose the broker is, and what a bridge promises of it, differs: both are
// judged and neither is asked for.
var protocol = []profile.Known{
	standard("PRO-01", "WebSocket is kept", "The server of viewers shall keep every MUST of RFC 6455 and RFC 7692 that a viewer depends on.",
		"cases of the WebSocket suite that bind and failed", "RFC 6455; RFC 7692", "F65"),
	standard("PRO-03", "MQTT is kept", "The broker shall keep every MUST of MQTT 3.1.1 and 5.0 that a pipeline depends on.",
		"cases of the MQTT suite that bind and failed", "MQTT 3.1.1; MQTT 5.0", "F71"),
}

var rig = []profile.Known{{
	Requirement: reports.Requirement{
		ID: "RIG-01", Title: "the harness measures a stopped bridge rightly", Class: reports.Optional, MinSamples: 1, Rule: fixed,
		Measurand: "largest relative deviation of p75, p90 and mean from the arithmetic of a bridge stopped for half of the window",
		Text:      "With the bridge stopped for half of the window the harness shall measure the p75, p90 and mean that arithmetic demands.",
		Source:    "coordinated omission: metrology 1.1", Since: since,
	},
	Unit: profile.UnitShare,
}}

const stimulusMs = "time from the change of a physical value at a device to the arrival at a headless viewer of the message that tells it"

// hardware is asked of rigs on which something can be done to a device.
var hardware = []profile.Known{
	timed("", reports.Requirement{
		ID: "HIL-01", Title: "median of stimulus to screen", Class: reports.Optional, Quantile: 0.5, MinSamples: 100, Measurand: stimulusMs, Rule: dr2,
		Text:   "The median time from a change of a physical value at a device to its arrival at a viewer shall not exceed the limit.",
		Source: "metrology 2.2; limits of the profile, the device's own sampling included", Faults: []string{"F20"},
	}),
	timed("", reports.Requirement{
		ID: "HIL-02", Title: "99th percentile of stimulus to screen", Class: reports.Optional, Quantile: 0.99, MinSamples: 299, Measurand: stimulusMs, Rule: dr2,
		Text:   "The 99th percentile of the time from a change of a physical value at a device to its arrival at a viewer shall not exceed the limit.",
		Source: "metrology 2.2; limits of the profile, the device's own sampling included", Faults: []string{"F24"},
	}),
	timed("", reports.Requirement{
		ID: "HIL-03", Title: "a command reaches the actuator", Class: reports.Optional, MinSamples: 1, Rule: fixed,
		Measurand: "longest time from the sending of a command by a viewer to the actuator's new state, and to the message at a viewer that reads it back",
		Text:      "A command that a viewer sends shall move the actuator of the device that it is for, and be read back by viewers, within the limit.",
		Source:    "hardware in the loop: the way back; limits of the profile", Faults: []string{"F79"},
	}),
}

// claims never decide: they are remarks on the descriptor.
var claims = []profile.Known{counted("violations", "", reports.Requirement{
	ID: "CAP-01", Title: "the descriptor claims what the system can", Class: reports.Optional, MinSamples: 1, Rule: fixed,
	Measurand: "capabilities that were seen when tried out and that the descriptor does not claim",
	Text:      "A descriptor shall claim every capability that the system shows when it is tried out.",
	Source:    "a requirement that is N/A for want of a claim says nothing about the system",
})}

// timed completes a requirement whose limit is a time.
func timed(load string, r reports.Requirement) profile.Known {
	return known(profile.UnitTime, load, r)
}

// counted completes a requirement whose limit is a number of things.
func counted(unit, load string, r reports.Requirement) profile.Known { return known(unit, load, r) }

func known(unit, load string, r reports.Requirement) profile.Known {
	r.Since = since
	if r.Class == "" {
		r.Class = reports.Mandatory
	}
	return profile.Known{Requirement: r, Unit: unit, Load: load}
}

// violation makes a requirement that is broken by a single violation.
func violation(id, title, capability, text, measurand, source string, faults ...string) profile.Known {
	return counted("violations", "", reports.Requirement{
		ID: id, Title: title, Class: reports.Conditional, Capability: capability, Text: text, Measurand: measurand,
		Rule: fixed, MinSamples: 1, Source: source, Faults: faults,
	})
}

// standard makes a requirement that is broken by a single failing case.
func standard(id, title, text, measurand, source string, faults ...string) profile.Known {
	return counted("violations", "", reports.Requirement{
		ID: id, Title: title, Class: reports.Optional, Text: text, Measurand: measurand, Rule: fixed, MinSamples: 1, Source: source, Faults: faults,
	})
}

func slicesOf(groups ...[]profile.Known) []profile.Known {
	var all []profile.Known
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}
