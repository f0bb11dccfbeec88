package browser

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"plumbline/harness/clocks"
)

// Each document of a page has a clock of its own, performance.now(), whose zero is
// when its navigation began. In a recording all of them are one: an instant of the
// n-th document is n·2^46 ns (19.5 h) and what its own clock shows. So every
// instant tells whose it is, and the order of documents is that of their instants.
const (
	documentBits = 46
	// maxDocuments is what a clock can tell apart (see clocks.Fit).
	maxDocuments = 63
)

// instant is what the clock of the n-th document, from 1, shows, in milliseconds.
func instant(document int, ms float64) int64 {
	own := int64(ms * float64(time.Millisecond))
	return int64(document)<<documentBits + min(max(own, 1), 1<<documentBits-1)
}

// documentOf returns whose instant it is.
func documentOf(at int64) int { return int(at >> documentBits) }

// Map maps the instants of all documents of a page. It is a record.Mapping.
type Map struct {
	resolution time.Duration
	documents  map[int]*clocks.Map
}

// Fit finds the mapping from exchanges with the documents of a page, whose clocks
// show steps of resolution: an instant is when it is read to when it would be read
// one step later, and each exchange is taken to have lasted as much longer.
//
// A document with fewer exchanges than it takes has no mapping; Missing tells
// whether an instant is of such a one. Errors are those of clocks.Fit; it is
// clocks.ErrFew when no document has enough.
func Fit(exchanges []clocks.Exchange, resolution time.Duration) (*Map, error) {
	m := &Map{resolution: resolution, documents: map[int]*clocks.Map{}}
	by := map[int][]clocks.Exchange{}
	for _, e := range exchanges {
		of := documentOf(e.Got)
		if documentOf(e.Answered) != of || of < 1 || of > maxDocuments {
			return nil, fmt.Errorf("browser: %w: %+v is of no document", clocks.ErrImpossible, e)
		}
		e.Sent, e.Returned = e.Sent-int64(resolution), e.Returned+int64(resolution)
		by[of] = append(by[of], e)
	}
	for of, all := range by {
		fitted, err := clocks.Fit(all, 0)
		switch {
		case errors.Is(err, clocks.ErrFew):
		case err != nil:
			return nil, fmt.Errorf("browser: document %d: %w", of, err)
		default:
			m.documents[of] = fitted
		}
	}
	if len(m.documents) == 0 {
		return nil, fmt.Errorf("browser: %w: no document of the page has %d", clocks.ErrFew, clocks.Least)
	}
	return m, nil
}

// Missing reports whether an instant belongs to a document that has no mapping.
func (m *Map) Missing(remote int64) bool { return m.documents[documentOf(remote)] == nil }

// Local returns the instant of the run clock that one of a document most probably
// was; 0 for one that is Missing.
func (m *Map) Local(remote int64) int64 {
	if m.Missing(remote) {
		return 0
	}
	return m.documents[documentOf(remote)].Local(remote)
}

// Uncertainty returns how far Local of that instant may be off, either way: the
// bound of the mapping and a step of the page's clock.
func (m *Map) Uncertainty(remote int64) time.Duration {
	if m.Missing(remote) {
		return 0
	}
	return m.documents[documentOf(remote)].Uncertainty(remote) + m.resolution
}

// Account is what a mapping rests on, of the document that has the most exchanges.
type Account struct {
	Documents, Exchanges int
	RoundTrip            time.Duration // the least
	Low, High            float64       // of the drift
}

// Account returns what the mapping rests on.
func (m *Map) Account() (a Account) {
	for _, of := range slices.Sorted(maps.Keys(m.documents)) {
		if d := m.documents[of]; d.Exchanges() > a.Exchanges {
			a.Exchanges, a.RoundTrip = d.Exchanges(), d.RoundTrip()-2*m.resolution
			a.Low, a.High = d.Drift()
		}
	}
	a.Documents = len(m.documents)
	return a
}
