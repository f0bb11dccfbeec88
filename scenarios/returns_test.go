package scenarios

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"plumbline/harness/viewer"
)

// Each answer to a way back with a cursor, and to a token that takes a grant
// away, is a violation only when something outside of the grants came with it.
func TestLeaksToThoseWhoComeBack(t *testing.T) {
	d := door{own: "bench/own"}
	frames := func(texts ...string) (r viewer.ProbeResult) {
		for _, text := range texts {
			r.Frames = append(r.Frames, []byte(text))
		}
		return r
	}
	const (
		own   = `{"type":"batch","readings":[{"topic":"bench/own"}]}`
		other = `{"type":"batch","readings":[{"topic":"bench/own"},{"topic":"bench/other"}]}`
	)
	for name, c := range map[string]struct {
		enter   func(*tally)
		found   string
		control bool
	}{
		"own topic only":           {enter: func(y *tally) { d.enterReturn("", frames(`{"type":"subok"}`, own), y) }},
		"another topic":            {enter: func(y *tally) { d.enterReturn("", frames(`{"type":"subok"}`, other), y) }, found: "leak"},
		"nothing":                  {enter: func(y *tally) { d.enterReturn("", frames(`{"type":"subok"}`), y) }, control: true},
		"narrowed and ended":       {enter: func(y *tally) { d.enterNarrowed(frames(other, `{"type":"authok"}`, `{"type":"suberr"}`), y) }},
		"narrowed, last one first": {enter: func(y *tally) { d.enterNarrowed(frames(`{"type":"authok"}`, other, `{"type":"suberr"}`), y) }},
		"narrowed and going on":    {enter: func(y *tally) { d.enterNarrowed(frames(other, `{"type":"authok"}`, other), y) }, found: "stale-grant"},
		"narrowed, on after the end": {
			enter: func(y *tally) { d.enterNarrowed(frames(`{"type":"authok"}`, `{"type":"suberr"}`, other), y) }, found: "stale-grant",
		},
		"no answer to the token": {enter: func(y *tally) { d.enterNarrowed(frames(other, other), y) }, control: true},
	} {
		y := &tally{}
		c.enter(y)
		found := ""
		for _, f := range y.Found {
			found += f.Kind
		}
		if found != c.found || (y.Control != "") != c.control || (y.Checks == 1) == c.control {
			t.Errorf("%s: found %q, control %q, %d checks", name, found, y.Control, y.Checks)
		}
	}
}

// A bridge that mixes up sessions now and then is found by coming back often.
func TestComingBackOftenFindsARareLeak(t *testing.T) {
	turns := make(chan int, 100)
	for i := range 100 {
		turns <- i
	}
	base := serving(t, func(conn *websocket.Conn) {
		topic := "bench/own"
		if <-turns == 15 {
			topic = "bench/other"
		}
		speak(conn, `{"type":"welcome"}`, `{"type":"subok","id":1,"epoch":"e","offset":7}`,
			strings.Replace(`{"type":"batch","id":1,"readings":[{"topic":"T"}]}`, "T", topic, 1))
		listen(conn)
	})
	y := &tally{}
	door{way: base, own: "bench/own"}.comeBack(t.Context(), 30, y)
	if len(y.Found) != 1 || y.Checks != 30 || y.Control != "" {
		t.Errorf("%d violations in %d checks, control %q", len(y.Found), y.Checks, y.Control)
	}
}

// A bridge that brings nothing to who comes back is not asked for ever.
func TestComingBackInVainEnds(t *testing.T) {
	var sessions atomic.Int64
	base := serving(t, func(conn *websocket.Conn) {
		if sessions.Add(1) == 1 {
			speak(conn, `{"type":"welcome"}`, `{"type":"subok","id":1,"epoch":"e","offset":7}`, `{"type":"batch","id":1,"readings":[{"topic":"bench/own"}]}`)
			listen(conn)
			return
		}
		speak(conn, `{"type":"welcome"}`)
	})
	y := &tally{}
	door{way: base, own: "bench/own"}.comeBack(t.Context(), 50*abreast, y)
	if n := sessions.Load(); n > 4*abreast || y.Control == "" || y.Checks != 0 {
		t.Errorf("%d sessions, %d checks, control %q", n, y.Checks, y.Control)
	}
}
