package gate

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/websocket"

	"plumbline/bridge/auth"
)

// TokenSubprotocol begins the name of a WebSocket subprotocol that carries a token: the rest is the token.
const TokenSubprotocol = "plumbline.bearer."

// Credential is what a request brought along. The zero value is none.
type Credential struct {
	token string
	id    *auth.Identity // of a ticket
	err   error          // of a ticket that was refused
}

// Token is the credential that a message holds.
func Token(token string) Credential { return Credential{token: token} }

// None reports whether there is no credential.
func (c Credential) None() bool { return c.token == "" && c.id == nil && c.err == nil }

// Read takes the credential out of a request and checks its origin: Authorization header, ticket, subprotocol, cookie, in this
// order; two of the first three at once are refused. A ticket is used up by it. No credential at all is no error. Every error is
// a *auth.Refusal about the request's form; the credential itself is judged by Open.
func (g *Gate) Read(r *http.Request) (Credential, error) {
	if !g.originAllowed(r) {
		return Credential{}, auth.Refuse(ReasonOrigin, "the page's origin is not on the list")
	}
	ticket, no := g.fromURL(r)
	if no != nil {
		return Credential{}, no
	}
	bearer, no := fromHeader(r)
	if no != nil {
		return Credential{}, no
	}
	sub, no := g.fromSubprotocols(r)
	if no != nil {
		return Credential{}, no
	}
	var found []Credential
	if bearer != "" {
		found = append(found, Credential{token: bearer})
	}
	if sub != "" {
		found = append(found, Credential{token: sub})
	}
	if ticket != "" {
		found = append(found, g.redeem(ticket, r.RemoteAddr))
	}
	switch len(found) {
	case 0:
		return g.fromCookie(r)
	case 1:
		return found[0], nil
	}
	return Credential{}, auth.Refuse(ReasonAmbiguous, "more than one credential")
}

// FromRequest says who sends an HTTP request, as Read and Open do. For what is served through Require it is done already: see
// IdentityOf.
func (g *Gate) FromRequest(r *http.Request) (auth.Identity, error) {
	c, err := g.Read(r)
	if err != nil {
		return auth.Identity{}, err
	}
	return g.Open(c, r.RemoteAddr)
}

func (g *Gate) redeem(text, addr string) Credential {
	if id, ok := g.tickets.redeem(text, addr); ok {
		return Credential{id: &id}
	}
	return Credential{err: auth.Refuse(ReasonTicket, "the ticket is unknown, used, too old or from another address")}
}

// originAllowed compares the one Origin header with the list, byte by byte: scheme, host and port (RFC 6455 section 10.2).
// Without the header the client is no browser, or the page is the bridge's own; a cookie then needs more, see fromCookie.
func (g *Gate) originAllowed(r *http.Request) bool {
	switch origins := r.Header["Origin"]; len(origins) {
	case 0:
		return true
	case 1:
		return slices.Contains(g.opts.Origins, origins[0]) || g.own(r, origins[0])
	}
	return false
}

// own reports whether the page that sends r is the bridge's own: of the origin under which r itself came. That alone would be no
// proof, for the Host header says whatever name the browser was given: who rebinds a name of its own to the bridge's address has
// origin and host alike. So the name must be the bridge's as well. The port may be any, as behind a tunnel: a browser takes both from
// one URL.
func (g *Gate) own(r *http.Request, origin string) bool {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return g.opts.Own != nil && origin == scheme+r.Host && g.opts.Own((&url.URL{Host: r.Host}).Hostname())
}

// CleanURL serves next only what has no credential in its URL: the others are refused as everywhere, and forgotten.
func (g *Gate) CleanURL(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ticket, no := g.fromURL(r)
		if ticket != "" { // it is for what it opens, and nothing is opened here
			no = auth.Refuse(ReasonURL, "a credential does not belong into the URL")
		}
		if no != nil {
			g.Refuse(w, r, auth.Identity{}, g.count(no))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromURL returns the ticket and refuses any other credential in the URL, which would end up in logs and histories.
func (g *Gate) fromURL(r *http.Request) (ticket string, no *auth.Refusal) {
	if r.URL.RawQuery == "" {
		return "", nil
	}
	refused := auth.Refuse(ReasonURL, "a credential does not belong into the URL")
	if strings.Contains(r.URL.RawQuery, ";") { // Query drops such pairs, so nobody would have looked at them
		return "", refused
	}
	for name, values := range r.URL.Query() {
		switch strings.ToLower(name) {
		case "token", "access_token", "id_token", "jwt", "auth", "authorization", "bearer":
			return "", refused
		case "ticket":
			if !g.opts.Tickets || name != "ticket" || len(values) != 1 || values[0] == "" {
				return "", refused
			}
			ticket = values[0]
		}
		for _, v := range values {
			if strings.HasPrefix(v, "eyJ") && strings.Count(v, ".") == 2 {
				return "", refused
			}
		}
	}
	return ticket, nil
}

// fromHeader returns the token of an Authorization header, "" when there is none of that scheme (RFC 6750 section 2.1).
func fromHeader(r *http.Request) (token string, no *auth.Refusal) {
	if len(r.Header["Authorization"]) > 1 {
		return "", auth.Refuse(ReasonAmbiguous, "two Authorization headers")
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	return strings.TrimSpace(token), nil
}

// fromSubprotocols returns the token that a browser put among the subprotocols, the one header that its API lets it choose.
func (g *Gate) fromSubprotocols(r *http.Request) (token string, no *auth.Refusal) {
	for _, name := range websocket.Subprotocols(r) {
		rest, ok := strings.CutPrefix(name, TokenSubprotocol)
		switch {
		case !ok:
		case !g.opts.Subprotocol:
			return "", auth.Refuse(ReasonSubprotocol, "a token as subprotocol is not enabled")
		case token != "":
			return "", auth.Refuse(ReasonAmbiguous, "two tokens among the subprotocols")
		default:
			token = rest
		}
	}
	return token, nil
}

// fromCookie returns the token of the session cookie. A browser sends it for any page, so it counts only with proof of which
// page asks: an Origin on the list, which every WebSocket handshake and every request to another origin has, or, for a plain
// read, the browser's word that the page is the bridge's own (Fetch Metadata; no page can forge it).
func (g *Gate) fromCookie(r *http.Request) (Credential, error) {
	if g.opts.Cookie == "" {
		return Credential{}, nil
	}
	cookies := r.CookiesNamed(g.opts.Cookie)
	switch {
	case len(cookies) == 0:
		return Credential{}, nil
	case len(cookies) > 1:
		return Credential{}, auth.Refuse(ReasonAmbiguous, "two session cookies")
	}
	reads := (r.Method == http.MethodGet || r.Method == http.MethodHead) && !websocket.IsWebSocketUpgrade(r)
	own := reads && r.Header.Get("Sec-Fetch-Site") == "same-origin"
	if len(r.Header["Origin"]) == 0 && !own {
		return Credential{}, auth.Refuse(ReasonOrigin, "a session cookie without Origin")
	}
	return Credential{token: cookies[0].Value}, nil
}
