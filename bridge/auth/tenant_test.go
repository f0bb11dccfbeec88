package auth

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge/topic"
)

// tenants makes a verifier with tenants.
func tenants(t *testing.T) *Verifier {
	t.Helper()
	v, err := NewVerifier(Options{Alg: "HS256", Key: secret, Issuer: "plumbline", Audience: "bridge", TenantPrefix: "tenants/{tenant}/", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestN50TenantsStayBelowTheirPrefix: whatever a token of one tenant grants, no filter that it allows matches a topic of another.
func TestN50TenantsStayBelowTheirPrefix(t *testing.T) {
	v := tenants(t)
	read := func(tenant any, grants ...string) (Identity, error) {
		return v.Verify(sign(t, jwt.SigningMethodHS256, secret, claims(map[string]any{"tenant": tenant, "grants": grants}), nil))
	}
	for _, grant := range []string{"#", "+", "+/#", "$SYS/#", "../b/#", "a", "/#", "//", "tenants/b/#"} {
		id, err := read("a", grant)
		if err != nil {
			t.Errorf("grant %q: %v", grant, err)
			continue
		}
		for _, filter := range []string{"#", "+/#", "+/b/#", "tenants/#", "tenants/+/x", "tenants/b/#", "tenants/b/x", "tenants/b", "tenants", "$SYS/#", "tenants/aa/x", "tenants/a/../b/x"} {
			if id.May(Live, filter) == nil && topic.Overlaps(filter, "tenants/b/#") {
				t.Errorf("grant %q of a allows %q", grant, filter)
			}
		}
	}
	id, err := read("a", "#")
	if err != nil || id.Tenant != "a" || id.May(Live, "tenants/a/x/y") != nil || id.May(History, "tenants/a/#") != nil {
		t.Errorf("its own topics: %+v, %v", id, err)
	}
	other, err := read("b", "#")
	if err != nil || id.May(Live, "tenants/b/there") != ErrForbidden || id.May(Live, "tenants/b/not-there") != other.May(Live, "tenants/a/x") { //nolint:errorlint // the very same: no oracle
		t.Errorf("what is refused differs: %v", err)
	}
	for _, bad := range []any{nil, "", "a/b", "+", "#", "a+", "$SYS", " a", "a\x00", "a\n", "{tenant}", 7, []string{"a"}, string(make([]byte, 129))} {
		if _, err := read(bad, "#"); err == nil {
			t.Errorf("tenant %q is taken", bad)
		}
	}
}

// TestTenantPrefixes: a prefix under which one tenant could reach into another's, or that makes filters that are none.
func TestTenantPrefixes(t *testing.T) {
	for _, good := range []string{"", "{tenant}/", "tenants/{tenant}/", "a/{tenant}/b/"} {
		if err := CheckTenantPrefix(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"tenants/{tenant}", "tenants/", "{tenant}/{tenant}/", "x{tenant}/", "{tenant}x/", "{TENANT}/", "{tenant}/{/", "+/{tenant}/", "#/{tenant}/", "$x/{tenant}/", "a\x00/{tenant}/",
	} {
		if CheckTenantPrefix(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	v, err := NewVerifier(Options{Alg: "HS256", Key: secret, Issuer: "plumbline", Audience: "bridge", TenantPrefix: strings.Repeat("x", 65_000) + "/{tenant}/", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(sign(t, jwt.SigningMethodHS256, secret, claims(map[string]any{"tenant": "a", "grants": []string{strings.Repeat("y", 1000)}}), nil))
	wantReason(t, err, "grants")
}

// TestRevocationOfATenant: a tenant's subject, or the tenant whole, without anybody of another; a name alone is every tenant's.
func TestRevocationOfATenant(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	for list, want := range map[string]string{
		"sub:anna":     "yyn",
		"sub:a/anna":   "ynn",
		"tenant:a":     "yny",
		"tenant:a/ben": "nnn",
		"tenant:anna":  "nnn",
		"sub:a":        "nnn",
		"sub:/anna":    "nnn",
	} {
		put(t, path, list+"\n")
		r, err := NewRevocations(path, "{tenant}/", quiet())
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, id := range []Identity{{Tenant: "a", Subject: "anna"}, {Tenant: "b", Subject: "anna"}, {Tenant: "a", Subject: "ben"}} {
			got += map[bool]string{true: "y", false: "n"}[r.Revoked(id)]
		}
		if got != want || r.Revoked(Identity{Subject: "carl"}) {
			t.Errorf("%s: %s, want %s", list, got, want)
		}
	}
}

// TestRevocationOfATenantWithoutTenants: a line that would revoke nobody is refused, as one that is misspelt.
func TestRevocationOfATenantWithoutTenants(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	put(t, path, "sub:a/anna\ntenant:a\n")
	if _, err := NewRevocations(path, "", quiet()); err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "auth.tenantPrefix") {
		t.Errorf("it is taken, or refused without the mend: %v", err)
	}
}

// FuzzContainment: what May allows under a tenant's prefix, no topic outside of it matches, and containment implies the match of
// every topic.
func FuzzContainment(f *testing.F) {
	for _, s := range [][3]string{{"#", "tenants/a/+", "tenants/b/x"}, {"a/#", "a", "a/b"}, {"+/+", "#", "x"}, {"$SYS/#", "+/#", "$SYS/x"}, {"a//+", "a//b", "a//b"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, grant, filter, name string) {
		if topic.ValidFilter(grant) != nil || topic.ValidName(name) != nil {
			return
		}
		id := Identity{Grants: Viewing(grant)}
		if id.May(Live, filter) == nil && topic.Match(filter, name) && !topic.Match(grant, name) {
			t.Fatalf("grant %q allows %q, which sees %q", grant, filter, name)
		}
		const prefix = "tenants/a/"
		if topic.ValidFilter(prefix+grant) != nil {
			return
		}
		under := Identity{Grants: Viewing(prefix + grant)}
		if under.May(Live, filter) == nil && topic.Match(filter, name) && name != "tenants/a" && (len(name) < len(prefix) || name[:len(prefix)] != prefix) {
			t.Fatalf("grant %q below the prefix allows %q, which sees %q", grant, filter, name)
		}
	})
}
