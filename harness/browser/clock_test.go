package browser

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"plumbline/harness/clocks"
)

// exchanged makes exchanges with a document that began at an instant of the run
// clock and whose clock shows steps.
func exchanged(rnd *rand.Rand, document int, began time.Duration, step time.Duration, n int) (all []clocks.Exchange) {
	at := int64(began) + int64(time.Second)
	for range n {
		sent := at
		answered := sent + int64(rnd.ExpFloat64()*float64(400*time.Microsecond))
		returned := answered + int64(rnd.ExpFloat64()*float64(400*time.Microsecond))
		shown := (answered - int64(began)) / int64(step) * int64(step)
		there := instant(document, float64(shown)/1e6)
		all = append(all, clocks.Exchange{Sent: sent, Got: there, Answered: there, Returned: returned})
		at = returned + int64(200*time.Millisecond)
	}
	return all
}

// The true instant is within what is stated, in every document and with either
// step of the clock.
func TestInstantsOfEveryDocumentAreMapped(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		step := []time.Duration{5 * time.Microsecond, 100 * time.Microsecond}[seed%2]
		began := []time.Duration{3 * time.Second, 40 * time.Second}
		m, err := Fit(append(exchanged(rnd, 1, began[0], step, 30), exchanged(rnd, 2, began[1], step, 30)...), step)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range 200 {
			of := rnd.IntN(2)
			own := time.Second + time.Duration(rnd.Int64N(int64(5*time.Second)))
			there := instant(of+1, float64(int64(own)/int64(step)*int64(step))/1e6)
			off := time.Duration(m.Local(there) - int64(began[of]+own)).Abs()
			if u := m.Uncertainty(there); off > u || u > 2*time.Millisecond {
				t.Fatalf("seed %d: document %d, %v is off by %v, stated are %v", seed, of+1, own, off, u)
			}
		}
		if a := m.Account(); a.Documents != 2 || a.Exchanges != 30 || a.RoundTrip < 0 {
			t.Errorf("seed %d: %+v", seed, a)
		}
	}
}

func TestADocumentWithoutExchangesHasNoMapping(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 7))
	all := append(exchanged(rnd, 1, 0, 5*time.Microsecond, 10), exchanged(rnd, 2, time.Minute, 5*time.Microsecond, 3)...)
	m, err := Fit(all, 5*time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	if m.Missing(instant(1, 10)) || !m.Missing(instant(2, 10)) || !m.Missing(instant(3, 10)) {
		t.Error("only the first document has a mapping")
	}
	if _, err := Fit(all[10:], 0); !errors.Is(err, clocks.ErrFew) {
		t.Errorf("three exchanges: %v", err)
	}
}

// A page's clock that stands still, as of a process that was stopped, is no clock.
func TestAStoppedClockIsRefused(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 7))
	all := exchanged(rnd, 1, 0, 5*time.Microsecond, 20)
	for i := 10; i < 20; i++ {
		all[i].Got -= int64(time.Second)
		all[i].Answered -= int64(time.Second)
	}
	if _, err := Fit(all, 5*time.Microsecond); !errors.Is(err, clocks.ErrUnsteady) {
		t.Errorf("a step of a second: %v", err)
	}
	all[0].Got = 5
	if _, err := Fit(all, 0); !errors.Is(err, clocks.ErrImpossible) {
		t.Errorf("an instant of no document: %v", err)
	}
}
