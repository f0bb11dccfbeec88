package parity_test

import (
	"slices"
	"testing"
	"time"

	"plumbline/devices/codec"
	"plumbline/devices/replay"
	"plumbline/devices/simulated"
)

// Bounds of how far the times between two utterances of a twin may be from those of
// the recording whose period it was given. They hold what both say, not what a
// machine makes of it: that is measured by the benchmarks of replay and ptytwin.
const (
	enoughSteps = 20                    // of a recording, to say how they are distributed
	stampStep   = 10 * time.Millisecond // what receivers round the time to that they tell
	// ditherShare is the dither of a twin, of its period: each end of a step moves by
	// as much.
	ditherShare = 0.1
)

// quartiles are what half the steps lie between, and their middle.
func quartiles(steps []time.Duration) (q [3]time.Duration) {
	slices.Sort(steps)
	for i := range q {
		q[i] = steps[len(steps)*(i+1)/4]
	}
	return q
}

// pace holds the steps of a recording against those of a twin with its period: the
// quartiles of both are equal within the twin's dither.
func pace(t *testing.T, c codec.Codec, a *account, file string) {
	t.Helper()
	if len(a.steps) < enoughSteps {
		return
	}
	period := a.period()
	twin, _, err := simulated.Speak(c, "twin", 7, simulated.Options{Period: period}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var steps []time.Duration
	for seq := uint64(2); seq <= samples; seq++ {
		steps = append(steps, twin.Schedule().Instant(seq, 7)-twin.Schedule().Instant(seq-1, 7))
	}
	mine, recorded := quartiles(steps), quartiles(a.steps)
	bound := time.Duration(2*ditherShare*float64(period)) + stampStep
	for i := range mine {
		if off := (mine[i] - recorded[i]).Abs(); off > bound {
			t.Errorf("%s: quartile %d of the times between two utterances is %v, that of its twin %v: %v apart, more than %v", file, i+1, recorded[i], mine[i], off, bound)
		}
	}
	t.Logf("%-10s %-52s quartiles of steps %v, twin %v", "timing", file, recorded, mine)
}

// TestATwinKeepsTheTimeOfARecording: the steps of the built-in recording, which needs
// no folder of recordings, and of its twin.
func TestATwinKeepsTheTimeOfARecording(t *testing.T) {
	rec, err := replay.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	a := &account{steps: steps(rec)}
	if len(a.steps) < enoughSteps {
		t.Fatalf("the recording has %d steps", len(a.steps))
	}
	pace(t, codec.NMEA0183{}, a, rec.Path)
}
