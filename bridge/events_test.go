package bridge

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"plumbline/bridge/audit"
)

// logged finds what the bridge's own packages write to their logs: level and message of every call with a constant message.
func logged(t *testing.T) map[string]string {
	t.Helper()
	levels := map[string]string{"Debug": "debug", "Info": "info", "Warn": "warn", "Error": "error"}
	found := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || levels[method.Sel.Name] == "" || !isLog(method.X) {
				return true
			}
			text, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: a log message that is no constant: give one, and what changes as attributes", path)
				return true
			}
			message, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Error(err)
			}
			found[message] = levels[method.Sel.Name]
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// isLog reports whether the receiver of a call is called log.
func isLog(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return strings.EqualFold(x.Name, "log")
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "log")
	}
	return false
}

// TestEventsAreDocumented: EVENTS.md is the vocabulary of the log: every message, its level, and nothing else.
func TestEventsAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("EVENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\w+) \\| .+ \\|$").FindAllStringSubmatch(string(raw), -1) {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("EVENTS.md has %q twice", row[1])
		}
		documented[row[1]] = row[2]
	}
	found := logged(t)
	found[audit.Message] = "warn"
	if len(found) < 20 {
		t.Fatalf("only %d log messages found: the search is broken", len(found))
	}
	for message, level := range found {
		if documented[message] != level {
			t.Errorf("EVENTS.md lacks a row | `%s` | %s | what it means and what to do |", message, level)
		}
	}
	for message := range documented {
		if found[message] == "" {
			t.Errorf("EVENTS.md has %q, which nothing logs", message)
		}
	}
	if !slices.Contains([]string{"info"}, found["ready"]) {
		t.Error("ready is not logged at info: operators and scripts wait for it")
	}
}
