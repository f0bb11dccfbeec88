package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// MasterName is how the Sentinels of this package call the server that they watch.
const MasterName = "plumbline-test"

// Replica starts a replica of s and waits until it follows.
func (s *Server) Replica(settings ...string) *Server {
	s.tb.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		s.tb.Fatal(err)
	}
	r := New(s.tb, append([]string{"--replicaof", host + " " + port}, settings...)...)
	eventually.Must(s.tb, "a replica of "+s.Addr+" to follow", func() bool { return strings.Contains(r.Info("replication"), "master_link_status:up") })
	return r
}

// Pair tells which of two servers that follow each other is the master now.
func Pair(a, b *Server) (master, replica *Server) {
	if strings.Contains(b.Info("replication"), "role:master") {
		return b, a
	}
	return a, b
}

// Info returns a section of INFO; "" while the server is away.
func (s *Server) Info(section string) string {
	return s.Client.Info(context.Background(), section).Val()
}

// Sentinels starts n Sentinels that watch s, a majority of which decides, and returns their addresses once they know each other.
// They take s for dead after two seconds. lines are added to the file of each; with a password for "requirepass" the last of them is that.
func Sentinels(tb testing.TB, s *Server, n int, lines ...string) (addrs []string) {
	tb.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		tb.Fatal(err)
	}
	var all []*Server
	for range n {
		conf := filepath.Join(tb.TempDir(), "sentinel.conf")
		text := fmt.Sprintf("sentinel monitor %s %s %s %d\nsentinel down-after-milliseconds %s 2000\nsentinel failover-timeout %s 5000\n", MasterName, host, port, n/2+1, MasterName, MasterName) + strings.Join(lines, "\n") + "\n"
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		_, password, _ := strings.Cut(text, "requirepass ")
		one := &Server{tb: tb, password: strings.TrimSpace(password), Addr: brokertest.FreePort(tb), Dir: filepath.Dir(conf), conf: conf}
		one.begin()
		all, addrs = append(all, one), append(addrs, one.Addr)
	}
	eventually.Must(tb, "the Sentinels to know each other and a replica", func() bool {
		for _, one := range all {
			text := one.Info("sentinel")
			if !strings.Contains(text, "status=ok") || !strings.Contains(text, fmt.Sprintf("sentinels=%d", n)) || strings.Contains(text, "slaves=0") {
				return false
			}
		}
		return true
	})
	return addrs
}

// Cluster starts a Redis Cluster of three servers, and returns them once they serve all slots.
func Cluster(tb testing.TB) (all []*Server) {
	tb.Helper()
	ctx := context.Background()
	for range 3 {
		_, bus, err := net.SplitHostPort(brokertest.FreePort(tb))
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, New(tb, "--cluster-enabled", "yes", "--cluster-node-timeout", "3000", "--cluster-port", bus))
	}
	const slots = 16384
	for i, s := range all {
		if err := s.Client.ClusterAddSlotsRange(ctx, i*slots/len(all), (i+1)*slots/len(all)-1).Err(); err != nil {
			tb.Fatal(err)
		}
		if i > 0 {
			all[0].meet(s)
		}
	}
	for _, s := range all {
		s.whole(len(all))
	}
	return all
}

// meet makes s and other know each other.
func (s *Server) meet(other *Server) {
	s.tb.Helper()
	host, port, err := net.SplitHostPort(other.Addr)
	if err != nil {
		s.tb.Fatal(err)
	}
	bus := ""
	for i, name := range other.settings {
		if name == "--cluster-port" {
			bus = other.settings[i+1]
		}
	}
	if err := s.Client.Do(context.Background(), "CLUSTER", "MEET", host, port, bus).Err(); err != nil {
		s.tb.Fatal(err)
	}
}

// whole waits until s serves a cluster of n servers.
func (s *Server) whole(n int) {
	s.tb.Helper()
	eventually.Must(s.tb, "the Redis Cluster to be whole at "+s.Addr, func() bool {
		text := s.Client.ClusterInfo(context.Background()).Val()
		return strings.Contains(text, "cluster_state:ok") && strings.Contains(text, fmt.Sprintf("cluster_known_nodes:%d\r\n", n))
	})
}

// ClusterReplica adds to the Redis Cluster of servers a replica of the one that has key, and returns both once it follows.
func ClusterReplica(tb testing.TB, servers []*Server, key string) (master, replica *Server) {
	tb.Helper()
	ctx := context.Background()
	slot := servers[0].Client.ClusterKeySlot(ctx, key).Val()
	master = servers[int(slot)*len(servers)/16384]
	_, bus, err := net.SplitHostPort(brokertest.FreePort(tb))
	if err != nil {
		tb.Fatal(err)
	}
	replica = New(tb, "--cluster-enabled", "yes", "--cluster-node-timeout", "3000", "--cluster-port", bus)
	for _, s := range servers {
		s.meet(replica)
	}
	replica.whole(len(servers) + 1)
	id, err := master.Client.ClusterMyID(ctx).Result()
	if err != nil {
		tb.Fatal(err)
	}
	eventually.Must(tb, "the replica to know whom to follow", func() bool { return replica.Client.ClusterReplicate(ctx, id).Err() == nil })
	eventually.Must(tb, "a replica of "+master.Addr+" to follow", func() bool { return strings.Contains(replica.Info("replication"), "master_link_status:up") })
	return master, replica
}
