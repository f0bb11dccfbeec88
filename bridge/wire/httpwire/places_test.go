package httpwire

import "testing"

// TestOneHostIsOneAddress: a host that takes another address of its /64 for each request has no more places for it.
func TestOneHostIsOneAddress(t *testing.T) {
	p := places{most: 10, perAddress: 2, taken: map[string]int{}}
	for _, tc := range []struct {
		remote string
		full   bool
	}{
		{"[2001:db8::1]:1", false}, {"[2001:db8::2]:2", false}, {"[2001:db8::3]:3", true}, {"[2001:db8:0:1::1]:4", false},
		{"192.0.2.1:5", false}, {"192.0.2.1:6", false}, {"192.0.2.1:7", true}, {"192.0.2.2:8", false},
	} {
		if no := p.take(tc.remote); (no != nil) != tc.full || tc.full && no.reason != "address-limit" {
			t.Errorf("%s: %+v, want full = %v", tc.remote, no, tc.full)
		}
	}
	for _, remote := range []string{"[2001:db8::2]:2", "[2001:db8::1]:1", "[2001:db8:0:1::1]:4", "192.0.2.1:6", "192.0.2.1:5", "192.0.2.2:8"} {
		p.give(remote)
	}
	if len(p.taken) != 0 || p.all != 0 {
		t.Errorf("%d places are taken, by %v", p.all, p.taken)
	}
}
