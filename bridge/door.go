package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"time"

	"plumbline/bridge/auth"
)

// door is who may use the HTTP endpoints of the viewers' listener: the holder of a token in the Authorization header.
type door struct {
	b *Bridge
	v *auth.Verifier
}

// errNoToken is the refusal of a request without a good token.
var errNoToken = errors.New("bridge: no good token")

// FromRequest implements httpwire.Door.
func (d door) FromRequest(r *http.Request) (auth.Identity, error) {
	id, ok := d.b.identify(d.v, r)
	if !ok {
		return auth.Identity{}, errNoToken
	}
	return id, nil
}

// Refuse implements httpwire.Door.
func (d door) Refuse(w http.ResponseWriter, r *http.Request, _ auth.Identity, _ error) {
	d.b.log.Warn("refused", "action", r.Method+" "+r.URL.Path, "reason", "token", "remote", r.RemoteAddr)
	w.Header().Set("WWW-Authenticate", "Bearer") // RFC 6750 section 3
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": "token"}) // the peer is gone when this fails
}

// Bind implements httpwire.Door.
func (d door) Bind(ctx context.Context, id auth.Identity) (context.Context, context.CancelFunc) {
	bound, end := context.WithCancelCause(ctx)
	left := min(id.Expires.Sub(d.v.Now()), math.MaxInt64-d.v.Leeway()) + d.v.Leeway()
	expiry := time.AfterFunc(max(left, 0), func() { end(&auth.Refusal{Reason: "expired", Detail: "it has expired"}) })
	look := func() {
		if d.b.revoked.Revoked(id) {
			end(&auth.Refusal{Reason: "revoked", Detail: "it was revoked"})
		}
	}
	unwatch := d.b.revoked.Watch(look)
	look() // one that came in before the watch
	return bound, func() {
		unwatch()
		expiry.Stop()
		end(context.Canceled)
	}
}

// CORS implements httpwire.Door.
func (d door) CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Origin")
		if origins := r.Header["Origin"]; len(origins) == 1 && slices.Contains(d.b.cfg.Viewers.Origins, origins[0]) {
			w.Header().Set("Access-Control-Allow-Origin", origins[0])
			w.Header().Set("Access-Control-Allow-Headers", "Authorization, Last-Event-ID")
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
