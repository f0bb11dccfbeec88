package scenarios_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"

	_ "plumbline/scenarios"
)

func rigOf(t *testing.T, name string) *harness.Rig {
	t.Helper()
	p, err := spec.Catalogue().Load(name)
	if err != nil {
		t.Fatal(err)
	}
	rig, err := harness.NewRig(harness.Config{Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	return rig
}

// Bind refuses a requirement without a scenario, a scenario with an unknown
// requirement and an unknown load, so this proves all three for the catalogue.
func TestEveryRequirementHasAScenarioAndTheOtherWayRound(t *testing.T) {
	for _, name := range profile.Names() {
		all, err := spec.Bind(rigOf(t, name))
		if err != nil {
			t.Fatal(err)
		}
		least := 10
		if name == "soak" || name == "hardware" || name == "approaches" || name == "cluster" || name == "crowd" { // ask for what only hours show, for serial devices, for a comparison, of several bridges and of a crowd behind them
			least = 1
		}
		if len(all) < least {
			t.Errorf("profile %s: %d scenarios", name, len(all))
		}
		for _, sc := range all {
			if sc.Title == "" || sc.Guarantee() == "" {
				t.Errorf("scenario %q has no title or guarantee", sc.ID)
			}
		}
	}
}

// What issue and design ask for, by id: taking one away must break the build.
func TestTheCatalogueHoldsWhatWasPromised(t *testing.T) {
	want := strings.Fields("LAT-01 LAT-02 LAT-03 LAT-04 LAT-05 LAT-06 LAT-07 LAT-08 LAT-09 DEL-01 DEL-02 DEL-03 DEL-04 DEL-05 DEL-06 DEL-07 DEL-08 " +
		"ORD-01 ORD-02 ORD-03 ORD-04 INT-01 INT-02 INT-03 INT-04 INT-05 STA-01 STA-02 STA-03 REC-01 REC-02 REC-03 REC-04 REC-05 REC-06 REC-07 REC-08 REC-09 " +
		"RES-01 RES-02 RES-03 RES-04 RES-05 RES-06 RES-07 " +
		"SEC-01 SEC-02 SEC-03 SEC-04 SEC-05 SEC-06 SEC-07 SEC-08 SEC-09 SEC-10 SEC-11 SEC-12 SEC-13 SEC-14 PRO-01 PRO-03 HIL-01 HIL-02 HIL-03 HW-01 HW-02 HW-03 HW-04 HW-05 HW-06 HW-07 HW-08 HW-09 RIG-01 CAP-01 APP-01 APP-02 SCA-01 SCA-02 SCA-03 SCA-04 SCA-05 SCA-06 SCA-07 SCA-08 SCA-09 SCA-10 SCA-11 SCA-12 SCA-13 SCA-14 SCA-15 SCA-16")
	var have []string
	for _, k := range spec.Catalogue().Requirements {
		r := k.Requirement
		have = append(have, r.ID)
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
		if strings.Count(r.Text, " shall ") != 1 {
			t.Errorf("%s: a requirement says shall once: %q", r.ID, r.Text)
		}
		if r.Measurand == "" || r.Source == "" || r.Since == "" || r.MinSamples < 1 || r.Title == "" {
			t.Errorf("%s: incomplete record %+v", r.ID, r)
		}
		if r.Rule == "DR-2" && r.Quantile == 0 {
			t.Errorf("%s: DR-2 needs a quantile", r.ID)
		}
		if r.Class == reports.Conditional && !slices.Contains(append(sut.Capabilities(), sut.Derived()...), r.Capability) {
			t.Errorf("%s: capability %q is none that a descriptor can claim or that follows from it", r.ID, r.Capability)
		}
	}
	for _, id := range want {
		if !slices.Contains(have, id) {
			t.Errorf("%s is missing", id)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(have)))) != len(have) {
		t.Errorf("an id is used twice: %v", have)
	}
}

func TestProfiles(t *testing.T) {
	for name, certifies := range map[string]bool{
		"smoke": false, "hardware": false, "approaches": false, "cluster": false, "crowd": false, "ci": true, "bench": true, "soak": false, "railway": true, "industrial": true, "building": true, "web": true,
	} {
		p, err := spec.Catalogue().Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != name || p.Certifies != certifies {
			t.Errorf("profile %s calls itself %q and certifies: %v", name, p.Name, p.Certifies)
		}
	}
	for _, name := range []string{"bench", "railway", "industrial", "building", "web"} {
		p, err := spec.Catalogue().Load(name)
		if err != nil {
			t.Fatal(err)
		}
		// Decision 6 of metrology section 0.
		l := p.Limits
		if l["LAT-02"].Samples < 10_000 || l["LAT-03"].Samples < 30_000 || l["LAT-04"].Samples < 46_050 || l["DEL-01"].Samples < 46_050 || p.Loads["steady"].Runs < 5 {
			t.Errorf("%s takes fewer samples or runs than metrology asks for", name)
		}
		if p.Loads["kill"].Cycles < 20 {
			t.Errorf("%s kills the bridge %d times, 20 were promised", name, p.Loads["kill"].Cycles)
		}
		all := slices.DeleteFunc(spec.Catalogue().Requirements, func(k profile.Known) bool { return k.Requirement.Family() == "APP" || k.Requirement.Family() == "SCA" }) // one profile of its own asks for each of these families
		if p.Certifies != (len(l) == len(all)) {
			t.Errorf("%s has %d limits for %d requirements", name, len(l), len(all))
		}
	}
}

// A clock that is stepped too shortly for the samples that RES-06 asks for could
// never be decided.
func TestEveryProfileStepsTheClockLongEnough(t *testing.T) {
	for _, name := range profile.Names() {
		p, err := spec.Catalogue().Load(name)
		if err != nil {
			t.Fatal(err)
		}
		l := p.Loads["clockstep"]
		if owed := l.Rate * float64(2*l.Cycles) * l.Hold.Seconds() * float64(l.Viewers); owed < float64(p.Limits["RES-06"].Samples) {
			t.Errorf("%s owes %.0f deliveries while the clock is wrong and after, and asks for %d", name, owed, p.Limits["RES-06"].Samples)
		}
	}
}

// A load that connects less often than LAT-08 asks for could never decide it.
func TestTooFewConnectionsAreRefused(t *testing.T) {
	p, err := spec.Catalogue().Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	few := regexp.MustCompile(`(connect: .* cycles: )\d+`).ReplaceAllString(string(p.Source), "${1}1")
	if _, err := spec.Catalogue().Parse("few.yaml", []byte(few)); err == nil || !strings.Contains(err.Error(), "limits.LAT-08.samples") {
		t.Errorf("one connection: %v", err)
	}
}

// One device leaves nobody whom another tenant must not see.
func TestTooFewDevicesAreRefused(t *testing.T) {
	p, err := spec.Catalogue().Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	for devices, refused := range map[string]bool{"1": true, "2": false} {
		text := regexp.MustCompile(`(security: *\{devices: )\d+`).ReplaceAllString(string(p.Source), "${1}"+devices)
		_, err := spec.Catalogue().Parse("few.yaml", []byte(text))
		if got := err != nil && strings.Contains(err.Error(), "loads.security.devices"); got != refused || !refused && err != nil {
			t.Errorf("%s devices: %v", devices, err)
		}
	}
}

func TestListSelectsByLabel(t *testing.T) {
	p, err := spec.Catalogue().Load("ci")
	if err != nil {
		t.Fatal(err)
	}
	for filter, want := range map[string][]string{
		"steady":                           {"steady"},
		"LAT":                              {"steady", "page", "connect", "live"},
		"browser":                          {"page", "guests"},
		"INT || ORD && STA":                {"payloads", "late"},
		"req: containsAny {DEL-04}":        {"kill"},
		"tier: isSubsetOf {check}":         {"freeze"},
		"SEC && !tenants && !admission":    {"sessions", "guests"},
		"REC && req: containsAny {DEL-02}": {"client"},
	} {
		got, err := spec.List(p, filter)
		if err != nil {
			t.Errorf("filter %q: %v", filter, err)
			continue
		}
		var ids []string
		for _, sc := range got {
			ids = append(ids, sc.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("filter %q selects %v, want %v", filter, ids, want)
		}
	}
	for _, filter := range []string{"nosuch", "LAT &&", "(LAT"} {
		if got, err := spec.List(p, filter); err == nil {
			t.Errorf("filter %q selected %d scenarios", filter, len(got))
		}
	}
}
