package wire

// idSet is a set of small numbers. The zero value is empty. It costs a bit for each number up to the largest where any near
// it is in the set, and a pointer for each 512 elsewhere.
type idSet struct{ pages []*[8]uint64 }

// add adds id and reports whether it was not there before.
func (s *idSet) add(id uint32) (fresh bool) {
	page, bit := int(id>>9), id&511
	if page >= len(s.pages) {
		s.pages = append(s.pages, make([]*[8]uint64, page+1-len(s.pages))...)
	}
	p := s.pages[page]
	if p == nil {
		p = new([8]uint64)
		s.pages[page] = p
	}
	word, mask := &p[bit>>6], uint64(1)<<(bit&63)
	fresh = *word&mask == 0
	*word |= mask
	return fresh
}
