package brokertest

import (
	"os/exec"
	"syscall"
)

// DieWithTest makes a process that is yet to start end with the process of the test, however that ends: no Cleanup runs when a
// test is killed.
func DieWithTest(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
