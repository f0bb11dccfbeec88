package compare

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"plumbline/reports"
)

// TestForms: the page and the text for a pull request tell the same, what matters first,
// the same bytes each time, and what a system calls itself is text in both.
func TestForms(t *testing.T) {
	const hostile = "<script>alert(1)</script>|`\x1b[31m\u202e@all"
	b := newBench(t)
	c := b.versions(10, 12, func(_ string, r *reports.Run) {
		r.SUT.Name = hostile
		r.Requirements[1].Title = hostile
	})
	c.Warnings = append(c.Warnings, hostile)
	var page, again, text bytes.Buffer
	if err := errors.Join(c.HTML(&page), c.HTML(&again), c.Markdown(&text)); err != nil {
		t.Fatal(err)
	}
	if page.String() != again.String() {
		t.Error("the same comparison gives two pages")
	}
	for name, form := range map[string]string{"page": page.String(), "Markdown": text.String()} {
		for _, bad := range []string{"<script>", "\x1b", "\u202e"} {
			if strings.Contains(form, bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
		for _, want := range []string{"regression", "LAT-02", "slower", "p99 in steady", "ABBAABBA", "The new version is worse than the old."} {
			if !strings.Contains(form, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, form)
			}
		}
	}
	if !strings.Contains(text.String(), "2 lines show no change.") || strings.Contains(text.String(), "DEL-01") {
		t.Errorf("what did not change is told one by one:\n%s", text.String())
	}
	if first := strings.Index(page.String(), "LAT-02"); first > strings.Index(page.String(), "DEL-01") {
		t.Error("the regression is not told first")
	}
	few, err := Of(b.store("v3", 10, nil), b.store("v4", 20, nil))
	if err != nil {
		t.Fatal(err)
	}
	if lead := few.Lead(); !strings.Contains(lead, "9 more runs of the old and 9 of the new are needed") {
		t.Errorf("what is missing is not told: %s", lead)
	}
}
