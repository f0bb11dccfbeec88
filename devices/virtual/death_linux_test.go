package virtual

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"plumbline/devices/devicetest"
)

const parentEnv = "PLUMBLINE_VIRTUAL_TEST_PARENT"

// TestParent is no test: it is the process that the test below kills.
func TestParent(t *testing.T) {
	if os.Getenv(parentEnv) == "" {
		t.Skip("only as a child of TestAMachineDiesWithItsParent")
	}
	m, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("emulator %d %s\n", m.process.cmd.Process.Pid, m.process.dir)
	_, _ = io.Copy(io.Discard, m.Serial()) // until we are killed
}

func TestAMachineDiesWithItsParentAndLeavesNothing(t *testing.T) {
	if err := Available(); err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestParent$")
	parent.Env = append(os.Environ(), parentEnv+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid, dir := 0, ""
	for in := bufio.NewScanner(out); pid == 0 && in.Scan(); {
		if n, err := fmt.Sscanf(in.Text(), "emulator %d %s", &pid, &dir); n != 2 || err != nil {
			pid = 0
		}
	}
	if err := parent.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = parent.Wait() // killed
	if pid == 0 {
		t.Fatal("the parent started no emulator")
	}
	devicetest.Eventually(t, "the emulator to end with its parent", func() bool { return ended(pid) })
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s was left behind: %v", dir, err)
	}
}

// ended reports whether a process is gone or only waits to be waited for.
func ended(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return len(fields) == 0 || fields[0] == "Z" || fields[0] == "X"
}
