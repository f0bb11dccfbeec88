package seal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	intoto "github.com/in-toto/attestation/go/v1"

	"plumbline/reports"
)

// DetailFile holds the detail statement.
const DetailFile = "detail.dsse.json"

// The type of the detail statement and the version of its form.
const (
	DetailType   = "urn:plumbline:attestation:detail:v1"
	DetailSchema = "plumbline.detail/v1"
)

// Files of the run that the detail statement names by digest when they are there.
const (
	BICSFile        = "config/bics.json"  // what the system claims to be able to do
	BIXITFile       = "config/bixit.json" // what a test needs to know to reach it
	environmentFile = "env.json"
)

// subject and statement are an in-toto Statement v1 in its JSON form.
type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// detail is the predicate of the detail statement: what a reader needs to follow
// every decision without the run directory.
type detail struct {
	Schema     string            `json:"schema"`
	Issue      reports.Issue     `json:"issue"`
	Facts      detailFacts       `json:"facts"`
	Items      []reports.Item    `json:"iso17025_7_8_2_1"`
	Statements []string          `json:"statements"`
	Validity   *validity         `json:"validity,omitempty"` // of the certificate; nil when there is none
	Provenance string            `json:"harness_provenance"`
	RigHealth  reports.RigHealth `json:"rig_health"`
}

// uncertified refuses a detail statement with the period of a certificate that
// was not signed along with it.
func (d *detail) uncertified() error {
	if d.Validity == nil {
		return nil
	}
	return &Error{File: DetailFile, Reason: ReasonContradiction,
		Detail: fmt.Sprintf("it says that a certificate holds until %s, and none was signed along with it", date(d.Validity.NotAfter))}
}

// detailFacts follow from the run directory alone; Verify makes them again.
type detailFacts struct {
	Run          string              `json:"run"`
	Verdict      reports.Verdict     `json:"verdict"`
	Certified    bool                `json:"certified"`
	Profile      reports.Profile     `json:"profile"`
	Tool         reports.Tool        `json:"tool"`
	Seed         string              `json:"seed"` // decimal: it may not fit into a JSON number
	Requirements []detailRequirement `json:"requirements"`
	Attempts     []detailAttempt     `json:"attempts"`
	EvidenceRoot string              `json:"evidence_root_sha256"`
	Manifest     string              `json:"manifest_sha256"`
	Environment  string              `json:"environment_sha256,omitempty"`
	BICS         string              `json:"bics_sha256,omitempty"`
	BIXIT        string              `json:"bixit_sha256,omitempty"`
}

type detailRequirement struct {
	ID          string               `json:"id"`
	Class       reports.Class        `json:"class"`
	Verdict     reports.Verdict      `json:"verdict"`
	Reason      reports.Reason       `json:"reason,omitempty"`
	Scenario    string               `json:"scenario,omitempty"` // of the result that decides
	Measurement *reports.Measurement `json:"measurement,omitempty"`
}

// detailAttempt is one line of the ledger: no attempt is left out, whatever its end.
type detailAttempt struct {
	Requirement string          `json:"requirement"`
	Scenario    string          `json:"scenario"`
	Attempt     int             `json:"attempt"`
	Verdict     reports.Verdict `json:"verdict"`
	Reason      reports.Reason  `json:"reason,omitempty"`
	Voided      bool            `json:"voided,omitempty"` // by a validity gate, and repeated
}

// newFacts takes from the run and its manifest what the detail statement says.
func newFacts(run *reports.Run, manifest reports.Evidence, files []reports.Evidence) detailFacts {
	f := detailFacts{
		Run: run.ID, Verdict: run.Judge(), Certified: run.Certified(), Profile: run.Profile, Tool: run.Tool,
		Seed: strconv.FormatUint(run.Seed, 10), EvidenceRoot: EvidenceRoot(run.Evidence), Manifest: manifest.SHA256,
		Environment: digestOf(files, environmentFile), BICS: digestOf(files, BICSFile), BIXIT: digestOf(files, BIXITFile),
	}
	for _, j := range run.Judgements() {
		r := detailRequirement{ID: j.Requirement.ID, Class: j.Requirement.Class, Verdict: j.Verdict, Reason: j.Reason}
		if j.Deciding != nil {
			r.Scenario, r.Measurement = j.Deciding.Scenario, j.Deciding.Measurement
		}
		f.Requirements = append(f.Requirements, r)
		for _, res := range j.Standing {
			f.Attempts = append(f.Attempts, attemptOf(res, false))
		}
		for _, res := range j.Superseded {
			f.Attempts = append(f.Attempts, attemptOf(res, true))
		}
	}
	return f
}

func attemptOf(r *reports.Result, voided bool) detailAttempt {
	return detailAttempt{Requirement: r.Requirement, Scenario: r.Scenario, Attempt: r.Attempt, Verdict: r.Verdict, Reason: r.Reason, Voided: voided}
}

func digestOf(files []reports.Evidence, path string) string {
	for _, f := range files {
		if f.Path == path {
			return f.SHA256
		}
	}
	return ""
}

// subjects are the artifacts of the system under test.
func subjects(run *reports.Run) ([]subject, error) {
	out := make([]subject, 0, len(run.SUT.Artifacts)+1)
	for _, a := range run.SUT.Artifacts {
		if !validDigest(a.SHA256) {
			return nil, fmt.Errorf("seal: artifact %q: %q is not a SHA-256 digest in hex", a.Path, a.SHA256)
		}
		out = append(out, subjectOf(a.Path, a.SHA256))
	}
	return out, nil
}

func subjectOf(name, digest string) subject {
	return subject{Name: valid(name), Digest: map[string]string{string(intoto.AlgorithmSHA256): digest}}
}

// encodeOwn returns a statement with a predicate of ours as compact JSON.
func encodeOwn(predicateType string, subjects []subject, predicate any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(predicate); err != nil {
		return nil, fmt.Errorf("seal: statement %s: %w", predicateType, err)
	}
	s := statement{Type: intoto.StatementTypeUri, Subject: subjects, PredicateType: predicateType, Predicate: bytes.TrimSpace(buf.Bytes())}
	var out bytes.Buffer
	enc = json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("seal: statement %s: %w", predicateType, err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// decodeOwn reads a statement that encodeOwn wrote and insists on both types;
// predicate gets its predicate, which names its schema in the field schemaField.
func decodeOwn(file string, body []byte, predicateType, schemaField, schema string, predicate any) (*statement, error) {
	var s statement
	if err := strictJSON(file, body, &s); err != nil {
		return nil, err
	}
	if s.Type != intoto.StatementTypeUri || s.PredicateType != predicateType {
		return nil, &Error{File: file, Reason: ReasonType,
			Detail: fmt.Sprintf("statement %q with predicate %q, want %q with %q", s.Type, s.PredicateType, intoto.StatementTypeUri, predicateType)}
	}
	var head map[string]json.RawMessage
	if err := json.Unmarshal(s.Predicate, &head); err != nil {
		return nil, broken(file, err)
	}
	var have string
	if err := json.Unmarshal(head[schemaField], &have); err != nil || have != schema {
		return nil, &Error{File: file, Reason: ReasonSchema, Detail: fmt.Sprintf("schema is %q, this program reads %q", have, schema)}
	}
	return &s, strictJSON(file, s.Predicate, predicate)
}

func strictJSON(file string, content []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return broken(file, err)
	}
	return nil
}
