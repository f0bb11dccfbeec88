package auth

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge/internal/eventually"
)

// TestN41FilterContainment holds N42 and N43 too: a wider filter that overlaps, and filters that are none.
func TestN41FilterContainment(t *testing.T) {
	id := Identity{Grants: Viewing("plant/1/#", "shared/+/temp"), Denies: Viewing("plant/1/secret/#")}
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
		err := id.May(Live, filter)
		got := "ok"
		if errors.Is(err, ErrForbidden) {
			got = "forbidden"
		} else if err != nil {
			got = "invalid"
		}
		if got != want {
			t.Errorf("May(Live, %q) = %s (%v), want %s", filter, got, err, want)
		}
	}
	if (Identity{}).May(Live, "a") == nil {
		t.Error("the zero identity may subscribe")
	}
}

func TestAllowHidesDenied(t *testing.T) {
	id := Identity{Grants: Viewing("#"), Denies: Viewing("b/#", "a/+/x")}
	allow := id.Allow(Live)
	for name, want := range map[string]bool{"a": true, "b": false, "b/c": false, "a/1/x": false, "a/1/y": true} {
		if allow(name) != want {
			t.Errorf("Allow(%q) = %v, want %v", name, !want, want)
		}
	}
	if (Identity{Grants: Viewing("#")}).Allow(Live) != nil {
		t.Error("without denies there is nothing to check")
	}
	same := Identity{Grants: Viewing("a"), Denies: Viewing("a/+/x", "b/#", "b/#")}
	if id.AccessKey(Live) != same.AccessKey(Live) || id.AccessKey(Live) == (Identity{Grants: Viewing("#"), Denies: Viewing("b/#")}).AccessKey(Live) {
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
	r, err := NewRevocations(path, "", quiet())
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

// TestRevocationsOfABadFile: while the file does not read as a whole its good lines add to the list and take nothing off it, and each new
// state of it is reported.
func TestRevocationsOfABadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	put(t, path, "sub:anna\n")
	var log bytes.Buffer
	r, err := NewRevocations(path, "", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var stale float64
	r.ShowStale(func(v float64) { stale = v })
	changes := 0
	r.Watch(func() { changes++ })
	for _, tc := range []struct {
		text, revoked string
		stale         float64
		reports       int
	}{
		{"nonsense\n", "anna", 1, 1},
		{"nonsense\nsub:ben\n", "anna ben", 1, 2},
		{strings.Repeat("x", 1<<20) + "\nsub:carl\n", "anna ben carl", 1, 3},
		{"nonsense\n", "anna ben carl", 1, 4},
		{"sub:ben\n", "ben", 0, 4},
		{"nonsense\n", "ben", 1, 5},
	} {
		put(t, path, tc.text)
		before := changes
		for range 3 { // looking again at the same says nothing more
			r.tick()
		}
		revoked := strings.Join(slices.DeleteFunc([]string{"anna", "ben", "carl"}, func(name string) bool { return !r.Revoked(Identity{Subject: name}) }), " ")
		if reports := strings.Count(log.String(), "\n"); revoked != tc.revoked || stale != tc.stale || reports != tc.reports || changes != before+1 {
			t.Errorf("%.20q: revoked %s, stale %v, %d reports, %d changes", tc.text, revoked, stale, reports, changes-before)
		}
	}
}

func TestRevocationsRefuseMalformedAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	for _, text := range []string{"anna\n", "user:anna\n", "sub:\n"} {
		put(t, path, text)
		if _, err := NewRevocations(path, "", quiet()); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	put(t, path, "")
	if err := os.Truncate(path, maxRevocationBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := NewRevocations(path, "", quiet()); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a file without end: %v", err)
	}
	if r, err := NewRevocations("", "", quiet()); err != nil || r.Revoked(Identity{Subject: "a"}) {
		t.Errorf("no file: %v", err)
	}
}

func TestN44DenyBeatsAllow(t *testing.T) {
	for _, tc := range []struct {
		deny, filter string
		may, hidden  bool // whether the filter is allowed, and whether a/b is hidden then
	}{
		{"a/b", "a/b", false, true},
		{"a/#", "a/b", false, true},
		{"#", "a/b", false, true},
		{"a/b", "a/+", true, true},
		{"a/b/#", "a/#", true, true}, // a/b itself too (MQTT 5.0 section 4.7.1.2)
		{"b/#", "a/b", true, false},
		{"+/b/c", "a/b", true, false},
	} {
		id := Identity{Grants: Viewing("#", "a/b"), Denies: Viewing(tc.deny)}
		for _, action := range []Action{Live, Snapshot, History} {
			if may := id.May(action, tc.filter) == nil; may != tc.may {
				t.Errorf("%s, deny %s: %s allowed = %v", action, tc.deny, tc.filter, may)
			}
			if hidden := !id.Allow(action)("a/b"); hidden != tc.hidden {
				t.Errorf("%s, deny %s: a/b hidden = %v", action, tc.deny, hidden)
			}
		}
	}
}

// TestGrantsByAction: a list of grants is for looking, never for publishing; an object names each action; what is misspelt or of
// another shape refuses the token, for a deny that is overlooked lets pass.
func TestGrantsByAction(t *testing.T) {
	v := verifier(t, "HS256", secret, 0)
	read := func(grants, denies any) (Identity, error) {
		return v.Verify(sign(t, jwt.SigningMethodHS256, secret, claims(map[string]any{"grants": grants, "denies": denies}), nil))
	}
	type object = map[string]any
	for _, tc := range []struct {
		name           string
		grants, denies any
		want           [actions]string // actions on a/b, a/c: y or n each
	}{
		{"none", nil, nil, [actions]string{"nn", "nn", "nn", "nn"}},
		{"a list", []string{"a/#"}, nil, [actions]string{"yy", "yy", "yy", "nn"}},
		{"an object", object{"live": []string{"a/b"}, "publish": []string{"a/c"}}, nil, [actions]string{"yn", "nn", "nn", "ny"}},
		{"a list of denies is for all", object{"live": []string{"a/#"}, "publish": []string{"a/#"}}, []string{"a/c"}, [actions]string{"yn", "nn", "nn", "yn"}},
		{"denies by action", []string{"a/#"}, object{"history": []string{"a/+"}, "snapshot": []string{"a/b"}}, [actions]string{"yy", "ny", "nn", "nn"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, err := read(tc.grants, tc.denies)
			if err != nil {
				t.Fatal(err)
			}
			for a := range actions {
				got := ""
				for _, name := range []string{"a/b", "a/c"} {
					may := id.May(a, name) == nil
					if allow := id.Allow(a); may && allow != nil && !allow(name) {
						t.Errorf("%s of %s: May allows, Allow does not", a, name)
					}
					got += map[bool]string{true: "y", false: "n"}[may]
				}
				if got != tc.want[a] {
					t.Errorf("%s: %s, want %s", a, got, tc.want[a])
				}
			}
		})
	}
	for name, bad := range map[string]any{
		"a string": "#", "a number": 7, "misspelt action": object{"Live": []string{"#"}}, "unknown action": object{"all": []string{"#"}},
		"no list in it": object{"live": "#"}, "bad filter": object{"live": []string{"a/#/b"}}, "null list": object{"live": nil},
		"too many": object{"live": slices.Repeat([]string{"a"}, maxGrants+1)},
	} {
		if _, err := read(bad, nil); err == nil {
			t.Errorf("grants %s: accepted", name)
		}
		if _, err := read([]string{"#"}, bad); err == nil {
			t.Errorf("denies %s: accepted", name)
		}
	}
	if allow := (Identity{}).Allow(History); allow == nil || allow("a") || (Identity{}).AccessKey(History) == "" {
		t.Error("the zero identity is allowed something")
	}
	if err := (Identity{Grants: Viewing("#")}).May(actions, "a"); err == nil {
		t.Error("an unknown action is granted")
	}
}
