package mqttdev

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// maxFleetStep bounds how far a message may be ahead of those that came: what a
// foreign publisher writes must not take memory.
const maxFleetStep = 4096

// maxFleetWords bounds all that came together: 256 MiB, two thousand million messages.
const maxFleetWords = 1 << 25

// FleetAudit holds what came of a fleet against what it published. It is safe for
// concurrent use.
type FleetAudit struct {
	prefix, run string

	mu    sync.Mutex
	seen  [][]uint64 // a bit for each message of each device
	words int        // in seen
	last  []uint32
	stats FleetReceived
}

// FleetReceived is what came.
type FleetReceived struct {
	Messages uint64 // different ones
	Again    uint64 // came before
	Older    uint64 // came after a newer one of their device
	Online   uint64 // devices that said they are there
	Offline  uint64 // last wills
	Foreign  uint64 // messages of no device of the fleet, of another run, or beyond what can be counted
}

// NewFleetAudit returns an audit of a fleet of that size, prefix and run ("" as in
// FleetConfig).
func NewFleetAudit(prefix, run string, size int) *FleetAudit {
	if prefix == "" {
		prefix = "fleet"
	}
	return &FleetAudit{prefix: prefix, run: run, seen: make([][]uint64, size), last: make([]uint32, size)}
}

// Filter is what brings all messages of the fleet.
func (a *FleetAudit) Filter() string { return a.prefix + "/#" }

// Take counts one message. It is cheap, keeps nothing of it and fits Config.Tap.
func (a *FleetAudit) Take(m Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rest, ours := strings.CutPrefix(m.Topic, a.prefix+"/")
	id, what, _ := strings.Cut(rest, "/")
	number, err := strconv.Atoi(id)
	if !ours || err != nil || number < 0 || number >= len(a.seen) {
		a.stats.Foreign++
		return
	}
	switch {
	case what == "status" && string(m.Payload) == fleetStatus(fleetOnline, a.run):
		a.stats.Online++
	case what == "status" && string(m.Payload) == fleetStatus(fleetOffline, a.run):
		a.stats.Offline++
	case what != "data":
		a.stats.Foreign++
	default:
		var said struct {
			Device *int   `json:"device"`
			N      uint32 `json:"n"`
			Run    string `json:"run"`
		}
		if err := json.Unmarshal(m.Payload, &said); err != nil || said.Run != a.run || said.Device == nil || *said.Device != number || said.N < 1 || said.N > a.last[number]+maxFleetStep {
			a.stats.Foreign++
			return
		}
		a.count(number, said.N)
	}
}

func (a *FleetAudit) count(device int, n uint32) {
	word, bit := int(n/64), uint64(1)<<(n%64)
	if more := word + 1 - len(a.seen[device]); more > 0 {
		if a.words+more > maxFleetWords {
			a.stats.Foreign++
			return
		}
		a.words += more
		a.seen[device] = append(a.seen[device], make([]uint64, more)...)
	}
	if a.seen[device][word]&bit != 0 {
		a.stats.Again++
		return
	}
	a.seen[device][word] |= bit
	a.stats.Messages++
	if n < a.last[device] {
		a.stats.Older++
	}
	a.last[device] = max(a.last[device], n)
}

// Received returns what came so far.
func (a *FleetAudit) Received() FleetReceived {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stats
}

// Lost counts the messages that were published (see Fleet.Sent) and did not come;
// first names some of them.
func (a *FleetAudit) Lost(sent []uint32) (lost uint64, first []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for device, count := range sent {
		for n := uint32(1); n <= count; n++ {
			word := int(n / 64)
			if device < len(a.seen) && word < len(a.seen[device]) && a.seen[device][word]&(1<<(n%64)) != 0 {
				continue
			}
			lost++
			if len(first) < 5 {
				first = append(first, fmt.Sprintf("%s/%05d/data message %d", a.prefix, device, n))
			}
		}
	}
	return lost, first
}
