// Package presence is what the broker of one bridge and those of the others tell each other about who is connected: its types, which
// neither package ingest nor package relay need have from the other.
package presence

import (
	"context"
	"errors"
)

// ErrRefused says that the device's name is another user's.
var ErrRefused = errors.New("presence: the client id is another user's")

// Device is an MQTT client as the other bridges know it.
type Device struct {
	ID     string `json:"id"`
	User   string `json:"user,omitempty"`
	Number uint64 `json:"number"`           // of its connection: rises with each, at whatever bridge
	Will   []byte `json:"will,omitempty"`   // as the broker keeps it; empty = none
	Delay  uint32 `json:"delay,omitempty"`  // of the will, in seconds from the connection's end
	Expiry uint32 `json:"expiry,omitempty"` // in seconds that its session outlives the connection

	State State `json:"-"`
}

// State is how it is with a device.
type State byte

// The states.
const (
	Here State = 'h' // connected, or its will waits for its delay: the will is due if its bridge is gone
	Due  State = 'd' // its will is being sent
	Left State = 'l' // its bridge has ended in order: the will is due if the device comes to no other
	Away State = 'a' // not connected, and its session is kept: there is no will
	Gone State = 'x' // forgotten
)

// Claim is what was found when a device connected.
type Claim struct {
	Number uint64
	Moved  bool   // it was at another bridge since it was here last
	Former Device // what it was there, when Moved
}

// Cluster is the other bridges. Its methods wait for Redis, some seconds at most.
type Cluster interface {
	// Claim makes d this bridge's. With an error there is no Redis at the moment, and it is done when that is back: the number counts all
	// the same. may says whether d may take the place of who has its name; ErrRefused when not.
	Claim(ctx context.Context, d Device, may func(former Device) bool) (Claim, error)
	// Due says that the device's will is to be sent now, and reports whether that is so: not if the device has a newer connection, at whatever bridge.
	Due(ctx context.Context, id string, number uint64) (bool, error)
	// Settle notes another state, soon, or when Redis is back; it does not wait. One of an older connection than the device has by now counts
	// for nothing.
	Settle(id string, number uint64, to State)
	// Again has the other bridges told of all devices once more, for a claim that failed. It does not wait.
	Again()
	// Leave notes for all these devices that the bridge ends in order.
	Leave(ctx context.Context, all []Device)
}

// Broker is this bridge's.
type Broker interface {
	// Devices returns all that have a session here. Those that are connected are Here, the others Away, but for Here while a will waits.
	Devices() []Device
	// Taken says that the device is at another bridge now, with this number: its connection here ends, its session is forgotten. It does
	// not wait.
	Taken(id string, number uint64)
	// Orphan sends the will of a device whose bridge is gone. It returns an error when that has to be tried again.
	Orphan(d Device) error
	// CutMourned ends the connections of devices that have wills: the others took this bridge for gone, and have sent these. So the devices
	// come back and say that they are there. It does not wait.
	CutMourned()
}

// WillProducer names who counts the wills of a device, in the log: by the numbers of its connections.
func WillProducer(id string) string { return "will\x00" + id + "\x00" } // of MQTT clients none has a second NUL
