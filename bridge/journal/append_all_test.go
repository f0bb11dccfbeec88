package journal

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

func numbered(producer string, from, n int) (ms []Message) {
	for i := range n {
		ms = append(ms, Message{Topic: producer, Payload: fmt.Append(nil, from+i), QoS: 1, Producer: producer, ProducerSeq: uint64(from + i)})
	}
	return ms
}

// TestAppendAll: several appenders of many messages at once, among appenders of one; each finds its messages next to each
// other where it was told, and what was appended before is known.
func TestAppendAll(t *testing.T) {
	for _, sync := range []SyncPolicy{SyncMemory, SyncOS, SyncDurable} {
		t.Run(string(sync), func(t *testing.T) { appendAll(t, sync) })
	}
}

func appendAll(t *testing.T, policy SyncPolicy) {
	t.Helper()
	j, err := Open(Options{Dir: t.TempDir(), Sync: policy})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	var group sync.WaitGroup
	for w := range 8 {
		name := fmt.Sprintf("p%d", w)
		group.Go(func() {
			for from := 1; from <= 200; from += 20 {
				if w%4 == 3 {
					if _, _, err := j.Append(t.Context(), numbered(name, from, 1)[0]); err != nil {
						t.Error(err)
					}
					continue
				}
				rs, err := j.AppendAll(t.Context(), numbered(name, from, 20))
				if err != nil || len(rs) != 20 {
					t.Errorf("%d results, %v", len(rs), err)
					return
				}
				got, err := j.Read(rs[0].Offset-1, 20, 1<<20)
				if err != nil || len(got) == 0 {
					t.Errorf("read: %v", err)
				}
				for i, e := range got {
					if e.Topic != name || string(e.Payload) != fmt.Sprint(from+i) || e.Offset != rs[i].Offset || rs[i].Duplicate {
						t.Errorf("entry %d is %s %s, want %s %d; result %+v", e.Offset, e.Topic, e.Payload, name, from+i, rs[i])
					}
				}
			}
		})
	}
	group.Wait()
	head := j.Head().Offset
	if head != 6*200+2*10 {
		t.Errorf("head %d", head)
	}
	again := append(numbered("p0", 195, 6), numbered("new", 1, 1)...)
	again = append(again, again[6]) // known from the same call
	rs, err := j.AppendAll(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		if dup := i != 6; r.Duplicate != dup || i >= 6 && r.Offset != head+1 {
			t.Errorf("result %d is %+v", i, r)
		}
	}
	if rs, err := j.AppendAll(t.Context(), nil); len(rs) != 0 || err != nil {
		t.Errorf("nothing: %v, %v", rs, err)
	}
	if _, err := j.AppendAll(t.Context(), []Message{{Topic: "x"}, {}}); err == nil {
		t.Error("a message without a topic was taken")
	}
	if now := j.Head().Offset; now != head+1 {
		t.Errorf("head %d, want %d", now, head+1)
	}
	_ = j.Close()
	if _, err := j.AppendAll(t.Context(), again); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
