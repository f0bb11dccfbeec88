package ptytwin

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"plumbline/devices/codec"
	"plumbline/devices/internal/exact"
)

// TestFlipChangesOneBitAndIsAlwaysSeen: whatever the generator draws, line ends
// stay, exactly one bit differs, and the sentence's check fails.
func TestFlipChangesOneBitAndIsAlwaysSeen(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	good := []string{
		"$GNGGA,171926.00,4404.14063,N,12118.85478,W,1,12,0.91,1147.2,M,-21.3,M,,*44\r\n",
		"$GPHDT,274.07,T*03\r\n", "$GPGSA,A,3,20,,,,13,31,,04,,,,,02.7,01.4,02.3*05\n",
	}
	for round := range 5000 {
		text := []byte(good[round%len(good)])
		before := bytes.Clone(text)
		if !Flip(rng, text) {
			t.Fatalf("seed %d round %d: nothing could be flipped in %q", seed, round, before)
		}
		changed := 0
		for i := range text {
			changed += bits.OnesCount8(text[i] ^ before[i])
		}
		if changed != 1 || bytes.Count(text, []byte("\n")) != 1 || !bytes.HasSuffix(text, []byte("\n")) {
			t.Fatalf("seed %d round %d: %q became %q", seed, round, before, text)
		}
		if _, err := (codec.NMEA0183{}).Decode(text); err == nil {
			t.Fatalf("seed %d round %d: %q passes its check", seed, round, text)
		}
	}
}

func TestFlipLeavesWhatItCannotDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for _, text := range []string{"", "\r\n", "\n", "\x80\xff\x00\n"} {
		if p := []byte(text); Flip(rng, p) || string(p) != text {
			t.Errorf("%q became %q", text, p)
		}
	}
}

func TestChunk(t *testing.T) {
	for _, c := range []struct{ bits, baud, want int }{
		{10, 50, 1}, {10, 9600, 1}, {10, 19200, 1}, {10, 115200, 8}, {12, 115200, 6}, {10, 921600, 64},
	} {
		if got := chunk(c.bits, c.baud); got != c.want {
			t.Errorf("chunk(%d bits, %d baud) = %d, want %d", c.bits, c.baud, got, c.want)
		}
	}
}

// TestWireKeepsIdealTime: the end of each line is computed, not measured, so
// that late wake-ups do not add up.
func TestWireKeepsIdealTime(t *testing.T) {
	var w wire
	start := exact.Now()
	w.begin(start)
	w.advance(96, 10, 960_000)
	if got := time.Duration(w.free - start); got != time.Millisecond {
		t.Errorf("96 characters at 960000 baud end after %v, want 1ms", got)
	}
	w.begin(start) // written while the first was being sent: follows without a gap
	w.advance(96, 10, 960_000)
	if got := time.Duration(w.free - start); got != 2*time.Millisecond {
		t.Errorf("the second line ends after %v, want 2ms", got)
	}
	later := w.free + int64(3*time.Millisecond)
	w.begin(later) // written after a pause: begins then
	w.advance(48, 10, 960_000)
	if got := time.Duration(w.free - later); got != 500*time.Microsecond {
		t.Errorf("the third line ends %v after it was written, want 500µs", got)
	}
	if exact.Now() < w.free {
		t.Error("advance returned before the characters were through")
	}
}

func TestPauseEndsEarly(t *testing.T) {
	var w wire
	asked := 0
	w.pause(time.Hour, func() bool { asked++; return asked > 2 })
	if asked != 3 {
		t.Errorf("the end was asked for %d times, want 3", asked)
	}
}
