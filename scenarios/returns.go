package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"plumbline/harness/viewer"
)

// returns is how often a viewer comes back: a leak that shows in 1 of 100
// resumptions is found in so many at 99 % (metrology 5 F40). abreast is how many
// come back at a time.
const (
	returns = 459
	abreast = 20
)

// comeBack opens a session, leaves it, and comes back to the same topic with its
// cursor so many times: what a bridge restores for a viewer must be that
// viewer's own.
func (d door) comeBack(ctx context.Context, times int, result *tally) {
	d.way.Wait = 0 // the usual patience: each ends with the first data
	whole := func(frame []byte) bool { return len(topicsOf([][]byte{frame})) > 0 }
	first := d.ask(ctx, sub(d.own), func(frame []byte) bool { return typeOf(frame) == "batch" && whole(frame) })
	var since struct {
		Epoch  string `json:"epoch"`
		Offset uint64 `json:"offset"`
	}
	i := slices.IndexFunc(first.Frames, func(frame []byte) bool { return typeOf(frame) == "subok" })
	if i < 0 || json.Unmarshal(first.Frames[i], &since) != nil {
		result.Control = "a viewer got no cursor to come back with: " + how(first.HTTPStatus, first.CloseCode, first.CloseReason, first.Err)
		return
	}
	command := object(map[string]any{"type": "sub", "id": 1, "filter": d.own, "mode": "all", "since": since})
	places := make(chan struct{}, abreast)
	var mu sync.Mutex // guards result and dark
	var all sync.WaitGroup
	dark := 0 // in a row: to wait for hundreds that bring nothing takes minutes, and says no more
	for i := range times {
		places <- struct{}{}
		mu.Lock()
		over := dark >= abreast
		mu.Unlock()
		if over || ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-places }()
			r := d.ask(ctx, command, whole) // which may be large, and is kept no longer
			mu.Lock()
			defer mu.Unlock()
			d.enterReturn(fmt.Sprintf("return %d with a cursor", i+1), r, result)
			if dark++; len(topicsOf(r.Frames)) > 0 {
				dark = 0
			}
		})
	}
	all.Wait()
}

// enterReturn counts one way back to the viewer's own topic.
func (d door) enterReturn(name string, r viewer.ProbeResult, result *tally) {
	switch i := slices.IndexFunc(r.Frames, d.leaks); {
	case i >= 0:
		result.Checks++
		result.violation("SEC-07", "leak", name, fmt.Sprintf("delivered %v", topicsOf(r.Frames[i:i+1])))
	case len(topicsOf(r.Frames)) == 0:
		result.Control = fmt.Sprintf("%s brought no data: %s", name, how(r.HTTPStatus, r.CloseCode, r.CloseReason, r.Err))
	default:
		result.Checks++
	}
}

// narrow opens a session that may see two topics, shows a token that grants one
// of them only, and enters a violation when the other goes on.
func (d door) narrow(ctx context.Context, result *tally) {
	way := d.way
	way.Wait = watched
	way.Steps = []viewer.Step{
		{Text: hello(d.wide)}, {Expect: `"welcome"`}, {Text: sub(d.other)}, {Expect: `"batch"`},
		{Text: object(map[string]any{"type": "auth", "token": d.token})},
	}
	d.enterNarrowed(viewer.Probe(ctx, way), result)
}

// enterNarrowed judges what came after the bridge had confirmed the new token,
// and, where it ended the subscription, after that.
func (d door) enterNarrowed(r viewer.ProbeResult, result *tally) {
	const name = "a live session whose grants were narrowed"
	from := slices.IndexFunc(r.Frames, func(frame []byte) bool { return typeOf(frame) == "authok" })
	if from < 0 {
		if r.CloseCode == 0 {
			result.Control = "the bridge did not answer a new token in a live session"
			return
		}
		result.Checks++ // it closed the session: nothing goes on
		return
	}
	result.Checks++
	rest := r.Frames[from+1:]
	if ended := slices.IndexFunc(rest, func(frame []byte) bool { return typeOf(frame) == "suberr" }); ended >= 0 {
		rest = rest[ended+1:]
	}
	if i := slices.IndexFunc(rest, d.leaks); i >= 0 {
		result.violation("SEC-07", "stale-grant", name, fmt.Sprintf("delivered %v after the new token was confirmed", topicsOf(rest[i:i+1])))
	}
}
