package scpi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/polled"
	"plumbline/devices/ptytwin"
	"plumbline/devices/scpi"
	"plumbline/devices/serialline"
)

var supply = scpi.Instrument{
	Start: []string{"*RST", "OUTP ON"},
	Queries: []scpi.Query{
		{Name: "identity", Ask: "*IDN?"}, {Name: "voltage", Unit: "V", Ask: "MEAS:VOLT?"}, {Name: "all", Ask: "MEAS:ALL?"},
	},
	CheckErrors: true, Period: 20 * time.Millisecond, Timeout: 5 * time.Second,
}

func newTwin() *scpi.Twin {
	return &scpi.Twin{Identity: "PLUMBLINE,PSU-1,0042,1.0", Commands: []string{"*RST"}, Answers: map[string]func() string{
		"MEAS:VOLT?": func() string { return "+1.2034E+01" },
		"MEAS:ALL?":  func() string { return "12.03, 9.91E37,0.5" },
	}}
}

// open puts an instrument behind a pty and asks it over the real serial driver.
func open(tb testing.TB, i scpi.Instrument) devices.Device {
	tb.Helper()
	instrument := newTwin()
	var twin *ptytwin.Twin
	ready := make(chan struct{})
	twin, err := ptytwin.NewPair(tb.Context(), ptytwin.Options{Unpaced: true, OnReceive: func(p []byte) {
		<-ready
		if out := instrument.Hear(p); len(out) > 0 {
			_, _ = twin.Write(out)
		}
	}})
	close(ready)
	if errors.Is(err, ptytwin.ErrUnsupported) {
		tb.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = twin.Close() })
	line, err := serialline.Open(tb.Context(), serialline.Config{ID: "psu", Port: twin.Path(), Baud: 115200, Codec: codec.Chunks{}, Mode: devices.Sim})
	if err != nil {
		tb.Fatal(err)
	}
	client, err := scpi.NewClient(i)
	if err != nil {
		tb.Fatal(err)
	}
	d, err := polled.New(line, client, i.Options())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.Close() })
	return d
}

func TestConformsOverAPty(t *testing.T) {
	quiet := supply
	quiet.Start, quiet.CheckErrors = nil, false
	devicetest.Conform(t, devicetest.Subject{Open: func(tb testing.TB) devices.Device {
		tb.Helper()
		return open(tb, quiet)
	}})
}

func TestAsksAndReportsErrors(t *testing.T) {
	d := open(t, supply)
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	var got []devices.Value
	for range 3 {
		s, err := d.Read(ctx)
		if err != nil {
			t.Fatalf("%v %+v", err, d.Damages())
		}
		got = append(got, s.Values...)
	}
	want := []devices.Value{
		{Name: "identity", Text: "PLUMBLINE,PSU-1,0042,1.0", IsText: true},
		{Name: "voltage", Unit: "V", Number: 12.034}, {Name: "all.0", Number: 12.03}, {Name: "all.2", Number: 0.5},
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("values %+v, want %+v", got, want)
		}
	}
	devicetest.Eventually(t, "the instrument's error about OUTP, and a round without one", func() bool {
		c := d.Counters()
		return c.Missing == 1 && c.Control > 0
	})
	if e := d.Damages(); len(e) != 1 || !strings.Contains(e[0].Reason, "error -113, Undefined header;OUTP") {
		t.Errorf("evidence %+v", e)
	}
}

func TestAnswers(t *testing.T) {
	client, err := scpi.NewClient(supply)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		request int
		answer  string
		quiet   bool
		verdict polled.Verdict
		reason  string
	}{
		{1, "12.5\r\n", false, polled.Good, ""},
		{1, "12.5", true, polled.More, ""},
		{1, "\n", false, polled.Damaged, "an empty answer"},
		{1, "1\x80.5\n", false, polled.Damaged, "no text"},
		{1, "#15abcde\n", false, polled.Damaged, "block"},
		{3, "0,\"No error\"\n", false, polled.Done, ""},
		{3, "-221,\"Settings conflict\"\n", false, polled.Refused, "error -221, Settings conflict"},
		{3, "12.5V\n", false, polled.Damaged, "no number of an error"},
	} {
		a := client.Answer(client.Round()[c.request], []byte(c.answer), c.quiet)
		if a.Verdict != c.verdict || !strings.Contains(a.Reason, c.reason) {
			t.Errorf("%q: %+v, want verdict %d, %q", c.answer, a, c.verdict, c.reason)
		}
	}
}

func TestInstrumentsAreRefused(t *testing.T) {
	for _, c := range []struct {
		i         scpi.Instrument
		key, want string
	}{
		{scpi.Instrument{}, "queries", "needs 1 to"},
		{scpi.Instrument{Queries: []scpi.Query{{Name: "x", Ask: "OUTP ON"}}}, "queries", "asks nothing"},
		{scpi.Instrument{Queries: []scpi.Query{{Name: "x", Ask: "A?\nB?"}}}, "queries", "asks nothing"},
		{scpi.Instrument{Queries: []scpi.Query{{Name: "x", Ask: "A?"}, {Name: "x", Ask: "B?"}}}, "queries", "there already"},
		{scpi.Instrument{Queries: []scpi.Query{{Name: "x", Ask: "A?"}, {Name: "y", Ask: "a?"}}}, "queries", `as "x" already`},
		{scpi.Instrument{Queries: []scpi.Query{{Name: "x", Ask: "SYST:ERR?"}}, CheckErrors: true}, "queries", `as "checkErrors" already`},
		{scpi.Instrument{Queries: []scpi.Query{{Name: "x", Ask: "A?"}}, Start: []string{"B?"}}, "start", "without a question"},
	} {
		if key, err := c.i.Check(); key != c.key || !errors.Is(err, scpi.ErrInstrument) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %q, %v", c.i, key, err)
		}
	}
}

// FuzzAnswer lets any bytes answer.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("1,2,9.91E37\n"), 1)
	f.Add([]byte("-113,\"x\"\r\n"), 3)
	client, err := scpi.NewClient(supply)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte, which int) {
		a := client.Answer(client.Round()[uint(which)%4], p, true)
		if a.Used > len(p) || a.Verdict != polled.More && a.Used == 0 {
			t.Fatalf("%+v of %d bytes", a, len(p))
		}
		newTwin().Hear(p)
	})
}
