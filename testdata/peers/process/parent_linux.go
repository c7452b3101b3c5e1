package process

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel kill the command when the test binary ends
// without its cleanups, as after a timeout.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
