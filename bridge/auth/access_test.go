package auth

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"plumbline/bridge/internal/eventually"
)

// TestMaySubscribe holds N41 to N44.
func TestMaySubscribe(t *testing.T) {
	id := Identity{Grants: []string{"plant/1/#", "shared/+/temp"}, Denies: []string{"plant/1/secret/#"}}
	for filter, want := range map[string]string{
		"plant/1/#":        "ok",
		"plant/1":          "ok",
		"plant/1/a/b":      "ok",
		"plant/1/+/c":      "ok",
		"shared/x/temp":    "ok",
		"shared/+/temp":    "ok",
		"plant/1/+":        "ok", // a deny covers a part: Allow hides it
		"plant/1/secret/x": "forbidden",
		"plant/1/secret/#": "forbidden",
		"#":                "forbidden",
		"plant/#":          "forbidden",
		"plant/+/a":        "forbidden",
		"+/1/a":            "forbidden",
		"shared/#":         "forbidden",
		"shared/x/temp/y":  "forbidden",
		"plant/2":          "forbidden",
		"$SYS/#":           "forbidden",
		"":                 "invalid",
		"plant/1/#/x":      "invalid",
		"plant/1/a+":       "invalid",
		"plant/1/\x00":     "invalid",
		"plant/1/\xff":     "invalid",
	} {
		err := id.MaySubscribe(filter)
		got := "ok"
		if errors.Is(err, ErrForbidden) {
			got = "forbidden"
		} else if err != nil {
			got = "invalid"
		}
		if got != want {
			t.Errorf("MaySubscribe(%q) = %s (%v), want %s", filter, got, err, want)
		}
	}
	if (Identity{}).MaySubscribe("a") == nil {
		t.Error("the zero identity may subscribe")
	}
}

func TestAllowHidesDenied(t *testing.T) {
	id := Identity{Grants: []string{"#"}, Denies: []string{"b/#", "a/+/x"}}
	allow := id.Allow()
	for name, want := range map[string]bool{"a": true, "b": false, "b/c": false, "a/1/x": false, "a/1/y": true} {
		if allow(name) != want {
			t.Errorf("Allow(%q) = %v, want %v", name, !want, want)
		}
	}
	if (Identity{Grants: []string{"#"}}).Allow() != nil {
		t.Error("without denies there is nothing to check")
	}
	same := Identity{Denies: []string{"a/+/x", "b/#", "b/#"}}
	if id.AccessKey() != same.AccessKey() || id.AccessKey() == (Identity{Denies: []string{"b/#"}}).AccessKey() {
		t.Error("AccessKey does not follow the set of denies")
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRevocations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	r, err := NewRevocations(path, quiet())
	if err != nil {
		t.Fatalf("a missing file: %v", err)
	}
	var changes atomic.Int32
	cancelWatch := r.Watch(func() { changes.Add(1) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	anna, ben := Identity{Subject: "anna", TokenID: "1"}, Identity{Subject: "ben", TokenID: "2"}
	put(t, path, "# list\n\nsub:anna\n")
	eventually.Must(t, "anna's revocation", func() bool { return r.Revoked(anna) && changes.Load() > 0 })
	if r.Revoked(ben) {
		t.Error("ben is revoked")
	}
	put(t, path, "sub: carl\n jti: 2 \n")
	eventually.Must(t, "ben's token's revocation", func() bool { return r.Revoked(ben) && !r.Revoked(anna) })
	if r.Revoked(Identity{Subject: "2"}) || r.Revoked(Identity{Subject: "dora"}) {
		t.Error("a subject was taken for a token id")
	}
	put(t, path, "sub:anna\nnonsense\n") // must not be taken, must not clear the list
	n := changes.Load()
	put(t, path, "sub:dora\n")
	eventually.Must(t, "the list after a bad one", func() bool { return r.Revoked(Identity{Subject: "dora"}) && changes.Load() > n })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := r.reload(); err == nil || !r.Revoked(Identity{Subject: "dora"}) {
		t.Errorf("without the file: %v, dora must stay revoked", err)
	}
	cancelWatch()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestRevocationsRefuseMalformedAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	for _, text := range []string{"anna\n", "user:anna\n", "sub:\n"} {
		put(t, path, text)
		if _, err := NewRevocations(path, quiet()); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if r, err := NewRevocations("", quiet()); err != nil || r.Revoked(Identity{Subject: "a"}) {
		t.Errorf("no file: %v", err)
	}
}
