package client

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// message is one JSON object of the bridge. A map keeps to the names as they are spelled: PROTOCOL.md section 2 wants members
// in another case ignored, which encoding/json would take for the ones of a struct.
type message map[string]json.RawMessage

// text returns a string member.
func (m message) text(name string) (string, bool) {
	raw := m[name]
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}

// whole returns a member that is a whole number from 0 to 2^53.
func (m message) whole(name string) (uint64, bool) {
	n, err := strconv.ParseUint(string(m[name]), 10, 64)
	return n, err == nil && n <= maxWhole
}

// cursor returns the members epoch and the offset of the given name. Both or neither: an epoch without an offset is no place.
func (m message) cursor(offset string) (Cursor, bool) {
	epoch, ok := m.text("epoch")
	n, ok2 := m.whole(offset)
	return Cursor{epoch, n}, ok && ok2 && epoch != ""
}

// flag returns a boolean member; absent is false.
func (m message) flag(name string) (value, ok bool) {
	switch string(m[name]) {
	case "true":
		return true, true
	case "false", "":
		return false, true
	}
	return false, false
}

// counts returns a member that holds whole numbers by subscription id.
func (m message) counts(name string) map[int64]uint64 {
	var object message
	if json.Unmarshal(m[name], &object) != nil {
		return nil
	}
	out := make(map[int64]uint64, len(object))
	for key := range object {
		id, err := strconv.ParseInt(key, 10, 64)
		if n, ok := object.whole(key); ok && err == nil {
			out[id] = n
		}
	}
	return out
}

// readings returns the member of that name.
func (m message) readings() ([]Reading, error) {
	var list []message
	raw, there := m["readings"]
	if err := json.Unmarshal(raw, &list); !there || err != nil || list == nil {
		return nil, fmt.Errorf("client: %w: readings is missing or not a list of objects", ErrBroken)
	}
	out := make([]Reading, 0, len(list))
	for _, one := range list {
		r, err := one.reading()
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (m message) reading() (Reading, error) {
	var r Reading
	bad := func(name string) (Reading, error) {
		return Reading{}, fmt.Errorf("client: %w: a reading's %q is missing or wrong", ErrBroken, name)
	}
	var ok bool
	if r.Offset, ok = m.whole("o"); !ok {
		return bad("o")
	}
	t, err := strconv.ParseInt(string(m["t"]), 10, 64)
	if err != nil {
		return bad("t")
	}
	r.Time = time.UnixMicro(t)
	if r.Topic, ok = m.text("topic"); !ok || r.Topic == "" {
		return bad("topic")
	}
	qos, ok := m.whole("qos")
	if r.QoS = int(qos); !ok || qos > 2 {
		return bad("qos")
	}
	if r.Retain, ok = m.flag("retain"); !ok {
		return bad("retain")
	}
	if coded, there := m.text("base64"); there {
		if r.Payload, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return bad("base64")
		}
		return r, nil
	}
	plain, ok := m.text("payload")
	if !ok {
		return bad("payload")
	}
	r.Payload = []byte(plain)
	return r, nil
}

// Commands to the bridge.
type (
	helloCmd struct {
		Type   string `json:"type"`
		Token  string `json:"token"`
		Client string `json:"client,omitempty"`
	}
	subCmd struct {
		Type     string    `json:"type"`
		ID       int64     `json:"id"`
		Filter   string    `json:"filter"`
		Mode     Mode      `json:"mode,omitempty"`
		TickMS   int64     `json:"tick_ms,omitempty"`
		EveryMS  int64     `json:"every_ms,omitempty"`
		Snapshot bool      `json:"snapshot,omitempty"`
		Since    *sinceCmd `json:"since,omitempty"`
	}
	sinceCmd struct {
		Epoch  string `json:"epoch"`
		Offset uint64 `json:"offset"`
	}
	unsubCmd struct {
		Type string `json:"type"`
		ID   int64  `json:"id"`
	}
	authCmd struct {
		Type  string `json:"type"`
		Token string `json:"token"`
	}
)
