package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzSegment gives the segment reader any bytes: it must neither panic nor
// hang, never make up an entry, and the journal must go on after them.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	j, err := Open(Options{Dir: dir, RetainAge: -1})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 {
		if _, _, err := j.Append(f.Context(), message(i+1)); err != nil {
			f.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(segmentPath(dir, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add(append(bytes.Clone(good), good[segmentHead:]...))
	f.Add(good[:segmentHead])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(segmentPath(dir, 1), data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(Options{Dir: dir, RetainAge: -1, fs: unsynced{}})
		if err != nil {
			return // a version that is not ours
		}
		defer func() { _ = j.Close() }()
		entries, err := j.Read(j.First()-1, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			if one := appendRecord(nil, &entries[i]); !bytes.Contains(data, one) {
				t.Fatalf("entry %d is not in the file: %+v", i, entries[i])
			}
		}
		if _, _, err := j.Append(t.Context(), message(1)); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRecord: what is parsed is encoded to the same bytes.
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
		values, producers := newTable[Entry](1<<20), newTable[uint64](1<<20)
		got, err := readCheckpoint(dir, values, producers)
		if (got == nil) == (err == nil) {
			t.Fatalf("checkpoint %v, error %v", got, err)
		}
	})
}
