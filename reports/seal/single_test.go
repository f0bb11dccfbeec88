package seal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/reports"
)

// TestSingle: a certificate that came by mail is verified without its run.
func TestSingle(t *testing.T) {
	l := newLab(t)
	dir, out := l.issued(t, withEvidence(t))
	trust := l.trust()
	trust.List = l.signer.Keys
	alone := t.TempDir()
	for _, name := range []string{CertificateFile, DetailFile, EnvelopeFile} {
		put(t, alone, name, get(t, dir, name))
	}
	path := filepath.Join(alone, CertificateFile)
	for name, by := range map[string]Trust{"root": trust, "key": {Key: public(l.signer.Key), At: trust.At}} {
		s, err := CheckSingle(t.Context(), path, by)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s.Certificate != out.ID || s.Run != sampleRun().ID || s.Kind != ForCertificates || len(s.Subjects) != 1 || s.NotAfter.IsZero() || (s.Root == "") != (by.Root == nil) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s, err := CheckSingle(t.Context(), filepath.Join(alone, DetailFile), trust); err != nil || s.Kind != ForReports || s.Certificate != out.ID || !s.NotAfter.IsZero() {
		t.Errorf("detail: %+v, %v", s, err)
	}
	late := trust
	late.At = epoch.AddDate(3, 0, 0)
	for name, c := range map[string]struct {
		file   string
		trust  Trust
		reason Reason
	}{
		"expired":        {CertificateFile, late, ReasonExpired},
		"nothing known":  {CertificateFile, Trust{}, ReasonUnknownKey},
		"root, no list":  {CertificateFile, l.trust(), ReasonUnknownKey},
		"another key":    {CertificateFile, Trust{Key: public(l.root)}, ReasonKey},
		"report alone":   {EnvelopeFile, trust, ReasonType},
		"not there":      {"more.dsse.json", trust, ReasonMissing},
		"no certificate": {"forged.dsse.json", trust, ReasonContradiction},
	} {
		if c.file == "forged.dsse.json" {
			body := strings.Replace(string(opened(t, alone, CertificateFile, l.signer.Key)), `"verificationResult":"PASSED"`, `"verificationResult":"FAILED"`, 1)
			content, err := sign(t.Context(), l.signer.Key, PayloadType, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			put(t, alone, c.file, content)
		}
		_, err := CheckSingle(t.Context(), filepath.Join(alone, c.file), c.trust)
		if err == nil {
			t.Errorf("%s: verifies", name)
			continue
		}
		wantProblem(t, err, c.file, c.reason)
	}
}

// TestSingleSaysMore: what the holder of a good key writes into a certificate or
// detail statement alone is held to what such a statement may say.
func TestSingleSaysMore(t *testing.T) {
	l := newLab(t)
	dir, _ := l.issued(t, withEvidence(t))
	trust := l.trust()
	trust.List = l.signer.Keys
	for name, c := range map[string]struct{ file, from, to, words string }{
		"for a hundred years":   {CertificateFile, `"plumbline_not_after":"2027`, `"plumbline_not_after":"2126`, "holds from"},
		"from another day":      {CertificateFile, `"plumbline_not_before":"2026`, `"plumbline_not_before":"2025`, "holds from"},
		"verified another day":  {CertificateFile, `"timeVerified":"2026-11-23`, `"timeVerified":"2026-11-22`, "holds from"},
		"number of another run": {CertificateFile, `"plumbline_certificate":"PL-20261123-2025`, `"plumbline_certificate":"PL-20261123-2024`, "its number"},
		"level":                 {CertificateFile, "PROFILE_CI_1_0", "PROFILE_INDUSTRY_1_0", "INDUSTRY"},
		"profile":               {CertificateFile, "profile:ci:1.0", "profile:industry:1.0", "industry"},
		"no profile":            {CertificateFile, "urn:plumbline:profile:", "urn:other:", "urn:other"},
		"verifier":              {CertificateFile, verifierID, "https://example.org/verifier", "its verifier"},
		"accredited":            {CertificateFile, "Not issued under accreditation", "Issued under accreditation", "accreditation"},
		"laboratory":            {DetailFile, `"name":"Example Laboratory"`, `"name":"Famous Laboratory"`, "laboratory"},
		"signer":                {DetailFile, `"signer":"`, `"signer":"00`, "it says that key"},
		"number of the detail":  {DetailFile, `"issue":{"id":"PL-20261123`, `"issue":{"id":"PL-20261122`, "its number"},
	} {
		t.Run(name, func(t *testing.T) {
			alone := t.TempDir()
			put(t, alone, c.file, get(t, dir, c.file))
			if _, err := CheckSingle(t.Context(), filepath.Join(alone, c.file), trust); err != nil {
				t.Fatalf("untouched: %v", err)
			}
			forge(t, alone, c.file, l.signer.Key, PayloadType, substitute(c.from, c.to))
			s, err := CheckSingle(t.Context(), filepath.Join(alone, c.file), trust)
			if err == nil {
				t.Fatalf("verifies: %+v", s)
			}
			wantProblem(t, err, c.file, ReasonContradiction)
			if !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want %q", err, c.words)
			}
		})
	}
}

func TestCheckArtifact(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bridged-1.2")
	if err := os.WriteFile(path, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	tested := []reports.Evidence{{Path: "bridged.yaml", SHA256: strings.Repeat("0", 64)}, {Path: "bridged", SHA256: abc}}
	if a, err := CheckArtifact(t.Context(), path, tested); err != nil || a.Path != "bridged" {
		t.Errorf("%+v, %v", a, err)
	}
	_, err := CheckArtifact(t.Context(), path, tested[:1])
	wantProblem(t, err, path, ReasonNotTested)
	if !strings.Contains(err.Error(), abc) || !strings.Contains(err.Error(), "bridged.yaml") {
		t.Errorf("%v", err)
	}
	if _, err := CheckArtifact(t.Context(), path+".absent", tested); err == nil {
		t.Error("a file that is not there was tested")
	}
}
