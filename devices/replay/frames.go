package replay

import (
	"errors"
	"fmt"
	"slices"

	"plumbline/devices/codec"
)

// cutsLines reports whether a recording of the codec is cut at its line ends:
// line protocols, and messages that came whole, one a line.
func cutsLines(c codec.Codec) bool {
	_, lines := c.NewFramer().(*codec.Lines)
	return lines || codec.Whole(c)
}

// pieceOfFile is how much a framer is given at once, in bytes: as a port gives
// it, so that no framer keeps the whole file.
const pieceOfFile = 4096

// loadFrames cuts what was read from a line as it is, bytes or telegrams of
// several lines: each frame is an entry, with what lay before it.
func (rec *Recording) loadFrames(data []byte, opts LoadOptions) {
	known, end := false, int64(0)
	decoder := codec.NewDecoder(opts.Codec)
	add := func(f codec.Frame) {
		next := f.Offset + int64(f.Bytes)
		rec.Entries = append(rec.Entries, Entry{Position: end, Raw: data[end:next]})
		end = next
		if f.Fault != "" {
			return
		}
		_, err := decoder.Decode(f.Raw)
		var reject *codec.Reject
		known = known || err == nil || errors.As(err, &reject) && reject.Class != codec.Unchecked
	}
	framer := opts.Codec.NewFramer()
	for piece := range slices.Chunk(data, pieceOfFile) {
		framer.Push(0, piece, add)
	}
	if f, held := framer.Rest(); held {
		rec.Fault = &CorruptError{Path: rec.Path, Offset: f.Offset, Reason: "the file ends within a frame"}
		add(f)
	}
	rec.Length = schedule(rec.Entries, opts)
	if !known {
		rec.Fault = &CorruptError{Path: rec.Path, Offset: int64(len(data)),
			Reason: fmt.Sprintf("no %s frame in %d bytes: it is a recording of something else", opts.Codec.Name(), len(data))}
	}
}
