package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/conform"
	"plumbline/reports"
)

// TestConform: a server with a known fault fails by name, in the table and in
// JSON, and the exit code says so.
func TestConform(t *testing.T) {
	upgrader := websocket.Upgrader{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, message, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, message) != nil {
				return
			}
		}
	}))
	server.Config.ReadHeaderTimeout = 300 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	for form, args := range map[string][]string{"json": {"conform", "ws", url, "--application", "echo", "--json"}, "table": {"conform", "ws", url}} {
		t.Run(form, func(t *testing.T) {
			t.Parallel() // it waits for what the server does not do
			var out, errs bytes.Buffer
			code := execute(t.Context(), streams{out: &out, err: &errs, getenv: func(string) string { return "" }}, args)
			if code != reports.ExitFail {
				t.Fatalf("exit code %d: %s", code, errs.String())
			}
			if !strings.Contains(out.String(), "WS-8.1-11") { // it takes any bytes for text
				t.Errorf("%s", out.String())
			}
			if form != "json" {
				return
			}
			var r conform.Report
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			if c, _ := r.Case("WS-8.1-11"); c.Verdict != conform.Fail || len(c.Evidence) == 0 || len(c.Evidence[0].Bytes) == 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}
