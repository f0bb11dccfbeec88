package sut_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"plumbline/harness/conform/targets"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/harness/witness"
)

// patience bounds every wait of these tests; they run real processes on a
// machine that may be busy.
const patience = 60 * time.Second

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("waited %v", patience))
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bridged starts the real daemon.
func bridged(t *testing.T, config map[string]any) (*sut.SUT, string) {
	t.Helper()
	binary, err := targets.Daemon()
	must(t, err)
	dir := filepath.Join(t.TempDir(), "sut")
	s, err := sut.New(sut.Options{Binary: binary, Dir: dir, Config: config, SampleEvery: 50 * time.Millisecond})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(strings.Join(s.LastLog(20), "\n"))
		}
	})
	must(t, s.Start(limit(t)))
	return s, dir
}

// publish sends messages with QoS 1 and returns when all are acknowledged.
func publish(t *testing.T, s *sut.SUT, topic string, payloads ...string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.Broker().Host, patience)
	must(t, err)
	c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: patience})
	_, err = c.Connect(limit(t), &paho.Connect{ClientID: "publisher", CleanStart: true, KeepAlive: 30})
	must(t, err)
	for _, p := range payloads {
		_, err := c.Publish(limit(t), &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(p)})
		must(t, err)
	}
	must(t, c.Disconnect(&paho.Disconnect{}))
}

func viewerOf(t *testing.T, s *sut.SUT, r *record.Recorder, spec sut.TokenSpec) viewer.Config {
	t.Helper()
	return viewer.Config{
		Name: "viewer", URL: s.ViewerURL(), Origin: s.Origin(), TLS: s.TLS(), Filters: []string{"a/#"}, Recorder: r,
		Token:     func(context.Context) (string, error) { return s.Token(spec) },
		Reconnect: viewer.Backoff{Initial: 20 * time.Millisecond, Max: 200 * time.Millisecond, Seed: 1},
	}
}

func recorder(t *testing.T) *record.Recorder {
	t.Helper()
	r, err := record.NewRecorder(t.TempDir(), record.NewClock())
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestLifeOfBridged(t *testing.T) {
	t.Setenv("PLUMBLINE_BRIDGE_VIEWERS_HEARTBEAT", "not a time") // must not reach bridged
	s, dir := bridged(t, map[string]any{"viewers.heartbeat": "500ms"})
	r := recorder(t)
	w, err := witness.Open(limit(t), witness.Config{Broker: s.Broker(), Filters: []string{"a/#"}, QoS: 1, Recorder: r})
	must(t, err)
	defer w.Close()
	v, err := viewer.Open(limit(t), viewerOf(t, s, r, sut.TokenSpec{Subject: "ada", Grants: []string{"a/#"}}))
	must(t, err)
	defer v.Close()

	publish(t, s, "a/x", "1", "2", "3")
	must(t, v.WaitReceived(limit(t), 3))
	must(t, w.WaitCount(limit(t), 3))

	pid := s.Pid()
	must(t, s.Kill())
	must(t, s.Restart(limit(t)))
	if s.Pid() == pid {
		t.Error("the killed process is still the same")
	}
	must(t, v.WaitConnected(limit(t), 2))
	must(t, w.WaitConnected(limit(t), 2))
	publish(t, s, "a/x", "4", "5")
	must(t, v.WaitReceived(limit(t), 5))
	must(t, w.WaitCount(limit(t), 5))

	must(t, s.Pause())
	must(t, s.Resume())
	publish(t, s, "a/x", "6")
	must(t, v.WaitReceived(limit(t), 6))
	heartbeats := v.Counters().Heartbeats
	for ctx := limit(t); v.Counters().Heartbeats < heartbeats+2; {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for two heartbeats", patience)
		case <-time.After(10 * time.Millisecond):
		}
	}

	figures, err := s.Metrics(limit(t))
	must(t, err)
	if len(figures) < 10 {
		t.Errorf("metrics are %v", figures)
	}
	if mqtt, err := s.Told("mqtt"); err != nil || mqtt != s.Broker().Host {
		t.Errorf("bridged tells %q (%v) for MQTT, not %q", mqtt, err, s.Broker().Host)
	}
	if wss, err := s.Told("mqtt_wss"); err == nil {
		t.Errorf("bridged tells %q, where it does not listen", wss)
	}
	usage, err := s.Usage(limit(t))
	must(t, err)
	if usage.RSS < 1<<20 || usage.Files < 5 || len(s.Usages()) == 0 {
		t.Errorf("usage is %+v, %d samples", usage, len(s.Usages()))
	}
	must(t, s.Stop(limit(t)))
	if c := v.Counters(); c.Broken+c.Malformed+c.Gaps != 0 || c.Received != 6 {
		t.Errorf("the viewer counted %+v", c)
	}
	if err := s.Err(); err != nil {
		t.Errorf("a wanted end was taken for a death: %v", err)
	}
	noSecrets(t, s, dir)
}

// noSecrets looks for the signing key and for tokens in everything that is kept.
func noSecrets(t *testing.T, s *sut.SUT, dir string) {
	t.Helper()
	key, err := os.ReadFile(s.Descriptor().Auth.JWT.SecretFile)
	must(t, err)
	seen := 0
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		seen++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range []string{strings.TrimSpace(string(key)), "eyJ", "PRIVATE KEY"} {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s holds a secret (%.3s…)", path, secret)
			}
		}
		return nil
	}))
	if seen < 3 {
		t.Errorf("%d files in %s", seen, dir)
	}
}

func TestBridgedRefusesEveryBadToken(t *testing.T) {
	s, _ := bridged(t, nil)
	try := func(token string) viewer.ProbeResult {
		hello := fmt.Sprintf(`{"type":"hello","token":%q}`, token)
		return viewer.Probe(limit(t), viewer.ProbeSpec{
			URL: s.ViewerURL(), TLS: s.TLS(), Origins: []string{s.Origin()}, Wait: patience,
			Steps: []viewer.Step{{Text: []byte(hello)}}, Until: func(f []byte) bool { return strings.Contains(string(f), "welcome") },
		})
	}
	good, err := s.Token(sut.TokenSpec{})
	must(t, err)
	if r := try(good); len(r.Frames) != 1 {
		t.Fatalf("a good token gave %+v", r)
	}
	for _, m := range sut.Mutations() {
		token, err := s.Token(sut.TokenSpec{Grants: []string{"#"}, Mutate: m})
		must(t, err)
		want := 4002
		if m == sut.EmptyToken {
			want = 4001
		}
		if len(token) >= 16<<10 {
			want = 1009 // PROTOCOL.md section 2: no message before welcome may be so long
		}
		if r := try(token); len(r.Frames) != 0 || (r.CloseCode != want && r.CloseCode != 4002) {
			t.Errorf("%s gave close code %d (%s), %d frames, %v", m, r.CloseCode, r.CloseReason, len(r.Frames), r.Err)
		}
	}
}

func TestRevocationCutsALiveSession(t *testing.T) {
	s, _ := bridged(t, nil)
	v, err := viewer.Open(limit(t), viewerOf(t, s, recorder(t), sut.TokenSpec{Subject: "mallory", Grants: []string{"a/#"}}))
	must(t, err)
	defer v.Close()
	must(t, s.Revoke("mallory"))
	select {
	case <-v.Done():
	case <-limit(t).Done():
		t.Fatal("waited for the viewer to be cut off")
	}
	var refused *viewer.RefusedError
	if !errors.As(v.Err(), &refused) || refused.Code != 4007 {
		t.Fatalf("the viewer ended with %v", v.Err())
	}
}

func TestSettingThatBridgedRefuses(t *testing.T) {
	binary, err := targets.Daemon()
	must(t, err)
	s, err := sut.New(sut.Options{Binary: binary, Dir: t.TempDir(), Config: map[string]any{"viewers.hartbeat": "1s"}})
	must(t, err)
	defer s.Close()
	err = s.Start(limit(t))
	if !errors.Is(err, sut.ErrUsage) || !strings.Contains(err.Error(), "hartbeat") {
		t.Fatalf("Start gave %v", err)
	}
}
