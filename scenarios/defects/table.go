package defects

import (
	"fmt"
	"slices"
	"strings"

	"plumbline/harness/sut"
)

// Defect is one way in which a bridge can be wrong, and what must notice.
type Defect struct {
	ID       string // as flawed knows it: F01 …, with a letter where one fault is seeded in several ways
	Fault    string // of the catalogue
	Title    string
	Kills    string // requirement that must say FAIL
	Scenario string // that judges it
	Param    string // of flawed
	Stimulus string // what it takes to detect it at 99 % (metrology 5)

	Loads   map[string]map[string]any // over those of the profile
	Limits  map[string]string         // over those of the profile, where the defect is none at its limits
	RS256   bool                      // viewers' tokens are signed with an RSA key
	MQTT    bool                      // viewers speak MQTT 5 over WebSocket, which flawed carries to the broker of bridged
	Squeeze bool                      // flawed compresses for viewers that offer it
	Clock   bool                      // the system has a wall clock that the harness may step
	Claims  []string                  // capabilities beyond those of bridged
	Cluster bool                      // the system is several bridges, each behind flawed
	Nodes   int                       // nodes of the virtual bench, node twins, that the rig declares
}

// asked is what the profile of the defect differs in.
func (d Defect) asked() asks {
	return asks{loads: d.Loads, limits: d.Limits, named: []string{d.Kills}, clock: d.Clock}
}

// Plain reports whether the defect is tried under the conditions of the control
// none, which every scenario shares.
func (d Defect) Plain() bool {
	return len(d.Loads) == 0 && len(d.Limits) == 0 && len(d.Claims) == 0 && !d.RS256 && !d.MQTT && !d.Squeeze && !d.Clock && !d.Cluster && d.Nodes == 0
}

// Condition is what the defect is tried under, itself apart: the same for all
// that one trial without a defect stands beside.
func (d Defect) Condition() string {
	under := fmt.Sprintf("%s, loads %v, limits %v, claims %v, RS256 %v, MQTT %v, compression %v, clock %v", d.Scenario, d.Loads, d.Limits, d.Claims, d.RS256, d.MQTT, d.Squeeze, d.Clock) // maps print in the order of their keys
	if d.Nodes > 0 {
		under += fmt.Sprintf(", %d nodes", d.Nodes)
	}
	if d.Cluster {
		under += ", cluster"
	}
	return under
}

// badLines is a load of so many faults that each kind of them comes.
var badLines = load("badlines", "cycles", 80, "hold", "200 ms")

// All returns every defect in the order of its number.
func All() []Defect {
	all := slices.Concat(delivery, shown, latency, security, recovery, burdens, wired, looped, pages, inClusters)
	slices.SortStableFunc(all, func(a, b Defect) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// load is one load by its name, over the one of the profile.
func load(name string, fields ...any) map[string]map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(fields); i += 2 {
		name, _ := fields[i].(string)
		m[name] = fields[i+1]
	}
	return map[string]map[string]any{name: m}
}

// steady is a short steady load with micro-bursts: 2 000 deliveries a second.
func steady(window string) map[string]map[string]any {
	return load("steady", "runs", 1, "devices", 50, "rate", "1000 /s", "viewers", 2, "burst", 10, "warmUp", "500 ms", "window", window, "drain", "4 s")
}

// spread is a steady load over so many devices that what is delayed under one
// topic holds up little else.
func spread(window string, viewers int) map[string]map[string]any {
	return load("steady", "runs", 1, "devices", 400, "rate", "800 /s", "viewers", viewers, "burst", 2, "warmUp", "500 ms", "window", window, "drain", "5 s")
}

var delivery = []Defect{
	{ID: "F01", Title: "drops a message in 1 000 at random", Kills: "DEL-01", Scenario: "steady", Param: "1000",
		Stimulus: "4 603 deliveries", Loads: steady("4 s")},
	{ID: "F02", Title: "drops every 500th message of a connection", Kills: "DEL-01", Scenario: "steady", Param: "500",
		Stimulus: "500 messages on one connection", Loads: steady("4 s")},
	{ID: "F03", Title: "drops what comes in the first 20 ms after a viewer is back", Kills: "DEL-02", Scenario: "client", Param: "20ms",
		Stimulus: "rate × window ≥ 5: 1 cycle", Loads: cuts(3, 3, "400 ms")},
	{ID: "F04", Title: "drops silently when a queue of 6 is full", Kills: "DEL-01", Scenario: "steady", Param: "6/2000",
		Stimulus: "1 burst beyond the queue", Loads: steady("4 s")},
	{ID: "F04b", Title: "drops silently when a queue of 20 is full, over a reconnection", Kills: "DEL-07", Scenario: "client", Param: "20/300",
		Stimulus: "1 backlog of 2 × the queue", Loads: cuts(3, 3, "400 ms")},
	{ID: "F05", Title: "counts what waits for a flush of 20 ms as delivered when the connection ends", Kills: "DEL-02", Scenario: "client", Param: "20ms",
		Stimulus: "7 closes", Loads: cuts(3, 3, "400 ms")},
	{ID: "F06", Title: "loses the first message after one subscription in 10", Kills: "DEL-02", Scenario: "client", Param: "0.1",
		Stimulus: "44 subscriptions under load", Loads: cuts(6, 7, "100 ms")},
	{ID: "F07", Title: "acknowledges 20 ms before it hands on, and is killed", Kills: "DEL-04", Scenario: "kill", Param: "20ms",
		Stimulus: "21 kills at p 0.2; here about 4 messages are in between at each of 4", Loads: load("kill", "devices", 10, "rate", "200 /s", "cycles", 4)},
	{ID: "F08", Title: "replays 3 messages that the viewer has when it is back", Kills: "DEL-05", Scenario: "client", Param: "3",
		Stimulus: "1 resumption", Loads: cuts(3, 3, "400 ms")},
	{ID: "F09", Title: "delivers a message in 1 000 twice", Kills: "DEL-05", Scenario: "steady", Param: "1000",
		Stimulus: "4 603 deliveries", Loads: steady("4 s")},
	{ID: "F10", Title: "shows a message of an earlier run after every 1 000", Kills: "DEL-06", Scenario: "steady", Param: "1000",
		Stimulus: "1 such message", Loads: steady("4 s")},
	{ID: "F11", Title: "lets neighbours change places (workers with 50 µs of jitter)", Kills: "ORD-01", Scenario: "steady", Param: "50us",
		Stimulus: "66 pairs 0.1 ms apart: micro-bursts", Loads: steady("4 s")},
	{ID: "F12", Title: "mixes replayed messages with live ones", Kills: "ORD-02", Scenario: "client", Param: "150ms",
		Stimulus: "7 resumptions at ≥ 100 messages/s", Loads: cuts(3, 3, "400 ms")},
	{ID: "F67", Title: "loses a message when a 16-bit counter wraps", Kills: "DEL-01", Scenario: "steady", Param: "65535",
		Stimulus: "70 000 QoS 1 messages on one connection",
		Loads:    load("steady", "runs", 1, "devices", 1, "rate", "5000 /s", "viewers", 1, "burst", 2, "warmUp", "500 ms", "window", "15 s", "drain", "10 s")},
}

// cuts is a load of so many viewers and cuts.
func cuts(viewers, cycles int, hold string) map[string]map[string]any {
	return load("client", "devices", 20, "rate", "400 /s", "viewers", viewers, "cycles", cycles, "hold", hold, "drain", "10 s")
}

var latency = []Defect{
	{ID: "F20", Title: "flushes every 500 ms in place of 50", Kills: "LAT-01", Scenario: "steady", Param: "500ms",
		Stimulus: "30 messages", Loads: steady("13 s")},
	{ID: "F20b", Title: "flushes every 800 ms", Kills: "LAT-02", Scenario: "steady", Param: "800ms",
		Stimulus: "262 messages", Loads: steady("13 s")},
	{ID: "F22", Title: "delays 1 in 1 000 by 1.3 s, which only a ceiling forbids", Kills: "LAT-04", Scenario: "steady", Param: "0.001/1300ms",
		Stimulus: "10 057 messages at 1 in 1 000", Loads: spread("15 s", 8), Limits: map[string]string{"LAT-04": "1 s"}},
	{ID: "F23", Title: "delays 4 in 1 000 by 1.1 s", Kills: "LAT-03", Scenario: "steady", Param: "0.004/1100ms",
		Stimulus: "25 432 messages at 2 in 1 000, 6 000 at 4", Loads: spread("13 s", 2)},
	{ID: "F24", Title: "delays 2 in 100 by 500 ms", Kills: "LAT-02", Scenario: "steady", Param: "0.02/500ms",
		Stimulus: "2 557 messages", Loads: spread("13 s", 2)},
	{ID: "F25", Title: "stands still for 1.5 s every 5 s", Kills: "LAT-03", Scenario: "steady", Param: "1500ms/5s",
		Stimulus: "5 periods, open loop", Loads: steady("26 s")},
	{ID: "F25c", Title: "stands still for 1.5 s every 5 s, seen as a ceiling", Kills: "LAT-04", Scenario: "steady", Param: "1500ms/5s",
		Stimulus: "5 periods, open loop", Loads: spread("15 s", 8), Limits: map[string]string{"LAT-04": "1 s"}},
	{ID: "F26", Title: "writes to one viewer after the other, 25 ms each: 40 are too many", Kills: "LAT-02", Scenario: "steady", Param: "25ms",
		Stimulus: "1 load that is as large as declared",
		Loads:    load("steady", "runs", 1, "devices", 20, "rate", "40 /s", "viewers", 40, "burst", 2, "warmUp", "500 ms", "window", "13 s", "drain", "5 s")},
	{ID: "F27", Title: "delays 1 in 20 by 200 ms (Nagle against a delayed ACK of that length)", Kills: "LAT-02", Scenario: "steady", Param: "0.05/200ms",
		Stimulus: "262 pairs at 5 %; it is a defect only where the limit lies below the delay of an ACK, 40 to 500 ms (RFC 1122 section 4.2.3.2)",
		Loads:    spread("13 s", 2), Limits: map[string]string{"LAT-02": "150 ms"}},
	{ID: "F29", Title: "gets slower by 2 s a minute", Kills: "LAT-09", Scenario: "steady", Param: "2s",
		Stimulus: "30 min at 1 ms a minute; at this pace 26 s", Loads: spread("26 s", 2), Limits: map[string]string{"LAT-09": "5 %"}},
	{ID: "F28", Title: "shows the first message of one session in 4 after 1.2 s", Kills: "LAT-08", Scenario: "connect", Param: "0.25/1200ms",
		Stimulus: "21 connections at p ≥ 0.2", Loads: load("connect", "devices", 10, "rate", "200 /s", "cycles", 140, "drain", "4 s")},
}

// brokerRestarts is a load of as many topics as it takes to lose one in 50.
var brokerRestarts = load("brokerdown", "devices", 200, "rate", "400 /s", "viewers", 1, "cycles", 2, "drain", "5 s")

var recovery = []Defect{
	{ID: "F60", Title: "never drops a viewer that has gone silent", Kills: "REC-03", Scenario: "halfopen",
		Stimulus: "1 black hole, 1.5 × the declared time"},
	{ID: "F61d", Title: "does not subscribe again after a restart of the broker", Kills: "DEL-03", Scenario: "brokerdown", Param: "1",
		Stimulus: "1 restart", Loads: brokerRestarts, Claims: []string{sut.CapBrokerRestart}},
	{ID: "F62d", Title: "subscribes to 49 of 50 topics again after a restart of the broker", Kills: "DEL-03", Scenario: "brokerdown", Param: "0.02",
		Stimulus: "228 filters restarted", Loads: brokerRestarts, Claims: []string{sut.CapBrokerRestart}},
	{ID: "F61", Title: "does not subscribe again after the connection of a device was lost", Kills: "REC-02", Scenario: "broker",
		Stimulus: "1 outage"},
	{ID: "F63", Title: "lets viewers wait twice as long at each way back and never forgets", Kills: "REC-01", Scenario: "client", Param: "2/1s",
		Stimulus: "2 outages", Loads: cuts(2, 4, "200 ms")},
}

func admission(id, fault, title, kills string) Defect {
	return Defect{ID: id, Fault: fault, Title: title, Kills: kills, Scenario: "admission", Stimulus: "1 per vector"}
}

var security = []Defect{
	{ID: "F39", Title: "leaks to filters that end in #", Kills: "SEC-07", Scenario: "tenants", Param: "#", Stimulus: "1 per filter"},
	{ID: "F40", Title: "restores everything for one in 100 that resume", Kills: "SEC-07", Scenario: "tenants", Param: "0.01",
		Stimulus: "459 resumptions"},
	admission("F41", "", "accepts expired tokens", "SEC-03"),
	admission("F42", "", "accepts alg none, however it is spelled", "SEC-03"),
	rs256(admission("F43", "", "takes the public key for an HS256 secret", "SEC-03")),
	admission("F44", "", "ignores the audience", "SEC-03"),
	admission("F45", "", "ignores the issuer", "SEC-03"),
	admission("F46", "", "ignores nbf and iat", "SEC-03"),
	admission("F46s", "F46", "does not check the signature", "SEC-03"),
	{ID: "F47", Title: "never looks at the expiry again within a session", Kills: "SEC-04", Scenario: "sessions", Stimulus: "1 token of 2 s"},
	{ID: "F48", Title: "ignores a revocation until the viewer reconnects", Kills: "SEC-05", Scenario: "sessions", Stimulus: "1 revocation"},
	admission("F49", "", "serves a subscription that nobody said hello before", "SEC-02"),
	{ID: "F50", Title: "lets the old grants stand in a live session", Kills: "SEC-07", Scenario: "tenants", Stimulus: "1 change"},
	with(admission("F51", "", "ignores Origin", "SEC-06"), "https://dashboard.test"),
	admission("F52", "", "serves plaintext on the TLS port", "SEC-01"),
	admission("F52t", "F52", "serves TLS 1.0", "SEC-01"),
}

func rs256(d Defect) Defect { d.RS256 = true; return d }

func with(d Defect, param string) Defect { d.Param = param; return d }

// CoversFault returns the number of the catalogue that the defect stands for.
func (d Defect) CoversFault() string {
	if d.Fault != "" {
		return d.Fault
	}
	return d.ID[:3]
}
