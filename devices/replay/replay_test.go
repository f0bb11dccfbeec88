package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/replay"
)

// atOnce plays without waiting.
var atOnce = replay.Options{Speed: math.Inf(1)}

func rmc(clock string) string {
	return string(codec.AppendNMEA(nil, "GPRMC,"+clock+",A,4404.14063,N,12118.85478,W,0.1,,180315,,,A"))
}

func load(tb testing.TB, text string, opts replay.LoadOptions) *replay.Recording {
	tb.Helper()
	rec, err := replay.LoadFrom(strings.NewReader(text), "test.log", opts)
	if err != nil {
		tb.Fatal(err)
	}
	return rec
}

// drain reads a device to its end.
func drain(tb testing.TB, d devices.Device) ([]devices.Sample, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), devicetest.Patience)
	defer cancel()
	var all []devices.Sample
	for {
		s, err := d.Read(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
}

func play(tb testing.TB, rec *replay.Recording, opts replay.Options) ([]devices.Sample, *replay.Player, error) {
	tb.Helper()
	p, err := rec.Open(opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() })
	all, err := drain(tb, p)
	return all, p, err
}

func TestNMEATimingFollowsTheRecordedClock(t *testing.T) {
	gsv := string(codec.AppendNMEA(nil, "GPGSV,1,1,01,01,53,280,36"))
	rec := load(t, "# Name: Test receiver\n"+
		gsv+rmc("235958.00")+gsv+ // group 1
		rmc("235959.50")+gsv+ // 1.5 s later
		rmc("000000.00")+ // over midnight: 0.5 s
		rmc("090000.00")+ // found the time: taken for 1 s
		rmc("085959.00")+ // a jump back: taken for 1 s
		rmc("090000.20"), replay.LoadOptions{Baud: 9600})
	if rec.Device != "Test receiver" || rec.Fault != nil {
		t.Errorf("device %q, fault %v", rec.Device, rec.Fault)
	}
	perByte := 10 * time.Second / 9600
	want := []time.Duration{
		0, time.Duration(len(gsv)) * perByte, time.Duration(len(gsv)+len(rmc("235958.00"))) * perByte,
		1500 * time.Millisecond, 1500*time.Millisecond + time.Duration(len(rmc("235959.50")))*perByte,
		2 * time.Second, 3 * time.Second, 4 * time.Second, 5200 * time.Millisecond,
	}
	if len(rec.Entries) != len(want) {
		t.Fatalf("%d entries, want %d", len(rec.Entries), len(want))
	}
	for i, e := range rec.Entries {
		if d := e.Offset - want[i]; d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("entry %d %q at %v, want %v", i, e.Raw, e.Offset, want[i])
		}
	}
	if rec.Length != 6200*time.Millisecond {
		t.Errorf("length %v, want 6.2s", rec.Length)
	}
}

func TestFixedRates(t *testing.T) {
	json := strings.Repeat(`{"a":1}`+"\n", 5)
	for _, c := range []struct {
		name string
		text string
		opts replay.LoadOptions
		step time.Duration
	}{
		{"no clock", json, replay.LoadOptions{Codec: codec.LineJSON{}}, time.Second},
		{"no clock, 10 per second", json, replay.LoadOptions{Codec: codec.LineJSON{}, Rate: 10}, 100 * time.Millisecond},
		{"a rate instead of the clock", rmc("120000") + rmc("120001") + rmc("120002"), replay.LoadOptions{Rate: 4}, 250 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, e := range load(t, c.text, c.opts).Entries {
				if want := time.Duration(i) * c.step; e.Offset != want {
					t.Errorf("entry %d at %v, want %v", i, e.Offset, want)
				}
			}
		})
	}
}

func TestBurstIsPressedIntoItsStep(t *testing.T) {
	burst := strings.Repeat(string(codec.AppendNMEA(nil, "GPGSV,4,1,13,01,53,280,36,03,29,301,24,04,55,223,37")), 100)
	rec := load(t, rmc("120000")+burst+rmc("120001"), replay.LoadOptions{Baud: 4800})
	last := rec.Entries[len(rec.Entries)-1]
	before := rec.Entries[len(rec.Entries)-2]
	if last.Offset != time.Second || before.Offset >= 900*time.Millisecond {
		t.Errorf("the burst ends at %v, the next group begins at %v", before.Offset, last.Offset)
	}
}

func TestPlayKeepsTimeAndSpeed(t *testing.T) {
	rec := load(t, rmc("120000")+rmc("120001")+rmc("120002"), replay.LoadOptions{})
	began := time.Now()
	all, _, err := play(t, rec, replay.Options{Speed: 20})
	if !errors.Is(err, io.EOF) || len(all) != 3 {
		t.Fatalf("%d samples, %v", len(all), err)
	}
	// Never early: 2 s of recording at speed 20 are 100 ms.
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("2 s at speed 20 took %v", took)
	}
}

func TestLoops(t *testing.T) {
	rec := load(t, rmc("120000")+rmc("120001"), replay.LoadOptions{})
	all, p, err := play(t, rec, replay.Options{Speed: math.Inf(1), Loops: 3})
	if !errors.Is(err, io.EOF) || len(all) != 6 || all[5].Seq != 6 {
		t.Fatalf("%d samples, %v", len(all), err)
	}
	if c := p.Counters(); c.Good != 6 || c.Dropped != 0 {
		t.Errorf("%+v", c)
	}
}

// TestInstantPlayLosesNothing: an entry may hold more frames than one.
func TestInstantPlayLosesNothing(t *testing.T) {
	const frames = 3 * intakeQueue
	var file bytes.Buffer
	w, err := replay.NewWriter(&file, replay.Header{Codec: "nmea0183"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(0, []byte(strings.Repeat(rmc("120000"), frames))), w.Close()); err != nil {
		t.Fatal(err)
	}
	p, err := load(t, file.String(), replay.LoadOptions{}).Open(atOnce)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	devicetest.Eventually(t, "the recording to be played", func() bool { return p.Counters().Good == frames })
	if c := p.Counters(); c.Dropped != 0 {
		t.Errorf("%d of %d frames were dropped", c.Dropped, frames)
	}
}

// intakeQueue is the usual bound of a driver's queue.
const intakeQueue = 1024

// TestSlowestSpeeds: a wait beyond the clock's range must not turn into none.
func TestSlowestSpeeds(t *testing.T) {
	rec := load(t, "a\nb\nc\n", replay.LoadOptions{Rate: 1e-300, Codec: codec.Payload{}})
	for i, e := range rec.Entries[1:] {
		if e.Offset < rec.Entries[i].Offset || e.Offset < time.Hour || rec.Length < e.Offset {
			t.Errorf("line %d at %v after %v, length %v", i+1, e.Offset, rec.Entries[i].Offset, rec.Length)
		}
	}
	p, err := load(t, rmc("120000")+rmc("120001"), replay.LoadOptions{}).Open(replay.Options{Speed: 1e-12})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	if _, err := p.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s, err := p.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second sample came at once: %+v, %v", s, err)
	}
}

func TestOptionErrors(t *testing.T) {
	rec := load(t, rmc("120000"), replay.LoadOptions{})
	for _, c := range []struct {
		opts replay.Options
		want string
	}{
		{replay.Options{Speed: -1}, "must be positive"},
		{replay.Options{Speed: math.NaN()}, "must be positive"},
		{replay.Options{Speed: math.Inf(1), Loops: -1}, "give a speed or a number of loops"},
	} {
		if p, err := rec.Open(c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, %v; want an error that says %q", c.opts, p, err, c.want)
		}
		if err := rec.Feed(t.Context(), io.Discard, c.opts); err == nil {
			t.Errorf("feed with %+v is no error", c.opts)
		}
	}
}

func TestTimedRoundTrip(t *testing.T) {
	var file bytes.Buffer
	w, err := replay.NewWriter(&file, replay.Header{Codec: "nmea0183", Device: "D", Note: "N"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	frames := []string{"\xff\x00\n", rmc("120000"), rmc("120001")[:20], rmc("120001")[20:]}
	for i, f := range frames {
		if err := w.Write(time.Duration(i)*time.Millisecond, []byte(f)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rec := load(t, file.String(), replay.LoadOptions{})
	if rec.Fault != nil || rec.Device != "D" || rec.Note != "N" || len(rec.Entries) != 4 || rec.Length != 3*time.Millisecond {
		t.Fatalf("%+v", rec)
	}
	for i, e := range rec.Entries {
		if string(e.Raw) != frames[i] || e.Offset != time.Duration(i)*time.Millisecond {
			t.Errorf("entry %d: %q at %v, want %q", i, e.Raw, e.Offset, frames[i])
		}
	}
	all, p, err := play(t, rec, atOnce)
	if !errors.Is(err, io.EOF) || len(all) != 2 || p.Counters().Unchecked != 1 {
		t.Errorf("%d samples, %v, %+v: want the two sentences, one of them in two pieces", len(all), err, p.Counters())
	}
	if info := p.Info(); info.Mode != devices.Replay || info.Kind != "nmea0183" || info.Note != "N" {
		t.Errorf("%+v", info)
	}
}

func TestDamagedTimedRecordings(t *testing.T) {
	header := `{"format":"plumbline.recording.v1","codec":"nmea0183"}` + "\n"
	good := fmt.Sprintf(`{"us":0,"raw":%q}`, rmc("120000")) + "\n"
	for _, c := range []struct {
		name    string
		tail    string
		samples int
		offset  int
		reason  string
	}{
		{"cut between lines", good, 1, len(header + good), "cut after 1 frames"},
		{"cut within a line", good + `{"us":5,"ra`, 1, len(header + good), "unexpected end"},
		{"no JSON", good + "garbage\n" + good, 1, len(header + good), "invalid character"},
		{"offset falls", `{"us":9,"raw":"x\n"}` + "\n" + good, 0, len(header + `{"us":9,"raw":"x\n"}` + "\n"), "earlier than"},
		{"no offset", `{"raw":"x"}` + "\n", 0, len(header), "without a usable offset"},
		{"offset too large", `{"us":99999999999999999,"raw":"x"}` + "\n", 0, len(header), "without a usable offset"},
		{"no bytes", `{"us":1}` + "\n", 0, len(header), "without bytes"},
		{"wrong count", good + `{"end":2}` + "\n", 1, len(header + good), "counts 2 frames, 1 were read"},
		{"lines after the end", good + `{"end":1}` + "\n" + good, 1, len(header + good + `{"end":1}` + "\n"), "after the end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, p, err := play(t, load(t, header+c.tail, replay.LoadOptions{}), atOnce)
			var corrupt *replay.CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("end of the recording: %v, want a *CorruptError", err)
			}
			if corrupt.Offset != int64(c.offset) || !strings.Contains(corrupt.Reason, c.reason) {
				t.Errorf("damage at %d: %q; want at %d: %q", corrupt.Offset, corrupt.Reason, c.offset, c.reason)
			}
			if int(p.Counters().Good) != c.samples || !strings.Contains(err.Error(), "test.log") {
				t.Errorf("%d samples before the damage (read %d), want %d; %v", p.Counters().Good, len(all), c.samples, err)
			}
		})
	}
}

func TestUnreadableRecordings(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no.log")
	if _, err := replay.Open(missing, replay.Options{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing file: %v", err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", " \n", "is empty"},
		{"newer format", `{"format":"plumbline.recording.v9","codec":"nmea0183"}` + "\n", "this program reads"},
		{"unknown codec", `{"format":"plumbline.recording.v1","codec":"morse"}` + "\n", "no codec is called"},
		{"cut header", `{"format":"plumb`, "its first line"},
	} {
		if rec, err := replay.LoadFrom(strings.NewReader(c.text), "x", replay.LoadOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error that says %q", c.name, rec, err, c.want)
		}
	}
	if _, err := replay.LoadFrom(strings.NewReader("x"), "x", replay.LoadOptions{Rate: -1}); err == nil {
		t.Error("a negative rate is no error")
	}
}

func TestTextRecordingOfSomethingElse(t *testing.T) {
	for _, c := range []struct{ name, text, reason string }{
		{"binary", "\xa0\xa2\x00\x11\n\x00\xff\n", "no nmea0183 frame"},
		{"comments only", "# Name: x\n# nothing\n", "no lines"},
		{"cut", rmc("120000") + rmc("120001")[:30], "ends within a line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := play(t, load(t, c.text, replay.LoadOptions{}), atOnce)
			var corrupt *replay.CorruptError
			if !errors.As(err, &corrupt) || !strings.Contains(corrupt.Reason, c.reason) {
				t.Errorf("%v, want a *CorruptError that says %q", err, c.reason)
			}
		})
	}
}

func TestLastLineWithoutEnd(t *testing.T) {
	all, p, err := play(t, load(t, rmc("120000")+strings.TrimSpace(rmc("120001")), replay.LoadOptions{}), atOnce)
	if !errors.Is(err, io.EOF) || len(all) != 2 || p.Counters().Rejected() != 0 {
		t.Errorf("%d samples, %v, %+v: a whole sentence without line end is whole", len(all), err, p.Counters())
	}
}

func TestWriterRefuses(t *testing.T) {
	for _, limit := range []int64{1, replay.MinLimit - 1, replay.MaxBytes + 1} {
		if _, err := replay.NewWriter(io.Discard, replay.Header{}, limit); err == nil {
			t.Errorf("a bound of %d bytes is no error", limit)
		}
	}
	w, err := replay.NewWriter(io.Discard, replay.Header{Codec: "nmea0183"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(time.Second, nil); err == nil {
		t.Error("a frame without bytes is no error")
	}
	if err := errors.Join(w.Write(time.Second, []byte("x")), w.Write(0, []byte("x"))); err == nil {
		t.Error("a falling offset is no error")
	}
}

func TestWriterKeepsItsFirstError(t *testing.T) {
	w, err := replay.NewWriter(&full{room: 200}, replay.Header{Codec: "nmea0183"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(0, bytes.Repeat([]byte("x"), 200)); !errors.Is(err, errFull) {
		t.Errorf("write: %v, want the disk's error", err)
	}
	if err := w.Close(); !errors.Is(err, errFull) {
		t.Errorf("close: %v, want the same error: the recording is not whole", err)
	}
}

var errFull = errors.New("no space left")

// full is a disk with little room.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestConforms(t *testing.T) {
	devicetest.Conform(t, devicetest.Subject{Samples: 50, Open: func(tb testing.TB) devices.Device {
		tb.Helper()
		rec, err := replay.Embedded()
		if err != nil {
			tb.Fatal(err)
		}
		p, err := rec.Open(replay.Options{ID: "gps", Speed: 2000, Loops: -1})
		if err != nil {
			tb.Fatal(err)
		}
		return p
	}})
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(rmc("120000") + "# c: d\n" + rmc("120001")))
	f.Add([]byte(`{"format":"plumbline.recording.v1","codec":"nmea0183"}` + "\n" + `{"us":0,"raw":"x"}` + "\n" + `{"end":1}` + "\n"))
	f.Add([]byte("\x00\xff"))
	f.Add(everything(f))
	f.Add(everything(f)[:400])
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := replay.LoadFrom(bytes.NewReader(data), "f", replay.LoadOptions{})
		if err != nil {
			return
		}
		last := time.Duration(0)
		for _, e := range rec.Entries {
			if e.Offset < last || e.Offset > rec.Length && rec.Length > 0 {
				t.Fatalf("offset %v after %v in a recording of %v", e.Offset, last, rec.Length)
			}
			if e.Position < 0 || e.Position >= int64(len(data)) {
				t.Fatalf("position %d of %d", e.Position, len(data))
			}
			last = e.Offset
		}
		for _, e := range rec.Events {
			if e.Offset < 0 || e.Offset > rec.Length || e.Position >= int64(len(data)) {
				t.Fatalf("event %+v in a recording of %v and %d bytes", e, rec.Length, len(data))
			}
		}
		if rec.Fault != nil && (rec.Fault.Offset < 0 || rec.Fault.Offset > int64(len(data))) {
			t.Fatalf("a fault at byte %d of %d", rec.Fault.Offset, len(data))
		}
	})
}
