package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

// generatorOf returns the process of the generator that a command has started, 0
// while there is none.
func generatorOf(parent int) int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// State and parent follow the name of the program (proc(5)).
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) && bytes.HasSuffix(line, []byte("\x00"+generateVerb+"\x00")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	return 0
}

// The load comes from a process of its own, the run says so, and the death of
// that process is a fault of the harness.
func TestADeadGeneratorIsAFaultOfTheHarness(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the load comes from within the harness here")
	}
	p := newProgram(t).withBridge(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := filepath.Join(p.out, "run")
	cmd := p.command(ctx, "run", "--profile", "smoke", "--label-filter", "req:LAT-08", "--run-dir", dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	within(t, time.Minute, "generator that records", func() bool {
		pid = generatorOf(cmd.Process.Pid)
		info, err := os.Stat(filepath.Join(dir, "records", "connect", "records.bin"))
		return pid != 0 && err == nil && info.Size() > 16<<10
	})
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := code(t, cmd.Wait()); got != reports.ExitFault {
		t.Errorf("exit code %d\n%s", got, errs.String())
	}
	run, err := render.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if said := fmt.Sprint(run.Results); run.Overall != reports.Error || !strings.Contains(said, "the load generator died") {
		t.Errorf("the verdict is %s: %s", run.Overall, said)
	}
	environment, err := os.ReadFile(filepath.Join(dir, "env.json"))
	if err != nil || !strings.Contains(string(environment), `"generator": "own process"`) {
		t.Errorf("the environment is %s, %v", environment, err)
	}
}

func TestGenerateIsHidden(t *testing.T) {
	var out bytes.Buffer
	if code := execute(t.Context(), streams{in: strings.NewReader(""), out: &out, err: &out, getenv: func(string) string { return "" }}, []string{"help"}); code != 0 || strings.Contains(out.String(), generateVerb) {
		t.Errorf("exit code %d, help says\n%s", code, out.String())
	}
	out.Reset()
	if code := execute(t.Context(), streams{in: strings.NewReader("who are you?"), out: &out, err: &out, getenv: func(string) string { return "" }}, []string{generateVerb}); code == 0 || !strings.Contains(out.String(), "is it a plumbline") {
		t.Errorf("spoken to by a stranger: exit code %d\n%s", code, out.String())
	}
}
