package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"plumbline/reports"
)

// The results of the test-result predicate.
const (
	resultPassed = "PASSED"
	resultWarned = "WARNED"
	resultFailed = "FAILED"
)

// Extension fields of the predicate. Consumers must ignore fields they do not
// know, so nothing depends on them for refusal: result fails closed by itself.
const (
	fieldRun        = "plumbline_run"
	fieldVerdict    = "plumbline_verdict"
	fieldCertifying = "plumbline_certifying"
	fieldPartial    = "plumbline_partial"
	fieldVerdicts   = "plumbline_verdicts"
	fieldDeselected = "plumbline_deselected" // requirements that the user left out
	fieldStatements = "plumbline_statements" // files beside the manifest that were signed along with this
)

// outcome maps a run onto the predicate: PASS → passedTests, CONDITIONAL PASS →
// warnedTests, CONDITIONAL FAIL and FAIL → failedTests, everything else in no
// list. The result is PASSED for a certified run only, WARNED when all that
// decides passed but the run certifies nothing or an optional requirement did
// not pass, and FAILED in every other case.
func outcome(run *reports.Run) *testresult.TestResult {
	out := &testresult.TestResult{Result: resultFailed}
	for _, j := range run.Judgements() {
		id := j.Requirement.ID
		switch j.Verdict {
		case reports.Pass:
			out.PassedTests = append(out.PassedTests, id)
		case reports.ConditionalPass:
			out.WarnedTests = append(out.WarnedTests, id)
		case reports.ConditionalFail, reports.Fail:
			out.FailedTests = append(out.FailedTests, id)
		default:
		}
	}
	if run.Judge() != reports.Pass {
		return out
	}
	out.Result = resultWarned
	if run.Certified() && len(out.WarnedTests)+len(out.FailedTests) == 0 {
		out.Result = resultPassed
	}
	return out
}

// encodeStatement returns the statement about run as compact JSON. manifest is
// the digest of manifest.json; files are its entries; beside are the files that
// are signed along with it.
func encodeStatement(run *reports.Run, manifest reports.Evidence, files []reports.Evidence, beside []string) ([]byte, error) {
	subjects := make([]*intoto.ResourceDescriptor, 0, len(run.SUT.Artifacts)+1)
	for _, a := range run.SUT.Artifacts {
		d, err := descriptor(a.Path, a.SHA256)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, d)
	}
	d, err := descriptor(manifest.Path, manifest.SHA256)
	if err != nil {
		return nil, err
	}
	subjects = append(subjects, d)
	predicate, err := encodePredicate(run, files)
	if err != nil {
		return nil, err
	}
	if len(beside) > 0 {
		predicate.Fields[fieldStatements] = stringList(beside)
	}
	statement := &intoto.Statement{Type: intoto.StatementTypeUri, Subject: subjects, PredicateType: PredicateType, Predicate: predicate}
	if err := statement.Validate(); err != nil {
		return nil, fmt.Errorf("seal: statement: %w", err)
	}
	return compact(protojson.Marshal(statement))
}

// encodePredicate builds the test-result predicate with our extension fields.
func encodePredicate(run *reports.Run, files []reports.Evidence) (*structpb.Struct, error) {
	result := outcome(run)
	profile := &intoto.ResourceDescriptor{Name: valid("profile/" + run.Profile.Name + "/" + run.Profile.Version)}
	if validDigest(run.Profile.Digest) {
		profile.Digest = map[string]string{string(intoto.AlgorithmSHA256): run.Profile.Digest}
	}
	result.Configuration = append(result.Configuration, profile)
	for _, f := range files {
		if f.Path == "config/effective.yaml" || f.Path == summaryFile {
			d, err := descriptor(f.Path, f.SHA256)
			if err != nil {
				return nil, err
			}
			result.Configuration = append(result.Configuration, d)
		}
	}
	content, err := protojson.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("seal: predicate: %w", err)
	}
	predicate := &structpb.Struct{}
	if err := protojson.Unmarshal(content, predicate); err != nil {
		return nil, fmt.Errorf("seal: predicate: %w", err)
	}
	verdicts := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for _, j := range run.Judgements() {
		verdicts.Fields[j.Requirement.ID] = structpb.NewStringValue(j.Verdict.String())
	}
	predicate.Fields[fieldRun] = structpb.NewStringValue(valid(run.ID))
	predicate.Fields[fieldVerdict] = structpb.NewStringValue(run.Judge().String())
	predicate.Fields[fieldCertifying] = structpb.NewBoolValue(run.Certifying)
	predicate.Fields[fieldPartial] = structpb.NewStringValue(valid(run.Partial))
	if run.Deselected != nil {
		var left []string
		for _, req := range run.Deselected.Requirements {
			left = append(left, req.ID)
		}
		predicate.Fields[fieldDeselected] = stringList(left)
	}
	predicate.Fields[fieldVerdicts] = structpb.NewStructValue(verdicts)
	return predicate, nil
}

func stringList(all []string) *structpb.Value {
	list := &structpb.ListValue{}
	for _, s := range all {
		list.Values = append(list.Values, structpb.NewStringValue(s))
	}
	return structpb.NewListValue(list)
}

func descriptor(name, digest string) (*intoto.ResourceDescriptor, error) {
	if !validDigest(digest) {
		return nil, fmt.Errorf("seal: artifact %q: %q is not a SHA-256 digest in hex", name, digest)
	}
	return &intoto.ResourceDescriptor{Name: valid(name), Digest: map[string]string{string(intoto.AlgorithmSHA256): digest}}, nil
}

// valid replaces every byte that is no UTF-8 by U+FFFD, as JSON does: error
// texts may carry anything, and a statement must be signed all the same.
func valid(s string) string { return string([]rune(s)) }

func validDigest(hexText string) bool {
	raw, err := hex.DecodeString(hexText)
	return err == nil && len(raw) == 32
}

// compact removes the spaces that protojson adds at random on purpose, so that
// the same run gives the same statement.
func compact(content []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("seal: statement: %w", err)
	}
	var buf bytes.Buffer
	if err := json.Compact(&buf, content); err != nil {
		return nil, fmt.Errorf("seal: statement: %w", err)
	}
	return buf.Bytes(), nil
}
