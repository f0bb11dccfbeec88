package codec_test

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
)

// verdict is what a driver makes of a stream.
type verdict struct {
	samples  []devices.Sample
	counters devices.Counters
	damages  []devices.Damage
}

// judge runs a stream through framer, decoder and intake as drivers do, step
// bytes a read. The end of the stream is no cut: what Rest holds is judged, too.
func judge(tb testing.TB, c codec.Codec, data []byte, step int) verdict {
	tb.Helper()
	in := intake.New(c, intake.Options{Queue: 1 << 20, Damages: 1 << 16})
	framer := c.NewFramer()
	accept := func(f codec.Frame) { in.Accept(f, "") }
	at := time.Duration(0)
	for rest := data; len(rest) > 0; at += time.Millisecond {
		n := min(step, len(rest))
		framer.Push(at, rest[:n], accept)
		rest = rest[n:]
	}
	if f, held := framer.Rest(); held {
		reason := f.Fault
		f.Fault = ""
		in.AcceptOrCut(f, reason)
	}
	in.End(io.EOF)
	v := verdict{counters: in.Counters(), damages: in.Damages()}
	for {
		s, err := in.Read(context.Background())
		if errors.Is(err, io.EOF) {
			return v
		}
		if err != nil {
			tb.Fatal(err)
		}
		v.samples = append(v.samples, s)
	}
}

// checkStream is what holds for any bytes through any codec: the same however
// they are cut, offsets that rise, values that are whole, bounded evidence.
func checkStream(tb testing.TB, c codec.Codec, data []byte, step int) {
	tb.Helper()
	whole, pieces := judge(tb, c, data, len(data)+1), judge(tb, c, data, step)
	if !codec.Whole(c) && whole.counters != pieces.counters {
		tb.Fatalf("%s: %+v at once, %+v in steps of %d", c.Name(), whole.counters, pieces.counters, step)
	}
	if pieces.counters.Bytes > uint64(len(data)) {
		tb.Fatalf("%s: %d bytes counted of %d", c.Name(), pieces.counters.Bytes, len(data))
	}
	last := int64(-1)
	for _, d := range pieces.damages {
		if d.Offset < last || d.Offset > int64(len(data)) || d.Reason == "" {
			tb.Fatalf("%s: evidence at %d after %d, %q", c.Name(), d.Offset, last, d.Reason)
		}
		last = d.Offset
	}
	for _, s := range pieces.samples {
		if s.First > s.Last {
			tb.Fatalf("%s: a sample from %v to %v", c.Name(), s.First, s.Last)
		}
		for _, v := range s.Values {
			if v.Name == "" || !v.IsText && (math.IsNaN(v.Number) || math.IsInf(v.Number, 0)) {
				tb.Fatalf("%s: value %+v", c.Name(), v)
			}
		}
	}
}

// TestGarbageIsBoundedAndSurvived: each codec takes a megabyte of noise, after
// which the frames that its twin sends are read again.
func TestGarbageIsBoundedAndSurvived(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for _, s := range speakers() {
		t.Run(s.codec.Name(), func(t *testing.T) {
			stream := append([]byte(nil), noise...)
			const frames = 16
			for i := range frames {
				stream = append(stream, s.frame(i)...)
			}
			v := judge(t, s.codec, stream, 4096)
			// The first frames may hang together with the end of the noise, and a
			// table's first header with it.
			if len(v.samples) < frames-4 {
				t.Fatalf("%d of %d frames read after the noise; %+v", len(v.samples), frames, v.counters)
			}
			if v.counters.Rejected() == 0 {
				t.Error("a megabyte of noise has left no evidence")
			}
			for _, d := range v.damages {
				if len(d.Raw) > 512 {
					t.Fatalf("evidence of %d bytes", len(d.Raw))
				}
			}
		})
	}
}

// TestEachDamagedFrameCountsOnce flips one bit, leaves a byte out or sends one
// twice in every third frame of binary protocols.
func TestEachDamagedFrameCountsOnce(t *testing.T) {
	for _, s := range speakers() {
		if !s.binary {
			continue
		}
		for name, damage := range map[string]func(r *rand.Rand, p []byte) []byte{
			"flipped": func(r *rand.Rand, p []byte) []byte {
				p[r.IntN(len(p))] ^= 1 << r.IntN(8)
				return p
			},
			"missing": func(r *rand.Rand, p []byte) []byte {
				i := r.IntN(len(p))
				return append(p[:i:i], p[i+1:]...)
			},
			"doubled": func(r *rand.Rand, p []byte) []byte {
				i := 2 + r.IntN(len(p)-4) // a byte doubled at an end may leave the frame whole
				return append(p[:i:i], p[i-1:]...)
			},
		} {
			t.Run(s.codec.Name()+"/"+name, func(t *testing.T) {
				random := rand.New(rand.NewPCG(3, 4))
				var stream []byte
				const frames = 300
				hit := uint64(0)
				for i := range frames {
					frame := s.frame(i)
					if i%3 == 1 {
						damaged := damage(random, append([]byte(nil), frame...))
						stream = append(stream, damaged...)
						hit++
						continue
					}
					stream = append(stream, frame...)
				}
				v := judge(t, s.codec, stream, 7)
				if v.counters.Good != frames-hit || v.counters.Damaged != hit {
					t.Errorf("%d frames of which %d damaged: %+v", frames, hit, v.counters)
				}
				for _, d := range v.damages {
					if string(d.Raw) != string(stream[d.Offset:d.Offset+int64(len(d.Raw))]) {
						t.Fatalf("the evidence at %d is not what stands there", d.Offset)
					}
				}
			})
		}
	}
}

// speaker is a codec and what a device that speaks it sends.
type speaker struct {
	codec  codec.Codec
	frame  func(i int) []byte
	binary bool // frames of one length, so that damage can be counted exactly
}

func speakers() []speaker {
	climate := func(i int) []devices.Value {
		return []devices.Value{{Name: "temperature", Unit: "Cel", Number: 20 + float64(i%50)/10}, {Name: "humidity", Unit: "%", Number: 40 + float64(i%9)}}
	}
	dust := func(i int) []devices.Value {
		return []devices.Value{{Name: "pm1", Number: float64(i % 90)}, {Name: "pm25", Number: float64(i % 100)}, {Name: "temperature", Number: -3.5}}
	}
	tsv := codec.Table{Delimiter: '\t'}
	checked := codec.Table{Label: "csv+crc16", Check: codec.CRC16CCITT}
	table := func(c codec.Table) func(i int) []byte {
		return func(i int) []byte {
			if i%4 == 0 {
				return c.AppendRow(c.AppendHeader(nil, climate(i)), climate(i))
			}
			return c.AppendRow(nil, climate(i))
		}
	}
	stuffed := func(s codec.Stuffing, sum codec.Sum) speaker {
		c := codec.Stuffed{Stuffing: s, Check: sum}
		return speaker{codec: c, frame: func(i int) []byte { return c.Append(nil, codec.AppendSenML(nil, true, "n", climate(i))) }}
	}
	return []speaker{
		{codec: codec.NMEA0183{}, frame: func(i int) []byte { return codec.AppendNMEA(nil, "GPHDT,"+string(rune('0'+i%10))+".0,T") }},
		{codec: codec.LineJSON{CRC: true}, frame: func(i int) []byte { return codec.AppendLineJSON(nil, "n", uint64(i), climate(i)) }},
		{codec: codec.Table{}, frame: table(codec.Table{})},
		{codec: tsv, frame: table(tsv)},
		{codec: checked, frame: table(checked)},
		{codec: codec.Pairs{}, frame: func(i int) []byte { return codec.Pairs{}.Append(nil, climate(i)) }},
		{codec: codec.P1{}, frame: func(i int) []byte {
			return codec.AppendP1(nil, `TWN5\1`, []codec.Object{{"1-0:1.7.0", "00.378*kW"}, {"0-0:1.0.0", "190324150519W"}})
		}},
		{codec: codec.SDS011{}, binary: true, frame: func(i int) []byte { return codec.AppendSDS011(nil, float64(i%100), float64(i%130)/2, 0xa1b2) }},
		{codec: codec.PMS5003, binary: true, frame: func(i int) []byte { return codec.PMS5003.Append(nil, dust(i)) }},
		{codec: codec.PMS5003T, binary: true, frame: func(i int) []byte { return codec.PMS5003T.Append(nil, dust(i)) }},
		{codec: codec.PMS3003, binary: true, frame: func(i int) []byte { return codec.PMS3003.Append(nil, dust(i)) }},
		stuffed(codec.COBS, codec.CRC16CCITT), stuffed(codec.COBS, codec.CRC32),
		stuffed(codec.SLIP, codec.CRC16CCITT), stuffed(codec.SLIP, codec.CRC32),
		{codec: codec.SenML{}, frame: func(i int) []byte { return codec.AppendSenML(nil, false, "n", climate(i)) }},
		{codec: codec.CAN{}, frame: func(i int) []byte {
			return codec.AppendCAN(nil, float64(i), "can0", 0x09f112cc, []byte{0xff, byte(i), 0x5a, 0xff, 0x7f, 0xff, 0x7f, 0xfd})
		}},
	}
}

// TestTwinsAreUnderstood: what the Append functions make, the codecs read.
func TestTwinsAreUnderstood(t *testing.T) {
	for _, s := range speakers() {
		t.Run(s.codec.Name(), func(t *testing.T) {
			var stream []byte
			for i := range 40 {
				stream = append(stream, s.frame(i)...)
			}
			v := judge(t, s.codec, stream, 5)
			if v.counters.Good != 40 || v.counters.Rejected() != 0 {
				t.Errorf("%+v %+v", v.counters, v.damages)
			}
		})
	}
}

// FuzzStreams lets any bytes through each codec.
func FuzzStreams(f *testing.F) {
	all := append(codec.All(), codec.Stuffed{Stuffing: codec.COBS})
	for i, s := range speakers() {
		f.Add(append([]byte("noise\x00\xaa\xc0"), append(s.frame(i), s.frame(i+1)...)...), 3, i)
	}
	f.Add([]byte("name,b\n1,2\nx\n\"\n"), 1, 3)
	for i := range all {
		f.Add([]byte("can0 123 [-1]\n"), 3, i)
	}
	f.Add([]byte(`[{"bn":"a","bv":1,"v":1e308},{"v":1e308,"bv":1e308}]`+"\n"), 9, 15)
	f.Fuzz(func(t *testing.T, data []byte, step, which int) {
		if step <= 0 || step > 512 {
			step = 1
		}
		checkStream(t, all[uint(which)%uint(len(all))], data, step)
	})
}
