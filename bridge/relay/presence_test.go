package relay

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/presence"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// roster is who is connected at a node, without a broker; package bridge has the tests with brokers.
type roster struct {
	mu      sync.Mutex
	here    []presence.Device
	taken   map[string]uint64
	orphans []string
}

func (r *roster) Devices() []presence.Device {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.here)
}

func (r *roster) Taken(id string, number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken == nil {
		r.taken = map[string]uint64{}
	}
	r.taken[id] = number
	r.here = slices.DeleteFunc(r.here, func(d presence.Device) bool { return d.ID == id && d.Number < number })
}

func (r *roster) Orphan(d presence.Device) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.orphans = append(r.orphans, d.ID)
	return nil
}

func (r *roster) CutMourned() {}

func anybody(presence.Device) bool { return true }

// connects claims a device for a node.
func (n *node) connects(id string) presence.Claim {
	n.tb.Helper()
	d := presence.Device{ID: id, Will: []byte("will"), State: presence.Here}
	var got presence.Claim
	eventually.Must(n.tb, "Redis to take "+id, func() (ok bool) {
		var err error
		got, err = n.Claim(context.Background(), d, anybody)
		return err == nil
	})
	d.Number = got.Number
	n.roster.mu.Lock()
	defer n.roster.mu.Unlock()
	n.roster.here = append(n.roster.here, d)
	return got
}

func (r *roster) lost(id string, to uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken[id] == to
}

func newStaffed(t *testing.T, o Options) *node {
	t.Helper()
	n := &node{tb: t, dir: t.TempDir(), opts: o, roster: &roster{}}
	n.start()
	t.Cleanup(n.end)
	return n
}

// TestDeviceHasOneNode: who claims a device last has it, the one before is told, and only who has it may send its will. When Redis has lost
// everything and both tell it of what they have, the newer connection counts.
func TestDeviceHasOneNode(t *testing.T) {
	redis := redistest.New(t)
	a, b := newStaffed(t, options(redis, "a")), newStaffed(t, options(redis, "b"))
	first := a.connects("x")
	if first.Moved {
		t.Error("it was nowhere before")
	}
	due := func(n *node, number uint64) bool {
		t.Helper()
		ok, err := false, error(nil)
		eventually.Must(t, "an answer", func() bool { ok, err = n.Due(t.Context(), "x", number); return err == nil })
		return ok
	}
	second := b.connects("x")
	if !second.Moved || second.Former.Number != first.Number || string(second.Former.Will) != "will" || second.Number <= first.Number {
		t.Errorf("%+v, want it to have been at a with %d", second, first.Number)
	}
	eventually.Must(t, "a to be told", func() bool { return a.roster.lost("x", second.Number) })
	if due(a, first.Number) || !due(b, second.Number) {
		t.Error("its will is b's to send, and not a's")
	}
	a.roster.mu.Lock()
	a.roster.taken, a.roster.here = nil, []presence.Device{{ID: "x", Number: first.Number, Will: []byte("will"), State: presence.Here}} // as if it had not heard
	a.roster.mu.Unlock()
	redis.Client.FlushAll(t.Context())
	eventually.Must(t, "a to be told again", func() bool { return a.roster.lost("x", second.Number) })
	if !due(b, second.Number) {
		t.Error("b has it no more")
	}
	if _, err := a.Claim(t.Context(), presence.Device{ID: "x"}, func(presence.Device) bool { return false }); err == nil {
		t.Error("a device that may not be taken was taken")
	}
}

// TestNumberIsAboveTheLastWill: a will is known again by its connection's number, so a new connection never gets one below, whatever the clock
// says and Redis has lost.
func TestNumberIsAboveTheLastWill(t *testing.T) {
	a := newStaffed(t, options(redistest.New(t), "a"))
	far := uint64(time.Now().Add(time.Hour).UnixMicro())
	if _, _, err := a.Log().Append(t.Context(), journal.Message{Topic: "w", Producer: presence.WillProducer("x"), ProducerSeq: far}); err != nil {
		t.Fatal(err)
	}
	if got := a.connects("x"); got.Number <= far {
		t.Errorf("number %d, want one above %d", got.Number, far)
	}
}

// buries has a node do what is due with the devices of another that is gone, without waiting for it to count as gone.
func (n *node) buries(token string) {
	n.tb.Helper()
	at, _, err := n.devices.place()
	if err != nil {
		n.tb.Fatal(err)
	}
	n.devices.mu.Lock()
	n.devices.gone[token] = time.Now()
	n.devices.mu.Unlock()
	if err := n.cleanOf(context.Background(), spot{at.run, at.name, token}, n.roster); err != nil {
		n.tb.Fatal(err)
	}
}
