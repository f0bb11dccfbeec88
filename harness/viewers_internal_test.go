package harness

import (
	"slices"
	"testing"
)

// Viewers take the addresses of a system in turn; one that has a single address is as it was.
func TestAddressesInTurn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ also, want []string }{
		{nil, []string{"a", "a", "a", "a"}},
		{[]string{"b"}, []string{"a", "b", "a", "b"}},
		{[]string{"b", "c"}, []string{"a", "b", "c", "a"}},
	} {
		var got []string
		for i := range c.want {
			got = append(got, inTurn(i, "a", c.also))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.also, got, c.want)
		}
	}
}
