package main

import (
	"bytes"
	"encoding/json"
	"time"
)

// reading is one message in a batch or a snapshot.
type reading struct {
	O       uint64  `json:"o"`
	T       int64   `json:"t"`
	Topic   string  `json:"topic"`
	QoS     int     `json:"qos"`
	Payload *string `json:"payload,omitempty"`
	Base64  *string `json:"base64,omitempty"`
	Retain  bool    `json:"retain,omitempty"`

	due  time.Time // zero: at once
	free bool      // need not wait for what came before it under its topic
}

// text returns the payload of a reading that is text, else "".
func (r *reading) text() string {
	if r.Payload == nil {
		return ""
	}
	return *r.Payload
}

func (r *reading) setText(s string) { r.Payload, r.Base64 = &s, nil }

// batch is a batch of the bridge. One with a count of what was conflated, or
// with an open one, is passed on as it is.
type batch struct {
	Type      string    `json:"type"`
	ID        uint64    `json:"id"`
	Epoch     string    `json:"epoch"`
	From      uint64    `json:"from"`
	To        uint64    `json:"to"`
	Conflated *uint64   `json:"conflated,omitempty"`
	Open      bool      `json:"open,omitempty"`
	Readings  []reading `json:"readings"`
}

type snapshot struct {
	Type     string    `json:"type"`
	ID       uint64    `json:"id"`
	Part     int       `json:"part"`
	Parts    int       `json:"parts"`
	Readings []reading `json:"readings"`
}

type cursor struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// subscribe is a sub of a viewer.
type subscribe struct {
	Type     string          `json:"type"`
	ID       uint64          `json:"id"`
	Filter   string          `json:"filter"`
	Mode     string          `json:"mode,omitempty"`
	Tick     json.RawMessage `json:"tick_ms,omitempty"`
	Every    json.RawMessage `json:"every_ms,omitempty"`
	Snapshot bool            `json:"snapshot,omitempty"`
	Since    *cursor         `json:"since,omitempty"`
}

type subok struct {
	Type      string          `json:"type"`
	ID        uint64          `json:"id"`
	Filter    string          `json:"filter"`
	Mode      string          `json:"mode,omitempty"`
	Tick      json.RawMessage `json:"tick_ms,omitempty"`
	Every     json.RawMessage `json:"every_ms,omitempty"`
	Epoch     string          `json:"epoch"`
	Offset    uint64          `json:"offset"`
	Recovered bool            `json:"recovered"`
	Reason    string          `json:"reason"`
}

type welcome struct {
	Head    uint64 `json:"head"`
	Expires string `json:"expires"`
}

type hello struct {
	Type    string `json:"type"`
	Token   string `json:"token,omitempty"`
	Client  string `json:"client,omitempty"`
	Compact bool   `json:"compact,omitempty"`
}

// typeOf returns the member type of a message, "" when it has none.
func typeOf(text []byte) string {
	var head struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(text, &head) != nil {
		return ""
	}
	return head.Type
}

// encode writes a message as the bridge does: no escapes for HTML, no line end.
func encode(v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil { // of strings and numbers it cannot fail
		return nil
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
