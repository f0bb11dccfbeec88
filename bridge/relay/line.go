package relay

import (
	"crypto/rand"
	"strconv"
	"strings"
)

// line is how the log of an epoch was settled, the oldest first: each time it got a name, and went on behind a place that all who
// spoke then could vouch for. What was stored under one name is one log, for one Redis process gave the places. So a journal that
// was last in the log under a name of the line is a beginning of this log if it ends where the next name begins, or before; and else
// it has something that the log has not, or has otherwise.
//
// On Redis and in the journal's mark it is text: "NAME:AFTER NAME:AFTER".
type line []settled

type settled struct {
	name  string
	after uint64 // entries beyond were stored under this name, or a later one
}

// lineMost bounds a line. A journal that was away for longer than so many settlings counts as one that has something else.
const lineMost = 64

// nameBytes is the length of a name.
const nameBytes = 12

func newName() string { return strings.ToLower(rand.Text()[:nameBytes]) }

// parseLine reads the text of a line; nil when it is none.
func parseLine(text string) (l line) {
	for one := range strings.FieldsSeq(text) {
		name, after, ok := strings.Cut(one, ":")
		n, err := strconv.ParseUint(after, 10, 64)
		if !ok || err != nil || len(name) != nameBytes {
			return nil
		}
		l = append(l, settled{name, n})
	}
	return l
}

func (l line) String() string {
	var b strings.Builder
	for i, s := range l {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s.name + ":" + strconv.FormatUint(s.after, 10))
	}
	return b.String()
}

// name is the present one; "" of an empty line.
func (l line) name() string {
	if len(l) == 0 {
		return ""
	}
	return l[len(l)-1].name
}

// holds reports whether what was in the log under that name up to pos is a beginning of this log.
func (l line) holds(name string, pos uint64) bool {
	for i, s := range l {
		if s.name == name {
			return i+1 == len(l) || pos <= l[i+1].after
		}
	}
	return false
}

// latest is the end of the line that leaves room for one more.
func (l line) latest() line { return l[max(0, len(l)-lineMost+1):] }
