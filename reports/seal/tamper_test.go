package seal

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"plumbline/reports"
	"plumbline/reports/render"
)

func TestMissingAdditionalAndMoved(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(dir string) error
		file   string
		reason Reason
	}{
		{"missing evidence", func(dir string) error { return os.Remove(filepath.Join(dir, "env.json")) }, "env.json", ReasonMissing},
		{"missing manifest", func(dir string) error { return os.Remove(filepath.Join(dir, ManifestFile)) }, ManifestFile, ReasonMissing},
		{"missing envelope", func(dir string) error { return os.Remove(filepath.Join(dir, EnvelopeFile)) }, EnvelopeFile, ReasonMissing},
		{"missing folder", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "records", "steady")) }, "records/steady/events.jsonl", ReasonMissing},
		{"additional file", func(dir string) error { return os.WriteFile(filepath.Join(dir, "records", "extra.bin"), nil, 0o600) }, "records/extra.bin", ReasonAdditional},
		{"second envelope", func(dir string) error { return os.WriteFile(filepath.Join(dir, "other.dsse.json"), nil, 0o600) }, "other.dsse.json", ReasonAdditional},
		{"renamed", func(dir string) error {
			return os.Rename(filepath.Join(dir, "env.json"), filepath.Join(dir, "env2.json"))
		}, "env2.json", ReasonAdditional},
		{"emptied", func(dir string) error { return os.Truncate(filepath.Join(dir, "env.json"), 0) }, "env.json", ReasonDigest},
	} {
		dir, key := runDir(t, sampleRun())
		if err := c.change(dir); err != nil {
			t.Fatal(err)
		}
		_, err := Verify(t.Context(), dir, public(key))
		if err == nil {
			t.Errorf("%s: verifies", c.name)
			continue
		}
		wantProblem(t, err, c.file, c.reason)
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	dir, key := runDir(t, sampleRun())
	err := errors.Join(os.Remove(filepath.Join(dir, "env.json")), os.WriteFile(filepath.Join(dir, "new.txt"), nil, 0o600), os.Truncate(filepath.Join(dir, "sut", "bridged.log"), 1))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Verify(t.Context(), dir, public(key))
	for _, want := range []string{"env.json: missing", "new.txt: additional file", "sut/bridged.log: changed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

func TestLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege on Windows")
	}
	outside := filepath.Join(t.TempDir(), "outside")
	dir, key := runDir(t, sampleRun())
	env := filepath.Join(dir, "env.json")
	content, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(outside, content, 0o600), os.Remove(env), os.Symlink(outside, env)); err != nil {
		t.Fatal(err)
	}
	_, err = Verify(t.Context(), dir, public(key))
	wantProblem(t, err, "env.json", ReasonSpecial)
	wantProblem(t, Seal(t.Context(), dir, key, sampleRun()), "env.json", ReasonSpecial)

	dir, key = runDir(t, sampleRun())
	manifest := filepath.Join(dir, ManifestFile)
	if err := errors.Join(os.Rename(manifest, outside), os.Symlink(outside, manifest)); err != nil {
		t.Fatal(err)
	}
	_, err = Verify(t.Context(), dir, public(key))
	wantProblem(t, err, ManifestFile, ReasonSpecial)
}

func TestWrongKey(t *testing.T) {
	dir, key := runDir(t, sampleRun())
	_, stranger := runDir(t, sampleRun())
	_, err := Verify(t.Context(), dir, public(stranger))
	wantProblem(t, err, EnvelopeFile, ReasonKey)

	// A stranger seals the run anew: the embedded key agrees, the pinned one does not.
	if err := Seal(t.Context(), dir, stranger, sampleRun()); err != nil {
		t.Fatal(err)
	}
	if v, err := Verify(t.Context(), dir, nil); err != nil || v.Pinned {
		t.Errorf("embedded key: %+v, %v", v, err)
	}
	_, err = Verify(t.Context(), dir, public(key))
	wantProblem(t, err, EnvelopeFile, ReasonKey)

	// The key id is only a hint: claiming the right one does not help.
	content, err := os.ReadFile(filepath.Join(dir, EnvelopeFile))
	if err != nil {
		t.Fatal(err)
	}
	claimed, errA := KeyID(public(key))
	actual, errB := KeyID(public(stranger))
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(content), actual, claimed, 1)
	if err := os.WriteFile(filepath.Join(dir, EnvelopeFile), []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Verify(t.Context(), dir, public(key))
	wantProblem(t, err, EnvelopeFile, ReasonSignature)
}

// resign writes an envelope over body with its own payload type, signed by key.
func resign(t *testing.T, dir string, k *keypair, payloadType string, body []byte) {
	t.Helper()
	signer, err := dsse.NewEnvelopeSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	e, err := signer.SignPayload(t.Context(), payloadType, body)
	if err != nil {
		t.Fatal(err)
	}
	content, err := encodeJSON(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, EnvelopeFile), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSignedButWrong: what the right key signed is refused all the same when it
// is of another type or says something else than the directory.
func TestSignedButWrong(t *testing.T) {
	replace := func(from, to string) func(string) string {
		return func(body string) string { return strings.Replace(body, from, to, 1) }
	}
	for _, c := range []struct {
		name, payloadType string
		change            func(string) string
		file              string
		reason            Reason
	}{
		{"payload type", "application/json", replace("", ""), EnvelopeFile, ReasonType},
		{"predicate type", PayloadType, replace("test-result/v0.1", "svr/v0.1"), EnvelopeFile, ReasonType},
		{"statement type", PayloadType, replace("Statement/v1", "Statement/v0.1"), EnvelopeFile, ReasonType},
		{"no statement", PayloadType, func(string) string { return `{}` }, EnvelopeFile, ReasonMalformed},
		{"no JSON", PayloadType, func(string) string { return `hello` }, EnvelopeFile, ReasonMalformed},
		{"unknown field", PayloadType, replace(`{"_type"`, `{"more":1,"_type"`), EnvelopeFile, ReasonMalformed},
		{"no manifest subject", PayloadType, replace(`"name":"manifest.json"`, `"name":"other.json"`), EnvelopeFile, ReasonMalformed},
		{"better result", PayloadType, replace(`"result":"FAILED"`, `"result":"PASSED"`), summaryFile, ReasonContradiction},
		{"test moved to passed", PayloadType, replace(`"failedTests":["LAT-01"]`, `"failedTests":[]`), summaryFile, ReasonContradiction},
		{"another artifact", PayloadType, replace(strings.Repeat("ab", 32), strings.Repeat("cd", 32)), summaryFile, ReasonContradiction},
	} {
		run := sampleRun()
		run.Results[0].Verdict = reports.Fail
		run.Overall = run.Judge()
		dir, key := runDir(t, run)
		body := opened(t, dir, EnvelopeFile, key)
		id, err := KeyID(public(key))
		if err != nil {
			t.Fatal(err)
		}
		changed := c.change(string(body))
		if changed == string(body) && c.payloadType == PayloadType {
			t.Fatalf("%s: nothing changed in %s", c.name, body)
		}
		resign(t, dir, &keypair{id: id, public: public(key), private: key}, c.payloadType, []byte(changed))
		_, err = Verify(t.Context(), dir, public(key))
		if err == nil {
			t.Errorf("%s: verifies", c.name)
			continue
		}
		wantProblem(t, err, c.file, c.reason)
	}
}

func TestManifestRefuses(t *testing.T) {
	entry := func(path string) reports.Evidence {
		return reports.Evidence{Path: path, SHA256: strings.Repeat("0", 64)}
	}
	for _, path := range []string{"../secret", "/etc/passwd", "a/../../b", "", ".", "a//b", `a\..\b`, "./a"} {
		content, err := Manifest{Schema: ManifestSchema, Files: []reports.Evidence{entry(path)}}.encode()
		if err != nil {
			t.Fatal(err)
		}
		_, err = decodeManifest(content)
		if path == "." {
			continue // a folder: refused when it is read as a file
		}
		var typed *Error
		if !errors.As(err, &typed) || typed.Reason != ReasonOutside {
			t.Errorf("path %q: %v", path, err)
		}
	}
	for name, m := range map[string]Manifest{
		"twice":        {Schema: ManifestSchema, Files: []reports.Evidence{entry("a"), entry("a")}},
		"out of order": {Schema: ManifestSchema, Files: []reports.Evidence{entry("b"), entry("a")}},
		"no files":     {Schema: ManifestSchema},
		"other schema": {Schema: "v9", Files: []reports.Evidence{entry("a")}},
	} {
		content, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest(content); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := decodeManifest([]byte(`{"schema":"plumbline.manifest/v1","extra":1}`)); err == nil {
		t.Error("unknown field accepted")
	}
}

func TestVerifyBadDirectories(t *testing.T) {
	if _, err := Verify(t.Context(), filepath.Join(t.TempDir(), "absent"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent directory: %v", err)
	}
	_, err := Verify(t.Context(), t.TempDir(), nil)
	wantProblem(t, err, PublicKeyFile, ReasonMissing)
	dir, key := runDir(t, sampleRun())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, dir, public(key)); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

// TestRenderedAgain: rendering anew from the sealed summary changes nothing.
func TestRenderedAgain(t *testing.T) {
	dir, key := runDir(t, sampleRun())
	run, err := render.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := render.All(dir, run); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), dir, public(key)); err != nil {
		t.Errorf("after rendering again: %v", err)
	}
}

func TestManifestIsJSONForOthers(t *testing.T) {
	dir, _ := runDir(t, sampleRun())
	content, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil || m.Run != sampleRun().ID {
		t.Errorf("%+v, %v", m, err)
	}
	for _, f := range m.Files {
		if f.Path == ManifestFile || f.Path == EnvelopeFile {
			t.Errorf("the manifest lists %s", f.Path)
		}
	}
}

// TestSealRefusesNamesThatCannotVerify: a manifest names files for every
// system, so a name that only this one can hold is refused before signing.
func TestSealRefusesNamesThatCannotVerify(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system has no such names")
	}
	for _, name := range []string{`a\b.log`, "bad\xff.log", "two\nlines.log", "a\x1b[31m.log"} {
		dir, key := runDir(t, sampleRun())
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantProblem(t, Seal(t.Context(), dir, key, sampleRun()), name, ReasonName)
	}
}
