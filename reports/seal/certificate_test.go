package seal

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

// forge signs an own body with the laboratory's key, as somebody with the key
// and another program would.
func forge(t *testing.T, dir, file string, key ed25519.PrivateKey, payloadType string, change func(string) string) {
	t.Helper()
	before := string(opened(t, dir, file, key))
	after := change(before)
	if after == before && payloadType == PayloadType {
		t.Fatalf("nothing changed in %s", before)
	}
	content, err := sign(t.Context(), key, payloadType, []byte(after))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, file, content)
}

func put(t *testing.T, dir, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, dir, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func substitute(from, to string) func(string) string {
	return func(s string) string { return strings.Replace(s, from, to, 1) }
}

// lie seals a run as Issue does, with what a signer with the keys of the
// laboratory and another program writes into every form alike.
func (l *lab) lie(t *testing.T, dir string, run *reports.Run, about func(*reports.Certificate)) {
	t.Helper()
	records, err := l.signer.records(t.Context(), terms().Issued)
	if err != nil {
		t.Fatal(err)
	}
	issue, err := newIssue(l.signer, records, terms(), run)
	if err != nil {
		t.Fatal(err)
	}
	c, err := reports.NewCertificate(run, issue)
	if err != nil {
		t.Fatal(err)
	}
	about(c)
	if err := render.All(dir, run); err != nil {
		t.Fatal(err)
	}
	s, err := listShown(t.Context(), dir, l.signer, &Issued{Certificate: c}, run)
	if err != nil {
		t.Fatal(err)
	}
	beside, err := s.statements(t.Context(), l.signer, c.Issue, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.finish(t.Context(), l.signer.Key, beside); err != nil {
		t.Fatal(err)
	}
}

// tampering is one way in which a certified run is not what it claims to be.
type tampering struct {
	name   string
	change func(t *testing.T, dir string, l *lab) // the directory, and what the verifier knows of the laboratory
	trust  func(l *lab) Trust                     // nil: the root, a month later
	file   string
	reason Reason
	words  string // in the message
}

func tamperings() []tampering {
	at := func(t time.Time) func(*lab) Trust {
		return func(l *lab) Trust { trust := l.trust(); trust.At = t; return trust }
	}
	newest := func(l *lab) Trust { trust := l.trust(); trust.List = l.signer.Keys; return trust }
	revoke := func(reason RevocationReason, when time.Time) func(*testing.T, string, *lab) {
		return func(t *testing.T, _ string, l *lab) {
			t.Helper()
			for i := range l.list.Keys {
				l.list.Keys[i].Revoked = &Revocation{At: when, Reason: reason}
			}
			l.list.Sequence++
			l.publish(t)
		}
	}
	other := func(t *testing.T, l *lab) string {
		t.Helper()
		run := withEvidence(t)
		run.ID = "another"
		dir, _ := l.issued(t, run)
		return dir
	}
	forged := func(file, from, to string) func(*testing.T, string, *lab) {
		return func(t *testing.T, dir string, l *lab) {
			t.Helper()
			forge(t, dir, file, l.signer.Key, PayloadType, substitute(from, to))
		}
	}
	edited := func(file, from, to string) func(*testing.T, string, *lab) {
		return func(t *testing.T, dir string, _ *lab) {
			t.Helper()
			put(t, dir, file, []byte(substitute(from, to)(string(get(t, dir, file)))))
		}
	}
	nothing := func(*testing.T, string, *lab) {}
	return []tampering{
		{"certificate expired", nothing, at(epoch.AddDate(2, 0, 0)), CertificateFile, ReasonExpired, "it held until 2027-11-23T13:00:00Z"},
		{"certificate at its last moment", nothing, at(terms().Issued.Add(reports.CertificateLife)), CertificateFile, ReasonExpired, "it held until"},
		{"clock behind", nothing, at(epoch), CertificateFile, ReasonNotYet, "it holds from"},
		{"key compromised later", revoke(Compromised, epoch.AddDate(0, 2, 0)), newest, EnvelopeFile, ReasonRevoked, "whatever its date"},
		{"key revoked before it signed", revoke(Superseded, epoch.Add(time.Minute)), newest, EnvelopeFile, ReasonRevoked, "superseded), and this is dated"},
		{"key expired before it signed", func(t *testing.T, _ string, l *lab) {
			t.Helper()
			for i := range l.list.Keys {
				l.list.Keys[i].ValidUntil = epoch.Add(time.Minute)
			}
			l.list.Sequence++
			l.publish(t)
		}, newest, EnvelopeFile, ReasonExpired, "was valid until 2026-11-23T12:01:00Z"},
		{"key for reports only", func(t *testing.T, _ string, l *lab) {
			t.Helper()
			for i := range l.list.Keys {
				l.list.Keys[i].Purposes = []Purpose{ForReports}
			}
			l.list.Sequence++
			l.publish(t)
		}, newest, CertificateFile, ReasonPurpose, `not for "certificate"`},
		{"key not in the list", func(t *testing.T, _ string, l *lab) {
			t.Helper()
			l.list.Keys = nil
			l.list.Sequence++
			l.publish(t)
		}, newest, EnvelopeFile, ReasonUnknownKey, "does not hold"},
		{"list of another root", nothing, func(l *lab) Trust {
			trust := l.trust()
			trust.Root = l.signer.Key.Public().(ed25519.PublicKey)
			return trust
		}, KeysFile, ReasonKey, "expected key"},
		{"no list for a pinned root", func(t *testing.T, dir string, l *lab) {
			t.Helper()
			if _, err := Issue(t.Context(), dir, Signer{Key: l.signer.Key}, terms(), withEvidence(t)); err != nil {
				t.Fatal(err)
			}
		}, nil, KeysFile, ReasonUnknownKey, "neither the directory nor --keys"},
		{"list changed", edited(KeysFile, `"payload": "e`, `"payload": "f`), nil, KeysFile, ReasonSignature, ""},
		{"list truncated", func(t *testing.T, dir string, _ *lab) { t.Helper(); put(t, dir, KeysFile, get(t, dir, KeysFile)[:100]) }, nil, KeysFile, ReasonTruncated, "unexpected end"},
		{"certificate truncated", func(t *testing.T, dir string, _ *lab) {
			t.Helper()
			put(t, dir, CertificateFile, get(t, dir, CertificateFile)[:200])
		}, nil, CertificateFile, ReasonTruncated, "unexpected end"},
		{"certificate empty", func(t *testing.T, dir string, _ *lab) { t.Helper(); put(t, dir, CertificateFile, nil) }, nil, CertificateFile, ReasonTruncated, ""},
		{"certificate removed", func(t *testing.T, dir string, _ *lab) { t.Helper(); remove(t, dir, CertificateFile) }, nil, CertificateFile, ReasonMissing, "removed"},
		{"detail removed", func(t *testing.T, dir string, _ *lab) { t.Helper(); remove(t, dir, DetailFile) }, nil, DetailFile, ReasonMissing, "removed"},
		{"bundle removed", func(t *testing.T, dir string, _ *lab) { t.Helper(); remove(t, dir, ReportBundle) }, nil, ReportBundle, ReasonMissing, "removed"},
		{"certificate of another run", func(t *testing.T, dir string, l *lab) {
			t.Helper()
			put(t, dir, CertificateFile, get(t, other(t, l), CertificateFile))
		}, nil, CertificateFile, ReasonOtherRun, `it certifies run "another"`},
		{"detail of another run", func(t *testing.T, dir string, l *lab) {
			t.Helper()
			put(t, dir, DetailFile, get(t, other(t, l), DetailFile))
		},
			nil, DetailFile, ReasonOtherRun, `it is about run "another"`},
		{"report of another run", func(t *testing.T, dir string, l *lab) {
			t.Helper()
			put(t, dir, EnvelopeFile, get(t, other(t, l), EnvelopeFile))
		},
			nil, ManifestFile, ReasonDigest, "signed was"},
		{"payload type", func(t *testing.T, dir string, l *lab) {
			t.Helper()
			forge(t, dir, CertificateFile, l.signer.Key, "application/json", func(s string) string { return s })
		}, nil, CertificateFile, ReasonType, `payload type is "application/json"`},
		{"statement of another type", forged(CertificateFile, CertificateType, "https://example.org/v1"), nil, CertificateFile, ReasonType, "example.org"},
		{"newer certificate", forged(CertificateFile, CertificateSchema, "plumbline.certificate/v2"), nil, CertificateFile, ReasonSchema, "v2"},
		{"newer detail", forged(DetailFile, DetailSchema, "plumbline.detail/v9"), nil, DetailFile, ReasonSchema, "v9"},
		{"older detail", forged(DetailFile, DetailSchema, "plumbline.detail/v0"), nil, DetailFile, ReasonSchema, "v0"},
		{"unknown field", forged(DetailFile, `{"schema"`, `{"more":1,"schema"`), nil, DetailFile, ReasonMalformed, "more"},
		{"better figure", forged(DetailFile, `"verdict":"PASS"`, `"verdict":"FAIL"`), nil, DetailFile, ReasonContradiction, "verdict"},
		{"attempt left out", forged(DetailFile, `{"requirement":"LAT-01","scenario":"steady","attempt":1,"verdict":"PASS"},`, ""), nil, DetailFile, ReasonContradiction, "attempts"},
		{"other evidence", forged(DetailFile, `"evidence_root_sha256":"`, `"evidence_root_sha256":"00`), nil, DetailFile, ReasonContradiction, "number"},
		{"longer period", forged(CertificateFile, `"plumbline_not_after":"2027`, `"plumbline_not_after":"2028`), nil, CertificateFile, ReasonContradiction, "plumbline_not_after"},
		{"other profile", forged(CertificateFile, "urn:plumbline:profile:ci:1.0", "urn:plumbline:profile:industry:1.0"), nil, CertificateFile, ReasonContradiction, "industry"},
		{"other artifact", forged(CertificateFile, `"subject":[{"name":"bridged"`, `"subject":[{"name":"other"`), nil, CertificateFile, ReasonContradiction, "subjects"},
		{"rests on nothing", forged(CertificateFile, `"uri":"detail.dsse.json"`, `"uri":"other.dsse.json"`), nil, CertificateFile, ReasonContradiction, "other.dsse.json"},
		{"certificate signed by another", func(t *testing.T, dir string, l *lab) {
			t.Helper()
			content, err := sign(t.Context(), newEd25519(t), PayloadType, opened(t, dir, CertificateFile, l.signer.Key))
			if err != nil {
				t.Fatal(err)
			}
			put(t, dir, CertificateFile, content)
		}, nil, CertificateFile, ReasonKey, "expected key"},
		{"certificate body changed", edited(CertificateFile, `"payload": "eyJf`, `"payload": "eyJg`), nil, CertificateFile, ReasonSignature, ""},
		{"bundle of another file", func(t *testing.T, dir string, _ *lab) {
			t.Helper()
			put(t, dir, CertificateBundle, get(t, dir, ReportBundle))
		},
			nil, CertificateBundle, ReasonContradiction, "it signs a file with SHA-256"},
		{"bundle of another type", edited(ReportBundle, "v0.3+json", "v0.9+json"), nil, ReportBundle, ReasonType, "v0.9"},
		{"bundle of another key", edited(ReportBundle, `"hint": "`, `"hint": "A`), nil, ReportBundle, ReasonKey, "hint"},
		{"bundle truncated", func(t *testing.T, dir string, _ *lab) {
			t.Helper()
			put(t, dir, ReportBundle, get(t, dir, ReportBundle)[:90])
		},
			nil, ReportBundle, ReasonTruncated, ""},
		{"page changed", edited(render.CertificateFile, "conforms", "Conforms"), nil, render.CertificateFile, ReasonDigest, "SHA-256"},
		{"page truncated", func(t *testing.T, dir string, _ *lab) {
			t.Helper()
			put(t, dir, render.CertificateFile, get(t, dir, render.CertificateFile)[:10])
		}, nil, render.CertificateFile, ReasonDigest, "truncated: 10 bytes are left of"},
		{"listing changed", edited(ListingFile, `"version": "`, `"version": "9`), nil, ListingFile, ReasonDigest, "sealed were"},
		{"a certificate beside a report", func(t *testing.T, dir string, l *lab) {
			t.Helper()
			run := withEvidence(t)
			run.Results[0].Verdict = reports.ConditionalPass
			run.Overall = run.Judge()
			certificate := get(t, dir, CertificateFile)
			if err := render.All(dir, run); err != nil {
				t.Fatal(err)
			}
			if _, err := Issue(t.Context(), dir, l.signer, terms(), run); err != nil {
				t.Fatal(err)
			}
			put(t, dir, CertificateFile, certificate)
		}, nil, CertificateFile, ReasonAdditional, "was not there"},
	}
}

func remove(t *testing.T, dir, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		t.Fatal(err)
	}
}

// lies are what no signature shows: the holder of a good key says more than the
// run and the root give him.
func lies() []tampering {
	lie := func(about func(*reports.Certificate)) func(*testing.T, string, *lab) {
		return func(t *testing.T, dir string, l *lab) { t.Helper(); l.lie(t, dir, withEvidence(t), about) }
	}
	forged := func(from, to string) func(*testing.T, string, *lab) {
		return func(t *testing.T, dir string, l *lab) {
			t.Helper()
			forge(t, dir, CertificateFile, l.signer.Key, PayloadType, substitute(from, to))
		}
	}
	later := func(l *lab) Trust {
		trust := l.trust()
		trust.At = epoch.AddDate(8, 6, 0)
		return trust
	}
	refused := func(name string, change func(*testing.T, string, *lab), words string) tampering {
		return tampering{name, change, nil, CertificateFile, ReasonContradiction, words}
	}
	return []tampering{
		{"a day of a key for a certificate years later", lie(func(c *reports.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(8, 0, 0), c.NotAfter.AddDate(8, 0, 0)
		}), later, CertificateFile, ReasonContradiction, "plumbline_not_after"},
		refused("a period longer everywhere", lie(func(c *reports.Certificate) { c.NotAfter = c.NotAfter.AddDate(99, 0, 0) }), `"2126-`),
		refused("another moment of verification", forged(`"timeVerified":"2026`, `"timeVerified":"2025`), "timeVerified"),
		refused("a level of another profile", forged("PLUMBLINE_PROFILE_CI_1_0", "PLUMBLINE_PROFILE_INDUSTRY_1_0"), "verifiedLevels"),
		refused("one level more", forged(`"PLUMBLINE_PROFILE_CI_1_0"`, `"PLUMBLINE_PROFILE_CI_1_0","SLSA_BUILD_LEVEL_3"`), "SLSA_BUILD_LEVEL_3"),
		refused("another system", forged("urn:plumbline:sut:bridged", "urn:plumbline:sut:other"), "resourceUri"),
		refused("another verifier", forged(verifierID, "https://example.org/verifier"), "verifier is"),
		refused("accredited", forged("Not issued under accreditation", "Issued under accreditation"), "plumbline_accreditation"),
		{"of another laboratory", lie(func(c *reports.Certificate) { c.Laboratory.Name = "Famous Laboratory" }),
			nil, DetailFile, ReasonContradiction, `the name of its laboratory is "Famous Laboratory"`},
		{"without the rig that the root names", lie(func(c *reports.Certificate) { c.Laboratory.Rig = "" }),
			nil, DetailFile, ReasonContradiction, "the rig of its laboratory is not stated"},
		{"said to be signed by another key", lie(func(c *reports.Certificate) { c.Signer = strings.Repeat("a", len(c.Signer)) }),
			func(l *lab) Trust { return Trust{Key: public(l.signer.Key)} }, DetailFile, ReasonContradiction, "it says that key"},
		{"the period of no certificate", func(t *testing.T, dir string, l *lab) {
			t.Helper()
			run := withEvidence(t)
			run.Results[0].Verdict = reports.ConditionalPass
			run.Overall = run.Judge()
			if err := render.All(dir, run); err != nil {
				t.Fatal(err)
			}
			if _, err := Issue(t.Context(), dir, l.signer, terms(), run); err != nil {
				t.Fatal(err)
			}
			forge(t, dir, DetailFile, l.signer.Key, PayloadType, substitute(`"harness_provenance"`,
				`"validity":{"not_before":"2026-11-23T13:00:00Z","not_after":"2027-11-23T13:00:00Z"},"harness_provenance"`))
		}, nil, DetailFile, ReasonContradiction, "none was signed along with it"},
	}
}

// TestTampering: each way is refused, with a file, a reason and words of its own.
func TestTampering(t *testing.T) {
	seen := map[string]string{}
	whole := newLab(t)
	untouched, out := whole.issued(t, withEvidence(t))
	if out.Certificate == nil {
		t.Fatal(out.Why)
	}
	for _, c := range append(tamperings(), lies()...) {
		t.Run(c.name, func(t *testing.T) {
			l, dir := whole.clone(), filepath.Join(t.TempDir(), "run")
			if err := os.CopyFS(dir, os.DirFS(untouched)); err != nil {
				t.Fatal(err)
			}
			c.change(t, dir, l)
			trust := l.trust()
			if c.trust != nil {
				trust = c.trust(l)
			}
			v, err := Check(t.Context(), dir, trust)
			if err == nil {
				t.Fatalf("verifies: %+v", v)
			}
			wantProblem(t, err, c.file, c.reason)
			if !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want %q", err, c.words)
			}
			if before, twice := seen[err.Error()]; twice {
				t.Errorf("the same message as %q: %v", before, err)
			}
			seen[err.Error()] = c.name
			if c.reason.Mend() == "" {
				t.Errorf("%s: nothing is said about how to mend it", c.reason)
			}
		})
	}
}

// TestRotationKeepsOldSignatures: what an old key signed while it was good stays
// good when it is rotated, retired and expired, for as long as the certificate.
func TestRotationKeepsOldSignatures(t *testing.T) {
	l := newLab(t)
	dir, _ := l.issued(t, withEvidence(t))
	old := len(l.list.Keys)
	for i := range old {
		l.list.Keys[i].ValidUntil = epoch.AddDate(0, 0, 7)
		l.list.Keys[i].Revoked = &Revocation{At: epoch.AddDate(0, 0, 7), Reason: Retired}
	}
	l.list.Sequence++
	l.rig(t, epoch.AddDate(0, 0, 7), epoch.AddDate(1, 0, 0), ForReports, ForCertificates)
	trust := l.trust()
	trust.List = l.signer.Keys
	v, err := Check(t.Context(), dir, trust)
	if err != nil || v.List != 2 || v.Certificate == "" {
		t.Errorf("%+v, %v", v, err)
	}
	// An older list than that of the directory does not hide what is newer.
	dir, _ = runDir(t, withEvidence(t))
	late := terms()
	late.Issued = epoch.AddDate(0, 0, 8)
	if _, err := Issue(t.Context(), dir, l.signer, late, withEvidence(t)); err != nil {
		t.Fatal(err)
	}
	l.list.Sequence, l.list.Keys = 1, l.list.Keys[:old]
	l.publish(t)
	trust.List = l.signer.Keys
	if v, err := Check(t.Context(), dir, trust); err != nil || v.List != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestFlipBytesOfTheCertificate changes bytes of every statement and bundle.
func TestFlipBytesOfTheCertificate(t *testing.T) {
	l := newLab(t)
	dir, _ := l.issued(t, withEvidence(t))
	for _, name := range append(besideFiles(), KeysFile, P256KeyFile, GuideFile) {
		whole := get(t, dir, name)
		for at := 0; at < len(whole); at += 1 + len(whole)/16 {
			bad := bytes.Clone(whole)
			bad[at] ^= 0x01
			put(t, dir, name, bad)
			v, err := Check(t.Context(), dir, l.trust())
			if err == nil {
				t.Fatalf("%s: byte %d (%q → %q) changed unnoticed: %+v", name, at, whole[at], bad[at], v)
			}
			wantProblem(t, err, name)
		}
		put(t, dir, name, whole)
	}
	if _, err := Check(t.Context(), dir, l.trust()); err != nil {
		t.Errorf("after repair: %v", err)
	}
}
