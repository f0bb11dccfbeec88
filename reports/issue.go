package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// NotAccredited is printed on everything that is issued. A certificate with
// another wording is refused: a new one needs a new version of its form.
const NotAccredited = "Not issued under accreditation: whoever issued this is not accredited to ISO/IEC 17025 for it. " +
	"The items of its clause 7.8.2.1 are given because readers of test reports look for them."

// notStated stands where the operator said nothing; an item is never left out.
const notStated = "not stated by the operator of the harness"

// Issue is what a report says about itself: who issues it, when, for whom and
// by which method. The zero value names nobody, and Items says so.
type Issue struct {
	ID           string     `json:"id"` // see IssueID
	Issued       time.Time  `json:"issued"`
	Laboratory   Laboratory `json:"laboratory"`
	Customer     string     `json:"customer,omitempty"`   // name and contact
	Authoriser   string     `json:"authoriser,omitempty"` // person who authorises the report
	Signer       string     `json:"signer"`               // id of the key that signs
	Method       Method     `json:"method"`
	EvidenceRoot string     `json:"evidence_root_sha256"` // Merkle root over Run.Evidence
}

// Laboratory is the operator of the harness.
type Laboratory struct {
	Name    string `json:"name,omitempty"`
	Address string `json:"address,omitempty"`
	Rig     string `json:"rig,omitempty"`  // the test equipment
	Site    string `json:"site,omitempty"` // where it stands
}

// Method pins by digest what was judged and how.
type Method struct {
	Rule            string `json:"rule,omitempty"` // the decision rule with its parameters
	RuleDigest      string `json:"rule_sha256,omitempty"`
	CatalogueDigest string `json:"catalogue_sha256,omitempty"` // of the requirements and their scenarios
	ProofDigest     string `json:"proof_sha256,omitempty"`     // of the record which seeded defect each requirement found
}

// Item is one item of ISO/IEC 17025:2017, 7.8.2.1.
type Item struct {
	Letter string `json:"item"` // "a" to "p"
	Asks   string `json:"asks"` // what the item is about, in our words
	Says   string `json:"says"` // never empty
}

// IssueID names a report or certificate: the day of its issue, the run and the
// beginning of its evidence root, because two runs may by chance have one id.
func IssueID(run *Run, issued time.Time, evidenceRoot string) string {
	return fmt.Sprintf("PL-%s-%s-%s", issued.UTC().Format("20060102"), run.ID, evidenceRoot[:min(len(evidenceRoot), 12)])
}

// Items returns all sixteen items for a run, in order.
func (i Issue) Items(run *Run) []Item {
	return []Item{
		{"a", "title", title(run)},
		{"b", "laboratory, name and address", stated(joined(", ", i.Laboratory.Name, i.Laboratory.Address))},
		{"c", "place of performance", i.place(run)},
		{"d", "identification of the whole, and its end", i.ID + "; its parts are the files that manifest.json lists with their SHA-256, and it ends with the last of them"},
		{"e", "customer, name and contact", stated(i.Customer)},
		{"f", "method", i.method(run)},
		{"g", "item tested, its identity and condition", item(run)},
		{"h", "receipt of the item", "its digests were taken when the run began, " + moment(run.Started) + "; no items were drawn by sampling"},
		{"i", "dates of performance", moment(run.Started) + " to " + moment(run.Finished)},
		{"j", "date of issue", moment(i.Issued)},
		{"k", "sampling plan", fmt.Sprintf("loads and schedule of the profile, seed %d; the number of samples stands beside each result", run.Seed)},
		{"l", "scope", "The results relate only to the item tested, in the configuration and under the conditions stated."},
		{"m", "results", run.Count().String() + "; each with limit, estimate, bounds and unit in the detail statement and in summary.json"},
		{"n", "deviations, additions and exclusions", deviations(run)},
		{"o", "authorised by", i.authorised()},
		{"p", "results of external providers", external(run)},
	}
}

// Statements returns the sentences that belong on every report: scope,
// reproduction, decision rule and its risk, and that it is not accredited.
func (i Issue) Statements() []string {
	return []string{
		NotAccredited,
		"The results relate only to the item tested. This shall not be reproduced except in full.",
		"Conformity is stated by decision rule DR-2: PASS at 95 % confidence with the limit guarded by the expanded uncertainty (k = 2), FAIL at 99 %; " +
			"the risk of false acceptance of a requirement is at most 5 %. Requirements without events are stated with their 99 % upper bound, not as impossible.",
		"It contains no opinions and interpretations beyond the verdicts.",
	}
}

func title(run *Run) string {
	if run.Certified() {
		return "Certificate of conformity and test report of a real-time pipeline"
	}
	return "Test report of a real-time pipeline (no certificate)"
}

func (i Issue) place(run *Run) string {
	rig := "rig: " + notStated
	if i.Laboratory.Rig != "" {
		rig = "rig: " + i.Laboratory.Rig
	}
	site := "site: " + notStated
	if i.Laboratory.Site != "" {
		site = "site: " + i.Laboratory.Site
	}
	env := run.Environment
	return joined("; ", rig, site, joined(" ", env["platform"], env["kernel"], env["arch"], env["cpu"]))
}

func (i Issue) method(run *Run) string {
	return joined("; ",
		digested("profile "+run.Profile.Name+" "+run.Profile.Version, run.Profile.Digest),
		digested("requirements and scenarios", i.Method.CatalogueDigest),
		digested("decision rule "+stated(i.Method.Rule), i.Method.RuleDigest),
		digested(run.Tool.Name+" "+run.Tool.Version, run.Tool.Digest))
}

func item(run *Run) string {
	parts := []string{joined(" ", run.SUT.Name, run.SUT.Version)}
	for _, a := range run.SUT.Artifacts {
		parts = append(parts, digested(a.Path, a.SHA256))
	}
	if len(run.SUT.Artifacts) == 0 {
		parts = append(parts, "no artifact of it was at hand, so none is named by digest")
	}
	return strings.Join(append(parts, "condition: as its descriptor says it is started or reached"), "; ")
}

func deviations(run *Run) string {
	var parts []string
	for _, d := range run.Deviations {
		parts = append(parts, d.ID+": "+d.Text)
	}
	if n := voided(run); n > 0 {
		parts = append(parts, fmt.Sprintf("%d attempts voided by a validity gate and repeated, listed in the ledger of attempts", n))
	}
	if run.Deselected != nil {
		parts = append(parts, fmt.Sprintf("%d scenarios deselected by the user", len(run.Deselected.Scenarios)))
	}
	if run.Partial != "" {
		parts = append(parts, "not whole: "+run.Partial)
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "; ")
}

func voided(run *Run) (n int) {
	for _, j := range run.Judgements() {
		n += len(j.Superseded)
	}
	return n
}

func (i Issue) authorised() string {
	signed := "signed by key " + stated(i.Signer)
	if i.Authoriser == "" {
		return "no person stated; " + signed
	}
	return i.Authoriser + "; " + signed
}

func external(run *Run) string {
	var replayed []string
	for _, d := range run.Devices {
		if d.Mode == ModeReplay && !slices.Contains(replayed, d.ID) {
			replayed = append(replayed, d.ID)
		}
	}
	if len(replayed) == 0 {
		return "none: every result was measured by this harness"
	}
	return "no result; the stimulus of " + strings.Join(replayed, ", ") + " was replayed from a recording"
}

func stated(s string) string {
	if s == "" {
		return notStated
	}
	return s
}

func digested(what, digest string) string {
	if digest == "" {
		return what
	}
	return what + " (SHA-256 " + digest + ")"
}

func joined(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return strings.TrimSpace(s) == "" }), sep)
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
