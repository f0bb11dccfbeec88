package render

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strconv"

	"plumbline/reports"
)

// codeQualityIssue is one entry of GitLab's report of code quality, with the
// members that GitLab reads.
type codeQualityIssue struct {
	Description string `json:"description"`
	Check       string `json:"check_name"`
	Fingerprint string `json:"fingerprint"`
	Severity    string `json:"severity"`
	Location    struct {
		Path  string `json:"path"`
		Lines struct {
			Begin int `json:"begin"`
		} `json:"lines"`
	} `json:"location"`
}

// CodeQuality writes the run as GitLab's report of code quality, which a merge
// request shows as what is new and what is resolved: an issue per result that does
// not pass or has a remark. GitLab wants a place in the repository for each: all
// get the top of file. An issue is the same in the next run as long as scenario
// and requirement are, whatever the figures.
func CodeQuality(w io.Writer, run *reports.Run, file string) error {
	run = sanitize(run)
	issues, nth := []codeQualityIssue{}, map[string]int{}
	for _, n := range notices(run) {
		issue := codeQualityIssue{Check: n.requirement.ID, Severity: codeQualitySeverity(n)}
		issue.Description = clip(n.requirement.ID+" "+verdictText(n.result.Verdict, n.result.Reason)+": "+n.text(), githubMessage)
		key := n.requirement.ID + "\x00" + n.result.Scenario
		sum := sha256.Sum256([]byte(key + "\x00" + strconv.Itoa(nth[key])))
		nth[key]++
		issue.Fingerprint = hex.EncodeToString(sum[:])
		issue.Location.Path, issue.Location.Lines.Begin = clean(file), 1
		issues = append(issues, issue)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return wrap("code quality", enc.Encode(issues))
}

// codeQualitySeverity says how bad GitLab shows an issue.
func codeQualitySeverity(n notice) string {
	switch v := n.result.Verdict; {
	case n.level == "notice":
		return "info"
	case v == reports.Error:
		return "blocker"
	case v == reports.Fail:
		return "critical"
	case v == reports.ConditionalFail:
		return "major"
	default:
		return "minor"
	}
}
