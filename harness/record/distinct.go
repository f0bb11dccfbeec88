package record

const (
	pagePositions = 256
	// distinctPages bounds the memory of a Distinct: some 6 MiB, which hold 16 million
	// messages that came more or less in order.
	distinctPages = 1 << 16
)

// Distinct tells messages that came before from those that did not, by stream and
// position. The zero value is ready; it belongs to one goroutine at a time. Its
// memory is bounded: when it is full it forgets everything, and what came before is
// taken for new once more.
type Distinct struct {
	pages map[pageOf]*page
	at    pageOf // of last
	last  *page  // nil before the first message
}

// pageOf names a page of positions that lie side by side.
type pageOf struct {
	stream uint32
	number uint64
}

type page [pagePositions / 64]uint64

// First reports whether a message did not come before. One without a position (0)
// cannot be told from another: it is always new. One of no stream (NoStream) is
// never a message of the recording: it is not.
func (d *Distinct) First(stream uint32, seq uint64) bool {
	switch {
	case stream == NoStream:
		return false
	case seq == 0:
		return true
	}
	p := d.page(pageOf{stream, seq / pagePositions})
	word, bit := &p[seq%pagePositions/64], uint64(1)<<(seq%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// page returns a page, a new one where there was none.
func (d *Distinct) page(of pageOf) *page {
	if d.last != nil && d.at == of {
		return d.last
	}
	p := d.pages[of]
	if p == nil {
		if d.pages == nil || len(d.pages) >= distinctPages {
			d.pages = map[pageOf]*page{}
		}
		p = &page{}
		d.pages[of] = p
	}
	d.at, d.last = of, p
	return p
}
