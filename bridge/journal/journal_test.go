package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"
)

// rig is a directory that can be opened again and again.
type rig struct {
	t    *testing.T
	opts Options
}

func newRig(t *testing.T, policy SyncPolicy) *rig {
	t.Helper()
	return &rig{t: t, opts: Options{Dir: t.TempDir(), Sync: policy, RetainAge: -1, boot: func() string { return "boot-1" }, mend: time.Millisecond}}
}

func (r *rig) open() *Journal {
	r.t.Helper()
	j, err := Open(r.opts)
	if err != nil {
		r.t.Fatalf("Open: %v", err)
	}
	r.t.Cleanup(func() { _ = j.Close() })
	return j
}

// kill ends j as SIGKILL would: nothing is flushed, nothing is marked.
func (r *rig) kill(j *Journal) {
	r.t.Helper()
	j.closing.Do(func() {
		j.mu.Lock()
		j.closed = true
		j.mu.Unlock()
		close(j.quit)
		<-j.done
		j.io.Lock()
		defer j.io.Unlock()
		if j.active != nil {
			_ = j.active.Close()
			j.active = nil
		}
		if err := j.lock.Close(); err != nil {
			r.t.Fatal(err)
		}
	})
}

func closeJournal(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func message(i int) Message {
	m := Message{
		Topic:   fmt.Sprintf("plant/line%d/temp", i%7),
		Payload: fmt.Appendf(nil, `{"seq":%d,"v":21.5}`, i),
		QoS:     byte(i % 3), Retain: i%5 == 0,
		Time: time.UnixMicro(1_700_000_000_000_000 + int64(i)).UTC(),
	}
	if i%4 == 3 {
		m.Meta = fmt.Appendf(nil, "meta %d", i)
	}
	return m
}

func appendN(t *testing.T, j *Journal, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		offset, dup, err := j.Append(context.Background(), message(i))
		if err != nil || dup || offset != uint64(i) {
			t.Fatalf("Append %d: offset %d, duplicate %v, error %v", i, offset, dup, err)
		}
	}
}

// readAll reads everything after the cursor.
func readAll(t *testing.T, j *Journal, after uint64) []Entry {
	t.Helper()
	var all []Entry
	for {
		n := len(all)
		var err error
		if all, err = j.ReadInto(all, after, 100, 1<<20); err != nil {
			t.Fatalf("Read after %d: %v", after, err)
		}
		if len(all) == n {
			return all
		}
		after = all[len(all)-1].Offset
	}
}

// wantEntries checks that got are messages from..to as appended by appendN.
func wantEntries(t *testing.T, got []Entry, from, to int) {
	t.Helper()
	if len(got) != to-from+1 {
		t.Fatalf("%d entries, want %d (%d..%d)", len(got), to-from+1, from, to)
	}
	for i, e := range got {
		want := Entry{Offset: uint64(from + i), Message: message(from + i)}
		if !reflect.DeepEqual(e, want) {
			t.Fatalf("entry %d is %+v, want %+v", i, e, want)
		}
	}
}

// eventually waits for a condition and says what it waited for.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	deadline := time.After(time.Minute)
	for !f() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("still waiting for %s", what)
		}
	}
}

var policies = []SyncPolicy{SyncMemory, SyncOS, SyncDurable}

func TestAppendReadReopen(t *testing.T) {
	for _, policy := range policies {
		t.Run(string(policy), func(t *testing.T) {
			r := newRig(t, policy)
			r.opts.SegmentBytes = 4 << 10
			j := r.open()
			if j.Head() != (Cursor{Epoch: j.Epoch()}) || j.First() != 1 {
				t.Fatalf("fresh journal: head %+v, first %d", j.Head(), j.First())
			}
			appendN(t, j, 1, 200)
			wantEntries(t, readAll(t, j, 0), 1, 200)
			wantEntries(t, readAll(t, j, 150), 151, 200)
			if got, err := j.Read(200, 10, 10); err != nil || got != nil {
				t.Fatalf("Read at head: %v, %v", got, err)
			}
			epoch := j.Epoch()
			closeJournal(t, j)
			closeJournal(t, j)
			if _, _, err := j.Append(t.Context(), message(1)); !errors.Is(err, ErrClosed) {
				t.Fatalf("Append after Close: %v", err)
			}
			if _, err := j.Read(0, 1, 1); !errors.Is(err, ErrClosed) {
				t.Fatalf("Read after Close: %v", err)
			}

			j = r.open()
			if j.Epoch() != epoch || j.Head().Offset != 200 {
				t.Fatalf("after a clean end: epoch kept %v, head %d", j.Epoch() == epoch, j.Head().Offset)
			}
			wantEntries(t, readAll(t, j, 0), 1, 200) // all from disk
			appendN(t, j, 201, 50)
			wantEntries(t, readAll(t, j, 0), 1, 250) // disk, then memory
			if s := j.Stats(); (s.Segments < 3 && policy != SyncMemory) || s.Topics != 7 || s.Head != 250 {
				t.Fatalf("stats %+v", s)
			}
		})
	}
}

func TestOneHolder(t *testing.T) {
	r := newRig(t, SyncOS)
	j := r.open()
	if _, err := Open(r.opts); !errors.Is(err, ErrLocked) {
		t.Fatalf("second Open: %v, want %v", err, ErrLocked)
	}
	closeJournal(t, j)
	closeJournal(t, r.open())
}

func TestOptionsRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"no directory":     {},
		"unknown policy":   {Dir: t.TempDir(), Sync: "fsync"},
		"tiny segment":     {Dir: t.TempDir(), SegmentBytes: 100},
		"negative limit":   {Dir: t.TempDir(), RetainBytes: -1},
		"file as folder":   {Dir: filepath.Join("journal_test.go", "x")},
		"no random source": {Dir: t.TempDir(), Random: emptyReader{}},
	} {
		t.Run(name, func(t *testing.T) {
			if j, err := Open(o); err == nil {
				_ = j.Close()
				t.Fatal("opened")
			}
		})
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, os.ErrClosed }

func TestAppendRefuses(t *testing.T) {
	j := newRig(t, SyncOS).open()
	big := make([]byte, 70000)
	for name, m := range map[string]Message{
		"no topic":      {Payload: []byte("x")},
		"long topic":    {Topic: string(big)},
		"long producer": {Topic: "t", Producer: string(big), ProducerSeq: 1},
		"big payload":   {Topic: "t", Payload: make([]byte, MaxPayload+1)},
		"QoS 3":         {Topic: "t", QoS: 3},
	} {
		if _, _, err := j.Append(t.Context(), m); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := j.Append(ctx, message(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if j.Head().Offset != 0 {
		t.Errorf("head %d after refusals only", j.Head().Offset)
	}
}

// Appended bytes belong to the journal: the caller may use his buffer again.
func TestAppendCopies(t *testing.T) {
	j := newRig(t, SyncOS).open()
	buf := []byte("first")
	if _, _, err := j.Append(t.Context(), Message{Topic: "a", Payload: buf}); err != nil {
		t.Fatal(err)
	}
	copy(buf, "XXXXX")
	if got := readAll(t, j, 0); string(got[0].Payload) != "first" {
		t.Fatalf("payload %q changed with the caller's buffer", got[0].Payload)
	}
}

func TestConcurrentAppendersKeepTheirOrder(t *testing.T) {
	for _, policy := range policies {
		t.Run(string(policy), func(t *testing.T) {
			r := newRig(t, policy)
			r.opts.SegmentBytes, r.opts.TailBytes = 8<<10, 8<<10
			j := r.open()
			const writers, each = 8, 150
			offsets := make([][]uint64, writers)
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						offset, _, err := j.Append(t.Context(), Message{Topic: fmt.Sprint("w", w), Payload: fmt.Append(nil, i)})
						if err != nil {
							t.Errorf("writer %d: %v", w, err)
							return
						}
						if h := j.Head().Offset; h < offset {
							t.Errorf("acknowledged %d but head is %d", offset, h)
						}
						offsets[w] = append(offsets[w], offset)
					}
				})
			}
			wg.Wait()
			next := make([]int, writers)
			all := readAll(t, j, 0)
			for i, e := range all {
				w := int(e.Topic[1] - '0')
				if e.Offset != uint64(i+1) || string(e.Payload) != fmt.Sprint(next[w]) || offsets[w][next[w]] != e.Offset {
					t.Fatalf("entry %d is %d %s %s, want number %d of its writer", i, e.Offset, e.Topic, e.Payload, next[w])
				}
				next[w]++
			}
			if len(all) != writers*each {
				t.Fatalf("%d entries", len(all))
			}
			if s := j.Stats(); s.Appended != writers*each || s.Batches == 0 || (policy == SyncDurable && s.Syncs == 0) {
				t.Fatalf("stats %+v", s)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	j := newRig(t, SyncOS).open()
	var heads []uint64
	cancel := j.Watch(func() { heads = append(heads, j.Head().Offset) })
	never := j.Watch(func() { t.Error("called after cancel") })
	never()
	appendN(t, j, 1, 3)
	cancel()
	cancel()
	appendN(t, j, 4, 1)
	if !reflect.DeepEqual(heads, []uint64{1, 2, 3}) {
		t.Fatalf("watched heads %v", heads)
	}
}

func TestReadLimits(t *testing.T) {
	r := newRig(t, SyncOS)
	j := r.open()
	appendN(t, j, 1, 50)
	check := func(where string) {
		t.Helper()
		for _, c := range []struct{ entries, bytes, want int }{{1, 1 << 20, 1}, {0, 0, 1}, {7, 1 << 20, 7}, {50, 1, 1}, {50, 100, 2}} {
			got, err := j.Read(10, c.entries, c.bytes)
			if err != nil || len(got) != c.want || got[0].Offset != 11 {
				t.Errorf("%s: Read(10, %d, %d) gave %d entries, error %v, want %d", where, c.entries, c.bytes, len(got), err, c.want)
			}
		}
	}
	check("memory")
	closeJournal(t, j)
	j = r.open()
	check("disk")
}
