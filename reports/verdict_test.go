package reports

import (
	"encoding/json"
	"math"
	"testing"
)

var allVerdicts = []Verdict{NotRun, Pass, ConditionalPass, ConditionalFail, Inconclusive, Fail, Error, NotApplicable}

func TestZeroVerdictNeverPasses(t *testing.T) {
	var v Verdict
	if v != NotRun || v.String() != "NOT RUN" || v.ExitCode() == ExitPass {
		t.Fatalf("zero verdict is %v with exit code %d, want NOT RUN and not 0", v, v.ExitCode())
	}
}

func TestVerdictTextRoundTrip(t *testing.T) {
	for _, v := range allVerdicts {
		text, err := v.MarshalText()
		if err != nil {
			t.Fatalf("%d: %v", v, err)
		}
		var back Verdict
		if err := back.UnmarshalText(text); err != nil || back != v {
			t.Errorf("%s read back as %v, %v", text, back, err)
		}
	}
}

func TestVerdictRefusesUnknown(t *testing.T) {
	if _, err := Verdict(8).MarshalText(); err == nil {
		t.Error("undefined verdict 8 was written")
	}
	for _, text := range []string{"", "pass", "PASSED", "PASS ", "Verdict(8)"} {
		v := Fail
		if err := v.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, v)
		}
	}
	if got := Verdict(8).String(); got != "Verdict(8)" {
		t.Errorf("String of an undefined verdict = %q", got)
	}
}

// TestWorstIsOrder checks the published order against every pair, and that an
// undefined verdict is as bad as ERROR.
func TestWorstIsOrder(t *testing.T) {
	ascending := []Verdict{NotApplicable, Pass, NotRun, ConditionalPass, ConditionalFail, Inconclusive, Fail, Error}
	for i, a := range ascending {
		for j, b := range ascending {
			want := a
			if j > i {
				want = b
			}
			if got := Worst(a, b); got != want {
				t.Errorf("Worst(%v, %v) = %v, want %v", a, b, got, want)
			}
		}
	}
	if got := Worst(Fail, Verdict(99)); got != Verdict(99) {
		t.Errorf("Worst(FAIL, undefined) = %v, an undefined verdict must not be hidden", got)
	}
	if got := Worst(); got != NotRun {
		t.Errorf("Worst() = %v, want NOT RUN", got)
	}
}

func TestExitCodes(t *testing.T) {
	want := map[Verdict]int{Pass: 0, Fail: 1, Error: 5, NotRun: 3, ConditionalPass: 3, ConditionalFail: 3, Inconclusive: 3, NotApplicable: 3, Verdict(50): 3}
	for v, code := range want {
		if got := v.ExitCode(); got != code {
			t.Errorf("%v.ExitCode() = %d, want %d", v, got, code)
		}
	}
}

func TestFloatJSON(t *testing.T) {
	for _, c := range []struct {
		value float64
		text  string
	}{{1.5, "1.5"}, {0, "0"}, {math.Inf(1), `"+Inf"`}, {math.Inf(-1), `"-Inf"`}, {math.NaN(), "null"}, {1e-9, "1e-9"}} {
		text, err := json.Marshal(Float(c.value))
		if err != nil || string(text) != c.text {
			t.Errorf("Float(%v) = %s, %v, want %s", c.value, text, err, c.text)
		}
		var back Float
		if err := json.Unmarshal(text, &back); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := float64(back); got != c.value && !(math.IsNaN(got) && math.IsNaN(c.value)) {
			t.Errorf("%s read back as %v", text, got)
		}
	}
	for _, text := range []string{`"Inf"`, `"1"`, `true`, `{}`} {
		var f Float
		if err := json.Unmarshal([]byte(text), &f); err == nil {
			t.Errorf("%s was read as %v", text, f)
		}
	}
}

func TestFamily(t *testing.T) {
	for id, want := range map[string]string{"LAT-02": "LAT", "X": "X", "": "", "-1": ""} {
		if got := (Requirement{ID: id}).Family(); got != want {
			t.Errorf("Family of %q = %q, want %q", id, got, want)
		}
	}
}
