package relay

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/catest"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
)

// TestSentinelFailOver: the primary is killed, its replica takes over, perhaps without the last that was stored. The nodes settle
// the log there and go on in the same epoch; nothing that was acknowledged is lost or twice.
func TestSentinelFailOver(t *testing.T) {
	primary := redistest.New(t)
	replica := primary.Replica()
	at := redistest.Sentinels(t, primary, 3)
	named := func(name string) Options {
		o := options(primary, name)
		o.URL, o.Sentinels = "redis://"+redistest.MasterName+"/0", at
		return o
	}
	a, b := newNode(t, named("a")), newNode(t, named("b"))
	failOver(t, a, b, primary, replica)
}

// forSentinel are the rights of a user of a Sentinel that README.md gives.
const forSentinel = "resetchannels &+switch-master &+replica-reconf-done -@all +auth +hello +client|setname +ping +subscribe +sentinel|get-master-addr-by-name +sentinel|sentinels"

// TestSentinelsThatAskForAPassword: with that of all, and with a user of theirs who may do what the README says and no more. What does
// not fit is refused and named.
func TestSentinelsThatAskForAPassword(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil || !strings.Contains(string(readme), "user bridge on >PASSWORD "+forSentinel) {
		t.Fatalf("README.md does not have the line user bridge on >PASSWORD %s (%v)", forSentinel, err)
	}
	primary := redistest.New(t)
	primary.Replica()
	at := redistest.Sentinels(t, primary, 3, "user bridge on >offen "+forSentinel, "requirepass geheim")
	with := func(name, credentials string) Options {
		o := options(primary, name)
		o.URL, o.Sentinels = "redis://"+redistest.MasterName+"/0", at
		if credentials != "" {
			o.SentinelCredentialsFile = filepath.Join(t.TempDir(), "credentials")
			if err := os.WriteFile(o.SentinelCredentialsFile, []byte(credentials), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return o
	}
	a, b := newNode(t, with("a", "geheim\n")), newNode(t, with("b", "bridge\noffen\n"))
	p := publish(t, "t", a.Log)
	p.await(20)
	same(t, []*node{a, b}, p)
	for _, sentinel := range at {
		c := redis.NewClient(&redis.Options{Addr: sentinel, Password: "geheim"})
		refused, err := c.Do(t.Context(), "ACL", "LOG").Slice()
		if err := errors.Join(err, c.Close()); err != nil || len(refused) > 0 {
			t.Errorf("refused was: %v, %v", refused, err)
		}
	}
	for _, c := range []struct{ name, credentials, url, want string }{
		{"no password", "", "", "relay.sentinelCredentialsFile"},
		{"another password", "falsch\n", "", "relay.sentinelCredentialsFile"},
		{"another user", "nobody\ngeheim\n", "", "relay.sentinelCredentialsFile"},
		{"three lines", "a\nb\nc\n", "", "want two lines"},
		{"another master", "geheim\n", "redis://other/0", "relay.url"},
	} {
		n := &node{tb: t, dir: t.TempDir(), opts: with("c", c.credentials)}
		if c.url != "" {
			n.opts.URL = c.url
		}
		if err := n.tryStart(); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "falsch") {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
	n := &node{tb: t, dir: t.TempDir(), opts: with("c", "geheim\n")}
	n.opts.Sentinels = []string{brokertest.FreePort(t)}
	if err := n.tryStart(); err == nil || !strings.Contains(err.Error(), "no Sentinel answers") {
		t.Errorf("nobody there: %v", err)
	}
}

// TestRedisCluster: three primaries, of which one has the log, with sharded Pub/Sub; and its replica takes over when it is killed.
func TestRedisCluster(t *testing.T) {
	servers := redistest.Cluster(t)
	master, replica := redistest.ClusterReplica(t, servers, keysOf("test").head())
	inCluster := func(name string) Options {
		o := options(servers[0], name)
		o.RedisCluster = []string{servers[1].Addr, servers[2].Addr}
		return o
	}
	n := &node{tb: t, dir: t.TempDir(), opts: options(servers[0], "a")}
	if err := n.tryStart(); err == nil || !strings.Contains(err.Error(), "relay.redisCluster") {
		t.Errorf("a node that knows of no Redis Cluster: %v", err)
	}
	a, b := newNode(t, inCluster("a")), newNode(t, inCluster("b"))
	failOver(t, a, b, master, replica)
	for _, s := range servers {
		if s != master && s.Client.DBSize(t.Context()).Val() != 0 {
			t.Errorf("%s has keys: the log is not in one slot", s.Addr)
		}
	}
}

// failOver kills the one of two servers that has the log, while both nodes store, and fails when anything is lost, twice, or in a new
// epoch.
func failOver(t *testing.T, a, b *node, one, other *redistest.Server) {
	t.Helper()
	epoch := a.journal.Epoch()
	ps := []*publisher{publish(t, "x", a.Log), publish(t, "y", b.Log)}
	for _, p := range ps {
		p.await(100)
	}
	master, replica := redistest.Pair(one, other) // a machine that stood still may have changed their parts
	master.Kill()
	began := time.Now()
	for _, p := range ps {
		p.await(2) // one may have been stored before it failed
	}
	t.Logf("stored again after %s", time.Since(began).Round(10*time.Millisecond))
	for _, p := range ps {
		p.await(100)
	}
	same(t, []*node{a, b}, ps...)
	if !strings.Contains(replica.Info("replication"), "role:master") {
		t.Error("the replica has not taken over")
	}
	for _, n := range []*node{a, b} {
		if s := n.Stats(); n.journal.Epoch() != epoch || n.renewed.Load() > 0 || s.Missing > 0 || s.Forked > 0 {
			t.Errorf("node %s: epoch %s, was %s; %+v", n.opts.Node, n.journal.Epoch(), epoch, s)
		}
	}
}

// needed are the rights that README.md gives: with them all of the relay works, and with none of them missing.
const needed = "~plumbline:* &plumbline:* -@all +client|setname +hello +info +eval +evalsha +hgetall +hmget +hget +hset +hdel +hincrby +hscan +zadd +zscore +zrangebyscore +zrem +xadd +xrange +xdel +del +expire +pexpire +get +mget +set +sadd +srem +smembers +rpush +blpop +publish +spublish +subscribe +ssubscribe +unsubscribe +sunsubscribe +ping"

// TestUserWithTheRightsOfTheReadme: a user who may do that and nothing else does all that a node needs; one who lacks something of
// it is told what.
func TestUserWithTheRightsOfTheReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil || !strings.Contains(string(readme), "ACL SETUSER bridge on >PASSWORD "+needed) {
		t.Fatalf("README.md does not have the line ACL SETUSER bridge on >PASSWORD %s (%v)", needed, err)
	}
	redis := redistest.New(t)
	user := func(name, rules string) {
		t.Helper()
		args := []any{"ACL", "SETUSER", name, "reset", "on", ">geheim"}
		for rule := range strings.FieldsSeq(rules) {
			args = append(args, rule)
		}
		if err := redis.Client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	as := func(name, user string) Options {
		file := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(file, []byte(user+"\ngeheim\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o := ingesting(redis, name)
		o.CredentialsFile, o.StreamBytes = file, 1<<10 // so little that entries have to be trimmed, and fetched from another node
		return o
	}
	user("bridge", needed)
	a, b := newStaffed(t, as("a", "bridge")), newStaffed(t, as("b", "bridge"))
	p := publish(t, "t", a.Log)
	p.await(50)
	a.connects("moves")
	b.connects("moves")
	b.connects("stays")
	eventually.Must(t, "a to be told", func() bool { return len(a.roster.Devices()) == 0 })
	token := b.devices.token()
	b.die()
	a.buries(token)
	if slices.Sort(a.roster.orphans); !slices.Equal(a.roster.orphans, []string{"moves", "stays"}) {
		t.Errorf("wills of %v were sent, want those of both devices", a.roster.orphans)
	}
	p.await(100)
	b.start()
	eventually.Must(t, "the lease", func() bool { return a.leading() || b.leading() })
	redis.Client.FlushAll(t.Context())
	p.await(50)
	same(t, []*node{a, b}, p)
	if s := b.Stats(); s.FromPeers == 0 || s.Missing > 0 {
		t.Errorf("nothing came from the other node: %+v", s)
	}
	refused, err := redis.Client.Do(t.Context(), "ACL", "LOG").Slice()
	if err != nil || len(refused) > 0 {
		t.Errorf("refused was: %v, %v", refused, err)
	}
	a.end() // the lease is given back by a script

	user("short", strings.ReplaceAll(needed, "+evalsha", "-evalsha"))
	n := &node{tb: t, dir: t.TempDir(), opts: as("c", "short")}
	n.opts.Cluster = "other" // the first of its log settles it
	if err := n.tryStart(); err == nil || !strings.Contains(err.Error(), "ACL SETUSER") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("a user who may not carry out scripts: %v", err)
	}
}

// TestTLSToRedis: over TLS with certificates of both sides; what does not fit is refused and named.
func TestTLSToRedis(t *testing.T) {
	ca := catest.New(t, "ours")
	cert, key := ca.Issue("redis", "127.0.0.1")
	client, clientKey := ca.Issue("bridge", "bridge.example")
	foreign := catest.New(t, "theirs")
	strange, strangeKey := foreign.Issue("bridge", "bridge.example")
	at := brokertest.FreePort(t)
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	redis := redistest.New(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca.File, "--tls-auth-clients", "yes")
	secure := func(name string) Options {
		o := options(redis, name)
		o.URL, o.CAFile, o.CertFile, o.KeyFile = "rediss://"+at+"/0", ca.File, client, clientKey
		return o
	}
	a, b := newNode(t, secure("a")), newNode(t, secure("b"))
	p := publish(t, "t", a.Log)
	p.await(50)
	same(t, []*node{a, b}, p)
	for _, c := range []struct {
		name, want string
		change     func(o *Options)
	}{
		{"no certificate", "relay.tls.cert", func(o *Options) { o.CertFile, o.KeyFile = "", "" }},
		{"a certificate of another authority", "relay.tls.cert", func(o *Options) { o.CertFile, o.KeyFile = strange, strangeKey }},
		{"another authority", "relay.tls.ca", func(o *Options) { o.CAFile = foreign.File }},
		{"another name", "relay.tls.serverName", func(o *Options) { o.ServerName = "other.example" }},
		{"a port without TLS", "is that its TLS port", func(o *Options) { o.URL = "rediss://" + redis.Addr + "/0" }},
		{"no TLS to a port with it", "is it a TLS port", func(o *Options) { o.URL = "redis://" + at + "/0" }},
	} {
		n := &node{tb: t, dir: t.TempDir(), opts: secure("c")}
		c.change(&n.opts)
		if err := n.tryStart(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
}
