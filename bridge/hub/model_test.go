package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// ledger is what was appended, by offset.
type ledger struct {
	mu      sync.Mutex
	entries map[uint64]string // "topic payload"
}

func (l *ledger) add(offset uint64, name, payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[offset] = name + " " + payload
}

// topic returns the topic of an entry. It is for when nobody writes any more.
func (l *ledger) topic(offset uint64) string {
	name, _, _ := strings.Cut(l.entries[offset], " ")
	return name
}

// TestModel lets writers, viewers with random filters, stalls and resumption run
// against each other and compares what every viewer was told with the ledger:
// each entry that its filter and access list let through was delivered once and in
// order, or lies in a declared gap.
func TestModel(t *testing.T) {
	for _, c := range []struct {
		name string
		jo   journal.Options
		ho   Options
		gaps bool
	}{
		{"roomy", journal.Options{}, Options{}, false},
		{"small ring", journal.Options{}, Options{RingBytes: 2000, BatchBytes: 300, CatchUps: 1, Progress: 2 * time.Millisecond}, false},
		{"from disk", journal.Options{TailBytes: 1000, SegmentBytes: 8192, Sync: journal.SyncOS}, Options{RingBytes: 1000}, false},
		{"paced", journal.Options{}, Options{FrameRate: 500, BatchDelay: 3 * time.Millisecond, RingBytes: 5000}, false},
		{
			"evicting", journal.Options{TailBytes: 1000, SegmentBytes: 4096, RetainBytes: 8192, Sync: journal.SyncOS},
			Options{RingBytes: 1000, BatchBytes: 200}, true,
		},
	} {
		for seed := uint64(1); seed <= 3; seed++ {
			t.Run(fmt.Sprintf("%s/seed %d", c.name, seed), func(t *testing.T) {
				b := newBench(t, c.jo, c.ho)
				b.run()
				runModel(t, b, seed, c.gaps)
			})
		}
	}
}

func runModel(t *testing.T, b *bench, seed uint64, gaps bool) {
	t.Helper()
	const writers, viewers, each = 4, 12, 250
	l := &ledger{entries: make(map[uint64]string)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var writing, viewing sync.WaitGroup
	told := make([]*story, viewers)
	for i := range viewers {
		told[i] = newStory(b, rand.New(rand.NewPCG(seed, uint64(100+i))))
		viewing.Go(func() { told[i].live(ctx) })
	}
	for w := range writers {
		r := rand.New(rand.NewPCG(seed, uint64(w)))
		writing.Go(func() {
			for i := range each {
				name, payload := randomTopic(r), fmt.Sprint(w, "-", i, strings.Repeat(".", r.IntN(60)))
				offset, _, err := b.j.Append(ctx, journal.Message{Topic: name, Payload: []byte(payload), Retain: r.IntN(4) == 0})
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				l.add(offset, name, payload)
				if r.IntN(20) == 0 {
					<-time.After(time.Duration(r.IntN(500)) * time.Microsecond) // writers do not run in step
				}
			}
		})
	}
	writing.Wait()
	last := b.j.Head().Offset
	stop()
	viewing.Wait()
	if last != writers*each {
		t.Fatalf("head %d", last)
	}
	for i, s := range told {
		s.end(last)
		s.judge(t, i, l, gaps)
	}
}

// story is one viewer's life over several subscriptions.
type story struct {
	b      *bench
	r      *rand.Rand
	filter string
	access Access
	v      *viewer
	start  uint64
	shots  []Subscribed // snapshots taken on the way
}

func newStory(b *bench, r *rand.Rand) *story {
	s := &story{b: b, r: r, filter: randomFilter(r)}
	if r.IntN(3) == 0 {
		s.access = Access{Key: "no-b", Allow: func(name string) bool { return !strings.Contains(name, "b") }}
	}
	s.v = b.subscribe(SubscribeOptions{Filter: s.filter, Access: s.access, Snapshot: r.IntN(2) == 0})
	s.start = s.v.cursor
	s.shots = append(s.shots, s.v.answer)
	return s
}

// live pulls, stalls and comes back until ctx ends.
func (s *story) live(ctx context.Context) {
	for ctx.Err() == nil {
		switch s.r.IntN(12) {
		case 0: // a slow network
			select {
			case <-time.After(time.Duration(s.r.IntN(3000)) * time.Microsecond):
			case <-ctx.Done():
			}
		case 1: // a reconnection
			s.resume(s.v.cursor)
		case 2: // another page of the same viewer opens and closes
			other := s.b.subscribe(SubscribeOptions{Filter: s.filter, Access: s.access, Snapshot: true})
			s.shots = append(s.shots, other.answer)
			other.s.Close()
		default:
			if !s.v.pull(1 + s.r.IntN(4000)) {
				select {
				case <-s.v.bell:
				case <-ctx.Done():
				}
			}
		}
	}
}

// resume subscribes anew where the old subscription stood. When the journal no
// longer has that, the viewer notes the loss that it was told.
func (s *story) resume(cursor uint64) {
	old := s.v
	old.s.Close()
	s.v = s.b.subscribe(SubscribeOptions{
		Filter: s.filter, Access: s.access, Since: &journal.Cursor{Epoch: s.b.j.Epoch(), Offset: cursor},
	})
	s.v.got, s.v.gaps, s.v.empty = old.got, old.gaps, old.empty
	if !s.v.answer.Recovered {
		to := s.v.answer.Cursor.Offset
		s.v.gaps = append(s.v.gaps, Gap{From: cursor, To: to, Count: to - cursor, Reason: s.v.answer.Reason})
	}
}

// end reads on to the last entry.
func (s *story) end(last uint64) {
	s.resume(s.v.cursor)
	s.b.publish("the/end/of/all", "") // moves every group that is not quiet; the quiet ones by resuming
	deadline := time.Now().Add(time.Minute)
	for s.v.cursor < last {
		if time.Now().After(deadline) {
			s.b.t.Fatalf("viewer of %q still at %d of %d", s.filter, s.v.cursor, last)
		}
		if !s.v.pull(1 << 20) {
			s.resume(s.v.cursor)
		}
	}
}

// judge compares with the ledger.
func (s *story) judge(t *testing.T, i int, l *ledger, gaps bool) {
	t.Helper()
	if len(s.v.gaps) > 0 && !gaps {
		t.Errorf("viewer %d: gaps %+v although nothing was evicted", i, s.v.gaps)
	}
	gone := func(offset uint64) bool {
		for _, g := range s.v.gaps {
			if offset > g.From && offset <= g.To {
				return true
			}
		}
		return false
	}
	got := s.v.got
	for offset := s.start + 1; offset <= uint64(len(l.entries)); offset++ {
		name := l.topic(offset)
		if gone(offset) || !topic.Match(s.filter, name) || (s.access.Allow != nil && !s.access.Allow(name)) {
			continue
		}
		want := fmt.Sprint(offset, " ", l.entries[offset])
		if len(got) == 0 || got[0] != want {
			t.Fatalf("viewer %d of %q from %d: next is %q, want %q; gaps %+v", i, s.filter, s.start, got[:min(1, len(got))], want, s.v.gaps)
		}
		got = got[1:]
	}
	for n, shot := range s.shots {
		if n > 0 || shot.Snapshot != nil {
			s.judgeSnapshot(t, i, l, shot)
		}
	}
	for _, extra := range got {
		if !strings.Contains(extra, "the/end/of/all") {
			t.Fatalf("viewer %d of %q: %q delivered besides", i, s.filter, extra)
		}
	}
}

// judgeSnapshot checks that a snapshot is the last values at its cursor, exactly.
func (s *story) judgeSnapshot(t *testing.T, i int, l *ledger, shot Subscribed) {
	t.Helper()
	want := make(map[string]uint64)
	for offset := uint64(1); offset <= shot.Cursor.Offset; offset++ {
		name := l.topic(offset)
		if name != "" && allowed(s.filter, s.access, name) {
			want[name] = offset
		}
	}
	for _, e := range shot.Snapshot {
		if want[e.Topic] != e.Offset || l.entries[e.Offset] != e.Topic+" "+string(e.Payload) {
			t.Fatalf("viewer %d: snapshot at %d has %q from %d, want from %d", i, shot.Cursor.Offset, e.Topic, e.Offset, want[e.Topic])
		}
		delete(want, e.Topic)
	}
	if len(want) > 0 {
		t.Fatalf("viewer %d of %q: snapshot at %d lacks %v", i, s.filter, shot.Cursor.Offset, want)
	}
}
