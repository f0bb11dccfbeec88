package dashboard_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
)

// TestWeb runs the unit tests of client and page in Node.js; those that need a bridge get a real one.
func TestWeb(t *testing.T) {
	lock, err := os.Stat(filepath.Join("web", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	if installed, err := os.Stat(filepath.Join("web", "node_modules", ".package-lock.json")); err != nil || !installed.ModTime().After(lock.ModTime()) { // as .ci/web
		t.Skip("the packages of the page are not those of the lock file: make dashboard installs them")
	}
	s := bridged(t)
	s.publish("plant/press-1/temperature", "21.5")
	at, err := json.Marshal(map[string]string{"url": s.URL, "mqtt": s.MQTT, "token": s.Token(nil), "ca": filepath.Join(s.Data, "tls", "ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // 40 s on a machine of its own; each wait that fails costs a minute
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "test.mjs")
	cmd.Dir = "web"
	cmd.WaitDelay = eventually.Patience // a bridge that it left may hold the output
	cmd.Env = append(os.Environ(), "PLUMBLINE_TEST_BRIDGE="+string(at), "PLUMBLINE_BRIDGED="+binary(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("node test.mjs: %v\n%s", err, out)
	}
}
