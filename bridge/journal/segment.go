package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// A segment file starts with a header of 64 bytes, little endian: magic (8),
// u16 version, u16 header size, u32 zero, u64 first offset, i64 Unix µs of its
// creation, epoch (16 ASCII), 12 zero, u32 CRC-32C of the 60 bytes before.
// Records follow without padding.
const (
	segmentHead    = 64
	segmentVersion = 1
	segmentSuffix  = ".seg"
	damagedSuffix  = ".damaged"
	epochBytes     = 16
	markEvery      = 32 << 10 // bytes between two marks of the sparse index
)

var segmentMagic = []byte("PLBJRNL\n")

// errVersion stops Open instead of losing what a newer program wrote.
var errVersion = errors.New("written in a format of another version of this program")

// mark says where in a segment an offset lies.
type mark struct {
	offset uint64
	pos    int64
}

// segment is one file. Fields are guarded by Journal.mu once the journal is open.
type segment struct {
	path   string
	epoch  string
	base   uint64    // offset of its first record
	last   uint64    // offset of its last record, base-1 when it has none
	size   int64     // bytes that hold good records
	made   time.Time // when it was begun
	newest time.Time // time of its last record
	marks  []mark    // sparse index, ascending
	marked int64     // bytes covered by marks
	synced bool      // fsynced after its last record
}

func segmentPath(dir string, base uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", base, segmentSuffix))
}

// baseOf reads the first offset from a segment's file name.
func baseOf(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	base, err := strconv.ParseUint(digits, 10, 64)
	return base, err == nil && base > 0
}

func (s *segment) header() []byte {
	h := make([]byte, segmentHead)
	copy(h, segmentMagic)
	binary.LittleEndian.PutUint16(h[8:], segmentVersion)
	binary.LittleEndian.PutUint16(h[10:], segmentHead)
	binary.LittleEndian.PutUint64(h[16:], s.base)
	binary.LittleEndian.PutUint64(h[24:], uint64(s.made.UnixMicro()))
	copy(h[32:32+epochBytes], s.epoch)
	binary.LittleEndian.PutUint32(h[60:], crc32.Checksum(h[:60], castagnoli))
	return h
}

// parseHeader reads the header of the segment whose name promises base.
func parseHeader(h []byte, base uint64) (*segment, error) {
	switch {
	case len(h) < segmentHead:
		return nil, fmt.Errorf("header is cut short")
	case !bytes.Equal(h[:8], segmentMagic):
		return nil, fmt.Errorf("not a journal segment")
	case binary.LittleEndian.Uint32(h[60:]) != crc32.Checksum(h[:60], castagnoli):
		return nil, fmt.Errorf("header is damaged")
	case binary.LittleEndian.Uint16(h[8:]) != segmentVersion || binary.LittleEndian.Uint16(h[10:]) != segmentHead:
		return nil, fmt.Errorf("%w: found %d, this program knows %d",
			errVersion, binary.LittleEndian.Uint16(h[8:]), segmentVersion)
	case binary.LittleEndian.Uint64(h[16:]) != base:
		return nil, fmt.Errorf("header says first offset %d, the file's name %d", binary.LittleEndian.Uint64(h[16:]), base)
	}
	return &segment{
		epoch:  string(h[32 : 32+epochBytes]),
		base:   base,
		last:   base - 1,
		size:   segmentHead,
		marked: segmentHead,
		made:   time.UnixMicro(int64(binary.LittleEndian.Uint64(h[24:]))).UTC(),
		newest: time.UnixMicro(int64(binary.LittleEndian.Uint64(h[24:]))).UTC(),
	}, nil
}

// note puts the record at pos into the sparse index when it is its turn.
func (s *segment) note(offset uint64, pos, end int64) {
	if pos != s.marked {
		if pos < s.marked {
			return
		}
		s.marked = pos // records were skipped; the index restarts here
	}
	if n := len(s.marks); n == 0 || pos-s.marks[n-1].pos >= markEvery {
		s.marks = append(s.marks, mark{offset, pos})
	}
	s.marked = end
}

// locate returns a place at or before the record of offset.
func (s *segment) locate(offset uint64) mark {
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].offset > offset })
	if i == 0 {
		return mark{s.base, segmentHead}
	}
	return s.marks[i-1]
}
