package journal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

const otherEpoch = "00112233445566ff"

func placed(from, to int) (ms []Message) {
	for i := from; i <= to; i++ {
		ms = append(ms, Message{Topic: fmt.Sprintf("t/%d", i%3), Payload: fmt.Appendf(nil, "%d", i), Producer: "p", ProducerSeq: 1})
	}
	return ms
}

func readPlaced(t *testing.T, j *Journal, after uint64) (got []string) {
	t.Helper()
	for {
		entries, err := j.Read(after, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return got
		}
		for _, e := range entries {
			got = append(got, fmt.Sprintf("%d=%s", e.Offset, e.Payload))
			after = e.Offset
		}
	}
}

func TestAppendAtGivesTheOffsetsThatItIsTold(t *testing.T) {
	for _, sync := range []SyncPolicy{SyncMemory, SyncOS, SyncDurable} {
		t.Run(string(sync), func(t *testing.T) {
			o := Options{Dir: t.TempDir(), Sync: sync}
			j, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := j.AppendAt(1, placed(1, 3)); err != nil {
				t.Fatal(err)
			}
			var wrong ErrPlace
			if err := j.AppendAt(3, placed(3, 4)); !errors.As(err, &wrong) || wrong.Head != 3 {
				t.Errorf("entries that overlap: %v", err)
			}
			if err := j.AppendAt(5, placed(5, 5)); !errors.As(err, &wrong) {
				t.Errorf("entries behind a hole: %v", err)
			}
			if err := j.AppendAt(4, []Message{{Topic: "a"}, {Topic: ""}}); err == nil {
				t.Error("a message without topic was taken")
			}
			if err := j.AppendAt(4, placed(4, 5)); err != nil {
				t.Fatal(err)
			}
			want := []string{"1=1", "2=2", "3=3", "4=4", "5=5"} // equal producer numbers are no matter
			if got := readPlaced(t, j, 0); !slices.Equal(got, want) {
				t.Errorf("read %v, want %v", got, want)
			}
			epoch := j.Epoch()
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if j, err = Open(o); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = j.Close() }()
			if got := readPlaced(t, j, 0); !slices.Equal(got, want) || j.Epoch() != epoch {
				t.Errorf("after a restart: read %v in epoch %s, want %v in %s", got, j.Epoch(), want, epoch)
			}
		})
	}
}

func TestContinueLeavesAHole(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.AppendAt(1, placed(1, 3)); err != nil {
		t.Fatal(err)
	}
	if err := j.Mark("first"); err != nil || j.Marked() != "first" {
		t.Errorf("marked %q, %v", j.Marked(), err)
	}
	epoch, told := j.Epoch(), 0
	defer j.Watch(func() { told++ })()
	if err := j.Continue(epoch, "m", 3); err == nil {
		t.Error("went on at its own head")
	}
	if err := j.Continue("short", "m", 10); err == nil {
		t.Error("took an epoch that is none")
	}
	for _, step := range []struct {
		epoch string
		after uint64
	}{{epoch, 10}, {otherEpoch, 20}} {
		if err := j.Continue(step.epoch, "m", step.after); err != nil {
			t.Fatal(err)
		}
		var gone ErrEvicted
		if _, err := j.Read(2, 10, 1000); !errors.As(err, &gone) || gone.First != step.after+1 {
			t.Errorf("reading across the hole: %v", err)
		}
		if err := j.AppendAt(step.after+1, placed(int(step.after)+1, int(step.after)+2)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"21=21", "22=22"}
	if got := readPlaced(t, j, 20); !slices.Equal(got, want) || told < 4 {
		t.Errorf("read %v, want %v; watchers called %d times", got, want, told)
	}
	if at := j.Rejoin(Cursor{Epoch: epoch, Offset: 12}); at != 12 {
		t.Errorf("a reader of the earlier epoch goes on at %d, want 12: it is told what is missing", at)
	}
	if err := errors.Join(j.Mark("last"), j.Close()); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(o); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	if got := readPlaced(t, j, 20); !slices.Equal(got, want) || j.Epoch() != otherEpoch || j.First() != 21 || j.Marked() != "last" {
		t.Errorf("after a restart: read %v in %s from %d on, marked %q", got, j.Epoch(), j.First(), j.Marked())
	}
	if _, all := j.Snapshot(func(string) bool { return true }); len(all) != 3 {
		t.Errorf("last values after a restart: %v", all)
	}
}

func TestFoundBeginsACopy(t *testing.T) {
	src, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	ctx := context.Background()
	for _, m := range []Message{
		{Topic: "kept", Payload: []byte("retained"), Retain: true}, {Topic: "kept", Payload: []byte("last"), Producer: "p", ProducerSeq: 7},
		{Topic: "gone", Payload: []byte("x"), Retain: true}, {Topic: "plain", Payload: []byte("y"), Meta: []byte("m"), QoS: 1}, {Topic: "gone", Retain: true},
	} {
		if _, _, err := src.Append(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Dir: t.TempDir()}
	old, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.AppendAt(1, placed(1, 9)); err != nil {
		t.Fatal(err)
	}
	if err := Found(o, src.Values()); !errors.Is(err, ErrLocked) {
		t.Fatalf("founded in an open journal: %v", err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Found(o, src.Values()); err != nil {
		t.Fatal(err)
	}
	if kept, err := Open(Options{Dir: filepath.Join(o.Dir, beforeDir)}); err != nil {
		t.Error(err)
	} else {
		if got := readPlaced(t, kept, 0); len(got) != 9 {
			t.Errorf("of what was there %d entries are kept, want 9", len(got))
		}
		_ = kept.Close()
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	if j.Head() != src.Head() || j.First() != src.Head().Offset+1 {
		t.Fatalf("the copy stands at %v, first %d; want %v", j.Head(), j.First(), src.Head())
	}
	all := func(string) bool { return true }
	_, want := src.Snapshot(all)
	_, got := j.Snapshot(all)
	if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != 2 {
		t.Errorf("last values %v, want %v", got, want)
	}
	if got, want := j.Retained(), src.Retained(); fmt.Sprint(got) != fmt.Sprint(want) || len(got) != 1 {
		t.Errorf("retained %v, want %v", got, want)
	}
	if seq, _, known := j.Producer("p"); !known || seq != 7 {
		t.Errorf("producer p: %d, %t", seq, known)
	}
	if err := j.AppendAt(src.Head().Offset+1, placed(1, 1)); err != nil {
		t.Error(err)
	}
}

// TestContinueAsTakesAnothersValues: behind a hole the journal has the last values and producers of a copy that has none, and the
// entries up to where that stood, and so it is after a restart.
func TestContinueAsTakesAnothersValues(t *testing.T) {
	for _, sync := range []SyncPolicy{SyncMemory, SyncOS, SyncDurable} {
		t.Run(string(sync), func(t *testing.T) {
			o := Options{Dir: t.TempDir(), Sync: sync, SegmentBytes: 4 << 10}
			j, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = j.Close() }()
			if err := j.AppendAt(1, placed(1, 300)); err != nil { // of more than one segment
				t.Fatal(err)
			}
			v, ms := another()
			var wrong ErrPlace
			if err := j.ContinueAs(v, 309, ms); !errors.As(err, &wrong) {
				t.Errorf("entries that end elsewhere: %v", err)
			}
			told := j.Watch(func() { asAnother(t, j, "when readers are told", len(ms)) })
			if err := j.ContinueAs(v, 310, ms); err != nil {
				t.Fatal(err)
			}
			told()
			asAnother(t, j, "at once", len(ms))
			var gone ErrEvicted
			if _, err := j.Read(300, 10, 1000); !errors.As(err, &gone) || gone.First != 311 {
				t.Errorf("reading across the hole: %v", err)
			}
			if err := errors.Join(j.AppendAt(v.Cursor.Offset+1, []Message{{Topic: "t/1", Payload: []byte("after")}}), j.Close()); err != nil {
				t.Fatal(err)
			}
			if j, err = Open(o); err != nil {
				t.Fatal(err)
			}
			asAnother(t, j, "after a restart", len(ms)+1)
			if j.Marked() != "mark" || j.First() != 311 {
				t.Errorf("after a restart: marked %q, from %d on", j.Marked(), j.First())
			}
		})
	}
}

// another is what a copy of a log knows at its entry 611, and the 301 last of them.
func another() (v Values, ms []Message) {
	entry := func(offset uint64, topic, payload string, retain bool) Entry {
		return Entry{Offset: offset, Message: Message{Topic: topic, Payload: []byte(payload), Retain: retain}}
	}
	return Values{
		Cursor:    Cursor{Epoch: otherEpoch, Offset: 611},
		Entries:   []Entry{entry(5, "t/0", "five", true), entry(7, "t/0", "seven", false), entry(308, "new", "eight", false), entry(611, "t/2", "611", false)},
		Producers: []Entry{{Offset: 308, Message: Message{Producer: "q", ProducerSeq: 9}}}, Mark: "mark",
	}, placed(311, 611)
}

func asAnother(t *testing.T, j *Journal, when string, entries int) {
	t.Helper()
	var got []string
	_, all := j.Snapshot(func(string) bool { return true })
	for _, e := range append(all, j.Retained()...) {
		got = append(got, fmt.Sprintf("%d %s=%s", e.Offset, e.Topic, e.Payload))
	}
	want := []string{"7 t/0=seven", "308 new=eight", "611 t/2=611", "5 t/0=five"}
	if entries > 301 {
		want = []string{"7 t/0=seven", "308 new=eight", "611 t/2=611", "612 t/1=after", "5 t/0=five"}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: last and retained values %v, want %v", when, got, want)
	}
	if seq, at, known := j.Producer("q"); seq != 9 || at != 308 || !known {
		t.Errorf("%s: producer %d at %d, %t", when, seq, at, known)
	}
	if n := len(readPlaced(t, j, 310)); n != entries || j.Epoch() != otherEpoch {
		t.Errorf("%s: %d entries in %s, want %d", when, n, j.Epoch(), entries)
	}
}
