package seal

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

// Files that Issue writes beside those of Seal.
const (
	ReportBundle      = "report.sigstore.json"      // over report.dsse.json, when there is a P-256 key
	CertificateBundle = "certificate.sigstore.json" // over certificate.dsse.json
	P256KeyFile       = "signer-p256.pub.pem"
	GuideFile         = "VERIFY.md" // how to check all of it with openssl alone
)

//go:embed VERIFY.md
var guide []byte

// Guide returns the recipe by which an outsider checks a sealed directory with
// openssl and the tools of any Unix; the caller owns the copy.
func Guide() []byte { return bytes.Clone(guide) }

// Signer holds the keys that sign a run.
type Signer struct {
	Key  ed25519.PrivateKey
	P256 *ecdsa.PrivateKey // nil: no Sigstore bundles
	Keys []byte            // key list (file form) that names both; nil: nobody vouches for them
}

// Terms say what no record of a run can: who issues it, for whom and when.
type Terms struct {
	Issued     time.Time
	Laboratory reports.Laboratory // used where the key list says nothing
	Customer   string
	Authoriser string
	Method     reports.Method
}

// Issued is what Issue wrote.
type Issued struct {
	ID          string               // of report and certificate
	Certificate *reports.Certificate // nil when there is none
	Why         string               // there is none
}

// records returns what the key list says about the signer's keys, none without a
// list. A list that does not vouch for both keys at that time is an error.
func (s Signer) records(ctx context.Context, at time.Time) ([]KeyRecord, error) {
	if s.Keys == nil {
		return nil, nil
	}
	list, err := OpenKeys(ctx, s.Keys, nil)
	if err != nil {
		return nil, err
	}
	publics := []any{s.Key.Public()}
	if s.P256 != nil {
		publics = append(publics, s.P256.Public())
	}
	var all []KeyRecord
	for _, public := range publics {
		id, err := KeyID(public)
		if err != nil {
			return nil, err
		}
		r, listed := list.Key(id)
		if !listed {
			return nil, fmt.Errorf("seal: signing key %s is not in the key list of root %s", id, list.Root.ID)
		}
		if reason, detail := r.Refuse(ForReports, at); reason != "" {
			return nil, fmt.Errorf("seal: the signing key is not good (%s): %s", reason, detail)
		}
		all = append(all, r)
	}
	return all, nil
}

// Check reports why nothing can be signed at that time, before a long run is
// made in vain.
func (s Signer) Check(ctx context.Context, at time.Time) error {
	if len(s.Key) != ed25519.PrivateKeySize {
		return errors.New("seal: sign: not an Ed25519 key")
	}
	_, err := s.records(ctx, at)
	return err
}

// Issue seals a run as Seal does and adds the detail statement, the recipe of
// VERIFY.md, the key list, Sigstore bundles when there is a P-256 key and, when
// the run is certified and the key may certify, the certificate with its page
// and its record for a public list. It never writes a certificate for any other
// run, and removes one that lies there. A run that earned one and gets none says why
// from then on (reports.Run.Uncertified), and its reports are written again. The same
// run, keys and terms give the same bytes.
func Issue(ctx context.Context, dir string, signer Signer, terms Terms, run *reports.Run) (*Issued, error) {
	terms.Issued = terms.Issued.UTC().Truncate(time.Second)
	if err := fit(dir, run); err != nil {
		return nil, err
	}
	if err := signer.Check(ctx, terms.Issued); err != nil {
		return nil, err
	}
	records, err := signer.records(ctx, terms.Issued)
	if err != nil {
		return nil, err
	}
	issue, err := newIssue(signer, records, terms, run)
	if err != nil {
		return nil, err
	}
	out := &Issued{ID: issue.ID}
	if out.Certificate, out.Why, err = certify(records, run, issue); err != nil {
		return nil, err
	}
	if err := tellUncertified(dir, out, run); err != nil {
		return nil, err
	}
	s, err := listShown(ctx, dir, signer, out, run)
	if err != nil {
		return nil, err
	}
	beside, err := s.statements(ctx, signer, issue, out.Certificate)
	if err != nil {
		return nil, err
	}
	return out, s.finish(ctx, signer.Key, beside)
}

// listShown writes what people read and lists every file. A certificate is taken
// back when evidence is not what was judged: it could not be verified.
func listShown(ctx context.Context, dir string, signer Signer, out *Issued, run *reports.Run) (*sealing, error) {
	if err := writeShown(dir, signer, out.Certificate); err != nil {
		return nil, err
	}
	s, err := newSealing(ctx, dir, run)
	if err != nil {
		return nil, err
	}
	changed := changedEvidence(run, s.files)
	if out.Certificate == nil || changed == "" {
		return s, nil
	}
	out.Certificate, out.Why = nil, fmt.Sprintf("evidence %q changed after it was judged; run again, and let nothing write into the run directory", changed)
	if err := tellUncertified(dir, out, run); err != nil {
		return nil, err
	}
	return listShown(ctx, dir, signer, out, run)
}

// tellUncertified writes the reports again where the run earned a certificate and gets
// none: none of them may call it certified.
func tellUncertified(dir string, out *Issued, run *reports.Run) error {
	if out.Certificate != nil || !run.Certified() {
		return nil
	}
	run.Uncertified = out.Why
	return render.All(dir, run)
}

// Withdraw takes back what says that a run is certified, when it earned a certificate and
// could not be sealed: the certificate goes, and every form of the report is written
// again with the reason. It is for the reports of a seal that failed, on whatever disk:
// forms go before new ones are written, which makes room, and a summary that cannot be
// written anew goes, too. Of a run that earned none there is nothing to take back.
func Withdraw(dir, why string, run *reports.Run) error {
	if !run.Earned() {
		return nil
	}
	if run.Uncertified == "" {
		run.Uncertified = why
	}
	err := removeFiles(dir, CertificateFile, CertificateBundle, render.CertificateFile, ListingFile, ListingSchemaFile,
		render.BadgeFile, render.HTMLFile, render.MarkdownFile, render.TextFile, render.JUnitFile, render.CTRFFile, render.MetricsFile)
	if failed := render.All(dir, run); failed != nil {
		err = errors.Join(err, failed)
		if old, lerr := render.Load(dir); lerr == nil && old.Certified() {
			err = errors.Join(err, removeFiles(dir, summaryFile))
		}
	}
	return err
}

func removeFiles(dir string, names ...string) (err error) {
	for _, name := range names {
		if e := os.Remove(filepath.Join(dir, name)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("seal: %w", e))
		}
	}
	return err
}

// changedEvidence names the first file that the run calls evidence and that is
// not what it was, "" when all are.
func changedEvidence(run *reports.Run, files []reports.Evidence) string {
	for _, e := range run.Evidence {
		if digestOf(files, e.Path) != e.SHA256 {
			return e.Path
		}
	}
	return ""
}

func newIssue(signer Signer, records []KeyRecord, terms Terms, run *reports.Run) (reports.Issue, error) {
	id, err := KeyID(signer.Key.Public())
	if err != nil {
		return reports.Issue{}, err
	}
	issue := reports.Issue{Issued: terms.Issued, Laboratory: terms.Laboratory, Customer: terms.Customer, Authoriser: terms.Authoriser,
		Signer: id, Method: terms.Method, EvidenceRoot: EvidenceRoot(run.Evidence)}
	if len(records) > 0 {
		issue.Laboratory = records[0].laboratory()
	}
	issue.ID = reports.IssueID(run, terms.Issued, issue.EvidenceRoot)
	return issue, nil
}

// certify returns the certificate, or why there is none.
func certify(records []KeyRecord, run *reports.Run, issue reports.Issue) (*reports.Certificate, string, error) {
	c, err := reports.NewCertificate(run, issue)
	if errors.Is(err, reports.ErrNotCertified) {
		return nil, err.Error(), nil
	}
	for _, r := range records {
		if reason, detail := r.Refuse(ForCertificates, issue.Issued); reason != "" {
			return nil, string(reason) + ": " + detail + "; run again with a key that may sign certificates: sealing this run again gives none", nil
		}
	}
	return c, "", err
}

// writeShown writes the files that the manifest is to list, and removes those of
// an earlier certificate.
func writeShown(dir string, signer Signer, c *reports.Certificate) error {
	if err := writePublic(dir, PublicKeyFile, signer.Key); err != nil {
		return err
	}
	files := map[string][]byte{GuideFile: guide, KeysFile: signer.Keys, P256KeyFile: nil, render.CertificateFile: nil, ListingFile: nil, ListingSchemaFile: nil}
	var err error
	if signer.P256 != nil {
		if files[P256KeyFile], err = MarshalPublicKey(signer.P256.Public()); err != nil {
			return err
		}
	}
	if c != nil {
		var page bytes.Buffer
		if err := render.Certificate(&page, c); err != nil {
			return err
		}
		files[render.CertificateFile], files[ListingSchemaFile] = page.Bytes(), listingSchema
		if files[ListingFile], err = encodeListing(c); err != nil {
			return err
		}
	}
	for name, content := range files {
		if content == nil {
			err = os.Remove(filepath.Join(dir, name))
		} else {
			err = write(dir, name, content)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("seal: %w", err)
		}
	}
	return nil
}

// statements returns the files of the seal beside manifest and report.
func (s *sealing) statements(ctx context.Context, signer Signer, issue reports.Issue, c *reports.Certificate) (map[string][]byte, error) {
	out := map[string][]byte{}
	names := []string{DetailFile}
	if signer.P256 != nil {
		names = append(names, ReportBundle)
	}
	if c != nil {
		names = append(names, CertificateFile)
		if signer.P256 != nil {
			names = append(names, CertificateBundle)
		}
	}
	report, err := s.report(ctx, signer.Key, names)
	if err != nil {
		return nil, err
	}
	if out[DetailFile], err = s.detail(ctx, signer.Key, issue, c); err != nil {
		return nil, err
	}
	if c != nil {
		if out[CertificateFile], err = s.certificate(ctx, signer.Key, c, map[string]string{EnvelopeFile: sha(report), DetailFile: sha(out[DetailFile])}); err != nil {
			return nil, err
		}
	}
	if signer.P256 == nil {
		return out, nil
	}
	if out[ReportBundle], err = signBundle(signer.P256, report); err != nil {
		return nil, err
	}
	if c != nil {
		if out[CertificateBundle], err = signBundle(signer.P256, out[CertificateFile]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *sealing) detail(ctx context.Context, key ed25519.PrivateKey, issue reports.Issue, c *reports.Certificate) ([]byte, error) {
	about, err := subjects(s.run)
	if err != nil {
		return nil, err
	}
	d := detail{Schema: DetailSchema, Issue: issue, Facts: newFacts(s.run, s.manifest, s.files), Items: issue.Items(s.run), Statements: issue.Statements(),
		Provenance: "none published; the harness is named by version, commit and SHA-256", RigHealth: s.run.Rig}
	if c != nil {
		d.Validity = &validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}
	}
	body, err := encodeOwn(DetailType, append(about, subjectOf(ManifestFile, s.manifest.SHA256)), d)
	if err != nil {
		return nil, err
	}
	return sign(ctx, key, PayloadType, body)
}

func (s *sealing) certificate(ctx context.Context, key ed25519.PrivateKey, c *reports.Certificate, statements map[string]string) ([]byte, error) {
	about, err := subjects(s.run)
	if err != nil {
		return nil, err
	}
	if len(about) == 0 { // a remote system of which nothing is at hand: the certificate is about the run alone
		about = append(about, subjectOf(ManifestFile, s.manifest.SHA256))
	}
	body, err := encodeOwn(CertificateType, about, newSummary(c, statements))
	if err != nil {
		return nil, err
	}
	return sign(ctx, key, PayloadType, body)
}
