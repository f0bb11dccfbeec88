package seal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"plumbline/reports"
	"plumbline/reports/render"
)

// maxSealFile bounds the manifest, the envelope and the key file.
const maxSealFile = 64 << 20

// Verification is what a successful Verify established.
type Verification struct {
	Run     string          // id of the run
	Verdict reports.Verdict // overall, judged again from summary.json
	Result  string          // of the signed statement: PASSED, WARNED or FAILED
	KeyID   string          // fingerprint of the key, see KeyID
	Pinned  bool            // the key was given by the caller, not taken from the directory
	Files   int             // files covered by the manifest
	Bytes   int64           // their size
}

// String says in one sentence what was established and, when no pinned key was
// given, what was not.
func (v Verification) String() string {
	text := fmt.Sprintf("run %s: %d files (%d bytes) are unchanged since they were sealed with key %s; overall %s, statement %s",
		v.Run, v.Files, v.Bytes, v.KeyID, v.Verdict, v.Result)
	if v.Pinned {
		return text + "; the signer is the holder of the given key"
	}
	return text + "; THE SIGNER IS NOT ESTABLISHED: the key was taken from the run directory itself, which anyone can replace." +
		" Compare the fingerprint, or give the signer's public key with --key"
}

// Verify checks a sealed run directory without network: signature, payload and
// predicate type, the digest of every file, missing, additional and special
// files, and that the statement says what summary.json says. pinned is the
// signer's key; nil takes the one stored in the directory, which proves
// integrity but not who signed (Verification.Pinned is then false).
//
// Every failure is an *Error that names file and reason; several failing files
// are joined. Verify reads every file of the directory and writes nothing.
func Verify(ctx context.Context, dir string, pinned ed25519.PublicKey) (*Verification, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("seal: verify: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read
	public := pinned
	if pinned == nil {
		if public, err = storedKey(root); err != nil {
			return nil, err
		}
	}
	statement, result, err := readStatement(ctx, root, public)
	if err != nil {
		return nil, err
	}
	manifest, err := readManifest(root, statement)
	if err != nil {
		return nil, err
	}
	size, err := checkFiles(ctx, root, manifest)
	if err != nil {
		return nil, err
	}
	if err := checkStoredKey(root, public); err != nil {
		return nil, err
	}
	run, err := checkSummary(root, manifest, statement, result)
	if err != nil {
		return nil, err
	}
	id, err := KeyID(public)
	if err != nil {
		return nil, err
	}
	return &Verification{Run: run.ID, Verdict: run.Judge(), Result: result.GetResult(), KeyID: id,
		Pinned: pinned != nil, Files: len(manifest.Files), Bytes: size}, nil
}

// readStatement opens the envelope and insists on both types.
func readStatement(ctx context.Context, root *os.Root, public ed25519.PublicKey) (*intoto.Statement, *testresult.TestResult, error) {
	content, err := readSmall(root, EnvelopeFile)
	if err != nil {
		return nil, nil, err
	}
	body, err := open(ctx, content, public)
	if err != nil {
		return nil, nil, err
	}
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
	content, err = protojson.Marshal(statement.GetPredicate())
	if err != nil {
		return nil, nil, &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	result := &testresult.TestResult{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(content, result); err != nil {
		return nil, nil, &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	return statement, result, nil
}

// readManifest returns the manifest once its digest is a subject of the statement.
func readManifest(root *os.Root, statement *intoto.Statement) (Manifest, error) {
	content, err := readSmall(root, ManifestFile)
	if err != nil {
		return Manifest{}, err
	}
	sum := sha256.Sum256(content)
	digest, named := hex.EncodeToString(sum[:]), false
	for _, s := range statement.GetSubject() {
		if s.GetName() != ManifestFile {
			continue
		}
		named = true
		if s.GetDigest()[string(intoto.AlgorithmSHA256)] != digest {
			return Manifest{}, &Error{File: ManifestFile, Reason: ReasonDigest,
				Detail: fmt.Sprintf("SHA-256 is %s, signed was %s", digest, s.GetDigest()[string(intoto.AlgorithmSHA256)])}
		}
	}
	if !named {
		return Manifest{}, &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: "the statement has no subject " + ManifestFile}
	}
	m, err := decodeManifest(content)
	if typed := new(Error); err != nil && !errors.As(err, &typed) {
		return Manifest{}, &Error{File: ManifestFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	return m, err
}

// CheckFiles compares a run directory with its manifest, without looking at the
// signature: every file has the digest it had, none is missing, none was added.
// It is for whoever judges a run again; that somebody vouches for it is what
// Verify establishes. Every difference is an *Error; several are joined. It
// reads every file and writes nothing.
func CheckFiles(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("seal: check files: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read
	content, err := readSmall(root, ManifestFile)
	if err != nil {
		return err
	}
	manifest, err := decodeManifest(content)
	if typed := new(Error); err != nil && !errors.As(err, &typed) {
		return &Error{File: ManifestFile, Reason: ReasonMalformed, Detail: err.Error()}
	} else if err != nil {
		return err
	}
	_, err = checkFiles(ctx, root, manifest)
	return err
}

// checkFiles compares the directory with the manifest and returns the bytes
// covered. It reports every difference, not only the first.
func checkFiles(ctx context.Context, root *os.Root, m Manifest) (int64, error) {
	found, err := listFiles(root)
	if err != nil {
		return 0, err
	}
	var problems []error
	want := make(map[string]reports.Evidence, len(m.Files))
	for _, f := range m.Files {
		want[f.Path] = f
	}
	var size int64
	for _, f := range found {
		entry, listed := want[f.path]
		delete(want, f.path)
		switch {
		case f.special != "":
			problems = append(problems, &Error{File: f.path, Reason: ReasonSpecial, Detail: "it is a " + f.special})
		case f.path == ManifestFile || f.path == EnvelopeFile:
		case !listed:
			problems = append(problems, &Error{File: f.path, Reason: ReasonAdditional, Detail: "it was not there when the run was sealed"})
		default:
			if err := checkFile(ctx, root, entry); err != nil {
				problems = append(problems, err)
			}
			size += entry.Size
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	for _, f := range m.Files {
		if _, missing := want[f.Path]; missing {
			problems = append(problems, &Error{File: f.Path, Reason: ReasonMissing, Detail: "the manifest lists it"})
		}
	}
	return size, errors.Join(problems...)
}

func checkFile(ctx context.Context, root *os.Root, want reports.Evidence) error {
	have, err := digestFile(ctx, root, want.Path)
	switch {
	case err != nil:
		return &Error{File: want.Path, Reason: ReasonUnreadable, Detail: err.Error()}
	case have.Size != want.Size:
		return &Error{File: want.Path, Reason: ReasonDigest, Detail: fmt.Sprintf("size is %d bytes, sealed were %d", have.Size, want.Size)}
	case have.SHA256 != want.SHA256:
		return &Error{File: want.Path, Reason: ReasonDigest, Detail: fmt.Sprintf("SHA-256 is %s, sealed was %s", have.SHA256, want.SHA256)}
	}
	return nil
}

// checkSummary judges the run again and compares it with the signed statement.
func checkSummary(root *os.Root, m Manifest, statement *intoto.Statement, signed *testresult.TestResult) (*reports.Run, error) {
	content, err := readSmall(root, summaryFile)
	if err != nil {
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

// storedKey reads the key that lies in the directory.
func storedKey(root *os.Root) (ed25519.PublicKey, error) {
	content, err := readSmall(root, PublicKeyFile)
	if err != nil {
		return nil, err
	}
	public, err := parsePublicKey(content)
	if err != nil {
		return nil, &Error{File: PublicKeyFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	return public, nil
}

// checkStoredKey makes sure that the key in the directory is the one that
// signed, so that nobody pins a wrong one from there.
func checkStoredKey(root *os.Root, public ed25519.PublicKey) error {
	stored, err := storedKey(root)
	if err != nil {
		return err
	}
	if !stored.Equal(public) {
		return &Error{File: PublicKeyFile, Reason: ReasonKey, Detail: "it is not the key that signed"}
	}
	return nil
}

// readSmall reads one file of the seal; a link or an oversized file is refused.
func readSmall(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Error{File: name, Reason: ReasonMissing, Detail: "the directory is not sealed, or the file was removed"}
	case err != nil:
		return nil, &Error{File: name, Reason: ReasonUnreadable, Detail: err.Error()}
	case !info.Mode().IsRegular():
		return nil, &Error{File: name, Reason: ReasonSpecial, Detail: "it is a " + specialKind(info.Mode().Type())}
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, &Error{File: name, Reason: ReasonUnreadable, Detail: err.Error()}
	}
	defer f.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(io.LimitReader(f, maxSealFile+1))
	if err != nil {
		return nil, &Error{File: name, Reason: ReasonUnreadable, Detail: err.Error()}
	}
	if len(content) > maxSealFile {
		return nil, &Error{File: name, Reason: ReasonMalformed, Detail: fmt.Sprintf("larger than %d bytes", maxSealFile)}
	}
	return content, nil
}
