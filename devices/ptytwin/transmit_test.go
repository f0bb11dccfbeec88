package ptytwin

import (
	"bytes"
	"io"
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/devices/codec"
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

// paper is a port that keeps what is written to it.
type paper struct {
	bits, baud int
	got        []byte
	room       int // of what it takes at once; 0 = all
}

func (p *paper) path() string        { return "" }
func (p *paper) framing() (int, int) { return p.bits, p.baud }
func (p *paper) unread() int         { return -1 }
func (p *paper) settle()             {}
func (p *paper) close() error        { return nil }

func (p *paper) read([]byte) (int, error) { return 0, io.EOF }

func (p *paper) write(b []byte) (int, error) {
	if p.room > 0 {
		b = b[:min(len(b), p.room)]
	}
	p.got = append(p.got, b...)
	return len(b), nil
}

// onPaper is a twin that writes to paper at the instants that a test says.
func onPaper(p *paper, opts Options) *Twin {
	opts.FIFO = maxFIFO
	t := &Twin{opts: opts, pair: p}
	t.change = sync.NewCond(&t.mu)
	return t
}

// say has a line written at an instant.
func (t *Twin) say(text string, at int64) {
	t.queue = append(t.queue, line{text: []byte(text), at: at})
	t.queued += len(text)
}

// TestTheWireKeepsIdealTime: the end of each character is computed, not measured, so
// that late wake-ups do not add up.
func TestTheWireKeepsIdealTime(t *testing.T) {
	const start = int64(1_000_000_000)
	p := &paper{bits: 10, baud: 10_000} // a character in 1 ms
	twin := onPaper(p, Options{})
	twin.say("0123456789", start)
	twin.say("abcde", start) // written while the first is sent: follows without a gap
	ms := func(n int) int64 { return start + int64(n)*int64(time.Millisecond) }
	for _, step := range []struct {
		now, next int64
		got       string
	}{
		{ms(0), ms(1), ""},
		{ms(1) - 1, ms(1), ""},
		{ms(1), ms(2), "0"},
		{ms(5) + 7, ms(6), "01234"}, // the twin was late
		{ms(9), ms(10), "012345678"},
		{ms(12) + 1, ms(13), "0123456789ab"}, // late over the end of a line
		{ms(100), 0, "0123456789abcde"},
	} {
		if next := twin.transmit(step.now); next != step.next || string(p.got) != step.got {
			t.Fatalf("at %v: %q is through, more after %v; want %q and %v", time.Duration(step.now-start), p.got, time.Duration(next-start), step.got, time.Duration(step.next-start))
		}
	}
	twin.say("z", ms(110)) // written after a pause: begins then
	if next := twin.transmit(ms(110)); next != ms(111) {
		t.Errorf("a line after a pause ends after %v", time.Duration(next-start))
	}
	if s := twin.stats; s.Lines != 2 || s.Bytes != 15 {
		t.Errorf("counted %+v", s)
	}
}

// TestAllThatIsDueIsSentAtOnce: however late, without an overflow.
func TestAllThatIsDueIsSentAtOnce(t *testing.T) {
	p := &paper{bits: 12, baud: 4_000_000}
	twin := onPaper(p, Options{})
	text := strings.Repeat("x", 1<<20)
	twin.say(text, 1)
	if next := twin.transmit(int64(1000 * time.Hour)); next != 0 || len(p.got) != len(text) {
		t.Errorf("%d of %d bytes after a thousand hours, more at %d", len(p.got), len(text), next)
	}
}

// TestAPortThatTellsNoSpeedEndsNothing: twins share a thread, and a process.
func TestAPortThatTellsNoSpeedEndsNothing(t *testing.T) {
	p := &paper{}
	twin := onPaper(p, Options{})
	twin.say("ab", 1)
	if next := twin.transmit(5); next <= 5 {
		t.Errorf("more after %d", next)
	}
}

// TestAStallHoldsTheNextLine: it begins when the stall ends, and the one after it
// follows at line speed.
func TestAStallHoldsTheNextLine(t *testing.T) {
	p := &paper{bits: 10, baud: 10_000}
	twin := onPaper(p, Options{})
	twin.Stall(time.Second)
	twin.say("ab", 1)
	const after = int64(time.Second) + 5
	if next := twin.transmit(5); next != after || len(p.got) != 0 {
		t.Errorf("%q was said in a stall, more at %d", p.got, next)
	}
	if next := twin.transmit(after); next != after+int64(time.Millisecond) || len(p.got) != 0 {
		t.Errorf("%q was said when the stall ended, more at %d", p.got, next)
	}
	if next := twin.transmit(after + int64(time.Second)); next != 0 || string(p.got) != "ab" {
		t.Errorf("%q was said after the stall, more at %d", p.got, next)
	}
}

// TestAnUnpacedTwinWaitsForItsReader: nothing is lost, and it looks more and more
// seldom at a port whose reader does not read.
func TestAnUnpacedTwinWaitsForItsReader(t *testing.T) {
	p := &paper{bits: 10, baud: 10_000, room: 4}
	twin := onPaper(p, Options{Unpaced: true})
	twin.say("0123456789", 1)
	for _, want := range []string{"0123", "01234567", "0123456789"} {
		if next := twin.transmit(10); string(p.got) != want || next != 0 && next != 10+int64(shortWait) {
			t.Errorf("%q is through, want %q, more at %d", p.got, want, next)
		}
	}
	if s := twin.stats; s.Lines != 1 || s.Overrun != 0 || s.OverrunBytes != 0 {
		t.Errorf("counted %+v", s)
	}
	twin.pair = deaf{p}
	twin.say("unheard", 20)
	wait := int64(0)
	for range 10 {
		next := twin.transmit(20)
		if next-20 < wait || next-20 > int64(longWait) {
			t.Fatalf("it looks again after %v", time.Duration(next-20))
		}
		wait = next - 20
	}
	if wait != int64(longWait) {
		t.Errorf("it looks again after %v at last", time.Duration(wait))
	}
}

// deaf is a port that takes nothing.
type deaf struct{ *paper }

func (deaf) write([]byte) (int, error) { return 0, nil }
