package replay_test

import (
	"slices"
	"testing"
	"time"

	"plumbline/devices/ptytwin"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"

	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
)

// BenchmarkPace plays a recording through a pseudo terminal at 1× and tells how far
// the times between two reads of the driver are from the recorded ones.
func BenchmarkPace(b *testing.B) {
	rec := &replay.Recording{Path: "bench", Codec: codec.Chunks{}}
	for at := time.Duration(0); at < 2*time.Second; {
		at += time.Duration(1_300+len(rec.Entries)*7919%9_000) * time.Microsecond // 1.3 to 10.3 ms, the same each time
		rec.Entries = append(rec.Entries, replay.Entry{Offset: at, Raw: []byte("$GPHDT,274.07,T*03\r\n")})
		rec.Length = at
	}
	var worst []time.Duration
	for b.Loop() {
		worst = append(worst, paced(b, rec)...)
	}
	slices.Sort(worst)
	b.ReportMetric(float64(worst[len(worst)*50/100].Microseconds()), "p50-µs")
	b.ReportMetric(float64(worst[len(worst)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(worst[len(worst)-1].Microseconds()), "max-µs")
}

// paced returns the errors of the times between two reads.
func paced(b *testing.B, rec *replay.Recording) []time.Duration {
	b.Helper()
	twin, err := ptytwin.NewPair(b.Context(), ptytwin.Options{Unpaced: true, Frames: true})
	if err != nil {
		b.Skip(err)
	}
	defer func() { _ = twin.Close() }()
	line, err := serialline.Open(b.Context(), serialline.Config{Port: twin.Path(), Codec: codec.NMEA0183{}, Queue: 10_000})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = line.Close() }()
	if err := rec.Feed(b.Context(), twin, replay.Options{}); err != nil {
		b.Fatal(err)
	}
	devicetest.Eventually(b, "all reads", func() bool { return line.Counters().Good == uint64(len(rec.Entries)) })
	var off []time.Duration
	var before time.Duration
	for i, e := range rec.Entries {
		s, err := line.Read(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if i > 0 {
			off = append(off, (s.Last - before - (e.Offset - rec.Entries[i-1].Offset)).Abs())
		}
		before = s.Last
	}
	return off
}
