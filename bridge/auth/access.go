package auth

import (
	"errors"
	"slices"
	"strings"
	"time"

	"plumbline/bridge/topic"
)

// ErrForbidden means that a filter is not covered by the grants. It is the same for a topic that exists and one that does
// not, so that it is no oracle.
var ErrForbidden = errors.New("auth: the filter is not covered by the token's grants")

// Identity is who a token names and what it allows. The zero value may see nothing.
type Identity struct {
	Subject string
	TokenID string    // jti, "" when absent
	Grants  []string  // filters the holder may subscribe to
	Denies  []string  // filters whose topics it never sees, whatever Grants says
	Expires time.Time // exp, leeway not added
}

// MaySubscribe reports whether every topic that filter can match is granted. A filter that only overlaps a grant is
// forbidden, and so is one that a deny covers whole. A filter that a deny covers in part is allowed: Allow hides the topics.
// The error is topic's own for a malformed filter, else ErrForbidden.
func (id Identity) MaySubscribe(filter string) error {
	if err := topic.ValidFilter(filter); err != nil {
		return err
	}
	for _, d := range id.Denies {
		if topic.Contains(d, filter) {
			return ErrForbidden
		}
	}
	for _, g := range id.Grants {
		if topic.Contains(g, filter) {
			return nil
		}
	}
	return ErrForbidden
}

// AccessKey names the denies, so that sessions with the same ones share one group. It is "" without denies.
func (id Identity) AccessKey() string {
	if len(id.Denies) == 0 {
		return ""
	}
	d := slices.Clone(id.Denies)
	slices.Sort(d)
	return strings.Join(slices.Compact(d), "\x00") // NUL cannot be in a filter [MQTT-1.5.4-2]
}

// Allow returns the check that delivery applies to each topic of a subscription that MaySubscribe allowed; nil means that
// nothing is hidden. The function is safe for concurrent use and does not follow later changes of id.
func (id Identity) Allow() func(name string) bool {
	if len(id.Denies) == 0 {
		return nil
	}
	denies := slices.Clone(id.Denies)
	return func(name string) bool {
		for _, d := range denies {
			if topic.Match(d, name) {
				return false
			}
		}
		return true
	}
}
