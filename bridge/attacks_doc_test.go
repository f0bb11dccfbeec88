package bridge

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAttackTable: every attack of the list has a row, every row names tests that exist, and every test that bears an attack's number
// stands in its row.
func TestAttackTable(t *testing.T) {
	raw, err := os.ReadFile("ATTACKS.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, line := range strings.Split(string(raw), "\n") {
		if cell := strings.Split(line, "|"); len(cell) == 6 && strings.HasPrefix(cell[1], " N") {
			rows[strings.TrimSpace(cell[1])] = cell[4]
		}
	}
	there := attackTests(t)
	ids := map[string]bool{} // of the list, and whatever has a row or a test beyond it
	for n := 1; n <= 110; n++ {
		ids[fmt.Sprintf("N%02d", n)] = true
	}
	for id := range rows {
		ids[id] = true
	}
	for id := range there {
		ids[id] = true
	}
	for id := range ids {
		row, ok := rows[id]
		if !ok {
			t.Errorf("%s has no row", id)
		}
		if len(there[id]) == 0 {
			t.Errorf("no test bears the number %s", id)
		}
		for test := range there[id] {
			if !strings.Contains(row+",", test+",") && !strings.Contains(row, test+" ") {
				t.Errorf("%s does not name %s", id, test)
			}
		}
		for _, named := range strings.Split(row, ",") {
			if named = strings.TrimSpace(named); named != "–" && !there[id][named] {
				t.Errorf("%s names %q, which is not there", id, named)
			}
		}
	}
}

// attackTests finds the tests of the bridge by the number in their name, each as "`folder` name".
func attackTests(t *testing.T) map[string]map[string]bool {
	t.Helper()
	numbered := regexp.MustCompile(`^TestN(\d{2,3})`)
	found := map[string]map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			if m := numbered.FindStringSubmatch(f.Name.Name); m != nil {
				id := "N" + m[1]
				if found[id] == nil {
					found[id] = map[string]bool{}
				}
				found[id]["`"+filepath.ToSlash(filepath.Join("bridge", filepath.Dir(path)))+"` "+f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
