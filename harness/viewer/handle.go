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
func (v *Viewer) handle(s *session, at int64, opcode int, data []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counters.Bytes += uint64(len(data))
	var err error
	switch {
	case opcode != websocket.TextMessage:
		err = fmt.Errorf("frame with opcode %d on a protocol of text", opcode)
	case !utf8.Valid(data): // gorilla does not look, RFC 6455 section 8.1 demands it
		err = fmt.Errorf("text frame that is not UTF-8")
	default:
		err = v.dispatch(s, at, data)
	}
	if err != nil {
		v.counters.Malformed++
		v.event(record.Note, "malformed frame", "error", err.Error(), "frame", fmt.Sprintf("%.200q", v.tokens.hide(string(data))))
	}
	v.wakeLocked()
}

func (v *Viewer) dispatch(s *session, at int64, data []byte) error {
	kind, err := kindOf(data)
	if err != nil {
		return err
	}
	switch string(kind) {
	case "batch":
		return v.batch(at, data)
	case "snapshot":
		return v.snapshot(at, data)
	}
	m, err := decode(data)
	if err != nil {
		return err
	}
	switch string(kind) {
	case "welcome":
		return v.welcomed(s, at, m)
	case "subok":
		return v.subscribed(s, at, m)
	case "suberr":
		return v.subscriptionRefused(s, m)
	case "gap":
		return v.gap(at, m)
	case "heartbeat":
		v.heartbeat(at, m)
	case "auth-expiring":
		v.refresh(s, m)
	case "authok":
		v.event(record.Note, "token refreshed", "expires", m.Expires)
	case "draining":
		s.retry = time.Duration(m.RetryMS) * time.Millisecond
		v.event(record.Note, "server is draining", "retry_ms", strconv.FormatInt(m.RetryMS, 10))
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

func (v *Viewer) welcomed(s *session, at int64, m message) error {
	if s.welcome {
		return errors.New("second welcome in one session")
	}
	s.welcome, s.head = true, m.Head
	s.silence = v.cfg.Silence
	if s.silence <= 0 {
		s.silence = max(2*time.Duration(m.HeartbeatMS)*time.Millisecond, time.Second)
	}
	v.counters.Connects++
	v.eventAt(at, record.Connected, "", "session", m.Session, "node", m.Node, "epoch", m.Epoch, "head", strconv.FormatUint(m.Head, 10), "protocol", strconv.Itoa(m.Protocol))
	return nil
}

// refresh answers auth-expiring with a new token, away from the reading
// goroutine: where the token comes from may take its time.
func (v *Viewer) refresh(s *session, m message) {
	v.event(record.Note, "token expires", "expires", m.Expires)
	if v.cfg.Token == nil || v.cfg.NoRefresh || v.closing {
		return
	}
	v.tasks.Go(func() {
		token, err := v.cfg.Token(v.ctx)
		if err == nil {
			err = s.send(authMessage{Type: "auth", Token: v.tokens.add(token)})
		}
		if err != nil && v.ctx.Err() == nil {
			v.event(record.Note, "token not refreshed", "error", err.Error())
		}
	})
}

// sub finds the subscription that a message is about.
func (v *Viewer) sub(id json.RawMessage) (*subscription, error) {
	n, err := strconv.ParseUint(string(id), 10, 64)
	if err != nil || n == 0 || n > uint64(len(v.subs)) {
		return nil, fmt.Errorf("message for subscription %s, which does not exist", id)
	}
	return v.subs[n-1], nil
}

func (v *Viewer) subscribed(s *session, at int64, m message) error {
	if !s.welcome {
		return errors.New("subok before welcome")
	}
	sub, err := v.sub(m.ID)
	if err != nil {
		return err
	}
	fields := []string{"id", string(m.ID), "filter", sub.filter, "epoch", m.Epoch, "offset", strconv.FormatUint(m.Offset, 10),
		"recovered", strconv.FormatBool(m.Recovered), "reason", m.Reason}
	if sub.resuming {
		fields = append(fields, "since_epoch", sub.at.Epoch, "since_offset", strconv.FormatUint(sub.at.Offset, 10))
	}
	v.eventAt(at, record.Subscribed, "", fields...)
	now := Cursor{Epoch: m.Epoch, Offset: m.Offset}
	switch {
	case sub.confirmed:
		v.broken(at, sub, "second subok for one subscription", sub.at.Offset, m.Offset, m.Offset)
	case sub.resuming && m.Recovered && now != sub.at:
		v.broken(at, sub, "the server says that it resumed, but elsewhere", sub.at.Offset, m.Offset, m.Offset)
	}
	if m.Recovered {
		sub.behind = s.head
	}
	v.enterEpoch(m.Epoch)
	sub.at, sub.confirmed, sub.started = now, true, true
	sub.awaits = v.cfg.Snapshot && !m.Recovered
	return nil
}

func (v *Viewer) subscriptionRefused(s *session, m message) error {
	sub, err := v.sub(m.ID)
	if err != nil {
		return err
	}
	sub.confirmed = false
	s.refused = &RefusedError{Filter: sub.filter, Reason: v.tokens.hide(m.Reason)}
	v.event(record.Refused, m.Detail, "filter", sub.filter, "reason", m.Reason)
	return nil
}

// eventAt is event with the stamp of the frame that told of it. Texts of the
// server may hold anything, a token included.
func (v *Viewer) eventAt(at int64, kind record.EventKind, detail string, pairs ...string) {
	fields := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fields[pairs[i]] = v.tokens.hide(pairs[i+1])
		}
	}
	v.cfg.Recorder.Event(record.Event{At: at, Kind: kind, Subject: v.cfg.Name, Detail: v.tokens.hide(detail), Fields: fields})
}
