package viewer

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The places that a token may have.
const (
	InHeader       = "header"        // Authorization: Bearer TOKEN (RFC 6750 section 2.1), or the bare token in the header that Name names
	InQuery        = "query"         // parameter Name of the address; "" means access_token (RFC 6750 section 2.3)
	InSubprotocol  = "subprotocol"   // offered as one more WebSocket subprotocol; Name stands right before the token
	InCookie       = "cookie"        // cookie Name; "" means token
	InFirstMessage = "first-message" // part of what the protocol says first
	InMQTTPassword = "mqtt-password" // password of CONNECT; Name is the user name, "" means the name of the viewer
	InNone         = "none"          // nowhere: no token is asked for
)

// TokenPlace says where a viewer shows its token. The zero value is the place
// that belongs to the protocol: the first message of plumbline, the password of
// mqtt, the header Authorization of the others.
type TokenPlace struct {
	In   string
	Name string
}

// placesOf lists where each protocol can show a token, its own place first.
var placesOf = map[string][]string{
	Plumbline: {InFirstMessage, InHeader, InQuery, InSubprotocol, InCookie, InNone},
	MQTT:      {InMQTTPassword, InHeader, InQuery, InSubprotocol, InCookie, InNone},
	JSON:      {InHeader, InQuery, InSubprotocol, InCookie, InFirstMessage, InNone},
	SSE:       {InHeader, InQuery, InCookie, InNone},
	Poll:      {InHeader, InQuery, InCookie, InNone},
}

// Places returns where a protocol can show a token, its own place first; nil
// for a protocol that is not known.
func Places(protocol string) []string { return slices.Clone(placesOf[protocol]) }

// check fills in the protocol's own place and finds one that it does not have.
func (p *TokenPlace) check(protocol string) error {
	places := placesOf[protocol]
	switch {
	case len(places) == 0:
		return nil // newDialect refuses the protocol
	case p.In == "":
		p.In = places[0]
	case !slices.Contains(places, p.In):
		return fmt.Errorf("protocol %s cannot show a token in %q; it can in %s", protocol, p.In, strings.Join(places, ", "))
	}
	// RFC 6265 section 4.1.1 takes the grammar of cookie names from that of headers.
	if (p.In == InHeader || p.In == InCookie) && p.Name != "" && !httpguts.ValidHeaderFieldName(p.Name) {
		return fmt.Errorf("%q cannot be the name of a %s", p.Name, p.In)
	}
	return nil
}

// Opening returns the HTTP request that a viewer of these settings begins a
// connection with, when it has that token: the address, the header fields and the
// WebSocket subprotocols that it offers. It holds a secret.
func Opening(cfg Config, token string) (address string, header http.Header, offers []string, err error) {
	if err := cfg.Place.check(cfg.Protocol); err != nil {
		return "", nil, nil, err
	}
	o, err := (&Viewer{cfg: cfg}).opening(token, cfg.Subprotocol)
	if err != nil {
		return "", nil, nil, err
	}
	return o.url.String(), o.header, o.offers, nil
}

// opening is the HTTP request that a connection begins with.
type opening struct {
	url    *url.URL
	header http.Header
	offers []string // WebSocket subprotocols
}

// opening makes the request with the token in its place. It holds a secret:
// an error that shows its address must go through secrets.conceal.
func (v *Viewer) opening(token, subprotocol string) (opening, error) {
	return v.openingOf(v.cfg.URL, token, subprotocol)
}

// openingOf is opening for another address than that of the settings.
func (v *Viewer) openingOf(address, token, subprotocol string) (o opening, err error) {
	if o.url, err = url.Parse(address); err != nil {
		return o, err
	}
	if o.header = v.cfg.Header.Clone(); o.header == nil {
		o.header = http.Header{}
	}
	if subprotocol != "" {
		o.offers = []string{subprotocol}
	}
	if v.cfg.Origin != "" {
		o.header.Set("Origin", v.cfg.Origin)
	}
	if token == "" {
		return o, nil
	}
	name := v.cfg.Place.Name
	switch v.cfg.Place.In {
	case InHeader:
		if name == "" || strings.EqualFold(name, "Authorization") {
			name, token = "Authorization", "Bearer "+token
		}
		o.header.Set(name, token)
	case InQuery:
		query := o.url.Query()
		query.Set(or(name, "access_token"), token)
		o.url.RawQuery = query.Encode()
	case InSubprotocol:
		o.offers = append(o.offers, name+token)
	case InCookie:
		o.header.Set("Cookie", or(name, "token")+"="+token)
	}
	return o, nil
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// spellings returns a token in the forms that it has on the wire and that a
// server or a library may show again.
func spellings(token string) []string { return []string{token, url.QueryEscape(token)} }
