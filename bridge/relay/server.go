package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// server is one connection to one Redis process. Nothing is done over it for another process than the one whose run it names:
// when it breaks it is never replaced, so a script that names the run is carried out by that process or not at all.
type server struct {
	*redis.Conn
	run   string
	alarm string // what to mend there while it serves
}

// oldest is the first version with access lists and everything else that is used.
const oldest = 6

// oldestCluster is the same of a Redis Cluster.
const oldestCluster = 7

// dial takes a connection and looks at who is at its other end.
func (r *Relay) dial(ctx context.Context) (*server, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := r.client.server(ctx)
	if err != nil {
		return nil, explain(err)
	}
	s := &server{Conn: c.Conn()}
	info, err := s.Info(ctx).Result()
	if err == nil {
		s.run, s.alarm, err = judge(parseInfo(info), r.client.many != nil)
	}
	if err != nil {
		_ = s.Close()
		secure := strings.HasPrefix(r.opts.URL, "rediss:")
		ends := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
		switch {
		case secure && errors.Is(err, context.DeadlineExceeded):
			return nil, fmt.Errorf("redis: it does not answer to TLS: is that its TLS port? (%w)", err)
		case secure && ends:
			return nil, fmt.Errorf("redis: it ends the connection: does it want a certificate? give it one by relay.tls.cert and relay.tls.key (%w)", err)
		case !secure && ends:
			return nil, fmt.Errorf("redis: it ends the connection: is it a TLS port? use rediss:// then (%w)", err)
		}
		return nil, explain(err)
	}
	return s, nil
}

// parseInfo reads the lines of INFO.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[key] = value
		}
	}
	return info
}

// judge says whether a server will do, and what is to be mended there all the same.
func judge(info map[string]string, cluster bool) (run, alarm string, err error) {
	major, _, _ := strings.Cut(info["redis_version"], ".")
	n, _ := strconv.Atoi(major)
	switch run = info["run_id"]; {
	case run == "" || n == 0:
		return "", "", errors.New("INFO does not say redis_version and run_id: want Redis 6 or newer, or Valkey")
	case n < oldest:
		return "", "", fmt.Errorf("it is Redis %s: too old, %d.0 or newer is needed", info["redis_version"], oldest)
	case cluster && n < oldestCluster:
		return "", "", fmt.Errorf("it is Redis %s: a Redis Cluster needs %d.0 or newer, for sharded Pub/Sub", info["redis_version"], oldestCluster)
	case !cluster && info["redis_mode"] == "cluster":
		return "", "", errors.New("it is a server of a Redis Cluster: name one more of its servers, or the same, in relay.redisCluster")
	case info["role"] != "master":
		return "", "", fmt.Errorf("it is a read-only replica of %s: name the master in relay.url, or the Sentinels in relay.sentinels", info["master_host"])
	}
	if policy := info["maxmemory_policy"]; info["maxmemory"] != "0" && policy != "noeviction" && policy != "" {
		alarm = fmt.Sprintf("Redis evicts keys when its memory is full (maxmemory-policy %s), which would take the log: set noeviction", policy)
	}
	return run, alarm, nil
}

// explain adds to an error of Redis, or of the way to it, what to mend.
func explain(err error) error {
	var verify *tls.CertificateVerificationError
	var way net.Error
	hint := ""
	switch text := err.Error(); {
	case strings.Contains(text, "all sentinels specified"):
		hint = sentinelHint(text)
	case redis.HasErrorPrefix(err, "WRONGPASS"), redis.HasErrorPrefix(err, "NOAUTH"), strings.Contains(text, "invalid password"), strings.Contains(text, "without any password"):
		hint = "wrong user or password: mend relay.credentialsFile"
	case strings.Contains(text, "NOPERM"), strings.Contains(text, "can't run this command"), strings.Contains(text, "No permissions to access"):
		hint = "the user may not do this: give it the rights of the line ACL SETUSER in bridge/relay/README.md"
	case strings.Contains(text, "OOM command not allowed"):
		hint = "its memory is full: raise maxmemory, or lower relay.streamBytes"
	case strings.Contains(text, "READONLY You can"):
		hint = "it is a read-only replica: name the master in relay.url, or the Sentinels in relay.sentinels"
	case strings.Contains(text, "MISCONF"):
		hint = "it cannot save to disk and refuses writes: free its disk"
	case redis.HasErrorPrefix(err, "LOADING"):
		hint = "it is still reading its data"
	case errors.As(err, &verify):
		hint = "its certificate does not hold: mend relay.tls.ca, relay.tls.serverName or the server's certificate"
	case strings.Contains(text, "cluster support disabled"):
		hint = "it is no Redis Cluster: leave relay.redisCluster out"
	case strings.Contains(text, "remote error: tls"):
		hint = "it does not take our certificate: mend relay.tls.cert and relay.tls.key, or the authority that it trusts"
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		hint = "it speaks no TLS there: use redis://, or its TLS port"
	case errors.As(err, &way), errors.Is(err, io.EOF):
		hint = "it cannot be reached, or does not answer: start it, or mend the way to it or relay.url"
	}
	if hint == "" {
		return fmt.Errorf("redis: %w", err)
	}
	return fmt.Errorf("redis: %s (%w)", hint, err)
}

// sentinelHint says what to mend where no Sentinel named the master.
func sentinelHint(text string) string {
	for _, sign := range []string{"NOAUTH", "WRONGPASS", "NOPERM", "invalid password", "without any password"} {
		if strings.Contains(text, sign) {
			return "the Sentinels want another user or password, or none, or the user may not ask: mend relay.sentinelCredentialsFile; the rights are in bridge/relay/README.md"
		}
	}
	if strings.Contains(text, redis.Nil.Error()) {
		return "the Sentinels know no master of that name: the host in relay.url is to be the name that they watch it under"
	}
	return "no Sentinel answers: mend relay.sentinels, or start them"
}

// refused reports whether Redis has answered, with an error: then nothing was done.
func refused(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && !errors.Is(err, redis.Nil)
}

// state is the head of the log as Redis has it; the zero value when it has none.
type state struct {
	run   string
	epoch string
	base  uint64 // where the epoch begins
	pos   uint64
	line  line
	seed  seed
}

func (s *server) state(ctx context.Context, k keys) (state, error) {
	h, err := s.HGetAll(ctx, k.head()).Result()
	if err != nil {
		return state{}, explain(err)
	}
	if len(h) == 0 {
		return state{}, nil
	}
	pos, err := strconv.ParseUint(h["pos"], 10, 64)
	base, berr := strconv.ParseUint(h["base"], 10, 64)
	line := parseLine(h["line"])
	if err != nil || berr != nil || h["epoch"] == "" || line.name() != h["name"] {
		return state{}, fmt.Errorf("redis: %s is not what a bridge writes there: do others use this Redis, or bridges of another version? give them another database or delete that key", k.head())
	}
	return state{h["run"], h["epoch"], base, pos, line, seed(h["seed"])}, nil
}

// reply reads the answer of a script: a word and perhaps two more.
func reply(c *redis.Cmd) (word, first, second string, err error) {
	all, err := c.StringSlice()
	if err != nil {
		return "", "", "", explain(err)
	}
	all = append(all, "", "", "")
	return all[0], all[1], all[2], nil
}

// quiet drops the library's own log: what it says we say, with what to mend.
type quiet struct{}

// Printf implements the library's logger.
func (quiet) Printf(context.Context, string, ...any) {}
