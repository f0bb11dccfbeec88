package hub

import (
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPacer(10_000, 5*time.Millisecond, now) // 50 tokens
	if p.wait(now) > 0 {
		t.Fatal("an idle hub waits")
	}
	p.spend(60)
	if w := p.wait(now); w < 999*time.Microsecond || w > 1001*time.Microsecond {
		t.Fatalf("10 frames owed at 10,000 a second: wait %v, want 1 ms", w)
	}
	if p.wait(now.Add(time.Millisecond+time.Microsecond)) > 0 {
		t.Fatal("still waiting when the debt is paid")
	}
	p.spend(100_000)
	if w := p.wait(now.Add(time.Millisecond)); w > 5*time.Millisecond {
		t.Fatalf("waits %v, more than the delay", w)
	}
	if p.wait(now.Add(time.Hour)) > 0 || p.tokens > 50 {
		t.Fatalf("%v tokens saved in an hour", p.tokens)
	}
	if p.wait(now) > 0 { // a clock that steps back harms nobody
		t.Fatal("waits after the clock stepped back")
	}
}
