package journal

import (
	"context"
	"errors"
	"syscall"
	"testing"
)

// What was admitted behind a write that failed fails with it, even when writing
// works again by then: or a producer's second message could be in the log and its
// first, refused and sent again, be taken for a duplicate.
func TestRefusalReachesWhatWaitedBehindIt(t *testing.T) {
	r := newRig(t, SyncOS)
	j := r.open()
	second := Message{Topic: "t", Producer: "p", ProducerSeq: 2}
	a, err := j.admit(&second)
	if err != nil || !a.leader {
		t.Fatalf("admit: %+v, %v", a, err)
	}
	j.io.Lock()
	_ = j.fail(syscall.EIO) // of the batch that holds the first
	err = j.repair()
	j.io.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.lead(a.b); !errors.Is(err, ErrDegraded) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("the second message: %v, want a refusal", err)
	}
	for seq := uint64(1); seq <= 2; seq++ {
		offset, duplicate, err := j.Append(context.Background(), Message{Topic: "t", Producer: "p", ProducerSeq: seq})
		if err != nil || duplicate || offset != seq {
			t.Fatalf("message %d sent again: offset %d, duplicate %v, error %v", seq, offset, duplicate, err)
		}
	}
}
