package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"plumbline/bridge/internal/brokertest"
)

// influxConf keeps the server to itself: no reports to its makers, no other listeners.
const influxConf = `reporting-disabled = true
bind-address = %q
[meta]
  dir = "%[3]s/meta"
[data]
  dir = "%[3]s/data"
  wal-dir = "%[3]s/wal"
  index-version = "tsi1"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = %[2]q
  log-enabled = false
  auth-enabled = %[4]t
`

// NewInflux starts an InfluxDB of version 1. It is stopped when the test ends. The test fails, with what to do, when InfluxDB is
// not installed. With auth, the server wants the user "plumbline" with the password [Secret].
func NewInflux(tb testing.TB, auth bool) *Server {
	tb.Helper()
	influxd := find(tb, "influxd", "influxdb", "/usr/bin/influxd")
	s := newServer(tb, unprivileged("influxdb", "nobody"))
	conf := filepath.Join(s.Dir, "influxdb.conf")
	text := fmt.Sprintf(influxConf, brokertest.FreePort(tb), s.Addr, s.Dir, auth)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.Own(conf)
	s.args = []string{influxd, "-config", conf}
	s.ready = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/ping", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusNoContent {
			err = errors.New(resp.Status)
		}
		return errors.Join(err, resp.Body.Close())
	}
	s.Start()
	return s
}

// URL returns that of an HTTP server.
func (s *Server) URL() string { return "http://" + s.Addr }
