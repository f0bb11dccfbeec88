package journal

import (
	"fmt"
	"runtime"
	"testing"
)

// What an unclean start keeps of a record does not hold the bytes around it in memory, which no limit counts.
func TestReplayKeepsNoMoreThanItCounts(t *testing.T) {
	r := newRig(t, SyncOS)
	r.opts.TailBytes = 1
	j := r.open()
	const devices = 64
	for i := range devices {
		for _, m := range []Message{
			{Topic: fmt.Sprint("device/", i), Payload: []byte("1"), Meta: []byte("text/plain")},
			{Topic: "noise", Payload: make([]byte, scanChunk)},
		} {
			if _, _, err := j.Append(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.kill(j)
	before := heap()
	j = r.open()
	grown := heap() - before
	if n := j.Stats().Topics; n != devices+1 {
		t.Fatalf("%d topics, want %d", n, devices+1)
	}
	if grown > devices*scanChunk/4 {
		t.Errorf("the heap grew by %d KiB for %d KiB of last values", grown>>10, j.Stats().TableBytes>>10)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first only ends the use of what pools and finalizers hold
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
