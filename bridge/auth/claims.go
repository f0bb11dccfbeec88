package auth

import (
	"strings"
	"unicode"

	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge/topic"
)

// maxGrants bounds the filters of one list, so that one subscription costs a bounded number of comparisons.
const maxGrants = 256

// reader reads the lists of one token.
type reader struct {
	claims jwt.MapClaims
	prefix string // begins every filter, whatever the token says
}

// lists reads a claim that holds MQTT filters: a list, which stands for the actions in plain, or an object with a list for each
// action by its name. Absent is empty: no right at all.
func (r reader) lists(name string, plain ...Action) (Lists, error) {
	var out Lists
	switch claim := r.claims[name].(type) {
	case nil:
		if _, null := r.claims[name]; null {
			return out, Refuse("grants", "%s is null", name)
		}
	case []any:
		filters, err := r.filters(name, claim)
		if err != nil {
			return out, err
		}
		for _, a := range plain {
			out[a] = filters
		}
	case map[string]any:
		for key, value := range claim {
			a, known := actionNamed(key)
			list, isList := value.([]any)
			if !known || !isList { // a misspelt deny must not let pass
				return out, Refuse("grants", "%s: want lists of filters by live, snapshot, history and publish", name)
			}
			var err error
			if out[a], err = r.filters(name, list); err != nil {
				return out, err
			}
		}
	default:
		return out, Refuse("grants", "%s is neither a list nor an object of lists", name)
	}
	return out, nil
}

func actionNamed(name string) (Action, bool) {
	for a := range actions {
		if a.String() == name {
			return a, true
		}
	}
	return 0, false
}

// filters checks one list.
func (r reader) filters(name string, list []any) ([]string, error) {
	if len(list) > maxGrants {
		return nil, Refuse("grants", "%s has more than %d filters", name, maxGrants)
	}
	out := make([]string, 0, len(list))
	for _, one := range list {
		f, ok := one.(string)
		if !ok || topic.ValidFilter(f) != nil || topic.ValidFilter(r.prefix+f) != nil {
			return nil, Refuse("grants", "%s holds something that is not an MQTT filter", name)
		}
		out = append(out, r.prefix+f)
	}
	return out, nil
}

// revocable reports whether a line of the revocation file can name s. Whom nobody could shut out is not let in.
func revocable(s string) bool {
	return s == strings.TrimSpace(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
