package seal

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	vsa "github.com/in-toto/attestation/go/predicates/vsa/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/encoding/protojson"

	"plumbline/reports"
	"plumbline/reports/render"
)

// epoch is the time of the laboratory of these tests.
var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// lab is a root with one rig.
type lab struct {
	root   ed25519.PrivateKey
	list   *KeyList
	signer Signer
}

// newLab makes a root and a rig whose keys may sign everything for a year from epoch on.
func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{root: newEd25519(t)}
	root, err := NewKeyRecord(l.root.Public(), []Purpose{ForKeys}, epoch, epoch.AddDate(10, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	l.list = &KeyList{Schema: KeysSchema, Sequence: 1, Issued: epoch, Root: root}
	l.rig(t, epoch, epoch.AddDate(1, 0, 0), ForReports, ForCertificates)
	return l
}

// rig gives the laboratory a new pair of signing keys.
func (l *lab) rig(t *testing.T, from, until time.Time, purposes ...Purpose) {
	t.Helper()
	second, _, err := OpenP256Key(filepath.Join(t.TempDir(), "p256.pem"))
	if err != nil {
		t.Fatal(err)
	}
	l.signer = Signer{Key: newEd25519(t), P256: second}
	for _, public := range []any{l.signer.Key.Public(), l.signer.P256.Public()} {
		r, err := NewKeyRecord(public, purposes, from, until)
		if err != nil {
			t.Fatal(err)
		}
		r.Holder, r.Address, r.Rig, r.Site = "Example Laboratory", "1 Test Street", "rig 7", "hall 3"
		l.list.Keys = append(l.list.Keys, r)
	}
	l.publish(t)
}

// clone is the same laboratory with a list of its own to change.
func (l *lab) clone() *lab {
	list := *l.list
	list.Keys = slices.Clone(l.list.Keys)
	return &lab{root: l.root, list: &list, signer: l.signer}
}

// publish signs the list as it is now.
func (l *lab) publish(t *testing.T) {
	t.Helper()
	content, err := SignKeys(t.Context(), l.root, l.list)
	if err != nil {
		t.Fatal(err)
	}
	l.signer.Keys = content
}

func (l *lab) trust() Trust {
	return Trust{Root: l.root.Public().(ed25519.PublicKey), At: epoch.AddDate(0, 1, 0)}
}

func newEd25519(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	key, _, err := OpenKey(filepath.Join(t.TempDir(), "k.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func terms() Terms {
	return Terms{Issued: epoch.Add(time.Hour), Customer: "Customer Ltd", Authoriser: "A. Person",
		Method: reports.Method{Rule: "DR-2", RuleDigest: strings.Repeat("1", 64), CatalogueDigest: strings.Repeat("2", 64), ProofDigest: strings.Repeat("3", 64)}}
}

// issued is a run directory of run, sealed by the laboratory.
func (l *lab) issued(t *testing.T, run *reports.Run) (string, *Issued) {
	t.Helper()
	dir, _ := runDir(t, run)
	out, err := Issue(t.Context(), dir, l.signer, terms(), run)
	if err != nil {
		t.Fatal(err)
	}
	return dir, out
}

// withEvidence is the sample run with its records named, as the engine names them.
func withEvidence(t *testing.T) *reports.Run {
	t.Helper()
	run := sampleRun()
	for _, path := range []string{"config/effective.yaml", "records/steady/events.jsonl", "records/steady/index.json", "records/steady/records.bin", "sut/bridged.log"} {
		content, written := sampleFiles()[path]
		if !written {
			t.Fatalf("the sample directory has no %s", path)
		}
		run.Evidence = append(run.Evidence, reports.Evidence{Path: path, SHA256: sha([]byte(content)), Size: int64(len(content))})
	}
	return run
}

func TestIssuedRunVerifies(t *testing.T) {
	l := newLab(t)
	dir, out := l.issued(t, withEvidence(t))
	if out.Certificate == nil || out.Why != "" {
		t.Fatalf("no certificate: %+v", out)
	}
	for name, trust := range map[string]Trust{"root": l.trust(), "key": {Key: public(l.signer.Key)}, "nothing": {}} {
		v, err := Check(t.Context(), dir, trust)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v.Certificate != out.ID || !v.Issued.Equal(terms().Issued) || !v.NotAfter.Equal(terms().Issued.Add(reports.CertificateLife)) ||
			v.Root != l.list.Root.ID || v.List != 1 || !v.Listed.Equal(epoch) || v.Pinned != trust.pinned() || len(v.Statements) != 4 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	// A certificate needs neither a key list nor a second key.
	plain := Signer{Key: l.signer.Key}
	if _, err := Issue(t.Context(), dir, plain, terms(), withEvidence(t)); err != nil {
		t.Fatal(err)
	}
	v, err := Check(t.Context(), dir, Trust{Key: public(l.signer.Key), At: epoch.AddDate(0, 1, 0)})
	if err != nil || v.Certificate == "" || v.Root != "" || len(v.Statements) != 2 {
		t.Errorf("without list and second key: %+v, %v", v, err)
	}
}

// TestIssueIsDeterministic: the same run, keys and terms give the same bytes,
// the ECDSA signatures (RFC 6979) with them.
func TestIssueIsDeterministic(t *testing.T) {
	l := newLab(t)
	run := withEvidence(t)
	dir, _ := l.issued(t, run)
	first, err := Digest(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Issue(t.Context(), dir, l.signer, terms(), run); err != nil {
		t.Fatal(err)
	}
	second, err := Digest(t.Context(), dir)
	if err != nil || !slices.Equal(first, second) {
		t.Errorf("issuing again gave other files: %v, %v, %v", first, second, err)
	}
}

// TestNoCertificateForOthers: only a certified run has a certificate, in any of
// its forms, and one that lay there is removed.
func TestNoCertificateForOthers(t *testing.T) {
	l := newLab(t)
	for name, c := range map[string]struct {
		change func(*reports.Run)
		why    string
	}{
		"conditional":    {func(r *reports.Run) { r.Results[0].Verdict = reports.ConditionalPass }, "CONDITIONAL PASS"},
		"fail":           {func(r *reports.Run) { r.Results[0].Verdict = reports.Fail }, "FAIL"},
		"not run":        {func(r *reports.Run) { r.Results = r.Results[1:] }, "NOT RUN"},
		"partial":        {func(r *reports.Run) { r.Partial = "interrupted" }, "partial: interrupted"},
		"not certifying": {func(r *reports.Run) { r.Certifying = false }, "not made to certify"},
		"deselected": {func(r *reports.Run) {
			r.Certifying, r.Deselected = false, &reports.Deselection{Filter: "LAT", Scenarios: []string{"storm"}}
		}, "deselected"},
	} {
		dir, _ := l.issued(t, withEvidence(t))
		run := withEvidence(t)
		c.change(run)
		run.Overall = run.Judge()
		if err := render.All(dir, run); err != nil {
			t.Fatal(err)
		}
		out, err := Issue(t.Context(), dir, l.signer, terms(), run)
		if err != nil || out.Certificate != nil || !strings.Contains(out.Why, c.why) {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		for _, file := range []string{CertificateFile, CertificateBundle, render.CertificateFile, ListingFile, ListingSchemaFile} {
			if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
				t.Errorf("%s: %s is there", name, file)
			}
		}
		v, err := Check(t.Context(), dir, l.trust())
		if err != nil || v.Certificate != "" || v.Issued.IsZero() || len(v.Statements) != 2 {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// TestStatementsForOthers reads what was signed with the published types and
// schemas of others.
func TestStatementsForOthers(t *testing.T) {
	l := newLab(t)
	run := withEvidence(t)
	dir, out := l.issued(t, run)
	var s statement
	if err := json.Unmarshal(opened(t, dir, CertificateFile, l.signer.Key), &s); err != nil || s.PredicateType != CertificateType || len(s.Subject) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	var p vsa.VerificationSummary
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(s.Predicate, &p); err != nil {
		t.Fatal(err)
	}
	if p.GetVerificationResult() != "PASSED" || !slices.Equal(p.GetVerifiedLevels(), []string{"PLUMBLINE_PROFILE_CI_1_0"}) || len(p.GetInputAttestations()) != 2 ||
		p.GetPolicy().GetDigest()["sha256"] != run.Profile.Digest || p.GetVerifier().GetId() == "" || p.GetTimeVerified().AsTime() != terms().Issued || p.GetResourceUri() == "" {
		t.Errorf("verification summary: %v", &p)
	}
	var known map[string]any
	if err := json.Unmarshal(s.Predicate, &known); err != nil {
		t.Fatal(err)
	}
	for name := range known {
		if field := p.ProtoReflect().Descriptor().Fields().ByJSONName(name); field == nil && !strings.HasPrefix(name, "plumbline_") {
			t.Errorf("the certificate has the field %q, which neither a verification summary has nor our prefix", name)
		}
	}
	var d detail
	if _, err := decodeOwn(DetailFile, opened(t, dir, DetailFile, l.signer.Key), DetailType, "schema", DetailSchema, &d); err != nil {
		t.Fatal(err)
	}
	if d.Facts.Seed != "0" || len(d.Facts.Requirements) != 3 || len(d.Facts.Attempts) != 3 || d.Facts.Environment == "" || d.Validity == nil || d.Issue.Laboratory.Rig != "rig 7" {
		t.Errorf("detail: %+v", d)
	}
	listing := schemaOf(t)
	content, err := os.ReadFile(filepath.Join(dir, ListingFile))
	if err != nil {
		t.Fatal(err)
	}
	record, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := listing.Validate(record); err != nil {
		t.Errorf("listing: %v", err)
	}
	record.(map[string]any)["signer"] = "somebody"
	if err := listing.Validate(record); err == nil {
		t.Error("the schema of the listing accepts a signer without fingerprint")
	}
	if !bytes.Contains(content, []byte(out.ID)) {
		t.Errorf("the listing does not name %s", out.ID)
	}
}

func schemaOf(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(ListingSchema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("listing.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("listing.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestSignerIsChecked: keys that the root does not vouch for, or no longer, sign
// nothing; a key for reports only makes no certificate.
func TestSignerIsChecked(t *testing.T) {
	l := newLab(t)
	run := withEvidence(t)
	dir, _ := runDir(t, run)
	refused := func(name, want string, signer Signer, terms Terms) {
		t.Helper()
		if _, err := Issue(t.Context(), dir, signer, terms, run); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	late := terms()
	late.Issued = epoch.AddDate(2, 0, 0)
	refused("expired", "expired", l.signer, late)
	early := terms()
	early.Issued = epoch.Add(-time.Hour)
	refused("clock behind", "not yet valid", l.signer, early)
	refused("stranger", "not in the key list", Signer{Key: newEd25519(t), Keys: l.signer.Keys}, terms())
	var second *ecdsa.PrivateKey
	second, _, err := OpenP256Key(filepath.Join(t.TempDir(), "p.pem"))
	if err != nil {
		t.Fatal(err)
	}
	refused("strange second key", "not in the key list", Signer{Key: l.signer.Key, P256: second, Keys: l.signer.Keys}, terms())
	refused("half a key", "not an Ed25519 key", Signer{Key: l.signer.Key[:9]}, terms())
	refused("no list", KeysFile, Signer{Key: l.signer.Key, Keys: []byte("{}")}, terms())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Issue(ctx, dir, l.signer, terms(), run); !errors.Is(err, context.Canceled) {
		t.Errorf("issued under an ended context: %v", err)
	}
	l.rig(t, epoch, epoch.AddDate(1, 0, 0), ForReports)
	out, err := Issue(t.Context(), dir, l.signer, terms(), run)
	if err != nil || out.Certificate != nil || !strings.Contains(out.Why, "wrong purpose") || !strings.Contains(out.Why, "run again with a key") {
		t.Errorf("a key for reports: %+v, %v", out, err)
	}
	// No form of the report calls it certified then, and all that is signed agrees.
	if badge := string(get(t, dir, render.BadgeFile)); !strings.Contains(badge, ": PASS, not certified<") {
		t.Errorf("its badge says %s", badge)
	}
	read, err := render.Load(dir)
	if err != nil || read.Certified() || read.Uncertified != out.Why {
		t.Errorf("its summary: %+v, %v", read, err)
	}
	if page := string(get(t, dir, render.HTMLFile)); !strings.Contains(page, "without a certificate: wrong purpose") {
		t.Error("its page does not say why it has no certificate")
	}
	if v, err := Check(t.Context(), dir, l.trust()); err != nil || v.Certificate != "" || v.Result != resultWarned {
		t.Errorf("it verifies as %+v, %v", v, err)
	}
}

// TestEveryItemOf17025 walks the list of ISO/IEC 17025, 7.8.2.1, for a certified
// and a failed run, with and without anything stated by the operator.
func TestEveryItemOf17025(t *testing.T) {
	l := newLab(t)
	failed := withEvidence(t)
	failed.Results[0].Verdict = reports.Fail
	failed.Overall = failed.Judge()
	for name, run := range map[string]*reports.Run{"certified": withEvidence(t), "failed": failed} {
		for _, signer := range []Signer{l.signer, {Key: l.signer.Key}} {
			dir, _ := runDir(t, run)
			if _, err := Issue(t.Context(), dir, signer, terms(), run); err != nil {
				t.Fatal(err)
			}
			body := opened(t, dir, DetailFile, signer.Key)
			var d detail
			if _, err := decodeOwn(DetailFile, body, DetailType, "schema", DetailSchema, &d); err != nil {
				t.Fatal(err)
			}
			says := map[string]string{}
			for _, item := range d.Items {
				says[item.Letter] = item.Says
			}
			for letter, want := range map[string]string{
				"a": "est report", "b": "stated by the operator|Example Laboratory, 1 Test Street", "c": "rig: ", "d": d.Issue.ID, "e": "Customer Ltd",
				"f": run.Profile.Digest, "g": run.SUT.Artifacts[0].SHA256, "h": "1970-01-01 00:16:40 UTC", "i": "1970-01-01 00:18:10 UTC",
				"j": "2026-11-23 13:00:00 UTC", "k": "seed 0", "l": "relate only to the item tested", "m": "3 requirements", "n": "none", "o": "A. Person", "p": "none",
			} {
				if !slices.ContainsFunc(strings.Split(want, "|"), func(w string) bool { return strings.Contains(says[letter], w) }) {
					t.Errorf("%s: item %s says %q, want %q", name, letter, says[letter], want)
				}
			}
			if len(d.Items) != 16 || !slices.ContainsFunc(d.Statements, func(s string) bool { return strings.HasPrefix(s, "Not issued under accreditation") }) {
				t.Errorf("%s: %d items, statements %q", name, len(d.Items), d.Statements)
			}
		}
	}
}

// TestEvidenceThatChanged: what changed after it was judged earns no certificate,
// and the report is told to contradict itself.
func TestEvidenceThatChanged(t *testing.T) {
	l := newLab(t)
	run := withEvidence(t)
	dir, _ := runDir(t, run)
	put(t, dir, "records/steady/records.bin", []byte("other records"))
	out, err := Issue(t.Context(), dir, l.signer, terms(), run)
	if err != nil || out.Certificate != nil || !strings.Contains(out.Why, `"records/steady/records.bin" changed`) {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, file := range []string{CertificateFile, render.CertificateFile, ListingFile} {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			t.Errorf("%s is there", file)
		}
	}
	_, err = Check(t.Context(), dir, l.trust())
	wantProblem(t, err, summaryFile, ReasonContradiction)
	if badge := string(get(t, dir, render.BadgeFile)); !strings.Contains(badge, ": PASS, not certified<") {
		t.Errorf("its badge says %s", badge)
	}
}

// TestOtherSchemas: a directory of another version is named as such, not as damage.
func TestOtherSchemas(t *testing.T) {
	run := sampleRun()
	for file, want := range map[string]string{summaryFile: reports.SchemaVersion, ManifestFile: ManifestSchema} {
		for _, version := range []string{"v0", "v9"} {
			dir, key := runDir(t, run)
			other := strings.TrimSuffix(want, "v1") + version
			if file == summaryFile {
				put(t, dir, file, bytes.Replace(get(t, dir, file), []byte(want), []byte(other), 1))
			}
			s, err := newSealing(t.Context(), dir, run)
			if err != nil {
				t.Fatal(err)
			}
			if file == ManifestFile {
				s.content = bytes.Replace(s.content, []byte(want), []byte(other), 1)
				s.manifest.SHA256 = sha(s.content)
			}
			if err := s.finish(t.Context(), key, nil); err != nil {
				t.Fatal(err)
			}
			_, err = Verify(t.Context(), dir, public(key))
			wantProblem(t, err, file, ReasonSchema)
			if !strings.Contains(err.Error(), other) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
		}
	}
}
