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

// askOutside asks for a filter outside the grant, fresh or with a cursor from
// the past, and enters a violation when it is confirmed or brings data.
func askOutside(ctx context.Context, b *harness.Bench, own, filter string, since bool, result *tally) error {
	command := map[string]any{"type": "sub", "id": 1, "filter": filter, "mode": "all", "snapshot": true}
	name := fmt.Sprintf("filter %q", filter)
	if since {
		command["since"] = map[string]any{"epoch": "", "offset": 0}
		name += " with a cursor"
	}
	r, err := tenant(ctx, b, own, viewer.Step{Text: object(command)}, func(frame []byte) bool {
		kind := typeOf(frame)
		return kind == "suberr" || kind == "batch" || kind == "snapshot"
	})
	if err != nil {
		return err
	}
	result.checks++
	for _, frame := range r.Frames {
		if typeOf(frame) == "subok" {
			result.violation("SEC-07", "confirmed", name, string(frame[:min(len(frame), 160)]))
		}
	}
	for _, topic := range topicsOf(r.Frames) {
		if topic != own {
			result.violation("SEC-07", "leak", name, "delivered "+topic)
			break
		}
	}
	return nil
}

// askInside proves that the refusals above were not for want of anything else:
// the viewer's own topic is served.
func askInside(ctx context.Context, b *harness.Bench, own string, result *tally) error {
	r, err := tenant(ctx, b, own, viewer.Step{Text: sub(own)}, func(frame []byte) bool { return typeOf(frame) == "batch" })
	if err != nil {
		return err
	}
	result.checks++
	topics := topicsOf(r.Frames)
	if !slices.Contains(topics, own) {
		result.control = "a viewer did not get the topic that it may see"
	}
	if slices.ContainsFunc(topics, func(topic string) bool { return topic != own }) {
		result.violation("SEC-07", "leak", own, fmt.Sprintf("delivered %v", topics))
	}
	return nil
}

// tenant opens a session that may see own only and takes one more step.
func tenant(ctx context.Context, b *harness.Bench, own string, step viewer.Step, until func([]byte) bool) (viewer.ProbeResult, error) {
	token, err := b.SUT.Token(sut.TokenSpec{Subject: "tenant", Grants: []string{own}})
	if err != nil {
		return viewer.ProbeResult{}, err
	}
	r := viewer.Probe(ctx, viewer.ProbeSpec{
		URL: b.SUT.ViewerURL(), TLS: b.SUT.TLS(), Origins: []string{b.SUT.Origin()}, Wait: 2 * time.Second, Until: until,
		Steps: []viewer.Step{{Text: hello(token)}, {Expect: `"welcome"`}, step},
	})
	return r, ctx.Err()
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
// session lived on after that.
func outlive(ctx context.Context, b *harness.Bench) (lifetime, error) {
	expires := time.Now().Truncate(time.Second).Add(2 * time.Second)
	token, err := b.SUT.Token(sut.TokenSpec{
		Subject: "mayfly", Grants: []string{harness.AllTopics}, Claims: map[string]any{"exp": expires.Unix()},
	})
	if err != nil {
		return lifetime{}, err
	}
	return live(ctx, b, "SEC-04", token, func() (time.Time, error) { return expires, nil })
}

// revoke opens a session, revokes its subject and returns how long the session
// lived on after that.
func revoke(ctx context.Context, b *harness.Bench) (lifetime, error) {
	token, err := b.SUT.Token(sut.TokenSpec{Subject: "outcast", Grants: []string{harness.AllTopics}})
	if err != nil {
		return lifetime{}, err
	}
	return live(ctx, b, "SEC-05", token, func() (time.Time, error) {
		at := time.Now()
		return at, b.SUT.Revoke("outcast")
	})
}

// live opens a session, waits until it is served, calls end, which returns the
// instant from which on the session must not live, and waits for its close.
func live(ctx context.Context, b *harness.Bench, id, token string, end func() (time.Time, error)) (lifetime, error) {
	admitted := make(chan struct{})
	done := make(chan viewer.ProbeResult, 1)
	go func() {
		var once sync.Once
		done <- viewer.Probe(ctx, viewer.ProbeSpec{
			URL: b.SUT.ViewerURL(), TLS: b.SUT.TLS(), Origins: []string{b.SUT.Origin()}, Wait: 15 * time.Second, MaxBytes: 64 << 20,
			Steps: text(hello(token), sub(harness.AllTopics)),
			Until: func(frame []byte) bool {
				if typeOf(frame) == "batch" {
					once.Do(func() { close(admitted) })
				}
				return false
			},
		})
	}()
	select {
	case <-admitted:
	case r := <-done:
		return lifetime{}, errors.Join(fmt.Errorf("the session was never served: close code %d %q", r.CloseCode, r.CloseReason), r.Err, ctx.Err())
	}
	from, err := end()
	r := <-done
	if err = errors.Join(err, ctx.Err()); err != nil {
		return lifetime{}, err
	}
	if r.CloseCode == 0 && !r.EOF {
		return lifetime{found: []reports.Finding{{
			Requirement: id, Kind: "outlived", Subject: "session", Confirmed: true,
			Detail: "the session was still open when the harness gave up waiting",
		}}}, nil
	}
	return lifetime{after: max(time.Since(from), 0)}, nil
}
