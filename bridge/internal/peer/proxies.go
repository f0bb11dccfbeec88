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

// Sender returns the address of who sent a request: the other end of the connection or, when that is a proxy, the last one that
// X-Forwarded-For names and that is no proxy itself. What stands before that one anybody may have written. Where a proxy names none,
// or nothing that is an address, the request is its own.
func (p Proxies) Sender(r *http.Request) string {
	at := r.RemoteAddr
	if !p.Has(at) {
		return at
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		ip, ok := parse(strings.TrimSpace(hops[i]))
		if !ok {
			return at
		}
		if at = ip.String(); !p.Has(at) {
			return at
		}
	}
	return at
}

// Serve gives next requests whose RemoteAddr is their Sender.
func (p Proxies) Serve(next http.Handler) http.Handler {
	if len(p) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := r.WithContext(r.Context())
		own.RemoteAddr = p.Sender(r)
		next.ServeHTTP(w, own)
	})
}
