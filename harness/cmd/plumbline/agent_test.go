package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

// agentProcess starts an agent whose clock is wrong on purpose, as a process of
// its own, and returns what to name in --agent. It ends with the test.
func agentProcess(t *testing.T, p *program, token string) string {
	t.Helper()
	cmd := p.command(context.Background(), "agent", "--listen", "127.0.0.1:0", "--token-file", token, "--test-clock", "3s,200")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		if err := cmd.Wait(); code(t, err) != reports.ExitPass {
			t.Errorf("the agent ended with %v", err)
		}
	})
	target := regexp.MustCompile(`127\.0\.0\.1:\d+#[0-9a-f]{64}`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if found := target.FindString(lines.Text()); found != "" {
			return found
		}
	}
	t.Fatal("the agent did not say where it is")
	return ""
}

// Viewers at an agent, in a process of its own with a clock that is 3 s ahead
// and gains 200 ppm: the run finds that out, says so, and is the same again from
// its directory.
func TestRunWithAnAgent(t *testing.T) {
	t.Parallel()
	p := newProgram(t).withBridge(t)
	token := filepath.Join(t.TempDir(), "agent.token")
	target := agentProcess(t, p, token)
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	text, err := p.command(ctx, "run", "--profile", "smoke", "--label-filter", "steady", "--duration", "3s", "--run-dir", dir, "--agent", target, "--agent-token", token).CombinedOutput()
	// Latency may be anything on a busy machine.
	if got := code(t, err); got != reports.ExitPass && got != reports.ExitInconclusive && got != reports.ExitFail {
		t.Fatalf("exit code %d\n%s", got, text)
	}
	var run reports.Run
	content, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &run); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"DEL-05", "DEL-06", "ORD-01"} {
		if j := judgementOf(&run, id); j.Verdict == reports.Fail || j.Verdict == reports.Error || j.Verdict == reports.NotRun {
			t.Errorf("%s is %s", id, j.Verdict)
		}
	}
	if got, text := recomputed(t, p, dir); got != reports.ExitPass || strings.Contains(text, "DIFFERS") {
		t.Errorf("recomputed: exit code %d\n%s", got, text)
	}
	address, _, _ := strings.Cut(target, "#")
	says := run.Environment["agent_steady_agent-1"]
	drift := regexp.MustCompile(`drift ([+-][0-9.]+) to ([+-][0-9.]+) ppm, uncertainty ±`).FindStringSubmatch(says)
	if !strings.HasPrefix(says, address) || drift == nil {
		t.Fatalf("the environment says of the agent %q", says)
	}
	low, _ := strconv.ParseFloat(drift[1], 64)
	high, _ := strconv.ParseFloat(drift[2], 64)
	if low > -199.8 || high < -200.1 {
		t.Errorf("the harness's clock gains %v to %v ppm on the agent's; it gains −200", low, high)
	}
	if says := run.Environment["agents"]; says != address+": took the viewers of 1 recordings" {
		t.Errorf("of the agents it says %q", says)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil || !strings.Contains(string(page), address) {
		t.Errorf("the report does not name the agent (%v)", err)
	}
	secret, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	noSecret(t, dir, []string{strings.TrimSpace(string(secret))})
}

func judgementOf(run *reports.Run, id string) reports.Judgement {
	for _, j := range run.Judgements() {
		if j.Requirement.ID == id {
			return j
		}
	}
	return reports.Judgement{}
}

// What is wrong about an agent is said before anything is measured.
func TestAgentsThatCannotBeUsed(t *testing.T) {
	p := newProgram(t)
	if err := os.WriteFile(p.bridged, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "agent.token")
	if err := os.WriteFile(token, []byte(strings.Repeat("x", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := "127.0.0.1:1#" + strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no token":            {[]string{"--agent", nobody, "--agent-token", token + ".none"}, reports.ExitUsage, "token file"},
		"no fingerprint":      {[]string{"--agent", "127.0.0.1:1", "--agent-token", token}, reports.ExitUsage, "names no fingerprint"},
		"too many":            {[]string{"--processes", "65"}, reports.ExitUsage, `"65" for "--processes" flag: it takes a whole number from 1 to 64`},
		"both":                {[]string{"--processes", "2", "--agent", nobody}, reports.ExitUsage, "--processes and --agent both take the viewers"},
		"nobody to take":      {[]string{"--processes", "2", "--label-filter", "client || halfopen"}, reports.ExitUsage, "none of the selected scenarios can put its viewers there"},
		"nobody for an agent": {[]string{"--agent", nobody, "--agent-token", token, "--label-filter", "kill"}, reports.ExitUsage, "choose among steady, load"},
		"nobody there":        {[]string{"--agent", nobody, "--agent-token", token}, reports.ExitUnavailable, "connection refused"},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		text, err := p.command(t.Context(), append([]string{"run", "--profile", "smoke", "--label-filter", "steady", "--run-dir", dir}, c.args...)...).CombinedOutput()
		if got := code(t, err); got != c.code || !strings.Contains(string(text), c.want) {
			t.Errorf("%s: exit code %d\n%s", name, got, text)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: there is a run directory", name)
		}
	}
}

// Processes of this host that hold viewers are in the options of the engine, in what the run
// was asked for and in the command that repeats it.
func TestProcessesOfARun(t *testing.T) {
	p := newProgram(t)
	if err := os.WriteFile(p.bridged, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	f := campaignFlags{profile: "smoke", seed: "1", bridged: p.bridged, agents: agentsFlags{processes: 3}}
	opts, err := f.options(false)
	if viewingCommand() == nil {
		if err == nil || !strings.Contains(err.Error(), "share a clock") {
			t.Fatalf("without a clock for all: %v", err)
		}
		return
	}
	if err != nil || opts.Processes != 3 || len(opts.Viewing) == 0 || !strings.Contains(opts.Command, " --processes 3") || f.effective(opts, false).Processes != 3 {
		t.Errorf("%+v, %v", opts, err)
	}
}
