package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// remote is the client of one Redis, or of a Redis Cluster, of which the log uses one slot, so one server at a time.
type remote struct {
	redis.UniversalClient
	one  *redis.Client        // nil in a Redis Cluster
	many *redis.ClusterClient // nil elsewhere
	key  string               // of the log's slot
}

func alone(c *redis.Client) *remote { return &remote{UniversalClient: c, one: c} }

// server returns the client of the server that has the log.
func (c *remote) server(ctx context.Context) (*redis.Client, error) {
	if c.many == nil {
		return c.one, nil
	}
	c.many.ReloadState(ctx) // the slot may have moved, or another server have taken over; it takes effect soon, and we try again
	return c.many.MasterForKey(ctx, c.key)
}

// subscribe subscribes to channels of the log's slot. In a Redis Cluster they are sharded: else each batch would go to all servers.
func (c *remote) subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	if c.many != nil {
		return c.many.SSubscribe(ctx, channels...)
	}
	return c.one.Subscribe(ctx, channels...)
}

// subscribeTo adds a channel.
func (c *remote) subscribeTo(ctx context.Context, ps *redis.PubSub, channel string) error {
	if c.many != nil {
		return ps.SSubscribe(ctx, channel)
	}
	return ps.Subscribe(ctx, channel)
}

// publishing is the command that publishes to what subscribe subscribes to.
func (c *remote) publishing() string {
	if c.many != nil {
		return "SPUBLISH"
	}
	return "PUBLISH"
}

// plain is the protocol of Redis that is spoken. With the newer one the library asks the socket before each command whether a notice has come.
const plain = 2

// silent: the library asks for no notices of its own, for which a user would need more rights.
var silent = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

// client makes a client of the library's. It connects to nobody yet. The library's own retries are off: a command whose answer
// was lost must not be carried out twice behind our back.
func (o Options) client() (*remote, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("relay.url: not a URL")
	}
	db := 0
	if path := strings.Trim(u.Path, "/"); path != "" {
		if db, err = strconv.Atoi(path); err != nil {
			return nil, errors.New("relay.url: the path is not the number of a database")
		}
	}
	var secure *tls.Config
	if u.Scheme == "rediss" {
		host := u.Hostname()
		if len(o.Sentinels)+len(o.RedisCluster) > 0 {
			host = "" // each server by its own name, unless ServerName says one for all
		}
		if secure, err = o.tlsConfig(host); err != nil {
			return nil, err
		}
	}
	login := func(context.Context) (string, string, error) { return o.credentials() } // anew at each connection
	name := "plumbline-" + o.Node
	if len(o.Sentinels) > 0 {
		user, password, err := o.sentinelCredentials()
		if err != nil {
			return nil, err
		}
		return alone(redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: u.Hostname(), SentinelAddrs: o.Sentinels, SentinelUsername: user, SentinelPassword: password, CredentialsProviderContext: login, DB: db, TLSConfig: secure, ClientName: clientName(name),
			MaxRetries: -1, DialTimeout: callTimeout, DialerRetries: 1, ReadTimeout: callTimeout, WriteTimeout: callTimeout, ContextTimeoutEnabled: true,
			DisableIdentity: true, Protocol: plain,
		})), nil
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	if len(o.RedisCluster) > 0 {
		if db != 0 {
			return nil, errors.New("relay.url: a Redis Cluster has no database but 0")
		}
		c := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: append([]string{addr}, o.RedisCluster...), CredentialsProviderContext: login, TLSConfig: secure, ClientName: clientName(name),
			DialTimeout: callTimeout, DialerRetries: 1, ReadTimeout: callTimeout, WriteTimeout: callTimeout, ContextTimeoutEnabled: true,
			DisableIdentity: true, Protocol: plain, MaintNotificationsConfig: silent,
		})
		return &remote{UniversalClient: c, many: c, key: keysOf(o.Cluster).head()}, nil
	}
	return alone(redis.NewClient(&redis.Options{
		Addr: addr, CredentialsProviderContext: login, DB: db, TLSConfig: secure, ClientName: clientName(name),
		MaxRetries: -1, DialTimeout: callTimeout, DialerRetries: 1, ReadTimeout: callTimeout, WriteTimeout: callTimeout, ContextTimeoutEnabled: true,
		DisableIdentity: true, Protocol: plain, MaintNotificationsConfig: silent,
	})), nil
}

// clientName makes a name fit for CLIENT SETNAME, which takes no spaces.
func clientName(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, name)
}
