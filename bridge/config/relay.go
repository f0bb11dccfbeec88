package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Relay makes several bridges one, by a Redis that all of them reach.
type Relay struct {
	URL                     string      `yaml:"url"`                     // redis:// or rediss://HOST:PORT/DATABASE; "" = this bridge is alone
	Cluster                 string      `yaml:"cluster"`                 // tells clusters on one Redis apart; the same on all bridges of one
	Sentinels               []string    `yaml:"sentinels"`               // host:port of each; then the host in url is the name of the master
	RedisCluster            []string    `yaml:"redisCluster"`            // host:port of further servers of the Redis Cluster that the one in url belongs to; it may name others itself
	CredentialsFile         string      `yaml:"credentialsFile"`         // first line user, second line password, or the password alone; read anew at each connection
	SentinelCredentialsFile string      `yaml:"sentinelCredentialsFile"` // the same for the Sentinels, where they ask for it; read at the start
	SecretFile              string      `yaml:"secretFile"`              // signs what the bridges tell each other, the same on all; "" = against accidents only
	Plaintext               bool        `yaml:"plaintext"`               // allow redis:// to an address that is not loopback
	TLS                     ExternalTLS `yaml:"tls"`
	Lease                   Duration    `yaml:"lease"`       // one bridge at a time stores what external brokers send; another takes over when it is silent for so long
	StreamBytes             Bytes       `yaml:"streamBytes"` // what Redis keeps for bridges that missed something
}

func defaultRelay() Relay {
	return Relay{Cluster: "plumbline", Lease: Duration(5 * time.Second), StreamBytes: 64 << 20}
}

// On reports whether the bridge is one of several.
func (r Relay) On() bool { return r.URL != "" }

// validate never repeats the URL: somebody may have put a password there.
func (r Relay) validate(say sayFunc) {
	if !r.On() {
		return
	}
	u, err := url.Parse(r.URL)
	switch {
	case err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		say("relay.url", "want exactly rediss://HOST:PORT/DATABASE, or redis:// on loopback")
	case u.User != nil:
		say("relay.url", "holds a user or password: put them into a file and name it in relay.credentialsFile")
	case u.Scheme == "redis" && !r.Plaintext && !r.near(u.Hostname()):
		say("relay.url", "is redis:// to a host that is not loopback, so anyone on the way could read and change everything: use rediss://, or allow it with relay.plaintext: true")
	default:
		if path := strings.Trim(u.Path, "/"); path != "" {
			if n, err := strconv.Atoi(path); err != nil || n < 0 {
				say("relay.url", "the path is not the number of a database, such as /0")
			}
		}
	}
	for _, at := range r.Sentinels {
		if host, port, err := net.SplitHostPort(at); err != nil || host == "" || port == "" {
			say("relay.sentinels", "%q: want host:port, such as sentinel-1:26379", at)
		}
	}
	if r.SentinelCredentialsFile != "" && len(r.Sentinels) == 0 {
		say("relay.sentinelCredentialsFile", "is there without relay.sentinels: name the Sentinels there, or leave it out; what Redis itself asks for goes into relay.credentialsFile")
	}
	for _, at := range r.RedisCluster {
		if host, port, err := net.SplitHostPort(at); err != nil || host == "" || port == "" {
			say("relay.redisCluster", "%q: want host:port, such as redis-1:6379", at)
		}
	}
	if len(r.RedisCluster) > 0 && len(r.Sentinels) > 0 {
		say("relay.redisCluster", "is there beside relay.sentinels: a Redis Cluster looks after itself, so name one of the two")
	}
	if !validName(r.Cluster) {
		say("relay.cluster", "%q: want a name of up to 32 lower case letters, digits and dashes, the same on all bridges of the cluster", r.Cluster)
	}
	checkPair(say, "relay.tls", TLS{r.TLS.Cert, r.TLS.Key})
	within(say, "relay.lease", r.Lease, 2*time.Second, time.Minute)
	inRange(say, "relay.streamBytes", int64(r.StreamBytes), 1<<20, 4<<30)
}

// near reports whether all of Redis is on this machine.
func (r Relay) near(host string) bool {
	if len(r.Sentinels) == 0 && !loopbackHost(host) {
		return false
	}
	for _, at := range slices.Concat(r.RedisCluster, r.Sentinels) {
		if host, _, err := net.SplitHostPort(at); err != nil || !loopbackHost(host) {
			return false
		}
	}
	return true
}
