package peers_test

import (
	"slices"
	"strings"
	"testing"

	"plumbline/harness"
	"plumbline/harness/sut"
)

// TestClaims: what can be tried out is there where the programs have it, whether
// their descriptors say so or not.
func TestClaims(t *testing.T) {
	installed(t, "node", "mosquitto", "nats-server", "node/node_modules/mqtt")
	for file, want := range map[string][]string{
		"node.yaml":         nil,
		"node-rooms.yaml":   {sut.CapAuth, sut.CapSnapshot, sut.CapRetained},
		"mosquitto.yaml":    {sut.CapRetained, sut.CapResume},
		"centrifuge.yaml":   {sut.CapOriginCheck, sut.CapResume},
		"bridged-sse.yaml":  {sut.CapTLS, sut.CapAuth, sut.CapOriginCheck, sut.CapResume},
		"bridged-poll.yaml": {sut.CapTLS, sut.CapAuth, sut.CapOriginCheck, sut.CapResume},
	} {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			t.Parallel()
			rig := rigOf(t, file, nil)
			b := open(t, rig, harness.Plan{Name: "claims", Load: load})
			claims, err := b.Claims(limited(t))
			must(t, err)
			var have []string
			for _, c := range claims {
				if c.Unknown != "" || c.Claimed != rig.Has(c.Capability) || c.Seen == "" {
					t.Errorf("claim %+v", c)
				}
				if c.Present {
					have = append(have, c.Capability)
				}
			}
			slices.Sort(have)
			slices.Sort(want)
			if len(claims) != 6 || !slices.Equal(have, want) {
				t.Errorf("has %v, want %v: %+v", have, want, claims)
			}
		})
	}
}
