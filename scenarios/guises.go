package scenarios

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
)

// A system whose viewers speak another protocol than plumbline.v1 is besieged by
// viewers of its own protocol. Served is then who got data.

// outcome is what came of one attempt to get in.
type outcome struct {
	served string // what was got that only an admitted viewer may have, "" for nothing
	ended  bool   // it was refused or closed by the system
	status int    // of HTTP, 0 for none
	code   int    // of the close frame, 0 for none
	reason string
}

// outcomeOf reads what came of a probe.
func outcomeOf(r viewer.ProbeResult) outcome {
	o := outcome{ended: ended(r), status: r.HTTPStatus, code: r.CloseCode, reason: r.CloseReason}
	if frame := served(r); frame != "" {
		o.served = "the bridge answered " + frame
	}
	return o
}

// arrivals counts what a viewer is given, whether it was let in or not.
type arrivals struct {
	mu    sync.Mutex
	first chan struct{} // closed at the first
	count int
	more  map[string]bool // topics that the viewer may not see
}

// watch makes a viewer's arrivals seen. allowed says which streams it may see;
// nil is all.
func watch(cfg *viewer.Config, allowed func(stream uint32) bool) *arrivals {
	a := &arrivals{first: make(chan struct{}), more: map[string]bool{}}
	inner := cfg.Resolve
	cfg.Resolve = func(topic string, payload []byte) (uint32, uint64, uint8) {
		stream, seq, flags := inner(topic, payload)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.count++; a.count == 1 {
			close(a.first)
		}
		if allowed != nil && !allowed(stream) && len(a.more) < 10 {
			a.more[fmt.Sprintf("%.80q (stream %d)", topic, int32(stream))] = true
		}
		return stream, seq, flags
	}
	return a
}

// leaked lists what came that the viewer may not see.
func (a *arrivals) leaked() (topics []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for topic := range a.more {
		topics = append(topics, topic)
	}
	return topics
}

// any reports whether anything came.
func (a *arrivals) any() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count > 0
}

// knock lets a viewer try to get in once, until it is given something, at most
// for wait.
func knock(ctx context.Context, cfg viewer.Config, wait time.Duration) outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := watch(&cfg, nil)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-seen.first:
			cancel()
		case <-ctx.Done():
		}
	})
	o := stay(ctx, cfg, wait)
	cancel()
	watching.Wait()
	if seen.any() {
		o.served = "the bridge delivered data"
	}
	return o
}

// stay lets a viewer try to get in once and to stay for wait.
func stay(ctx context.Context, cfg viewer.Config, wait time.Duration) (o outcome) {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	cfg.Reconnect.Off, cfg.Resume, cfg.NoRefresh = true, false, true
	v, err := viewer.Open(limited, cfg)
	if err != nil {
		o.ended = limited.Err() == nil
		o.refusedBy(err)
		return o
	}
	select {
	case <-v.Done():
		o.ended = true
		o.refusedBy(v.Err())
	case <-limited.Done():
	}
	_ = v.Close() // it returns nil
	return o
}

// refusedBy takes over how the system put its refusal.
func (o *outcome) refusedBy(err error) {
	var refused *viewer.RefusedError
	if errors.As(err, &refused) {
		o.status, o.code, o.reason = refused.Status, refused.Code, refused.Reason
	}
}

// inGuise returns the attempts on a system of another protocol by requirement,
// and notes the tokens that they show.
func inGuise(b *harness.Bench, shown *canaries) (map[string][]attempt, error) {
	all := map[string][]attempt{}
	add := func(id, name string, change func(*viewer.Config)) {
		cfg := harness.ViewerConfig(b, "intruder with "+name)
		change(&cfg)
		all[id] = append(all[id], attempt{name: name, guise: &cfg})
	}
	showing := func(token string) func(context.Context) (string, error) {
		shown.show(token)
		return func(context.Context) (string, error) { return token, nil }
	}
	add("SEC-02", "no token", func(cfg *viewer.Config) { cfg.Token = nil })
	add("SEC-02", "a word that is no token", func(cfg *viewer.Config) { cfg.Token = showing("sesame") })
	addTransports(b, add)
	for name, origin := range foreignOrigins(b.SUT.Origin()) {
		add("SEC-06", "origin "+name, func(cfg *viewer.Config) { cfg.Origin = origin })
	}
	if !b.SUT.Mints() {
		return all, nil
	}
	for _, m := range b.SUT.Mutations() {
		token, err := b.SUT.Token(sut.TokenSpec{Subject: "intruder", Grants: []string{harness.AllTopics}, Mutate: m})
		if err != nil {
			return nil, fmt.Errorf("token %q: %w", m, err)
		}
		add("SEC-03", "token "+string(m), func(cfg *viewer.Config) { cfg.Token = showing(token) })
	}
	return all, nil
}

// addTransports adds viewers without TLS and with old versions of it; none for a
// system without TLS.
func addTransports(b *harness.Bench, add func(id, name string, change func(*viewer.Config))) {
	if b.SUT.TLS() == nil {
		return
	}
	add("SEC-01", "plaintext on the TLS port", func(cfg *viewer.Config) {
		cfg.URL, cfg.TLS = strings.NewReplacer("wss://", "ws://", "https://", "http://").Replace(cfg.URL), nil
	})
	for name, version := range map[string]uint16{"TLS 1.0": tls.VersionTLS10, "TLS 1.1": tls.VersionTLS11} {
		add("SEC-01", name, func(cfg *viewer.Config) {
			cfg.TLS = cfg.TLS.Clone()
			cfg.TLS.MinVersion, cfg.TLS.MaxVersion = version, version
		})
	}
}

// foreignOrigins returns origins that are not own, by what is wrong with them.
func foreignOrigins(own string) map[string]string {
	scheme, host, _ := strings.Cut(own, "://")
	other := map[string]string{"https": "http", "http": "https"}[scheme]
	return map[string]string{
		"foreign": "https://evil.example", "null": "null", "suffix": own + ".evil.example", "prefix": scheme + "://evil" + host,
		"sub-domain": scheme + "://evil." + host, "other port": own + "1", "other scheme": other + "://" + host, "user part": scheme + "://" + host + "@evil.example",
	}
}

// rightfulGuise proves that a system of another protocol serves who may come in.
func rightfulGuise(ctx context.Context, b *harness.Bench) (string, error) {
	o := knock(ctx, harness.ViewerConfig(b, "rightful"), 5*time.Second)
	if o.served != "" || ctx.Err() != nil {
		return "", ctx.Err()
	}
	return "a rightful viewer was given nothing: " + how(o.status, o.code, o.reason, nil), nil
}

// askInGuise asks a system of another protocol for every filter at once, with a
// token for the topic own only.
func askInGuise(ctx context.Context, b *harness.Bench, own string, filters []string, result *tally) {
	askAs(ctx, func(filter string) viewer.Config {
		cfg := harness.ViewerConfig(b, "tenant asking for "+filter)
		cfg.Filters, cfg.Token = []string{filter}, harness.Credential(b, "tenant", []string{own})
		return cfg
	}, b.Generator.Streams()[0], own, filters, putOffInAll, result)
}

// putOff reports whether the system said that it has too much to do at the moment.
func (o outcome) putOff() bool {
	return o.status == http.StatusTooManyRequests || o.status == http.StatusServiceUnavailable
}

// Pauses before a session that was put off is tried again alone.
const (
	putOffFirst = 250 * time.Millisecond // twice as long at each further try
	putOffLast  = 4 * time.Second
	putOffInAll = 30 * time.Second // for all that are tried again; the scenario has more to do
)

// askAs asks for every filter at once, and then for the topic own, and enters a
// violation for each that brings data of another stream than mine. A confirmation
// is none: brokers confirm what they then filter. A session that was put off is
// tried again alone, so that a limit of the rate hides nothing, as long as that takes
// no more than patience in all.
func askAs(ctx context.Context, as func(filter string) viewer.Config, mine uint32, own string, filters []string, patience time.Duration, result *tally) {
	ask := func(filter string) (*arrivals, outcome) {
		cfg := as(filter)
		seen := watch(&cfg, func(stream uint32) bool { return stream == mine })
		return seen, stay(ctx, cfg, watched)
	}
	all, outcomes := make([]*arrivals, len(filters)), make([]outcome, len(filters))
	var asked sync.WaitGroup
	for i, filter := range filters {
		asked.Go(func() { all[i], outcomes[i] = ask(filter) })
	}
	asked.Wait()
	again, done := context.WithTimeout(ctx, patience) // as long as it is worth another try
	defer done()
	alone := func(filter string) (seen *arrivals, o outcome) {
		for pause := putOffFirst; ; pause *= 2 {
			if seen, o = ask(filter); !o.putOff() || pause > putOffLast || harness.Wait(again, pause) != nil {
				return seen, o
			}
		}
	}
	for i, o := range outcomes {
		if !o.putOff() {
			continue
		}
		if all[i], o = alone(filters[i]); o.putOff() { // nor will it take the others
			result.Control = fmt.Sprintf("the session that was to ask for %q was put off, alone too: %s", filters[i], how(o.status, o.code, o.reason, nil))
			break
		}
	}
	inside, o := alone(own)
	if !inside.any() {
		result.Control = "a viewer did not get the topic that it may see: " + how(o.status, o.code, o.reason, nil)
	}
	for i, seen := range append(all, inside) {
		name := own
		if i < len(filters) {
			name = filters[i]
		}
		result.Checks++
		if topics := seen.leaked(); len(topics) > 0 {
			result.violation("SEC-07", "leak", fmt.Sprintf("filter %q", name), fmt.Sprintf("delivered %v", topics))
		}
	}
}

// outlivedInGuise is live for a system of another protocol.
func outlivedInGuise(ctx context.Context, b *harness.Bench, id, token string, wait time.Duration, end func() (due, error)) (lifetime, error) {
	cfg := harness.ViewerConfig(b, "session of "+id)
	cfg.Token = func(context.Context) (string, error) { return token, nil }
	return outlivedAs(ctx, cfg, id, wait, end)
}

// outlivedAs is outlived with a viewer of any protocol, which is watched for wait
// after it had to end.
func outlivedAs(ctx context.Context, cfg viewer.Config, id string, wait time.Duration, end func() (due, error)) (lifetime, error) {
	cfg.Reconnect.Off, cfg.NoRefresh, cfg.Resume = true, true, false
	v, err := viewer.Open(ctx, cfg)
	if err != nil {
		return lifetime{Unserved: err.Error()}, ctx.Err()
	}
	defer func() { _ = v.Close() }()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := v.WaitReceived(limited, 1); err != nil {
		return lifetime{Unserved: err.Error()}, ctx.Err()
	}
	when, err := end()
	if err != nil {
		return lifetime{}, err
	}
	timer := time.NewTimer(time.Until(when.must) + wait)
	defer timer.Stop()
	select {
	case <-v.Done():
		if err := v.Err(); viewer.GaveUp(err) {
			return unwatched(id, time.Since(when.must), err), nil
		}
		return when.ended(time.Now()), nil
	case <-timer.C:
		return stillOpen(id, time.Since(when.must)), nil
	case <-ctx.Done():
		return lifetime{}, ctx.Err()
	}
}
