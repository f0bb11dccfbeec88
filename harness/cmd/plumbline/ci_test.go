package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"
)

// templates is where the files for services of continuous integration lie.
var templates = filepath.Join("..", "..", "..", "reports", "ci")

// action is what is looked at of a composite action.
type action struct {
	Inputs  map[string]struct{ Description, Default string }
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			Name, If, ID, Uses, Shell, Run string
			Env                            map[string]string
			With                           map[string]string
		}
	}
}

func parsed[T any](t *testing.T, file string) (doc T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(templates, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%s: %s", file, yaml.FormatError(err, false, true))
	}
	return doc
}

// isFlag holds the variables of a template against the flags of certify and run.
func isFlag(t *testing.T, variable string) bool {
	t.Helper()
	found := false
	for _, cmd := range newRoot(streams{in: &bytes.Buffer{}, out: &bytes.Buffer{}, err: &bytes.Buffer{}, getenv: os.Getenv}).Commands() {
		if cmd.Name() == "certify" || cmd.Name() == "run" {
			cmd.Flags().VisitAll(func(f *pflag.Flag) {
				found = found || envPrefix+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")) == variable
			})
		}
	}
	return found
}

// soundScript looks at a script of a template: the shell takes it, and nothing of
// the repository under test is pasted into it, which could be a command.
func soundScript(t *testing.T, name, script string) {
	t.Helper()
	if strings.Contains(script, "${{") {
		t.Errorf("%s: an expression is pasted into the script; it belongs into env", name)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-n")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", name, err, out)
	}
}

func TestGitHubAction(t *testing.T) {
	a := parsed[action](t, "github/action.yml")
	if a.Runs.Using != "composite" || len(a.Runs.Steps) < 4 {
		t.Fatalf("the action runs %q in %d steps", a.Runs.Using, len(a.Runs.Steps))
	}
	whole, err := os.ReadFile(filepath.Join(templates, "github", "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range a.Inputs {
		if in.Description == "" || !strings.Contains(string(whole), "inputs."+name) {
			t.Errorf("input %q is not described or not used", name)
		}
	}
	for _, part := range strings.Split(string(whole), "inputs.")[1:] {
		name := part[:strings.IndexFunc(part, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') })]
		if _, known := a.Inputs[name]; !known {
			t.Errorf("there is no input %q", name)
		}
	}
	for _, step := range a.Runs.Steps {
		if (step.Run == "") == (step.Uses == "") || step.Run != "" && step.Shell != "bash" {
			t.Errorf("step %q runs nothing, too much or in no shell", step.Name)
		}
		soundScript(t, step.Name, step.Run)
		for variable := range step.Env {
			if strings.HasPrefix(variable, envPrefix) && !isFlag(t, variable) {
				t.Errorf("step %q sets %s, which is no flag", step.Name, variable)
			}
		}
	}
	if lint, err := exec.LookPath("actionlint"); err == nil {
		if out, err := exec.CommandContext(t.Context(), lint, filepath.Join(templates, "github", "example.yml")).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// TestGitHubActionPassesTheExitCodeOn runs the script of the action around a
// program that leaves with a code: input that looks like commands stays input.
func TestGitHubActionPassesTheExitCodeOn(t *testing.T) {
	var script string
	for _, step := range parsed[action](t, "github/action.yml").Runs.Steps {
		if step.ID == "certify" {
			script = step.Run
		}
	}
	dir := t.TempDir()
	program, outputs := filepath.Join(dir, "plumb line"), filepath.Join(dir, "outputs")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n[ \"$1\" = certify ] && [ \"$PLUMBLINE_SUT\" = '$(touch owned)' ] && exit 3\nexit 99\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for verb, want := range map[string]int{"certify": 3, "run": 99, "version; touch owned": 2} {
		cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "plumbline="+program, "verb="+verb, "GITHUB_OUTPUT="+outputs, "PLUMBLINE_SUT=$(touch owned)")
		out, err := cmd.CombinedOutput()
		if got := code(t, err); got != want {
			t.Errorf("%s: exit code %d, want %d: %s", verb, got, want, out)
		}
	}
	if text, err := os.ReadFile(outputs); err != nil || !strings.Contains(string(text), "exit-code=3\n") {
		t.Errorf("the outputs are %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "owned")); err == nil {
		t.Error("input became a command")
	}
}

func TestGitLabTemplate(t *testing.T) {
	type job struct {
		Variables    map[string]string
		BeforeScript []string `yaml:"before_script"`
		Script       []string
		Artifacts    struct {
			When    string
			Paths   []string
			Reports map[string]string
		}
	}
	j, found := parsed[map[string]job](t, "gitlab/plumbline.yml")[".plumbline"]
	if !found || j.Artifacts.When != "always" {
		t.Fatalf("the hidden job is %+v", j)
	}
	for variable := range j.Variables {
		if variable != "PLUMBLINE_REPOSITORY" && variable != "PLUMBLINE_REF" && !isFlag(t, variable) {
			t.Errorf("%s is no flag", variable)
		}
	}
	for _, script := range append(j.BeforeScript, j.Script...) {
		soundScript(t, "plumbline.yml", script)
	}
	for kind, file := range map[string]string{"junit": "$PLUMBLINE_RUN_DIR/junit.xml", "codequality": "gl-code-quality-report.json", "metrics": "$PLUMBLINE_RUN_DIR/openmetrics.txt"} {
		if j.Artifacts.Reports[kind] != file {
			t.Errorf("report %s is %q, want %q", kind, j.Artifacts.Reports[kind], file)
		}
	}
	if !strings.Contains(strings.Join(j.Script, "\n"), "--to "+j.Artifacts.Reports["codequality"]) {
		t.Error("the issues are not written where GitLab looks for them")
	}
}

// TestGitLabTemplatePassesTheExitCodeOn runs the script of the template as GitLab
// does, around a program that leaves with a code: that is the job's, also when what
// is told beside cannot be written.
func TestGitLabTemplatePassesTheExitCodeOn(t *testing.T) {
	script := strings.Join(parsed[map[string]struct{ Script []string }](t, "gitlab/plumbline.yml")[".plumbline"].Script, "\n")
	for export, want := range map[string]string{"0": "told", "6": "no report of code quality"} {
		for _, certify := range []int{0, 1, 3} {
			dir := t.TempDir()
			program := "#!/bin/sh\ncase $1 in\ncertify) mkdir -p run && : > run/summary.json; exit $CERTIFY ;;\nexport) echo told; exit $EXPORT ;;\nesac\nexit 99\n"
			if err := os.WriteFile(filepath.Join(dir, "plumbline"), []byte(program), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-eo", "pipefail", "-c", script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "PLUMBLINE_RUN_DIR=run", "PLUMBLINE_SUT=", "EXPORT="+export, "CERTIFY="+strconv.Itoa(certify))
			out, err := cmd.CombinedOutput()
			if got := code(t, err); got != certify || !strings.Contains(string(out), want) {
				t.Errorf("certify leaves with %d, export with %s: the job with %d: %s", certify, export, got, out)
			}
		}
	}
}
