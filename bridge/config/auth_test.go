package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLoadAuth(t *testing.T) {
	path := file(t, `viewers: {origins: ["https://a.example"]}
auth:
  jwt: {keySetURL: "https://login.example.org/keys?tenant=x", keySetCA: ca.pem, keySetRefresh: 1m, tenantClaim: org}
  tenantPrefix: "t/{tenant}/"
  cookie: __Host-plumbline
  tickets: true
  subprotocolToken: true
  freeFailures: 5
ops: {tls: {cert: ops.pem, key: ops-key.pem}}
`)
	c, err := Load(path, []string{"PLUMBLINE_BRIDGE_AUTH_JWT_KEY_SET_REFRESH=2m"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir, want := filepath.Dir(path), Default()
	j := &want.Auth.JWT
	j.KeySetURL, j.KeySetCA, j.KeySetRefresh, j.TenantClaim = "https://login.example.org/keys?tenant=x", filepath.Join(dir, "ca.pem"), Duration(2*time.Minute), "org"
	want.Auth.TenantPrefix, want.Auth.Cookie, want.Auth.Tickets, want.Auth.SubprotocolToken, want.Auth.FreeFailures = "t/{tenant}/", "__Host-plumbline", true, true, 5
	want.Ops.TLS = TLS{filepath.Join(dir, "ops.pem"), filepath.Join(dir, "ops-key.pem")}
	if !reflect.DeepEqual(c.Auth, want.Auth) || c.Ops != want.Ops {
		t.Errorf("got  %+v %+v\nwant %+v %+v", c.Auth, c.Ops, want.Auth, want.Ops)
	}
}

func TestAuthMistakes(t *testing.T) {
	for _, tc := range []struct{ text, key, mend string }{
		{`auth: {jwt: {keySetURL: "http://login.example.org/keys"}}`, "auth.jwt.keySetURL", "https"},
		{`auth: {jwt: {keySetURL: "http://localhost.example.org/keys"}}`, "auth.jwt.keySetURL", "https"},
		{`auth: {jwt: {keySetURL: "file:///keys"}}`, "auth.jwt.keySetURL", "https"},
		{`auth: {jwt: {keySetURL: "https://me:hidden@login.example.org/keys"}}`, "auth.jwt.keySetURL", "without user"},
		{`auth: {jwt: {keySetURL: "https://l.example/", keySetFile: keys.json}}`, "auth.jwt", "keep one"},
		{`auth: {jwt: {secretFile: a, keySetFile: keys.json}}`, "auth.jwt", "keep one"},
		{`auth: {jwt: {keySetURL: "https://l.example/", keySetRefresh: 1s}}`, "auth.jwt.keySetRefresh", "10s"},
		{`auth: {jwt: {keySetFile: k, keySetCA: a}}`, "auth.jwt.keySetCA", "keySetURL"},
		{`auth: {cookie: session}`, "auth.cookie", "__Host-"},
		{`auth: {cookie: "__Host-a b"}`, "auth.cookie", "__Host-"},
		{"auth: {cookie: \"__Host-a\"}\nviewers: {dashboard: false}", "auth.cookie", "viewers.origins"},
		{`auth: {tenantPrefix: "tenants/{tenant}"}`, "auth.tenantPrefix", "slash"},
		{`auth: {tenantPrefix: "tenants/"}`, "auth.tenantPrefix", "once"},
		{`auth: {tenantPrefix: "t{tenant}/"}`, "auth.tenantPrefix", "level of its own"},
		{`auth: {tenantPrefix: "+/{tenant}/"}`, "auth.tenantPrefix", "wildcard"},
		{`auth: {tenantPrefix: "$SYS/{tenant}/"}`, "auth.tenantPrefix", "$"},
		{`auth: {jwt: {subjectClaim: ""}}`, "auth.jwt.subjectClaim", "name the claim"},
		{`auth: {jwt: {tenantClaim: ""}}`, "auth.jwt.tenantClaim", "name the claim"},
		{`auth: {jwt: {grantsClaim: sub}}`, "auth.jwt.grantsClaim", "auth.jwt.subjectClaim"},
		{`auth: {freeFailures: -1}`, "auth.freeFailures", "allowed is 0"},
		{`viewers: {path: /session}`, "viewers.path", "another"},
		{`ops: {tls: {cert: a}}`, "ops.tls", "both"},
	} {
		_, err := Load(file(t, tc.text+"\n"), nil, nil)
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.key+":") || !strings.Contains(err.Error(), tc.mend) {
			t.Errorf("%s: %v, want it to name %s and %q", tc.text, err, tc.key, tc.mend)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("a password is repeated: %v", err)
		}
	}
}
