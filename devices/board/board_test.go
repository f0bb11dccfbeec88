package board_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/board"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
)

func template(t *testing.T, text string) board.Template {
	t.Helper()
	p, err := board.ParseTemplate(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bench is a twin with the driver that reads it; what it says goes to samples, of
// which the last is kept.
func bench(t *testing.T, modem bool) (*board.Twin, *board.Board) {
	t.Helper()
	twin, err := board.NewTwin(t.Context(), board.TwinOptions{Modem: modem, Period: 5 * time.Millisecond})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		t.Fatal(err)
	}
	ear := board.NewEar([]board.Template{template(t, "OK T {value}"), template(t, "OK R {value}")})
	line, err := serialline.Open(t.Context(), serialline.Config{ID: "lab", Port: twin.Path(), Baud: 115200, Codec: ear.On(codec.LineJSON{}), ModemReadings: modem})
	if err != nil {
		t.Fatal(err)
	}
	b := board.New(line, ear)
	b.AnswerWithin = devicetest.Patience
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			if _, err := b.Read(context.Background()); err != nil {
				return // closed
			}
		}
	}()
	t.Cleanup(func() {
		if err := errors.Join(b.Close(), twin.Close()); err != nil {
			t.Error(err)
		}
		<-read
	})
	return twin, b
}

// shows waits until a reading says that value.
func shows(t *testing.T, b *board.Board, reading string, want float64) {
	t.Helper()
	devicetest.Eventually(t, reading, func() bool {
		is, err := b.Observe(reading)
		return err == nil && is == want
	})
}

// Commands set what the board measures, and their answers are neither readings nor
// faults.
func TestABoardIsCommanded(t *testing.T) {
	_, b := bench(t, false)
	shows(t, b, "temperature", 20)
	for _, a := range []board.Action{
		{Line: "T 21.5\n", Answer: "OK T 21.5"}, {Line: "R 1\r\n", Answer: "OK R 1"}, {Line: "T 22\n"},
	} {
		if err := b.Do(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	shows(t, b, "temperature", 22)
	shows(t, b, "relay", 1)
	devicetest.Eventually(t, "the answers to be counted as such", func() bool { return b.Counters().Control == 3 })
	if n := b.Counters(); n.Rejected() != n.Partial || n.Partial > 1 { // the opening may have cut the first
		t.Errorf("%+v, %+v", n, b.Damages())
	}
	if _, err := b.Observe("humidity"); !errors.Is(err, board.ErrUntold) {
		t.Errorf("a reading that it does not have: %v", err)
	}
	for what, a := range map[string]board.Action{"is not one line": {Line: "T 1\nR 1\n"}, "is not one line with its end": {Line: "T 1"}, "no line of a port": {Wire: "cts"}} {
		if err := b.Do(t.Context(), a); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%+v: %v, want %q", a, err, what)
		}
	}
	if err := b.Do(t.Context(), board.Action{Wire: board.DTR, High: true}); !errors.Is(err, serialline.ErrNoModem) {
		t.Errorf("DTR of a pseudo terminal: %v", err)
	}
}

func TestABoardThatDoesNotAnswer(t *testing.T) {
	twin, b := bench(t, false)
	twin.Deafen(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Do(ctx, board.Action{Line: "T 1\n"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was ended: %v", err)
	}
	b.AnswerWithin = 50 * time.Millisecond
	err := b.Do(t.Context(), board.Action{Line: "T 1\n", Answer: "OK T 1"})
	b.AnswerWithin = devicetest.Patience
	if !errors.Is(err, board.ErrNoAnswer) || !strings.Contains(err.Error(), `"OK T 1"`) || !strings.Contains(err.Error(), `"lab"`) {
		t.Errorf("error is %v", err)
	}
	twin.Deafen(false)
	if err := b.Do(t.Context(), board.Action{Line: "T 2\n", Answer: "OK T 2"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Do(t.Context(), board.Action{Line: "T 1\n"}); !errors.Is(err, devices.ErrUnplugged) {
		t.Errorf("a closed one: %v", err)
	}
}

// Lines of the port set what the board measures, and its contact is read at the port.
func TestABoardIsWired(t *testing.T) {
	_, b := bench(t, true)
	do := func(a board.Action) {
		t.Helper()
		if err := b.Do(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	shows(t, b, "lamp", board.LampOff)
	do(board.Action{Wire: board.DTR, High: true})
	shows(t, b, "lamp", board.LampOn)
	do(board.Action{Wire: board.DTR})
	shows(t, b, "lamp", board.LampOff)
	do(board.Action{Wire: board.RTS, High: true})
	do(board.Action{Wire: board.Break, Pulse: time.Millisecond})
	shows(t, b, "door", 1)
	do(board.Action{Line: "R 1\n", Answer: "OK R 1"})
	shows(t, b, "modem_cts", 1)
	do(board.Action{Line: "R 0\n"})
	shows(t, b, "modem_cts", 0)
	if _, err := b.Observe("modem_xyz"); !errors.Is(err, board.ErrUntold) {
		t.Errorf("a line that no port has: %v", err)
	}
}

func TestTemplates(t *testing.T) {
	for _, c := range []struct {
		text    string
		value   float64
		command string
	}{
		{"T {value}", 21.5, "T 21.5\n"}, {"T {value}\r\n", -1e-9, "T 0\r\n"}, {`{"set":{value}}` + "\r", 0.1 + 0.2, `{"set":0.3}` + "\r"},
		{"GO", 7, "GO\n"}, {"SET={value};", 1e6, "SET=1000000;\n"}, {"x{value}", -1.0 / 3, "x-0.333333\n"},
	} {
		p := template(t, c.text)
		if got := p.Command(c.value); got != c.command {
			t.Errorf("%q with %v is %q, want %q", c.text, c.value, got, c.command)
		}
		if !p.Is(" "+p.Line(c.value)+" ") || p.Is("y"+p.Line(c.value)) {
			t.Errorf("%q does not know itself", c.text)
		}
	}
	for text, want := range map[string]string{
		"": "more in it than the value", board.Placeholder: "more in it than the value", "\n": "more in it", "a{value}b{value}": "more than once", "a\nb": "one line of text",
		"a\x1b[2J": "control characters", "a\xff": "one line of text", "a\n\n\n": "one line end", strings.Repeat("x", 257): "has 257 bytes",
	} {
		if _, err := board.ParseTemplate(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for text, is := range map[string]bool{"OK T 5": true, "OK T -1e3 ": true, "OK T": false, "OK T x": false, "ok T 5": false} {
		if template(t, "OK T {value}").Is(text) != is {
			t.Errorf("%q is the answer: %v", text, !is)
		}
	}
	if board.OfLines(codec.SDS011{}) || !board.OfLines(codec.LineJSON{}) || !board.OfLines(codec.NMEA0183{}) {
		t.Error("codecs of lines are not those that are")
	}
}
