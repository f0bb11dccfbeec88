package brokertest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"plumbline/bridge/internal/eventually"
)

// TestBrokerDiesWithItsTest: a test that is killed leaves no Mosquitto behind.
func TestBrokerDiesWithItsTest(t *testing.T) {
	if os.Getenv("PLUMBLINE_TEST_ORPHAN") != "" {
		fmt.Println("listens on", New(t, Lines).Addr)
		select {} // until it is killed
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestBrokerDiesWithItsTest$")
	cmd.Env = append(os.Environ(), "PLUMBLINE_TEST_ORPHAN=1", "TMPDIR="+t.TempDir())
	DieWithTest(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listens on ")
	if err != nil || !ok {
		t.Fatalf("the test to be killed says %q, error %v", line, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	eventually.Must(t, "the broker's end", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}
