package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// memoryFile is a segment for recovery that is nowhere on disk.
type memoryFile struct{ *bytes.Reader }

func (memoryFile) Write([]byte) (int, error) { return 0, os.ErrInvalid }
func (memoryFile) Sync() error               { return os.ErrInvalid }
func (memoryFile) Truncate(int64) error      { return os.ErrInvalid }
func (memoryFile) Close() error              { return nil }

// FuzzSegment gives recovery any bytes as the last segment: it must neither panic
// nor hang, and never make up an entry.
func FuzzSegment(f *testing.F) {
	s := &segment{base: 1, epoch: "0123456789abcdef"}
	good := s.header()
	for i := range 3 {
		e := Entry{Offset: uint64(i + 1), Message: message(i + 1)}
		good = appendRecord(good, &e)
	}
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add(append(bytes.Clone(good), good[segmentHead:]...))
	f.Add(append(bytes.Clone(good[:segmentHead+10]), good...))
	f.Add(good[:segmentHead])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		opts, err := Options{Dir: t.Name()}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		opts.fs = &faulty{fault: failing(os.ErrInvalid, "open", "create")}
		j := &Journal{
			opts: opts, values: newTable[latest](1 << 20), producers: newTable[uint64](1 << 20), tail: tail{limit: 1 << 30},
		}
		s, err := parseHeader(data[:min(len(data), segmentHead)], 1)
		if err != nil {
			s = &segment{base: 1, size: segmentHead} // the records are tried in any case
		}
		s.path = filepath.Join("no", "such", "folder")
		r := &recovery{j: j, saved: &checkpoint{}, state: state{Sync: SyncDurable}}
		if _, err := r.replay(s, memoryFile{bytes.NewReader(data)}, int64(len(data)), math.MaxUint64); err != nil {
			t.Fatal(err)
		}
		if s.size > max(segmentHead, int64(len(data))) || j.tail.n != int(s.last) {
			t.Fatalf("%d entries in %d of %d bytes, last %d", j.tail.n, s.size, len(data), s.last)
		}
		for i := range j.tail.n {
			if one := appendRecord(nil, j.tail.entry(i)); !bytes.Contains(data, one) {
				t.Fatalf("entry %d is not in the file: %+v", i, *j.tail.entry(i))
			}
		}
	})
}

// FuzzRecord: what is parsed is encoded to the same bytes, and a body with right
// checksums but any content does no harm.
func FuzzRecord(f *testing.F) {
	for i := range 4 {
		e := Entry{Offset: uint64(i), Message: message(i)}
		f.Add(appendRecord(nil, &e))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e Entry
		size, c := parseRecord(data, &e)
		if c == short && size > 0 && size <= len(data) {
			t.Fatalf("short, but all %d bytes are there", size)
		}
		if c == whole && !bytes.Equal(appendRecord(nil, &e), data[:size]) {
			t.Fatalf("%+v does not encode to its own bytes", e)
		}
		if len(data) < headBytes+bodyBytes {
			return
		}
		forged := bytes.Clone(data)
		binary.LittleEndian.PutUint32(forged, uint32(len(forged)-headBytes))
		binary.LittleEndian.PutUint32(forged[4:], headSum(forged))
		binary.LittleEndian.PutUint32(forged[16:], crc32.Checksum(forged[headBytes:], castagnoli))
		switch size, c := parseRecord(forged, &e); {
		case c == short || size != len(forged):
			t.Fatalf("size %d of %d, condition %d", size, len(forged), c)
		case c == whole && !bytes.Equal(appendRecord(nil, &e), forged):
			t.Fatalf("%+v does not encode to its own bytes", e)
		}
	})
}

// FuzzCheckpoint: any bytes are a checkpoint or an error.
func FuzzCheckpoint(f *testing.F) {
	var b bytes.Buffer
	c := newCheckpointWriter(&b, 9)
	c.segment(&segment{base: 1, last: 9, size: 500})
	e := Entry{Offset: 4, Message: message(4)}
	c.record(itemValue, &e)
	c.record(itemProducer, &Entry{Offset: 4, Message: Message{Producer: "p", ProducerSeq: 3}})
	if err := c.end(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:30])
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, checkpointName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		values, producers := newTable[latest](1<<20), newTable[uint64](1<<20)
		got, err := readCheckpoint(dir, values, producers)
		if (got == nil) == (err == nil) {
			t.Fatalf("checkpoint %v, error %v", got, err)
		}
	})
}
