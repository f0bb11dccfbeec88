package seal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

func sampleRun() *reports.Run {
	digest := strings.Repeat("ab", 32)
	run := &reports.Run{Schema: reports.SchemaVersion, ID: "20251123T094107Z_ci_7f3a", Started: time.Unix(1000, 0), Finished: time.Unix(1090, 0), Certifying: true,
		Profile: reports.Profile{Name: "ci", Version: "1.0", Digest: digest}, Tool: reports.Tool{Name: "plumbline", Version: "0.1.0"},
		SUT: reports.SUT{Name: "bridged", Artifacts: []reports.Evidence{{Path: "bridged", SHA256: digest, Size: 12}}}}
	for _, id := range []string{"LAT-01", "DEL-01", "SEC-02"} {
		run.Requirements = append(run.Requirements, reports.Requirement{ID: id, Title: id, Text: "It shall.", Class: reports.Mandatory})
		run.Results = append(run.Results, reports.Result{Requirement: id, Scenario: "steady", Verdict: reports.Pass, Attempt: 1, Sentence: "Met."})
	}
	run.Overall = run.Judge()
	return run
}

// sampleFiles are the files of the sample run beside its reports.
func sampleFiles() map[string]string {
	return map[string]string{
		"records/steady/records.bin": strings.Repeat("\x00\x01\x02\x03", 64), "records/steady/events.jsonl": "{\"at_ns\":1}\n",
		"records/steady/index.json": "{}\n", "config/effective.yaml": "kind: Bridge\n", "sut/bridged.log": "ready\n", "env.json": "{}\n", "records.txt": "sorts before records/\n", "latency/steady.hlog": "#hlog\n",
	}
}

// runDir makes a sealed run directory with one file of each kind.
func runDir(t *testing.T, run *reports.Run) (dir string, key ed25519.PrivateKey) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "run")
	for name, content := range sampleFiles() {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := render.All(dir, run); err != nil {
		t.Fatal(err)
	}
	key, created, err := OpenKey(filepath.Join(t.TempDir(), "keys", "signing.pem"))
	if err != nil || !created {
		t.Fatalf("OpenKey: created %v, %v", created, err)
	}
	if err := Seal(t.Context(), dir, key, run); err != nil {
		t.Fatal(err)
	}
	return dir, key
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// opened returns the signed body of an envelope in dir.
func opened(t *testing.T, dir, file string, key ed25519.PrivateKey) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	e, err := parseEnvelope(file, content, PayloadType)
	if err != nil {
		t.Fatal(err)
	}
	body, err := e.open(t.Context(), public(key))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// wantProblem checks that err is typed and names file and reason.
func wantProblem(t *testing.T, err error, file string, reasons ...Reason) {
	t.Helper()
	var typed *Error
	if !errors.As(err, &typed) {
		t.Fatalf("got %v, want an error about %s", err, file)
	}
	if typed.File != file {
		t.Errorf("error names %q, want %q: %v", typed.File, file, err)
	}
	for _, r := range reasons {
		if typed.Reason == r {
			return
		}
	}
	if len(reasons) > 0 {
		t.Errorf("reason %q, want one of %q", typed.Reason, reasons)
	}
}

func TestSealedRunVerifies(t *testing.T) {
	dir, key := runDir(t, sampleRun())
	for name, pinned := range map[string]ed25519.PublicKey{"pinned": public(key), "embedded": nil} {
		v, err := Verify(t.Context(), dir, pinned)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v.Result != "PASSED" || v.Verdict != reports.Pass || v.Run != sampleRun().ID || v.Files != 18 || v.Bytes == 0 || v.Pinned != (pinned != nil) {
			t.Errorf("%s: %+v", name, v)
		}
		if unknown := strings.Contains(v.String(), "SIGNER IS NOT ESTABLISHED"); unknown != (pinned == nil) {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// TestFlipEveryFile changes one byte at several places of every file, one at a
// time, and wants the file named.
func TestFlipEveryFile(t *testing.T) {
	dir, key := runDir(t, sampleRun())
	flipped := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, at := range []int{0, len(whole) / 2, len(whole) - 1} {
			bad := bytes.Clone(whole)
			bad[at] ^= 0x01 << (5 * (i % 2)) // a character, then its case
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				return err
			}
			_, err := Verify(context.Background(), dir, public(key))
			wantProblem(t, err, filepath.ToSlash(rel))
			flipped++
		}
		if _, err := Verify(context.Background(), dir, nil); err == nil {
			t.Errorf("%s: verifies with the embedded key", rel)
		}
		return os.WriteFile(path, whole, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if flipped < 18*3 {
		t.Errorf("only %d flips were tried", flipped)
	}
	if _, err := Verify(t.Context(), dir, public(key)); err != nil {
		t.Errorf("after repair: %v", err)
	}
}

// TestFlipBytesOfTheSeal tries every byte of the key id and the signature and
// every eleventh of the rest: base64 and JSON have bytes that a careless
// verifier would not notice.
func TestFlipBytesOfTheSeal(t *testing.T) {
	dir, key := runDir(t, sampleRun())
	for _, name := range []string{EnvelopeFile, ManifestFile, PublicKeyFile} {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		dense := bytes.Index(whole, []byte(`"signatures"`)) // -1 but in the envelope
		for at := range whole {
			if at%11 != 0 && (dense < 0 || at < dense) {
				continue
			}
			bad := bytes.Clone(whole)
			bad[at] ^= 0x01
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Verify(t.Context(), dir, public(key))
			if err == nil {
				t.Fatalf("%s: byte %d (%q → %q) changed unnoticed", name, at, whole[at], bad[at])
			}
			wantProblem(t, err, name)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStatementMapsVerdicts(t *testing.T) {
	for _, c := range []struct {
		name                   string
		change                 func(*reports.Run)
		result                 string
		passed, warned, failed int
	}{
		{"certified", func(*reports.Run) {}, "PASSED", 3, 0, 0},
		{"not certifying", func(r *reports.Run) { r.Certifying = false }, "WARNED", 3, 0, 0},
		{"optional failed", func(r *reports.Run) { r.Requirements[2].Class = reports.Optional; r.Results[2].Verdict = reports.Fail }, "WARNED", 2, 0, 1},
		{"conditional pass", func(r *reports.Run) { r.Results[0].Verdict = reports.ConditionalPass }, "FAILED", 2, 1, 0},
		{"conditional fail", func(r *reports.Run) { r.Results[0].Verdict = reports.ConditionalFail }, "FAILED", 2, 0, 1},
		{"fail", func(r *reports.Run) { r.Results[0].Verdict = reports.Fail }, "FAILED", 2, 0, 1},
		{"error is in no list", func(r *reports.Run) { r.Results[0].Verdict = reports.Error }, "FAILED", 2, 0, 0},
		{"inconclusive is in no list", func(r *reports.Run) {
			r.Results[0].Verdict, r.Results[0].Reason = reports.Inconclusive, reports.ReasonRig
		}, "FAILED", 2, 0, 0},
		{"not run is in no list", func(r *reports.Run) { r.Results = r.Results[1:] }, "FAILED", 2, 0, 0},
		{"partial", func(r *reports.Run) { r.Partial = "interrupted" }, "FAILED", 3, 0, 0},
		{"partial for no text", func(r *reports.Run) { r.Partial = "exit: \xff\xfe\x00\x1b" }, "FAILED", 3, 0, 0},
		{"nothing", func(r *reports.Run) { r.Requirements, r.Results = nil, nil }, "FAILED", 0, 0, 0},
	} {
		run := sampleRun()
		c.change(run)
		run.Overall = run.Judge()
		got := outcome(run)
		if got.GetResult() != c.result || len(got.GetPassedTests()) != c.passed || len(got.GetWarnedTests()) != c.warned || len(got.GetFailedTests()) != c.failed {
			t.Errorf("%s: %v", c.name, got)
		}
		dir, key := runDir(t, run)
		if v, err := Verify(t.Context(), dir, public(key)); err != nil || v.Result != c.result {
			t.Errorf("%s: verified as %+v, %v", c.name, v, err)
		}
	}
}

// TestStatementIsReadable checks the published form of the signed payload.
func TestStatementIsReadable(t *testing.T) {
	run := sampleRun()
	dir, key := runDir(t, run)
	body := opened(t, dir, EnvelopeFile, key)
	var s struct {
		Type          string `json:"_type"`
		PredicateType string `json:"predicateType"`
		Subject       []struct {
			Name   string
			Digest map[string]string
		}
		Predicate map[string]any
	}
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != PredicateType || len(s.Subject) != 2 ||
		s.Subject[0].Digest["sha256"] != run.SUT.Artifacts[0].SHA256 || s.Subject[1].Name != ManifestFile {
		t.Errorf("statement: %+v", s)
	}
	if s.Predicate["result"] != "PASSED" || s.Predicate[fieldVerdict] != "PASS" || s.Predicate[fieldRun] != run.ID || len(s.Predicate["configuration"].([]any)) != 3 {
		t.Errorf("predicate: %v", s.Predicate)
	}
}

// TestSealIsDeterministic: the same run, files and key give the same bytes.
func TestSealIsDeterministic(t *testing.T) {
	dir, key := runDir(t, sampleRun())
	read := func() string {
		a, errA := os.ReadFile(filepath.Join(dir, EnvelopeFile))
		b, errB := os.ReadFile(filepath.Join(dir, ManifestFile))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		return string(a) + string(b)
	}
	first := read()
	if err := Seal(t.Context(), dir, key, sampleRun()); err != nil {
		t.Fatal(err)
	}
	if read() != first {
		t.Error("sealing again gave other bytes")
	}
}

func TestSealRefuses(t *testing.T) {
	run := sampleRun()
	dir, key := runDir(t, run)
	if err := Seal(t.Context(), dir, key[:10], run); err == nil {
		t.Error("sealed with half a key")
	}
	other := sampleRun()
	other.Seed = 99
	if err := Seal(t.Context(), dir, key, other); err == nil || !strings.Contains(err.Error(), "not the run to be sealed") {
		t.Errorf("sealed another run than the one in the directory: %v", err)
	}
	forged := sampleRun()
	forged.Overall = reports.Fail
	if err := Seal(t.Context(), dir, key, forged); err == nil {
		t.Error("sealed an invalid run")
	}
	if err := Seal(t.Context(), t.TempDir(), key, run); err == nil || !strings.Contains(err.Error(), "render the run first") {
		t.Errorf("sealed an empty directory: %v", err)
	}
	bad := sampleRun()
	bad.SUT.Artifacts[0].SHA256 = "none"
	if err := render.All(dir, bad); err != nil {
		t.Fatal(err)
	}
	if err := Seal(t.Context(), dir, key, bad); err == nil || !strings.Contains(err.Error(), "bridged") {
		t.Errorf("sealed an artifact without digest: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := render.All(dir, run); err != nil {
		t.Fatal(err)
	}
	if err := Seal(ctx, dir, key, run); !errors.Is(err, context.Canceled) {
		t.Errorf("sealed under an ended context: %v", err)
	}
}

// TestASummaryThatIsReadIsVerifiedToo: what every other command reads of a run is not too
// large for verify.
func TestASummaryThatIsReadIsVerifiedToo(t *testing.T) {
	dir := t.TempDir()
	const size = 65 << 20
	put(t, dir, summaryFile, nil)
	if err := os.Truncate(filepath.Join(dir, summaryFile), size); err != nil { // sparse
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if content, err := readSmall(root, summaryFile); err != nil || len(content) != size {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}
