package bridge

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// TestSecondBridgeTouchesNothing: one that finds the data folder held, as one that waits to take over does again and again, changes no
// file of the other's and asks nobody for keys.
func TestSecondBridgeTouchesNothing(t *testing.T) {
	var asked atomic.Int64
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(keys.Close)
	r := run(t, func(c *Config) { c.Auth.JWT.KeySetURL = keys.URL })
	if err := r.b.revoked.End(auth.Identity{Key: "k1", Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	before, times := r.files(), asked.Load()
	if b, err := New(Options{Config: r.cfg}); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("a second bridge on the folder: %v, %v", b, err)
	}
	if n := asked.Load(); n != times {
		t.Errorf("it asked %d times for keys", n-times)
	}
	after := r.files()
	for name, info := range before {
		if now := after[name]; now == nil || !os.SameFile(info, now) || !now.ModTime().Equal(info.ModTime()) {
			t.Errorf("it replaced %s", name)
		}
	}
	for name := range after {
		if before[name] == nil {
			t.Errorf("it made %s", name)
		}
	}
}

// files lists what is in the data folder but the history, which the running bridge itself writes.
func (r *running) files() map[string]fs.FileInfo {
	r.t.Helper()
	all := map[string]fs.FileInfo{}
	err := filepath.WalkDir(r.cfg.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), historyFile) {
			return err
		}
		all[path], err = d.Info()
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// TestReadinessByState: /readyz says why nobody should come, from the first moment to the last, and what a killed bridge wrote down
// about itself is gone by then.
func TestReadinessByState(t *testing.T) {
	c := testConfig(t.TempDir())
	c.Drain.Spread = config.Duration(time.Minute)
	stale := filepath.Join(c.Data, AddressFile)
	if err := os.WriteFile(stale, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("the address file of a killed bridge: %v", err)
	}
	if why := b.notReady(); why != "starting" {
		t.Errorf("not running: %q", why)
	}
	r := runMade(t, c, b)
	if body := r.get("/readyz"); !strings.Contains(body, `"status":"ready"`) {
		t.Errorf("serving: %s", body)
	}
	v := r.open(nil)
	r.stop()
	eventually.Must(t, "the drain", func() bool { return strings.Contains(r.get("/readyz"), `"reason":"draining"`) })
	_ = v.ws.Close()
}
