package render

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"plumbline/reports"
	"plumbline/reports/pdf"
)

// printed returns the text of each page that a real Chromium prints.
func printed(t *testing.T, page string) []string {
	t.Helper()
	reader, err := exec.LookPath("pdftotext")
	if err != nil {
		t.Skipf("%v: make deps-test installs it (Debian package poppler-utils)", err)
	}
	browser, err := pdf.Find("")
	if err != nil {
		t.Fatalf("%v: make deps-test installs it", err)
	}
	content, err := pdf.Print(t.Context(), browser, []byte(page))
	if errors.Is(err, pdf.ErrNoSandbox) {
		t.Skipf("%v: let this user create user namespaces, or run the test as root", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.pdf")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), reader, "-layout", file, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\f"), "\f")
}

// tableHead matches the head of the table of requirements, in one line.
var tableHead = regexp.MustCompile(`(?m)^\s*Id\s+Requirement\s+Class\s+Verdict\s+Figure against limit\s+Of the limit\s*$`)

// TestEveryPrintedPageHasTheHeadOfItsTable: a table that goes on over several pages
// says on each what its columns are, and nothing is left out on paper.
func TestEveryPrintedPageHasTheHeadOfItsTable(t *testing.T) {
	run := sampleMixed()
	for i := range 150 {
		r := run.Requirements[0]
		r.ID, r.Title = fmt.Sprintf("PAP-%03d", i+1), "a title that is as long as titles are"
		run.Requirements = append(run.Requirements, r)
		run.Results = append(run.Results, reports.Result{Requirement: r.ID, Scenario: "steady load", Attempt: 1, Verdict: reports.Pass,
			Sentence: fmt.Sprintf("%s: so it is.", r.ID), Headline: "12.3 ms, limit 100 ms", Started: run.Started, Procedure: []string{"first", "then"}})
	}
	run.Overall = run.Judge()
	pages := printed(t, rendered(t, HTML, run))
	table, rows := false, 0
	for i, page := range pages {
		table = table || tableHead.MatchString(page)
		if !table {
			continue
		}
		if !tableHead.MatchString(page) {
			t.Errorf("page %d of %d goes on with the table and lacks its head:\n%.600s", i+1, len(pages), page)
		}
		if rows++; strings.Contains(page, "upright") {
			break
		}
	}
	if rows < 3 {
		t.Errorf("the table takes %d of %d pages; the test looks at too little", rows, len(pages))
	}
	whole := strings.Join(pages, "\n")
	for _, r := range run.Requirements {
		if n := strings.Count(whole, r.ID); n < 3 { // summary, table, details
			t.Errorf("%s is printed %d times", r.ID, n)
		}
	}
	for _, want := range []string{"Procedure", "About this requirement", "Validity gates", "openssl pkeyutl -verify", "end of report"} {
		if !strings.Contains(whole, want) {
			t.Errorf("%q is not printed", want)
		}
	}
}
