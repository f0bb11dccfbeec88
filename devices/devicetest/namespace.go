package devicetest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"plumbline/devices/usbtree"
)

// insideOf names the environment variable that tells a copy of the test binary
// which test it runs in a namespace of its own.
const insideOf = "PLUMBLINE_TEST_INSIDE"

// InNamespace runs body in a copy of the test binary whose /dev and
// /sys/class/tty are its own and hold what body plugs into the tree: the real
// enumerators and drivers then see USB adapters that are pty twins. The test
// must call nothing else, and not be a subtest. Where this user may make no
// mount namespace the test is skipped.
func InNamespace(t *testing.T, body func(t *testing.T, tree *usbtree.Tree)) {
	t.Helper()
	if os.Getenv(insideOf) == t.Name() {
		tree, err := usbtree.Enter()
		if usbtree.IsNotAllowed(err) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		body(t, tree)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), insideOf+"="+t.Name())
	cmd.WaitDelay = time.Second
	usbtree.Isolate(cmd)
	out, err := cmd.CombinedOutput()
	switch {
	case usbtree.IsNotAllowed(err):
		t.Skipf("%v: %v", usbtree.ErrNotAllowed, err)
	case err != nil:
		t.Fatalf("in a mount namespace: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("in a mount namespace:\n%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("the test did not run in its namespace:\n%s", out)
	}
}
