package seal

import (
	"path/filepath"
	"testing"
	"time"

	"plumbline/reports"
)

// TestWhatIsAskedOfATime: a report, too, was not there before it was issued, and a root
// vouches for nobody when its own time is over.
func TestWhatIsAskedOfATime(t *testing.T) {
	l := newLab(t)
	run := withEvidence(t)
	run.Results[0].Verdict = reports.Fail // a report without a certificate
	run.Overall = run.Judge()
	dir, _ := l.issued(t, run)
	alone := t.TempDir()
	put(t, alone, DetailFile, get(t, dir, DetailFile))
	for name, c := range map[string]struct {
		at     time.Time
		file   string
		reason Reason // "" when it verifies
	}{
		"nobody asks of a time":     {time.Time{}, "", ""},
		"when it was issued":        {terms().Issued, "", ""},
		"years later":               {epoch.AddDate(9, 0, 0), "", ""}, // the keys were good when they signed
		"before it was issued":      {terms().Issued.Add(-time.Second), DetailFile, ReasonNotYet},
		"before the root was there": {epoch.Add(-time.Hour), KeysFile, ReasonNotYet},
		"when the root is over":     {epoch.AddDate(10, 0, 0), KeysFile, ReasonExpired},
	} {
		trust := l.trust()
		trust.At, trust.List = c.at, l.signer.Keys
		_, whole := Check(t.Context(), dir, trust)
		_, single := CheckSingle(t.Context(), filepath.Join(alone, DetailFile), trust)
		for what, err := range map[string]error{"the run": whole, "the statement": single} {
			switch {
			case c.reason != "" && err != nil:
				wantProblem(t, err, c.file, c.reason)
			case c.reason != "" || err != nil:
				t.Errorf("%s, %s: %v, want %q", name, what, err, c.reason)
			}
		}
	}
	// Whoever pins the key itself asks no root.
	if _, err := Check(t.Context(), dir, Trust{Key: public(l.signer.Key), At: epoch.AddDate(10, 0, 0)}); err != nil {
		t.Errorf("with a pinned key: %v", err)
	}
	// A run that was sealed alone bears the date of its end.
	plain, key := runDir(t, sampleRun())
	if err := Seal(t.Context(), plain, key, sampleRun()); err != nil {
		t.Fatal(err)
	}
	_, err := Check(t.Context(), plain, Trust{Key: public(key), At: sampleRun().Finished.Add(-time.Second)})
	wantProblem(t, err, EnvelopeFile, ReasonNotYet)
}
