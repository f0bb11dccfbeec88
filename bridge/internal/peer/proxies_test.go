package peer

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSender(t *testing.T) {
	p, err := ParseProxies([]string{"127.0.0.1", "10.0.0.0/8", "2001:db8:f::/48"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, remote string
		header       []string
		want         string
	}{
		{"nobody's word", "198.51.100.7:1", []string{"192.0.2.1"}, "198.51.100.7:1"},
		{"a proxy's", "127.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{"a proxy's by IPv4 in IPv6", "[::ffff:10.1.2.3]:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{"what the client wrote before it", "127.0.0.1:1", []string{"203.0.113.9, 192.0.2.1"}, "192.0.2.1"},
		{"what the client wrote in a field of its own", "127.0.0.1:1", []string{"203.0.113.9", "192.0.2.1"}, "192.0.2.1"},
		{"two proxies", "127.0.0.1:1", []string{"203.0.113.9, 192.0.2.1,10.9.9.9"}, "192.0.2.1"},
		{"the client says it is a proxy", "127.0.0.1:1", []string{"10.0.0.1, 192.0.2.1"}, "192.0.2.1"},
		{"with a port", "127.0.0.1:1", []string{"192.0.2.1:4711"}, "192.0.2.1"},
		{"IPv6", "[2001:db8:f::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a port", "[2001:db8:f::1]:1", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		{"IPv6 in brackets", "[2001:db8:f::1]:1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"one bracket", "127.0.0.1:1", []string{"[2001:db8::1"}, "127.0.0.1:1"},
		{"brackets and nothing", "127.0.0.1:1", []string{"[]"}, "127.0.0.1:1"},
		{"a bracket alone", "127.0.0.1:1", []string{"["}, "127.0.0.1:1"},
		{"nothing", "127.0.0.1:1", nil, "127.0.0.1:1"},
		{"an empty field", "127.0.0.1:1", []string{""}, "127.0.0.1:1"},
		{"no address", "127.0.0.1:1", []string{"192.0.2.1, unknown"}, "127.0.0.1:1"},
		{"no address behind the second proxy", "127.0.0.1:1", []string{"_hidden, 10.9.9.9"}, "10.9.9.9"},
		{"proxies only", "127.0.0.1:1", []string{"10.1.1.1, 10.9.9.9"}, "10.1.1.1"},
		{"no address at the other end", "@", []string{"192.0.2.1"}, "@"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = tc.remote
		r.Header["X-Forwarded-For"] = tc.header
		got := ""
		p.Serve(XForwardedFor, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }), nil).ServeHTTP(httptest.NewRecorder(), r)
		if got != tc.want || r.RemoteAddr != tc.remote {
			t.Errorf("%s: %q (%q), want %q", tc.name, got, r.RemoteAddr, tc.want)
		}
		if none, _ := Proxies(nil).Sender(r, XForwardedFor); none != tc.remote {
			t.Errorf("%s, without proxies: %q", tc.name, none)
		}
		for _, other := range []Header{Forwarded, ProxyProtocol} {
			if got, _ := p.Sender(r, other); got != tc.remote {
				t.Errorf("%s, and %s is asked: %q", tc.name, other, got)
			}
		}
	}
}

func TestForwarded(t *testing.T) {
	p, err := ParseProxies([]string{"127.0.0.1", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	const proxy = "127.0.0.1:1"
	for _, tc := range []struct {
		name   string
		header []string
		want   string
		plain  bool
	}{
		{"one", []string{"for=192.0.2.1"}, "192.0.2.1", false},
		{"with everything", []string{`for=192.0.2.1;proto=https;by=203.0.113.43;host="a,for=6.6.6.6"`}, "192.0.2.1", false},
		{"names in any case, spaces", []string{"Proto=HTTPS ; FOR=192.0.2.1 "}, "192.0.2.1", false},
		{"IPv6 and a port", []string{`for="[2001:db8::1]:4711";proto=wss`}, "2001:db8::1", false},
		{"a quoted character", []string{`for="192.0\.2.1"`}, "192.0.2.1", false},
		{"what the client wrote before it", []string{"for=6.6.6.6, for=192.0.2.1"}, "192.0.2.1", false},
		{"what the client wrote in a field of its own", []string{"for=6.6.6.6", "for=192.0.2.1"}, "192.0.2.1", false},
		{"a client's open quote in a field of its own", []string{`for="6.6.6.6`, "for=192.0.2.1"}, "192.0.2.1", false},
		{"a client's open quote before it", []string{`for="6.6.6.6, for=192.0.2.1`}, proxy, false},
		{"two proxies", []string{"for=6.6.6.6, for=192.0.2.1;proto=https, for=10.1.1.1;proto=http"}, "192.0.2.1", true},
		{"without TLS", []string{"for=192.0.2.1;proto=http"}, "192.0.2.1", true},
		{"who came before the sender does not matter", []string{"for=6.6.6.6;proto=http, for=192.0.2.1;proto=https"}, "192.0.2.1", false},
		{"not known", []string{"for=6.6.6.6, for=unknown"}, proxy, false},
		{"hidden, without TLS", []string{"for=_x1;proto=http"}, proxy, true},
		{"twice", []string{"for=6.6.6.6;for=192.0.2.1"}, proxy, false},
		{"no pair", []string{"for"}, proxy, false},
		{"no value", []string{"for="}, proxy, false},
		{"an empty one", []string{"for=6.6.6.6,"}, proxy, false},
		{"rubbish behind", []string{"for=6.6.6.6 x"}, proxy, false},
		{"none", nil, proxy, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = proxy
		r.Header["Forwarded"] = tc.header
		if got, plain := p.Sender(r, Forwarded); got != tc.want || plain != tc.plain {
			t.Errorf("%s: %q, without TLS: %t, want %q, %t", tc.name, got, plain, tc.want, tc.plain)
		}
		for _, other := range []Header{XForwardedFor, ProxyProtocol} {
			if got, _ := p.Sender(r, other); got != proxy {
				t.Errorf("%s, and %s is asked: %q", tc.name, other, got)
			}
		}
		r.RemoteAddr = "198.51.100.7:1"
		if got, plain := p.Sender(r, Forwarded); got != r.RemoteAddr || plain {
			t.Errorf("%s, of nobody's: %q, without TLS: %t", tc.name, got, plain)
		}
	}
}

// TestWithoutTLS: what a proxy took without TLS from beyond this machine goes elsewhere; what it does not say is not judged.
func TestWithoutTLS(t *testing.T) {
	p, err := ParseProxies([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		remote, from string
		proto        []string
		plain        bool
	}{
		{"127.0.0.1:1", "192.0.2.1", []string{"http"}, true},
		{"127.0.0.1:1", "192.0.2.1", []string{"ws"}, true},
		{"127.0.0.1:1", "192.0.2.1", []string{"https, http"}, true},
		{"127.0.0.1:1", "192.0.2.1", []string{"http", "https"}, true},
		{"127.0.0.1:1", "192.0.2.1", []string{"https"}, false},
		{"127.0.0.1:1", "192.0.2.1", []string{"WSS"}, false},
		{"127.0.0.1:1", "192.0.2.1", nil, false},
		{"127.0.0.1:1", "127.0.0.1", []string{"http"}, false},
		{"127.0.0.1:1", "::1", []string{"http"}, false},
		{"198.51.100.7:1", "192.0.2.1", []string{"http"}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = tc.remote
		r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"] = []string{tc.from}, tc.proto
		open := false
		p.Serve(XForwardedFor, http.NotFoundHandler(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { open = true })).ServeHTTP(httptest.NewRecorder(), r)
		if open != tc.plain {
			t.Errorf("%+v: went elsewhere: %t", tc, open)
		}
	}
}

func TestParseProxiesRefuses(t *testing.T) {
	for _, bad := range []string{"", "proxy.example", "10.0.0.1/8", "10.0.0.0/33", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.0-10.0.0.9", "0.0.0.0/0", "::/0", "127.0.0.1:80"} {
		if p, err := ParseProxies([]string{bad}); err == nil {
			t.Errorf("%q: %v", bad, p)
		}
	}
}
