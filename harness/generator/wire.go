package generator

import (
	"encoding/json"
	"time"

	"plumbline/devices"
	"plumbline/harness/load"
	"plumbline/harness/record"
)

// The calls and casts of the protocol.
const (
	verbOpen    = "open"
	verbClock   = "clock"
	verbConnect = "connect"
	verbRun     = "run"
	verbHealth  = "health"
	verbSettle  = "settle"
	verbHand    = "hand"
	verbLine    = "line"
	verbSend    = "send"
	verbWaiting = "waiting"
	verbCounts  = "counts"
	verbDrop    = "drop"
	verbAct     = "act"
	verbClose   = "close"

	// codeDevice is the code of a failure to open a device.
	codeDevice = "device"

	castNode    = "node"
	castStream  = "stream"
	castRecords = "records"
	castEvents  = "events"
)

// Fleet is a number of computed devices that publish at a common rate, or a share of them.
type Fleet struct {
	Devices    int     `json:"devices"`
	First      int     `json:"first"`       // of those that this generator has, from 0
	Count      int     `json:"count"`       // how many it has; 0 means all
	Rate       float64 `json:"rate"`        // messages per second of all Devices together
	Burst      int     `json:"burst"`       // messages per instant of those that publish in bursts
	BurstEvery int     `json:"burst_every"` // every how many devices there is such a one; 0 means none
	QoS        byte    `json:"qos"`
	Retain     bool    `json:"retain"`
	Root       string  `json:"root"` // of the topics: "bench" makes bench/ID
	Pad        int     `json:"pad"`  // bytes of text that each sample holds beside its values
}

// settings is the argument of open. Password is the secret in it.
type settings struct {
	Origin    *record.Origin    `json:"origin,omitempty"` // nil within one process, which has one clock
	ByMeaning bool              `json:"by_meaning"`
	Process   bool              `json:"process"` // its own: it may change what is the process's
	Broker    string            `json:"broker"`
	Via       string            `json:"via,omitempty"` // where to go in place of the broker's address
	Hosts     []string          `json:"hosts,omitempty"`
	Local     string            `json:"local,omitempty"`
	Version   string            `json:"version,omitempty"`
	CA        []byte            `json:"ca,omitempty"`
	Username  string            `json:"username,omitempty"`
	Password  string            `json:"password,omitempty"`
	Run       string            `json:"run"`
	Seed      uint64            `json:"seed"`
	Sequence  bool              `json:"sequence,omitempty"`
	Reconnect time.Duration     `json:"reconnect_ns"`
	Fleet     *Fleet            `json:"fleet,omitempty"`
	Devices   []json.RawMessage `json:"devices,omitempty"`
}

// opened is the answer to open.
type opened struct {
	Infos   []devices.Info `json:"infos"`   // of the devices, in their order
	Streams []uint32       `json:"streams"` // of what the metronome drives, in its order
}

// runOrder is the argument of run.
type runOrder struct {
	Length time.Duration `json:"length_ns"`
}

// HandOptions describe a device that publishes when it is told to. Name is
// needed.
type HandOptions struct {
	Name     string     `json:"name"`
	Will     *load.Will `json:"will,omitempty"`
	InFlight int        `json:"in_flight,omitempty"` // QoS 1 window; 0 means load.DefaultInFlight
	// Aside keeps it out of what Settle waits for and Health counts.
	Aside bool `json:"aside,omitempty"`
}

type handAnswer struct {
	Hand      uint32 `json:"hand"`
	MaxPacket int64  `json:"max_packet"`
}

type handOrder struct {
	Hand uint32 `json:"hand"`
}

type lineOrder struct {
	Hand   uint32        `json:"hand"`
	Stream record.Stream `json:"stream"`
}

type lineAnswer struct {
	Line   uint32 `json:"line"`
	Stream uint32 `json:"stream"` // as the generator numbers it
}

type sendOrder struct {
	Line    uint32        `json:"line"`
	Parcels []load.Parcel `json:"parcels"`
}

type sendAnswer struct {
	Sent int `json:"sent"` // on their way; the others are recorded as blocked
}

// actOrder is the argument of act.
type actOrder struct {
	Device int             `json:"device"` // its place in settings.Devices
	Do     json.RawMessage `json:"do"`
}

// ended is the answer to close.
type ended struct {
	Damaged []uint64           `json:"damaged"` // frames of the devices, in their order
	Counted []devices.Counters `json:"counted"` // likewise
	Hiccup  *load.HiccupReport `json:"hiccup,omitempty"`
	GC      *load.GCReport     `json:"gc,omitempty"`
}
