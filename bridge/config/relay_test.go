package config

import (
	"strings"
	"testing"
)

func TestRelay(t *testing.T) {
	for _, c := range []struct {
		name string
		set  []string
		want string // in the error; "" = none
	}{
		{"off", nil, ""},
		{"loopback", []string{"relay.url=redis://127.0.0.1:6379/2"}, ""},
		{"TLS", []string{"relay.url=rediss://redis.example:6379"}, ""},
		{"plaintext", []string{"relay.url=redis://redis.example:6379"}, "relay.url"},
		{"plaintext allowed", []string{"relay.url=redis://redis.example:6379", "relay.plaintext=true"}, ""},
		{"password", []string{"relay.url=rediss://:geheim@redis.example"}, "relay.credentialsFile"},
		{"database", []string{"relay.url=redis://127.0.0.1/x"}, "number of a database"},
		{"scheme", []string{"relay.url=http://127.0.0.1"}, "relay.url"},
		{"sentinels", []string{"relay.url=redis://main", "relay.sentinels=127.0.0.1:26379,localhost:26380"}, ""},
		{"far sentinels", []string{"relay.url=redis://main", "relay.sentinels=s:26379"}, "relay.url"},
		{"bad sentinel", []string{"relay.url=rediss://main", "relay.sentinels=s"}, "relay.sentinels"},
		{"password for Sentinels", []string{"relay.url=redis://main", "relay.sentinels=127.0.0.1:26379", "relay.sentinelCredentialsFile=s"}, ""},
		{"password for no Sentinels", []string{"relay.url=redis://127.0.0.1", "relay.sentinelCredentialsFile=s"}, "relay.sentinelCredentialsFile"},
		{"Redis Cluster", []string{"relay.url=redis://127.0.0.1:7000", "relay.redisCluster=127.0.0.1:7001,127.0.0.1:7002"}, ""},
		{"far Redis Cluster", []string{"relay.url=redis://127.0.0.1:7000", "relay.redisCluster=r:7001"}, "relay.url"},
		{"bad Redis Cluster", []string{"relay.url=rediss://r", "relay.redisCluster=r"}, "relay.redisCluster"},
		{"Redis Cluster and sentinels", []string{"relay.url=rediss://r", "relay.redisCluster=r:1", "relay.sentinels=s:1"}, "name one of the two"},
		{"cluster", []string{"relay.url=redis://127.0.0.1", "relay.cluster=A B"}, "relay.cluster"},
		{"lease", []string{"relay.url=redis://127.0.0.1", "relay.lease=1s"}, "relay.lease"},
		{"stream", []string{"relay.url=redis://127.0.0.1", "relay.streamBytes=1KiB"}, "relay.streamBytes"},
		{"certificate", []string{"relay.url=redis://127.0.0.1", "relay.tls.cert=c.pem"}, "relay.tls"},
	} {
		_, err := Load("", nil, c.set)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		case err != nil && strings.Contains(err.Error(), "geheim"):
			t.Errorf("%s: the error holds the password", c.name)
		}
	}
}
