package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// unprivileged calls f as somebody who may read what everybody may.
func unprivileged(f func()) {
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		f()
	}()
	<-done
}

// TestVerifyByAnotherUser: who may not read the bridge's data folder learns what a token is worth but for that, and that it is so.
func TestVerifyByAnotherUser(t *testing.T) {
	dir := t.TempDir()
	secret, data := filepath.Join(dir, "secret"), filepath.Join(dir, "data")
	if err := os.WriteFile(secret, []byte(strings.Repeat("0123456789abcdef", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(data, 0o700) })
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o755, secret: 0o644, data: 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	set := []string{"--set", "data=" + data, "--set", "auth.jwt.secretFile=" + secret}
	_, token, _ := invoke(t, "", append([]string{"token", "--sub", "wall", "--grants", "plant/#"}, set...)...)
	var reads error
	var code int
	var out, errs string
	unprivileged(func() {
		if _, reads = os.ReadFile(secret); reads == nil {
			code, out, errs = invoke(t, token, append([]string{"token", "--verify", "-"}, set...)...)
		}
	})
	if reads != nil {
		t.Skipf("the folder of the tests is closed to others: %v", reads)
	}
	if code != exitOK || !strings.Contains(out, `"sub": "wall"`) || !strings.Contains(errs, "were not looked at") {
		t.Errorf("exit %d, %s, %s", code, out, errs)
	}
}
