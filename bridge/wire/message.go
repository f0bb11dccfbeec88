package wire

import (
	"encoding/json"
	"strconv"
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
		Type string `json:"type"`
		ID   string `json:"id"`
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
	}
)

// encode returns a message's JSON. The types above always encode.
func encode(msg any) []byte {
	b, _ := json.Marshal(msg) // strings, integers and maps of them cannot fail
	return b
}

// batchPrefix is what stands before a shared batch body.
func batchPrefix(id int64) []byte {
	return append(strconv.AppendInt([]byte(`{"type":"batch","id":`), id, 10), ',')
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
