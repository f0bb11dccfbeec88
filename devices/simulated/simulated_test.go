package simulated_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/simulated"
)

func twin(tb testing.TB, kind simulated.Kind, seed uint64) *simulated.Twin {
	tb.Helper()
	tw, err := simulated.New(kind, string(kind), seed, simulated.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return tw
}

// get returns a number of a sample.
func get(tb testing.TB, s devices.Sample, name string) float64 {
	tb.Helper()
	for _, v := range s.Values {
		if v.Name == name && !v.IsText {
			return v.Number
		}
	}
	tb.Fatalf("no number %q in %+v", name, s.Values)
	return 0
}

func TestConforms(t *testing.T) {
	for _, kind := range simulated.Kinds() {
		t.Run(string(kind), func(t *testing.T) { devicetest.ConformScheduled(t, twin(t, kind, 5)) })
	}
}

func TestSeedsDiffer(t *testing.T) {
	for _, kind := range simulated.Kinds() {
		a, b := twin(t, kind, 1), twin(t, kind, 2)
		same := 0
		for seq := uint64(1); seq <= 300; seq++ {
			due := time.Duration(seq) * time.Second
			if reflect.DeepEqual(a.Sample(seq, due).Values, b.Sample(seq, due).Values) {
				same++
			}
		}
		if same > 290 {
			t.Errorf("%s: two seeds agree in %d of 300 samples", kind, same)
		}
		if a.Schedule().Phase == b.Schedule().Phase {
			t.Errorf("%s: two seeds have the same phase", kind)
		}
	}
}

// TestModelsArePlausible walks each model through two days.
func TestModelsArePlausible(t *testing.T) {
	limits := map[simulated.Kind]map[string][2]float64{
		simulated.Temperature: {"temperature": {10, 32}, "humidity": {0, 100}},
		simulated.Vibration:   {"rms": {0, 5}, "peak": {0, 40}, "frequency": {20, 55}},
		simulated.GPS:         {"lat": {-61, 61}, "lon": {-180, 180}, "speed": {0, 60}, "course": {0, 360}, "satellites": {4, 14}, "altitude": {-10, 920}},
		simulated.Power:       {"voltage": {220, 240}, "current": {0, 30}, "power": {0, 6000}, "energy": {1000, 40000}},
		simulated.Door:        {"open_seconds": {0, 60}},
	}
	for kind, want := range limits {
		for seed := uint64(1); seed <= 8; seed++ {
			tw := twin(t, kind, seed)
			for seq := uint64(1); seq < 2000; seq++ {
				s := tw.Sample(seq, time.Duration(seq)*86*time.Second)
				for name, l := range want {
					if v := get(t, s, name); v < l[0] || v > l[1] {
						t.Fatalf("%s seed %d sample %d: %s is %v, want %v to %v", kind, seed, seq, name, v, l[0], l[1])
					}
				}
			}
		}
	}
}

func TestEnergyIsTheIntegralOfPower(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		tw := twin(t, simulated.Power, seed)
		const steps, step = 20_000, 100 * time.Millisecond
		joules, last := 0.0, 0.0
		start := get(t, tw.Sample(1, 0), "energy")
		for i := range uint64(steps) {
			s := tw.Sample(i+1, time.Duration(i)*step)
			joules += get(t, s, "power") * step.Seconds()
			if e := get(t, s, "energy"); e < last {
				t.Fatalf("seed %d: energy fell from %v to %v kWh", seed, last, e)
			} else {
				last = e
			}
		}
		register := (get(t, tw.Sample(1, steps*step), "energy") - start) * 3.6e6
		if diff := math.Abs(joules-register) / register; diff > 0.002 {
			t.Errorf("seed %d: the power sums to %.0f J, the register says %.0f J", seed, joules, register)
		}
	}
}

func TestSpeedAndCourseFollowTheTrack(t *testing.T) {
	tw := twin(t, simulated.GPS, 3)
	const step = 10 * time.Second
	for seq := uint64(1); seq <= 100; seq++ {
		a := tw.Sample(seq, time.Duration(seq)*step)
		b := tw.Sample(seq, time.Duration(seq)*step+step)
		north := (get(t, b, "lat") - get(t, a, "lat")) * 111_320
		east := (get(t, b, "lon") - get(t, a, "lon")) * 111_320 * math.Cos(get(t, a, "lat")*math.Pi/180)
		travelled := math.Hypot(north, east) / step.Seconds()
		said := (get(t, a, "speed") + get(t, b, "speed")) / 2
		if math.Abs(travelled-said) > 1+said*0.1 {
			t.Errorf("sample %d: the track moves at %.2f m/s, the speed says %.2f", seq, travelled, said)
		}
	}
}

func TestDoorOpensAndCloses(t *testing.T) {
	tw := twin(t, simulated.Door, 9)
	open, changes, last := 0, 0, ""
	const n = 3600
	for seq := uint64(1); seq <= n; seq++ {
		state := tw.Sample(seq, time.Duration(seq)*time.Second).Values[0].Text
		if state != "open" && state != "closed" {
			t.Fatalf("contact is %q", state)
		}
		if state == "open" {
			open++
		}
		if last != "" && state != last {
			changes++
		}
		last = state
	}
	if open == 0 || open == n || changes < 20 {
		t.Errorf("in an hour the door was open for %d s and changed %d times", open, changes)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		kind simulated.Kind
		opts simulated.Options
		want string
	}{
		{"rain", simulated.Options{}, `no kind is called "rain"; known are`},
		{simulated.GPS, simulated.Options{Period: -1}, "must not be negative"},
		{simulated.GPS, simulated.Options{Phase: -1}, "must not be negative"},
	} {
		if _, err := simulated.New(c.kind, "x", 1, c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %+v: %v, want an error that says %q", c.kind, c.opts, err, c.want)
		}
	}
}

func TestFleet(t *testing.T) {
	fleet, err := simulated.Fleet(12, 7, simulated.FleetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ids, kinds, serials := map[string]bool{}, map[string]int{}, map[string]bool{}
	for _, d := range fleet {
		ids[d.Info().ID], serials[d.Info().Serial] = true, true
		kinds[d.Info().Kind]++
	}
	if len(ids) != 12 || len(serials) != 12 || len(kinds) != 5 {
		t.Errorf("%d ids, %d seeds, kinds %v; want 12, 12 and 5 kinds", len(ids), len(serials), kinds)
	}
	again, err := simulated.Fleet(12, 7, simulated.FleetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range fleet {
		if !reflect.DeepEqual(fleet[i].Sample(3, time.Minute), again[i].Sample(3, time.Minute)) {
			t.Errorf("%s differs between two fleets of one seed", fleet[i].Info().ID)
		}
	}
	if _, err := simulated.Fleet(-1, 1, simulated.FleetOptions{}); err == nil {
		t.Error("a fleet of -1 twins is no error")
	}
	if _, err := simulated.Fleet(1, 1, simulated.FleetOptions{Kinds: []simulated.Kind{"rain"}}); err == nil {
		t.Error("a fleet of an unknown kind is no error")
	}
}

func TestNMEAOfTheTwinDecodes(t *testing.T) {
	tw := twin(t, simulated.GPS, 4)
	at := time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC)
	for seq := uint64(1); seq <= 500; seq++ {
		s := tw.Sample(seq, time.Duration(seq)*time.Second)
		text := simulated.AppendNMEA(nil, s, at.Add(time.Duration(seq)*time.Second))
		lines := strings.Split(strings.TrimSpace(string(text)), "\r\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines: %q", len(lines), text)
		}
		for _, line := range lines {
			if len(line) > 80 { // 82 with CR LF: IEC 61162-1, 7.3
				t.Errorf("line of %d characters: %q", len(line), line)
			}
			if _, err := (codec.NMEA0183{}).Decode([]byte(line)); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
		values, err := codec.NMEA0183{}.Decode([]byte(lines[1]))
		if err != nil {
			t.Fatal(err)
		}
		gga := devices.Sample{Values: values}
		for _, name := range []string{"lat", "lon"} {
			if d := get(t, gga, name) - get(t, s, name); math.Abs(d) > 1e-6 {
				t.Errorf("%s of the sentence is off by %v degrees", name, d)
			}
		}
	}
}

func BenchmarkSample(b *testing.B) {
	for _, kind := range simulated.Kinds() {
		tw := twin(b, kind, 1)
		b.Run(string(kind), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				_ = tw.Sample(uint64(i+1), time.Duration(i)*time.Millisecond)
			}
		})
	}
}

// A pty twin of a receiver sends what AppendNMEA makes of each sample.
func ExampleAppendNMEA() {
	tw, err := simulated.New(simulated.GPS, "gps", 2026, simulated.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)
	text := simulated.AppendNMEA(nil, tw.Sample(1, 0), at)
	fmt.Println(strings.Count(string(text), "\n"), "sentences, the first", string(text[:17]))
	// Output: 3 sentences, the first $GPRMC,120000.00,
}
