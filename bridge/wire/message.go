package wire

import (
	"encoding/json"
	"time"
)

// Messages of the server other than batch and snapshot, which are built by hand.
type (
	welcomeMsg struct {
		Type        string    `json:"type"`
		Session     string    `json:"session"`
		Protocol    int       `json:"protocol"`
		Node        string    `json:"node"`
		Epoch       string    `json:"epoch"`
		Head        uint64    `json:"head"`
		HeartbeatMS int64     `json:"heartbeat_ms"`
		Limits      limitsMsg `json:"limits"`
		Time        string    `json:"time"`
		Expires     string    `json:"expires"`
		Compact     bool      `json:"compact,omitempty"`
	}
	limitsMsg struct {
		MaxFrameBytes    int64 `json:"max_frame_bytes"`
		MaxSubscriptions int   `json:"max_subscriptions"`
	}
	subokMsg struct {
		Type      string `json:"type"`
		ID        int64  `json:"id"`
		Filter    string `json:"filter"`
		Epoch     string `json:"epoch"`
		Offset    uint64 `json:"offset"`
		Recovered bool   `json:"recovered"`
		Reason    string `json:"reason"`
		subokMode
	}
	subokMode struct {
		Mode    string `json:"mode,omitempty"`
		TickMS  int64  `json:"tick_ms,omitempty"`
		EveryMS int64  `json:"every_ms,omitempty"`
	}
	suberrMsg struct {
		Type   string `json:"type"`
		ID     int64  `json:"id"`
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	}
	idMsg struct {
		Type string `json:"type"`
		ID   int64  `json:"id"`
	}
	pongMsg struct {
		Type   string `json:"type"`
		ID     string `json:"id"`
		TimeUS int64  `json:"time_us"`
	}
	expiresMsg struct {
		Type    string `json:"type"`
		Expires string `json:"expires"`
	}
	drainingMsg struct {
		Type    string `json:"type"`
		RetryMS int64  `json:"retry_ms"`
	}
	gapMsg struct {
		Type   string `json:"type"`
		ID     int64  `json:"id"`
		From   uint64 `json:"from"`
		To     uint64 `json:"to"`
		Count  uint64 `json:"count"`
		Reason string `json:"reason"`
	}
	heartbeatMsg struct {
		Type      string            `json:"type"`
		Epoch     string            `json:"epoch"`
		Head      uint64            `json:"head"`
		Cursors   map[string]uint64 `json:"cursors"`
		Delivered map[string]uint64 `json:"delivered"`
		Gaps      map[string]uint64 `json:"gaps"`
		Conflated map[string]uint64 `json:"conflations,omitempty"` // of those that conflate
	}
	topicsMsg struct {
		Type   string      `json:"type"`
		Topics []topicName `json:"topics"`
	}
	topicName struct {
		_     struct{} `cbor:",toarray"`
		ID    uint32
		Topic string
	}
)

// MarshalJSON writes [id,"topic"].
func (n topicName) MarshalJSON() ([]byte, error) { return json.Marshal([]any{n.ID, n.Topic}) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
