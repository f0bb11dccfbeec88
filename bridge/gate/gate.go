// Package gate finds out who sends an HTTP request, WebSocket handshakes included: it reads the credential in whatever way it
// came, holds the page's origin against the list, asks package auth, and slows down who tries bad ones. It also makes the
// browser's session cookie and single-use tickets.
package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"math"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/metrics"
)

// Options configures a Gate. Verifier, Revocations, Metrics and Log are required.
type Options struct {
	Verifier    *auth.Verifier
	Revocations *auth.Revocations
	Origins     []string // exact origins of the pages that may come; none = only clients without Origin
	// Own reports whether a host name of a request is one that only this listener can have: then a page of the very origin that it
	// is asked under is the bridge's own, and may come as those of Origins. Nil = there is no such page.
	Own         func(host string) bool
	Cookie      string // name of the session cookie, "" = cookies are never read
	Tickets     bool   // hand out and take tickets
	Subprotocol bool   // take a token as WebSocket subprotocol
	// FreeFailures is how many bad credentials an address class may show before it has to wait, ever longer; one is forgiven
	// each second. 0 = it never has to.
	FreeFailures int
	Metrics      *metrics.Set
	Log          *slog.Logger
	Now          func() time.Time // nil = time.Now
	Random       io.Reader        // nil = crypto/rand
}

// Gate is safe for concurrent use. Make it with New.
type Gate struct {
	opts     Options
	throttle *throttle
	tickets  *tickets
	codes    *codes
}

// New returns a Gate.
func New(o Options) *Gate {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return &Gate{opts: o, throttle: newThrottle(o.FreeFailures, o.Now), tickets: newTickets(o.Now, o.Random), codes: newCodes(o.Now, o.Random)}
}

// Reasons of the refusals that are the gate's own; the others are those of auth.Refusal.
const (
	ReasonMissing     = "missing"      // no credential
	ReasonAmbiguous   = "credentials"  // several, or one given twice
	ReasonURL         = "token-in-url" // where logs and histories would keep it
	ReasonOrigin      = "origin"       // not on the list, or missing with a cookie
	ReasonTicket      = "ticket"       // unknown, used, too old or from elsewhere
	ReasonCode        = "code"         // unknown, used or too old
	ReasonBody        = "body"         // of a request to the session endpoint
	ReasonMethod      = "method"       // not served there
	ReasonRevoked     = "revoked"
	ReasonThrottled   = "throttled"
	ReasonSubprotocol = "token-in-subprotocol" // not enabled
)

// Wait returns how long addr has to wait before it may show a credential again; 0 = not at all.
func (g *Gate) Wait(addr string) time.Duration { return g.throttle.wait(addr) }

// Open says whom a credential that came from addr stands for. Every error is a *auth.Refusal; it is counted, and slows the
// address down. It may wait up to auth.FetchTimeout for the keys of a token whose key is not known yet.
func (g *Gate) Open(c Credential, addr string) (auth.Identity, error) {
	if g.Wait(addr) > 0 {
		return auth.Identity{}, g.count(auth.Refuse(ReasonThrottled, "too many bad credentials from this address"))
	}
	return g.Check(c, addr)
}

// Check is Open for a session that exists already: it is not held up by others of its address.
func (g *Gate) Check(c Credential, addr string) (auth.Identity, error) {
	id, err := g.check(c)
	if err == nil && g.opts.Revocations.Revoked(id) {
		// Who it was stays in id, for the record: the token itself held.
		err = auth.Refuse(ReasonRevoked, "it was revoked")
	}
	if err == nil {
		g.opts.Metrics.Auth.WithLabelValues("ok", "").Inc()
		return id, nil
	}
	switch Reason(err) {
	case auth.ReasonKeys, ReasonMissing: // our own lack is not the peer's fault, and who shows nothing guesses nothing
	default:
		g.throttle.fail(addr)
	}
	return id, g.count(err)
}

func (g *Gate) check(c Credential) (auth.Identity, error) {
	switch {
	case c.err != nil:
		return auth.Identity{}, c.err
	case c.id != nil:
		if !g.opts.Now().Before(c.id.Expires.Add(g.opts.Verifier.Leeway())) {
			return auth.Identity{}, auth.Refuse("expired", "the ticket's token has expired")
		}
		return *c.id, nil
	case c.token == "":
		return auth.Identity{}, auth.Refuse(ReasonMissing, "there is none")
	}
	return g.opts.Verifier.Verify(c.token)
}

func (g *Gate) count(err error) error {
	g.opts.Metrics.Auth.WithLabelValues("refused", Reason(err)).Inc()
	return err
}

// Reason returns the stable word of a refusal, "other" when err is none.
func Reason(err error) string {
	var no *auth.Refusal
	if errors.As(err, &no) {
		return no.Reason
	}
	return "other"
}

// Bind returns a context that ends with ctx, when id's token expires (leeway included) or when it is revoked; its cause is then
// a *auth.Refusal. For answers that go on for longer than one look at the token. The caller must call cancel.
func (g *Gate) Bind(ctx context.Context, id auth.Identity) (context.Context, context.CancelFunc) {
	bound, end := context.WithCancelCause(ctx)
	left := id.Expires.Sub(g.opts.Now())
	left = min(left, math.MaxInt64-g.opts.Verifier.Leeway()) + g.opts.Verifier.Leeway() // Sub saturates at some 292 years
	expiry := time.AfterFunc(max(left, 0), func() { end(auth.Refuse("expired", "it has expired")) })
	look := func() {
		if g.opts.Revocations.Revoked(id) {
			end(auth.Refuse(ReasonRevoked, "it was revoked"))
		}
	}
	unwatch := g.opts.Revocations.Watch(look)
	look() // one that came in before the watch
	return bound, func() {
		unwatch()
		expiry.Stop()
		end(context.Canceled)
	}
}
