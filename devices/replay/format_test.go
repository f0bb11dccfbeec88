package replay_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/replay"
)

// everything writes a recording that holds each kind of line.
func everything(tb testing.TB) []byte {
	tb.Helper()
	var file bytes.Buffer
	w, err := replay.NewWriter(&file, replay.Header{Codec: "payload", Device: "D", Serial: "S", Source: "usb:0403:6001:S",
		Started: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Settings: replay.Settings{Baud: 9600, DataBits: 8, Parity: "none", StopBits: 1}}, 0)
	ms := time.Millisecond
	for _, err := range []error{
		err,
		w.Write(0, []byte("text\n")),
		w.Write(ms, []byte{0, 0xff}),
		w.WriteEvent(replay.Event{Offset: 2 * ms, Modem: &replay.Modem{CTS: true}}),
		w.WriteEvent(replay.Event{Offset: 3 * ms, Errors: &replay.LineErrors{Parity: 2, Break: 1}}),
		w.WriteEvent(replay.Event{Offset: 4 * ms, Port: "unplugged"}),
		w.WriteMessage(5*ms, replay.Message{Topic: "a/b", QoS: 2, Retain: true}, []byte("7")),
		w.WriteMessage(6*ms, replay.Message{Topic: "a/b", Retain: true}, nil),
		w.WriteEvent(replay.Event{Offset: 7 * ms, Lost: 3}),
		w.Close(),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return file.Bytes()
}

func TestEveryKindOfLineComesBack(t *testing.T) {
	rec := load(t, string(everything(t)), replay.LoadOptions{})
	if rec.Fault != nil || len(rec.Entries) != 4 || len(rec.Events) != 4 || rec.Length != 7*time.Millisecond {
		t.Fatalf("%+v", rec)
	}
	if h := rec.Header; h.Serial != "S" || h.Settings.Baud != 9600 || h.Started.Year() != 2026 || rec.Device != "D" {
		t.Errorf("the header is %+v", h)
	}
	m, cleared := rec.Entries[2], rec.Entries[3]
	if m.Message == nil || *m.Message != (replay.Message{Topic: "a/b", QoS: 2, Retain: true}) || string(m.Raw) != "7" || len(cleared.Raw) != 0 {
		t.Errorf("messages: %+v, %+v", m, cleared)
	}
	e := rec.Events
	if !e[0].Modem.CTS || e[1].Errors.Parity != 2 || e[1].Errors.Break != 1 || e[2].Port != "unplugged" || e[3].Lost != 3 {
		t.Errorf("events: %+v", e)
	}
}

// TestEventsAloneEnd: a recording of a port that said nothing holds events only.
func TestEventsAloneEnd(t *testing.T) {
	var file bytes.Buffer
	w, err := replay.NewWriter(&file, replay.Header{Codec: "nmea0183"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.WriteEvent(replay.Event{Offset: time.Millisecond, Port: "unplugged"}), w.Close()); err != nil {
		t.Fatal(err)
	}
	rec := load(t, file.String(), replay.LoadOptions{})
	if rec.Fault != nil || len(rec.Entries) != 0 || len(rec.Events) != 1 || rec.Length <= 0 {
		t.Fatalf("%+v", rec)
	}
	if p, err := rec.Open(replay.Options{Loops: -1}); err == nil || !strings.Contains(err.Error(), "says nothing") {
		if err == nil {
			go func() { _ = p.Close() }() // it may never return
		}
		t.Errorf("endless: %v", err)
	}
	p, err := rec.Open(replay.Options{Loops: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(devicetest.Patience):
		t.Error("Close does not return")
	}
}

// TestCutAnywhere cuts a recording at every byte: all whole lines before the cut
// are read, and the message says where they end.
func TestCutAnywhere(t *testing.T) {
	whole := everything(t)
	header := bytes.IndexByte(whole, '\n') + 1
	for cut := 1; cut < len(whole)-1; cut++ {
		rec, err := replay.LoadFrom(bytes.NewReader(whole[:cut]), "cut.rec", replay.LoadOptions{})
		if cut < header-1 {
			var corrupt *replay.CorruptError
			if cut > len(`{"format":`) && !errors.As(err, &corrupt) {
				t.Fatalf("cut at %d, in the header: %v", cut, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		lines := bytes.Count(whole[header:max(cut, header)], []byte("\n"))
		ends := bytes.LastIndexByte(whole[:cut], '\n') + 1
		if whole[cut] == '\n' { // a line of which only its end is missing
			lines, ends = lines+1, cut
			if cut < header {
				lines = 0
			}
		}
		if got := len(rec.Entries) + len(rec.Events); got != lines {
			t.Fatalf("cut at %d: %d lines were read, want %d", cut, got, lines)
		}
		if rec.Fault == nil || rec.Fault.Offset != int64(ends) || !strings.Contains(rec.Fault.Error(), "cut") {
			t.Fatalf("cut at %d: the fault is %v, want one at byte %d", cut, rec.Fault, ends)
		}
	}
}

func TestFullRecordingIsWhole(t *testing.T) {
	var file bytes.Buffer
	w, err := replay.NewWriter(&file, replay.Header{Codec: "nmea0183"}, replay.MinLimit)
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	for ; err == nil; written++ {
		err = w.Write(time.Duration(written)*time.Millisecond, []byte(rmc("120000")))
	}
	if !errors.Is(err, replay.ErrFull) {
		t.Fatalf("a full recording: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rec := load(t, file.String(), replay.LoadOptions{})
	if file.Len() > replay.MinLimit || rec.Fault != nil || len(rec.Entries) != written-1 {
		t.Errorf("%d bytes, %d of %d frames, %v", file.Len(), len(rec.Entries), written-1, rec.Fault)
	}
}

func TestLinesThatTellMoreThanOneThingAreDamage(t *testing.T) {
	const header = `{"format":"plumbline.recording.v2","codec":"nmea0183"}` + "\n"
	for _, line := range []string{
		`{"us":1,"raw":"x","lost":1}`, `{"us":1,"raw":"x","base64":"eA=="}`, `{"us":1,"lost":1,"port":"plugged"}`,
		`{"us":1,"port":"foo"}`, `{"us":1,"topic":"a","lost":1}`,
	} {
		rec := load(t, header+line+"\n"+`{"end":1}`+"\n", replay.LoadOptions{})
		if rec.Fault == nil || rec.Fault.Offset != int64(len(header)) || len(rec.Entries)+len(rec.Events) != 0 {
			t.Errorf("%s: %+v", line, rec)
		}
	}
}

// TestAnUnplugCutsTheFrame: what came before it and after it is not one frame.
func TestAnUnplugCutsTheFrame(t *testing.T) {
	const header = `{"format":"plumbline.recording.v2","codec":"nmea0183"}` + "\n"
	rec := load(t, header+`{"us":1,"raw":"$GPHDT,27"}`+"\n"+`{"us":2,"port":"unplugged"}`+"\n"+`{"us":3,"port":"plugged"}`+"\n"+
		`{"us":4,"raw":"$GPHDT,274.07,T*03\r\n"}`+"\n"+`{"end":4}`+"\n", replay.LoadOptions{})
	if _, p, err := play(t, rec, atOnce); p.Counters().Good != 1 || p.Counters().Partial != 1 || p.Counters().Damaged != 0 {
		t.Errorf("%+v, %v", p.Counters(), err)
	}
}

func TestSilenceIsWhole(t *testing.T) {
	const header = `{"format":"plumbline.recording.v2","codec":"nmea0183"}` + "\n"
	if rec := load(t, header+`{"us":1,"modem":{"cts":true,"dsr":false,"dcd":false,"ri":false}}`+"\n"+`{"end":1}`+"\n", replay.LoadOptions{}); rec.Fault != nil || len(rec.Events) != 1 {
		t.Errorf("%+v", rec)
	}
}
