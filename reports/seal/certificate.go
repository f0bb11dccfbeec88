package seal

import (
	"fmt"
	"maps"
	"strings"
	"time"

	intoto "github.com/in-toto/attestation/go/v1"

	"plumbline/reports"
)

// CertificateFile holds the certificate statement; only a certified run has one.
const CertificateFile = "certificate.dsse.json"

// The type of the certificate statement (SLSA verification summary, v1) and the
// version of what Plumbline adds to it.
const (
	CertificateType   = "https://slsa.dev/verification_summary/v1"
	CertificateSchema = "plumbline.certificate/v1"
)

// verifierID names the judge with the version of its rules for giving certificates.
const verifierID = "urn:plumbline:verifier:v1"

// validity is how long a certificate holds.
type validity struct {
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"` // the first moment at which it does not hold
}

// summary is the predicate of the certificate: the fields of a verification
// summary, and ours with their prefix. A consumer that ignores unknown fields
// still reads a passed verification of the subjects by a profile at a time; that
// it expires is known to those who read ours.
type summary struct {
	Verifier struct {
		ID      string            `json:"id"`
		Version map[string]string `json:"version"`
	} `json:"verifier"`
	TimeVerified       time.Time  `json:"timeVerified"`
	ResourceURI        string     `json:"resourceUri"`
	Policy             resource   `json:"policy"`
	InputAttestations  []resource `json:"inputAttestations"`
	VerificationResult string     `json:"verificationResult"`
	VerifiedLevels     []string   `json:"verifiedLevels"`
	Schema             string     `json:"plumbline_schema"`
	Certificate        string     `json:"plumbline_certificate"`
	Run                string     `json:"plumbline_run"`
	NotBefore          time.Time  `json:"plumbline_not_before"`
	NotAfter           time.Time  `json:"plumbline_not_after"`
	Accreditation      string     `json:"plumbline_accreditation"`
}

type resource struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// newSummary states a certificate that rests on the two statements of digests
// given by file name.
func newSummary(c *reports.Certificate, statements map[string]string) summary {
	var s summary
	s.Verifier.ID = verifierID
	s.Verifier.Version = map[string]string{valid(c.Tool.Name): valid(c.Tool.Version)}
	s.TimeVerified = c.Issued
	s.ResourceURI = "urn:plumbline:sut:" + urnPart(c.SUT.Name)
	s.Policy = policyOf(c.Profile)
	for _, name := range []string{EnvelopeFile, DetailFile} {
		s.InputAttestations = append(s.InputAttestations, resource{URI: name, Digest: map[string]string{string(intoto.AlgorithmSHA256): statements[name]}})
	}
	s.VerificationResult = resultPassed
	s.VerifiedLevels = []string{level(c.Profile)}
	s.Schema, s.Certificate, s.Run = CertificateSchema, c.ID, valid(c.Run)
	s.NotBefore, s.NotAfter, s.Accreditation = c.NotBefore, c.NotAfter, reports.NotAccredited
	return s
}

func policyOf(p reports.Profile) resource {
	r := resource{URI: "urn:plumbline:profile:" + urnPart(p.Name) + ":" + urnPart(p.Version), Digest: map[string]string{}}
	if validDigest(p.Digest) {
		r.Digest[string(intoto.AlgorithmSHA256)] = p.Digest
	}
	return r
}

func samePolicy(a, b resource) bool { return a.URI == b.URI && maps.Equal(a.Digest, b.Digest) }

// level names what was verified, for example PLUMBLINE_PROFILE_CI_1_0.
func level(p reports.Profile) string {
	return "PLUMBLINE_PROFILE_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, p.Name+"_"+p.Version)
}

// urnPart keeps what RFC 8141 allows in a part of a name without escapes.
func urnPart(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r)) {
			return r
		}
		return '-'
	}, s)
}

// check compares a certificate with the run that it is about and with the
// statements it rests on.
func (s summary) check(run *reports.Run, d *detail, statements map[string]string) error {
	bad := func(reason Reason, format string, args ...any) error {
		return &Error{File: CertificateFile, Reason: reason, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.Run != valid(run.ID):
		return bad(ReasonOtherRun, "it certifies run %q, this directory is of run %q", s.Run, run.ID)
	case s.VerificationResult != resultPassed || !run.Certified():
		return bad(ReasonContradiction, "it says %s, and the run's verdict is %s, which is no certificate", s.VerificationResult, run.Judge())
	case s.Certificate != d.Issue.ID || d.Validity == nil || !s.NotBefore.Equal(d.Validity.NotBefore) || !s.NotAfter.Equal(d.Validity.NotAfter):
		return bad(ReasonContradiction, "its number or period are not those of %s", DetailFile)
	case !s.NotBefore.Before(s.NotAfter) || s.NotAfter.Sub(s.NotBefore) > reports.CertificateLife:
		return bad(ReasonContradiction, "it holds from %s to %s; allowed are %d days", date(s.NotBefore), date(s.NotAfter), int(reports.CertificateLife.Hours()/24))
	case !samePolicy(s.Policy, policyOf(run.Profile)):
		return bad(ReasonContradiction, "it names profile %s, the run was judged by %s %s", s.Policy.URI, run.Profile.Name, run.Profile.Version)
	}
	for _, in := range s.InputAttestations {
		have, known := statements[in.URI]
		if !known || in.Digest[string(intoto.AlgorithmSHA256)] != have {
			return bad(ReasonContradiction, "it rests on %s with SHA-256 %s, here that file has %s", in.URI, in.Digest[string(intoto.AlgorithmSHA256)], have)
		}
	}
	if len(s.InputAttestations) != len(statements) {
		return bad(ReasonContradiction, "it rests on %d statements, want %d", len(s.InputAttestations), len(statements))
	}
	return nil
}

// period reports a certificate that does not hold at a time.
func (s summary) period(file string, at time.Time) error {
	switch {
	case at.Before(s.NotBefore):
		return &Error{File: file, Reason: ReasonNotYet, Detail: fmt.Sprintf("it holds from %s, asked was %s", date(s.NotBefore), date(at))}
	case !at.Before(s.NotAfter):
		return &Error{File: file, Reason: ReasonExpired, Detail: fmt.Sprintf("it held until %s, asked was %s", date(s.NotAfter), date(at))}
	default:
		return nil
	}
}
