package bridge

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"plumbline/bridge/internal/peer"
)

// host is what the operating system allows this process.
type host struct {
	files  uint64 // that it may open; the Go runtime has raised that to the hard limit. 0 = not known
	memory int64  // that the Go runtime keeps to; math.MaxInt64 = it knows no limit
	root   fs.FS  // of the file system, for /proc and /sys
}

func thisHost() host {
	return host{files: openFiles(), memory: debug.SetMemoryLimit(-1), root: os.DirFS("/")}
}

// CheckLimits compares what the operating system allows this process with what the configuration may need, and returns
// advice, one sentence each with the command that mends it; none when all is well. What cannot be read is not judged.
func CheckLimits(c Config) []string { return thisHost().advise(c) }

// NeededFiles returns how many files the bridge with this configuration may have open at a time.
func NeededFiles(c Config) uint64 {
	return served(c) + handshakeRoom(c.Viewers.MaxConnections) + headerRoom(c) + reservedFiles
}

// served returns how many connections of viewers and MQTT clients are allowed at a time.
func served(c Config) uint64 {
	n := uint64(c.Viewers.MaxConnections) + uint64(c.Viewers.MaxStreams)
	if c.MQTT.Embedded() {
		n += uint64(c.MQTT.MaxClients)
	}
	return n
}

func (h host) advise(c Config) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	connections := served(c)
	if need := NeededFiles(c); h.files > 0 && h.files < need {
		r := h.ration(c)
		say("the process may open %d files and could need %d, so that it takes %d viewers, %d streams and %d MQTT clients at most: raise the hard limit (LimitNOFILE=%d in the systemd unit, ulimit -Hn %d as root before the start) or lower viewers.maxConnections, viewers.maxStreams and mqtt.maxClients",
			h.files, need, r.viewers, r.streams, r.clients, need, need)
	}
	queue := min(connections, 4096)
	if n, ok := h.number("proc/sys/net/core/somaxconn"); ok && uint64(n) < queue {
		say("the system queues %d connections of one listener until they are accepted, a crowd that comes back at once is more: sysctl -w net.core.somaxconn=%d", n, queue)
	}
	if n, ok := h.number("proc/sys/net/ipv4/tcp_max_syn_backlog"); ok && uint64(n) < queue/4 {
		say("the system queues %d half-open connections of one listener: sysctl -w net.ipv4.tcp_max_syn_backlog=%d", n, queue)
	}
	if n, ok := h.number("proc/sys/net/netfilter/nf_conntrack_max"); ok && uint64(n) < 2*connections {
		say("the firewall tracks %d connections at most and drops packets of more: sysctl -w net.netfilter.nf_conntrack_max=%d", n, 4*connections)
	}
	h.adviseMemory(c, say)
	return out
}

// adviseMemory looks at the memory limit of the control group (cgroup v2), as containers and MemoryMax= in a systemd unit set it.
func (h host) adviseMemory(c Config, say func(string, ...any)) {
	limit, ok := h.memoryMax()
	if !ok {
		return
	}
	const mib = 1 << 20
	if h.memory == math.MaxInt64 {
		say("the control group allows %d MiB of memory and the Go runtime does not know: set GOMEMLIMIT=%dMiB in the environment, so that it collects before the kernel kills", limit/mib, limit/mib*9/10)
	}
	if tail := int64(c.Journal.TailBytes); tail > limit/4 {
		say("the control group allows %d MiB of memory and the journal keeps up to %d MiB of entries in it: --set journal.tailBytes=%dMiB", limit/mib, tail/mib, max(limit/mib/8, 1))
	}
}

// memoryMax returns the lowest memory.max from this process's control group upwards.
func (h host) memoryMax() (lowest int64, ok bool) {
	raw, err := fs.ReadFile(h.root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	group, found := "", false
	for line := range strings.Lines(string(raw)) {
		if rest, v2 := strings.CutPrefix(strings.TrimSpace(line), "0::/"); v2 {
			group, found = rest, true
		}
	}
	for at := path.Join("sys/fs/cgroup", group); found && strings.HasPrefix(at, "sys/fs/cgroup"); at = path.Dir(at) {
		if n, has := h.number(path.Join(at, "memory.max")); has && (!ok || n < lowest) {
			lowest, ok = n, true
		}
	}
	return lowest, ok
}

// number reads a file with one positive number.
func (h host) number(name string) (int64, bool) {
	raw, err := fs.ReadFile(h.root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	return n, err == nil && n > 0
}

// reservedFiles is what the bridge opens besides the connections of viewers and MQTT clients: journal, operators, brokers, sinks.
const reservedFiles = 128

// ration is how the files that the process may open are shared, so that it never runs out of them: a crowd on one listener must
// take neither the other's nor the operators' and the journal's.
type ration struct {
	viewers, streams, clients int // connections that are served
	handshakes                int // connections of viewers that are not served yet, with those that are served over HTTP
	headers                   int // connections of proxies that are yet to say for whom they are
}

// handshakeRoom is how many connections of viewers wait for their handshake at least, beside so many that are served. More
// than some hundreds are no use: the rate of handshakes empties the room within a second, and files are scarce.
func handshakeRoom(viewers int) uint64 { return min(uint64(viewers)/8, 512) + 1 }

// headerRoom is how many connections of proxies may wait for the header that says for whom they are: it comes at once, if at all.
func headerRoom(c Config) uint64 {
	if c.Viewers.ProxyHeader != string(peer.ProxyProtocol) {
		return 0
	}
	return handshakeRoom(c.Viewers.MaxConnections)
}

// ration keeps the configured numbers where there are files enough, and else lowers them in proportion.
func (h host) ration(c Config) ration {
	r := ration{viewers: c.Viewers.MaxConnections, streams: c.Viewers.MaxStreams, clients: c.MQTT.MaxClients, handshakes: math.MaxInt32, headers: int(headerRoom(c))}
	if !c.MQTT.Embedded() {
		r.clients = 0
	}
	if h.files == 0 {
		return r
	}
	free := min(h.files-min(reservedFiles, h.files/2), math.MaxInt32)
	if need := served(c) + handshakeRoom(r.viewers) + headerRoom(c); need > free {
		part := func(n int) int { return int(uint64(n) * free / need) }
		r.viewers, r.streams, r.clients = max(1, part(r.viewers)), max(1, part(r.streams)), min(r.clients, max(1, part(r.clients)))
		r.headers = min(r.headers, max(1, part(r.headers)))
	}
	r.handshakes = int(free) - r.clients - r.viewers - r.headers
	return r
}
