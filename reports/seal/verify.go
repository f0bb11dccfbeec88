package seal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"plumbline/reports"
	"plumbline/reports/render"
)

// Verification is what a successful Verify established.
type Verification struct {
	Run         string             // id of the run
	Verdict     reports.Verdict    // overall, judged again from summary.json
	Result      string             // of the signed statement: PASSED, WARNED or FAILED
	KeyID       string             // fingerprint of the key, see KeyID
	Pinned      bool               // who may sign was given by the caller, as a key or a root, not taken from the directory
	ByRoot      bool               // … as a root, whose list names the key
	Files       int                // files covered by the manifest
	Bytes       int64              // their size
	Statements  []string           // files signed beside the report statement
	Issued      time.Time          // as signed; zero when only the report statement was signed
	Certificate string             // its number; "" when the run has none
	NotAfter    time.Time          // end of the certificate
	Root        string             // fingerprint of the root whose list names the key; "" when no list does. Only with ByRoot is it known whose root that is
	List        uint64             // number of the key list that was used
	Listed      time.Time          // date of that list: later revocations are not in it
	Artifacts   []reports.Evidence // what was tested
}

// String says in one sentence what was established and, when no pinned key was
// given, what was not.
func (v Verification) String() string {
	text := fmt.Sprintf("run %s: %d files (%d bytes) are unchanged since they were sealed with key %s; overall %s, statement %s",
		v.Run, v.Files, v.Bytes, v.KeyID, v.Verdict, v.Result)
	if v.Certificate != "" {
		text += fmt.Sprintf("; certificate %s holds until %s", v.Certificate, date(v.NotAfter))
	}
	if v.ByRoot {
		return text + fmt.Sprintf("; root %s vouches for the key in its list number %d of %s, and that root is the one that was given", v.Root, v.List, date(v.Listed))
	}
	if v.Root != "" {
		text += fmt.Sprintf("; a key list names the key (number %d of %s, by root %s, which nobody pinned)", v.List, date(v.Listed), v.Root)
	}
	if v.Pinned {
		return text + "; the signer is the holder of the given key"
	}
	return text + "; THE SIGNER IS NOT ESTABLISHED: the key was taken from the run directory itself, which anyone can replace." +
		" Compare the fingerprint, or give the signer's public key with --key"
}

// Verify checks a sealed run directory as Check does, with nothing known but
// pinned, the signer's key; nil takes the one stored in the directory, which
// proves integrity but not who signed (Verification.Pinned is then false). It
// looks at no period of validity, because it knows no time.
func Verify(ctx context.Context, dir string, pinned ed25519.PublicKey) (*Verification, error) {
	return Check(ctx, dir, Trust{Key: pinned})
}

// Check verifies a sealed run directory without network: signature, payload and
// predicate type, the digest of every file, missing, additional and special
// files, that the statement says what summary.json says, every statement and
// bundle signed beside it, that each key was good for its purpose at the date of
// the signature, and that at trust.At the root that vouches for it was valid, all of
// it was issued and a certificate holds.
//
// Every failure is an *Error that names file and reason; several failing files
// are joined. Check reads every file of the directory and writes nothing.
func Check(ctx context.Context, dir string, trust Trust) (*Verification, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("seal: verify: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read
	c, err := openReport(ctx, root, trust)
	if err != nil {
		return nil, err
	}
	if c.manifest, c.digest, err = readManifest(root, c.statement); err != nil {
		return nil, err
	}
	size, err := checkFiles(ctx, root, c.manifest, c.beside)
	if err != nil {
		return nil, err
	}
	if err := checkStoredKey(root, c.public); err != nil {
		return nil, err
	}
	if c.run, err = checkSummary(root, c.manifest, c.statement, c.result); err != nil {
		return nil, err
	}
	id, err := KeyID(c.public)
	if err != nil {
		return nil, err
	}
	v := &Verification{Run: c.run.ID, Verdict: c.run.Judge(), Result: c.result.GetResult(), KeyID: id,
		Pinned: trust.pinned(), Files: len(c.manifest.Files), Bytes: size, Statements: c.beside, Artifacts: c.run.SUT.Artifacts}
	if list := c.keys.naming(id); list != nil {
		v.ByRoot, v.Root, v.List, v.Listed = trust.Root != nil, list.Root.ID, list.Sequence, list.Issued
	}
	if err := c.checkBeside(ctx, v); err != nil {
		return nil, err
	}
	return v, nil
}

// checking is a directory under verification; its fields fill from step to step.
type checking struct {
	root      *os.Root
	trust     Trust
	keys      *keys
	envelope  []byte // of the report statement
	public    ed25519.PublicKey
	statement *intoto.Statement
	result    *testresult.TestResult
	beside    []string // files that the report statement names as signed along with it
	manifest  Manifest
	digest    string // of the manifest
	run       *reports.Run
}

// openReport finds the signer and opens the report statement.
func openReport(ctx context.Context, root *os.Root, trust Trust) (*checking, error) {
	c := &checking{root: root, trust: trust}
	var stored ed25519.PublicKey
	var err error
	if !trust.pinned() {
		if stored, err = storedKey(root); err != nil {
			return nil, err
		}
	}
	if c.envelope, err = readSmall(root, EnvelopeFile); err != nil {
		return nil, err
	}
	e, err := parseEnvelope(EnvelopeFile, c.envelope, PayloadType)
	if err != nil {
		return nil, err
	}
	if c.keys, err = newKeys(ctx, root, trust); err != nil {
		return nil, err
	}
	if err = c.keys.vouching(); err != nil {
		return nil, err
	}
	if c.public, err = c.keys.signer(e, stored); err != nil {
		return nil, err
	}
	body, err := e.open(ctx, c.public)
	if err != nil {
		return nil, err
	}
	if c.statement, c.result, err = decodeReport(body); err != nil {
		return nil, err
	}
	for _, v := range c.statement.GetPredicate().GetFields()[fieldStatements].GetListValue().GetValues() {
		name := v.GetStringValue()
		if !slices.Contains(besideFiles(), name) {
			return nil, &Error{File: EnvelopeFile, Reason: ReasonSchema, Detail: fmt.Sprintf("it was signed along with %q, which this program does not know", name)}
		}
		c.beside = append(c.beside, name)
	}
	return c, nil
}

// decodeReport reads the report statement and insists on both types.
func decodeReport(body []byte) (*intoto.Statement, *testresult.TestResult, error) {
	statement := &intoto.Statement{}
	if err := protojson.Unmarshal(body, statement); err != nil {
		return nil, nil, &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	if err := statement.Validate(); err != nil {
		return nil, nil, &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	if statement.GetType() != intoto.StatementTypeUri || statement.GetPredicateType() != PredicateType {
		return nil, nil, &Error{File: EnvelopeFile, Reason: ReasonType,
			Detail: fmt.Sprintf("statement %q with predicate %q, want %q with %q", statement.GetType(), statement.GetPredicateType(), intoto.StatementTypeUri, PredicateType)}
	}
	content, err := protojson.Marshal(statement.GetPredicate())
	if err != nil {
		return nil, nil, &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	result := &testresult.TestResult{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(content, result); err != nil {
		return nil, nil, &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	return statement, result, nil
}

// readManifest returns the manifest and its digest once that is a subject of the
// statement.
func readManifest(root *os.Root, statement *intoto.Statement) (Manifest, string, error) {
	content, err := readSmall(root, ManifestFile)
	if err != nil {
		return Manifest{}, "", err
	}
	digest, named := sha(content), false
	for _, s := range statement.GetSubject() {
		if s.GetName() != ManifestFile {
			continue
		}
		named = true
		if s.GetDigest()[string(intoto.AlgorithmSHA256)] != digest {
			return Manifest{}, "", &Error{File: ManifestFile, Reason: ReasonDigest,
				Detail: fmt.Sprintf("SHA-256 is %s, signed was %s", digest, s.GetDigest()[string(intoto.AlgorithmSHA256)])}
		}
	}
	if !named {
		return Manifest{}, "", &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: "the statement has no subject " + ManifestFile}
	}
	m, err := decodeManifest(content)
	if typed := new(Error); err != nil && !errors.As(err, &typed) {
		return Manifest{}, "", &Error{File: ManifestFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	return m, digest, err
}

// checkSummary judges the run again and compares it with the signed statement.
func checkSummary(root *os.Root, m Manifest, statement *intoto.Statement, signed *testresult.TestResult) (*reports.Run, error) {
	content, err := readSmall(root, summaryFile)
	if err != nil {
		return nil, err
	}
	if err := checkSchema(summaryFile, content, reports.SchemaVersion); err != nil {
		return nil, err
	}
	run, err := render.Read(bytes.NewReader(content))
	if err != nil {
		return nil, &Error{File: summaryFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	if err := run.Validate(); err != nil {
		return nil, &Error{File: summaryFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	want := outcome(run)
	same := want.GetResult() == signed.GetResult() && m.Run == run.ID &&
		slices.Equal(want.GetPassedTests(), signed.GetPassedTests()) &&
		slices.Equal(want.GetWarnedTests(), signed.GetWarnedTests()) &&
		slices.Equal(want.GetFailedTests(), signed.GetFailedTests())
	if !same {
		return nil, &Error{File: summaryFile, Reason: ReasonContradiction,
			Detail: fmt.Sprintf("its verdicts give %s, the signed statement says %s or lists other requirements", want.GetResult(), signed.GetResult())}
	}
	for _, a := range run.SUT.Artifacts {
		if !hasSubject(statement, a) {
			return nil, &Error{File: summaryFile, Reason: ReasonContradiction, Detail: fmt.Sprintf("artifact %q is no subject of the signed statement", a.Path)}
		}
	}
	return run, nil
}

func hasSubject(statement *intoto.Statement, a reports.Evidence) bool {
	return slices.ContainsFunc(statement.GetSubject(), func(s *intoto.ResourceDescriptor) bool {
		return s.GetName() == a.Path && s.GetDigest()[string(intoto.AlgorithmSHA256)] == a.SHA256
	})
}
