package sut

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Page is the system's own page for people, which a browser opens as it is.
type Page struct {
	URL       string `yaml:"url,omitempty"`       // http:// or https://; {{filter}} is filled in, and after # also {{token}}
	SignIn    SignIn `yaml:"signIn,omitempty"`    // left out: the page needs none, or its URL does it
	Ours      bool   `yaml:"ours,omitempty"`      // the system has none: a page of the harness speaks mqtt or json as its viewers do, so that the time to a page can be told
	Conflates bool   `yaml:"conflates,omitempty"` // the page is not shown every message: what counts is when it has that one or a newer one of its topic
}

// SignIn says how a browser comes to be known: by the cookies of an answer, or by one
// that holds the token itself.
type SignIn struct {
	Post   string `yaml:"post,omitempty"`   // address that takes body, with the page's own Origin, and answers with cookies
	Body   string `yaml:"body,omitempty"`   // {{token}} is filled in, for the inside of a JSON string
	Cookie string `yaml:"cookie,omitempty"` // name of the cookie that holds the token
}

// FillPage fills in the address of a page, each value escaped for an address.
func FillPage(address, filter, token string) string {
	return fill(address, map[string]string{"filter": url.QueryEscape(filter), "token": url.QueryEscape(token)})
}

// FillBody fills in what is posted to sign in.
func FillBody(body, token string) string {
	quoted, err := json.Marshal(token)
	if err != nil || len(quoted) < 2 {
		return body // a token is text
	}
	return fill(body, map[string]string{"token": string(quoted[1 : len(quoted)-1])})
}

func fill(text string, values map[string]string) string {
	return templates.ReplaceAllStringFunc(text, func(match string) string {
		if value, ok := values[templates.FindStringSubmatch(match)[1]]; ok {
			return value
		}
		return match
	})
}

// laterInPage tells what is left in the texts of a page until it is opened.
func laterInPage(d *Descriptor, text *string) func(name string) bool {
	switch text {
	case &d.Viewer.Page.URL:
		return func(name string) bool { return name == "filter" || name == "token" }
	case &d.Viewer.Page.SignIn.Body:
		return func(name string) bool { return name == "token" }
	}
	return nil
}

// pagePlaces are where a script of a page can show a token.
var pagePlaces = []string{"mqtt-password", "query", "subprotocol", "first-message", "none"}

// checkOurs checks what the page of the harness has to do.
func (d *Descriptor) checkOurs(fault faultFunc, at func(keys ...any) []any) error {
	v := d.Viewer
	place := v.Token.In
	if own := TokenPlaces(v.Protocol); place == "" && len(own) > 0 {
		place = own[0]
	}
	switch {
	case v.Page.URL != "" || v.Page.SignIn != (SignIn{}):
		return fault(at("ours"), "stands beside url or signIn: the page of the harness has an address of its own and knows people by viewer.token; keep one")
	case v.Protocol != "mqtt" && v.Protocol != "json":
		return fault(at("ours"), "needs viewers that speak mqtt or json; these speak %s", v.Protocol)
	case d.Auth != nil && d.Auth.JWT != nil && !slices.Contains(pagePlaces, place):
		return fault(at("ours"), "cannot show a token in %q, which no script of a page can set; it can in %s (viewer.token.in)", place, strings.Join(pagePlaces, ", "))
	}
	return nil
}

// Opened reports whether it takes a token to open the page.
func (p Page) Opened() bool { return p.SignIn != (SignIn{}) || takesToken(p.URL) }

func takesToken(text string) bool {
	return slices.ContainsFunc(templates.FindAllStringSubmatch(text, -1), func(m []string) bool { return m[1] == "token" })
}

func (d *Descriptor) checkPage(fault faultFunc) error {
	p := d.Viewer.Page
	at := func(keys ...any) []any { return append([]any{"viewer", "page"}, keys...) }
	head, _, _ := strings.Cut(p.URL, "#")
	switch {
	case p == (Page{}):
		return nil
	case p.Ours:
		return d.checkOurs(fault, at)
	case p.URL == "":
		return fault(at("url"), "is missing; say where people open the page, for example https://127.0.0.1:8443/?filter={{filter}}")
	case !web(p.URL):
		return fault(at("url"), "has scheme %q; a page is opened at http:// or https://", scheme(p.URL))
	case holdsUser(p.URL):
		return fault(at("url"), "holds a user name; say how one signs in as viewer.page.signIn")
	case takesToken(head):
		return fault(at("url"), "holds {{token}} before a #: it would be sent and logged; use viewer.page.signIn, or put it behind a #")
	case p.SignIn.Post != "" && p.SignIn.Cookie != "":
		return fault(at("signIn"), "has post and cookie; one of them makes the browser known")
	case p.SignIn.Post != "" && !web(p.SignIn.Post):
		return fault(at("signIn", "post"), "has scheme %q; it is an address of http:// or https://", scheme(p.SignIn.Post))
	case p.SignIn.Post != "" && !takesToken(p.SignIn.Body):
		return fault(at("signIn", "body"), `holds no {{token}}; write what is posted, for example '{"token":"{{token}}"}'`)
	case p.SignIn.Post == "" && p.SignIn.Body != "":
		return fault(at("signIn", "post"), "is missing; say where the body is posted")
	case p.Opened() && (d.Auth == nil || d.Auth.JWT == nil):
		return fault(at("signIn"), "needs a token, and the descriptor does not say how to make one: fill in auth.jwt")
	}
	return nil
}

// NoIntrusion says why no page of another origin can try what the cookies of the
// system's own page open, "" when one can.
func (v Viewer) NoIntrusion() string {
	u, err := url.Parse(templates.ReplaceAllString(v.Page.URL, "1")) // a port to be, or what does not matter here
	switch {
	case v.Page.SignIn == (SignIn{}):
		return "the page knows people by no cookie"
	case v.Protocol == "mqtt":
		return "the harness has no script that speaks MQTT"
	case err != nil || !loopback(u.Hostname()):
		return "the page is not on this machine, so that no other origin of its host can be served"
	}
	return ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// web reports whether it is an address that a browser opens.
func web(address string) bool { return scheme(address) == "http" || scheme(address) == "https" }

// PageTLS returns what trusts the server of the page, nil where it has no TLS.
func (s *SUT) PageTLS() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trust.page.Clone()
}
