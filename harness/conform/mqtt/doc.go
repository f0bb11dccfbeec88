// Package mqtt judges an MQTT broker from outside by MQTT 3.1.1 and 5.0, as
// far as a pipeline from sensors to viewers depends on it. Each case names the
// statement of the standard that it judges; where the standard leaves a matter
// open and we judge, the case is a SHOULD and says so.
//
// It speaks raw bytes over TCP or TLS with its own small client.
package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"plumbline/harness/conform"
)

// What a broker may be declared not to have, in Options.Lacks. What it
// announces itself as missing in CONNACK need not be declared.
const (
	LacksV311     = "mqtt3.1.1"
	LacksV5       = "mqtt5"
	LacksQoS2     = "qos2"
	LacksRetained = "retained"
	LacksShared   = "shared-subscriptions"
	LacksAliases  = "topic-aliases"
	LacksSubIDs   = "subscription-identifiers"
	LacksWill     = "wills"
	LacksSessions = "sessions"
)

var lackable = []string{LacksV311, LacksV5, LacksQoS2, LacksRetained, LacksShared, LacksAliases, LacksSubIDs, LacksWill, LacksSessions}

// Lackable returns what Options.Lacks may hold.
func Lackable() []string { return slices.Clone(lackable) }

// Target is the broker.
type Target struct {
	URL                string // mqtt:// or mqtts://
	WebSocket          string // ws:// or wss://, of the listener for MQTT over WebSocket; "" leaves section 6 out
	TLS                *tls.Config
	Dial               func(ctx context.Context, network, address string) (net.Conn, error)
	Username, Password string
}

// Options tune a run; the zero value suits a broker that has everything.
type Options struct {
	Topics   string        // the first levels of all topics; "" means "plumbline-conform"
	Lacks    []string      // rules about these are not applicable
	Silence  time.Duration // within which a connection that sends no CONNECT must end; 0 means 10 s
	Patience time.Duration // for answers that ought to come at once; 0 means DefaultPatience
	Parallel int           // cases at once; 0 means 24, for most of them wait
	Only     []string      // ids of the cases to run, nil for all; what holds for every packet is judged always
	Progress func(conform.Case)
}

// DefaultPatience is much more than an answer takes: that none came must be the
// server's doing, not that of a machine which stood still for a moment.
const DefaultPatience = 4 * time.Second

// suite is one run.
type suite struct {
	target Target
	o      Options
	end    conform.Endpoint
	run    string // tells this run's client ids and topics from those of others
	serial atomic.Int64
	seen   conform.Observed
	server features
	web    conform.Endpoint
	webURL *url.URL // nil without a listener for WebSocket
}

// features are what the broker announces to a client of version 5.
type features struct {
	receiveMax, aliasMax, maxPacket uint32
	noRetain, noShared, noSubs      bool
	maxQoS                          uint32
	forgets                         bool // keeps no session for as long as the cases need one
}

// Run judges the broker and returns after at most a minute and a half, or when
// ctx ends. Its errors are conform.ErrUsage and conform.ErrUnreachable. It
// leaves neither retained messages nor sessions behind, unless it is cut short.
func Run(ctx context.Context, target Target, o Options) (conform.Report, error) {
	began := time.Now()
	end, u, err := conform.Resolve(target.URL, "mqtt", "mqtts", "1883", "8883", target.TLS)
	if err != nil {
		return conform.Report{}, err
	}
	end.Dial = target.Dial
	s := &suite{target: target, end: end, run: runID()}
	if target.WebSocket != "" {
		if s.web, s.webURL, err = conform.Resolve(target.WebSocket, "ws", "wss", "80", "443", target.TLS); err != nil {
			return conform.Report{}, err
		}
		s.web.Dial = target.Dial
	}
	if u.User != nil {
		return conform.Report{}, fmt.Errorf("mqtt: URL: %w: give user and password apart from it", conform.ErrUsage)
	}
	if err := o.complete(); err != nil {
		return conform.Report{}, err
	}
	s.o = o
	checks, err := conform.Choose(s.checks(), o.Only)
	if err != nil {
		return conform.Report{}, fmt.Errorf("mqtt: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 88*time.Second)
	defer cancel()
	settings := conform.Settings{End: end, Patience: o.Patience, Limit: o.Silence + 20*time.Second, Parallel: o.Parallel}
	if len(target.Password) >= leastSecret {
		settings.Secrets = []string{target.Password}
	}
	if err := s.explore(ctx, settings); err != nil {
		return conform.Report{}, fmt.Errorf("mqtt: %s: %w", u.Redacted(), err)
	}
	settings.Progress = o.Progress
	cases := conform.Execute(ctx, checks, settings)
	for _, c := range s.seen.Cases(standing) {
		if lack := versionOf(c.ID); s.lacks(lack) { // how it refuses the version is no rule of that version
			c = conform.Case{Rule: c.Rule, Verdict: conform.NotApplicable, Detail: without(lack)}
		}
		cases = append(cases, c)
	}
	return conform.Report{Suite: "mqtt", Target: u.Redacted(), Took: time.Since(began), Cases: cases}, nil
}

// leastSecret is how long a password must be to be concealed wherever it stands; a
// shorter one stands in many places by chance. A CONNECT that holds it is not shown.
const leastSecret = 8

// complete fills in what was left out.
func (o *Options) complete() error {
	for _, l := range o.Lacks {
		if !slices.Contains(lackable, l) {
			return fmt.Errorf("mqtt: lacks %q: %w: known are %s", l, conform.ErrUsage, strings.Join(lackable, ", "))
		}
	}
	if o.Topics == "" {
		o.Topics = "plumbline-conform"
	}
	if strings.ContainsAny(o.Topics, "+#\x00") || strings.HasPrefix(o.Topics, "$") {
		return fmt.Errorf("mqtt: topics %q: %w: they must be levels without wildcards", o.Topics, conform.ErrUsage)
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Silence <= 0 {
		o.Silence = 10 * time.Second
	}
	if o.Parallel <= 0 {
		o.Parallel = 24
	}
	return nil
}

// explore finds out which versions the broker speaks and what it announces.
func (s *suite) explore(ctx context.Context, settings conform.Settings) error {
	try := func(version byte) conform.Case {
		return conform.Execute(ctx, []conform.Check{{Run: func(t *conform.Trial) {
			if version == v311 {
				s.join(t, version, "explore").leave()
				return
			}
			c := s.join(t, version, "explore", lasting)
			defer s.forget(version, c.id)
			if !t.Decided() {
				s.server = announced(c.connack.props)
			}
			c.leave()
		}}}, settings)[0]
	}
	five, four := try(v5), try(v311)
	if five.Verdict != conform.Pass && four.Verdict != conform.Pass {
		return fmt.Errorf("%w: %s", conform.ErrUnreachable, five.Detail)
	}
	if five.Verdict != conform.Pass {
		s.o.Lacks = append(slices.Clone(s.o.Lacks), LacksV5)
		s.server = announced(nil)
	}
	if four.Verdict != conform.Pass {
		s.o.Lacks = append(slices.Clone(s.o.Lacks), LacksV311)
	}
	return nil
}

func announced(p properties) features {
	or := func(id int, absent uint32) uint32 {
		if v, found := p.number(id); found {
			return v
		}
		return absent
	}
	return features{
		receiveMax: max(1, or(propReceiveMax, 65535)), aliasMax: or(propTopicAliasMax, 0), maxPacket: or(propMaxPacket, maxPacket),
		noRetain: or(propRetainAvailable, 1) == 0, noShared: or(propShared, 1) == 0, noSubs: or(propSubscriptionIDs, 1) == 0,
		maxQoS: or(propMaxQoS, 2), forgets: or(propSessionExpiry, sessionLife) < leastLife,
	}
}

// lacks reports whether the broker was declared or announced itself without it.
func (s *suite) lacks(what string) bool {
	if slices.Contains(s.o.Lacks, what) {
		return true
	}
	switch what {
	case LacksQoS2:
		return s.server.maxQoS < 2
	case LacksRetained:
		return s.server.noRetain
	case LacksShared:
		return s.server.noShared
	case LacksAliases:
		return s.server.aliasMax == 0
	case LacksSubIDs:
		return s.server.noSubs
	}
	return false
}

// Rules returns what the suite judges, in its order.
func Rules() []conform.Rule { return conform.Rules((&suite{}).checks(), standing) }

func (s *suite) checks() []conform.Check {
	var all []conform.Check
	for _, part := range [][]conform.Check{
		s.connectChecks(), s.connectPropChecks(), s.clientIDChecks(), s.timeChecks(), s.packetChecks(), s.publishChecks(),
		s.retainChecks(), s.retainFiveChecks(), s.qosChecks(), s.resendChecks(), s.windowChecks(), s.propertyChecks(), s.aliasChecks(),
		s.subscribeChecks(), s.matchChecks(), s.unsubscribeChecks(), s.sharedChecks(), s.sessionChecks(), s.willChecks(), s.willFiveChecks(),
		s.webChecks(),
	} {
		all = append(all, part...)
	}
	return all
}

// five declares a rule of MQTT 5.0 by its statement; a letter tells several
// cases of one statement apart.
func (s *suite) five(id, letter string, level conform.Level, text string, run func(*conform.Trial), needs ...string) conform.Check {
	return s.check(v5, id, letter, level, text, run, needs)
}

// both declares a rule that stands in both versions under these statements.
func (s *suite) both(id4, id5, letter string, level conform.Level, text string, run func(*conform.Trial, byte), needs ...string) []conform.Check {
	return []conform.Check{
		s.check(v311, id4, letter, level, text, func(t *conform.Trial) { run(t, v311) }, needs),
		s.check(v5, id5, letter, level, text, func(t *conform.Trial) { run(t, v5) }, needs),
	}
}

func (s *suite) check(version byte, id, letter string, level conform.Level, text string, run func(*conform.Trial), needs []string) conform.Check {
	name, prefix := "MQTT 5.0", "MQTT5-"
	if version == v311 {
		name, prefix = "MQTT 3.1.1", "MQTT311-"
	}
	section := fmt.Sprintf("%s [MQTT-%s]", name, id)
	if !strings.Contains(id, "-") {
		section = fmt.Sprintf("%s section %s", name, id)
	}
	if level == conform.Should {
		section += " (SHOULD or judgement)"
	}
	return conform.Check{
		Rule: conform.Rule{ID: prefix + id + letter, Section: section, Level: level, Text: text},
		Run: func(t *conform.Trial) {
			for _, n := range append([]string{versionOf(prefix)}, needs...) {
				if s.lacks(n) || version == v5 && n == LacksSessions && s.server.forgets {
					t.Skipf("%s", without(n))
					return
				}
			}
			run(t)
		},
	}
}

// versionOf returns the version that a case is about, as what may be lacked.
func versionOf(id string) string {
	if strings.HasPrefix(id, "MQTT311-") {
		return LacksV311
	}
	return LacksV5
}

func without(what string) string { return "the broker is declared or announces itself without " + what }

// long marks checks that mostly wait.
func long(checks ...conform.Check) []conform.Check {
	for i := range checks {
		checks[i].Long = true
	}
	return checks
}
