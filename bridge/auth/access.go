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

// Action is what a viewer does with topics. Each has lists of its own in an Identity. The zero value is Live.
type Action uint8

// The actions.
const (
	Live     Action = iota // follow what comes, and what came since a cursor
	Snapshot               // see the last values
	History                // read what is stored
	Publish                // send upstream
	actions                // how many there are
)

// String returns the action's name in claims and metrics.
func (a Action) String() string {
	if a < actions {
		return [actions]string{"live", "snapshot", "history", "publish"}[a]
	}
	return "unknown"
}

// Lists holds MQTT filters by Action. The zero value holds none.
type Lists [actions][]string

// Viewing returns lists with the same filters for Live, Snapshot and History, and none for Publish.
func Viewing(filters ...string) Lists {
	return Lists{Live: filters, Snapshot: filters, History: filters}
}

// Identity is who a token names and what it allows. The zero value may do nothing.
type Identity struct {
	Subject string
	TokenID string    // jti, "" when absent
	Key     string    // names the token itself, a digest of it
	Tenant  string    // "" without tenants
	Grants  Lists     // filters that the holder may use
	Denies  Lists     // filters whose topics are out of its reach, whatever Grants says
	Expires time.Time // exp, leeway not added
}

// Account names the subject within its tenant, as a key for what each may use of the bridge.
func (id Identity) Account() string { return id.Tenant + "/" + id.Subject } // no tenant holds a slash

// May reports whether the action is granted for every topic that filter can match; a topic's name is a filter too. A filter
// that only overlaps a grant is forbidden, and so is one that a deny covers whole. A filter that a deny covers in part is
// allowed: Allow hides the topics. The error is topic's own for a malformed filter, else ErrForbidden.
func (id Identity) May(action Action, filter string) error {
	if err := topic.ValidFilter(filter); err != nil {
		return err
	}
	if action >= actions {
		return ErrForbidden
	}
	for _, d := range id.Denies[action] {
		if topic.Contains(d, filter) {
			return ErrForbidden
		}
	}
	for _, g := range id.Grants[action] {
		if topic.Contains(g, filter) {
			return nil
		}
	}
	return ErrForbidden
}

// nothing is the AccessKey of who has no grant at all; it is no valid filter.
const nothing = "\x00"

// AccessKey names what Allow of the same action checks: identities with equal keys are treated alike once May has allowed a
// filter, so their subscriptions may share one group. It is "" when nothing is hidden.
func (id Identity) AccessKey(action Action) string {
	if action >= actions || len(id.Grants[action]) == 0 {
		return nothing
	}
	d := slices.Clone(id.Denies[action])
	slices.Sort(d)
	return strings.Join(slices.Compact(d), "\x00") // NUL cannot be in a filter [MQTT-1.5.4-2]
}

// Allow returns the check that delivery applies to each topic of a filter that May of the same action allowed: the denies. Nil
// means that nothing is hidden. It does not take May's place; only for who has no grant at all it refuses every topic. The
// function is safe for concurrent use and does not follow later changes of id.
func (id Identity) Allow(action Action) func(name string) bool {
	if action >= actions || len(id.Grants[action]) == 0 {
		return func(string) bool { return false }
	}
	if len(id.Denies[action]) == 0 {
		return nil
	}
	denies := slices.Clone(id.Denies[action])
	return func(name string) bool {
		for _, d := range denies {
			if topic.Match(d, name) {
				return false
			}
		}
		return true
	}
}
