package topic

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxBytes is the longest topic name or filter: an MQTT UTF-8 string carries a
// two-byte length (MQTT 5.0 section 1.5.4).
const MaxBytes = 65535

// The ways in which a topic name or filter can be wrong. The errors of
// [ValidName] and [ValidFilter] wrap exactly one of them.
var (
	ErrEmpty     = errors.New("is empty") // [MQTT-4.7.3-1]
	ErrTooLong   = errors.New("is longer than 65535 bytes")
	ErrText      = errors.New("is not valid UTF-8")                                                       // [MQTT-1.5.4-1]
	ErrCharacter = errors.New("holds NUL, a control character or a non-character")                        // [MQTT-1.5.4-2]
	ErrWildcard  = errors.New("is a name and may not hold the wildcards + and #")                         // [MQTT-3.3.2-2]
	ErrPlus      = errors.New("has a + that does not fill its whole level")                               // [MQTT-4.7.1-2]
	ErrHash      = errors.New("has a # that is not alone in the last level")                              // [MQTT-4.7.1-1]
	ErrShared    = errors.New("is a shared subscription, which breaks order and is not offered, drop it") // MQTT 5.0 section 4.8.2
)

// ValidName returns nil when a message may be published to topic. Names with
// control characters or Unicode non-characters are refused too, as the standard
// permits (MQTT 5.0 section 1.5.4), so that a topic is safe in a log line.
func ValidName(topic string) error {
	if err := validText(topic); err != nil {
		return fmt.Errorf("topic: name %s %w", quote(topic), err)
	}
	if strings.ContainsAny(topic, "+#") {
		return fmt.Errorf("topic: name %s %w", quote(topic), ErrWildcard)
	}
	return nil
}

// ValidFilter returns nil when filter may be subscribed to or granted. Empty
// levels are valid (MQTT 5.0 section 4.7.1.1); shared subscriptions are not.
func ValidFilter(filter string) error {
	if err := validText(filter); err != nil {
		return fmt.Errorf("topic: filter %s %w", quote(filter), err)
	}
	if filter == "$share" || strings.HasPrefix(filter, "$share/") {
		return fmt.Errorf("topic: filter %s %w", quote(filter), ErrShared)
	}
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case strings.Contains(level, "#") && (level != "#" || more):
			return fmt.Errorf("topic: filter %s %w", quote(filter), ErrHash)
		case strings.Contains(level, "+") && level != "+":
			return fmt.Errorf("topic: filter %s %w", quote(filter), ErrPlus)
		}
	}
	return nil
}

// Clean reports whether s is text that a topic could hold, wildcards included: UTF-8 of at least one character, without control
// characters and non-characters. It is safe to store and, as far as text can be, to show.
func Clean(s string) bool { return validText(s) == nil }

// validText checks what names and filters have in common.
func validText(s string) error {
	switch {
	case s == "":
		return ErrEmpty
	case len(s) > MaxBytes:
		return ErrTooLong
	case !utf8.ValidString(s):
		return ErrText
	}
	for _, r := range s {
		if r < 0x20 || (r >= 0x7f && r <= 0x9f) || r&0xfffe == 0xfffe || (r >= 0xfdd0 && r <= 0xfdef) {
			return ErrCharacter
		}
	}
	return nil
}

// quote keeps an error message short whatever a stranger sent.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
