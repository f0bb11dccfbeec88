package external

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// shortestSession is what a broker must keep at least for our absence not to lose messages soon.
const shortestSession = time.Hour

// Packet identifiers of our own packets; PUBLISH packets of the broker have theirs, which count up from 1, and some brokers
// mix them up.
const (
	subscribeID   = 65535
	unsubscribeID = 65534
)

// subscribed is the state file: which session this is, and which filters it has.
type subscribed struct {
	Address  string   `json:"address"`
	ClientID string   `json:"clientId"`
	Session  string   `json:"session"` // a random name
	Filters  []string `json:"filters"`
}

// same reports whether the session of the state file is that of our options.
func (s *Source) same(had subscribed) bool {
	return had.Address == s.opts.Address && had.ClientID == s.opts.ClientID
}

// recallWindow returns the window of a session.
func (s *Source) recallWindow(had subscribed) *window {
	name := s.opts.Name
	if s.opts.Node != "" { // each bridge has a session of its own, with identifiers of its own
		name += "@" + s.opts.Node
	}
	w, err := newWindow(s.opts.Journal, name, s.opts.ReceiveMaximum, had.Address, had.ClientID, had.Session)
	if err != nil {
		s.log.Warn("the journal is not readable as far as needed: what the external broker delivers again may be stored twice", "error", err)
	}
	return w
}

// subscribe makes the session hold exactly our filters. It subscribes to all of them, whatever the session may have: a kept
// session is perhaps the one that the broker made for a connection which broke before SUBSCRIBE. To subscribe once more changes
// nothing, and Retain Handling is 1.
func (s *Source) subscribe(ctx context.Context, l *link, ack *packets.Connack) error {
	had := s.recall()
	if kept := ack.Properties.SessionExpiryInterval; kept != nil && time.Duration(*kept)*time.Second < min(s.opts.SessionExpiry, shortestSession) {
		s.log.Warn("the external broker keeps sessions too short: what comes while the bridge is away longer is lost", "asked", s.opts.SessionExpiry.String(), "kept_seconds", *kept)
	}
	if same := s.same(had); !same || !ack.SessionPresent {
		if same {
			s.gauges.sessionsLost.Inc()
			s.log.Error("the external broker has lost our session: messages since the last connection may be missing", "address", s.opts.Address)
		}
		had = subscribed{s.opts.Address, s.opts.ClientID, rand.Text(), nil}
		if err := s.remember(had); err != nil { // before messages come whose identifiers are of this session
			return err
		}
		s.window = s.recallWindow(had)
	}
	s.window.connected()
	drop := without(had.Filters, s.opts.Filters)
	if err := s.change(ctx, l, s.opts.Filters, drop); err != nil {
		return err
	}
	if slices.Equal(had.Filters, s.opts.Filters) {
		return nil
	}
	had.Filters = s.opts.Filters
	return s.remember(had)
}

// without returns what list has and other has not.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(f string) bool { return slices.Contains(other, f) })
}

// change subscribes and unsubscribes and waits for the answers.
func (s *Source) change(ctx context.Context, l *link, add, drop []string) error {
	sub := packets.Subscribe{PacketID: subscribeID, Properties: &packets.Properties{}}
	for _, f := range add {
		sub.Subscriptions = append(sub.Subscriptions, packets.SubOptions{Topic: f, QoS: 1, RetainHandling: 1, RetainAsPublished: true})
	}
	p, err := s.ask(ctx, l, &sub)
	if err != nil {
		return err
	}
	granted, ok := p.Content.(*packets.Suback)
	if !ok || granted.PacketID != subscribeID || len(granted.Reasons) != len(add) {
		return protocolError{packets.DisconnectProtocolError, "an answer that is not to our SUBSCRIBE [MQTT-3.8.4-6]"}
	}
	if err := s.granted(add, granted); err != nil {
		return err
	}
	if len(drop) > 0 {
		p, err := s.ask(ctx, l, &packets.Unsubscribe{PacketID: unsubscribeID, Topics: drop, Properties: &packets.Properties{}})
		if err != nil {
			return err
		}
		if answer, ok := p.Content.(*packets.Unsuback); !ok || answer.PacketID != unsubscribeID { // whatever it says, there is no more to do
			return protocolError{packets.DisconnectProtocolError, "an answer that is not to our UNSUBSCRIBE [MQTT-3.10.4-5]"}
		}
	}
	return nil
}

// ask sends a question and returns the answer. Messages may come before it (MQTT 5.0 section 3.8.4) and are stored as any.
func (s *Source) ask(ctx context.Context, l *link, question packets.Packet) (*packets.ControlPacket, error) {
	if err := l.send(question); err != nil {
		return nil, err
	}
	p, err := s.next(ctx, l)
	if err != nil {
		return nil, err
	}
	switch p.Content.(type) {
	case *packets.Suback, *packets.Unsuback:
		return p, nil
	}
	return nil, unexpected(p)
}

// granted returns which filter the broker did not give with QoS 1, and what to do.
func (s *Source) granted(filters []string, answer *packets.Suback) error {
	for i, code := range answer.Reasons {
		switch {
		case code >= 0x80:
			return fmt.Errorf("the broker refused %s.filters %q with 0x%02X%s: give the user the right to read it, or leave the filter out",
				s.key(), filters[i], code, quoted(answer.Properties.ReasonString))
		case code != 1:
			return fmt.Errorf("the broker granted %s.filters %q with QoS %d only, so messages could be lost: allow QoS 1 there", s.key(), filters[i], code)
		}
	}
	return nil
}

// recall reads the state file. An unreadable one is no state: everything is subscribed again.
func (s *Source) recall() subscribed {
	var had subscribed
	raw, err := os.ReadFile(s.opts.StateFile)
	if err == nil {
		err = json.Unmarshal(raw, &had)
	}
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("state of the external broker is unreadable, subscribing anew", "error", err)
		}
		return subscribed{}
	}
	return had
}

// remember replaces the state file in one step.
func (s *Source) remember(now subscribed) error {
	raw, err := json.Marshal(now)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.opts.StateFile), 0o700)
	}
	if err == nil {
		err = os.WriteFile(s.opts.StateFile+".new", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(s.opts.StateFile+".new", s.opts.StateFile)
	}
	if err != nil {
		return fmt.Errorf("remember the subscription: %w", err)
	}
	return nil
}
