package ws_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/conform"
	"plumbline/harness/conform/targets"
	"plumbline/harness/conform/ws"
)

func TestMain(m *testing.M) { targets.Main(m) }

func run(t *testing.T, target ws.Target, o ws.Options) conform.Report {
	t.Helper()
	r, err := ws.Run(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBridged: the bridge of this repository has no failing case, with and
// without compression.
func TestBridged(t *testing.T) {
	for _, compression := range []string{"off", "on"} {
		t.Run("compression "+compression, func(t *testing.T) {
			t.Parallel()
			target, o := targets.Viewer(targets.Bridged(t, map[string]any{"viewers.compression": compression}))
			r := run(t, target, o)
			targets.Explained(t, r, nil)
			if c, _ := r.Case("WS-7692-6.2-1"); (c.Verdict == conform.Pass) != (compression == "on") {
				t.Errorf("compressed messages: %s, %s", c.Verdict, c.Detail)
			}
		})
	}
}

// mosquittoBreaks says which of the specification's words the WebSocket library
// of Mosquitto 2.0 breaks.
var mosquittoBreaks = map[string]string{
	"WS-10.4-6":   "7.1.1, our judgement: it waits longer than 3 s for the client's close frame",
	"WS-4.2.1-1":  "4.2.1 1: it upgrades a POST",
	"WS-4.2.1-2":  "4.2.1 1: it upgrades HTTP/1.0",
	"WS-4.2.1-8":  "4.2.1 5: it does not decode the key",
	"WS-4.2.1-9":  "4.2.1 5: it does not decode the key",
	"WS-4.2.1-10": "11.3.1: it takes two keys",
	"WS-4.2.1-11": "4.2.1 6: it asks for no version",
	"WS-4.4-1":    "4.2.2 4: it takes any version", "WS-4.4-2": "as WS-4.4-1", "WS-4.4-3": "as WS-4.4-1", "WS-4.4-4": "as WS-4.4-1",
	"WS-4.4-5": "as WS-4.4-1", "WS-4.4-6": "as WS-4.4-1",
	"WS-10-1":   "10.4, our judgement: 3 s are not enough for it",
	"WS-10-2":   "10.4, our judgement: 3 s are not enough for it",
	"WS-5.1-1":  "5.1: it takes frames that are not masked",
	"WS-5.1-3":  "as WS-5.1-1",
	"WS-5.2-30": "our judgement of 5.2: it takes long forms of short lengths", "WS-5.2-31": "as WS-5.2-30",
	"WS-10.4-1":  "10.4: it waits for 2^62 bytes",
	"WS-5.5.2-4": "5.5.2: it answers the first of several pings, not the latest",
	"WS-5.5.1-5": "5.5.1: it sends a close frame with a body of one byte back",
	"WS-5.5.1-6": "8.1: it does not look at the reason of a close frame",
	"WS-7.4.2-1": "7.4.2: it takes code 5000",
	"WS-7.4-1":   "7.4: the close frame of WS-5.5.1-5",
}

func TestMosquitto(t *testing.T) {
	t.Parallel()
	_, url := targets.Mosquitto(t)
	o := ws.MQTT("", "")
	o.Handshake = 3 * time.Second
	targets.Explained(t, run(t, ws.Target{URL: url}, o), mosquittoBreaks)
}

// echo is a server of a known library that sends back what it reads, without
// its own look at text, as the library leaves it.
func echo(t *testing.T, upgrader websocket.Upgrader, limit int64) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		c.SetReadLimit(limit)
		for {
			kind, message, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, message) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/echo"
}

// TestPage: a server that has a page at the same URL and answers requests of
// HTTP with it, and one that refuses a handshake for a bad offer of compression,
// accept nothing that they should not.
func TestPage(t *testing.T) {
	t.Parallel()
	var upgrader websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !websocket.IsWebSocketUpgrade(r) {
			_, _ = w.Write([]byte("a page"))
			return
		}
		if strings.Contains(r.Header.Get("Sec-WebSocket-Extensions"), ";") {
			http.Error(w, "bad parameter", http.StatusBadRequest)
			return
		}
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	o := ws.Options{Handshake: time.Second, Only: []string{
		"WS-4.2.1-1", "WS-4.2.1-4", "WS-4.2.1-5", "WS-4.2.1-6", "WS-7692-7.1-1", "WS-7692-7.1-2", "WS-7692-7.1-5", "WS-7692-7.1-9",
	}}
	r := run(t, ws.Target{URL: "ws" + strings.TrimPrefix(server.URL, "http")}, o)
	for _, id := range o.Only {
		if c, _ := r.Case(id); c.Verdict != conform.Pass {
			t.Errorf("%s: %q %s", id, c.Verdict, c.Detail)
		}
	}
}

// TestSecretsAreNotShown: no report holds a token, wherever in the handshake or
// in the hello it stands, and however the handshake is cut.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	const secret = "tok3n+with/odd=signs.and.more.of.them"
	address := echo(t, websocket.Upgrader{}, 1000)
	o := ws.Options{
		Handshake: time.Second, Patience: 2 * time.Second,
		Header: http.Header{"Authorization": {"Bearer " + secret}, "Cookie": {"token=" + secret}},
		Hello:  func() ([]ws.Frame, error) { return []ws.Frame{ws.Text([]byte(secret))}, nil },
	}
	r := run(t, ws.Target{URL: address + "?access_token=" + url.QueryEscape(secret)}, o)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var long strings.Builder
	for i := range 60 {
		fmt.Fprintf(&long, "%02d.", i)
	}
	cut := run(t, ws.Target{URL: strings.TrimSuffix(address, "echo") + "?t=" + long.String()}, ws.Options{Only: []string{"WS-4.2.1-17"}})
	pieces, err := json.Marshal(cut)
	if err != nil {
		t.Fatal(err)
	}
	for i := range long.Len() - 12 {
		if part := hex.EncodeToString([]byte(long.String()[i : i+12])); strings.Contains(string(pieces), part) {
			t.Errorf("%q of a token in pieces is shown", long.String()[i:i+12])
		}
	}
	masked := ws.Text([]byte(secret)).Bytes()[6:]
	for _, form := range []string{secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(url.QueryEscape(secret))), hex.EncodeToString(masked)} {
		for _, part := range []string{form, form[:len(form)/2], form[len(form)/2:]} {
			if strings.Contains(string(text), part) {
				t.Errorf("%q is shown", part)
			}
		}
	}
	if _, err = ws.Run(t.Context(), ws.Target{URL: "ws://127.0.0.1:1/?t=" + url.QueryEscape(secret)}, o); err == nil || strings.Contains(err.Error(), "odd") {
		t.Error(err)
	}
}

// TestGorilla: the library's known faults are found, each by the case that is
// meant for it, and no other.
func TestGorilla(t *testing.T) {
	t.Parallel()
	url := echo(t, websocket.Upgrader{EnableCompression: true}, 100_000)
	r := run(t, ws.Target{URL: url}, ws.Options{Echo: true, MaxMessage: 100_000, Handshake: 3 * time.Second})
	found := targets.Failed(t, r)
	targets.Decided(t, r)
	want := []string{
		"WS-8.1-11", "WS-8.1-12", "WS-8.1-13", "WS-8.1-14", "WS-8.1-15", "WS-8.1-16", "WS-8.1-17", "WS-8.1-18", "WS-8.1-19", // takes any bytes for text
		"WS-5.6-1",                       // and sends them on
		"WS-7692-6.1-3", "WS-7692-6.1-4", // takes RSV1 where only the first frame of a message may have it
		"WS-7692-7.1-1", "WS-7692-7.1-2", "WS-7692-7.1-5", // reads no parameter of an offer
		"WS-7692-7.1.2.1-1",  // accepts a limit of its window that it does not keep
		"WS-7692-8-1",        // limits what it reads, not what that inflates to
		"WS-5.5.1-5",         // a close frame of one byte
		"WS-10-1", "WS-10-2", // an http.Server without limits of time
	}
	for _, id := range want {
		if _, ok := found[id]; !ok {
			c, _ := r.Case(id)
			t.Errorf("%s found nothing: %s %s", id, c.Verdict, c.Detail)
		}
	}
	for id := range found {
		c, _ := r.Case(id)
		if c.Level == conform.Must && !slices.Contains(want, id) && !strings.HasPrefix(id, "WS-7692-7.1-") && id != "WS-4.2.1-2" {
			t.Errorf("%s failed: %s", id, c.Detail)
		}
	}
}
