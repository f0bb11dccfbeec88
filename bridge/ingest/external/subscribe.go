package external

import (
	"context"
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

// Packet identifiers of our own packets; PUBLISH packets of the broker have theirs.
const (
	subscribeID   = 1
	unsubscribeID = 2
)

// subscribed is the state file: which filters the session at the broker has.
type subscribed struct {
	Address  string   `json:"address"`
	ClientID string   `json:"clientId"`
	Filters  []string `json:"filters"`
}

// subscribe makes the session hold exactly our filters. A session that has them is left alone: its subscriptions are kept
// with it.
func (s *Source) subscribe(ctx context.Context, l *link, ack *packets.Connack) error {
	want := subscribed{s.opts.Address, s.opts.ClientID, s.opts.Filters}
	had := s.recall()
	if kept := ack.Properties.SessionExpiryInterval; kept != nil && time.Duration(*kept)*time.Second < min(s.opts.SessionExpiry, shortestSession) {
		s.log.Warn("the external broker keeps sessions too short: what comes while the bridge is away longer is lost", "asked", s.opts.SessionExpiry.String(), "kept_seconds", *kept)
	}
	if !ack.SessionPresent {
		if had.Address == want.Address && had.ClientID == want.ClientID {
			s.gauges.sessionsLost.Inc()
			s.log.Error("the external broker has lost our session: messages since the last connection may be missing", "address", s.opts.Address)
		}
		s.window.forget()
		had.Filters = nil
	} else if had.Address != want.Address || had.ClientID != want.ClientID {
		had.Filters = nil // unknown; to subscribe once more changes nothing, Retain Handling is 1
	}
	add := without(want.Filters, had.Filters)
	drop := without(had.Filters, want.Filters)
	if err := s.change(ctx, l, add, drop); err != nil {
		return err
	}
	if len(add)+len(drop) == 0 {
		return nil
	}
	return s.remember(want)
}

// without returns what list has and other has not.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(f string) bool { return slices.Contains(other, f) })
}

// change subscribes and unsubscribes and waits for the answers.
func (s *Source) change(ctx context.Context, l *link, add, drop []string) error {
	if len(add) > 0 {
		sub := packets.Subscribe{PacketID: subscribeID, Properties: &packets.Properties{}}
		for _, f := range add {
			sub.Subscriptions = append(sub.Subscriptions, packets.SubOptions{Topic: f, QoS: 1, RetainHandling: 1, RetainAsPublished: true})
		}
		p, err := s.ask(ctx, l, &sub)
		if err != nil {
			return err
		}
		answer, ok := p.Content.(*packets.Suback)
		if !ok || answer.PacketID != subscribeID || len(answer.Reasons) != len(add) {
			return protocolError{packets.DisconnectProtocolError, "an answer that is not to our SUBSCRIBE [MQTT-3.8.4-6]"}
		}
		if err := s.granted(add, answer); err != nil {
			return err
		}
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
	for {
		p, err := l.read()
		if err != nil {
			return nil, err
		}
		switch p.Content.(type) {
		case *packets.Suback, *packets.Unsuback:
			return p, nil
		}
		if err := s.packet(p); err != nil {
			return nil, err
		}
		if err := s.settle(ctx, l); err != nil {
			return nil, err
		}
	}
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
