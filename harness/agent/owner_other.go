//go:build !unix

package agent

import (
	"io/fs"
	"os"
)

func owner(fs.FileInfo) int { return os.Geteuid() }
