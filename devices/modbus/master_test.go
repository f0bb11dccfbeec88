package modbus_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/modbus"
	"plumbline/devices/polled"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
)

var room = modbus.Map{
	Unit: 17, Period: 20 * time.Millisecond, Timeout: 5 * time.Second, // none of the answers fails to come
	Registers: []modbus.Register{
		{Name: "temperature", Unit: "Cel", Kind: modbus.Input, Address: 100, Type: "i16", Scale: 0.1},
		{Name: "energy", Unit: "kW.h", Kind: modbus.Input, Address: 101, Type: "u32", Order: modbus.CDAB, Scale: 0.01},
		{Name: "power", Unit: "W", Address: 7, Type: "f32"},
		{Name: "model", Address: 9, Type: "text", Length: 3},
		{Name: "pump", Kind: modbus.Coil, Address: 3},
		{Name: "alarm", Address: 8, Type: "bit", Bit: 14},
	},
}

func roomSlave() *modbus.Slave {
	s := &modbus.Slave{Unit: 17}
	s.Set(modbus.Input, 100, 0xff9c)  // -100 = -10.0 degrees
	s.Set(modbus.Input, 101, 0x4240)  // 1000000 = 0x000f4240, least significant register first
	s.Set(modbus.Input, 102, 0x000f)  //
	s.Set(modbus.Holding, 7, 0x4148)  // 12.5 = 0x41480000
	s.Set(modbus.Holding, 8, 0x0000)  //
	s.Set(modbus.Holding, 9, 0x5858)  // "XX-7"
	s.Set(modbus.Holding, 10, 0x2d37) //
	s.Set(modbus.Holding, 11, 0)
	s.Set(modbus.Coil, 3, 1)
	return s
}

// bench is a slave behind a pty, read by the master over the real serial driver.
type bench struct {
	twin   *ptytwin.Twin
	device *polled.Device
}

// newBench lets hear decide what the twin says to the bytes of a request.
func newBench(tb testing.TB, m modbus.Map, hear func(twin *ptytwin.Twin, p []byte)) bench {
	tb.Helper()
	var twin *ptytwin.Twin
	ready := make(chan struct{})
	twin, err := ptytwin.NewPair(tb.Context(), ptytwin.Options{Unpaced: true, Frames: true, OnReceive: func(p []byte) {
		<-ready
		hear(twin, p)
	}})
	close(ready)
	if errors.Is(err, ptytwin.ErrUnsupported) {
		tb.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := twin.Close(); err != nil {
			tb.Errorf("close twin: %v", err)
		}
	})
	return bench{twin, newMaster(tb, twin, m)}
}

func newMaster(tb testing.TB, twin *ptytwin.Twin, m modbus.Map) *polled.Device {
	tb.Helper()
	line, err := serialline.Open(tb.Context(), serialline.Config{ID: "room", Port: twin.Path(), Baud: 115200, Codec: codec.Chunks{}, Mode: devices.Sim})
	if err != nil {
		tb.Fatal(err)
	}
	master, err := modbus.NewMaster(m)
	if err != nil {
		tb.Fatal(err)
	}
	device, err := polled.New(line, master, m.Options(115200))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = device.Close() })
	return device
}

// say queues answers; a twin that is closed has nobody to say it to.
func say(twin *ptytwin.Twin, answers ...[]byte) {
	for _, a := range answers {
		if len(a) > 0 {
			_, _ = twin.Write(a)
		}
	}
}

func read(tb testing.TB, d devices.Device) devices.Sample {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), devicetest.Patience)
	defer cancel()
	s, err := d.Read(ctx)
	if err != nil {
		tb.Fatalf("read: %v; counters %+v, evidence %+v", err, d.Counters(), d.Damages())
	}
	return s
}

func TestConformsOverAPty(t *testing.T) {
	slave := roomSlave()
	devicetest.Conform(t, devicetest.Subject{Open: func(tb testing.TB) devices.Device {
		tb.Helper()
		return newBench(tb, room, func(twin *ptytwin.Twin, p []byte) { say(twin, slave.Hear(p)) }).device
	}})
}

func TestReadsEveryKindOfRegister(t *testing.T) {
	slave := roomSlave()
	b := newBench(t, room, func(twin *ptytwin.Twin, p []byte) { say(twin, slave.Hear(p)) })
	got := map[string]devices.Value{}
	for range 3 {
		for _, v := range read(t, b.device).Values {
			got[v.Name] = v
		}
	}
	want := map[string]devices.Value{
		"temperature": {Name: "temperature", Unit: "Cel", Number: -10},
		"energy":      {Name: "energy", Unit: "kW.h", Number: 10000},
		"power":       {Name: "power", Unit: "W", Number: 12.5},
		"model":       {Name: "model", Text: "XX-7", IsText: true},
		"pump":        {Name: "pump", Number: 1},
		"alarm":       {Name: "alarm"},
	}
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s is %+v, want %+v", name, got[name], v)
		}
	}
	if slave.Requests() < 3 {
		t.Errorf("%d requests; coils, holding and input registers need one each", slave.Requests())
	}
	if c := b.device.Counters(); c.Rejected() != 0 {
		t.Errorf("%+v %+v", c, b.device.Damages())
	}
}

// TestOrders reads one number in the four orders that makers use.
func TestOrders(t *testing.T) {
	for order, words := range map[modbus.Order][2]uint16{
		modbus.ABCD: {0x4148, 0x0001}, modbus.CDAB: {0x0001, 0x4148}, modbus.BADC: {0x4841, 0x0100}, modbus.DCBA: {0x0100, 0x4841},
	} {
		slave := &modbus.Slave{Unit: 1}
		slave.Set(modbus.Holding, 0, words[0])
		slave.Set(modbus.Holding, 1, words[1])
		master, err := modbus.NewMaster(modbus.Map{Unit: 1, Registers: []modbus.Register{{Name: "x", Type: "u32", Order: order}}})
		if err != nil {
			t.Fatal(err)
		}
		r := master.Round()[0]
		a := master.Answer(r, slave.Hear(r.Bytes), false)
		if a.Verdict != polled.Good || a.Values[0].Number != 0x41480001 {
			t.Errorf("%s: %+v, want %d", order, a, 0x41480001)
		}
	}
}

// TestBroadcastsAreNotAnswered: a write to unit 0 is obeyed, and a unit that
// answers it all the same is a fault.
func TestBroadcastsAreNotAnswered(t *testing.T) {
	m := room
	m.Registers = room.Registers[:1]
	m.Writes = []modbus.Write{{Unit: 0, Address: 40, Value: 7}, {Unit: 17, Kind: modbus.Coil, Address: 3, Value: 0}}
	for name, loud := range map[string]bool{"silent": false, "answered": true} {
		t.Run(name, func(t *testing.T) {
			slave := roomSlave()
			b := newBench(t, m, func(twin *ptytwin.Twin, p []byte) {
				answer := slave.Hear(p)
				if loud && len(p) > 0 && p[0] == 0 {
					answer = append([]byte(nil), p...)
				}
				say(twin, answer)
			})
			read(t, b.device)
			if v, _ := slave.Get(modbus.Holding, 40); v != 7 {
				t.Errorf("the broadcast set register 40 to %d, want 7", v)
			}
			if v, _ := slave.Get(modbus.Coil, 3); v != 0 {
				t.Errorf("the write set coil 3 to %d, want 0", v)
			}
			n, want := b.device.Counters(), uint64(0)
			if loud {
				want = 1
			}
			if n.Damaged != want || n.Control != 1 {
				t.Errorf("%+v, want %d damaged and the echo of one write", n, want)
			}
		})
	}
}

// TestUnplugWhileAsking: the round goes on when the port is back.
func TestUnplugWhileAsking(t *testing.T) {
	slave := roomSlave()
	m := room
	m.Registers, m.Timeout = room.Registers[:1], time.Second
	b := newBench(t, m, func(twin *ptytwin.Twin, p []byte) { say(twin, slave.Hear(p)) })
	read(t, b.device)
	if err := b.twin.Unplug(); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the master to miss an answer", func() bool { return b.device.Counters().Missing > 0 })
	if err := b.twin.Replug(); err != nil {
		t.Fatal(err)
	}
	before := b.device.Counters().Good
	devicetest.Eventually(t, "readings after the replug", func() bool { return b.device.Counters().Good > before+2 })
}

// chatter is a port that never stops sending.
type chatter struct{ closed atomic.Bool }

func (*chatter) Info() devices.Info { return devices.Info{ID: "noise", Kind: "x", Mode: devices.Sim} }
func (c *chatter) Read(ctx context.Context) (devices.Sample, error) {
	if err := ctx.Err(); err != nil {
		return devices.Sample{}, err
	}
	return devices.Sample{Raw: []byte("\x11\x04\xff garbage without end ")}, nil
}
func (*chatter) Write(p []byte) (int, error) { return len(p), nil }
func (c *chatter) Close() error              { c.closed.Store(true); return nil }

func TestAPortThatNeverStops(t *testing.T) {
	m := room
	m.Timeout = 5 * time.Millisecond
	master, err := modbus.NewMaster(m)
	if err != nil {
		t.Fatal(err)
	}
	link := &chatter{}
	d, err := polled.New(link, master, m.Options(9600))
	if err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "three rounds of noise", func() bool { return d.Stats().Asked > 9 })
	if err := d.Close(); err != nil || !link.closed.Load() {
		t.Errorf("close: %v, link closed %v", err, link.closed.Load())
	}
	if n := d.Counters(); n.Good != 0 || n.Damaged == 0 {
		t.Errorf("%+v, want damage alone", n)
	}
	for _, e := range d.Damages() {
		if len(e.Raw) > 512 {
			t.Errorf("evidence of %d bytes", len(e.Raw))
		}
	}
}

func TestMapsAreRefused(t *testing.T) {
	register := func(change func(*modbus.Register)) modbus.Map {
		r := modbus.Register{Name: "x"}
		change(&r)
		return modbus.Map{Unit: 1, Registers: []modbus.Register{r}}
	}
	for _, c := range []struct {
		m         modbus.Map
		key, want string
	}{
		{modbus.Map{}, "unit", "go from 1 to 247"},
		{modbus.Map{Unit: 1}, "registers", "no register"},
		{register(func(r *modbus.Register) { r.Name = "" }), "registers", "needs a name"},
		{register(func(r *modbus.Register) { r.Address = 70000 }), "registers", "40001 in old manuals"},
		{register(func(r *modbus.Register) { r.Address, r.Type = 65535, "u32" }), "registers", "registers 0 to 65535"},
		{register(func(r *modbus.Register) { r.Type = "word" }), "registers", "none of u16"},
		{register(func(r *modbus.Register) { r.Kind = "output" }), "registers", "none of holding"},
		{register(func(r *modbus.Register) { r.Order = "big" }), "registers", "none of abcd"},
		{register(func(r *modbus.Register) { r.Type = "text" }), "registers", "length of 1"},
		{register(func(r *modbus.Register) { r.Bit = 3 }), "registers", "bit 3"},
		{modbus.Map{Unit: 1, Registers: []modbus.Register{{Name: "x"}}, Writes: []modbus.Write{{Value: 70000}}}, "writes", "value 70000"},
		{modbus.Map{Unit: 1, Registers: []modbus.Register{{Name: "x"}, {Name: "x"}}}, "registers", "already"},
	} {
		key, err := c.m.Check()
		if key != c.key || !errors.Is(err, modbus.ErrMap) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %q, %v; want %q, %q", c.m, key, err, c.key, c.want)
		}
		if _, err := modbus.NewMaster(c.m); err == nil {
			t.Errorf("%+v was taken", c.m)
		}
	}
}

// FuzzAnswer lets any bytes answer: nothing panics, and only frames whose CRC
// holds give values.
func FuzzAnswer(f *testing.F) {
	slave := roomSlave()
	master, err := modbus.NewMaster(room)
	if err != nil {
		f.Fatal(err)
	}
	for i, r := range master.Round() {
		f.Add(slave.Hear(r.Bytes), i, false)
		f.Add(modbus.Exception(17, r.Bytes[1], 2), i, true)
	}
	f.Fuzz(func(t *testing.T, p []byte, which int, quiet bool) {
		if len(p) == 0 {
			return
		}
		round := master.Round()
		a := master.Answer(round[uint(which)%uint(len(round))], p, quiet)
		if a.Used < 0 || a.Used > len(p) {
			t.Fatalf("%d bytes used of %d", a.Used, len(p))
		}
		if a.Verdict == polled.Good && modbus.Check(p[:a.Used]) != "" {
			t.Fatalf("% X passed", p[:a.Used])
		}
		(&modbus.Slave{Unit: 17}).Hear(p)
	})
}
