package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"plumbline/bridge"
	"plumbline/bridge/config"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestUnitFile: systemd itself finds nothing to say about the unit, and its limits fit the defaults.
func TestUnitFile(t *testing.T) {
	unit := readFile(t, "../../deploy/bridged.service")
	set := func(key string) string {
		m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(unit)
		if m == nil {
			t.Errorf("the unit does not set %s", key)
			return ""
		}
		return m[1]
	}
	for key, want := range map[string]string{"Type": "notify", "DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "ExecReload": "/bin/kill -HUP $MAINPID"} {
		if got := set(key); got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
	set("WatchdogSec")
	files, err := strconv.ParseUint(set("LimitNOFILE"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if need := bridge.NeededFiles(config.Default()); files < need {
		t.Errorf("LimitNOFILE=%d, the defaults need %d", files, need)
	}
	if got := set("StartLimitIntervalSec"); got != "0" {
		t.Errorf("StartLimitIntervalSec=%s: systemd gives the bridge up when a port or a disk is away for some seconds", got)
	}
	if strings.Contains(unit, "\nExecStartPre=") {
		t.Error("what runs before the bridge ends with its own code, which RestartPreventExitStatus= does not know: a bad configuration would be started anew for ever")
	}
	if runtime.GOOS != "linux" {
		t.Skip("systemd is for Linux")
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("systemd-analyze is missing: make deps-test installs it (Debian package systemd)")
	}
	copied := filepath.Join(t.TempDir(), "bridged.service")
	if err := os.WriteFile(copied, []byte(strings.ReplaceAll(unit, "/usr/local/bin/bridged", os.Args[0])), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", copied).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestUnitStartsACrashedBridgeAnew: neither what the watchdog sends (systemd.service(5): SIGABRT) nor a fault of Go ends the process
// with an exit code that keeps systemd from starting it anew. A bad configuration does.
func TestUnitStartsACrashedBridgeAnew(t *testing.T) {
	unit := readFile(t, "../../deploy/bridged.service")
	var environ []string
	for _, m := range regexp.MustCompile(`(?m)^Environment=(\w+=[^%\n]*)$`).FindAllStringSubmatch(unit, -1) {
		environ = append(environ, m[1])
	}
	m := regexp.MustCompile(`(?m)^RestartPreventExitStatus=(\d+)$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatal("the unit does not say which exit code is for good")
	}
	for _, sig := range []syscall.Signal{syscall.SIGABRT, syscall.SIGQUIT} { // Go ends by the second as it does by a panic
		p := launch(t, filepath.Join(t.TempDir(), "data"), bridge.Addresses{}, environ, nil, nil)
		p.awaitReady()
		p.signal(sig)
		if err := p.awaitEnd(); err == nil || p.cmd.ProcessState.ExitCode() != -1 {
			t.Errorf("%s: %v; want an end by signal, %s stands for a bad configuration", sig, err, m[1])
		}
	}
	p := launch(t, filepath.Join(t.TempDir(), "data"), bridge.Addresses{}, environ, nil, nil, "log.level=loud")
	if err := p.awaitEnd(); err == nil || strconv.Itoa(p.cmd.ProcessState.ExitCode()) != m[1] {
		t.Errorf("a bad configuration: %v, want exit code %s", err, m[1])
	}
}

// TestContainerfile: what the image is built from is enough, and what it runs is a static binary under a user without rights whose
// health check and command are real ones. Building it needs a registry, which tests do without.
func TestContainerfile(t *testing.T) {
	text := readFile(t, "../../deploy/Containerfile")
	last := text[strings.LastIndex(text, "\nFROM "):]
	for _, want := range []string{"\nFROM scratch\n", "\nUSER 65532:65532\n", "\nSTOPSIGNAL SIGTERM\n", "\nENTRYPOINT [\"/bridged\"]\n"} {
		if !strings.Contains(last, want) {
			t.Errorf("the image lacks %q", want)
		}
	}
	if !strings.Contains(text, "CGO_ENABLED=0 go build") {
		t.Error("the binary is not static: nothing in the image could load its libraries")
	}
	module := readFile(t, "../../../go.mod")
	if m := regexp.MustCompile(`(?m)^ARG GO=(.*)$`).FindStringSubmatch(text); m == nil || !strings.Contains(module, "\ngo "+m[1]) {
		t.Errorf("ARG GO is %q, go.mod asks for another version", m)
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "plumbline/bridge/cmd/bridged").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		if strings.HasPrefix(dep, "plumbline/") && !strings.HasPrefix(dep, "plumbline/bridge") {
			t.Errorf("bridged needs %s, which is not copied into the build", strings.TrimSpace(dep))
		}
	}
	m := regexp.MustCompile(`HEALTHCHECK .* CMD (\[.*\])`).FindStringSubmatch(text)
	var health []string
	if m == nil || json.Unmarshal([]byte(m[1]), &health) != nil {
		t.Fatal("no health check in exec form")
	}
	file := write(t, "bridge.yaml", "ops: {listen: \"127.0.0.1:1\"}\n")
	for i := range health {
		health[i] = strings.ReplaceAll(health[i], "/etc/plumbline/bridge.yaml", file)
	}
	if code, _, errs := invoke(t, "", health[1:]...); code != exitUnavailable {
		t.Errorf("the health check of nobody: exit %d, %s", code, errs)
	}
}
