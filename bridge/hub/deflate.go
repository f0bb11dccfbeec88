package hub

import (
	"bytes"
	"compress/flate"
	"runtime"
	"sync"
)

// PackFrom is the size from which a body is worth compressing.
const PackFrom = 512

// Packer compresses bodies. It keeps few compressors, of some 650 KB each; who
// finds none free waits for one, never long.
type Packer struct{ free chan *flate.Writer }

// NewPacker returns one that compresses as many bodies at once as there are
// processors.
func NewPacker() *Packer {
	p := &Packer{free: make(chan *flate.Writer, runtime.GOMAXPROCS(0))}
	for range cap(p.free) {
		p.free <- nil // made when first used
	}
	return p
}

// Pack compresses body as whole DEFLATE blocks (RFC 1951) that refer to nothing
// before them and end at a byte, without the empty block that a flush leaves (RFC
// 7692 section 7.2.1). It returns nil when that does not save a tenth.
func (p *Packer) Pack(body []byte) []byte {
	if len(body) < PackFrom {
		return nil
	}
	w := <-p.free
	defer func() { p.free <- w }()
	out := bytes.NewBuffer(make([]byte, 0, len(body)/2))
	if w == nil {
		w, _ = flate.NewWriter(out, flate.BestSpeed) // fails for unknown levels only
	} else {
		w.Reset(out)
	}
	_, _ = w.Write(body) // a buffer takes everything
	_ = w.Flush()
	packed := bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xFF, 0xFF})
	if len(packed) == out.Len() || len(packed) > len(body)-len(body)/10 {
		return nil
	}
	return packed
}

// offer lets who gets b have it compressed.
func (p *Packer) offer(b *Batch) {
	if p != nil && len(b.Body) >= PackFrom {
		b.Packed = &Packed{packer: p}
	}
}

// Packed is a body that is compressed when the first who wants it asks, for all.
type Packed struct {
	packer *Packer
	once   sync.Once
	body   []byte
}

// Get returns the compressed form of body, as [Packer.Pack] does. body must be the
// same in all calls. It is for concurrent use.
func (p *Packed) Get(body []byte) []byte {
	if p == nil {
		return nil
	}
	p.once.Do(func() { p.body = p.packer.Pack(body) })
	return p.body
}
