package seal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	intoto "github.com/in-toto/attestation/go/v1"

	"plumbline/reports"
)

// Single is what a signed certificate or detail statement says when it is read
// without the directory of its run.
type Single struct {
	File        string
	Kind        Purpose // ForCertificates or ForReports
	Certificate string  // its number, or that of the report
	Run         string
	Subjects    []reports.Evidence // what was tested; sizes are not known
	Issued      time.Time
	NotAfter    time.Time // of a certificate; else zero
	KeyID       string
	Root        string // fingerprint of the root whose list names the key; "" when no list does
	List        uint64

	issue *reports.Issue // of a detail statement
}

// CheckSingle verifies the certificate or the detail statement in a file that
// lies outside its run directory: signature, types, the key for its purpose and
// date, and the period of a certificate. The evidence is not at hand, so nothing
// is said about it. trust must name a key, or a root with its list: a statement
// alone cannot say who signed it.
func CheckSingle(ctx context.Context, path string, trust Trust) (*Single, error) {
	file := filepath.Base(path)
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("seal: verify: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read
	content, err := readSmall(root, file)
	if err != nil {
		return nil, err
	}
	e, err := parseEnvelope(file, content, PayloadType)
	if err != nil {
		return nil, err
	}
	k, err := newKeys(ctx, nil, trust)
	if err != nil {
		return nil, err
	}
	if err := k.vouching(); err != nil {
		return nil, err
	}
	public, err := k.signer(e, nil)
	if err != nil {
		return nil, err
	}
	body, err := e.open(ctx, public)
	if err != nil {
		return nil, err
	}
	s, err := decodeSingle(file, body)
	if err != nil {
		return nil, err
	}
	if err := k.good(file, public, s.Kind, s.Issued); err != nil {
		return nil, err
	}
	if s.issue != nil {
		if err := k.issuer(file, *s.issue, public); err != nil {
			return nil, err
		}
	}
	if s.KeyID, err = KeyID(public); err != nil {
		return nil, err
	}
	if list := k.naming(s.KeyID); list != nil {
		s.Root, s.List = list.Root.ID, list.Sequence
	}
	switch {
	case s.Kind != ForCertificates:
		if err := trust.issuedBy(file, s.Issued); err != nil {
			return nil, err
		}
	case !trust.At.IsZero():
		if err := (summary{NotBefore: s.Issued, NotAfter: s.NotAfter}).period(file, trust.At); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// decodeSingle reads the two kinds of statements that bear a date.
func decodeSingle(file string, body []byte) (*Single, error) {
	var head statement
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, broken(file, err)
	}
	out := &Single{File: file}
	switch head.PredicateType {
	case CertificateType:
		var s summary
		if _, err := decodeOwn(file, body, CertificateType, "plumbline_schema", CertificateSchema, &s); err != nil {
			return nil, err
		}
		if err := s.alone(file); err != nil {
			return nil, err
		}
		out.Kind, out.Certificate, out.Run, out.Issued, out.NotAfter = ForCertificates, s.Certificate, s.Run, s.NotBefore, s.NotAfter
	case DetailType:
		var d detail
		if _, err := decodeOwn(file, body, DetailType, "schema", DetailSchema, &d); err != nil {
			return nil, err
		}
		if number := reports.IssueID(&reports.Run{ID: d.Facts.Run}, d.Issue.Issued, d.Facts.EvidenceRoot); d.Issue.ID != number {
			return nil, &Error{File: file, Reason: ReasonContradiction, Detail: fmt.Sprintf("its number is %q, its run, date and evidence give %s", d.Issue.ID, number)}
		}
		out.Kind, out.Certificate, out.Run, out.Issued, out.issue = ForReports, d.Issue.ID, d.Facts.Run, d.Issue.Issued, &d.Issue
	default:
		return nil, &Error{File: file, Reason: ReasonType,
			Detail: fmt.Sprintf("predicate %q; alone, outside its run directory, only a certificate (%s) or a detail statement (%s) can be verified", head.PredicateType, CertificateType, DetailType)}
	}
	for _, s := range head.Subject {
		if s.Name != ManifestFile {
			out.Subjects = append(out.Subjects, reports.Evidence{Path: s.Name, SHA256: s.Digest[string(intoto.AlgorithmSHA256)]})
		}
	}
	return out, nil
}

// CheckArtifact reports whether a file of the reader's own is one of those that
// were tested, whatever its name. It reads the whole file.
func CheckArtifact(ctx context.Context, path string, tested []reports.Evidence) (reports.Evidence, error) {
	f, err := os.Open(path)
	if err != nil {
		return reports.Evidence{}, fmt.Errorf("seal: artifact: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	hash := sha256.New()
	size, err := io.Copy(hash, &reader{ctx: ctx, r: f})
	if err != nil {
		return reports.Evidence{}, fmt.Errorf("seal: artifact: %w", err)
	}
	have := reports.Evidence{Path: path, SHA256: hex.EncodeToString(hash.Sum(nil)), Size: size}
	names := ""
	for _, a := range tested {
		if a.SHA256 == have.SHA256 {
			return a, nil
		}
		names += fmt.Sprintf("; %s has %s", a.Path, a.SHA256)
	}
	return have, &Error{File: path, Reason: ReasonNotTested, Detail: fmt.Sprintf("its SHA-256 is %s, and nothing with that was tested%s", have.SHA256, names)}
}
