package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func add(t *testing.T, j *Journal, m Message) (offset uint64, duplicate bool) {
	t.Helper()
	offset, duplicate, err := j.Append(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return offset, duplicate
}

// lastValues gives a snapshot as "topic=payload@offset".
func lastValues(j *Journal, match func(string) bool) (values []string) {
	_, entries := j.Snapshot(match)
	for _, e := range entries {
		values = append(values, fmt.Sprintf("%s=%s@%d", e.Topic, e.Payload, e.Offset))
	}
	return values
}

// Last values and producer numbers survive retention, a clean end and a kill.
func TestTablesSurvive(t *testing.T) {
	for _, end := range []string{"clean", "killed"} {
		t.Run(end, func(t *testing.T) {
			r := newRig(t, SyncOS)
			r.opts.SegmentBytes, r.opts.RetainBytes = 4096, 8192
			j := r.open()
			add(t, j, Message{Topic: "config", Payload: []byte("old"), Retain: true})
			add(t, j, Message{Topic: "config", Payload: []byte("new"), Retain: true, Producer: "pump", ProducerSeq: 41})
			add(t, j, Message{Topic: "gone", Payload: []byte("x"), Retain: true})
			add(t, j, Message{Topic: "gone", Retain: true})
			add(t, j, Message{Topic: "empty"}) // empty, but not retained: a value like any other
			add(t, j, Message{Topic: "config", Payload: []byte("now")})
			appendN(t, j, 7, 394)
			eventually(t, "retention", func() bool { return j.Stats().DiskBytes <= 8192 })
			epoch := j.Epoch()
			if end == "clean" {
				closeJournal(t, j)
			} else {
				r.kill(j)
			}
			j = r.open()
			if j.Epoch() != epoch || j.Head().Offset != 400 {
				t.Fatalf("epoch kept %v, head %d", j.Epoch() == epoch, j.Head().Offset)
			}
			got := lastValues(j, func(name string) bool { return !strings.HasPrefix(name, "plant") })
			if want := []string{"empty=@5", "config=now@6"}; !slices.Equal(got, want) {
				t.Fatalf("last values %q, want %q", got, want)
			}
			retained := j.Retained()
			if e := retained[0]; e.Topic != "config" || string(e.Payload) != "new" || e.Offset != 2 {
				t.Fatalf("retained %+v", e)
			}
			for _, e := range retained {
				if !e.Retain || e.Topic == "gone" {
					t.Fatalf("%+v is kept as retained", e)
				}
			}
			if offset, dup := add(t, j, Message{Topic: "config", Producer: "pump", ProducerSeq: 41}); !dup || offset != 2 {
				t.Fatalf("a repeated message: offset %d, duplicate %v", offset, dup)
			}
			if _, err := j.Read(0, 1, 1); !errors.As(err, new(ErrEvicted)) {
				t.Fatalf("Read of what retention dropped: %v", err)
			}
		})
	}
}

func TestProducerNumbers(t *testing.T) {
	j := newRig(t, SyncOS).open()
	for _, c := range []struct {
		producer string
		seq      uint64
		offset   uint64
		dup      bool
	}{
		{"a", 1, 1, false}, {"a", 1, 1, true}, {"a", 2, 2, false}, {"a", 1, 2, true},
		{"b", 1, 3, false}, {"a", 7, 4, false}, {"a", 5, 4, true}, {"a", 8, 5, false},
		{"", 3, 6, false}, {"", 3, 7, false}, {"a", 0, 8, false}, {"a", 0, 9, false}, {"b", 1, 3, true},
	} {
		offset, dup := add(t, j, Message{Topic: "t", Producer: c.producer, ProducerSeq: c.seq})
		if offset != c.offset || dup != c.dup {
			t.Fatalf("%+v: offset %d, duplicate %v", c, offset, dup)
		}
	}
	if s := j.Stats(); s.Duplicates != 4 || s.Producers != 2 {
		t.Fatalf("stats %+v", s)
	}
}

// The same message from two connections at once is appended once, and both learn
// the same offset.
func TestProducerNumbersConcurrently(t *testing.T) {
	j := newRig(t, SyncDurable).open()
	for seq := uint64(1); seq <= 50; seq++ {
		var wg sync.WaitGroup
		offsets, fresh := make([]uint64, 6), make([]bool, 6)
		for i := range offsets {
			wg.Go(func() {
				var dup bool
				offsets[i], dup = add(t, j, Message{Topic: "t", Producer: "p", ProducerSeq: seq})
				fresh[i] = !dup
				if j.Head().Offset < offsets[i] {
					t.Errorf("a duplicate was acknowledged before the message was safe")
				}
			})
		}
		wg.Wait()
		n := 0
		for i := range offsets {
			if fresh[i] {
				n++
			}
			if offsets[i] != seq {
				t.Fatalf("number %d got offset %d", seq, offsets[i])
			}
		}
		if n != 1 {
			t.Fatalf("number %d was appended %d times", seq, n)
		}
	}
}

// A publisher who invents topics and names cannot fill the memory.
func TestTablesAreBounded(t *testing.T) {
	r := newRig(t, SyncMemory)
	r.opts.TableBytes, r.opts.TailBytes = 20_000, 20_000
	j := r.open()
	for i := range 2000 {
		add(t, j, Message{Topic: fmt.Sprint("t", i), Payload: []byte("x"), Producer: fmt.Sprint("p", i), ProducerSeq: 1})
	}
	s := j.Stats()
	if s.TableBytes > 40_000 || s.TailBytes > 20_000+2*flushBytes || s.Forgotten == 0 {
		t.Fatalf("stats %+v", s)
	}
	if got := lastValues(j, func(name string) bool { return name == "t0" || name == "t1999" }); !slices.Equal(got, []string{"t1999=x@2000"}) {
		t.Fatalf("kept %q; the longest untouched must go first", got)
	}
	wantFound := readAll(t, j, 0)
	if len(wantFound) != 2000 {
		t.Fatalf("%d entries readable", len(wantFound))
	}
}

// A snapshot taken while writers run is exact at its cursor, and replaying from
// there gives the present values.
func TestSnapshotIsExact(t *testing.T) {
	const seed, topics = 5, 3000
	j := newRig(t, SyncMemory).open()
	var mu sync.Mutex
	history := []Message{{}}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		r := rand.New(rand.NewPCG(seed, seed))
		for i := 0; ctx.Err() == nil && i < 60_000; i++ {
			m := Message{Topic: fmt.Sprint("t", r.IntN(topics)), Payload: fmt.Append(nil, i), Retain: true}
			if r.IntN(10) == 0 {
				m.Payload = []byte{}
			}
			mu.Lock()
			_, _, err := j.Append(context.Background(), m)
			history = append(history, m)
			mu.Unlock()
			if err != nil {
				t.Error(err)
			}
		}
	})
	eventually(t, "the tables to fill", func() bool { return j.Head().Offset > 2*topics })
	for range 30 {
		even := func(name string) bool { return (name[len(name)-1]-'0')%2 == 0 }
		cursor, got := j.Snapshot(even)
		mu.Lock()
		past := history[:cursor.Offset+1]
		mu.Unlock()
		want := map[string]uint64{}
		for offset, m := range past {
			if offset == 0 || !even(m.Topic) {
				continue
			}
			if want[m.Topic] = uint64(offset); len(m.Payload) == 0 {
				delete(want, m.Topic)
			}
		}
		seen := map[string]uint64{}
		for i, e := range got {
			if seen[e.Topic] = e.Offset; i > 0 && e.Offset <= got[i-1].Offset {
				t.Fatalf("snapshot is not in order: %d after %d", e.Offset, got[i-1].Offset)
			}
		}
		if len(seen) != len(got) || !reflect.DeepEqual(seen, want) {
			t.Fatalf("snapshot at %d: %d values, want %d", cursor.Offset, len(got), len(want))
		}
	}
	stop()
	wg.Wait()
}

// The walk against a plain copy: every value as of the walk's end that was not
// touched since is visited once.
func TestTableWalk(t *testing.T) {
	const seed = 11
	r := rand.New(rand.NewPCG(seed, seed))
	for range 300 {
		tb := newTable[int](1 << 30)
		offset := uint64(0)
		change := func() {
			offset++
			if key := fmt.Sprint(r.IntN(40)); r.IntN(6) == 0 {
				tb.remove(key)
			} else {
				tb.set(key, offset, int(offset), 0)
			}
		}
		for range r.IntN(120) {
			change()
		}
		end := offset
		before := map[string]uint64{}
		for key, n := range tb.nodes {
			before[key] = n.offset
		}
		w := tb.walk(end)
		visited := map[string]uint64{}
		for w.slice(1+r.IntN(5), func(n *node[int]) {
			if _, twice := visited[n.key]; twice || before[n.key] != n.offset {
				t.Fatalf("visited %s at %d, was at %d", n.key, n.offset, before[n.key])
			}
			visited[n.key] = n.offset
		}) {
			for range r.IntN(4) {
				change()
			}
		}
		w.stop()
		for key, at := range before {
			if n := tb.nodes[key]; n != nil && n.offset == at && visited[key] != at {
				t.Fatalf("walk to %d missed %s at %d", end, key, at)
			}
		}
		if len(tb.walks) != 0 {
			t.Fatal("the walk is still known after its stop")
		}
	}
}

func TestRetentionByAge(t *testing.T) {
	r := newRig(t, SyncOS)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	r.opts.RetainAge = time.Hour
	r.opts.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	j := r.open()
	for hour := range 6 {
		for i := range 10 {
			add(t, j, Message{Topic: "t", Payload: fmt.Append(nil, hour*10+i)})
		}
		mu.Lock()
		now = now.Add(20 * time.Minute)
		mu.Unlock()
		j.wake()
		eventually(t, "a new segment by age", func() bool {
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.segments[len(j.segments)-1].base == j.head+1
		})
	}
	eventually(t, "old entries to go", func() bool { return j.First() == 31 })
	if got := readAll(t, j, 30); len(got) != 30 || string(got[0].Payload) != "30" {
		t.Fatalf("%d entries left", len(got))
	}
	if s := j.Stats(); s.Evicted != 30 {
		t.Fatalf("stats %+v", s)
	}
}

// Readers that fall behind while retention runs get every entry in order or are
// told what is gone.
func TestReadersAgainstRetention(t *testing.T) {
	r := newRig(t, SyncOS)
	r.opts.SegmentBytes, r.opts.RetainBytes, r.opts.TailBytes, r.opts.fs = 4096, 30_000, 2000, unsynced{}
	j := r.open()
	const n = 4000
	var wg sync.WaitGroup
	for reader := range 3 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(reader), 1))
			after, read, gone := uint64(0), 0, uint64(0)
			for after < n {
				got, err := j.Read(after, 1+rnd.IntN(200), 1<<20)
				var evicted ErrEvicted
				if errors.As(err, &evicted) {
					if evicted.First <= after+1 {
						t.Errorf("evicted up to %d at %d", evicted.First, after)
						return
					}
					gone += evicted.First - 1 - after
					after = evicted.First - 1
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range got {
					if want := (Entry{Offset: after + 1, Message: message(int(after) + 1)}); !reflect.DeepEqual(e, want) {
						t.Errorf("read %+v, want %+v", e, want)
						return
					}
					after++
					read++
				}
				if rnd.IntN(10) == 0 {
					<-time.After(time.Duration(rnd.IntN(2000)) * time.Microsecond) // a slow reader
				}
			}
			if uint64(read)+gone != n {
				t.Errorf("reader %d: %d read and %d gone of %d", reader, read, gone, n)
			}
		})
	}
	appendN(t, j, 1, n)
	wg.Wait()
}

// RetainedOf answers for one topic what Retained answers for all.
func TestRetainedOfOneTopic(t *testing.T) {
	j := newRig(t, SyncOS).open()
	add(t, j, Message{Topic: "a", Payload: []byte("kept"), Meta: []byte("m"), Retain: true})
	add(t, j, Message{Topic: "a", Payload: []byte("passing")})
	add(t, j, Message{Topic: "b", Payload: []byte("passing")})
	c, e := j.RetainedOf("a")
	if e == nil || string(e.Payload) != "kept" || string(e.Meta) != "m" || c.Offset != 3 {
		t.Errorf("retained of a: %+v as of %d", e, c.Offset)
	}
	for _, topic := range []string{"b", "c"} {
		if _, e := j.RetainedOf(topic); e != nil {
			t.Errorf("retained of %s: %+v", topic, e)
		}
	}
	add(t, j, Message{Topic: "a", Retain: true})
	if _, e := j.RetainedOf("a"); e != nil {
		t.Errorf("cleared, but %+v", e)
	}
}
