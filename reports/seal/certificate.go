package seal

import (
	"fmt"
	"slices"
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

// profileURN begins the policy of a certificate.
const profileURN = "urn:plumbline:profile:"

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
	r := resource{URI: profileURN + urnPart(p.Name) + ":" + urnPart(p.Version), Digest: map[string]string{}}
	if validDigest(p.Digest) {
		r.Digest[string(intoto.AlgorithmSHA256)] = p.Digest
	}
	return r
}

// level names what was verified, for example PLUMBLINE_PROFILE_CI_1_0.
func level(p reports.Profile) string { return levelOf(p.Name + "_" + p.Version) }

// levelOf gives the same for the part of a policy that names the profile.
func levelOf(profile string) string {
	return "PLUMBLINE_PROFILE_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, profile)
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

// check compares a certificate with the one that the run and the issue of the
// detail statement give: nothing in it is the signer's to choose, its period
// least of all, because the key is judged at the date of issue.
func (s summary) check(run *reports.Run, d *detail, statements map[string]string) error {
	bad := func(reason Reason, format string, args ...any) error {
		return &Error{File: CertificateFile, Reason: reason, Detail: fmt.Sprintf(format, args...)}
	}
	if s.Run != valid(run.ID) {
		return bad(ReasonOtherRun, "it certifies run %q, this directory is of run %q", s.Run, run.ID)
	}
	c, err := reports.NewCertificate(run, d.Issue)
	if err != nil || s.VerificationResult != resultPassed {
		return bad(ReasonContradiction, "it says %s, and the run's verdict is %s, which is no certificate", s.VerificationResult, run.Judge())
	}
	if name, have, want := differing(s, newSummary(c, statements)); name != "" {
		return bad(ReasonContradiction, "its %s is %s; %s and %s give %s", name, have, summaryFile, DetailFile, want)
	}
	if d.Validity == nil || !d.Validity.NotBefore.Equal(c.NotBefore) || !d.Validity.NotAfter.Equal(c.NotAfter) {
		return bad(ReasonContradiction, "its period is not that of %s", DetailFile)
	}
	return nil
}

// alone checks what a certificate says of itself when its run is not at hand:
// number, period and level have one value each.
func (s summary) alone(file string) error {
	bad := func(format string, args ...any) error {
		return &Error{File: file, Reason: ReasonContradiction, Detail: fmt.Sprintf(format, args...)}
	}
	number := reports.IssueID(&reports.Run{ID: s.Run}, s.TimeVerified, "")
	profile, named := strings.CutPrefix(s.Policy.URI, profileURN)
	switch {
	case s.VerificationResult != resultPassed:
		return bad("its result is %q, which is no certificate", s.VerificationResult)
	case !s.NotBefore.Equal(s.TimeVerified) || !s.NotAfter.Equal(s.TimeVerified.Add(reports.CertificateLife)):
		return bad("it is dated %s and holds from %s to %s; a certificate holds from its date on, for %d days",
			date(s.TimeVerified), date(s.NotBefore), date(s.NotAfter), int(reports.CertificateLife.Hours()/24))
	case !strings.HasPrefix(s.Certificate, number):
		return bad("its number is %q, its run and date give %s…", s.Certificate, number)
	case !named || !slices.Equal(s.VerifiedLevels, []string{levelOf(profile)}):
		return bad("it verifies the levels %q and names profile %q", s.VerifiedLevels, s.Policy.URI)
	case s.Verifier.ID != verifierID:
		return bad("its verifier is %q, this program reads %q", s.Verifier.ID, verifierID)
	case s.Accreditation != reports.NotAccredited:
		return bad("it says of its accreditation %q; what this program reads is not issued under any", s.Accreditation)
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
