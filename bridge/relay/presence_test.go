package relay

import (
	"context"
	"slices"
	"strings"
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

// TestOlderConnectionIsTold: where Redis, which had lost everything, was told first by the node of the older connection, that node is told when
// the newer one comes, too.
func TestOlderConnectionIsTold(t *testing.T) {
	redis := redistest.New(t)
	a, b := newStaffed(t, options(redis, "a")), newStaffed(t, options(redis, "b"))
	older := presence.Device{ID: "x", Number: a.connects("x").Number, Will: []byte("will"), State: presence.Here}
	newer := b.connects("x").Number
	eventually.Must(t, "a to be told, and Redis that it was", func() bool {
		left, err := redis.Client.SCard(t.Context(), a.keys.taken(a.devices.token())).Result()
		return a.roster.lost("x", newer) && err == nil && left == 0
	})
	a.roster.mu.Lock()
	a.roster.taken = nil
	a.roster.mu.Unlock()
	value, err := a.value(older, a.devices.token())
	if err != nil {
		t.Fatal(err)
	}
	if err := redis.Client.HSet(t.Context(), a.keys.clients(), "x", value).Err(); err != nil {
		t.Fatal(err)
	}
	b.Again()
	eventually.Must(t, "a to be told again", func() bool { return a.roster.lost("x", newer) })
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

// TestClocksWhileOneIsGone: a node has gone and left a device whose session is kept. The others look for it in what is kept of all
// nodes, each second, and watch each other's clocks all the same.
func TestClocksWhileOneIsGone(t *testing.T) {
	redis := redistest.New(t)
	a := newStaffed(t, options(redis, "a"))
	leaveBehind(t, a, redis, presence.Device{ID: "y", Number: 1, Expiry: 3600, State: presence.Away}, "y")
	late := options(redis, "b")
	late.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	newStaffed(t, late)
	eventually.Must(t, "word of b's clock", func() bool { return strings.Contains(strings.Join(a.Alarms(), " "), `clock of node "b" differs`) })
}

// TestKeptBeatIsNoNews: a beat that is read again is not a sign of life.
func TestKeptBeatIsNoNews(t *testing.T) {
	n := newStaffed(t, options(redistest.New(t), "a"))
	said := func(number string) string {
		return signText(n.key, []byte(`{"node":"z","process":"P","number":`+number+`}`))
	}
	heardAt := func() time.Time {
		n.others.mu.Lock()
		defer n.others.mu.Unlock()
		return n.others.nodes["z"].at
	}
	n.hear(said("7"), true)
	first := heardAt()
	n.hear(said("7"), false)
	if got := heardAt(); !got.Equal(first) {
		t.Errorf("a beat that had been heard counts as one of %s later", got.Sub(first))
	}
	n.hear(said("8"), false)
	if got := heardAt(); got.Equal(first) {
		t.Error("a beat that was lost on its way counts for nothing")
	}
}

// TestDeviceUnderAnotherName: who can write to Redis has copied a device's record under another's name. No will is sent under that.
func TestDeviceUnderAnotherName(t *testing.T) {
	redis := redistest.New(t)
	a := newStaffed(t, options(redis, "a"))
	own := presence.Device{ID: "x", Number: 1, Will: []byte("will"), State: presence.Here}
	eventually.Must(t, "a to have told Redis of itself", func() bool { _, told, err := a.devices.place(); return err == nil && told })
	leaveBehind(t, a, redis, own, "victim")
	leaveBehind(t, a, redis, own, "x")
	eventually.Must(t, "a to miss who left it", func() bool {
		a.devices.mu.Lock()
		defer a.devices.mu.Unlock()
		return !a.devices.gone["STRAY"].IsZero()
	})
	a.buries("STRAY")
	a.roster.mu.Lock()
	defer a.roster.mu.Unlock()
	if !slices.Equal(a.roster.orphans, []string{"x"}) {
		t.Errorf("wills of %q were sent, want that of x", a.roster.orphans)
	}
}

// leaveBehind puts a device of a node that is gone into Redis, under a name.
func leaveBehind(t *testing.T, n *node, redis *redistest.Server, d presence.Device, name string) {
	t.Helper()
	value, err := n.value(d, "STRAY")
	if err != nil {
		t.Fatal(err)
	}
	if err := redis.Client.HSet(t.Context(), n.keys.clients(), name, value).Err(); err != nil {
		t.Fatal(err)
	}
	if err := redis.Client.SAdd(t.Context(), n.keys.serving(), "STRAY").Err(); err != nil {
		t.Fatal(err)
	}
}
