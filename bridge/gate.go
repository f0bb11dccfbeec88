package bridge

import (
	"context"
	"fmt"
	"net/http"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
	"plumbline/bridge/gate"
	"plumbline/bridge/history/api"
)

// verifier makes the token check, with a secret of its own when no key is configured.
func (b *Bridge) verifier() (*auth.Verifier, error) {
	if needsSecret(b.cfg) {
		if _, err := auth.EnsureSecret(SecretFile(b.cfg), nil); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	v, keys, err := newVerifier(b.cfg, auth.KeysOptions{Cache: b.file("keyset.json"), Now: b.now, Log: b.log, Failed: b.m.KeyFetchFailures.Inc})
	b.keys = keys
	return v, err
}

// buildGate makes the list of revocations and the gate.
func (b *Bridge) buildGate(v *auth.Verifier) error {
	var err error
	if b.revoked, err = auth.NewRevocations(b.cfg.Auth.RevocationFile, b.cfg.Auth.TenantPrefix, b.log); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	b.revoked.ShowStale(b.m.StaleFiles.WithLabelValues("auth.revocationFile").Set)
	if err := b.revoked.KeepEnded(b.file(endedFile)); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if b.relay != nil {
		if err := b.relay.Share(context.Background(), b.revoked); err != nil { // its patience is its own
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	a := b.cfg.Auth
	b.gate = gate.New(gate.Options{
		Verifier: v, Revocations: b.revoked, Origins: b.cfg.Viewers.Origins, Own: b.ownHosts(), Cookie: b.cfg.SessionCookie(), Tickets: a.Tickets, Subprotocol: a.SubprotocolToken,
		FreeFailures: a.FreeFailures, Metrics: b.m, Log: b.log,
	})
	return nil
}

// viewerRoutes are the endpoints of the viewers' listener.
func (b *Bridge) viewerRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(b.cfg.Viewers.Path, b.wire)
	b.routeHTTP(mux)
	if b.asked != nil {
		mux.Handle(api.Root, b.gate.CORS(b.asked))
	}
	b.routePage(mux)
	if b.cfg.SessionCookie() != "" {
		mux.Handle("/session", b.gate.Session())
		mux.Handle("/session/code", b.gate.Code())
	}
	if b.cfg.Auth.Tickets {
		mux.Handle("/ticket", b.gate.Ticket())
	}
	return b.secured(b.proxies.Serve(b.proxyHeader(), mux, http.HandlerFunc(b.refusePlain)))
}

// refusePlain answers those whom a listed proxy took without TLS.
func (b *Bridge) refusePlain(w http.ResponseWriter, r *http.Request) {
	b.m.Handshakes.WithLabelValues("insecure").Inc()
	audit.Refused(b.log, audit.Event{Action: audit.Request(r), Reason: "insecure", Remote: r.RemoteAddr, Detail: "the proxy says that the viewer came to it without TLS: let it refuse or redirect those"})
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "plumbline: refused: insecure: come by https or wss", http.StatusForbidden)
}

// strictTransport makes browsers use nothing but TLS with this host for a year (RFC 6797).
const strictTransport = "max-age=31536000"

// secured adds the headers that every answer of the viewers' listener has. Strict transport is for a certificate of the
// operator's: with the development certificate it would bind all of localhost.
func (b *Bridge) secured(next http.Handler) http.Handler {
	strict := !b.cfg.Viewers.Plaintext && b.cfg.Viewers.TLS.Cert != ""
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if strict {
			h.Set("Strict-Transport-Security", strictTransport)
		}
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}
