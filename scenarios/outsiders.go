package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// trickyFilters ask for more than the topic own, or for what is no filter.
func trickyFilters(own, other string) []string {
	return []string{
		"#", harness.AllTopics, harness.TopicRoot + "/+", "+/+", "+/#", other, own + "/#", own + "/+", other + "/#",
		"+/" + strings.TrimPrefix(other, harness.TopicRoot+"/"), "$SYS/#", "$share/group/" + other, "$share/group/#",
		harness.TopicRoot + "/#/x", harness.TopicRoot + "/a+", "", "/" + other, other + "/", own + "\x00",
	}
}

// reading is what a frame may carry that a viewer must not see.
type reading struct {
	Type     string `json:"type"`
	Readings []struct {
		Topic string `json:"topic"`
	} `json:"readings"`
}

// watched is how long a session that asked for too much stays open, so that
// what it must not see is published meanwhile.
const watched = time.Second

// door is how a viewer that may see the topic own only gets in.
type door struct {
	way   viewer.ProbeSpec
	token string
	own   string
	other string // a topic of another device,
	wide  string // and a token of the same subject that grants it too
}

func doorOf(b *harness.Bench, own string) (door, error) {
	token, err := b.SUT.Token(sut.TokenSpec{Subject: "tenant", Grants: []string{own}})
	if err != nil {
		return door{}, err
	}
	way := viewer.ProbeSpec{URL: b.SUT.ViewerURL(), TLS: b.SUT.TLS(), Origins: []string{b.SUT.Origin()}, Wait: watched}
	d := door{way: way, token: token, own: own}
	for _, device := range b.Devices() {
		if d.other = harness.Topic(device.ID); d.other != own {
			break
		}
	}
	d.wide, err = b.SUT.Token(sut.TokenSpec{Subject: "tenant", Grants: []string{own, d.other}})
	return d, err
}

// ask opens a session and takes one more step. It ends when until says so, or
// when nothing more was seen for the time of the way.
func (d door) ask(ctx context.Context, step []byte, until func([]byte) bool) viewer.ProbeResult {
	d.way.Steps = []viewer.Step{{Text: hello(d.token)}, {Expect: `"welcome"`}, {Text: step}}
	d.way.Until = until
	return viewer.Probe(ctx, d.way)
}

// leaks reports whether a frame holds what the viewer must not see.
func (d door) leaks(frame []byte) bool {
	return slices.ContainsFunc(topicsOf([][]byte{frame}), func(topic string) bool { return topic != d.own })
}

// askOutside asks for every filter at once, each fresh and with a cursor from
// the past, and enters a violation for each that is confirmed or brings data.
func (d door) askOutside(ctx context.Context, filters []string, result *tally) {
	answers := make([]viewer.ProbeResult, 2*len(filters))
	var all sync.WaitGroup
	for i := range answers {
		command := map[string]any{"type": "sub", "id": 1, "filter": filters[i/2], "mode": "all", "snapshot": true}
		if i%2 == 1 {
			command["since"] = map[string]any{"epoch": "", "offset": 0}
		}
		all.Go(func() { answers[i] = d.ask(ctx, object(command), d.leaks) })
	}
	all.Wait()
	for i, r := range answers {
		name := fmt.Sprintf("filter %q", filters[i/2])
		if i%2 == 1 {
			name += " with a cursor"
		}
		d.enter(name, r, result)
	}
}

// enter counts one answer to a filter outside the grant.
func (d door) enter(name string, r viewer.ProbeResult, result *tally) {
	if len(r.Frames) == 0 || typeOf(r.Frames[0]) != "welcome" {
		result.Control = fmt.Sprintf("the session that was to ask for %s was not admitted: %s", name, how(r.HTTPStatus, r.CloseCode, r.CloseReason, r.Err))
		return
	}
	result.Checks++
	for _, frame := range r.Frames {
		if typeOf(frame) == "subok" {
			result.violation("SEC-07", "confirmed", name, string(frame[:min(len(frame), 160)]))
		}
	}
	if i := slices.IndexFunc(r.Frames, d.leaks); i >= 0 {
		result.violation("SEC-07", "leak", name, fmt.Sprintf("delivered %v", topicsOf(r.Frames[i:i+1])))
	}
}

// askInside proves that the refusals above were not for want of anything else:
// the viewer's own topic is served. Then the viewer comes back to it again and
// again, and a grant is taken away from a live session.
func (d door) askInside(ctx context.Context, result *tally) {
	d.way.Wait = 0 // the usual patience: it ends with the first data
	r := d.ask(ctx, sub(d.own), func(frame []byte) bool { return typeOf(frame) == "batch" })
	result.Checks++
	topics := topicsOf(r.Frames)
	if !slices.Contains(topics, d.own) {
		result.Control = "a viewer did not get the topic that it may see"
	}
	if slices.ContainsFunc(r.Frames, d.leaks) {
		result.violation("SEC-07", "leak", d.own, fmt.Sprintf("delivered %v", topics))
	}
	if d.wide != "" {
		d.comeBack(ctx, returns, result)
		d.narrow(ctx, result)
	}
}

func topicsOf(frames [][]byte) (topics []string) {
	for _, frame := range frames {
		var r reading
		if json.Unmarshal(frame, &r) != nil {
			continue
		}
		for _, one := range r.Readings {
			topics = append(topics, one.Topic)
		}
	}
	return topics
}

// outlive opens a session whose token expires soon and returns how long the
// session lived on after that, watched for wait.
func outlive(ctx context.Context, b *harness.Bench, wait time.Duration) (lifetime, error) {
	expires := time.Now().Truncate(time.Second).Add(2 * time.Second)
	token, err := b.SUT.Token(sut.TokenSpec{
		Subject: "mayfly", Grants: []string{harness.AllTopics}, Claims: map[string]any{"exp": expires.Unix()},
	})
	if err != nil {
		return lifetime{}, err
	}
	return live(ctx, b, "SEC-04", token, wait, func() (due, error) { return due{expires, expires}, nil })
}

// revoke opens a session, revokes its subject and returns how long the session
// lived on after that, watched for wait.
func revoke(ctx context.Context, b *harness.Bench, wait time.Duration) (lifetime, error) {
	token, err := b.SUT.Token(sut.TokenSpec{Subject: "outcast", Grants: []string{harness.AllTopics}})
	if err != nil {
		return lifetime{}, err
	}
	return live(ctx, b, "SEC-05", token, wait, func() (due, error) {
		from := time.Now()
		err := b.SUT.Revoke("outcast")
		return due{from, time.Now()}, err
	})
}

// due is when a session ends rightly: from an instant on it may, and at another it
// must. Between the two lies what took us a while to bring about.
type due struct{ may, must time.Time }

// ended is what came of a session that ended at that instant.
func (d due) ended(at time.Time) lifetime {
	if at.Before(d.may) {
		return lifetime{Early: d.must.Sub(at)}
	}
	return lifetime{After: max(at.Sub(d.must), 0)}
}

const (
	// outlivedWait is how long a session is watched at least after it had to end.
	outlivedWait = 15 * time.Second
	// outlivedFrame bounds one frame of a session that is watched, in bytes.
	outlivedFrame = 16 << 20
)

// live opens a session, waits until it is served, calls end, which returns when the
// session has to end, and waits for its close.
func live(ctx context.Context, b *harness.Bench, id, token string, wait time.Duration, end func() (due, error)) (lifetime, error) {
	l, err := liveOn(ctx, b, id, token, wait, end)
	l.From = b.Clock.Now() - int64(max(l.After, l.Watched))
	return l, err
}

// liveOn is live on a clock of its own.
func liveOn(ctx context.Context, b *harness.Bench, id, token string, wait time.Duration, end func() (due, error)) (lifetime, error) {
	if foreign(b) {
		return outlivedInGuise(ctx, b, id, token, wait, end)
	}
	way := viewer.ProbeSpec{
		URL: b.SUT.ViewerURL(), TLS: b.SUT.TLS(), Origins: []string{b.SUT.Origin()}, Wait: wait, MaxBytes: outlivedFrame,
		Steps: text(hello(token), sub(harness.AllTopics)),
	}
	return outlived(ctx, way, id, end)
}

// outlived is live with any way in. Whatever the session brings meanwhile is not kept.
func outlived(ctx context.Context, way viewer.ProbeSpec, id string, end func() (due, error)) (lifetime, error) {
	admitted, in := make(chan struct{}), false
	way.Forget = true
	way.Until = func(frame []byte) bool { // on one goroutine
		if !in && typeOf(frame) == "batch" {
			in = true
			close(admitted)
		}
		return false
	}
	var r viewer.ProbeResult
	var ended time.Time
	done := make(chan struct{})
	go func() {
		defer close(done)
		r = viewer.Probe(ctx, way)
		ended = time.Now()
	}()
	select {
	case <-admitted:
	case <-done:
		return lifetime{Unserved: how(r.HTTPStatus, r.CloseCode, r.CloseReason, r.Err)}, ctx.Err()
	}
	when, err := end()
	<-done
	if err = errors.Join(err, ctx.Err()); err != nil {
		return lifetime{}, err
	}
	switch {
	case r.CloseCode == 0 && !r.EOF && r.Err != nil:
		return unwatched(id, ended.Sub(when.must), r.Err), nil //nolint:nilerr // what the session came to, and no fault of the harness
	case r.CloseCode == 0 && !r.EOF:
		return stillOpen(id, ended.Sub(when.must)), nil
	default:
		return when.ended(ended), nil
	}
}

// stillOpen is a session that was watched for so long after it had to end.
func stillOpen(id string, watched time.Duration) lifetime {
	return lifetime{Watched: max(watched, 1), Found: []reports.Finding{{
		Requirement: id, Kind: "outlived", Subject: "session", Confirmed: true,
		Detail: fmt.Sprintf("the session was still open %s after it had to end", watched.Round(100*time.Millisecond)),
	}}}
}

// unwatched is a session that was open for so long after it had to end, and could be
// watched no longer then.
func unwatched(id string, watched time.Duration, why error) lifetime {
	l := stillOpen(id, watched)
	l.Unwatched = why.Error()
	l.Found[0].Detail += ", when it could be watched no longer: " + l.Unwatched
	return l
}
