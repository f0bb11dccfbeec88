package auth

import (
	"errors"
	"strings"
	"unicode/utf8"

	"plumbline/bridge/topic"
)

// tenantPlace is where the tenant's name goes in a prefix.
const tenantPlace = "{tenant}"

// CheckTenantPrefix says what is wrong with a prefix under which each tenant has its topics: levels that end with a slash, of
// which exactly one is {tenant}, such as tenants/{tenant}/. "" is fine: no tenants.
func CheckTenantPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	levels := strings.Split(prefix, "/")
	whole := 0
	for _, l := range levels {
		if l == tenantPlace {
			whole++
		}
	}
	switch {
	case levels[len(levels)-1] != "":
		return errors.New("want a slash at the end, or one tenant's name could begin another's")
	case whole != 1 || strings.Count(prefix, "{")+strings.Count(prefix, "}") != 2:
		return errors.New("want {tenant} once, as a level of its own")
	case strings.ContainsAny(prefix, "+#") || topic.Reserved(prefix) || topic.ValidFilter(prefix) != nil:
		return errors.New("want the beginning of a topic's name, without wildcard and not beginning with $")
	}
	return nil
}

// validTenant reports whether a name can be a level of its own that no wildcard and no other name takes in.
func validTenant(name string) bool {
	return name != "" && len(name) <= 128 && utf8.ValidString(name) && !strings.ContainsAny(name, "/+#{}") && !topic.Reserved(name) && revocable(name)
}
