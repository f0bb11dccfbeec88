package auth

import (
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestKeyThatJustCame: a token whose key another token's question has brought meanwhile is good, although it is too soon to ask.
func TestKeyThatJustCame(t *testing.T) {
	aPub, _ := edKey(t)
	bPub, b := edKey(t)
	i := newIssuer(t, jwks(jwk("a", aPub, nil)))
	came, err := parseKeySet([]byte(jwks(jwk("b", bPub, nil))), false, quiet())
	if err != nil {
		t.Fatal(err)
	}
	var late func() // nil while the set is read for the first time
	v, k, _ := i.following(t, func(o *KeysOptions) {
		o.Now = func() time.Time { // asked after the set was looked at
			if late != nil {
				late()
			}
			return now
		}
	})
	late = func() { k.set.Store(came) }
	if _, err := v.Verify(signKid(t, jwt.SigningMethodEdDSA, b, "b")); err != nil {
		t.Error(err)
	}
}

// TestKeysByTLS: the operator's authority counts, and the URL, which may hold a key of its own, is in no message.
func TestKeysByTLS(t *testing.T) {
	pub, private := edKey(t)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, jwks(jwk("a", pub, nil))) }))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	put(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	for _, tc := range []struct{ ca, reason string }{{ca, ""}, {"", ReasonKeys}} {
		var log strings.Builder
		k, err := NewKeys(KeysOptions{URL: srv.URL + "/keys?code=hidden", CA: tc.ca, Refresh: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		_, err = byKeys(t, k).Verify(signKid(t, jwt.SigningMethodEdDSA, private, "a"))
		if tc.reason == "" && err != nil {
			t.Errorf("with its authority: %v", err)
		} else if tc.reason != "" {
			wantReason(t, err, tc.reason)
		}
		if strings.Contains(log.String(), "hidden") {
			t.Errorf("the URL is in the log: %s", log.String())
		}
	}
}
