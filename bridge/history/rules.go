package history

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"plumbline/bridge/topic"
)

// Bounds of what one message may give, so that a payload cannot fill the store with series.
const (
	MaxFields       = 64   // points and events of one message
	MaxDepth        = 8    // objects and arrays inside each other, where no rule names the fields
	MaxFieldBytes   = 256  // of a field's name
	MaxUnitBytes    = 32   // of a unit
	MaxPayloadBytes = 4096 // of an event's payload; the rest is cut, Event.Size tells
)

// MaxAbs bounds the numbers that are taken as numbers: sums and means of any count of them stay finite.
const MaxAbs = 1e290

// Bounds of a time that a payload states. Outside it is not believed, and the time is that of the bridge.
const (
	maxFuture = 24 * time.Hour
	minTime   = 946684800 // 2000-01-01 in Unix seconds
)

// TimeUnit is what a number that states a time counts, from 1970. A string that states a time is always RFC 3339.
type TimeUnit string

// The units of time.
const (
	TimeSeconds TimeUnit = "s"
	TimeMillis  TimeUnit = "ms"
	TimeMicros  TimeUnit = "us"
	TimeNanos   TimeUnit = "ns"
)

// Rule says what the payloads of some topics hold.
type Rule struct {
	Filter   string    // MQTT filter of the topics
	Fields   []FieldAt // what to take, and nothing else; none: whatever is a number
	Time     string    // JSON pointer of the payload's own time; "" takes the bridge's
	TimeUnit TimeUnit  // of a numeric time; "" is ms
	Skip     bool      // keep nothing of these topics
}

// FieldAt names one member of a payload.
type FieldAt struct {
	Pointer string  // RFC 6901; "" is the whole payload
	Name    string  // of the series; "" takes the pointer without its first slash, or "value" for the whole
	Unit    string  // of the stored number
	Scale   float64 // the number is multiplied by it; 0 is 1
}

// Rules is a checked list of rules; the first whose filter matches a topic holds for it, and without one the plain rule does:
// a payload that is a number is the field "value", of JSON every number is a field named by its path, true and false count as
// 1 and 0, a sibling named "unit" that is a text gives the unit, and a payload without any number is one event.
type Rules struct{ list []rule }

// rule is a Rule made ready.
type rule struct {
	Rule
	time    pointer
	hasTime bool
	fields  []field
}

// field is a FieldAt made ready.
type field struct {
	FieldAt
	at pointer
}

// NewRules checks the rules. Errors name the rule by its number from 1 and say how to mend it.
func NewRules(rules []Rule) (Rules, error) {
	var out Rules
	var bad []error
	for i, r := range rules {
		ready, err := r.ready()
		if err != nil {
			bad = append(bad, fmt.Errorf("rule %d: %w", i+1, err))
		}
		out.list = append(out.list, ready)
	}
	return out, errors.Join(bad...)
}

func (r Rule) ready() (out rule, err error) {
	out.Rule = r
	if err := topic.ValidFilter(r.Filter); err != nil {
		return out, err
	}
	if r.Skip && (len(r.Fields) > 0 || r.Time != "") {
		return out, errors.New("skip keeps nothing, so fields and time have no effect: leave them out, or skip")
	}
	switch r.TimeUnit {
	case "":
		out.TimeUnit = TimeMillis
	case TimeSeconds, TimeMillis, TimeMicros, TimeNanos:
	default:
		return out, fmt.Errorf("timeUnit %q: want s, ms, us or ns", r.TimeUnit)
	}
	if r.Time != "" {
		out.hasTime = true
		if out.time, err = parsePointer(r.Time); err != nil {
			return out, fmt.Errorf("time: %w", err)
		}
	}
	if len(r.Fields) > MaxFields {
		return out, fmt.Errorf("fields: %d of them: at most %d are kept of one message", len(r.Fields), MaxFields)
	}
	seen := map[string]bool{}
	for _, f := range r.Fields {
		ready, err := f.ready()
		if err != nil {
			return out, fmt.Errorf("fields: pointer %q: %w", f.Pointer, err)
		}
		if seen[ready.Name] {
			return out, fmt.Errorf("fields: two are named %q: give one another name", ready.Name)
		}
		seen[ready.Name] = true
		out.fields = append(out.fields, ready)
	}
	return out, nil
}

func (f FieldAt) ready() (out field, err error) {
	out.FieldAt = f
	if out.at, err = parsePointer(f.Pointer); err != nil {
		return out, err
	}
	if out.Name == "" {
		out.Name = fieldName(f.Pointer)
	}
	if out.Scale == 0 {
		out.Scale = 1
	}
	switch {
	case !validText(out.Name, MaxFieldBytes):
		return out, fmt.Errorf("the name %.40q: want 1 to %d bytes of UTF-8 without control characters", out.Name, MaxFieldBytes)
	case f.Unit != "" && !validText(f.Unit, MaxUnitBytes):
		return out, fmt.Errorf("the unit %.40q: want at most %d bytes of UTF-8 without control characters", f.Unit, MaxUnitBytes)
	case !(out.Scale > -1e100 && out.Scale < 1e100):
		return out, fmt.Errorf("scale %v: want a number between -1e100 and 1e100", f.Scale)
	}
	return out, nil
}

// fieldName makes a name of a pointer.
func fieldName(pointer string) string {
	switch pointer {
	case "":
		return "value"
	case "/":
		return pointer
	}
	return strings.TrimPrefix(pointer, "/")
}

// validText is topic's idea of text that is safe to store and to show, with a bound.
func validText(s string, most int) bool {
	return len(s) <= most && topic.Clean(s)
}

// ValidText reports whether s can be the name of a field: 1 to MaxFieldBytes bytes of UTF-8 without control characters.
func ValidText(s string) bool { return validText(s, MaxFieldBytes) }

// find returns the rule for a topic, nil for the plain one.
func (r Rules) find(name string) *rule {
	for i := range r.list {
		if topic.Match(r.list[i].Filter, name) {
			return &r.list[i]
		}
	}
	return nil
}
