package replay_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"plumbline/devices/codec"
	"plumbline/devices/replay"
)

// TestBytesAsTheyCame plays recordings that are not lines: every byte of the file
// comes out again, and each frame once.
func TestBytesAsTheyCame(t *testing.T) {
	cobs := codec.Stuffed{Stuffing: codec.COBS, Check: codec.CRC16CCITT}
	for name, c := range map[string]struct {
		codec codec.Codec
		frame func(i int) []byte
	}{
		"dust": {codec.SDS011{}, func(i int) []byte { return codec.AppendSDS011(nil, float64(i)+1, 10, 0x0a0a) }}, // with line ends in it
		"telegram": {codec.P1{}, func(int) []byte {
			return codec.AppendP1(nil, `T5\1`, []codec.Object{{ID: "1-0:1.7.0", Text: "01.0*kW"}})
		}},
		"stuffed": {cobs, func(i int) []byte { return cobs.Append(nil, []byte(strings.Repeat("1", i+1))) }},
	} {
		t.Run(name, func(t *testing.T) {
			var file []byte
			for i := range 12 {
				if i == 6 {
					file = append(file, "##noise\n"...)
				}
				file = append(file, c.frame(i)...)
			}
			rec, err := replay.LoadFrom(bytes.NewReader(file), "x", replay.LoadOptions{Codec: c.codec})
			if err != nil || rec.Fault != nil {
				t.Fatalf("%v, %v", err, rec.Fault)
			}
			var out bytes.Buffer
			if err := rec.Feed(t.Context(), &out, replay.Options{Speed: math.Inf(1)}); err != nil || !bytes.Equal(out.Bytes(), file) {
				t.Errorf("fed %q of %q, %v", out.Bytes(), file, err)
			}
			p, err := rec.Open(replay.Options{Speed: math.Inf(1)})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			samples, err := drain(t, p)
			if !errors.Is(err, io.EOF) || len(samples) < 11 || p.Counters().Rejected() != 1 {
				t.Errorf("%d samples, %+v, %v; want the noise refused once", len(samples), p.Counters(), err)
			}
		})
	}
	cut := codec.AppendSDS011(codec.AppendSDS011(nil, 1, 1, 1), 2, 2, 2)
	rec, err := replay.LoadFrom(bytes.NewReader(cut[:17]), "x", replay.LoadOptions{Codec: codec.SDS011{}})
	if err != nil || rec.Fault == nil || rec.Fault.Offset != 10 {
		t.Errorf("a file cut in its second frame: %v, %v", rec.Fault, err)
	}
	rec, err = replay.LoadFrom(strings.NewReader("$GPHDT,274.07,T*03\r\n"), "x", replay.LoadOptions{Codec: codec.P1{}})
	if err != nil || rec.Fault == nil || !strings.Contains(rec.Fault.Reason, "something else") {
		t.Errorf("another protocol: %v, %v", rec.Fault, err)
	}
}

// BenchmarkLoadFrames shows the bytes a second of loading a binary recording: they
// must be the same for an hour of a dust sensor as for ten days of it.
func BenchmarkLoadFrames(b *testing.B) {
	for _, frames := range []int{3600, 10 * 86400} {
		file := bytes.Repeat(codec.AppendSDS011(nil, 1, 2, 3), frames)
		b.Run(strconv.Itoa(frames), func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				rec, err := replay.LoadFrom(bytes.NewReader(file), "x", replay.LoadOptions{Codec: codec.SDS011{}})
				if err != nil || rec.Fault != nil || len(rec.Entries) != frames {
					b.Fatal(err, rec.Fault)
				}
			}
		})
	}
}
