package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"
)

// The checkpoint holds the last value of every topic and the last number of
// every producer as of one offset, and the sizes of the sealed segments up to
// there. It starts with magic (8) and u64 offset; items follow, each a kind byte
// and its data; an end item carries the CRC-32C of all before it.
const (
	itemEnd      = 0
	itemSegment  = 1 // u64 base, u64 last, u64 size, i64 newest Unix µs
	itemValue    = 2 // a record
	itemProducer = 3 // a record whose producer, sequence and offset count
	itemRetained = 4 // a record: the retained message of the topic of the value that follows
)

var checkpointMagic = []byte("PLBJCKP\n")

// checkpoint is what was read from one.
type checkpoint struct {
	offset   uint64
	segments map[uint64]sealed
}

// sealed is what a checkpoint knows of a finished segment.
type sealed struct {
	last   uint64
	size   int64
	newest time.Time
}

// checkpointWriter writes items; after the first error it does nothing more.
type checkpointWriter struct {
	w   *bufio.Writer
	sum hash.Hash32
	buf []byte
	err error
}

func newCheckpointWriter(w io.Writer, offset uint64) *checkpointWriter {
	c := &checkpointWriter{w: bufio.NewWriterSize(w, 64<<10), sum: crc32.New(castagnoli)}
	c.put(binary.LittleEndian.AppendUint64(append([]byte(nil), checkpointMagic...), offset))
	return c
}

func (c *checkpointWriter) put(p []byte) {
	if c.err == nil {
		_, _ = c.sum.Write(p)
		_, c.err = c.w.Write(p)
	}
}

func (c *checkpointWriter) segment(s *segment) {
	c.buf = append(c.buf[:0], itemSegment)
	for _, v := range []uint64{s.base, s.last, uint64(s.size), uint64(s.newest.UnixMicro())} {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, v)
	}
	c.put(c.buf)
}

func (c *checkpointWriter) record(kind byte, e *Entry) {
	c.buf = appendRecord(append(c.buf[:0], kind), e)
	c.put(c.buf)
}

func (c *checkpointWriter) end() error {
	if c.err != nil {
		return c.err
	}
	tail := binary.LittleEndian.AppendUint32([]byte{itemEnd}, c.sum.Sum32())
	if _, err := c.w.Write(tail); err != nil {
		return err
	}
	return c.w.Flush()
}

var errCheckpoint = errors.New("journal: checkpoint is damaged")

// readCheckpoint loads the checkpoint of dir into the tables. A missing one is
// nil without error; a damaged one leaves the tables as they are.
func readCheckpoint(dir string, values *table[latest], producers *table[uint64]) (*checkpoint, error) {
	data, err := os.ReadFile(filepath.Join(dir, checkpointName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if unreadable(err) {
		return nil, errCheckpoint
	}
	if err != nil {
		return nil, fmt.Errorf("journal: read checkpoint: %w", err)
	}
	n := len(data) - 5
	if n < 16 || string(data[:8]) != string(checkpointMagic) || data[n] != itemEnd ||
		crc32.Checksum(data[:n], castagnoli) != binary.LittleEndian.Uint32(data[n+1:]) {
		return nil, errCheckpoint
	}
	c := &checkpoint{offset: binary.LittleEndian.Uint64(data[8:]), segments: make(map[uint64]sealed)}
	for p := data[16:n]; len(p) > 0; {
		size, err := c.item(p, values, producers)
		if err != nil {
			return nil, err
		}
		p = p[size:]
	}
	return c, nil
}

// item takes the item at the start of p and returns its size.
func (c *checkpoint) item(p []byte, values *table[latest], producers *table[uint64]) (int, error) {
	kind, p := p[0], p[1:]
	switch kind {
	case itemSegment:
		if len(p) < 32 {
			return 0, errCheckpoint
		}
		c.segments[binary.LittleEndian.Uint64(p)] = sealed{
			last:   binary.LittleEndian.Uint64(p[8:]),
			size:   int64(binary.LittleEndian.Uint64(p[16:])),
			newest: time.UnixMicro(int64(binary.LittleEndian.Uint64(p[24:]))).UTC(),
		}
		return 33, nil
	case itemValue, itemProducer, itemRetained:
		var e Entry
		size, cond := parseRecord(p, &e)
		if cond != whole {
			return 0, errCheckpoint
		}
		if kind == itemProducer {
			producers.set(e.Producer, e.Offset, e.ProducerSeq, 0)
		} else {
			e.Payload = append([]byte{}, e.Payload...) // not to hold the whole file in memory
			e.Meta = bytes.Clone(e.Meta)
			setValue(values, e) // a retained one comes first, as it did when it was published
		}
		return 1 + size, nil
	}
	return 0, errCheckpoint
}
