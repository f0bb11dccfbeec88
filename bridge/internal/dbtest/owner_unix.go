//go:build unix

package dbtest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// owner is the user that a server runs as: PostgreSQL refuses to be root. The zero value is the user of the test.
type owner struct {
	cred *syscall.Credential
}

// unprivileged returns the first of the users that is there when the test is root, else the test's own.
func unprivileged(names ...string) owner {
	if os.Geteuid() != 0 {
		return owner{}
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.ParseUint(u.Uid, 10, 32)
		gid, errG := strconv.ParseUint(u.Gid, 10, 32)
		if errU == nil && errG == nil {
			return owner{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		}
	}
	return owner{}
}

func (o owner) own(path string) error {
	if o.cred == nil {
		return nil
	}
	return os.Chown(path, int(o.cred.Uid), int(o.cred.Gid))
}

func (o owner) runs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.cred} }
