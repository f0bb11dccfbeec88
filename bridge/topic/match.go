package topic

import "strings"

// Match reports whether a message published to topic is delivered to a
// subscriber of filter. Both must be valid. A filter that starts with a wildcard
// matches no topic that starts with $ [MQTT-4.7.2-1]; a/# matches a itself
// (MQTT 5.0 section 4.7.1.2).
func Match(filter, topic string) bool {
	if Reserved(topic) && startsWild(filter) {
		return false
	}
	for {
		if filter == "#" {
			return true
		}
		f, frest, fmore := strings.Cut(filter, "/")
		t, trest, tmore := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !tmore {
			return !fmore || frest == "#"
		}
		if !fmore {
			return false
		}
		filter, topic = frest, trest
	}
}

// Contains reports whether every topic matched by filter is matched by grant as
// well: the test that an access list needs, since a filter that merely overlaps
// a grant would read beyond it. Both must be valid.
func Contains(grant, filter string) bool {
	if Reserved(filter) && startsWild(grant) {
		return false
	}
	// "#" needs at least one level, which is what "+/#" says; only at the first
	// level are the two the same.
	if grant == "+/#" {
		grant = "#"
	}
	for {
		if grant == "#" {
			return true
		}
		g, grest, gmore := strings.Cut(grant, "/")
		f, frest, fmore := strings.Cut(filter, "/")
		if f == "#" || (g != "+" && g != f) {
			return false
		}
		if !fmore {
			return !gmore || grest == "#"
		}
		if !gmore {
			return false
		}
		grant, filter = grest, frest
	}
}

// Overlaps reports whether some topic is matched by both filters. Both must be
// valid.
func Overlaps(a, b string) bool {
	if (Reserved(a) && startsWild(b)) || (Reserved(b) && startsWild(a)) {
		return false
	}
	for {
		if a == "#" || b == "#" {
			return true
		}
		al, arest, amore := strings.Cut(a, "/")
		bl, brest, bmore := strings.Cut(b, "/")
		if al != bl && al != "+" && bl != "+" {
			return false
		}
		if !amore || !bmore {
			return (amore == bmore) || (amore && arest == "#") || (bmore && brest == "#")
		}
		a, b = arest, brest
	}
}

// Reserved reports whether s starts with $, the sign of a broker's own topics.
func Reserved(s string) bool { return len(s) > 0 && s[0] == '$' }

func startsWild(filter string) bool {
	return len(filter) > 0 && (filter[0] == '+' || filter[0] == '#')
}
