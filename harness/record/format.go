package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The files of a recording. Numbers are little endian.
//
//	records.bin   header, then chunks
//	  header, 64 bytes:  "PLUMBREC", u32 version (1), u32 record size (64),
//	                     i64 wall time of the clock's zero in ns, zeros
//	  chunk, 16 + 64·n:  "CHNK", u32 n (1…4096), u32 CRC-32C of the records,
//	                     u32 number of the chunk from 0, then n records
//	  record, 64 bytes:  the fields of Record in their order
//	events.jsonl  one Event as JSON a line
//	index.json    what the numbers mean, and whether the recording is whole
//
// A chunk that the end of the file cuts short is the sign of a killed run: its
// whole records are kept. A chunk that is there in full and fails its checksum
// is damage, and everything from its offset on is refused.
const (
	recordsFile = "records.bin"
	eventsFile  = "events.jsonl"
	indexFile   = "index.json"

	fileMagic     = "PLUMBREC"
	fileVersion   = 1
	headerSize    = 64
	chunkMagic    = "CHNK"
	chunkHeader   = 16
	chunkRecords  = 4096
	chunkMaxBytes = chunkHeader + chunkRecords*Size
)

// ErrCorrupt says that a recording holds bytes that no recorder wrote. The
// message names the file and the offset; errors.As to *CorruptError reads them.
var ErrCorrupt = errors.New("record: recording is damaged")

// CorruptError is damage found in a recording.
type CorruptError struct {
	Path   string
	Offset int64 // of the first byte not to be trusted
	Reason string
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("record: %s is damaged at offset %d: %s", e.Path, e.Offset, e.Reason)
}

// Is reports true for ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// appendRecord appends the 64 bytes of r.
func appendRecord(dst []byte, r *Record) []byte {
	le := binary.LittleEndian
	dst = append(dst, byte(r.Kind), r.Flags)
	dst = le.AppendUint16(dst, r.Node)
	dst = le.AppendUint32(dst, r.Stream)
	dst = le.AppendUint64(dst, r.Seq)
	dst = le.AppendUint64(dst, uint64(r.Due))
	dst = le.AppendUint64(dst, uint64(r.At))
	dst = le.AppendUint64(dst, uint64(r.End))
	dst = le.AppendUint64(dst, r.Digest)
	dst = le.AppendUint64(dst, r.Offset)
	dst = le.AppendUint32(dst, r.Bytes)
	return le.AppendUint32(dst, r.Aux)
}

// decodeRecord reads what appendRecord wrote; b holds at least Size bytes.
func decodeRecord(b []byte) Record {
	le := binary.LittleEndian
	return Record{
		Kind: Kind(b[0]), Flags: b[1],
		Node: le.Uint16(b[2:]), Stream: le.Uint32(b[4:]),
		Seq: le.Uint64(b[8:]), Due: int64(le.Uint64(b[16:])),
		At: int64(le.Uint64(b[24:])), End: int64(le.Uint64(b[32:])),
		Digest: le.Uint64(b[40:]), Offset: le.Uint64(b[48:]),
		Bytes: le.Uint32(b[56:]), Aux: le.Uint32(b[60:]),
	}
}

// Append appends the Size bytes of r to dst, in the form of a recording.
func (r *Record) Append(dst []byte) []byte { return appendRecord(dst, r) }

// Decode reads what Append wrote, from the first Size bytes of b. Fewer, or a kind
// that there is not, are an error.
func Decode(b []byte) (Record, error) {
	if len(b) < Size {
		return Record{}, fmt.Errorf("record: %d bytes are no record, which has %d", len(b), Size)
	}
	r := decodeRecord(b)
	if !r.Kind.valid() {
		return Record{}, fmt.Errorf("record: record of unknown kind %d", r.Kind)
	}
	return r, nil
}

func (k Kind) valid() bool { return k >= Sent && k <= Restored }

func appendFileHeader(dst []byte, epochNanos int64) []byte {
	le := binary.LittleEndian
	start := len(dst)
	dst = append(dst, fileMagic...)
	dst = le.AppendUint32(dst, fileVersion)
	dst = le.AppendUint32(dst, Size)
	dst = le.AppendUint64(dst, uint64(epochNanos))
	return append(dst, make([]byte, headerSize-(len(dst)-start))...)
}

// checkFileHeader returns what is wrong with the header, or "".
func checkFileHeader(b []byte) string {
	le := binary.LittleEndian
	switch {
	case string(b[:8]) != fileMagic:
		return "not a recording"
	case le.Uint32(b[8:]) != fileVersion:
		return fmt.Sprintf("version %d, this program reads %d", le.Uint32(b[8:]), fileVersion)
	case le.Uint32(b[12:]) != Size:
		return fmt.Sprintf("records of %d bytes, this program reads %d", le.Uint32(b[12:]), Size)
	}
	return ""
}

// appendChunk appends one chunk of at most chunkRecords records.
func appendChunk(dst []byte, number uint32, records []Record) []byte {
	le := binary.LittleEndian
	dst = append(dst, chunkMagic...)
	dst = le.AppendUint32(dst, uint32(len(records)))
	sumAt := len(dst)
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint32(dst, number)
	body := len(dst)
	for i := range records {
		dst = appendRecord(dst, &records[i])
	}
	le.PutUint32(dst[sumAt:], crc32.Checksum(dst[body:], castagnoli))
	return dst
}
