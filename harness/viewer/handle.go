package viewer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

// message is every field of every message that is not a batch or a snapshot;
// those two are frequent and go another way.
type message struct {
	Session     string            `json:"session"`
	Protocol    int               `json:"protocol"`
	Node        string            `json:"node"`
	Epoch       string            `json:"epoch"`
	Head        uint64            `json:"head"`
	HeartbeatMS int64             `json:"heartbeat_ms"`
	Expires     string            `json:"expires"`
	ID          json.RawMessage   `json:"id"`
	Filter      string            `json:"filter"`
	Offset      uint64            `json:"offset"`
	Recovered   bool              `json:"recovered"`
	Reason      string            `json:"reason"`
	Detail      string            `json:"detail"`
	From        uint64            `json:"from"`
	To          uint64            `json:"to"`
	Count       uint64            `json:"count"`
	Cursors     map[string]uint64 `json:"cursors"`
	Delivered   map[string]uint64 `json:"delivered"`
	Gaps        map[string]uint64 `json:"gaps"`
	RetryMS     int64             `json:"retry_ms"`
}

// handle takes one frame apart. at is when its last byte had been read.
func (p *plumbline) handle(s *plumblineSession, at int64, opcode int, data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	switch {
	case p.cfg.Encoding == EncodingCBOR && opcode == websocket.BinaryMessage:
		err = p.handleCBOR(s, at, data)
	case p.cfg.Encoding == EncodingCBOR:
		err = fmt.Errorf("frame with opcode %d on a protocol of binary messages", opcode)
	case opcode != websocket.TextMessage:
		err = fmt.Errorf("frame with opcode %d on a protocol of text", opcode)
	case !utf8.Valid(data): // gorilla does not look, RFC 6455 section 8.1 demands it
		err = errors.New("text frame that is not UTF-8")
	default:
		err = p.dispatch(s, at, data)
	}
	return p.tookLocked(data, err)
}

func (p *plumbline) dispatch(s *plumblineSession, at int64, data []byte) error {
	kind, err := kindOf(data)
	if err != nil {
		return err
	}
	switch string(kind) {
	case "batch":
		return p.batch(at, data)
	case "snapshot":
		return p.snapshot(at, data)
	}
	m, err := decode(data)
	if err != nil {
		return err
	}
	switch string(kind) {
	case "welcome":
		return p.welcomed(s, at, m)
	case "subok":
		return p.confirm(s, at, m)
	case "suberr":
		return p.subscriptionRefused(s, m)
	case "gap":
		return p.gap(at, m)
	case "heartbeat":
		p.heartbeat(at, m)
	case "auth-expiring":
		p.refresh(s, m)
	case "authok":
		p.event(record.Note, "token refreshed", "expires", m.Expires)
	case "draining":
		s.retry = millis(m.RetryMS)
		p.event(record.Note, "server is draining", "retry_ms", strconv.FormatInt(m.RetryMS, 10))
	case "pong", "unsubok":
	default:
		return fmt.Errorf("message of unknown type %q", kind)
	}
	return nil
}

// decode reads a message by the exact names of its members. encoding/json would
// take those that differ in case as well, which PROTOCOL.md wants ignored: first
// every name goes that is not in small letters, as those of the protocol are.
func decode(data []byte) (m message, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return m, err
	}
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool {
		return strings.ContainsFunc(name, func(r rune) bool { return r > 'z' || (r >= 'A' && r <= 'Z') })
	})
	exact, err := json.Marshal(members)
	if err != nil {
		return m, err
	}
	err = json.Unmarshal(exact, &m)
	return m, err
}

// kindOf finds the type of a message; it comes first as a rule.
func kindOf(data []byte) ([]byte, error) {
	scan := scanner{buf: data}
	scan.take('{')
	for first := true; scan.more(&first, '}'); {
		if string(scan.key()) == "type" {
			if kind := scan.raw(); !scan.bad {
				return kind, nil
			}
			break
		}
		scan.skip(0)
	}
	return nil, fmt.Errorf("message without type: %w", errJSON)
}

func (p *plumbline) welcomed(s *plumblineSession, at int64, m message) error {
	if s.welcome {
		return errors.New("second welcome in one session")
	}
	s.welcome, s.head = true, m.Head
	s.silence = p.cfg.Silence
	if s.silence <= 0 {
		s.silence = max(2*millis(m.HeartbeatMS), time.Second)
	}
	p.admitLocked(s, at, "session", m.Session, "node", m.Node, "epoch", m.Epoch, "head", strconv.FormatUint(m.Head, 10), "protocol", strconv.Itoa(m.Protocol))
	return nil
}

// refresh answers auth-expiring with a new token, away from the reading
// goroutine: where the token comes from may take its time. One token at a time
// is on its way, however often the server asks.
func (p *plumbline) refresh(s *plumblineSession, m message) {
	p.event(record.Note, "token expires", "expires", m.Expires)
	if p.cfg.Token == nil || p.cfg.NoRefresh || p.closing || p.refreshing {
		return
	}
	p.refreshing = true
	p.tasks.Go(func() {
		defer func() {
			p.mu.Lock()
			p.refreshing = false
			p.mu.Unlock()
		}()
		token, err := p.cfg.Token(p.ctx)
		if err == nil {
			err = s.reauthorise(p.tokens.add(token))
		}
		if err != nil && p.ctx.Err() == nil {
			p.event(record.Note, "token not refreshed", "error", err.Error())
		}
	})
}

// sub finds the subscription that a message is about.
func (p *plumbline) sub(id json.RawMessage) (*subscription, error) {
	n, err := strconv.ParseUint(string(id), 10, 64)
	if err != nil || n == 0 || n > uint64(len(p.subs)) {
		return nil, fmt.Errorf("message for subscription %s, which does not exist", id)
	}
	return p.subs[n-1], nil
}

func (p *plumbline) confirm(s *plumblineSession, at int64, m message) error {
	if !s.welcome {
		return errors.New("subok before welcome")
	}
	sub, err := p.sub(m.ID)
	if err != nil {
		return err
	}
	fields := []string{"id", string(m.ID), "filter", sub.filter, "epoch", m.Epoch, "offset", strconv.FormatUint(m.Offset, 10),
		"recovered", strconv.FormatBool(m.Recovered), "reason", m.Reason}
	if sub.resuming {
		fields = append(fields, "since_epoch", sub.at.Epoch, "since_offset", strconv.FormatUint(sub.at.Offset, 10))
	}
	if err := p.enterEpoch(m.Epoch); err != nil {
		return err
	}
	p.eventAt(at, record.Subscribed, "", fields...)
	now := Cursor{Epoch: m.Epoch, Offset: m.Offset}
	switch {
	case sub.confirmed:
		p.broken(at, sub, "second subok for one subscription", sub.at.Offset, m.Offset, m.Offset)
	case sub.resuming && m.Recovered && now != sub.at:
		p.broken(at, sub, "the server says that it resumed, but elsewhere", sub.at.Offset, m.Offset, m.Offset)
	}
	if m.Recovered {
		sub.behind = s.head
	}
	sub.at, sub.confirmed, sub.started = now, true, true
	sub.awaits = p.cfg.Snapshot && !m.Recovered
	return nil
}

func (p *plumbline) subscriptionRefused(s *plumblineSession, m message) error {
	sub, err := p.sub(m.ID)
	if err != nil {
		return err
	}
	sub.confirmed = false
	s.refused = &RefusedError{Filter: sub.filter, Reason: p.tokens.excerpt(m.Reason, textLimit)}
	p.event(record.Refused, m.Detail, "filter", sub.filter, "reason", m.Reason)
	return nil
}
