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
	defer server.Close()
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	for _, args := range [][]string{{"conform", "ws", url, "--application", "echo", "--json"}, {"conform", "ws", url}} {
		var out, errs bytes.Buffer
		code := execute(t.Context(), streams{out: &out, err: &errs, getenv: func(string) string { return "" }}, args)
		if code != reports.ExitFail {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
		if !strings.Contains(out.String(), "WS-8.1-11") { // it takes any bytes for text
			t.Errorf("%s", out.String())
		}
		if args[len(args)-1] != "--json" {
			continue
		}
		var r conform.Report
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if c, _ := r.Case("WS-8.1-11"); c.Verdict != conform.Fail || len(c.Evidence) == 0 || len(c.Evidence[0].Bytes) == 0 {
			t.Errorf("%+v", c)
		}
	}
}
