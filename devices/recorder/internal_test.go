package recorder

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/anonymise"
	"plumbline/devices/codec"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
	"plumbline/devices/simulated"
)

// changing is a port whose modem lines and counts are set by the test.
type changing struct {
	mu     sync.Mutex
	modem  serialline.Modem
	counts serialline.LineErrors
	fault  error
}

func (c *changing) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *changing) Modem() (serialline.Modem, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.modem, c.fault
}

func (c *changing) LineErrors() (serialline.LineErrors, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts, c.fault
}

func TestLinesAndErrorsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.rec")
	at := time.Duration(0)
	k, err := newKeeper(Options{Path: path}, replay.Header{}, nil, func() time.Duration { at += time.Millisecond; return at })
	if err != nil {
		t.Fatal(err)
	}
	port := &changing{counts: serialline.LineErrors{Parity: 7}}
	w := watcher{port: port, k: k, modem: true, errors: true}
	w.look() // the state at the beginning
	w.look() // nothing new
	port.set(func() { port.modem.CTS, port.counts.Parity, port.counts.Break = true, 9, 1 })
	w.look()
	port.set(func() { port.fault = devices.ErrUnplugged })
	w.look()
	port.set(func() { port.fault, port.counts = nil, serialline.LineErrors{} }) // a new port counts from 0
	w.look()
	port.set(func() { port.fault = errors.Join(serialline.ErrNoModem, serialline.ErrNoCounts) })
	if w.look(); w.modem || w.errors {
		t.Error("a port without lines and counts is asked on")
	}
	if _, err := k.close("enough"); err != nil {
		t.Fatal(err)
	}
	rec, err := replay.Load(path, replay.LoadOptions{})
	if err != nil || len(rec.Events) != 3 {
		t.Fatalf("%+v, %v", rec, err)
	}
	e := rec.Events
	if e[0].Modem == nil || *e[0].Modem != (replay.Modem{}) || e[1].Modem == nil || !e[1].Modem.CTS || *e[2].Errors != (replay.LineErrors{Parity: 2, Break: 1}) {
		t.Errorf("%+v", e)
	}
}

func TestWhatTheDiskDoesNotTakeIsCounted(t *testing.T) {
	k := &keeper{ended: make(chan struct{}), wake: make(chan struct{}, 1), clock: func() time.Duration { return 0 }}
	for range maxPieces + 5 {
		k.bytes(0, []byte("x"))
	}
	if len(k.queue) != maxPieces || k.lost != 5 {
		t.Fatalf("%d pieces wait, %d are lost", len(k.queue), k.lost)
	}
	k.queue = nil
	k.size = 0
	k.bytes(time.Second, []byte("y"))
	if len(k.queue) != 2 || k.queue[0].event == nil || k.queue[0].event.Lost != 5 || string(k.queue[1].raw) != "y" || k.sum.Lost != 5 {
		t.Errorf("%+v", k.queue)
	}
	k.bytes(0, bytes.Repeat([]byte("z"), maxBytes))
	if k.lost != 1 {
		t.Errorf("more than the bound waits: %d", k.size)
	}
}

// TestHiddenStreamsKeepTheirShape anonymises what twins say, good and damaged, in
// pieces of any size: pieces, frames and faults are as many and as long as before.
func TestHiddenStreamsKeepTheirShape(t *testing.T) {
	for _, c := range codec.All() {
		if anonymise.Check(c) != nil || codec.Whole(c) {
			continue
		}
		t.Run(c.Name(), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			twin, say, err := simulated.Speak(c, "node-7A8B", 3, simulated.Options{}, func() time.Time { return time.Unix(1_700_000_000, 0) })
			if err != nil {
				t.Fatal(err)
			}
			stream := []byte("garbage 1234 \x00\xff")
			for seq := uint64(1); seq <= 60; seq++ {
				p := say(twin.Sample(seq, time.Duration(seq)*time.Second))
				if seq%5 == 0 {
					p[len(p)/2] ^= 4
				}
				stream = append(stream, p...)
			}
			h, err := newHider(anonymise.NewKey(), c, &replay.Header{})
			if err != nil {
				t.Fatal(err)
			}
			var before, after []piece
			for rest := stream; len(rest) > 0; {
				n := min(1+rng.IntN(40), len(rest))
				p := piece{at: time.Duration(len(before)), raw: bytes.Clone(rest[:n])}
				before, rest = append(before, p), rest[n:]
				after = append(after, h.take(p)...)
			}
			after = append(after, h.rest()...)
			if len(before) != len(after) {
				t.Fatalf("%d pieces became %d", len(before), len(after))
			}
			var was, is []byte
			for i := range before {
				if before[i].at != after[i].at || len(before[i].raw) != len(after[i].raw) {
					t.Fatalf("piece %d became another: %+v, %+v", i, before[i], after[i])
				}
				was, is = append(was, before[i].raw...), append(is, after[i].raw...)
			}
			g1, b1 := judged(c, was)
			g2, b2 := judged(c, is)
			if g1 != g2 || b1 != b2 || g1 == 0 || b1 == 0 {
				t.Errorf("%d good and %d bad frames became %d and %d", g1, b1, g2, b2)
			}
		})
	}
}

// TestASentenceThatStandsTwiceIsHiddenTwice: its line end was lost on the way.
func TestASentenceThatStandsTwiceIsHiddenTwice(t *testing.T) {
	one := bytes.TrimSpace(codec.AppendNMEA(nil, "GPGLL,5230.12345,N,01322.54321,E,120000,A,A"))
	for name, stream := range map[string][]byte{
		"without a line end": append(append(append([]byte{}, one...), one...), "\r\n"...),
		"after zeros":        append(append([]byte{0, 0}, one...), "\r\n"...),
	} {
		h, err := newHider(anonymise.NewKey(), codec.NMEA0183{}, &replay.Header{})
		if err != nil {
			t.Fatal(err)
		}
		var out []byte
		for _, p := range append(h.take(piece{raw: bytes.Clone(stream)}), h.rest()...) {
			out = append(out, p.raw...)
		}
		if len(out) != len(stream) || bytes.Contains(out, []byte("5230.12345")) || bytes.Contains(out, []byte("01322.54321")) {
			t.Errorf("%s: %q became %q", name, stream, out)
		}
	}
}

func judged(c codec.Codec, p []byte) (good, bad int) {
	decoder := codec.NewDecoder(c)
	c.NewFramer().Push(0, p, func(f codec.Frame) {
		if _, err := decoder.Decode(f.Raw); err == nil && f.Fault == "" {
			good++
		} else {
			bad++
		}
	})
	return good, bad
}
