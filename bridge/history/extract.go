package history

import (
	"bytes"
	"encoding/json"
	"math"
	"time"

	"plumbline/bridge/journal"
)

// Extractor turns journal entries into points and events. It keeps no state between entries; the zero value uses the plain
// rule. One goroutine at a time may use it.
type Extractor struct {
	Rules Rules

	leaves []leaf // scratch
}

// Left counts what an entry held and was not taken.
type Left struct {
	Fields int // at least so many: beyond MaxFields or MaxDepth, with a name that cannot be shown, or numbers beyond MaxAbs
	Times  int // a stated time that was missing, malformed or not believed: the bridge's was taken
}

// leaf is a number found in a payload.
type leaf struct {
	name  string
	unit  string
	value float64
}

// Extract appends what e holds to b. It never fails: what is no number is an event.
func (x *Extractor) Extract(b *Batch, e *journal.Entry) (left Left) {
	r := x.Rules.find(e.Topic)
	if r != nil && r.Skip {
		return left
	}
	text := bytes.TrimSpace(e.Payload)
	isJSON := len(text) > 0 && json.Valid(text)
	at := e.Time
	if r != nil && r.hasTime {
		stated, ok := time.Time{}, false
		if isJSON {
			stated, ok = r.stated(value(text), e.Time)
		}
		if ok {
			at = stated
		} else {
			left.Times++
		}
	}
	switch {
	case !isJSON:
		b.Events = append(b.Events, event(e, "", at, e.Payload))
	case r != nil && len(r.fields) > 0:
		x.named(b, e, r, value(text), at)
	default:
		x.plain(b, e, value(text), at, &left)
	}
	return left
}

// stated reads the time that a payload states.
func (r *rule) stated(v value, taken time.Time) (at time.Time, ok bool) {
	found, ok := v.find(r.time)
	if !ok {
		return at, false
	}
	if text, isText := found.text(); isText {
		t, err := time.Parse(time.RFC3339Nano, text)
		if at = t.UTC(); err != nil {
			return at, false
		}
	} else {
		if k := found.kind(); k == 't' || k == 'f' {
			return at, false
		}
		n, isNumber := found.number()
		if !isNumber {
			return at, false
		}
		us := n * map[TimeUnit]float64{TimeSeconds: 1e6, TimeMillis: 1e3, TimeMicros: 1, TimeNanos: 1e-3}[r.TimeUnit]
		if us < minTime*1e6 || us > 1e17 {
			return at, false
		}
		at = time.UnixMicro(int64(math.Round(us))).UTC()
	}
	return at.Truncate(time.Microsecond), at.Unix() >= minTime && at.Before(taken.Add(maxFuture))
}

// named takes the fields that a rule names. What is there and no number is an event of that field; what is null or not there is
// nothing.
func (x *Extractor) named(b *Batch, e *journal.Entry, r *rule, v value, at time.Time) {
	for i := range r.fields {
		f := &r.fields[i]
		found, ok := v.find(f.at)
		if !ok || found.kind() == 'n' {
			continue
		}
		n, ok := found.number()
		if n *= f.Scale; ok && math.Abs(n) <= MaxAbs {
			b.Points = append(b.Points, Point{Series: Series{e.Topic, f.Name, f.Unit}, Time: at, Offset: e.Offset, Value: n})
			continue
		}
		payload := []byte(found)
		if text, isText := found.text(); isText {
			payload = []byte(text)
		}
		b.Events = append(b.Events, event(e, f.Name, at, payload))
	}
}

// plain takes every number. A payload without any is one event.
func (x *Extractor) plain(b *Batch, e *journal.Entry, v value, at time.Time, left *Left) {
	x.leaves = x.leaves[:0]
	if n, ok := v.number(); ok {
		x.leaves = append(x.leaves, leaf{"value", "", n})
	} else if k := v.kind(); k == '{' || k == '[' {
		x.walk(v, "", 1, left)
	}
	for _, l := range x.leaves {
		b.Points = append(b.Points, Point{Series: Series{e.Topic, l.name, l.unit}, Time: at, Offset: e.Offset, Value: l.value})
	}
	if len(x.leaves) == 0 {
		b.Events = append(b.Events, event(e, "", at, e.Payload))
	}
}

// walk collects the numbers below v.
func (x *Extractor) walk(v value, path string, depth int, left *Left) {
	unit := ""
	if v.kind() == '{' && bytes.Contains(v, []byte(`"unit"`)) {
		if found, ok := v.find(pointer{"unit"}); ok {
			if text, _ := found.text(); validText(text, MaxUnitBytes) {
				unit = text
			}
		}
	}
	v.members(func(name string, member value) bool {
		at := path + "/" + escapeToken(name)
		switch k := member.kind(); k {
		case '{', '[':
			if depth == MaxDepth || len(at) > MaxFieldBytes+1 { // no name below it can be shorter
				left.Fields++
			} else {
				x.walk(member, at, depth+1, left)
			}
		case '"', 'n':
		default:
			if n, ok := member.number(); ok {
				x.keep(leaf{fieldName(at), unit, n}, left)
			} else {
				left.Fields++
			}
		}
		return !x.full(left)
	})
}

// full reports that there are as many leaves as may be, and more in the payload.
func (x *Extractor) full(left *Left) bool { return len(x.leaves) == MaxFields && left.Fields > 0 }

// keep adds a leaf, or replaces the one of the same name: a member given twice counts once, the last.
func (x *Extractor) keep(l leaf, left *Left) {
	if !validText(l.name, MaxFieldBytes) {
		left.Fields++
		return
	}
	for i := range x.leaves {
		if x.leaves[i].name == l.name {
			x.leaves[i] = l
			return
		}
	}
	if len(x.leaves) == MaxFields {
		left.Fields++
		return
	}
	x.leaves = append(x.leaves, l)
}

// event copies what is kept of a payload.
func event(e *journal.Entry, field string, at time.Time, payload []byte) Event {
	return Event{Topic: e.Topic, Field: field, Time: at, Offset: e.Offset, Payload: bytes.Clone(payload[:min(len(payload), MaxPayloadBytes)]), Size: len(payload)}
}
