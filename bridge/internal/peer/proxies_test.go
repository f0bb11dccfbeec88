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
		p.Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr })).ServeHTTP(httptest.NewRecorder(), r)
		if got != tc.want || r.RemoteAddr != tc.remote {
			t.Errorf("%s: %q (%q), want %q", tc.name, got, r.RemoteAddr, tc.want)
		}
		if none := Proxies(nil).Sender(r); none != tc.remote {
			t.Errorf("%s, without proxies: %q", tc.name, none)
		}
	}
}

func TestParseProxiesRefuses(t *testing.T) {
	for _, bad := range []string{"", "proxy.example", "10.0.0.1/8", "10.0.0.0/33", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.0-10.0.0.9", "127.0.0.1:80"} {
		if p, err := ParseProxies([]string{bad}); err == nil {
			t.Errorf("%q: %v", bad, p)
		}
	}
}
