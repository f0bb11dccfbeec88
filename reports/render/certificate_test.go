package render

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

func sampleCertificate(t *testing.T) *reports.Certificate {
	t.Helper()
	run := sampleCertified()
	issued := time.Date(2025, 11, 23, 10, 0, 0, 0, time.UTC)
	root := digestOf(9)
	c, err := reports.NewCertificate(run, reports.Issue{ID: reports.IssueID(run, issued, root), Issued: issued, EvidenceRoot: root, Signer: digestOf(7),
		Laboratory: reports.Laboratory{Name: "Example Laboratory", Address: "1 Test Street", Rig: "rig 7", Site: "hall 3"}, Customer: "Customer Ltd", Authoriser: "A. Person"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func certificatePage(t *testing.T, c *reports.Certificate) string {
	t.Helper()
	var page bytes.Buffer
	if err := Certificate(&page, c); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// TestCertificatePage: everything that a reader needs is on the page, and the
// same certificate gives the same bytes.
func TestCertificatePage(t *testing.T) {
	c := sampleCertificate(t)
	page := certificatePage(t, c)
	for _, want := range []string{
		c.ID, c.SUT.Name, "profile <b>bench 1.0</b>", "Example Laboratory, 1 Test Street", "rig: rig 7", "site: hall 3", "2025-11-23 10:00:00 UTC to 2026-11-23 10:00:00 UTC",
		c.Signer, c.EvidenceRoot, c.SUT.Artifacts[0].SHA256, "Not issued under accreditation", "Customer Ltd", "A. Person", "End of certificate " + c.ID, "VERIFY.md",
		"LAT-01", "Median latency", "SEC-05", "N/A",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, item := range c.Items {
		if !strings.Contains(page, "<b>"+item.Letter+"</b> "+item.Asks) {
			t.Errorf("the page lacks item %s", item.Letter)
		}
	}
	if again := certificatePage(t, sampleCertificate(t)); again != page {
		t.Error("the same certificate gave other bytes")
	}
	if len(page) > 100_000 {
		t.Errorf("%d bytes", len(page))
	}
	checkPage(t, page)
}

func TestHostileCertificate(t *testing.T) {
	for _, text := range hostile {
		c := sampleCertificate(t)
		poison(reflect.ValueOf(c).Elem(), text)
		page := certificatePage(t, c)
		checkPage(t, page)
		noHidden(t, "certificate", page)
	}
}

// TestOnlyCertifiedRunsHaveOne: no certificate can be made of anything else, and
// so no page.
func TestOnlyCertifiedRunsHaveOne(t *testing.T) {
	for name, sample := range samples() {
		run := sample()
		c, err := reports.NewCertificate(run, reports.Issue{})
		if run.Certified() != (err == nil) || (c == nil) != errors.Is(err, reports.ErrNotCertified) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}
