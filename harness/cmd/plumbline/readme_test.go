package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"plumbline/harness/cmd/plumbline/internal/exit"
)

const projectRoot = "../../.."

func projectFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(projectRoot, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fenced returns the code blocks of a Markdown text in a language, "" for those
// that name none.
func fenced(text, language string) (blocks []string) {
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		if m[1] == language {
			blocks = append(blocks, m[2])
		}
	}
	return blocks
}

// TestReadmeCommandsAreUnderstood: every plumbline command that the README shows
// has a verb and flags that exist, and as many arguments as it takes.
func TestReadmeCommandsAreUnderstood(t *testing.T) {
	command := regexp.MustCompile(`^(?:bin/)?plumbline +([^#]*)`)
	seen := 0
	for _, block := range fenced(projectFile(t, "README.md"), "") {
		for line := range strings.Lines(block) {
			m := command.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				continue
			}
			seen++
			words := strings.Fields(strings.NewReplacer(`'`, "", `"`, "", "$", "").Replace(m[1]))
			cmd, rest, err := newRoot(streams{out: io.Discard, err: io.Discard, getenv: os.Getenv}).Find(words)
			if err == nil && cmd.HasParent() {
				err = cmd.ParseFlags(rest)
			} else {
				err = exit.Usage(io.EOF, "no such verb")
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("README: %q: %v", strings.TrimSpace(line), err)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands were found in the README", seen)
	}
}

// TestReadmeTargetsExist: every make target that is named is one.
func TestReadmeTargetsExist(t *testing.T) {
	makefile := projectFile(t, "Makefile")
	for _, file := range []string{"README.md", "CONTRIBUTING.md"} {
		for _, m := range regexp.MustCompile("(?m)(?:`|^)make ([a-z-]+)").FindAllStringSubmatch(projectFile(t, file), -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names %q, which the Makefile does not have", file, "make "+m[1])
			}
		}
	}
}

// TestReadmeScenarioCompiles: the recipe for a scenario can be pasted into the
// folder of the scenarios, and is as short as is promised.
func TestReadmeScenarioCompiles(t *testing.T) {
	blocks := fenced(projectFile(t, "README.md"), "go")
	if len(blocks) != 1 {
		t.Fatalf("the README has %d blocks of Go, want the one recipe", len(blocks))
	}
	if n := strings.Count(blocks[0], "\n"); n >= 40 {
		t.Errorf("the recipe has %d lines; less than 40 are promised", n)
	}
	dir := t.TempDir()
	source, overlay := filepath.Join(dir, "recipe.go"), filepath.Join(dir, "overlay.json")
	root, err := filepath.Abs(projectRoot)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "scenarios", "recipe_of_the_readme.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{source: []byte(blocks[0]), overlay: text} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "./scenarios")
	build.Dir = root
	if text, err := build.CombinedOutput(); err != nil {
		t.Errorf("the recipe does not compile: %v\n%s", err, text)
	}
}
