package peer

import "testing"

func TestNames(t *testing.T) {
	for _, tc := range []struct{ remote, host, key, network string }{
		{"192.0.2.7:80", "192.0.2.7", "192.0.2.7/32", "192.0.2.0/24"},
		{"192.0.2.255", "192.0.2.255", "192.0.2.255/32", "192.0.2.0/24"},
		{"[::ffff:192.0.2.9]:1", "::ffff:192.0.2.9", "192.0.2.9/32", "192.0.2.0/24"},
		{"[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1:2::/64"},
		{"2001:db8:1:2::ff", "2001:db8:1:2::ff", "2001:db8:1:2::/64", "2001:db8:1:2::/64"},
		{"2001:db8:1:3::ff", "2001:db8:1:3::ff", "2001:db8:1:3::/64", "2001:db8:1:3::/64"},
		{"fe80::1%eth0", "fe80::1%eth0", "fe80::/64", "fe80::/64"},
		{"pipe", "pipe", "pipe", "pipe"},
		{"", "", "", ""},
	} {
		if h, k, n := Host(tc.remote), Key(tc.remote), Network(tc.remote); h != tc.host || k != tc.key || n != tc.network {
			t.Errorf("%q: host %q, key %q, network %q, want %q, %q, %q", tc.remote, h, k, n, tc.host, tc.key, tc.network)
		}
	}
}
