package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func newTestRecorder(t *testing.T) (*Recorder, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "scenario")
	r, err := NewRecorder(dir, NewClock())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, dir
}

// waitFor waits for a condition and says what it waited for in vain.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute in vain: %s", what)
		}
		runtime.Gosched()
	}
}

func TestRecordIsSixtyFourBytes(t *testing.T) {
	if got := unsafe.Sizeof(Record{}); got != Size {
		t.Errorf("a Record takes %d bytes of memory, want %d", got, Size)
	}
	full := Record{
		Kind: Received, Flags: 0xa5, Node: 0x1234, Stream: 0xdeadbeef, Seq: 1<<63 + 5, Due: -7, At: 1 << 62, End: 9,
		Digest: 0x0123456789abcdef, Offset: 1<<64 - 1, Bytes: 1<<32 - 1, Aux: 77,
	}
	encoded := appendRecord(nil, &full)
	if len(encoded) != Size {
		t.Fatalf("encoded to %d bytes, want %d", len(encoded), Size)
	}
	if got := decodeRecord(encoded); got != full {
		t.Errorf("decoded %+v, want %+v", got, full)
	}
}

func TestRoundTrip(t *testing.T) {
	r, dir := newTestRecorder(t)
	stream := r.Stream(Stream{Device: "a", Topic: "t/a", Mode: "sim", QoS: 1, Period: time.Second})
	first, second := r.Node(Node{Name: "v1", Role: "viewer", Filters: []string{"#"}}), r.Node(Node{Name: "v2", Role: "viewer"})
	if a, b, c := r.Epoch("e1"), r.Epoch("e2"), r.Epoch("e1"); a != c || a == b {
		t.Errorf("epochs numbered %d, %d, %d", a, b, c)
	}
	r.Event(Event{Kind: FaultOnset, Subject: "kill", Fields: map[string]string{"pid": "1"}})
	r.Event(Event{At: 5, Kind: FaultEnd, Subject: "kill"})
	const n = 10_000 // several chunks
	var group sync.WaitGroup
	for _, node := range []uint16{first, second} {
		group.Go(func() {
			for seq := uint64(1); seq <= n; seq++ {
				r.Add(Record{Kind: Received, Node: node, Stream: stream, Seq: seq, At: r.Clock().Now()})
			}
		})
	}
	group.Wait()
	if _, err := r.Log(); err == nil {
		t.Error("a recording that is still written was read")
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	log, err := r.Log()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil || !reflect.DeepEqual(log, again) {
		t.Errorf("loaded twice, two results (%v)", err)
	}
	if log.Partial || len(log.Records) != 2*n || len(log.Events) != 2 || len(log.Index.Nodes) != 2 || len(log.Index.Epochs) != 2 {
		t.Fatalf("partial %v, %d records, %d events, %+v", log.Partial, len(log.Records), len(log.Events), log.Index)
	}
	if log.Events[0].At == 0 || log.Events[1].At != 5 || log.Events[0].Fields["pid"] != "1" {
		t.Errorf("events %+v", log.Events)
	}
	next := map[uint16]uint64{}
	for _, rec := range log.Records {
		next[rec.Node]++
		if rec.Seq != next[rec.Node] {
			t.Fatalf("node %d: position %d, want %d: the order of Add is not kept", rec.Node, rec.Seq, next[rec.Node])
		}
	}
}

func TestTwoRunsInOneDirectory(t *testing.T) {
	_, dir := newTestRecorder(t)
	if _, err := NewRecorder(dir, NewClock()); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "directory of its own") {
		t.Errorf("second recorder: %v", err)
	}
}

// TestKilledRun: without Close, everything flushed before is there, marked as
// partial.
func TestKilledRun(t *testing.T) {
	r, dir := newTestRecorder(t)
	if log, err := Load(dir); err != nil || !log.Partial {
		t.Fatalf("killed at once: %v", err)
	}
	r.Node(Node{Name: "v", Role: "viewer"})
	r.Event(Event{Kind: Note, Subject: "x"})
	for range 5000 {
		r.Add(Record{Kind: Received, Seq: 1})
	}
	waitFor(t, "the background writer", func() bool {
		log, err := Load(dir)
		return err == nil && len(log.Records) == 5000 && len(log.Events) == 1 && len(log.Index.Nodes) == 1
	})
	log, err := Load(dir)
	if err != nil || !log.Partial {
		t.Errorf("killed run: partial %v, %v", log.Partial, err)
	}
}

// wholeRecording writes a small recording and returns its directory.
func wholeRecording(t *testing.T) string {
	t.Helper()
	r, dir := newTestRecorder(t)
	r.Node(Node{Name: "v", Role: "viewer"})
	for seq := uint64(1); seq <= 100; seq++ {
		r.Add(Record{Kind: Received, Seq: seq})
	}
	r.Event(Event{Kind: Note, Subject: "x"})
	r.Event(Event{Kind: Note, Subject: "y"})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func change(t *testing.T, dir, file string, edit func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTornTail: a file cut anywhere gives the whole records before the cut.
func TestTornTail(t *testing.T) {
	for _, cut := range []int{1, 63, 64, 65, 100 * Size, 100*Size + 3} {
		dir := wholeRecording(t)
		change(t, dir, recordsFile, func(b []byte) []byte { return b[:len(b)-cut] })
		log, err := Load(dir)
		if err != nil || !log.Partial {
			t.Errorf("%d bytes short: partial %v, %v", cut, log.Partial, err)
		}
		if want := max(100-(cut+Size-1)/Size, 0); len(log.Records) != want {
			t.Errorf("%d bytes short: %d records, want %d", cut, len(log.Records), want)
		}
	}
	dir := wholeRecording(t)
	change(t, dir, eventsFile, func(b []byte) []byte { return b[:len(b)-3] })
	if log, err := Load(dir); err != nil || !log.Partial || len(log.Events) != 1 {
		t.Errorf("torn event: %d events, partial %v, %v", len(log.Events), log.Partial, err)
	}
}

func TestDamage(t *testing.T) {
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 1; return b }
	}
	for _, c := range []struct {
		name, file string
		edit       func([]byte) []byte
		offset     int64
		records    int
	}{
		{"magic", recordsFile, flip(0), 0, 0},
		{"version", recordsFile, flip(8), 0, 0},
		{"record size", recordsFile, flip(12), 0, 0},
		{"header cut", recordsFile, func(b []byte) []byte { return b[:20] }, 0, 0},
		{"chunk magic", recordsFile, flip(headerSize), headerSize, 0},
		{"chunk count", recordsFile, func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[headerSize+4:], chunkRecords+1)
			return b
		}, headerSize, 0},
		{"a record", recordsFile, flip(headerSize + chunkHeader + 50*Size), headerSize, 0},
		{"a chunk twice", recordsFile, func(b []byte) []byte { return append(b, b[headerSize:]...) }, headerSize + chunkHeader + 100*Size, 100},
		{"an event", eventsFile, func(b []byte) []byte { return append([]byte("{oops}\n"), b...) }, 0, 100},
		{"index", indexFile, func(b []byte) []byte { return append([]byte("x"), b...) }, 1, -1},
		{"index format", indexFile, func(b []byte) []byte {
			return []byte(strings.Replace(string(b), indexFormat, "other/v9", 1))
		}, 0, -1},
	} {
		dir := wholeRecording(t)
		change(t, dir, c.file, c.edit)
		log, err := Load(dir)
		var damage *CorruptError
		if !errors.Is(err, ErrCorrupt) || !errors.As(err, &damage) {
			t.Errorf("%s: %v, want ErrCorrupt", c.name, err)
			continue
		}
		if damage.Offset != c.offset || filepath.Base(damage.Path) != c.file {
			t.Errorf("%s: %v, want offset %d of %s", c.name, damage, c.offset, c.file)
		}
		if c.records >= 0 && (!log.Partial || len(log.Records) != c.records) {
			t.Errorf("%s: %d records before the damage, partial %v, want %d", c.name, len(log.Records), log.Partial, c.records)
		}
	}
	if _, err := Load(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("empty directory: %v", err)
	}
}

// fullDisk takes some bytes and then says that the disk is full.
type fullDisk struct{ room int }

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(b []byte) (int, error) {
	if len(b) > d.room {
		return 0, errFull
	}
	d.room -= len(b)
	return len(b), nil
}

func (d *fullDisk) Close() error { return nil }

// indexReader stands for records.bin and looks, whenever records are written,
// whether the index on the disk explains them.
type indexReader struct {
	dir    string
	header bool
	checks int
	err    error
}

func (d *indexReader) Write(b []byte) (int, error) {
	if !d.header {
		d.header = true
		return len(b), nil
	}
	disk, err := loadIndex(filepath.Join(d.dir, indexFile))
	d.err = errors.Join(d.err, err)
	for at := chunkHeader; at < len(b); at += Size {
		r := decodeRecord(b[at:])
		if int(r.Node) >= len(disk.Nodes) || int(r.Stream) >= len(disk.Streams) {
			d.err = errors.Join(d.err, fmt.Errorf("record of node %d and stream %d, the index holds %d and %d",
				r.Node, r.Stream, len(disk.Nodes), len(disk.Streams)))
		}
	}
	d.checks++
	return len(b), nil
}

func (d *indexReader) Close() error { return nil }

// TestIndexGoesFirst: a run may be killed between any two writes.
func TestIndexGoesFirst(t *testing.T) {
	dir := t.TempDir()
	disk := &indexReader{dir: dir}
	r, err := newRecorder(dir, NewClock(), disk, &fullDisk{room: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	stream, node := r.Stream(Stream{Device: "a"}), r.Node(Node{Name: "v", Role: "viewer"})
	r.Add(Record{Kind: Received, Stream: stream, Node: node, Seq: 1})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if disk.checks != 1 || disk.err != nil {
		t.Errorf("after %d writes of records: %v", disk.checks, disk.err)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	r, err := newRecorder(dir, NewClock(), &fullDisk{room: headerSize + chunkHeader + 10*Size}, &fullDisk{room: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		r.Add(Record{Kind: Received})
	}
	waitFor(t, "the writer to notice", func() bool { return r.Err() != nil })
	if err := r.Err(); !errors.Is(err, errFull) || !strings.Contains(err.Error(), "free space") || !strings.Contains(err.Error(), recordsFile) {
		t.Errorf("full disk: %v", err)
	}
	r.Event(Event{Kind: Note})
	if err := r.Close(); !errors.Is(err, errFull) {
		t.Errorf("close after a full disk: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		t.Fatal(err)
	}
	var index indexOnDisk
	if err := json.Unmarshal(data, &index); err != nil || index.Whole || index.Error == "" {
		t.Errorf("index after a full disk: whole %v, error %q, %v", index.Whole, index.Error, err)
	}
	if _, err := newRecorder(t.TempDir(), NewClock(), &fullDisk{}, &fullDisk{}); !errors.Is(err, errFull) {
		t.Errorf("disk full from the start: %v", err)
	}
}

// TestRealFullDisk writes to /dev/full, where every write fails with ENOSPC.
func TestRealFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	events, err := os.CreateTemp(t.TempDir(), "events")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newRecorder(t.TempDir(), NewClock(), full, events); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("/dev/full: %v", err)
	}
}

func TestAddAfterClose(t *testing.T) {
	r, dir := newTestRecorder(t)
	r.Node(Node{})
	r.Add(Record{Kind: Received})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.Add(Record{Kind: Received})
	r.Event(Event{Kind: Note})
	log, err := Load(dir)
	if err != nil || len(log.Records) != 1 || len(log.Events) != 0 {
		t.Errorf("%d records, %d events, %v", len(log.Records), len(log.Events), err)
	}
}

func TestCloseWhileAdding(t *testing.T) {
	r, dir := newTestRecorder(t)
	var group sync.WaitGroup
	for node := range uint16(8) {
		r.Node(Node{Name: fmt.Sprint(node)})
		group.Go(func() {
			for range 20_000 {
				r.Add(Record{Kind: Received, Node: node})
			}
		})
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if log, err := Load(dir); err != nil {
		t.Errorf("%d records, %v", len(log.Records), err)
	}
}

func TestClock(t *testing.T) {
	c := NewClock()
	last := c.Now()
	for range 1000 {
		now := c.Now()
		if now < last {
			t.Fatalf("the clock went back from %d to %d", last, now)
		}
		last = now
	}
	if cost := c.ReadCost(); cost <= 0 {
		t.Errorf("a reading costs %v", cost)
	}
	if time.Since(c.Epoch()) > time.Hour || c.Since() < time.Duration(last) {
		t.Errorf("epoch %v, since %v", c.Epoch(), c.Since())
	}
	if ClockSource() == "" {
		t.Error("the clock source has no name")
	}
}

func BenchmarkAdd(b *testing.B) {
	r, err := NewRecorder(b.TempDir(), NewClock())
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for b.Loop() {
		r.Add(Record{Kind: Received})
	}
}

// What is missing from a recording makes it partial, however well it was closed.
func TestTornRecordingIsPartial(t *testing.T) {
	dir := t.TempDir()
	r, err := NewRecorder(dir, NewClock())
	if err != nil {
		t.Fatal(err)
	}
	r.Torn(errors.New("the generator was killed"))
	r.Torn(errors.New("a later cause"))
	r.Node(Node{Name: "p", Role: "publisher"})
	r.Add(Record{Kind: Sent, Stream: NoStream, Seq: 1})
	if err := errors.Join(r.Close(), r.Err()); err != nil {
		t.Fatal(err)
	}
	log, err := Load(dir)
	if err != nil || !log.Partial || len(log.Records) != 1 {
		t.Errorf("read %+v, %v", log, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil || !strings.Contains(string(text), "the generator was killed") {
		t.Errorf("the index says %s, %v", text, err)
	}
}

func TestRecordsComeBackAsTheyWent(t *testing.T) {
	want := Record{Kind: Acked, Flags: FlagDup, Node: 3, Stream: 4, Seq: 5, Due: -6, At: 7, End: 8, Digest: 9, Offset: 10, Bytes: 11, Aux: 12}
	text := want.Append([]byte("x"))
	if got, err := Decode(text[1:]); err != nil || got != want || len(text) != 1+Size {
		t.Errorf("%d bytes give %+v, %v", len(text), got, err)
	}
	if _, err := Decode(text[2:]); err == nil {
		t.Error("a record cut short was read")
	}
	text[1] = 200
	if _, err := Decode(text[1:]); err == nil {
		t.Error("a record of an unknown kind was read")
	}
}
