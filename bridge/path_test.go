package bridge

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/config"
)

func roundTrip(tb testing.TB, conn net.Conn, req *http.Request) *http.Response {
	tb.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := req.Write(conn); err != nil {
		tb.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		tb.Fatal(err)
	}
	return resp
}

func decode64(tb testing.TB, text string) []byte {
	tb.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestWholePath(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *Config) { c.Viewers.Heartbeat = config.Duration(2 * time.Second) })
	p := r.publisher("dev")
	r.publish(p, "plant/1/temp", "20.0")
	r.publish(p, "plant/2/temp", "\xff\x00")
	v := r.open(nil)
	ok := v.sub(1, "plant/+/temp", map[string]any{"snapshot": true, "mode": "all"})
	if ok.Offset != 2 || ok.Epoch == "" || ok.Recovered || ok.Reason != "no-cursor" {
		t.Errorf("subok %+v", ok)
	}
	snap := v.want("snapshot")
	if snap.Part != 1 || snap.Parts != 1 || len(snap.Readings) != 2 {
		t.Fatalf("snapshot %+v", snap)
	}
	for _, s := range snap.Readings {
		raw, _ := base64.StdEncoding.DecodeString(s.Base64)
		if s.Topic == "plant/2/temp" && string(raw) != "\xff\x00" || s.Topic == "plant/1/temp" && s.Payload != "20.0" {
			t.Errorf("snapshot reading %+v", s)
		}
	}
	published := beside(t, func() error {
		for i := range 300 {
			if err := errors.Join(send(p, fmt.Sprintf("plant/%d/temp", i%3), fmt.Sprint(i)), send(p, "other", "not for you")); err != nil {
				return err
			}
		}
		return nil
	})
	got, cursor := v.collect(300, ok.Offset)
	published()
	for i, g := range got {
		if g.Payload != fmt.Sprint(i) || g.Topic != fmt.Sprintf("plant/%d/temp", i%3) || g.QoS != 1 || g.O != uint64(3+2*i) {
			t.Fatalf("reading %d: %+v", i, g)
		}
		if at := time.UnixMicro(g.T); time.Since(at) > time.Minute || time.Since(at) < -time.Minute {
			t.Errorf("ingest time %s", at)
		}
	}
	v.send(map[string]any{"type": "ping", "id": "x"})
	if m := v.want("pong"); string(m.ID) != `"x"` {
		t.Errorf("pong %s", m.ID)
	}
	hb := v.want("heartbeat")
	if hb.Delivered["1"] != 300 || hb.Cursors["1"] < cursor || hb.Head != 602 || hb.Epoch != ok.Epoch {
		t.Errorf("heartbeat %+v", hb)
	}
	v.send(map[string]any{"type": "unsub", "id": 1})
	v.want("unsubok")
	r.publish(p, "plant/1/temp", "after")
	again := v.sub(1, "plant/1/#", nil)           // the id is free again
	if again.Offset < 602 || again.Offset > 603 { // the fan-out may not have passed the last one yet
		t.Errorf("subscribed anew at %d, want 603", again.Offset)
	}
	if err := v.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	v.wantClose(1000, "")
}

func TestResumeAcrossRestart(t *testing.T) {
	dir := t.TempDir()
	r := runConfig(t, testConfig(dir))
	p := r.publisher("dev")
	v := r.open(nil)
	ok := v.sub(5, "#", nil)
	for i := range 10 {
		r.publish(p, "a", fmt.Sprint(i))
	}
	got, cursor := v.collect(4, ok.Offset)
	first := len(got)
	_ = v.ws.Close()
	r.drain()

	r = runConfig(t, testConfig(dir)) // the same journal, re-opened
	p = r.publisher("dev")
	r.publish(p, "a", "10")
	v = r.open(nil)
	since := map[string]any{"since": map[string]any{"epoch": ok.Epoch, "offset": cursor}, "snapshot": true}
	back := v.sub(9, "#", since)
	if !back.Recovered || back.Offset != cursor || back.Epoch != ok.Epoch {
		t.Fatalf("resume: %+v, want recovered at %d", back, cursor)
	}
	rest, _ := v.collect(11-first, cursor)
	for i, g := range append(got, rest...) {
		if g.Payload != fmt.Sprint(i) {
			t.Fatalf("reading %d is %q", i, g.Payload)
		}
	}
}

// TestN92BadCursors: never a guess, never other data.
func TestN92BadCursors(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	for i := range 5 {
		r.publish(p, "a", fmt.Sprint(i))
	}
	v := r.open(nil)
	epoch := v.sub(0, "b", nil).Epoch
	for i, tc := range []struct {
		since  any
		reason string
	}{
		{map[string]any{"epoch": "", "offset": 1}, "no-cursor"},
		{map[string]any{"offset": 1}, "no-cursor"},
		{map[string]any{"epoch": epoch}, "no-cursor"},
		{map[string]any{"epoch": epoch, "offset": -1}, "no-cursor"},
		{map[string]any{"epoch": epoch, "offset": 1.5}, "no-cursor"},
		{map[string]any{"epoch": epoch, "offset": json.Number("1e30")}, "no-cursor"},
		{map[string]any{"epoch": "of another journal", "offset": 1}, "epoch"},
		{map[string]any{"epoch": epoch, "offset": 6}, "ahead"},
		{nil, "no-cursor"},
	} {
		if ok := v.sub(i+1, "a", map[string]any{"since": tc.since}); ok.Recovered || ok.Reason != tc.reason || ok.Offset > 5 {
			t.Errorf("since %v: %+v, want not recovered for %q", tc.since, ok, tc.reason)
		}
	}
	if ok := v.sub(50, "a", map[string]any{"since": map[string]any{"epoch": epoch, "offset": 5}}); !ok.Recovered {
		t.Errorf("the head itself: %+v", ok)
	}
}

func TestN103Drain(t *testing.T) {
	r := run(t, func(c *Config) { c.Drain.Spread = 300_000_000 })
	p := r.publisher("dev")
	var vs []*viewer
	for range 5 {
		v := r.open(nil)
		v.sub(1, "#", nil)
		vs = append(vs, v)
	}
	idle := r.dial() // before hello
	for i := range 50 {
		r.publish(p, "a", fmt.Sprint(i))
	}
	r.stop()
	for _, v := range vs {
		n, told := 0, false
		for {
			m, err := v.next()
			if err != nil {
				ce, ok := err.(*websocket.CloseError) //nolint:errorlint // gorilla returns it bare
				if !ok || ce.Code != 1012 || !strings.Contains(ce.Text, `"reason":"draining"`) {
					t.Errorf("end %v, want 1012", err)
				}
				break
			}
			n += len(m.Readings)
			if m.Type == "draining" {
				told = true
				if m.RetryMS < 0 || m.RetryMS > 300 {
					t.Errorf("retry_ms %d beyond the spread", m.RetryMS)
				}
			}
		}
		if n != 50 || !told {
			t.Errorf("%d of 50 readings before the close, draining told: %v", n, told)
		}
	}
	idle.wantClose(1012, "draining")
	addr := r.b.Addresses()
	r.drain()
	for _, a := range []string{addr.MQTT, addr.Viewers, addr.Ops} {
		if c, err := net.Dial("tcp", a); err == nil {
			_ = c.Close()
			t.Errorf("%s still listens", a)
		}
	}
	if _, err := os.Stat(filepath.Join(r.cfg.Data, AddressFile)); !os.IsNotExist(err) {
		t.Errorf("address file: %v", err)
	}
}

func TestOps(t *testing.T) {
	r := run(t, nil)
	get := func(base, path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	ops := r.b.Addresses().Ops
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get(ops, path); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	p := r.publisher("dev")
	v := r.open(nil)
	ok := v.sub(1, "#", nil)
	r.publish(p, "secret/topic", "payload-canary")
	v.collect(1, ok.Offset)
	_, text := get(ops, "/metrics")
	for _, want := range []string{
		`bridge_mqtt_received_total{dup="0",qos="1",retain="0"} 1`, "bridge_log_head 1", `bridge_ws_connections{state="live"} 1`,
		"bridge_ws_subscriptions 1", `bridge_auth_total{reason="",result="ok"} 1`, "bridge_tls_not_after_seconds", "bridge_drain_state 0", "bridge_ingest_seconds_count 1", "bridge_fanout_seconds_count 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if strings.Contains(text, "secret/topic") || strings.Contains(text, "anna") {
		t.Error("a topic or subject is in the metrics")
	}
	var a Addresses
	raw, err := os.ReadFile(filepath.Join(r.cfg.Data, AddressFile))
	if err != nil || json.Unmarshal(raw, &a) != nil || a != r.b.Addresses() || a.PID != os.Getpid() {
		t.Errorf("addresses %s, %v", raw, err)
	}
}
