package replay_test

import (
	"io"
	"slices"
	"testing"
	"time"

	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/internal/exact"
	"plumbline/devices/ptytwin"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
)

// BenchmarkPace plays a recording through a pseudo terminal at 1× and tells how far
// the times between two reads of the driver are from the recorded ones (read), and
// how far those between two writes to the port are (sent): the difference is the
// kernel's, which hands bytes to the reader by a work queue, and the driver's.
func BenchmarkPace(b *testing.B) {
	rec := &replay.Recording{Path: "bench", Codec: codec.Chunks{}}
	for at := time.Duration(0); at < 2*time.Second; {
		at += time.Duration(1_300+len(rec.Entries)*7919%9_000) * time.Microsecond // 1.3 to 10.3 ms, the same each time
		rec.Entries = append(rec.Entries, replay.Entry{Offset: at, Raw: []byte("$GPHDT,274.07,T*03\r\n")})
		rec.Length = at
	}
	var sent, read []time.Duration
	for b.Loop() {
		s, r := paced(b, rec)
		sent, read = append(sent, s...), append(read, r...)
	}
	for what, off := range map[string][]time.Duration{"sent": sent, "read": read} {
		slices.Sort(off)
		b.ReportMetric(float64(off[len(off)*50/100].Microseconds()), what+"-p50-µs")
		b.ReportMetric(float64(off[len(off)*99/100].Microseconds()), what+"-p99-µs")
		b.ReportMetric(float64(off[len(off)-1].Microseconds()), what+"-max-µs")
	}
}

// stamped keeps when it was written to.
type stamped struct {
	io.Writer
	at []time.Duration
}

// Write implements io.Writer.
func (s *stamped) Write(p []byte) (int, error) {
	s.at = append(s.at, time.Duration(exact.Now()))
	return s.Writer.Write(p)
}

// paced returns the errors of the times between two writes and between two reads.
func paced(b *testing.B, rec *replay.Recording) (sent, read []time.Duration) {
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
	port := &stamped{Writer: twin}
	if err := rec.Feed(b.Context(), port, replay.Options{}); err != nil {
		b.Fatal(err)
	}
	devicetest.Eventually(b, "all reads", func() bool { return line.Counters().Good == uint64(len(rec.Entries)) })
	var stamps []time.Duration
	for range rec.Entries {
		s, err := line.Read(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		stamps = append(stamps, s.Last)
	}
	return off(rec, port.at), off(rec, stamps)
}

// off returns how far the times between two entries are from the recorded ones.
func off(rec *replay.Recording, at []time.Duration) (errs []time.Duration) {
	for i := 1; i < len(at); i++ {
		errs = append(errs, (at[i] - at[i-1] - (rec.Entries[i].Offset - rec.Entries[i-1].Offset)).Abs())
	}
	return errs
}
