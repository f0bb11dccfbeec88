package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plumbline/reports"
)

// TestExportNamesEveryTable: what export writes stands in its help.
func TestExportNamesEveryTable(t *testing.T) {
	base := t.TempDir()
	dir, to := filepath.Join(base, "run"), filepath.Join(base, "tables")
	if err := sealRun(dir, filepath.Join(base, "key"), func(*reports.Run) {}); err != nil {
		t.Fatal(err)
	}
	if code, said := heard(t, []string{"export", dir, "--to", to}); code != 0 {
		t.Fatalf("code %d: %s", code, said)
	}
	written, err := os.ReadDir(to)
	if err != nil || len(written) < 17 {
		t.Fatalf("%d tables, %v", len(written), err)
	}
	named := strings.FieldsFunc(newExport(streams{}).Long, func(r rune) bool { return strings.ContainsRune(" ,;:()\n", r) })
	for _, file := range written {
		if table, _, _ := strings.Cut(file.Name(), "."); !slices.Contains(named, table) {
			t.Errorf("the help does not name the table %s", table)
		}
	}
}
