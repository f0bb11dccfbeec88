package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"plumbline/harness/generator"
	"plumbline/harness/load"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
)

// Claim is a capability that was asked for by trying it out.
type Claim struct {
	Capability string
	Claimed    bool   // the descriptor has it
	Present    bool   // it was seen
	Unknown    string // why nothing can be said; then Present means nothing
	Seen       string // what was seen
}

// Times of Claims. Each question ends as soon as it is answered.
const (
	claimLimit = 5 * time.Second // for a viewer to get in or be refused
	claimQuiet = time.Second     // without an answer for so long there is none
)

// strangeOrigin is an origin that no operator can have allowed by name.
const strangeOrigin = "https://plumbline-claims.invalid"

// Claims finds out, by trying, which of the capabilities that can be asked for
// cheaply the system has: TLS, authentication, origin-check, snapshot, retained
// and resume. It needs a bench on which no device is at work, and takes some
// seconds. It judges nothing: one try shows that something is there, never that
// it can be relied on. Errors are those of the bench.
func (b *Bench) Claims(ctx context.Context) ([]Claim, error) {
	a := &asker{Bench: b}
	if err := a.publish(ctx); err != nil {
		return nil, b.unreachable(ctx, fmt.Errorf("harness: claims: %w", err))
	}
	a.note(sut.CapTLS, strings.HasPrefix(b.SUT.ViewerURL(), "wss://") || strings.HasPrefix(b.SUT.ViewerURL(), "https://"), "the address of viewers")
	control, err := a.enter(ctx, "control", nil)
	if err != nil {
		return nil, b.unreachable(ctx, fmt.Errorf("harness: claims: a rightful viewer is not served: %w", err))
	}
	_ = control.Close()
	a.refused(ctx, sut.CapAuth, "a viewer without a token", func(cfg *viewer.Config) {
		cfg.Token, cfg.Place = nil, viewer.TokenPlace{In: viewer.InNone}
	})
	a.refused(ctx, sut.CapOriginCheck, "a page of "+strangeOrigin, func(cfg *viewer.Config) { cfg.Origin = strangeOrigin })
	a.shown(ctx)
	a.resumed(ctx)
	return a.claims, ctx.Err()
}

// asker is Claims at work.
type asker struct {
	*Bench
	hand   *generator.Hand
	line   *generator.Line
	claims []Claim
}

// claimTopic is where Claims publishes.
const claimTopic = TopicRoot + "/claims"

// publish connects a device of its own.
func (a *asker) publish(ctx context.Context) (err error) {
	if a.hand, err = a.Generator.Hand(ctx, generator.HandOptions{Name: "claims", Aside: true}); err != nil {
		return err
	}
	a.line, err = a.hand.Line(ctx, record.Stream{Device: "claims", Topic: claimTopic, QoS: 1, Foreign: true})
	return err
}

// send publishes one message and waits until the broker has it.
func (a *asker) send(ctx context.Context, retain bool, payload string) error {
	if _, err := a.line.Send(ctx, load.Parcel{Raw: []byte(payload), QoS: 1, Retain: retain}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, claimLimit, errors.New("the broker did not acknowledge a message"))
	defer cancel()
	return a.hand.WaitAcked(ctx)
}

// enter opens one more viewer, which is not part of the bench.
func (a *asker) enter(ctx context.Context, name string, change func(*viewer.Config)) (*viewer.Viewer, error) {
	cfg := ViewerConfig(a.Bench, "claims-"+name)
	cfg.Filters, cfg.Snapshot = []string{AllTopics}, true
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, claimLimit, fmt.Errorf("no answer within %v", claimLimit))
	defer cancel()
	return viewer.Open(ctx, cfg)
}

func (a *asker) note(capability string, present bool, seen string) {
	a.claims = append(a.claims, Claim{Capability: capability, Claimed: a.SUT.Has(capability), Present: present, Seen: seen})
}

func (a *asker) unknown(capability string, err error) {
	a.claims = append(a.claims, Claim{Capability: capability, Claimed: a.SUT.Has(capability), Unknown: err.Error()})
}

// refused asks whether a viewer that ought not to be let in is not: by an
// answer, or by a close soon after.
func (a *asker) refused(ctx context.Context, capability, who string, change func(*viewer.Config)) {
	v, err := a.enter(ctx, capability, func(cfg *viewer.Config) {
		cfg.Reconnect.Off = true
		change(cfg)
	})
	var no *viewer.RefusedError
	switch {
	case errors.As(err, &no):
		a.note(capability, true, fmt.Sprintf("%s was refused: %v", who, no))
		return
	case err != nil:
		a.unknown(capability, err)
		return
	}
	defer func() { _ = v.Close() }()
	select {
	case <-v.Done():
		if errors.As(v.Err(), &no) {
			a.note(capability, true, fmt.Sprintf("%s was sent away: %v", who, no))
			return
		}
	case <-time.After(claimQuiet):
	case <-ctx.Done():
	}
	a.note(capability, false, who+" was let in")
}

// shown asks what a new viewer gets to see: the last value, and a retained one.
func (a *asker) shown(ctx context.Context) {
	count := func(name string, retain bool, payload string) (uint64, error) {
		if err := a.send(ctx, retain, payload); err != nil {
			return 0, err
		}
		v, err := a.enter(ctx, name, nil)
		if err != nil {
			return 0, err
		}
		defer func() { _ = v.Close() }()
		seen := func() bool { return v.Counters().Restored+v.Counters().Received > 0 }
		_ = Until(ctx, claimQuiet, "a value", seen) // that there is none is an answer
		return v.Counters().Restored + v.Counters().Received, ctx.Err()
	}
	for _, c := range []struct {
		capability, payload string
		retain              bool
		what                string
	}{
		{sut.CapSnapshot, `{"claims":"snapshot"}`, false, "the last value of a topic"},
		{sut.CapRetained, `{"claims":"retained"}`, true, "a retained message"},
	} {
		n, err := count(c.capability, c.retain, c.payload)
		if err != nil {
			a.unknown(c.capability, err)
			continue
		}
		a.note(c.capability, n > 0, map[bool]string{true: "a new viewer was shown ", false: "a new viewer was not shown "}[n > 0]+c.what)
	}
	if err := a.send(ctx, true, ""); err != nil { // takes the retained message back
		a.log.Warn("a retained message stays behind", "topic", claimTopic, "error", err)
	}
}

// resumed asks whether a viewer is brought what was published while it was away.
func (a *asker) resumed(ctx context.Context) {
	present, err := a.away(ctx)
	if err != nil {
		a.unknown(sut.CapResume, err)
		return
	}
	a.note(sut.CapResume, present, map[bool]string{
		true: "a viewer was brought a message that it had missed", false: "a viewer was not brought a message that it had missed",
	}[present])
}

func (a *asker) away(ctx context.Context) (bool, error) {
	v, err := a.enter(ctx, sut.CapResume, func(cfg *viewer.Config) {
		cfg.Snapshot, cfg.Resume, cfg.Reconnect = false, true, viewer.Backoff{Initial: claimQuiet, Max: claimQuiet}
	})
	if err != nil {
		return false, err
	}
	defer func() { _ = v.Close() }()
	before := v.Counters().Received
	if err := a.send(ctx, false, `{"claims":"seen"}`); err != nil {
		return false, err
	}
	if err := Until(ctx, claimLimit, "a live message", func() bool { return v.Counters().Received > before }); err != nil {
		return false, err
	}
	v.Cut()
	if err := Until(ctx, claimLimit, "the viewer to be away", func() bool { return v.Counters().Disconnects > 0 }); err != nil {
		return false, err
	}
	missed := v.Counters().Received
	if err := a.send(ctx, false, `{"claims":"missed"}`); err != nil {
		return false, err
	}
	back, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	if err := v.WaitConnected(back, 2); err != nil {
		return false, err
	}
	_ = Until(ctx, claimQuiet, "the missed message", func() bool { return v.Counters().Received > missed })
	return v.Counters().Received > missed, ctx.Err()
}
