package peer

import "strings"

// forwarded reads fields of RFC 7239, one after the other. A field that breaks the grammar (section 4) says nothing, and nothing is
// believed that stands before it.
func forwarded(fields []string) (out []hop) {
	for _, field := range fields {
		hops, ok := forwardedField(field)
		if !ok {
			hops, out = []hop{{}}, nil
		}
		out = append(out, hops...)
	}
	return out
}

// forwardedField reads one field: elements between commas, of pairs between semicolons, each name once in an element.
func forwardedField(text string) (out []hop, ok bool) {
	for more := true; more; {
		var one hop
		seen := map[string]bool{}
		for pair := true; pair; {
			var name, value string
			name, value, text, ok = forwardedPair(strings.TrimLeft(text, " \t"))
			if !ok || seen[name] {
				return nil, false
			}
			seen[name] = true
			switch name {
			case "for":
				one.from = value
			case "proto":
				one.insecure = insecure(value)
			}
			text = strings.TrimLeft(text, " \t")
			pair = strings.HasPrefix(text, ";")
			more = strings.HasPrefix(text, ",")
			if pair || more {
				text = text[1:]
			} else if text != "" {
				return nil, false
			}
		}
		out = append(out, one)
	}
	return out, true
}

// forwardedPair reads name=value; the value is a token or a quoted string (RFC 9110 section 5.6).
func forwardedPair(text string) (name, value, rest string, ok bool) {
	n := tokenLen(text)
	if n == 0 || n == len(text) || text[n] != '=' {
		return "", "", "", false
	}
	name, text = strings.ToLower(text[:n]), text[n+1:]
	if !strings.HasPrefix(text, `"`) {
		n = tokenLen(text)
		return name, text[:n], text[n:], n > 0
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return name, b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", "", false
}

// tokenLen returns how many bytes at the beginning of text are those of a token (RFC 9110 section 5.6.2).
func tokenLen(text string) int {
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return i
		}
	}
	return len(text)
}
