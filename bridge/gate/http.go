package gate

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
	"plumbline/bridge/strictjson"
)

// Status returns the HTTP status that belongs to a refusal.
func Status(err error) int {
	switch Reason(err) {
	case ReasonAmbiguous, ReasonURL, ReasonSubprotocol, ReasonBody:
		return http.StatusBadRequest
	case ReasonOrigin:
		return http.StatusForbidden
	case ReasonMethod:
		return http.StatusMethodNotAllowed
	case ReasonThrottled:
		return http.StatusTooManyRequests
	case auth.ReasonKeys:
		return http.StatusServiceUnavailable
	}
	return http.StatusUnauthorized
}

type identityKey struct{}

// IdentityOf returns who sends a request that came through Require.
func IdentityOf(ctx context.Context) (auth.Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(auth.Identity)
	return id, ok
}

// Require serves next only to who shows a good credential; next finds who it is by IdentityOf. A refusal is answered with JSON
// and recorded. It answers for the origins on the list what CORS asks, preflight requests included.
func (g *Gate) Require(next http.Handler) http.Handler {
	return g.CORS(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := g.FromRequest(r)
		if err != nil {
			g.Refuse(w, r, id, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, id)))
	}))
}

// CORS lets the pages of the origins on the list read the answers of next, with credentials, and answers preflight requests
// itself. It refuses nothing: without its headers the browser does.
func (g *Gate) CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origins := r.Header["Origin"]
		known := len(origins) == 1 && slices.Contains(g.opts.Origins, origins[0])
		if known {
			h.Set("Access-Control-Allow-Origin", origins[0])
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Set("Access-Control-Expose-Headers", "ETag, Location, Plumbline-Cursor, Plumbline-Gaps, Plumbline-Next, Plumbline-Shared, Retry-After")
		}
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		if known {
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID")
			h.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// Refuse answers a request with the status, the reason and the headers that belong to err, and records it. id is who it was, as
// far as that is known.
func (g *Gate) Refuse(w http.ResponseWriter, r *http.Request, id auth.Identity, err error) {
	answer(w, g.Deny(w, r, id, err), map[string]string{"error": Reason(err)})
}

// Deny is Refuse for who has a form of its own for refusals: it sets the headers, records, and returns the status of the answer
// that is still to be written.
func (g *Gate) Deny(w http.ResponseWriter, r *http.Request, id auth.Identity, err error) (status int) {
	status = Status(err)
	h := w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer error="invalid_token"`) // RFC 6750 section 3
	case http.StatusTooManyRequests:
		h.Set("Retry-After", RetryAfter(g.Wait(r.RemoteAddr)))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	audit.Refused(g.opts.Log, audit.Event{
		Action: audit.Request(r), Reason: Reason(err), Subject: id.Subject, Tenant: id.Tenant, Remote: r.RemoteAddr,
	})
	return status
}

// RetryAfter spells a wait as whole seconds, at least one (RFC 9110 section 10.2.3).
func RetryAfter(wait time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))
}

func answer(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body) // the peer is gone when this fails
	}
}

// maxCookieToken is the longest token that goes into a cookie: browsers drop cookies above 4096 bytes, name and attributes
// included (RFC 6265 section 6.1).
const maxCookieToken = 3800

// Session serves POST and DELETE of the browser's session: POST with a token, as Authorization header or as JSON body
// {"token":…}, or with a code for one, {"code":…}, answers with the cookie; DELETE clears it, and ends the token: its connections close and it is refused from then
// on. It is for Options.Cookie.
func (g *Gate) Session() http.Handler {
	return g.CORS(g.methods(map[string]http.HandlerFunc{http.MethodPost: g.login, http.MethodDelete: g.logout}))
}

func (g *Gate) login(w http.ResponseWriter, r *http.Request) {
	c, err := g.sessionToken(w, r)
	var id auth.Identity
	if err == nil {
		id, err = g.Open(c, r.RemoteAddr)
	}
	if err == nil && len(c.token) > maxCookieToken {
		err = auth.Refuse("size", "it is too long for a cookie")
	}
	if err != nil {
		g.Refuse(w, r, id, err)
		return
	}
	http.SetCookie(w, g.cookie(c.token, id.Expires))
	answer(w, http.StatusOK, map[string]string{"expires": id.Expires.UTC().Format(time.RFC3339)})
}

func (g *Gate) logout(w http.ResponseWriter, r *http.Request) {
	id, err := g.FromRequest(r)
	if err == nil {
		err = g.opts.Revocations.End(id)
	}
	var no *auth.Refusal
	switch {
	case errors.As(err, &no):
		if Status(err) == http.StatusUnauthorized { // what no longer counts need not be kept either
			http.SetCookie(w, g.cookie("", time.Time{}))
		}
		g.Refuse(w, r, id, err)
	case err != nil:
		g.opts.Log.Error("a logout could not be recorded", "error", err)
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": "storage"})
	default:
		http.SetCookie(w, g.cookie("", time.Time{}))
		w.WriteHeader(http.StatusNoContent)
	}
}

// methods serves by the request's method.
func (g *Gate) methods(by map[string]http.HandlerFunc) http.Handler {
	allow := strings.Join(slices.Sorted(maps.Keys(by)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if serve := by[r.Method]; serve != nil {
			serve(w, r)
			return
		}
		w.Header().Set("Allow", allow)
		g.Refuse(w, r, auth.Identity{}, auth.Refuse(ReasonMethod, "the method is not served"))
	})
}

// sessionToken reads the token of a POST: never a ticket or the cookie itself.
func (g *Gate) sessionToken(w http.ResponseWriter, r *http.Request) (Credential, error) {
	c, err := g.Read(withoutCookies(r))
	if err != nil || c.token != "" {
		return c, err
	}
	if c.id != nil || c.err != nil {
		return Credential{}, auth.Refuse(ReasonTicket, "a session needs the token itself")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*auth.MaxTokenBytes))
	if err != nil {
		return Credential{}, auth.Refuse(ReasonBody, "the body is too long or broken")
	}
	if len(raw) == 0 {
		return Credential{}, nil
	}
	var code string
	if strictjson.Decode(raw, 4, map[string]any{"token": &c.token, "code": &code}) != nil || c.token != "" && code != "" {
		return Credential{}, auth.Refuse(ReasonBody, "the body is not a JSON object with a token, or with a code")
	}
	if code != "" {
		return g.fetch(code, r.RemoteAddr)
	}
	return c, nil
}

func withoutCookies(r *http.Request) *http.Request {
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	out.Header.Del("Cookie")
	return out
}

// cookie returns the session cookie; an empty value takes it away.
func (g *Gate) cookie(value string, expires time.Time) *http.Cookie {
	c := &http.Cookie{
		Name: g.opts.Cookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if value == "" {
		c.MaxAge = -1
		return c
	}
	c.MaxAge = max(1, int(min(expires.Sub(g.opts.Now()), 400*24*time.Hour).Seconds())) // RFC 6265bis: browsers cut at 400 days
	return c
}

// Ticket serves POST: who shows a good credential, save another ticket, gets a ticket for one use within TicketLife from the
// same address class. It is for Options.Tickets.
func (g *Gate) Ticket() http.Handler {
	return g.CORS(g.methods(map[string]http.HandlerFunc{http.MethodPost: g.give(stub{
		name: "ticket", life: TicketLife,
		issue: func(_ string, id auth.Identity, addr string) (string, bool, error) { return g.tickets.issue(id, addr) },
	})}))
}

// stub is something short that stands for a token for a while, and is given to who shows that token.
type stub struct {
	name    string // in the answer and on record
	life    time.Duration
	longest int                                                                                 // token, in bytes; 0 = any
	issue   func(token string, id auth.Identity, addr string) (text string, ok bool, err error) // ok is false when too many are open
}

// give serves the POST by which somebody gets a stub.
func (g *Gate) give(s stub) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := g.Read(r)
		if err == nil && (c.id != nil || c.err != nil) {
			err = auth.Refuse(ReasonTicket, "a %s needs the token itself", s.name)
		}
		var id auth.Identity
		if err == nil {
			id, err = g.Open(c, r.RemoteAddr)
		}
		if err == nil && s.longest > 0 && len(c.token) > s.longest {
			err = auth.Refuse("size", "it is too long for a cookie")
		}
		if err != nil {
			g.Refuse(w, r, id, err)
			return
		}
		text, ok, err := s.issue(c.token, id, r.RemoteAddr)
		switch {
		case err != nil:
			g.opts.Log.Error("no ticket or sign-in code could be made", "what", s.name, "error", err)
			answer(w, http.StatusServiceUnavailable, map[string]string{"error": "random"})
		case !ok:
			w.Header().Set("Retry-After", RetryAfter(s.life))
			audit.Refused(g.opts.Log, audit.Event{Action: s.name, Reason: "limit", Subject: id.Subject, Tenant: id.Tenant, Remote: r.RemoteAddr})
			answer(w, http.StatusTooManyRequests, map[string]string{"error": "limit"})
		default:
			answer(w, http.StatusCreated, map[string]any{s.name: text, "expires_in": int(s.life.Seconds())})
		}
	}
}
