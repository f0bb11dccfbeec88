package scenarios_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// shortly is the profile "approaches" with loads of seconds.
func shortly(t *testing.T) *profile.Profile {
	t.Helper()
	p, err := spec.Catalogue().Load("approaches")
	if err != nil {
		t.Fatal(err)
	}
	text := string(p.Source)
	for load, with := range map[string]string{
		"approaches": "{devices: 40, rate: 400 /s, viewers: 2, warmUp: 200 ms, window: 1500 ms, cycles: 1, drain: 10 s}",
		"multitude":  "{devices: 20, rate: 100 /s, viewers: 100, warmUp: 100 ms, window: 500 ms, hold: 2 s, drain: 10 s}",
	} {
		text = regexp.MustCompile(`(?m)^(  `+load+`: *)\{.*\}$`).ReplaceAllString(text, "${1}"+with)
	}
	text = regexp.MustCompile(`(APP-01: .*samples: )\d+`).ReplaceAllString(text, "${1}1000")
	text = regexp.MustCompile(`(APP-02: .*samples: )\d+`).ReplaceAllString(text, "${1}100")
	if p, err = spec.Catalogue().Parse("shortly.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	return p
}

// ran runs the profile against a system.
func ran(t *testing.T, options sut.Options, filter string) *reports.Run {
	t.Helper()
	onceEach(t)
	run, err := spec.Execute(t.Context(), spec.Options{Profile: shortly(t), SUT: options, LabelFilter: filter, Dir: t.TempDir(), ID: "r", Tool: reports.Tool{Name: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range run.Results {
		if res.Verdict == reports.Fail || res.Verdict == reports.Error {
			t.Errorf("%s: %s", res.Verdict, res.Sentence)
		}
	}
	return run
}

// builtBridged builds bridged and puts it where descriptors look for it.
func builtBridged(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("runs scenarios against a real bridge for half a minute; leave -short out")
	}
	if runtime.GOOS == "windows" {
		t.Skip("the harness stops processes by signals that Windows does not have")
	}
	binary := filepath.Join(t.TempDir(), "bridged")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "plumbline/bridge/cmd/bridged")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// TestApproachesAreMeasured runs every approach against the real bridge: each brings something, and what
// must be so by its protocol is so in the figures. Windows are of a second or two, in which a machine that
// stood still shows too little: then they are measured again.
func TestApproachesAreMeasured(t *testing.T) {
	options := sut.Options{Binary: builtBridged(t)}
	for try := 1; ; try++ {
		wrong := wrongFigures(t, ran(t, options, ""))
		if len(wrong) == 0 {
			return
		}
		if try == 3 {
			t.Fatal(strings.Join(wrong, "\n"))
		}
		t.Logf("try %d: %s", try, strings.Join(wrong, "\n"))
	}
}

// wrongFigures returns what the figures of all approaches say that cannot be.
func wrongFigures(t *testing.T, run *reports.Run) (wrong []string) {
	t.Helper()
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	by := map[string]reports.Approach{}
	var claims []reports.Claim
	for _, c := range run.Comparisons {
		claims = append(claims, c.Claims...)
		for _, a := range c.Approaches {
			by[a.ID] = a
			b := a.Bytes
			if a.Readings == 0 || !(b.Payload > 0 && b.Message > 0 && b.Framing > 0 && b.TLS > 0 && a.AgeP50 > 0 && a.LatencyP50 > 0 && a.Connections == 1) {
				say("%s: %+v", a.ID, a)
			}
			if runtime.GOOS == "linux" && !(b.TCPIP > 0 && b.Wire > b.TLS+b.Framing+b.Message) {
				say("%s: nothing is told of segments: %+v", a.ID, b)
			}
		}
	}
	if len(by) != 14 || len(claims) != 7 {
		t.Fatalf("%d approaches and %d claims: %v", len(by), len(claims), claims)
	}
	for _, claim := range claims {
		if claim.Standing == reports.HoldsOpen && claim.ID != "cpu" { // which one round cannot tell
			say("%+v", claim)
		}
	}
	for _, id := range []string{"ws", "ws-batched", "ws-cbor", "mqtt-ws"} { // 2 to 14, and what was read and not yet counted when a window of few messages began or ended
		if o := by[id].Overhead; o < 1 || o > 20 {
			say("%s: %v bytes beside each message", id, o)
		}
	}
	for _, way := range []string{"poll", "poll-often", "long-poll"} {
		if one, two := by[way].Overhead, by[way+"-h2"].Overhead; one < 200 || two > one/2 {
			say("%s: heads of HTTP/1.1 have %v bytes, of HTTP/2 %v", way, one, two)
		}
	}
	if plain, squeezed := by["ws-batched"].Bytes.Message, by["ws-deflate"].Bytes.Message; squeezed > 0.8*plain {
		say("%v bytes a reading compressed, %v without", squeezed, plain)
	}
	if ws, cbor := by["ws"].Bytes.Message, by["ws-cbor"].Bytes.Message; cbor > 0.9*ws {
		say("%v bytes a reading in CBOR, %v in JSON", cbor, ws)
	}
	if by["ws"].Requests != 0 || by["poll-often"].Requests <= by["poll"].Requests || by["poll-often"].Requests > 12 {
		say("requests a second: %v over a WebSocket, %v by polling, %v by polling seldom", by["ws"].Requests, by["poll-often"].Requests, by["poll"].Requests)
	}
	return wrong
}

// TestApproachesOfAForeignBridge: what a descriptor names is measured, and a crowd is not asked of it.
func TestApproachesOfAForeignBridge(t *testing.T) {
	descriptor, err := sut.Load(filepath.Join("peers", "bridged-sse.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	run := ran(t, sut.Options{Binary: builtBridged(t), Descriptor: descriptor}, "")
	for _, res := range run.Results {
		if res.Requirement == "APP-02" && res.Verdict != reports.NotApplicable {
			t.Errorf("APP-02: %s", res.Sentence)
		}
		if res.Requirement == "APP-01" && (res.Reason == reports.ReasonSamples || res.Verdict != run.Overall) { // a busy machine may leave it undecided
			t.Errorf("the run is %s, APP-01 %s", run.Overall, res.Sentence)
		}
	}
	if len(run.Comparisons) != 1 || len(run.Comparisons[0].Approaches) != 1 || run.Comparisons[0].Approaches[0].ID != "sse" || run.Comparisons[0].Approaches[0].Readings == 0 {
		t.Fatalf("%+v", run.Comparisons)
	}
	if text := strings.Join(run.Comparisons[0].Conditions, "\n"); !strings.Contains(text, "Not measured: sse-h2, for its server does not choose HTTP/2.") {
		t.Errorf("nothing says what was left out:\n%s", text)
	}
}
