// Package plain makes foreign text safe to show: names, payloads, log lines and
// reasons that came from devices and systems under test.
package plain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text makes s one line of visible text: line ends and tabs become spaces,
// other control characters and invisible direction marks become a visible
// escape such as \x1b or \u202e, and every byte that is no UTF-8 becomes U+FFFD.
func Text(s string) string {
	if !needsCleaning(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s { // an invalid byte reads as U+FFFD, as in JSON
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			b.WriteByte(' ')
		case r < 0x100 && Hidden(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case Hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func needsCleaning(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return Hidden(r) || r == '\u2028' || r == '\u2029'
	})
}

// Hidden reports characters that a terminal or browser would obey instead of
// show: C0 and C1 controls (ECMA-48), and format characters (Unicode Cf), which
// include the direction overrides; also what XML 1.0 section 2.2 excludes.
func Hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\uFFFE' || r == '\uFFFF'
}
