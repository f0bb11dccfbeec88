package seal

import (
	"bytes"
	"html"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"plumbline/reports"
	"plumbline/reports/render"
)

// follow runs the blocks of the recipe that lies in the directory, one after the
// other in one shell, as a reader does.
func follow(t *testing.T, dir string) (string, error) {
	t.Helper()
	for _, tool := range []string{"bash", "openssl", "awk", "base64", "diff", "find", "grep", "sed", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed; 'make deps-test' installs it", tool)
		}
	}
	var script bytes.Buffer
	for _, m := range regexp.MustCompile("(?ms)^```bash\n(.*?)^```$").FindAllSubmatch(Guide(), -1) {
		script.Write(m[1])
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+t.TempDir())
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// TestGuide: the recipe needs nothing of ours, says yes to what we signed and no
// to what was changed.
func TestGuide(t *testing.T) {
	l := newLab(t)
	dir, out := l.issued(t, withEvidence(t))
	text, err := follow(t, dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	id, err := KeyID(l.signer.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{id, l.list.Root.ID, `"plumbline_not_after":"2027-11-23T13:00:00Z"`, strings.Repeat("ab", 32)} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not print %q:\n%s", want, text)
		}
	}
	if yes := strings.Count(text, "Verified Successfully") + strings.Count(text, "Verified OK"); yes != 4+2 {
		t.Errorf("%d signatures were verified, want 6\n%s", yes, text)
	}
	if out.Certificate == nil {
		t.Fatal(out.Why)
	}
	for name, change := range map[string]func(){
		"evidence": func() { put(t, dir, "records/steady/events.jsonl", []byte("{}\n")) },
		"added":    func() { put(t, dir, "records/more", nil) },
		"added, with a name of several lines that are passed over": func() { put(t, dir, "manifest.json\nreport.dsse.json", nil) },
		"removed": func() { remove(t, dir, "env.json") },
		"manifest": func() {
			put(t, dir, ManifestFile, bytes.Replace(get(t, dir, ManifestFile), []byte(`"size": 3`), []byte(`"size": 4`), 1))
		},
		"key": func() { put(t, dir, PublicKeyFile, mustPEM(t)) },
		"certificate": func() {
			put(t, dir, CertificateFile, bytes.Replace(get(t, dir, CertificateFile), []byte("eyJf"), []byte("eyJg"), 1))
		},
		"bundle": func() { put(t, dir, ReportBundle, get(t, dir, CertificateBundle)) },
		"list": func() {
			put(t, dir, KeysFile, bytes.Replace(get(t, dir, KeysFile), []byte(`"sig": "`), []byte(`"sig": "AAAA`), 1))
		},
	} {
		dir, _ = l.issued(t, withEvidence(t))
		change()
		if text, err := follow(t, dir); err == nil {
			t.Errorf("%s: the recipe says yes\n%s", name, text)
		}
	}
}

func mustPEM(t *testing.T) []byte {
	t.Helper()
	content, err := MarshalPublicKey(newEd25519(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// pageRecipe matches the short recipe on the page of the report.
var pageRecipe = regexp.MustCompile(`(?s)<pre[^>]*aria-label="Commands of openssl">(.*?)</pre>`)

// TestTheRecipeOnThePage: what the page prints verifies what we signed, finds what was
// changed, and leaves nothing in the directory, which would break its seal.
func TestTheRecipeOnThePage(t *testing.T) {
	run := withEvidence(t)
	dir, key := runDir(t, run)
	if _, err := Issue(t.Context(), dir, Signer{Key: key}, terms(), run); err != nil {
		t.Fatal(err)
	}
	m := pageRecipe.FindSubmatch(get(t, dir, render.HTMLFile))
	if m == nil {
		t.Fatal("the page has no recipe for openssl")
	}
	follow := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", html.UnescapeString(string(m[1])))
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+t.TempDir())
		text, err := cmd.CombinedOutput()
		return string(text), err
	}
	text, err := follow()
	if err != nil || !strings.Contains(text, "Signature Verified Successfully") || !strings.Contains(text, sha(get(t, dir, ManifestFile))) {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := Verify(t.Context(), dir, nil); err != nil {
		t.Errorf("after the recipe: %v", err)
	}
	whole := get(t, dir, ManifestFile)
	put(t, dir, ManifestFile, append(bytes.Clone(whole), '\n'))
	if text, err := follow(); err == nil {
		t.Errorf("a changed manifest: the recipe says yes\n%s", text)
	}
	put(t, dir, ManifestFile, whole)
	put(t, dir, PublicKeyFile, mustPEM(t))
	if text, err := follow(); err == nil {
		t.Errorf("another key: the recipe says yes\n%s", text)
	}
}

// TestGuideWithLess: the same recipe fits a report without certificate, list and
// second key.
func TestGuideWithLess(t *testing.T) {
	run := withEvidence(t)
	run.Results[0].Verdict = reports.Fail
	run.Overall = run.Judge()
	dir, key := runDir(t, run)
	if err := render.All(dir, run); err != nil {
		t.Fatal(err)
	}
	if _, err := Issue(t.Context(), dir, Signer{Key: key}, terms(), run); err != nil {
		t.Fatal(err)
	}
	if text, err := follow(t, dir); err != nil || strings.Count(text, "Verified Successfully") != 2 {
		t.Errorf("%v\n%s", err, text)
	}
}
