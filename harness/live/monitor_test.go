package live_test

import (
	"sync"
	"testing"
	"time"

	"plumbline/harness/live"
	"plumbline/harness/record"
)

// heard collects what a monitor tells.
type heard struct {
	mu  sync.Mutex
	all []live.Told
	new chan struct{}
}

func (h *heard) tell(t live.Told) {
	h.mu.Lock()
	h.all = append(h.all, t)
	h.mu.Unlock()
	select {
	case h.new <- struct{}{}:
	default:
	}
}

// wait returns the first that fits and has not been returned before.
func (h *heard) wait(t *testing.T, what string, fits func(live.Told) bool) live.Told {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		h.mu.Lock()
		for i, told := range h.all {
			if fits(told) {
				h.all = h.all[i+1:]
				h.mu.Unlock()
				return told
			}
		}
		h.mu.Unlock()
		select {
		case <-h.new:
		case <-deadline.C:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

func TestAMonitorTellsOfTheRecordingAtWork(t *testing.T) {
	h := &heard{new: make(chan struct{}, 1)}
	m := live.NewMonitor(time.Millisecond, h.tell)
	defer m.Close()
	recorder := func() *record.Recorder {
		r, err := record.NewRecorder(t.TempDir(), record.NewClock())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := recorder()
	m.Follow("first", first)
	node, stream := first.Node(record.Node{Name: "v", Role: "viewer"}), first.Stream(record.Stream{Device: "d"})
	first.Event(record.Event{Kind: record.Connected, Subject: "v"})
	first.Event(record.Event{Kind: record.FaultOnset, Subject: "a fault"})
	at := first.Clock().Now()
	first.Add(record.Record{Kind: record.Sent, Stream: stream, Seq: 1, Due: at, Aux: 1})
	first.Add(record.Record{Kind: record.Received, Node: node, Stream: stream, Seq: 1, At: at + int64(time.Millisecond)})
	struck := h.wait(t, "the fault", func(told live.Told) bool { return told.Change != nil })
	if struck.Scenario != "first" || struck.Change.Fault.Name != "a fault" || struck.Change.Ended {
		t.Errorf("told %+v", struck.Change)
	}
	if late := struck.At.Sub(first.Clock().Epoch()); late < time.Duration(at-int64(time.Minute)) || late > time.Duration(first.Clock().Now()) {
		t.Errorf("the fault struck %v after the epoch", late)
	}
	h.wait(t, "figures with the arrival", func(told live.Told) bool {
		f := told.Figures
		return f != nil && told.Scenario == "first" && f.N == 1 && near(float64(f.P50), 1) && f.Viewers == 1 && f.Connected == 1 && f.Devices == 1
	})

	second := recorder()
	m.Follow("second", second)
	h.wait(t, "figures of the second recording", func(told live.Told) bool { return told.Figures != nil && told.Scenario == "second" })
	first.Event(record.Event{Kind: record.FaultOnset, Subject: "of the past"})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	m.Leave()
	second.Event(record.Event{Kind: record.FaultOnset, Subject: "unseen"})
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	m.Close()
	m.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, told := range h.all {
		if told.Change != nil {
			t.Errorf("told of %+v, which nobody followed", told.Change)
		}
	}
}

func near(got, want float64) bool { return got > 0.96*want && got < 1.04*want }
