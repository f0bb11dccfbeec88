package api

import (
	"encoding/json"
	"net/http"
	"time"

	"plumbline/bridge/auth"
)

// me is what the bridge knows of who asks, and what is there for them.
type me struct {
	Subject   string              `json:"subject"`
	Tenant    string              `json:"tenant"`
	Expires   string              `json:"expires"` // of the token
	Grants    map[string][]string `json:"grants"`  // MQTT filters, by action
	Denies    map[string][]string `json:"denies"`
	Node      string              `json:"node"`
	Version   string              `json:"version"`
	WebSocket string              `json:"websocket"` // path
	History   bool                `json:"history"`
	Commands  bool                `json:"commands"`
	Layouts   bool                `json:"layouts"`
	Time      int64               `json:"time_us"` // the bridge's clock, microseconds since 1970, as late as possible
}

func (h *Handler) me(w http.ResponseWriter, _ *http.Request, id auth.Identity) error {
	o := h.o
	return writeJSON(w, http.StatusOK, me{
		Subject: id.Subject, Tenant: id.Tenant, Expires: id.Expires.UTC().Format(time.RFC3339), Grants: byAction(id.Grants), Denies: byAction(id.Denies),
		Node: o.Node, Version: o.Version, WebSocket: o.WebSocket, History: o.History, Commands: o.Commands, Layouts: h.layouts != nil,
		Time: o.Now().UnixMicro(),
	})
}

// byAction names the lists of an identity as claims do; none is null.
func byAction(lists auth.Lists) map[string][]string {
	out := map[string][]string{}
	for a, filters := range lists {
		out[auth.Action(a).String()] = append([]string{}, filters...)
	}
	return out
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // the peer is gone when this fails
	return nil
}
