// Package ours is a page of the harness, for systems that have none of their own: it
// speaks MQTT or JSON over WebSocket as their descriptors say, as pages do that people
// write for them, and shows the last value of every topic.
package ours

import (
	_ "embed"
	"encoding/json"
	"net/url"
)

//go:embed ours.html
var page string

// Page returns the page. What it needs stands in the fragment of its address, see Given.
func Page() string { return page }

// Given is what the page is told.
type Given struct {
	Protocol     string   `json:"protocol"` // mqtt or json
	URL          string   `json:"url"`      // of the viewers
	Subprotocols []string `json:"subprotocols,omitempty"`
	Frames       []string `json:"frames,omitempty"`   // sent after the handshake (json)
	List         string   `json:"list,omitempty"`     // JSON pointers into each frame (json)
	Topic        string   `json:"topic,omitempty"`    // likewise
	Payload      string   `json:"payload,omitempty"`  // likewise
	Version      string   `json:"version,omitempty"`  // 3.1.1, else 5 (mqtt)
	Filters      []string `json:"filters,omitempty"`  // to subscribe to (mqtt)
	ID           string   `json:"id,omitempty"`       // of the client (mqtt)
	User         string   `json:"user,omitempty"`     // likewise
	Password     string   `json:"password,omitempty"` // likewise
}

// Fragment returns what stands behind the # of the page's address. It may hold a secret.
func (g Given) Fragment() (string, error) {
	text, err := json.Marshal(g) //nolint:gosec // G117: the page must be told; what stands behind # reaches no server and no report
	return url.PathEscape(string(text)), err
}
