package clocks_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness/clocks"
)

// network is a pair of clocks with a line between them, seeded.
type network struct {
	rnd      *rand.Rand
	offset   float64       // ns, remote less local at 0
	drift    float64       // of the remote clock
	out, way time.Duration // least time there and back
	jitter   time.Duration // mean of what is added to it, each way
	step     time.Duration // of the remote clock
	at       int64         // when it is stepped; 0 never
}

// remote returns what the remote clock shows at a local instant.
func (n *network) remote(local int64) int64 {
	r := int64(math.Round(n.offset + float64(local)*(1+n.drift)))
	if n.at > 0 && local >= n.at {
		r += int64(n.step)
	}
	return r
}

func (n *network) delay(least time.Duration) int64 {
	d := float64(least) + n.rnd.ExpFloat64()*float64(n.jitter)
	if n.rnd.IntN(50) == 0 { // a stall
		d += n.rnd.Float64() * 50 * float64(n.jitter)
	}
	return int64(d)
}

// probe makes one exchange that leaves at a local instant.
func (n *network) probe(sent int64) clocks.Exchange {
	got := sent + n.delay(n.out)
	answered := got + int64(n.rnd.IntN(50_000))
	return clocks.Exchange{Sent: sent, Got: n.remote(got), Answered: n.remote(answered), Returned: answered + n.delay(n.way)}
}

func (n *network) probes(from, length, every time.Duration) (all []clocks.Exchange) {
	for at := from; at < from+length; at += every {
		all = append(all, n.probe(int64(at)))
	}
	return all
}

func networks(seed uint64) *network {
	rnd := rand.New(rand.NewPCG(seed, 1))
	return &network{
		rnd: rnd, offset: (rnd.Float64() - 0.5) * 1e14, drift: (rnd.Float64() - 0.5) * 900e-6,
		out: time.Duration(rnd.IntN(20_000_000)), way: time.Duration(rnd.IntN(20_000_000)), jitter: time.Duration(1 + rnd.IntN(3_000_000)),
	}
}

// The true instant is always within the uncertainty, whatever the network: at
// exchanges, between them, before the first and after the last.
func TestLocalIsWithinItsUncertainty(t *testing.T) {
	for seed := range uint64(200) {
		n := networks(seed)
		m, err := clocks.Fit(n.probes(time.Second, time.Minute, 100*time.Millisecond), 0)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if low, high := m.Drift(); -n.drift/(1+n.drift) < low-1e-9 || -n.drift/(1+n.drift) > high+1e-9 {
			t.Errorf("seed %d: drift %v is outside of [%v, %v]", seed, n.drift, low, high)
		}
		last := int64(math.MinInt64)
		for range 300 {
			at := int64(n.rnd.Float64() * float64(70*time.Second))
			remote := n.remote(at)
			off := time.Duration(m.Local(remote) - at).Abs()
			if u := m.Uncertainty(remote); off > u {
				t.Fatalf("seed %d: %v is off by %v, stated are %v (out %v, back %v, jitter %v, drift %v)", seed, time.Duration(at), off, u, n.out, n.way, n.jitter, n.drift)
			}
			if low, high := m.Offset(remote); time.Duration(at-remote) < low || time.Duration(at-remote) > high {
				t.Fatalf("seed %d: offset %v at %v is outside of [%v, %v]", seed, at-remote, time.Duration(at), low, high)
			}
			last = max(last, at)
		}
	}
}

// Instants of one clock keep their order.
func TestLocalKeepsOrder(t *testing.T) {
	for seed := range uint64(50) {
		n := networks(seed)
		m, err := clocks.Fit(n.probes(0, 10*time.Second, 100*time.Millisecond), 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			a := n.remote(int64(n.rnd.Float64() * 2e10))
			if b := a + int64(n.rnd.IntN(100)); m.Local(b) < m.Local(a) {
				t.Fatalf("seed %d: %d before %d became %d after %d", seed, a, b, m.Local(a), m.Local(b))
			}
		}
	}
}

// On a quiet line the bound is half of the least round trip, and no asymmetry
// is mistaken for something that was measured.
func TestUncertaintyIsHalfTheRoundTrip(t *testing.T) {
	n := networks(7)
	n.out, n.way, n.jitter, n.drift = 20*time.Millisecond, 12*time.Millisecond, time.Nanosecond, 0 // as over a cellular network
	m, err := clocks.Fit(n.probes(0, time.Minute, 50*time.Millisecond), 0)
	if err != nil {
		t.Fatal(err)
	}
	remote := n.remote(int64(30 * time.Second))
	u, off := m.Uncertainty(remote), time.Duration(m.Local(remote)-int64(30*time.Second)).Abs()
	if u < 16*time.Millisecond || u > 16*time.Millisecond+200*time.Microsecond {
		t.Errorf("uncertainty %v with a round trip of 32 ms", u)
	}
	if off < 3*time.Millisecond || off > 5*time.Millisecond {
		t.Errorf("off by %v; the asymmetry of 8 ms makes 4 ms of it, which nobody can know", off)
	}
	if trip := m.RoundTrip(); trip < 32*time.Millisecond || trip > 32*time.Millisecond+200*time.Microsecond {
		t.Errorf("least round trip %v", trip)
	}
}

// Away from all exchanges the uncertainty grows with the rate bound.
func TestUncertaintyGrows(t *testing.T) {
	n := networks(3)
	n.drift = 0
	first := n.probes(0, time.Second, 50*time.Millisecond)
	m, err := clocks.Fit(append(first, n.probes(9*time.Second, time.Second, 50*time.Millisecond)...), 100e-6)
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) time.Duration { return m.Uncertainty(n.remote(int64(d))) }
	if within, between := at(500*time.Millisecond), at(5*time.Second); between < within+200*time.Microsecond {
		t.Errorf("4 s from any exchange the uncertainty is %v, beside one %v; at 100 ppm it is to grow by 400 µs", between, within)
	}
	if end, after := at(10*time.Second), at(20*time.Second); after < end+999*time.Microsecond || after > end+2*time.Millisecond {
		t.Errorf("10 s after the last exchange the uncertainty is %v, at it %v; at 100 ppm it is to grow by 1 ms", after, end)
	}
}

// A step of more than the round trip is always found, and named.
func TestStepIsRefused(t *testing.T) {
	for seed := range uint64(200) {
		n := networks(seed)
		n.at = int64(10*time.Second) + n.rnd.Int64N(int64(40*time.Second))
		n.step = 2 * (n.out + n.way + 8*n.jitter + 60*time.Millisecond)
		if seed%2 == 1 {
			n.step = -n.step
		}
		m, err := clocks.Fit(n.probes(0, time.Minute, 100*time.Millisecond), 0)
		if !errors.Is(err, clocks.ErrUnsteady) {
			t.Fatalf("seed %d: a step of %v gave %v, %v", seed, n.step, m, err)
		}
		if !strings.Contains(err.Error(), "a step") {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// A clock that is slewed for a while is no steady one.
func TestSlewIsRefused(t *testing.T) {
	n := networks(5)
	n.out, n.way, n.jitter, n.drift = 100*time.Microsecond, 100*time.Microsecond, time.Microsecond, 0
	all := n.probes(0, 10*time.Second, 100*time.Millisecond)
	n.drift = 400e-6 // from 0 on: the clock bends at 10 s
	n.offset -= 400e-6 * 10e9
	all = append(all, n.probes(10*time.Second, 10*time.Second, 100*time.Millisecond)...)
	if _, err := clocks.Fit(all, 0); !errors.Is(err, clocks.ErrUnsteady) {
		t.Errorf("error is %v", err)
	}
}

// A drift beyond the rate bound is refused too.
func TestDriftBeyondTheBoundIsRefused(t *testing.T) {
	n := networks(5)
	n.drift, n.jitter, n.out, n.way = 900e-6, 1000, time.Millisecond, time.Millisecond
	if _, err := clocks.Fit(n.probes(0, time.Minute, 100*time.Millisecond), 0); !errors.Is(err, clocks.ErrUnsteady) {
		t.Errorf("error is %v", err)
	}
}

func TestRefusals(t *testing.T) {
	ok := networks(1).probes(0, time.Second, 100*time.Millisecond)
	with := func(e clocks.Exchange) []clocks.Exchange { return append(slices.Clone(ok), e) }
	for name, c := range map[string]struct {
		exchanges []clocks.Exchange
		rate      float64
		want      error
	}{
		"none":           {nil, 0, clocks.ErrFew},
		"three":          {ok[:3], 0, clocks.ErrFew},
		"answer first":   {with(clocks.Exchange{Sent: 1, Got: 20, Answered: 10, Returned: 2}), 0, clocks.ErrImpossible},
		"back before":    {with(clocks.Exchange{Sent: 5, Got: 1, Answered: 2, Returned: 4}), 0, clocks.ErrImpossible},
		"out of time":    {with(clocks.Exchange{Sent: math.MinInt64, Returned: math.MaxInt64}), 0, clocks.ErrImpossible},
		"negative trips": {with(clocks.Exchange{Sent: ok[0].Sent, Got: ok[0].Got, Answered: ok[0].Answered + 1e9, Returned: ok[0].Returned}), 0, clocks.ErrUnsteady},
	} {
		if _, err := clocks.Fit(c.exchanges, c.rate); !errors.Is(err, c.want) {
			t.Errorf("%s: error is %v, not %v", name, err, c.want)
		}
	}
	for _, rate := range []float64{-1, 1, math.NaN(), math.Inf(1)} {
		if _, err := clocks.Fit(ok, rate); err == nil {
			t.Errorf("rate bound %v is taken", rate)
		}
	}
}

// The mapping does not depend on the order in which exchanges are given.
func TestOrderOfExchangesDoesNotMatter(t *testing.T) {
	n := networks(11)
	all := n.probes(0, time.Minute, time.Second)
	m, err := clocks.Fit(all, 0)
	if err != nil {
		t.Fatal(err)
	}
	n.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	shuffled, err := clocks.Fit(all, 0)
	if err != nil {
		t.Fatal(err)
	}
	for at := range int64(70) {
		remote := n.remote(at * 1e9)
		if m.Local(remote) != shuffled.Local(remote) || m.Uncertainty(remote) != shuffled.Uncertainty(remote) {
			t.Fatalf("at %d s: %d ± %v and %d ± %v", at, m.Local(remote), m.Uncertainty(remote), shuffled.Local(remote), shuffled.Uncertainty(remote))
		}
	}
}

func TestWriteAndRead(t *testing.T) {
	all := append(networks(2).probes(0, time.Minute, time.Second), clocks.Exchange{Sent: math.MinInt64, Returned: math.MaxInt64})
	var text strings.Builder
	if err := clocks.Write(&text, all); err != nil {
		t.Fatal(err)
	}
	got, err := clocks.Read(strings.NewReader(text.String()))
	if err != nil || !slices.Equal(got, all) {
		t.Fatalf("read %d of %d exchanges, %v", len(got), len(all), err)
	}
	for _, bad := range []string{"[1,2,3]\n", "[1,2,3,4,5]\n", "[1,2,3,4]\n[1,2", "[1,2,3,4.5]\n", "{}\n", "\n", "[1,2,3,1e99]\n", strings.Repeat(" ", 300) + "[1,2,3,4]\n"} {
		if got, err := clocks.Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%.30q gives %v", bad, got)
		}
	}
}
