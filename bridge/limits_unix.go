//go:build unix

package bridge

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// CheckLimits compares what the operating system allows this process with what the configuration may need, and returns
// advice, one sentence each; none when all is well.
func CheckLimits(c Config) []string {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return nil // nothing is known, so nothing can be said
	}
	need := uint64(c.Viewers.MaxConnections) + uint64(c.Viewers.MaxStreams) + uint64(c.MQTT.MaxClients) + reservedFiles
	if have := uint64(lim.Cur); have < need { //nolint:unconvert // the field is signed on some systems
		return []string{fmt.Sprintf("the process may open %d files and could need %d: raise the limit (ulimit -n %d, or LimitNOFILE=%d in the systemd unit) or lower viewers.maxConnections, viewers.maxStreams and mqtt.maxClients", have, need, need, need)}
	}
	return nil
}

// reservedFiles is what the bridge opens besides connections.
const reservedFiles = 128
