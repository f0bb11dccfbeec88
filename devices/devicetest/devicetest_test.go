package devicetest_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/devicetest"
)

// fake is a device that keeps the contract, and can be told to break it.
type fake struct {
	info   devices.Info
	seq    uint64
	ended  atomic.Bool
	breaks string
	shared []byte
}

func newFake(breaks string) *fake {
	return &fake{info: devices.Info{ID: "f", Kind: "fake", Mode: devices.Sim}, breaks: breaks, shared: []byte("raw")}
}

func (f *fake) Info() devices.Info { return f.info }

func (f *fake) Read(ctx context.Context) (devices.Sample, error) {
	if f.breaks != "ignores context" && ctx.Err() != nil {
		return devices.Sample{}, ctx.Err()
	}
	if f.ended.Load() && f.breaks != "reads after close" {
		return devices.Sample{}, devices.ErrClosed
	}
	f.seq++
	at := time.Duration(f.seq)
	s := devices.Sample{Seq: f.seq, First: at, Last: at, Raw: []byte("raw"), Values: []devices.Value{{Name: "v", Number: 1}}}
	switch f.breaks {
	case "repeats numbers":
		s.Seq = 1
	case "starts at 2":
		s.Seq++
	case "first after last":
		s.First = at + 1
	case "stamps fall":
		s.First, s.Last = 100-at, 100-at
	case "no bytes":
		s.Raw = nil
	case "gives NaN":
		s.Values[0].Number = math.NaN()
	case "value without name":
		s.Values[0].Name = ""
	case "text and number":
		s.Values[0].IsText = true
	case "shares its buffer":
		copy(f.shared, "raw")
		s.Raw = f.shared
	}
	return s, nil
}

func (f *fake) Counters() devices.Counters {
	c := devices.Counters{Good: 1000, Bytes: 1 << 20}
	switch f.breaks {
	case "counts too little":
		c.Good = 0
	case "counts no bytes":
		c.Bytes = 0
	case "keeps no evidence":
		c.Damaged = 1
	}
	return c
}

func (f *fake) Damages() []devices.Damage {
	if f.breaks == "damage without reason" {
		return []devices.Damage{{Raw: []byte("x")}}
	}
	return nil
}

func (f *fake) Close() error {
	if f.breaks == "second close fails" && f.ended.Load() {
		return errors.New("closed already")
	}
	f.ended.Store(true)
	return nil
}

// failures runs all checks and returns those that failed.
func failures(t *testing.T, f func() *fake) map[string]error {
	t.Helper()
	failed := map[string]error{}
	for _, c := range devicetest.Checks() {
		if err := c.Run(t.Context(), f(), 3); err != nil {
			failed[c.Name] = err
		}
	}
	return failed
}

func TestAGoodDevicePasses(t *testing.T) {
	if got := failures(t, func() *fake { return newFake("") }); len(got) > 0 {
		t.Errorf("a device that keeps the contract fails: %v", got)
	}
}

// TestEachBreachIsFound: every broken device fails exactly the check that names
// its breach.
func TestEachBreachIsFound(t *testing.T) {
	for _, c := range []struct{ breaks, check, says string }{
		{"repeats numbers", "numbers and stamps its samples", "Seq must rise"},
		{"starts at 2", "numbers and stamps its samples", "want 1"},
		{"first after last", "numbers and stamps its samples", "first byte at"},
		{"stamps fall", "numbers and stamps its samples", "must not fall"},
		{"no bytes", "numbers and stamps its samples", "no raw bytes"},
		{"gives NaN", "numbers and stamps its samples", "is NaN"},
		{"value without name", "numbers and stamps its samples", "without name"},
		{"text and number", "numbers and stamps its samples", "text and number at once"},
		{"shares its buffer", "gives each sample's bytes away", "changed the bytes"},
		{"damage without reason", "gives each sample's bytes away", "no reason"},
		{"counts too little", "counts what it delivers", "0 good"},
		{"counts no bytes", "counts what it delivers", "counters say 0"},
		{"keeps no evidence", "counts what it delivers", "no evidence"},
		{"ignores context", "lets a context end Read", "want context.Canceled"},
		{"reads after close", "closes twice and stays closed", "want devices.ErrClosed"},
		{"second close fails", "closes twice and stays closed", "close number 2"},
	} {
		t.Run(c.breaks, func(t *testing.T) {
			if c.breaks == "reads after close" {
				// Its reader never ends; only the check of the closed device is run.
				check(t, c.check, newFake(c.breaks), c.says)
				return
			}
			got := failures(t, func() *fake { return newFake(c.breaks) })
			if err := got[c.check]; len(got) != 1 || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("failed checks %v, want only %q saying %q", got, c.check, c.says)
			}
		})
	}
	for _, info := range []devices.Info{{Kind: "k", Mode: devices.Sim}, {ID: "i", Mode: devices.Sim}, {ID: "i", Kind: "k", Mode: "maybe"}} {
		f := newFake("")
		f.info = info
		check(t, "says what it is", f, "info: ")
	}
}

// check runs one check and wants it to fail.
func check(t *testing.T, name string, f *fake, says string) {
	t.Helper()
	for _, c := range devicetest.Checks() {
		if c.Name != name {
			continue
		}
		if err := c.Run(t.Context(), f, 3); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want an error that says %q", name, err, says)
		}
		return
	}
	t.Fatalf("there is no check %q", name)
}

// source is a scheduled source that can be told to break the contract.
type source struct {
	breaks string
	calls  *atomic.Uint64
}

func (s source) Info() devices.Info {
	return devices.Info{ID: "s", Kind: "fake", Mode: devices.Sim}
}

func (s source) Schedule() devices.Schedule {
	sc := devices.Schedule{Period: time.Second}
	switch s.breaks {
	case "no period":
		sc.Period = 0
	case "negative phase":
		sc.Phase = -1
	case "dither too large":
		sc.Dither = time.Second / 2
	}
	return sc
}

func (s source) Sample(seq uint64, due time.Duration) devices.Sample {
	out := devices.Sample{Seq: seq, First: due, Last: due, Values: []devices.Value{{Name: "v", Number: float64(seq)}}}
	switch s.breaks {
	case "wrong seq":
		out.Seq++
	case "wrong stamp":
		out.Last++
	case "no values":
		out.Values = nil
	case "same name twice":
		out.Values = append(out.Values, out.Values[0])
	case "has state":
		out.Values[0].Number = float64(s.calls.Add(1))
	case "says nothing":
		out.Values[0].Number = 1
	}
	return out
}

func TestEachBreachOfAScheduleIsFound(t *testing.T) {
	run := func(breaks string) map[string]error {
		failed := map[string]error{}
		for _, c := range devicetest.ScheduledChecks() {
			if err := c.Run(source{breaks, new(atomic.Uint64)}); err != nil {
				failed[c.Name] = err
			}
		}
		return failed
	}
	if got := run(""); len(got) > 0 {
		t.Errorf("a source that keeps the contract fails: %v", got)
	}
	for breaks, says := range map[string]string{
		"no period": "must be positive", "negative phase": "must not be negative", "dither too large": "change places",
		"wrong seq": "has Seq", "wrong stamp": "is stamped", "no values": "has no values",
		"same name twice": "two values called", "has state": "asked twice", "says nothing": "nothing is measured",
	} {
		got := run(breaks)
		found := false
		for _, err := range got {
			found = found || strings.Contains(err.Error(), says)
		}
		if !found {
			t.Errorf("%s: failed checks %v, want one that says %q", breaks, got, says)
		}
	}
}
