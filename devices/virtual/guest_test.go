package virtual_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/guest"
	"plumbline/devices/inventory"
	"plumbline/devices/serialline"
	"plumbline/devices/usbip"
	"plumbline/devices/virtual"
)

// guestPatience is how long a test waits for a guest, of which a busy machine
// makes little.
const guestPatience = 2 * time.Minute

// startGuest boots a guest, keeps its state and goes on from there. It is asked for
// by make guest alone: an emulated PC costs what CI has not got.
func startGuest(t *testing.T) *virtual.Guest {
	t.Helper()
	if os.Getenv("PLUMBLINE_GUEST_CYCLES") == "" {
		t.Skip("tier 3 of the virtual bench is run by: make guest")
	}
	if err := virtual.GuestAvailable(); errors.Is(err, virtual.ErrNoGuest) {
		t.Skipf("tier 3 of the virtual bench is N/A: %v", err)
	}
	ctx := t.Context() // the start has a limit of its own, the test that of its run
	agent := filepath.Join(t.TempDir(), "init")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", agent, "plumbline/devices/guest/cmd/guestinit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, said)
	}
	var took [2]time.Duration
	var g *virtual.Guest
	for i := range took { // the second time from the state that the first one kept, or found
		if g != nil {
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		var err error
		if g, err = virtual.ResumeGuest(ctx, virtual.GuestOptions{Agent: agent}); err != nil {
			t.Fatal(err)
		}
		took[i] = time.Since(begin)
	}
	t.Logf("Linux %s: ready in %v, the second time in %v", g.Kernel(), took[0], took[1])
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return g
}

// await waits for what a guest must do.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(guestPatience); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", guestPatience, what)
		}
	}
}

// bench is one adapter, the device on it and its sensor.
type bench struct {
	t       *testing.T
	g       *virtual.Guest
	adapter *usbip.Adapter
	sensor  *guest.Sensor
	codec   codec.Codec
	hear    func([]byte) // what the host sends; nil = nothing hears it

	mu   sync.Mutex
	path string   // where the guest's driver has it now; "" = nowhere
	seen []string // what the driver said at each unplug
}

func newBench(t *testing.T, g *virtual.Guest, model usbip.Model, serial string) *bench {
	t.Helper()
	b := &bench{t: t, g: g, codec: codec.LineJSON{}}
	var err error
	b.adapter, err = usbip.New(usbip.Options{Model: model, Serial: serial, Product: "Probe", OnReceive: func(p []byte) {
		if b.hear != nil {
			b.hear(p)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) plug(slot int) {
	b.t.Helper()
	if err := b.g.Plug(slot, b.adapter); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) pull() {
	b.t.Helper()
	if err := b.g.Unplug(b.adapter); err != nil {
		b.t.Fatal(err)
	}
}

// open opens the port once the guest's kernel has it.
func (b *bench) open(p guest.Port) {
	b.t.Helper()
	p.Select = b.adapter.Select()
	var err error
	await(b.t, p.Select+" to be there", func() bool {
		b.sensor, err = guest.Open(b.t.Context(), b.g.Dial, guest.Config{ID: p.Select, Port: p, Codec: b.codec, OnState: func(path, seen string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.path = path; path == "" {
				b.seen = append(b.seen, seen)
			}
		}})
		return err == nil || !strings.Contains(err.Error(), "no such")
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.sensor.Close() })
}

func (b *bench) where() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.path
}

// say lets the device say a line and returns what comes of it.
func (b *bench) say(n int) devices.Sample {
	b.t.Helper()
	if _, err := b.adapter.Write(fmt.Appendf(nil, `{"id":%q,"n":%d}`+"\n", b.adapter.Select(), n)); err != nil {
		b.t.Fatal(err)
	}
	return b.read()
}

func (b *bench) read() devices.Sample {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), guestPatience)
	defer cancel()
	s, err := b.sensor.Read(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// isFrom checks that a sample is line n of this device.
func (b *bench) isFrom(s devices.Sample, n int) {
	b.t.Helper()
	if want := fmt.Sprintf(`{"id":%q,"n":%d}`, b.adapter.Select(), n); string(s.Raw) != want {
		b.t.Errorf("got %q, want %q", s.Raw, want)
	}
}

func (b *bench) control(c guest.Control) guest.Report {
	b.t.Helper()
	r, err := b.sensor.Control(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// TestGuest is the third tier as one run, for what it costs is the boot: real
// drivers of a real kernel, and cables that are pulled.
func TestGuest(t *testing.T) {
	g := startGuest(t)
	first, second := newBench(t, g, usbip.FTDI, "SN-A"), newBench(t, g, usbip.FTDI, "SN-B")
	board := newBench(t, g, usbip.ACM, "SN-C")
	first.plug(0)
	second.plug(1)
	board.plug(2)
	first.open(guest.Port{Baud: 57600, Parity: serialline.EvenParity})
	second.open(guest.Port{Baud: 115200})
	board.open(guest.Port{Baud: 19200, DataBits: 7, StopBits: 2})
	guestIdentity(t, g, first, second, board)
	guestSettings(t, first, board)
	guestErrors(t, first)
	guestLatency(t, first, board)
	guestReplug(t, first, second)
	guestFirmware(t, g)
	guestTwins(t, g)
}

func guestIdentity(t *testing.T, g *virtual.Guest, benches ...*bench) {
	t.Helper()
	status, err := guest.Ask(t.Context(), g.Dial)
	if err != nil {
		t.Fatal(err)
	}
	drivers := map[string]string{}
	for _, p := range status.Ports {
		drivers[p.Select] = p.Driver
	}
	for i, want := range []string{"ftdi_sio", "ftdi_sio", "cdc_acm"} {
		b := benches[i]
		if got := drivers[b.adapter.Select()]; got != want {
			t.Errorf("%s is driven by %q, want %q; ports %+v", b.adapter.Select(), got, want, status.Ports)
		}
		b.isFrom(b.say(i), i)
		if info := b.sensor.Info(); info.Tier != devices.KernelTier || info.Time != devices.Live {
			t.Errorf("evidence says tier %d, time %q", info.Tier, info.Time)
		}
	}
}

func guestSettings(t *testing.T, ftdi, acm *bench) {
	t.Helper()
	if s := ftdi.adapter.Settings(); s.Baud < 57553 || s.Baud > 57554 || s.Parity != "even" || s.DataBits != 8 || !s.DTR || !s.RTS {
		t.Errorf("the FT232R was told %+v, want 57553.96 baud 8E1", s)
	}
	if s := acm.adapter.Settings(); s.Baud != 19200 || s.DataBits != 7 || s.StopBits != 2 || s.Parity != "none" {
		t.Errorf("the board was told %+v, want 19200 baud 7N2", s)
	}
	for _, b := range []*bench{ftdi, acm} {
		off, on := false, true
		r := b.control(guest.Control{DTR: &off, RTS: &off, BreakMS: 20})
		if s := b.adapter.Settings(); s.DTR || s.RTS || s.Breaks != 1 || s.Break {
			t.Errorf("%s: after DTR and RTS off and a break: %+v", b.adapter.Select(), s)
		}
		if !r.Modem.DCD || !r.Modem.DSR {
			t.Errorf("%s: modem lines %+v", b.adapter.Select(), r.Modem)
		}
		b.adapter.SetModem(usbip.Modem{RI: true})
		// cdc_acm says CTS of every device, for its protocol has no such line.
		want := serialline.Modem{RI: true, CTS: b == acm}
		await(t, "the modem lines to change", func() bool { return b.control(guest.Control{}).Modem == want })
		b.control(guest.Control{DTR: &on, Baud: 9600})
		if s := b.adapter.Settings(); !s.DTR || s.RTS || s.Baud < 9590 || s.Baud > 9610 {
			t.Errorf("%s: after DTR on and 9600 baud: %+v", b.adapter.Select(), s)
		}
	}
}

// guestErrors: with parity checking on, the kernel gives every byte of a damaged
// packet to the program as NUL.
func guestErrors(t *testing.T, b *bench) {
	t.Helper()
	before := b.control(guest.Control{}).Errors
	const damaged = 10
	for n := range damaged {
		b.isFrom(b.say(100+n), 100+n)
		if err := b.adapter.WriteDamaged([]byte("{\"id\":\"struck\"}\n"), usbip.Parity); err != nil {
			t.Fatal(err)
		}
		b.isFrom(b.say(200+n), 200+n)
	}
	c := b.sensor.Counters()
	if c.Damaged != damaged || c.Partial != 0 || c.Unchecked != 0 {
		t.Errorf("counters %+v, want %d damaged frames", c, damaged)
	}
	if d := b.sensor.Damages(); len(d) == 0 || strings.Trim(string(d[0].Raw), "\x00") != "" || len(d[0].Raw) != 16 {
		t.Errorf("damages %+v, want 16 NUL bytes each", d)
	}
	if err := b.adapter.WriteDamaged([]byte("\n"), usbip.Framing|usbip.Overrun); err != nil {
		t.Fatal(err)
	}
	await(t, "the kernel to count the errors", func() bool {
		return b.control(guest.Control{}).Errors.Since(before) == serialline.LineErrors{Parity: damaged, Frame: 1, Overrun: 1}
	})
}

// guestLatency tells how long a line of 64 bytes takes; it judges nothing, for
// that is the machine's.
func guestLatency(t *testing.T, benches ...*bench) {
	t.Helper()
	for _, b := range benches {
		b.say(0) // what the errors left
		var took []time.Duration
		line := fmt.Appendf(nil, `{"id":"x","pad":%q}`+"\n", strings.Repeat("x", 64-len(`{"id":"x","pad":""}`)-1))
		for range 50 {
			begin := time.Now()
			if _, err := b.adapter.Write(line); err != nil {
				t.Fatal(err)
			}
			b.read()
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		t.Logf("%s: line of %d bytes: p50 %v, p99 %v", b.adapter.Select(), len(line), took[len(took)/2], took[len(took)*99/100])
	}
}

// cycles is how many times the cables are pulled.
func cycles(t *testing.T) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(os.Getenv("PLUMBLINE_GUEST_CYCLES"), &n); err != nil || n < 1 {
		t.Fatalf("PLUMBLINE_GUEST_CYCLES: it is a number of cycles")
	}
	return n
}

// guestReplug pulls both adapters out and puts them back in the other order: the
// names swap, and each sensor must find its own device again.
func guestReplug(t *testing.T, a, b *bench) {
	t.Helper()
	n, swaps := cycles(t), 0
	var took []time.Duration
	for cycle := range n {
		before := a.where()
		a.pull()
		b.pull()
		await(t, "both ports to be lost", func() bool { return a.where() == "" && b.where() == "" })
		await(t, "the kernel to forget them", func() bool {
			status, err := guest.Ask(t.Context(), a.g.Dial)
			return err == nil && !slices.ContainsFunc(status.Ports, func(p inventory.Port) bool { return p.Driver == "ftdi_sio" })
		})
		order := []*bench{b, a}
		if cycle%2 == 1 {
			order = []*bench{a, b}
		}
		for slot, x := range order { // the kernel numbers them in the order in which they come
			begin := time.Now()
			x.plug(slot)
			await(t, "the port to be back", func() bool { return x.where() != "" })
			took = append(took, time.Since(begin))
		}
		if a.where() != before {
			swaps++
		}
		a.isFrom(a.say(1000+cycle), 1000+cycle)
		b.isFrom(b.say(1000+cycle), 1000+cycle)
	}
	slices.Sort(took)
	t.Logf("%d cycles, %d with names swapped, back after p50 %v, at most %v; the driver saw %q", n, swaps, took[n], took[2*n-1], a.seen[0])
	if swaps == 0 { // a number that the kernel frees late is not given out again, so not each cycle must swap
		t.Error("no name swapped: nothing was proven")
	}
	for _, x := range []*bench{a, b} {
		if s := x.adapter.Stats(); s.Plugs != uint64(n)+1 || len(x.seen) != n {
			t.Errorf("%s: %+v and %d unplugs seen; want %d pluggings", x.adapter.Select(), s, len(x.seen), n+1)
		}
		if r := x.control(guest.Control{}).Stats; r.Unplugs != uint64(n) || r.Replugs != uint64(n) {
			t.Errorf("%s: the driver counts %+v, want %d of each", x.adapter.Select(), r, n)
		}
	}
}

func TestAGuestHasSoManySockets(t *testing.T) {
	a, err := usbip.New(usbip.Options{Model: usbip.FTDI, Serial: "SN"})
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range []int{-1, virtual.GuestSockets} { // the kernel counts round
		if err := (&virtual.Guest{}).Plug(slot, a); err == nil || !strings.Contains(err.Error(), "between 0 and 14") {
			t.Errorf("socket %d: %v", slot, err)
		}
	}
}

func TestAMissingGuestSaysHowToGetIt(t *testing.T) {
	t.Setenv("PLUMBLINE_GUEST", t.TempDir())
	_, err := virtual.StartGuest(t.Context(), virtual.GuestOptions{Agent: "none"})
	if !errors.Is(err, virtual.ErrNoGuest) || !strings.Contains(err.Error(), "make deps-guest") {
		t.Errorf("without a kernel: %v, want ErrNoGuest and how to get it", err)
	}
	t.Setenv("PATH", "")
	if err := virtual.GuestAvailable(); !errors.Is(err, virtual.ErrNoGuest) || !strings.Contains(err.Error(), virtual.GuestEmulator) {
		t.Errorf("without an emulator: %v", err)
	}
}
