package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"plumbline/harness/sut"
	"plumbline/harness/viewer"
)

// ports are those that an address means when it names none.
var ports = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443", "mqtt": "1883", "mqtts": "8883"}

// hostOf returns host and port of an address.
func hostOf(u *url.URL) (string, error) {
	port := u.Port()
	if port == "" {
		port = ports[u.Scheme]
	}
	if u.Hostname() == "" || port == "" {
		return "", fmt.Errorf("address %q names no host and port to go to", u.Redacted())
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

func (b *Bench) startViewers(ctx context.Context) error {
	if b.afar() {
		if err := b.startAgents(ctx); err != nil {
			return err
		}
		return b.openAfar(ctx)
	}
	if b.plan.Idle > 0 {
		return fmt.Errorf("harness: %d viewers that only wait, and no processes to hold them", b.plan.Idle)
	}
	for i := range b.plan.Load.Viewers {
		if _, err := b.AddViewer(ctx, b.planned(i)); err != nil {
			return err
		}
	}
	return nil
}

// quietTopics are those that viewers watch which only wait: nothing is published there.
const quietTopics = "bench-quiet/#"

// planned returns the settings of viewer i of the plan, of which those that only wait
// come last. A system that has several addresses gets its viewers in turn.
func (b *Bench) planned(i int) viewer.Config {
	var cfg viewer.Config
	if n := b.plan.Load.Viewers; i < n {
		cfg = ViewerConfig(b, fmt.Sprintf("viewer-%02d", i+1))
	} else {
		cfg = ViewerConfig(b, b.idle[i-n])
		cfg.Filters = []string{quietTopics}
		cfg.Token = Credential(b, cfg.Name, cfg.Filters)
	}
	cfg.URL = inTurn(i, cfg.URL, b.SUT.Viewer().Also)
	return cfg
}

// inTurn gives viewer i one of the addresses of a system.
func inTurn(i int, first string, also []string) string {
	if n := i % (len(also) + 1); n > 0 {
		return also[n-1]
	}
	return first
}

// ViewerConfig returns the settings of a viewer that may see and subscribes to
// everything on the bench, reconnects fast and takes the proxy when there is
// one. Change what the scenario needs and hand it to AddViewer.
func ViewerConfig(b *Bench, name string) viewer.Config {
	of := b.SUT.Viewer()
	cfg := viewer.Config{
		Name: name, Protocol: of.Protocol, URL: of.URL, Origin: of.Origin, TLS: b.SUT.TLS(),
		Subprotocol: of.Subprotocol, MQTTVersion: of.MQTTVersion, Hello: of.Hello, Reply: of.Reply, Again: of.Resume, Message: viewer.Pointers(of.Message), Interval: of.Interval, Place: viewer.TokenPlace(of.Token),
		Filters: b.plan.Filters, Resume: b.SUT.Has(sut.CapResume),
		Recorder: b.Recorder, Clock: b.Clock, Resolve: b.resolver.Resolve, Silence: b.plan.Silence, KeepAlive: b.plan.KeepAlive, Log: b.log,
		Plausible: b.plausible,
	}
	if b.SUT.Has(sut.CapQoS1) {
		cfg.QoS = 1
	}
	cfg.Token = Credential(b, name, b.plan.Filters)
	if b.ViewerProxy != nil {
		cfg.Dial, cfg.TLS = dialTo(b.ViewerProxy.Addr()), b.throughProxy(cfg.TLS, b.plan.Frames)
	}
	return cfg
}

// viewerLimit bounds how long a system that is ready may keep a viewer waiting.
const viewerLimit = 30 * time.Second

// Credential returns what gives a viewer of that name its tokens, with grants
// for these filters; nil for a system that takes none.
func Credential(b *Bench, name string, filters []string) func(context.Context) (string, error) {
	if !b.SUT.Mints() {
		return nil
	}
	return func(context.Context) (string, error) {
		return b.SUT.Token(sut.TokenSpec{Subject: name, Grants: filters, TTL: time.Hour})
	}
}

// AddViewer opens one more viewer, within 30 s. It belongs to the bench from then on.
func (b *Bench) AddViewer(ctx context.Context, cfg viewer.Config) (*viewer.Viewer, error) {
	limited, cancel := context.WithTimeoutCause(ctx, viewerLimit, fmt.Errorf("no viewer got in within %v", viewerLimit))
	defer cancel()
	v, err := viewer.Open(limited, cfg)
	if err != nil {
		return nil, b.unreachable(ctx, fmt.Errorf("harness: viewer %q: %w", cfg.Name, err))
	}
	b.Viewers = append(b.Viewers, v)
	b.before = append(b.before, b.accepted(ctx))
	return v, nil
}

// RemoveViewer takes a viewer off the bench, so that nobody waits for what it
// does not get any more. The caller closes it.
func (b *Bench) RemoveViewer(v Viewer) {
	for i, have := range b.Viewers {
		if have == v {
			b.Viewers = slices.Delete(b.Viewers, i, i+1)
			b.before = slices.Delete(b.before, i, i+1)
			return
		}
	}
}

// ErrAway says that a viewer did not come back. The recording shows that too:
// it is for the oracles to judge.
var ErrAway = errors.New("a viewer did not come back")

// Settled waits until every viewer and the witness are connected again, as
// after a restart of the system under test. Limit bounds the wait for each, and for all
// that are at agents; for a viewer the error wraps ErrAway then.
func (b *Bench) Settled(ctx context.Context, limit time.Duration) error {
	others, err := b.settledAfar(ctx, limit)
	if err != nil {
		return b.blame(err)
	}
	for _, v := range others {
		if err := Until(ctx, limit, "a viewer is connected again", v.Connected); err != nil {
			if ctx.Err() == nil {
				err = fmt.Errorf("%w: %w", ErrAway, err)
			}
			return b.blame(err)
		}
	}
	return b.blame(Until(ctx, limit, "the witness is connected again", func() bool {
		c := b.Witness.Counters()
		return c.Connects > c.Disconnects
	}))
}

// A viewer may get so many readings, and so many times what the broker took:
// duplicates, retained values and what strangers publish are for the oracles to
// judge, up to where a recording would outgrow the machine.
const (
	plausibleFloor = 1_000_000
	plausibleShare = 10
)

// plausible returns the most readings that a viewer can have got by now. Viewers
// ask while the bench may still be starting.
func (b *Bench) plausible() uint64 {
	var taken uint64
	if b.Witness != nil {
		taken = b.Witness.Counters().Witnessed
	}
	_, acked := b.Generator.Taken()
	taken = max(taken, uint64(max(acked, 0)))
	return plausibleFloor + plausibleShare*taken
}

// sensorsRate bounds what sensors that publish by themselves do in a second.
const sensorsRate = 10_000

// witnessable returns the most messages that the witness can have seen by now:
// as plausible, and what sensors may have published that tell nobody.
func (b *Bench) witnessable() uint64 {
	most := plausibleFloor + sensorsRate*uint64(max(b.Clock.Now(), 0))/uint64(time.Second)
	sent, acked := b.Generator.Taken()
	return most + plausibleShare*uint64(max(acked, sent, 0))
}

// accepted counts what the broker took so far, each message once. Sensors that publish by themselves
// tell nobody what was acknowledged; the witness sees theirs.
type accepted struct {
	acked     uint64 // to the generator
	witnessed uint64
}

// accepted returns what the broker took so far. Before it is open, and when it has
// died, which others tell, the generator knows of nothing.
func (b *Bench) accepted(ctx context.Context) accepted {
	var a accepted
	if h, err := b.Generator.Health(ctx); err == nil {
		a.acked = uint64(max(h.Acked, 0))
	}
	if b.Witness != nil {
		a.witnessed = b.Witness.Counters().Distinct()
	}
	return a
}

// since returns how many messages came to the broker after before.
func (a accepted) since(before accepted) uint64 {
	return max(a.acked-before.acked, a.witnessed-before.witnessed)
}
