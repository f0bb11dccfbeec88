package peer

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks whose word is taken about whom they speak for. The zero value takes nobody's.
type Proxies []netip.Prefix

// ParseProxies reads addresses and networks (CIDR).
func ParseProxies(list []string) (Proxies, error) {
	var out Proxies
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			ip, err := netip.ParseAddr(text)
			if err != nil || ip.Zone() != "" {
				return nil, fmt.Errorf("%q: want an address as 192.0.2.1, or a network as 10.0.0.0/8 or 2001:db8::/32", text)
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		if p.Bits() == 0 {
			return nil, fmt.Errorf("%q: everybody would be believed whatever address they name: list the proxies' own addresses or networks", text)
		}
		if p != p.Masked() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q: the network would be written %s", text, unmapped(p))
		}
		out = append(out, p)
	}
	return out, nil
}

// unmapped is the prefix as ParseProxies wants it.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Has reports whether an address (with or without port) is that of a proxy.
func (p Proxies) Has(remote string) bool {
	ip, ok := parse(remote)
	if !ok {
		return false
	}
	for _, one := range p {
		if one.Contains(ip) {
			return true
		}
	}
	return false
}

// Header is how proxies say for whom they speak. They are asked by one header alone: a proxy that writes one of them lets another, that
// a client wrote, through.
type Header string

// The headers.
const (
	XForwardedFor Header = "x-forwarded-for" // beside it X-Forwarded-Proto
	Forwarded     Header = "forwarded"       // RFC 7239
	ProxyProtocol Header = "proxy-protocol"  // at the beginning of each connection, see Listen; those of requests are not read
)

// hop is what a proxy says of who asked it: an address, "" when it gives none, and whether that one came without TLS.
type hop struct {
	from     string
	insecure bool
}

// hops are what the requests' headers say, that of the nearest proxy last.
func (h Header) hops(r *http.Request) []hop {
	switch h {
	case Forwarded:
		return forwarded(r.Header["Forwarded"])
	case XForwardedFor:
		var out []hop
		for from := range strings.SplitSeq(strings.Join(r.Header["X-Forwarded-For"], ","), ",") {
			out = append(out, hop{from: strings.TrimSpace(from)})
		}
		// It need not have as many values as the other field: one proxy writes it anew, the next adds to it.
		if last := &out[len(out)-1]; len(r.Header["X-Forwarded-Proto"]) > 0 {
			for proto := range strings.SplitSeq(strings.Join(r.Header["X-Forwarded-Proto"], ","), ",") {
				last.insecure = last.insecure || insecure(strings.TrimSpace(proto))
			}
		}
		return out
	}
	return nil
}

// insecure reports whether a scheme is one without TLS. What is not said is not judged.
func insecure(proto string) bool {
	return proto != "" && !strings.EqualFold(proto, "https") && !strings.EqualFold(proto, "wss")
}

// Sender returns the address of who sent a request: the other end of the connection or, when that is a proxy, the last one that
// the header names and that is no proxy itself. What stands before that one anybody may have written. Where a proxy names none,
// or nothing that is an address, the request is its own. plain says that, as far as proxies tell, a part of the way had no TLS.
func (p Proxies) Sender(r *http.Request, by Header) (from string, plain bool) {
	from = r.RemoteAddr
	if !p.Has(from) {
		return from, false
	}
	hops := by.hops(r)
	for i := len(hops) - 1; i >= 0; i-- {
		plain = plain || hops[i].insecure
		ip, ok := parse(hops[i].from)
		if !ok {
			return from, plain
		}
		if from = ip.String(); !p.Has(from) {
			return from, plain
		}
	}
	return from, plain
}

// Serve gives next requests whose RemoteAddr is their Sender. Those that a proxy took without TLS from beyond this machine go to
// plain instead: their tokens have been read on the way.
func (p Proxies) Serve(by Header, next, plain http.Handler) http.Handler {
	if len(p) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := r.WithContext(r.Context())
		from, open := p.Sender(r, by)
		own.RemoteAddr = from
		if ip, ok := parse(from); open && ok && !ip.IsLoopback() {
			plain.ServeHTTP(w, own)
			return
		}
		next.ServeHTTP(w, own)
	})
}
