package bridge

import (
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"plumbline/bridge/config"
)

func TestAdvice(t *testing.T) {
	for _, tc := range []struct {
		name   string
		files  uint64
		memory int64
		system map[string]string
		change func(*Config)
		want   []string // parts of the one sentence, none = no advice
	}{
		{name: "nothing is known", memory: math.MaxInt64},
		{name: "enough", files: 21641, memory: math.MaxInt64, system: map[string]string{"proc/sys/net/core/somaxconn": "4096\n", "proc/self/cgroup": "0::/\n"}},
		{name: "files", files: 1024, memory: math.MaxInt64, want: []string{"1024", "21641", "LimitNOFILE=21641", "ulimit -Hn 21641", "416 viewers", "41 streams", "416 MQTT clients"}},
		{name: "no broker, files for viewers", files: 12379, memory: math.MaxInt64, change: func(c *Config) { c.MQTT.Listen = "" }},
		{name: "queue", memory: math.MaxInt64, system: map[string]string{"proc/sys/net/core/somaxconn": "128\n"}, want: []string{"sysctl -w net.core.somaxconn=4096"}},
		{name: "small queue, few connections", memory: math.MaxInt64, system: map[string]string{"proc/sys/net/core/somaxconn": "128\n"},
			change: func(c *Config) { c.Viewers.MaxConnections, c.Viewers.MaxStreams, c.MQTT.MaxClients = 50, 10, 50 }},
		{name: "half-open", memory: math.MaxInt64, system: map[string]string{"proc/sys/net/ipv4/tcp_max_syn_backlog": "256"}, want: []string{"sysctl -w net.ipv4.tcp_max_syn_backlog=4096"}},
		{name: "firewall", memory: math.MaxInt64, system: map[string]string{"proc/sys/net/netfilter/nf_conntrack_max": "8192"}, want: []string{"sysctl -w net.netfilter.nf_conntrack_max=84000"}},
		{name: "container", memory: math.MaxInt64, system: map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, want: []string{"1024 MiB", "GOMEMLIMIT=921MiB"}},
		{name: "unit", memory: math.MaxInt64, system: map[string]string{"proc/self/cgroup": "1:x:/y\n0::/system.slice/bridged.service\n",
			"sys/fs/cgroup/system.slice/bridged.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "536870912\n", "sys/fs/cgroup/memory.max": "9999999999"}, want: []string{"GOMEMLIMIT=460MiB"}},
		{name: "told", memory: 900 << 20, system: map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n"}},
		{name: "tail", memory: 100 << 20, system: map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "134217728\n"}, want: []string{"128 MiB", "journal.tailBytes=16MiB"}},
		{name: "odd files", memory: math.MaxInt64, system: map[string]string{"proc/self/cgroup": "nonsense", "proc/sys/net/core/somaxconn": "many", "proc/sys/net/ipv4/tcp_max_syn_backlog": "-5"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tc.system {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			c := config.Default()
			if tc.change != nil {
				tc.change(&c)
			}
			got := host{tc.files, tc.memory, root}.advise(c)
			if (len(tc.want) > 0) != (len(got) == 1) || len(got) > 1 {
				t.Fatalf("advice %q", got)
			}
			for _, part := range tc.want {
				if !strings.Contains(got[0], part) {
					t.Errorf("%q lacks %q", got[0], part)
				}
			}
		})
	}
}

// TestRation: what is given out never exceeds the files that there are, less what the bridge itself needs, and everyone gets some.
func TestRation(t *testing.T) {
	c := config.Default()
	for _, n := range []uint64{16, 64, 160, 256, 1024, 19999, 20000, 20128, 21640, 21641, 1 << 20, math.MaxUint64} {
		r := host{files: n}.ration(c)
		if r.viewers < 1 || r.streams < 1 || r.clients < 1 || r.handshakes < 1 || r.viewers > c.Viewers.MaxConnections || r.clients > c.MQTT.MaxClients {
			t.Errorf("%d files: %+v", n, r)
		}
		if used := uint64(r.viewers) + uint64(r.clients) + uint64(r.handshakes); used > n-min(reservedFiles, n/2) {
			t.Errorf("%d files: %+v are %d", n, r, used)
		}
		if n >= 21641 && (r.viewers != c.Viewers.MaxConnections || r.streams != c.Viewers.MaxStreams || r.handshakes < r.streams || r.clients != c.MQTT.MaxClients) {
			t.Errorf("%d files are enough, and yet %+v", n, r)
		}
	}
	c.Viewers.MaxConnections, c.Viewers.MaxStreams, c.MQTT.MaxClients = 19_000, 1, 300
	if r := (host{files: 20_000}).ration(c); r.viewers != 19_000 {
		t.Errorf("19,000 viewers fit into 20,000 files, and yet %+v", r)
	}
	c = config.Default()
	if r := (host{}).ration(c); r.viewers != c.Viewers.MaxConnections || r.clients != c.MQTT.MaxClients {
		t.Errorf("nothing is known, and yet %+v", r)
	}
}
