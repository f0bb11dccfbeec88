package defects

// seeded is a defect whose scenario needs no other load than the profile's.
func seeded(id, title, kills, scenario, param, stimulus string) Defect {
	return Defect{ID: id, Title: title, Kills: kills, Scenario: scenario, Param: param, Stimulus: stimulus}
}

// loaded gives a defect a load.
func loaded(d Defect, loads map[string]map[string]any) Defect { d.Loads = loads; return d }

// clocked gives the system of a defect a wall clock that may be stepped.
func clocked(d Defect) Defect { d.Clock = true; return d }

// aged asks for the limit of a long uptime, which ci leaves out.
func aged(d Defect) Defect { d.Limits = map[string]string{"RES-07": "0 effects"}; return d }

// burdens are defects of what a bridge takes, keeps and lets out.
var burdens = []Defect{
	seeded("F19", "keeps the oldest 20 of what a viewer does not read and drops what is newer", "RES-05", "stall", "20/100ms", "1 overload"),
	seeded("F53", "writes tokens into its log", "SEC-09", "admission", "", "1 token"),
	seeded("F54", "lets every viewer write to every topic", "SEC-08", "tenants", "", "1 per verb"),
	seeded("F55", "keeps 8 KiB of every message", "RES-01", "soak", "8192", "5 s at 16 MiB/s; for 2 KiB/s see profile soak"),
	seeded("F56", "keeps a descriptor of every viewer", "RES-02", "churn", "", "200 connections"),
	seeded("F57", "keeps a thread of every viewer that vanished", "RES-03", "churn", "2048", "1 wave of RST"),
	seeded("F58", "writes to one viewer after the other, so that one that does not read holds up the rest", "RES-04", "stall", "",
		"1 stalled reader beyond the fill time"),
	seeded("F59", "has a queue without end for a viewer that does not read", "RES-05", "stall", "20", "1, 10 × the fill time"),
	seeded("F70", "waits a minute for a viewer that does not get on with the handshake of TLS", "SEC-11", "sessions", "60s", "1 such connection"),
	seeded("F71", "never answers UNSUBSCRIBE", "PRO-03", "standards", "", "1 suite"),
	loaded(seeded("F72", "takes what came of a message for all of it when the connection ends within it", "REC-07", "badlines", "", "1 connection that ends within a payload"), badLines),
	loaded(seeded("F73", "takes every message that a device sends again for one that it has", "REC-07", "badlines", "", "1 message that was lost with its connection"), badLines),
	loaded(seeded("F74", "does not know a message again that a device sends a second time", "REC-07", "badlines", "", "1 lost PUBACK and a reconnection"), badLines),
	seeded("F65", "answers a ping with the first 64 bytes of it", "PRO-01", "standards", "64", "1 suite"),
	clocked(seeded("F68", "ends viewers by a timer that goes by the wall clock", "RES-06", "clockstep", "5m", "1 step each way")),
	aged(seeded("F69", "keeps milliseconds since the machine was started as an int32: 24.8 days", "RES-07", "uptime", "int32", "1 wrap")),
	aged(seeded("F69u", "the same as a uint32: 49.7 days", "RES-07", "uptime", "uint32", "1 wrap")),
	aged(seeded("F69x", "crashes over milliseconds in an int32 that wrap: 24.8 days", "RES-07", "uptime", "crash", "1 wrap")),
	loaded(seeded("F61r", "serves no filter after a restart, though it confirms them", "REC-05", "refill", "1", "1 restart"),
		load("refill", "cycles", 4)),
	loaded(seeded("F62", "serves 1 filter in 50 no more after a restart", "REC-05", "refill", "0.02", "228 filters restarted"),
		load("refill", "cycles", 5)),
	loaded(seeded("F64", "lets two clients of one identifier live side by side", "REC-06", "refill", "", "1 takeover"),
		load("refill", "cycles", 1)),
	loaded(seeded("F63s", "lets viewers wait twice as long at each way back, in a storm", "REC-04", "storm", "100/3s", "2 storms"),
		load("storm", "viewers", 100, "cycles", 2)),
}
