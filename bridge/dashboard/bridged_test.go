package dashboard_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge"
	"plumbline/bridge/devca"
	"plumbline/bridge/internal/browsertest"
	"plumbline/bridge/internal/eventually"
)

// scratch is a folder for what the tests of this package share: the built bridged, one development authority, one browser.
var scratch string //nolint:gochecknoglobals // set by TestMain

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "plumbline-dashboard-"); err == nil {
		_, err = devca.Ensure(authority(), time.Now())
	}
	if err != nil {
		panic(err) // before any test
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	chromium = browsertest.New(filepath.Join(scratch, "chromium"), filepath.Join(authority(), devca.ServerFile))
	defer chromium.Close()
	m.Run()
}

// authority is the folder of the development certificate that all bridges of this package show, so that the browser can be told of it
// before any of them runs.
func authority() string { return filepath.Join(scratch, "tls") }

var built struct { //nolint:gochecknoglobals // once for all tests
	once sync.Once
	err  error
}

// binary builds bridged, with what is embedded now, once for the package, and returns its path.
func binary(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(scratch, "bridged")
	built.once.Do(func() {
		out, err := exec.Command("go", "build", "-o", path, "plumbline/bridge/cmd/bridged").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	if built.err != nil {
		tb.Fatal(built.err)
	}
	return path
}

// server is a bridged process.
type server struct {
	tb       testing.TB
	cmd      *exec.Cmd
	gone     chan struct{} // closed when the process has ended
	log      *lockedBuffer
	settings []string

	URL  string // of the page, without a slash at the end
	MQTT string // host and port
	Data string
}

// bridged starts a bridge on free ports with a data folder of its own; settings are key=value. It ends with the test.
func bridged(tb testing.TB, settings ...string) *server {
	tb.Helper()
	s := &server{tb: tb, Data: tb.TempDir(), log: &lockedBuffer{}}
	if err := os.CopyFS(filepath.Join(s.Data, "tls"), os.DirFS(authority())); err != nil {
		tb.Fatal(err)
	}
	s.settings = append([]string{"data=" + s.Data, "node=test", "mqtt.listen=127.0.0.1:0", "viewers.listen=127.0.0.1:0", "ops.listen=", "drain.spread=100ms", "history.flush=50ms"}, settings...)
	tb.Cleanup(s.Kill)
	s.Start()
	return s
}

// Start runs the process and returns when it serves: on the ports that it had, if it ran before.
func (s *server) Start() {
	s.tb.Helper()
	var args []string
	for _, one := range s.settings {
		args = append(args, "--set", one)
	}
	if s.URL != "" {
		args = append(args, "--set", "viewers.listen="+strings.TrimPrefix(s.URL, "https://"), "--set", "mqtt.listen="+s.MQTT)
	}
	s.cmd = exec.Command(binary(s.tb), args...)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) {
		_ = cmd.Wait() // who waits for it reads the log
		close(gone)
	}(s.cmd, s.gone)
	var a bridge.Addresses
	eventually.Must(s.tb, "the address file of bridged", func() bool {
		select {
		case <-s.gone:
			s.tb.Fatalf("bridged ended: %s", s.log)
		default:
		}
		raw, err := os.ReadFile(filepath.Join(s.Data, bridge.AddressFile))
		return err == nil && json.Unmarshal(raw, &a) == nil && a.PID == s.cmd.Process.Pid
	})
	s.URL, s.MQTT = "https://"+a.Viewers, a.MQTT
}

// Kill ends the process as a power cut does, and waits for it. It may be called again.
func (s *server) Kill() {
	if s.gone == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may be gone
	<-s.gone
}

// Stop ends the process in order, and waits for it.
func (s *server) Stop() {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.tb.Fatal(err)
	}
	select {
	case <-s.gone:
	case <-time.After(eventually.Patience):
		s.tb.Fatalf("bridged did not end in %s: %s", eventually.Patience, s.log)
	}
}

// Token signs a token of an hour for anna, who may see and publish everything; change adds and replaces claims. No two are the same: one
// that was signed out is over, and times have whole seconds.
func (s *server) Token(change map[string]any) string {
	s.tb.Helper()
	var secret []byte
	eventually.Must(s.tb, "the bridge's secret", func() bool {
		raw, err := os.ReadFile(filepath.Join(s.Data, "jwt.key"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.tb.Fatal(err)
		}
		secret = bytes.TrimSpace(raw)
		return err == nil
	})
	all := []string{"#"}
	c := jwt.MapClaims{
		"sub": "anna", "iss": "plumbline", "aud": "bridge", "jti": rand.Text(), "exp": time.Now().Add(time.Hour).Unix(),
		"grants": map[string][]string{"live": all, "snapshot": all, "history": all, "publish": all},
	}
	for k, v := range change {
		c[k] = v
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(secret)
	if err != nil {
		s.tb.Fatal(err)
	}
	return text
}

// publish sends readings of one topic over MQTT, each stored when it returns.
func (s *server) publish(topic string, payloads ...string) {
	s.tb.Helper()
	c := s.publisher("dev-" + strings.ReplaceAll(topic, "/", "-"))
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Patience)
	defer cancel()
	for _, payload := range payloads {
		if _, err := c.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(payload)}); err != nil {
			s.tb.Fatalf("publish: %v", err)
		}
	}
}

// publisher connects a publisher over MQTT 5, for as long as the test runs.
func (s *server) publisher(id string) *paho.Client {
	s.tb.Helper()
	conn, err := net.DialTimeout("tcp", s.MQTT, eventually.Patience)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { _ = conn.Close() })
	c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: eventually.Patience})
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Patience)
	defer cancel()
	if _, err := c.Connect(ctx, &paho.Connect{ClientID: id, CleanStart: true, KeepAlive: 60}); err != nil {
		s.tb.Fatalf("connect: %v", err)
	}
	return c
}

// lockedBuffer can be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
