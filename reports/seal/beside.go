package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"plumbline/reports"
)

// checkBeside verifies what was signed along with the report statement, and the
// keys at the date that the detail statement bears. It fills v.
func (c *checking) checkBeside(ctx context.Context, v *Verification) error {
	signed := c.run.Finished
	if len(c.beside) == 0 {
		if err := c.trust.issuedBy(EnvelopeFile, signed); err != nil {
			return err
		}
		return c.keys.good(EnvelopeFile, c.public, ForReports, signed)
	}
	contents := map[string][]byte{EnvelopeFile: c.envelope}
	for _, name := range c.beside {
		content, err := readSmall(c.root, name)
		if err != nil {
			return err
		}
		contents[name] = content
	}
	if contents[DetailFile] == nil {
		return &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: "it was signed without a detail statement"}
	}
	d, err := c.checkDetail(ctx, contents[DetailFile])
	if err != nil {
		return err
	}
	v.Issued = d.Issue.Issued
	if err := c.keys.good(EnvelopeFile, c.public, ForReports, v.Issued); err != nil {
		return err
	}
	if err := c.keys.issuer(DetailFile, d.Issue, c.public); err != nil {
		return err
	}
	if err := c.checkBundle(ReportBundle, EnvelopeFile, contents, ForReports, v.Issued); err != nil {
		return err
	}
	if contents[CertificateFile] == nil {
		if err := c.trust.issuedBy(DetailFile, v.Issued); err != nil {
			return err
		}
		return d.uncertified()
	}
	if err := c.checkCertificate(ctx, contents, d, v); err != nil {
		return err
	}
	return c.checkBundle(CertificateBundle, CertificateFile, contents, ForCertificates, v.Issued)
}

// openOwn opens an envelope of the same signer as the report statement.
func (c *checking) openOwn(ctx context.Context, file string, content []byte) ([]byte, error) {
	e, err := parseEnvelope(file, content, PayloadType)
	if err != nil {
		return nil, err
	}
	return e.open(ctx, c.public)
}

// checkDetail makes the facts of the detail statement again and compares.
func (c *checking) checkDetail(ctx context.Context, content []byte) (*detail, error) {
	body, err := c.openOwn(ctx, DetailFile, content)
	if err != nil {
		return nil, err
	}
	var d detail
	s, err := decodeOwn(DetailFile, body, DetailType, "schema", DetailSchema, &d)
	if err != nil {
		return nil, err
	}
	if d.Facts.Run != valid(c.run.ID) {
		return nil, &Error{File: DetailFile, Reason: ReasonOtherRun, Detail: fmt.Sprintf("it is about run %q, this directory is of run %q", d.Facts.Run, c.run.ID)}
	}
	if err := c.checkSubjects(DetailFile, s, true); err != nil {
		return nil, err
	}
	want := newFacts(c.run, reports.Evidence{Path: ManifestFile, SHA256: c.digest}, c.manifest.Files)
	if name, _, _ := differing(d.Facts, want); name != "" {
		return nil, &Error{File: DetailFile, Reason: ReasonContradiction, Detail: fmt.Sprintf("its %s is not what %s and %s give", name, summaryFile, ManifestFile)}
	}
	if d.Issue.EvidenceRoot != want.EvidenceRoot || d.Issue.ID != reports.IssueID(c.run, d.Issue.Issued, want.EvidenceRoot) {
		return nil, &Error{File: DetailFile, Reason: ReasonContradiction, Detail: "its number is not that of this run and its evidence"}
	}
	return &d, c.checkEvidence()
}

// checkEvidence compares what the summary calls evidence with the manifest.
func (c *checking) checkEvidence() error {
	if path := changedEvidence(c.run, c.manifest.Files); path != "" {
		return &Error{File: summaryFile, Reason: ReasonContradiction, Detail: fmt.Sprintf("evidence %q has another digest in %s, or none", path, ManifestFile)}
	}
	return nil
}

// differing names the first member in which the JSON forms of two values differ,
// with what each says there, and "" when they are the same.
func differing[T any](a, b T) (name, inA, inB string) {
	var left, right map[string]json.RawMessage
	for into, from := range map[*map[string]json.RawMessage]T{&left: a, &right: b} {
		text, err := json.Marshal(from)
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			return "form", err.Error(), ""
		}
	}
	var names []string
	for name := range left {
		names = append(names, name)
	}
	for name := range right {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !bytes.Equal(left[name], right[name]) {
			return name, string(left[name]), string(right[name])
		}
	}
	return "", "", ""
}

// checkSubjects insists that a statement is about the artifacts of the run, and
// about its manifest where that is asked for or there is nothing else.
func (c *checking) checkSubjects(file string, s *statement, manifest bool) error {
	want, err := subjects(c.run)
	if err != nil {
		return &Error{File: summaryFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	if manifest || len(want) == 0 {
		want = append(want, subjectOf(ManifestFile, c.digest))
	}
	same := slices.EqualFunc(s.Subject, want, func(a, b subject) bool {
		return a.Name == b.Name && len(a.Digest) == 1 && a.Digest["sha256"] == b.Digest["sha256"]
	})
	if !same {
		return &Error{File: file, Reason: ReasonContradiction, Detail: "its subjects are not the artifacts of this run"}
	}
	return nil
}

// checkBundle checks a Sigstore bundle, when one was signed.
func (c *checking) checkBundle(bundle, of string, contents map[string][]byte, purpose Purpose, signed time.Time) error {
	if contents[bundle] == nil {
		return nil
	}
	public, err := p256(c.root)
	if err != nil {
		return err
	}
	if err := openBundle(bundle, contents[bundle], contents[of], of, public); err != nil {
		return err
	}
	return c.keys.good(bundle, public, purpose, signed)
}

func (c *checking) checkCertificate(ctx context.Context, contents map[string][]byte, d *detail, v *Verification) error {
	body, err := c.openOwn(ctx, CertificateFile, contents[CertificateFile])
	if err != nil {
		return err
	}
	var s summary
	st, err := decodeOwn(CertificateFile, body, CertificateType, "plumbline_schema", CertificateSchema, &s)
	if err != nil {
		return err
	}
	if err := s.check(c.run, d, map[string]string{EnvelopeFile: sha(c.envelope), DetailFile: sha(contents[DetailFile])}); err != nil {
		return err
	}
	if err := c.checkSubjects(CertificateFile, st, false); err != nil {
		return err
	}
	if err := c.keys.good(CertificateFile, c.public, ForCertificates, d.Issue.Issued); err != nil {
		return err
	}
	v.Certificate, v.NotAfter = s.Certificate, s.NotAfter
	if c.trust.At.IsZero() {
		return nil
	}
	return s.period(CertificateFile, c.trust.At)
}
