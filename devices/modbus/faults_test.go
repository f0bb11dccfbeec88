package modbus_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plumbline/devices"
	"plumbline/devices/modbus"
	"plumbline/devices/polled"
)

// wire is a line to a twin without a port: what hear returns comes back after
// its delay, in the time of the test's bubble.
type wire struct {
	hear func(request []byte) []said
	came chan []byte
	gone chan struct{}
}

// said is what a twin says and when.
type said struct {
	after time.Duration
	bytes []byte
}

func (w *wire) Info() devices.Info { return devices.Info{ID: "room", Kind: "wire", Mode: devices.Sim} }

func (w *wire) Read(ctx context.Context) (devices.Sample, error) {
	select {
	case <-ctx.Done():
		return devices.Sample{}, ctx.Err()
	case p := <-w.came:
		return devices.Sample{Raw: p}, nil
	}
}

func (w *wire) Write(p []byte) (int, error) {
	for _, s := range w.hear(append([]byte(nil), p...)) {
		go func() {
			timer := time.NewTimer(s.after)
			defer timer.Stop()
			select {
			case <-w.gone:
			case <-timer.C:
				select {
				case <-w.gone:
				case w.came <- s.bytes:
				}
			}
		}()
	}
	return len(p), nil
}

func (w *wire) Close() error {
	close(w.gone)
	return nil
}

// TestWhatLinesDo counts each fault of a unit exactly. The faulty answer is to
// the third request; the others are answered as they should, after 20 ms.
func TestWhatLinesDo(t *testing.T) {
	const usual = 20 * time.Millisecond
	small := modbus.Map{Unit: 17, Period: 10 * time.Millisecond, Timeout: 250 * time.Millisecond, Registers: room.Registers[:1]}
	flipped := func(a []byte, i int, bit byte) []said {
		a[i] ^= bit
		return []said{{usual, a}}
	}
	for _, c := range []struct {
		name                      string
		answers                   func(answer []byte) []said
		retries                   int
		damaged, missing, foreign uint64
		reason                    string
	}{
		{name: "twice", answers: func(a []byte) []said { return []said{{usual, a}, {usual + time.Millisecond, a}} }, damaged: 1, reason: "or a second one"},
		{name: "in two pieces", answers: func(a []byte) []said { return []said{{usual, a[:3]}, {2 * usual, a[3:]}} }},
		{name: "another unit first", answers: func(a []byte) []said {
			other := &modbus.Slave{Unit: 18}
			other.Set(modbus.Input, 100, 5)
			master, _ := modbus.NewMaster(modbus.Map{Unit: 18, Registers: small.Registers})
			return []said{{time.Millisecond, other.Hear(master.Round()[0].Bytes)}, {usual, a}}
		}, damaged: 1, foreign: 1, reason: "an answer of unit 18, asked was unit 17"},
		{name: "the answer to another request", answers: func(a []byte) []said {
			longer := small
			longer.Registers = room.Registers[:2]
			master, _ := modbus.NewMaster(longer)
			return []said{{time.Millisecond, roomSlave().Hear(master.Round()[0].Bytes)}, {usual, a}}
		}, damaged: 1, foreign: 1, reason: "it belongs to another request"},
		{name: "a bit flipped", answers: func(a []byte) []said { return flipped(a, 4, 1) }, damaged: 1, reason: "CRC"},
		{name: "its length flipped", answers: func(a []byte) []said { return flipped(a, 2, 0x40) }, damaged: 1, reason: "cut after 7 bytes"},
		{name: "its length shortened", answers: func(a []byte) []said { return flipped(a, 2, 2) }, damaged: 1, reason: "CRC"},
		{name: "cut", answers: func(a []byte) []said { return []said{{usual, a[:4]}} }, damaged: 1, reason: "cut after 4 bytes"},
		{name: "silent", answers: func([]byte) []said { return nil }, missing: 1, reason: "no answer within 250ms"},
		{name: "silent once, asked again", answers: func([]byte) []said { return nil }, retries: 1},
		{name: "exception", answers: func([]byte) []said { return []said{{usual, modbus.Exception(17, 4, 2)}} }, missing: 1, reason: "illegal data address"},
		{name: "noise", answers: func([]byte) []said { return []said{{usual, []byte{0x00, 0x42, 0x99}}} }, damaged: 1, reason: "function 66 was not asked for"},
		{name: "late", answers: func(a []byte) []said { return []said{{350 * time.Millisecond, a}} }, damaged: 1, missing: 1, reason: "an answer that is late"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slave, asked := roomSlave(), 0
				w := &wire{came: make(chan []byte), gone: make(chan struct{}), hear: func(p []byte) []said {
					answer := slave.Hear(p)
					if asked++; asked == 3 {
						return c.answers(answer)
					}
					return []said{{usual, answer}}
				}}
				m := small
				m.Retries = c.retries
				master, err := modbus.NewMaster(m)
				if err != nil {
					t.Fatal(err)
				}
				d, err := polled.New(w, master, m.Options(9600))
				if err != nil {
					t.Fatal(err)
				}
				for range 6 {
					if s := read(t, d); s.Values[0].Number != -10 {
						t.Fatalf("a wrong reading was published: %+v", s)
					}
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				n := d.Counters()
				if n.Damaged != c.damaged || n.Missing != c.missing || d.Stats().Foreign != c.foreign {
					t.Errorf("%+v %+v, want %d damaged, %d missing, %d foreign", n, d.Stats(), c.damaged, c.missing, c.foreign)
				}
				var reasons []string
				for _, e := range d.Damages() {
					reasons = append(reasons, e.Reason)
				}
				if all := strings.Join(reasons, "\n"); !strings.Contains(all, c.reason) || uint64(len(reasons)) != c.damaged+c.missing {
					t.Errorf("evidence says\n%s\nwant %q", all, c.reason)
				}
			})
		})
	}
}
