package reports

import (
	"errors"
	"fmt"
	"time"
)

// CertificateLife is how long a certificate holds when nothing it is about
// changes (metrology 3.4).
const CertificateLife = 365 * 24 * time.Hour

// ErrNotCertified says that a run earns no certificate.
var ErrNotCertified = errors.New("reports: the run is not certified")

// Certificate is what is said about a certified run to those who did not see it.
// Only NewCertificate makes one.
type Certificate struct {
	Issue
	Run          string      `json:"run"`
	NotBefore    time.Time   `json:"not_before"`
	NotAfter     time.Time   `json:"not_after"`
	Started      time.Time   `json:"started"`
	Finished     time.Time   `json:"finished"`
	Profile      Profile     `json:"profile"`
	SUT          SUT         `json:"sut"`
	Tool         Tool        `json:"tool"`
	Devices      string      `json:"devices"` // how many were simulated, replayed and real
	Requirements []Certified `json:"requirements"`
	Totals       string      `json:"totals"`
	Items        []Item      `json:"items"`
	Statements   []string    `json:"statements"`
}

// Certified is one requirement on a certificate.
type Certified struct {
	ID       string  `json:"id"`
	Title    string  `json:"title"`
	Class    Class   `json:"class"`
	Verdict  Verdict `json:"verdict"`
	Headline string  `json:"headline,omitempty"` // figure against limit
}

// NewCertificate returns the certificate of a run, or ErrNotCertified with the
// reason: conditional, partial, deselected and failed runs earn none.
func NewCertificate(run *Run, issue Issue) (*Certificate, error) {
	if !run.Certified() {
		return nil, fmt.Errorf("%w: %s", ErrNotCertified, run.whyNot())
	}
	c := &Certificate{
		Issue: issue, Run: run.ID, NotBefore: issue.Issued, NotAfter: issue.Issued.Add(CertificateLife),
		Started: run.Started.UTC(), Finished: run.Finished.UTC(), Profile: run.Profile, SUT: run.SUT, Tool: run.Tool,
		Devices: modes(run), Totals: run.Count().String(), Items: issue.Items(run), Statements: issue.Statements(),
	}
	for _, j := range run.Judgements() {
		line := Certified{ID: j.Requirement.ID, Title: j.Requirement.Title, Class: j.Requirement.Class, Verdict: j.Verdict}
		if j.Deciding != nil {
			line.Headline = j.Deciding.Headline
		}
		c.Requirements = append(c.Requirements, line)
	}
	return c, nil
}

func (r *Run) whyNot() string {
	switch {
	case r.Uncertified != "":
		return r.Uncertified
	case r.Partial != "":
		return "it is partial: " + r.Partial
	case r.Deselected != nil:
		return "something was deselected"
	case !r.Certifying:
		return "it was not made to certify"
	default:
		return "its verdict is " + r.Judge().String()
	}
}

func modes(run *Run) string {
	count := map[Mode]int{}
	for _, d := range run.Devices {
		count[d.Mode]++
	}
	return fmt.Sprintf("%d simulated, %d replayed, %d real", count[ModeSim], count[ModeReplay], count[ModeReal])
}
