package pdf

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestPrint prints with a real Chromium: the page comes out, and nothing beside it is
// asked for.
func TestPrint(t *testing.T) {
	browser, err := Find("")
	if err != nil {
		t.Fatalf("%v: make deps-test installs one", err)
	}
	var asked atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer site.Close()
	page := `<!doctype html><title>A page</title><h1>A page</h1><img src="` + site.URL + `/x.png">`
	text, err := Print(t.Context(), browser, []byte(page))
	if errors.Is(err, ErrNoSandbox) {
		t.Skipf("%v: let this user create user namespaces, or run the test as root", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !whole(text) {
		t.Errorf("%d bytes are no PDF", len(text))
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the browser asked for %d things", n)
	}
}

// browserThat is a program in the place of a browser.
func browserThat(t *testing.T, does string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a script of the shell is no program on Windows")
	}
	path := filepath.Join(t.TempDir(), "browser")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+does+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatABrowserMayDo(t *testing.T) {
	for _, c := range []struct{ does, want string }{
		{"exit 3", "exit status 3"},
		{"echo 'something broke' >&2; exit 1", "something broke"},
		{"exit 0", "no whole PDF"},
		{`for a; do case $a in --print-to-pdf=*) echo '%PDF-1.4 half' > "${a#*=}";; esac; done`, "no whole PDF"},
		{"echo '[1:1:FATAL] No usable sandbox!' >&2; exit 133", ErrNoSandbox.Error()},
		{"echo 'Failed to move to new namespace: PID namespaces supported, Network namespace supported, but failed: errno = Operation not permitted' >&2; exit 133", ErrNoSandbox.Error()},
	} {
		if _, err := Print(t.Context(), browserThat(t, c.does), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.does, err, c.want)
		}
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("the user has no patience"))
	defer cancel()
	if _, err := Print(ctx, browserThat(t, "exec sleep 600"), nil); err == nil || !strings.Contains(err.Error(), "no patience") {
		t.Errorf("one that hangs: %v", err)
	}
	text, err := Print(t.Context(), browserThat(t, `for a; do case $a in --print-to-pdf=*) printf '%%PDF-1.4\n%%%%EOF\n' > "${a#*=}";; esac; done`), nil)
	if err != nil || !whole(text) {
		t.Errorf("one that prints: %q, %v", text, err)
	}
}

func TestFind(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Find("no-such-browser"); !errors.Is(err, ErrNoBrowser) {
		t.Errorf("a name that nothing has: %v", err)
	}
	own := browserThat(t, "exit 0")
	if got, err := Find(own); err != nil || got != own {
		t.Errorf("a path: %q, %v", got, err)
	}
	t.Setenv("PATH", filepath.Dir(own))
	if err := os.Rename(own, filepath.Join(filepath.Dir(own), "google-chrome")); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(""); err != nil || filepath.Base(got) != "google-chrome" {
		t.Errorf("on the PATH: %q, %v", got, err)
	}
}

// TestArguments: the sandbox is given up for root only.
func TestArguments(t *testing.T) {
	if off := slices.Contains(arguments("d", "s", "t"), "--no-sandbox"); off != (os.Geteuid() == 0) {
		t.Errorf("sandbox off: %v, user %d", off, os.Geteuid())
	}
}
