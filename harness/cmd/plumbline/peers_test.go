package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

// shortProfile writes the profile smoke with the loads of three scenarios cut
// down: what is asked here is whether there are verdicts, and which. How soon
// somebody is back is up to the machine.
func shortProfile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../profile/profiles/smoke.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for pattern, with := range map[string]string{
		`(?m)^name: smoke$`:     `name: short`,
		`samples: 2500`:         `samples: 1000`,
		`REC-01: \{limit: 2 s`:  `REC-01: {limit: 60 s`,
		`(?m)^  steady: +\{.*$`: `  steady:   {runs: 1, devices: 50, rate: 500 /s, viewers: 2, burst: 2, warmUp: 500 ms, window: 3 s, drain: 10 s}`,
		`(?m)^  load: +\{.*$`:   `  load:     {devices: 20, rate: 400 /s, viewers: 4, warmUp: 500 ms, window: 2 s, drain: 10 s}`,
		`(?m)^  client: +\{.*$`: `  client:   {devices: 10, rate: 200 /s, viewers: 2, cycles: 1, hold: 300 ms, drain: 10 s}`,
	} {
		old := regexp.MustCompile(pattern)
		if !old.Match(text) {
			t.Fatalf("the profile smoke has nothing that matches %s", pattern)
		}
		text = old.ReplaceAll(text, []byte(with))
	}
	path := filepath.Join(t.TempDir(), "short.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Bridges of other people that speak MQTT to viewers are judged like ours: the
// real programs, from the descriptor to the verdicts.
func TestVerdictsOnOtherPeoplesBridges(t *testing.T) {
	t.Parallel()
	for peer, want := range map[string]map[string]reports.Verdict{ // by the program, which names the system
		"mosquitto": {
			"DEL-01": reports.Pass, "DEL-02": reports.Pass, "DEL-05": reports.Pass, "DEL-06": reports.Pass,
			"ORD-01": reports.Pass, "ORD-02": reports.Pass, "REC-01": reports.Pass, "DEL-07": reports.NotApplicable,
		},
		// It sends again what a lost connection took only after half a minute, and
		// so loses in the eyes of a viewer: DEL-02 and ORD-02 are left to chance.
		"nats-server": {"DEL-06": reports.Pass, "DEL-07": reports.NotApplicable},
	} {
		t.Run(peer, func(t *testing.T) {
			t.Parallel()
			p := newProgram(t)
			if _, err := exec.LookPath(peer); err != nil {
				t.Fatalf("%s is not installed; 'make deps-test' installs it", peer)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			dir := filepath.Join(p.out, "run")
			text, err := p.command(ctx, "run", "--sut", "../../../scenarios/peers/"+strings.TrimSuffix(peer, "-server")+".yaml", "--profile", shortProfile(t),
				"--label-filter", "steady || load || client", "--seed", "7", "--run-dir", dir).CombinedOutput()
			if got := code(t, err); got == reports.ExitFault || got == reports.ExitUnavailable || got == reports.ExitUsage {
				t.Fatalf("exit code %d\n%s", got, text)
			}
			run, err := render.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			judged := map[string]bool{}
			for _, r := range run.Results {
				judged[r.Requirement] = true
				switch verdict, known := want[r.Requirement]; {
				case r.Verdict == reports.Error || r.Verdict == reports.NotRun:
					t.Errorf("%s in %s: %s: %s", r.Requirement, r.Scenario, r.Verdict, r.Sentence)
				case known && r.Verdict != verdict && (verdict != reports.Pass || !busy(r)):
					t.Errorf("%s in %s: %s, want %s: %s", r.Requirement, r.Scenario, r.Verdict, verdict, r.Sentence)
				}
			}
			for requirement := range want {
				if !judged[requirement] {
					t.Errorf("%s was not judged", requirement)
				}
			}
		})
	}
}
