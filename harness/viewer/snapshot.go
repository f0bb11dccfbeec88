package viewer

import (
	"fmt"

	"plumbline/harness/record"
)

// snapshot records the last values. They lie outside of the chain, but have
// their place beside it: all parts in order, after subok and before the first
// batch, and no value that a batch will bring again.
func (p *plumbline) snapshot(at int64, data []byte) error {
	return p.walk(data, hasID|hasPart|hasParts, func(scan *scanner, i interval) error {
		if i.id == 0 || i.id > uint64(len(p.subs)) {
			return fmt.Errorf("snapshot for subscription %d, which does not exist", i.id)
		}
		sub := p.subs[i.id-1]
		if wrong := sub.place(i); wrong != "" {
			p.broken(at, sub, wrong, sub.part+1, i.part, i.parts)
		}
		sub.part, sub.parts = i.part, i.parts
		// What is out of place is recorded all the same: it did come.
		i.from, i.to = 0, sub.at.Offset
		return p.readings(scan, at, sub, i, record.Restored)
	})
}

// place says what is wrong with a part of a snapshot, "" when nothing is.
func (sub *subscription) place(i interval) string {
	switch {
	case !sub.confirmed || !sub.awaits:
		return "snapshot that was not asked for"
	case sub.batched:
		return "snapshot after the first batch"
	case i.part != sub.part+1 || i.part > i.parts || (sub.part > 0 && i.parts != sub.parts):
		return fmt.Sprintf("part %d of %d of a snapshot after part %d of %d", i.part, i.parts, sub.part, sub.parts)
	}
	return ""
}

// incomplete reports whether parts of a snapshot are still to come.
func (sub *subscription) incomplete() bool {
	return sub.awaits && (sub.part == 0 || sub.part < sub.parts)
}
